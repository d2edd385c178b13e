//! Registers beside the general ones, and the general ones by the calls without a flavor (MACH.md T-08).

use abi::kern_return::KernReturn as Code;
use abi::thread_state::{AVX_FLAVOR, AVX_SIZE, FLOAT_FLAVOR, FLOAT_SIZE};
use abi::vm::MAX_ADDRESS;

use super::control::{answer, settable};
use super::names::{accept, refuse};
use super::{Model, Registers, Seen, ThreadId, Verdict};

/// Debug registers.
type DebugRegisters = [u64; 8];

/// Something with a thread's registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateOp {
    /// `get_state`, with the registers at that moment.
    GetPlain(Registers),
    /// `set_state`.
    SetPlain(Registers),
    /// Of the flavor of debug registers.
    GetDebug,
    /// The same: so many words of these.
    SetDebug(DebugRegisters, usize),
    /// Of one of the flavors of vector registers.
    GetVectors(u32),
    /// The same: so many bytes of [`vectors`] of a seed.
    SetVectors(u32, u8, usize),
}

/// Vector registers of a seed.
pub fn vectors(seed: u8) -> Vec<u8> {
    let bytes = (0..AVX_SIZE).map(|at| seed.wrapping_add((at as u8).wrapping_mul(7)));
    bytes.collect()
}

/// What a thread has beside its general registers.
#[derive(Clone, Debug)]
pub(super) struct Extra {
    debug: DebugRegisters,
    vectors: Vec<u8>,
}

impl Extra {
    /// Of a thread that has used none.
    pub(super) fn clean() -> Self {
        let mut vectors = vec![0; AVX_SIZE];
        // x87 and SSE with all exceptions masked (Intel SDM vol. 1, 8.1.5 and 10.2.3).
        vectors[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
        vectors[CONTROL..CONTROL + 2].copy_from_slice(&0x1f80_u16.to_le_bytes());
        Self {
            debug: [0; 8],
            vectors,
        }
    }
}

/// Where SSE's control word lies, which has 16 bits.
const CONTROL: usize = 24;

impl Model {
    pub(super) fn state_op(&mut self, of: ThreadId, op: &StateOp, seen: &Seen) -> Verdict {
        let new = match *op {
            StateOp::SetPlain(registers) => {
                return self.set_state(of, settable(registers), answer(seen)?);
            }
            StateOp::GetPlain(_) | StateOp::GetDebug | StateOp::GetVectors(_) => {
                return self.tell_state(of, op, seen);
            }
            StateOp::SetDebug(words, count) => watchable(words)
                .filter(|_| count == words.len())
                .map(|debug| Extra {
                    debug,
                    ..self.threads[of].extra.clone()
                }),
            StateOp::SetVectors(flavor, seed, count) => {
                let fits = size(flavor) == Some(count);
                fits.then(|| {
                    let mut extra = self.threads[of].extra.clone();
                    extra.vectors[..count].copy_from_slice(&vectors(seed)[..count]);
                    extra.vectors[CONTROL + 2..CONTROL + 4].fill(0);
                    extra
                })
            }
        };
        let Some(new) = new else {
            return refuse(answer(seen)?, &[Code::InvalidArgument]);
        };
        if !self.stands_still(of) {
            return refuse(answer(seen)?, &[Code::Failure]);
        }
        self.threads[of].extra = new;
        accept(answer(seen)?)
    }

    fn tell_state(&self, of: ThreadId, op: &StateOp, seen: &Seen) -> Verdict {
        if !self.stands_still(of) {
            return refuse(answer(seen)?, &[Code::Failure]);
        }
        let extra = &self.threads[of].extra;
        let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (length, bytes): (usize, Vec<u8>) = match *op {
            StateOp::GetPlain(registers) => (0, words(&registers)),
            StateOp::GetVectors(flavor) => match size(flavor) {
                Some(size) => (1, extra.vectors[..size].to_vec()),
                None => return refuse(answer(seen)?, &[Code::InvalidArgument]),
            },
            _ => (1, words(&extra.debug)),
        };
        let told = match seen {
            Seen::Told(told) => told.get(length..).unwrap_or_default(),
            _ => &[],
        };
        match words(told) == bytes {
            true => Ok(()),
            false => Err(format!("{bytes:x?} expected, not {seen:x?}")),
        }
    }
}

/// Bytes of a flavor of vector registers.
fn size(flavor: u32) -> Option<usize> {
    match flavor {
        FLOAT_FLAVOR => Some(FLOAT_SIZE),
        AVX_FLAVOR => Some(AVX_SIZE),
        _ => None,
    }
}

/// The debug registers that a thread has when these are set, if it may have them (Intel SDM vol. 3, 17.2): the user's
/// addresses, no I/O ports, no watch over the debug registers; reserved bits have the values that they have.
fn watchable(mut new: DebugRegisters) -> Option<DebugRegisters> {
    let [.., status, control] = new;
    let ports = (0..4).any(|n| control >> (16 + 4 * n) & 3 == 0b10);
    let guards = control & 1 << 13 != 0;
    if ports || guards || new[..4].iter().any(|address| *address >= MAX_ADDRESS) {
        return None;
    }
    let (enables, kinds, always) = (0x3ff, 0xffff_0000, 1 << 10);
    let met = 0b1111 | 1 << 13 | 1 << 14 | 1 << 15;
    new[4..].copy_from_slice(&[0, 0, status & met, control & (enables | kinds) | always]);
    Some(new)
}
