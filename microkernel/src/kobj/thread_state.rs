//! Registers of a thread by flavor, as the bytes that messages carry.

use abi::kern_return::KernReturn;
use abi::thread_state::{
    AVX_FLAVOR, AVX_SIZE, DEBUG_FLAVOR, DebugState, FLAVOR, FLOAT_FLAVOR, FLOAT_SIZE, ThreadState,
};
use abi::vm::MAX_ADDRESS;
use interfaces::bounded::Bytes;

use crate::base::KernResult;
use crate::ipc::exception::state_of;
use crate::machine::{FrameIndex, Machine, Vectors};
use crate::sched::{check_state, get_state, set_state};

/// DR7: enables, exact-match bits, and what each register watches for. Bit 10 is always set.
const DR7_KNOWN: u64 = 0xffff_03ff;
const DR7_FIXED: u64 = 1 << 10;
/// DR7: an access to a debug register traps.
const DR7_GUARD: u64 = 1 << 13;
/// DR6: which register met something, and why else there was an exception.
const DR6_KNOWN: u64 = 0xe00f;
/// SSE control and status that x86-64 has.
const MXCSR_KNOWN: u32 = 0xffff;
/// Where it lies among the vector registers.
const MXCSR: usize = 24;

/// Registers that were checked.
#[derive(Debug)]
pub(super) enum Checked<'a> {
    /// General registers.
    General(ThreadState),
    /// Debug registers.
    Debug(DebugState),
    /// Vector registers; those behind the given bytes stay as they are.
    Vectors(&'a [u8]),
}

/// The registers of a thread that runs nowhere.
///
/// # Errors
/// `InvalidArgument`: no such flavor.
pub(super) fn get<M: Machine>(
    machine: &mut M,
    thread: FrameIndex,
    flavor: u32,
) -> KernResult<Bytes<768>> {
    let bytes = match flavor {
        FLAVOR => words(&general_words(&get_state(machine.frame(thread)))),
        DEBUG_FLAVOR => words(&debug_words(&machine.debug_state(thread))),
        FLOAT_FLAVOR => Bytes::new(&machine.vectors(thread).0[..FLOAT_SIZE]),
        AVX_FLAVOR => Bytes::new(&machine.vectors(thread).0),
        _ => None,
    };
    bytes.ok_or(KernReturn::InvalidArgument)
}

/// What a caller's bytes mean.
///
/// # Errors
/// `InvalidArgument`: no such flavor, not so many bytes, or what no user thread may have.
pub(super) fn check(flavor: u32, bytes: &[u8]) -> KernResult<Checked<'_>> {
    let invalid = KernReturn::InvalidArgument;
    match flavor {
        FLAVOR => {
            let state = state_of(bytes).ok_or(invalid)?;
            check_state(&state)?;
            Ok(Checked::General(state))
        }
        DEBUG_FLAVOR => Ok(Checked::Debug(debug(&take(bytes).ok_or(invalid)?)?)),
        FLOAT_FLAVOR if bytes.len() == FLOAT_SIZE => Ok(Checked::Vectors(bytes)),
        AVX_FLAVOR if bytes.len() == AVX_SIZE => Ok(Checked::Vectors(bytes)),
        _ => Err(invalid),
    }
}

/// Gives a thread that runs nowhere what was checked.
///
/// # Errors
/// `ResourceShortage`: no page for its vector registers; nothing changed.
pub(super) fn set<M: Machine>(
    machine: &mut M,
    thread: FrameIndex,
    checked: &Checked<'_>,
) -> KernResult<()> {
    match checked {
        Checked::General(state) => set_state(machine.frame(thread), state),
        Checked::Debug(state) => machine.set_debug_state(thread, state),
        Checked::Vectors(bytes) => {
            let mut all = machine.vectors(thread);
            replace(&mut all, bytes);
            let set = machine.set_vectors(thread, &all);
            set.map_err(|_| KernReturn::ResourceShortage)?;
        }
    }
    Ok(())
}

/// Writes the first of the vector registers; SSE's control word keeps to what there is.
fn replace(all: &mut Vectors, bytes: &[u8]) {
    let (first, _) = all.0.split_at_mut(bytes.len());
    first.copy_from_slice(bytes);
    let control: [u8; 4] = core::array::from_fn(|n| all.0[MXCSR + n]);
    let control = u32::from_le_bytes(control) & MXCSR_KNOWN;
    all.0[MXCSR..MXCSR + 4].copy_from_slice(&control.to_le_bytes());
}

/// Debug registers that watch nothing but the user's own memory.
fn debug(words: &[u64; 8]) -> KernResult<DebugState> {
    let [dr0, dr1, dr2, dr3, _, _, dr6, dr7] = *words;
    let foreign = [dr0, dr1, dr2, dr3].iter().any(|at| *at >= MAX_ADDRESS);
    // Two bits a register from bit 16 on, and two for the length: 2 stands for I/O ports.
    let ports = (0..4).any(|n| dr7 >> (16 + 4 * n) & 3 == 2);
    if foreign || ports || dr7 & DR7_GUARD != 0 {
        return Err(KernReturn::InvalidArgument);
    }
    Ok(DebugState {
        dr0,
        dr1,
        dr2,
        dr3,
        dr4: 0,
        dr5: 0,
        dr6: dr6 & DR6_KNOWN,
        dr7: dr7 & DR7_KNOWN | DR7_FIXED,
    })
}

fn debug_words(state: &DebugState) -> [u64; 8] {
    let s = state;
    [s.dr0, s.dr1, s.dr2, s.dr3, s.dr4, s.dr5, s.dr6, s.dr7]
}

/// In the order of the structure.
fn general_words(s: &ThreadState) -> [u64; 20] {
    [
        s.rax, s.rbx, s.rcx, s.rdx, s.rdi, s.rsi, s.rbp, s.rsp, s.r8, s.r9, s.r10, s.r11, s.r12,
        s.r13, s.r14, s.r15, s.rip, s.rflags, s.fs_base, s.gs_base,
    ]
}

fn words<const N: usize>(words: &[u64; N]) -> Option<Bytes<768>> {
    let mut bytes = Bytes::EMPTY;
    let all = words.iter().flat_map(|word| word.to_le_bytes());
    all.fold(true, |fits, byte| fits & bytes.push(byte))
        .then_some(bytes)
}

/// Exactly so many words.
fn take<const N: usize>(bytes: &[u8]) -> Option<[u64; N]> {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: &[[u8; 8]; N] = words.try_into().ok()?;
    rest.is_empty().then(|| words.map(u64::from_le_bytes))
}
