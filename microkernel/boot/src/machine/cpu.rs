//! The processor: what it has, the jump into the kernel, and the end.

use core::arch::asm;
use core::arch::global_asm;
use core::arch::x86_64::__cpuid;

use boot::Handoff;
use boot::paging::{NoExecute, PageSize};
use boot::responses::DESCRIPTORS_LIMIT;

use super::port::Port;

/// What the extended CPUID leaf 0x80000001 says of paging. The leaf is there: the entry code looked.
pub(super) fn features() -> (NoExecute, PageSize) {
    let features = __cpuid(0x8000_0001).edx;
    let no_execute = if features & 1 << 20 != 0 {
        NoExecute::Present
    } else {
        NoExecute::Absent
    };
    let largest_page = if features & 1 << 26 != 0 {
        PageSize::Huge
    } else {
        PageSize::Large
    };
    (no_execute, largest_page)
}

/// What `LGDT` and `LIDT` read in long mode.
#[repr(C, packed)]
struct DescriptorsPointer {
    limit: u16,
    address: u64,
}

unsafe extern "C" {
    /// Loads the page tables and descriptors and enters the kernel.
    fn jump_to_kernel(
        root: u64,
        stack: u64,
        entry: u64,
        descriptors: *const [DescriptorsPointer; 2],
    ) -> !;
}

/// Enters the kernel as the protocol says.
pub(super) fn jump(handoff: &Handoff) -> ! {
    mask_legacy_interrupts();
    // The protocol leaves the interrupt descriptors undefined: there are none.
    let descriptors = [
        DescriptorsPointer {
            limit: DESCRIPTORS_LIMIT,
            address: handoff.descriptors,
        },
        DescriptorsPointer {
            limit: 0,
            address: 0,
        },
    ];
    // SAFETY: 1. `handoff` comes from `prepare`: the tables map the page that the code runs in, the stack, the
    // descriptors and the kernel. 2. Nothing of the stub is used afterwards.
    unsafe {
        jump_to_kernel(
            handoff.root,
            handoff.stack,
            handoff.entry,
            &raw const descriptors,
        )
    }
}

/// Masks all lines of the two interrupt controllers of the PC, as the protocol promises.
fn mask_legacy_interrupts() {
    for number in [0x21, 0xa1] {
        // SAFETY: the mask registers of the interrupt controllers; interrupts are off in the processor besides.
        unsafe { Port::new(number) }.write(0xff);
    }
}

/// Ends QEMU through `isa-debug-exit`, or without one waits for ever.
pub(super) fn stop() -> ! {
    // SAFETY: QEMU's exit device; on a machine without it nothing is at this port.
    unsafe { Port::new(0xf4) }.write(0x11);
    loop {
        // SAFETY: interrupts are off; the processor stops here.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

// rdi: page tables, rsi: stack, rdx: entry, rcx: pointers to segment and interrupt descriptors, of 10 bytes each.
//
// The pointers are in the stub's memory, which the new tables do not map there: they are read before those are loaded.
// The descriptors themselves are read when the segments are, after it.
//
// The page attribute table (MSR 0x277) is the protocol's: WB, WT, UC-, UC, WP, WC, and the last two as after reset.
global_asm!(
    ".section .jump, \"ax\"",
    "jump_to_kernel:",
    "cli",
    "cld",
    "lgdt [rcx]",
    "lidt [rcx + 10]",
    "mov r8, rdx",
    "mov ecx, 0x277",
    "mov eax, 0x00070406",
    "mov edx, 0x00070105",
    "wrmsr",
    "mov cr3, rdi",
    "mov rsp, rsi",
    "mov eax, 0x30",
    "mov ds, eax",
    "mov es, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov ss, eax",
    "push 0x28",
    "push r8",
    "xor eax, eax",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor esi, esi",
    "xor edi, edi",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "retfq",
    ".text",
);
