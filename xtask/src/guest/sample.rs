//! Small ELF files for tests.

use elf::abi::{ET_EXEC, PF_R, PF_W, PF_X, PT_LOAD};

/// One program header and its content.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: u32,
    pub(super) flags: u32,
    pub(super) address: u64,
    pub(super) memory_size: u64,
    pub(super) content: Vec<u8>,
}

/// Code at `address`.
pub(super) fn code(address: u64, content: &[u8]) -> Piece {
    Piece {
        kind: PT_LOAD,
        flags: PF_R | PF_X,
        address,
        memory_size: content.len() as u64,
        content: content.to_vec(),
    }
}

/// Writable data at `address`.
pub(super) fn data(address: u64, content: &[u8]) -> Piece {
    Piece {
        flags: PF_R | PF_W,
        ..code(address, content)
    }
}

/// A whole file.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) kind: u16,
    pub(super) entry: u64,
    pieces: Vec<Piece>,
}

impl Sample {
    pub(super) fn new(pieces: &[Piece]) -> Self {
        Self {
            kind: ET_EXEC,
            entry: pieces.first().map_or(0, |piece| piece.address),
            pieces: pieces.to_vec(),
        }
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(self.kind.to_le_bytes());
        file.extend(62_u16.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(self.entry.to_le_bytes());
        file.extend(64_u64.to_le_bytes());
        file.extend([0; 12]);
        file.extend(64_u16.to_le_bytes());
        file.extend(56_u16.to_le_bytes());
        file.extend((self.pieces.len() as u16).to_le_bytes());
        file.extend([0; 6]);
        let mut offset = 64 + 56 * self.pieces.len() as u64;
        for piece in &self.pieces {
            let size = piece.content.len() as u64;
            file.extend(piece.kind.to_le_bytes());
            file.extend(piece.flags.to_le_bytes());
            for word in [
                offset,
                piece.address,
                piece.address,
                size,
                piece.memory_size,
                1,
            ] {
                file.extend(word.to_le_bytes());
            }
            offset += size;
        }
        for piece in &self.pieces {
            file.extend(&piece.content);
        }
        file
    }
}
