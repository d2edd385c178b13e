//! The processor's exceptions while the stub runs: a defect, which is said rather than answered with a reset.
//!
//! From the jump on they are the kernel's: the protocol leaves the interrupt descriptors undefined.

use core::arch::{asm, global_asm};

/// Exceptions have the vectors below this one.
const COUNT: usize = 32;

/// Vectors whose exceptions push an error code (Intel SDM volume 3, table 7-1).
const WITH_ERROR_CODE: u32 = 1 << 8 | 0b1_1111 << 10 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;

/// Bytes from one entry to the next.
const ENTRY_SIZE: u64 = 16;

/// The code segment of the entry code's descriptors.
const CODE: u64 = 0x08;

/// A present interrupt gate of ring 0.
const GATE: u64 = 0x8e00;

#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    address: u64,
}

unsafe extern "C" {
    static exception_entries: u8;
    static mut exception_table: [[u64; 2]; COUNT];
}

/// Makes every exception end in [`report`].
pub(super) fn catch() {
    let first = (&raw const exception_entries).expose_provenance() as u64;
    let table = core::array::from_fn(|vector| {
        let entry = first + vector as u64 * ENTRY_SIZE;
        let low = entry & 0xffff | CODE << 16 | GATE << 32 | (entry >> 16 & 0xffff) << 48;
        [low, entry >> 32]
    });
    // SAFETY: the table is in the stub's data and nobody else writes or reads it: there is one processor, and it does
    // not know of the table yet.
    unsafe { (&raw mut exception_table).write(table) };
    let address = (&raw const exception_table).expose_provenance() as u64;
    let pointer = TablePointer {
        limit: size_of_val(&table) as u16 - 1,
        address,
    };
    // SAFETY: the table is complete, lies still, and its gates lead to code that takes what an exception leaves.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) };
}

/// What is on the stack: the vector, then what the processor pushed.
extern "C" fn report(stack: &[u64; 3]) -> ! {
    let [vector, second, third] = *stack;
    let address = if WITH_ERROR_CODE >> (vector & 31) & 1 != 0 {
        third
    } else {
        second
    };
    super::fail(format_args!(
        "a defect of the stub: exception {vector} at {address:#x}"
    ))
}

global_asm!(
    ".section .text.exceptions, \"ax\"",
    ".balign 16",
    "exception_entries:",
    ".set vector, 0",
    ".rept 32",
    ".balign 16",
    // push vector
    ".byte 0x6a, vector",
    "jmp exception",
    ".set vector, vector + 1",
    ".endr",
    "exception:",
    "mov rdi, rsp",
    "and rsp, -16",
    "cld",
    "call {report}",
    "ud2",
    ".section .bss.exceptions, \"aw\", @nobits",
    ".balign 16",
    "exception_table:",
    ".skip 512",
    ".text",
    report = sym report,
);
