//! Traps with registers as the generator made them, and memory that is known by its address.

use fuzz::{Answer, BODY_SIZE, Body, Registers};
use libmach::abi::message::{DESCRIPTOR_SIZE, HEADER_SIZE, MAX_DESCRIPTORS, MIN_BUFFER};
use libmach::abi::registers::Received;
use libmach::abi::trap::MACH_MSG;
use libmach::abi::vm::flags;
use libmach::trap;

/// Bytes of the message buffer that names of rights may lie in.
const RIGHTS: usize = HEADER_SIZE + MAX_DESCRIPTORS * DESCRIPTOR_SIZE;

/// Performs a trap.
pub(crate) fn perform(registers: &Registers) -> Answer {
    let [a, b, c, d] = registers.arguments;
    if registers.number == MACH_MSG {
        let registers = trap::Registers {
            word: a,
            names: b,
            receive: c,
            deadline: d,
            words: registers.words,
        };
        // SAFETY: (1) the thread's buffer is memory from `allocate`, known by its address only.
        // (2) What the message gives away the generator chose; that this may be memory which the
        // program runs on is the point: then the task dies, alone, and another one is started.
        let (code, back) = unsafe { trap::mach_msg(registers) };
        return Answer {
            code,
            results: [back.word, back.names, back.receive, back.deadline],
        };
    }
    let [e, f, ..] = registers.words;
    // SAFETY: as above.
    let (code, result) = unsafe { trap::raw(registers.number, [a, b, c, d, e, f]) };
    Answer {
        code: code as u32,
        results: [0, 0, result, 0],
    }
}

/// Fresh memory; its address.
pub(crate) fn allocate(size: u64) -> trap::Outcome<u64> {
    // SAFETY: anywhere: the kernel picks a range that is not in use.
    unsafe { trap::vm_allocate(0, size, flags::ANYWHERE) }
}

/// Makes memory from [`allocate`] the thread's message buffer. No message by `libmach` that needs a
/// buffer works any more.
pub(crate) fn use_buffer(address: u64) -> trap::Outcome<()> {
    // SAFETY: whole pages which only this module reaches, by value.
    unsafe { trap::message_buffer(address, MIN_BUFFER) }
}

/// Writes a step's body to the message buffer.
pub(crate) fn put_body(buffer: u64, body: &Body) {
    let mut bytes = [0; BODY_SIZE];
    let size = body.write(&mut bytes);
    for (address, byte) in (buffer..).zip(&bytes[..size]) {
        put_byte(address, *byte);
    }
}

fn put_byte(address: u64, value: u8) {
    // SAFETY: the buffer is memory which the kernel took as such, known by its address only; a
    // fault ends this task alone.
    unsafe { (address as *mut u8).write_volatile(value) }
}

/// The part of the message buffer that holds the rights of a message which was just received.
pub(crate) fn rights(buffer: u64, answer: &Answer, bytes: &mut [u8; RIGHTS]) -> usize {
    let count = Received(answer.results[0] as u32).shape().descriptors() as usize;
    let size = HEADER_SIZE + count.min(MAX_DESCRIPTORS) * DESCRIPTOR_SIZE;
    for (address, byte) in (buffer..).zip(&mut bytes[..size]) {
        // SAFETY: as in `put_byte`.
        *byte = unsafe { (address as *const u8).read_volatile() };
    }
    size
}

/// Room for [`rights`].
pub(crate) const fn no_rights() -> [u8; RIGHTS] {
    [0; RIGHTS]
}

/// Sets a word of memory that tasks share.
pub(crate) fn put_word(address: u64, value: u64) {
    // SAFETY: an aligned word of a page that is mapped for this; all access to it is volatile, and
    // either side may see an old value.
    unsafe { (address as *mut u64).write_volatile(value) }
}

/// Reads a word of memory that tasks share.
pub(crate) fn word(address: u64) -> u64 {
    // SAFETY: as in `put_word`.
    unsafe { (address as *const u64).read_volatile() }
}
