//! Simulated memory, and the files and structures that the tests put into it.

use boot::{Flat, Physical};

/// Memory from address 0 on.
pub(crate) type Ram = Flat<Vec<u8>>;

/// So many bytes of it: not zero, so that what relies on zeroed memory shows.
pub(crate) fn ram(size: u64) -> Ram {
    Ram {
        start: 0,
        bytes: vec![0xa5; usize::try_from(size).unwrap()],
    }
}

/// What tests put there and find.
pub(crate) trait Content: Physical {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes_mut(at, bytes.len() as u64)
            .unwrap()
            .copy_from_slice(bytes);
    }

    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).unwrap().try_into().unwrap())
    }
}

impl Content for Ram {}

/// A segment of a test kernel.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: u64,
    pub(crate) flags: u32,
    pub(crate) content: Vec<u8>,
    pub(crate) memory_size: u64,
}

pub(crate) const READ: u32 = 4;
pub(crate) const WRITE: u32 = 2;
pub(crate) const EXECUTE: u32 = 1;

/// An `ET_EXEC` file for x86-64 with these segments.
pub(crate) fn elf(entry: u64, loads: &[Load]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [2_u16, 62] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1_u32.to_le_bytes());
    for long in [entry, 64, 0] {
        file.extend(long.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64, 56, u16::try_from(loads.len()).unwrap(), 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut offset = 64 + 56 * loads.len() as u64;
    for load in loads {
        file.extend(1_u32.to_le_bytes());
        file.extend(load.flags.to_le_bytes());
        let size = load.content.len() as u64;
        for long in [
            offset,
            load.address,
            load.address,
            size,
            load.memory_size,
            4096,
        ] {
            file.extend(long.to_le_bytes());
        }
        offset += size;
    }
    for load in loads {
        file.extend(&load.content);
    }
    file
}

/// A ustar archive of these files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut header);
        archive.extend(header);
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Sets the checksum of a tar header.
pub(crate) fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u64 = header[..512].iter().map(|byte| u64::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Little-endian words.
pub(crate) fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) const START_INFO: u64 = 0x600;
pub(crate) const MEMORY_TABLE: u64 = 0x700;
pub(crate) const MODULE_LIST: u64 = 0x6c0;
pub(crate) const COMMAND_LINE: u64 = 0x5000;

/// Puts a PVH start info at [`START_INFO`]: the regions by start, length and kind, one module by address and size.
pub(crate) fn put_start_info(ram: &mut Ram, regions: &[(u64, u64, u32)], module: (u64, u64)) {
    let mut info = [0x336e_c578_u32, 1, 0, 1]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect::<Vec<u8>>();
    info.extend(words(&[
        MODULE_LIST,
        COMMAND_LINE,
        0xf_5a00,
        MEMORY_TABLE,
        regions.len() as u64,
    ]));
    ram.put(START_INFO, &info);
    ram.put(MODULE_LIST, &words(&[module.0, module.1, 0, 0]));
    for (index, (start, length, kind)) in regions.iter().enumerate() {
        ram.put(
            MEMORY_TABLE + index as u64 * 24,
            &words(&[*start, *length, u64::from(*kind)]),
        );
    }
    ram.put(COMMAND_LINE, b"console=debug\0rest");
}
