//! What a step is, and what came of it.

use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, WORDS};
use abi::trap::MACH_MSG;

/// The most descriptors that a step writes; its shape may claim more.
pub(crate) const DESCRIPTORS: usize = 8;
/// The most words of data that a step writes; its shape may claim more.
pub(crate) const DATA: usize = 64;
/// Bytes at the start of the message buffer that [`Body::write`] needs.
pub const BODY_SIZE: usize = HEADER_SIZE + DESCRIPTORS * DESCRIPTOR_SIZE + DATA * 8;

/// The registers that a trap has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// `rax`.
    pub number: i64,
    /// `rdi rsi rdx r10`.
    pub arguments: [u64; 4],
    /// `r8 r9 r12 r13 r14 r15`.
    pub words: [u64; WORDS],
}

/// What lies in the message buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body {
    pub(crate) descriptors: [Descriptor; DESCRIPTORS],
    pub(crate) descriptor_count: usize,
    pub(crate) data: [u64; DATA],
    pub(crate) word_count: usize,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            descriptors: [Descriptor::default(); DESCRIPTORS],
            descriptor_count: 0,
            data: [0; DATA],
            word_count: 0,
        }
    }
}

impl Body {
    pub(crate) fn push(&mut self, descriptor: Descriptor) {
        if let Some(place) = self.descriptors.get_mut(self.descriptor_count) {
            *place = descriptor;
            self.descriptor_count += 1;
        }
    }

    pub(crate) fn word(&mut self, word: u64) {
        if let Some(place) = self.data.get_mut(self.word_count) {
            *place = word;
            self.word_count += 1;
        }
    }

    /// The bytes as they lie in the buffer, header included; how many there are.
    pub fn write(&self, bytes: &mut [u8; BODY_SIZE]) -> usize {
        let mut at = HEADER_SIZE;
        bytes[..at].fill(0);
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        for descriptor in &self.descriptors[..self.descriptor_count] {
            put(&[descriptor.kind, descriptor.disposition]);
            put(&descriptor.flags.to_le_bytes());
            put(&descriptor.name.to_le_bytes());
            put(&descriptor.address.to_le_bytes());
            put(&descriptor.size.to_le_bytes());
        }
        for word in &self.data[..self.word_count] {
            put(&word.to_le_bytes());
        }
        at
    }
}

/// One trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// Its registers.
    pub registers: Registers,
    /// What to write to the message buffer before, if anything.
    pub body: Option<Body>,
}

impl Step {
    /// A trap that is not `mach_msg`.
    pub(crate) fn trap(number: i64, arguments: [u64; 6]) -> Self {
        let [a, b, c, d, e, f] = arguments;
        let registers = Registers {
            number,
            arguments: [a, b, c, d],
            words: [e, f, 0, 0, 0, 0],
        };
        Self {
            registers,
            body: None,
        }
    }

    /// Whether it is a message.
    pub fn is_message(&self) -> bool {
        self.registers.number == MACH_MSG
    }
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// `rax`: the code.
    pub code: u32,
    /// `rdi rsi rdx r10`.
    pub results: [u64; 4],
}

#[cfg(test)]
mod tests {
    use super::{BODY_SIZE, Body, DATA, DESCRIPTORS};
    use abi::message::{Descriptor, HEADER_SIZE};

    #[test]
    fn a_full_body_fits_and_more_is_left_out() {
        let mut body = Body::default();
        for n in 0..100 {
            body.push(Descriptor {
                name: 0x0403_0201,
                ..Descriptor::default()
            });
            body.word(n);
        }
        let mut bytes = [0xff; BODY_SIZE];
        assert_eq!(body.write(&mut bytes), BODY_SIZE);
        assert_eq!(
            (body.descriptor_count, body.word_count),
            (DESCRIPTORS, DATA)
        );
        assert_eq!(bytes[HEADER_SIZE + 4..HEADER_SIZE + 8], [1, 2, 3, 4]);
        assert_eq!(bytes[BODY_SIZE - 8..], 63_u64.to_le_bytes());
    }
}
