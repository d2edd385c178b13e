//! The interrupt table, and the entry for everything but traps.
//!
//! Each vector has a stub of 16 bytes that pushes its number, and a zero where the CPU pushes no error
//! code. From user mode, all registers go to the current thread's frame, as the trap entry does it. From
//! ring 0 there are three cases: a CPU that idles (the event replaces the idling), a return to user mode
//! that the CPU refused (an exception of the thread), and a bug (panic). What says that the machine is broken is a panic
//! wherever it comes.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::offset_of;

use microkernel::machine::{Frame, Resume};

use super::asm as cpu;
use super::cpu::{FaultStack, USER_CODE, USER_DATA};
use super::entry::SAVED;
use super::exit;
use super::interrupts;
use super::panic;
use super::percpu::{self, FRAME_END, Pause, PerCpu, STACK};
use super::stretch::{self, Cause};

/// Vectors that the CPU raises by itself.
pub(crate) mod vector {
    pub(crate) const DEBUG: u8 = 1;
    pub(crate) const NON_MASKABLE: u8 = 2;
    pub(crate) const BREAKPOINT: u8 = 3;
    pub(crate) const OVERFLOW: u8 = 4;
    pub(crate) const NO_VECTORS: u8 = 7;
    pub(crate) const DOUBLE_FAULT: u8 = 8;
    pub(crate) const STACK_FAULT: u8 = 12;
    pub(crate) const PROTECTION: u8 = 13;
    pub(crate) const PAGE_FAULT: u8 = 14;
    pub(crate) const MACHINE_CHECK: u8 = 18;
    /// How many the CPU raises by itself.
    pub(crate) const EXCEPTIONS: u8 = 32;
}

const STUB: u64 = 16;
const KERNEL_CODE: u64 = 0x08;
/// A present interrupt gate; with it, whether user mode may use it by `int`.
const GATE: u64 = 0x8e << 40;
const USER_GATE: u64 = 0xee << 40;

global_asm!(
    ".section .text.entry, \"ax\"",
    ".balign 16",
    ".type exception_stubs, @function",
    "exception_stubs:",
    ".set n, 0",
    ".rept 256",
    ".balign 16",
    ".if n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30",
    ".else",
    "push 0",
    ".endif",
    "push n",
    "jmp exception_entry",
    ".set n, n + 1",
    ".endr",
    // rsp: vector, error code, rip, cs, rflags, rsp, ss.
    ".type exception_entry, @function",
    "exception_entry:",
    "test byte ptr [rsp + 24], 3",
    "jz 2f",
    "swapgs",
    "push rax",
    "mov rax, gs:[{frame_end}]",
    "sub rax, {saved}",
    "mov [rax], r8",
    "mov [rax + 8], r9",
    "mov [rax + 16], r12",
    "mov [rax + 24], r13",
    "mov [rax + 32], r14",
    "mov [rax + 40], r15",
    "mov [rax + {rdi}], rdi",
    "mov [rax + {rsi}], rsi",
    "mov [rax + {rdx}], rdx",
    "mov [rax + {r10}], r10",
    "mov [rax + {rbx}], rbx",
    "mov [rax + {rbp}], rbp",
    "mov [rax + {rcx}], rcx",
    "mov [rax + {r11}], r11",
    "pop qword ptr [rax + {rax}]",
    "pop rdi",
    "pop rsi",
    "pop qword ptr [rax + {rip}]",
    "add rsp, 8",
    "pop qword ptr [rax + {rflags}]",
    "pop qword ptr [rax + {rsp}]",
    "mov dword ptr [rax + {resume}], {full}",
    "mov rsp, gs:[{stack}]",
    // Direction and alignment-check flag as the compiler and SMAP want them.
    "push 2",
    "popfq",
    "jmp {user}",
    "2:",
    "push r15",
    "push r14",
    "push r13",
    "push r12",
    "push r11",
    "push r10",
    "push r9",
    "push r8",
    "push rbp",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rbx",
    "push rax",
    "mov rdi, rsp",
    "and rsp, -16",
    "cld",
    "call {kernel}",
    // An NMI uses no GS, for it may come when that is the user's. It stops the CPU in a panic, and is
    // nothing otherwise.
    ".type non_maskable_entry, @function",
    "non_maskable_entry:",
    "cmp byte ptr [rip + {stopping}], 0",
    "jne 3f",
    "iretq",
    "3:",
    "cli",
    "hlt",
    "jmp 3b",
    // A debug exception comes in ring 0 only by a watchpoint that the user's `mov ss` met just before a trap, which
    // the CPU tells after it. Whose GS and stack there are is unknown: it is forgotten.
    ".type debug_entry, @function",
    "debug_entry:",
    "test byte ptr [rsp + 8], 3",
    "jz 4f",
    "push 0",
    "push {debug}",
    "jmp exception_entry",
    "4:",
    "push rax",
    "xor eax, eax",
    "mov dr6, rax",
    "pop rax",
    "iretq",
    debug = const vector::DEBUG,
    frame_end = const FRAME_END,
    saved = const SAVED,
    rdi = const offset_of!(Frame, rdi),
    rsi = const offset_of!(Frame, rsi),
    rdx = const offset_of!(Frame, rdx),
    r10 = const offset_of!(Frame, r10),
    rbx = const offset_of!(Frame, rbx),
    rbp = const offset_of!(Frame, rbp),
    rcx = const offset_of!(Frame, rcx),
    r11 = const offset_of!(Frame, r11),
    rax = const offset_of!(Frame, rax),
    rip = const offset_of!(Frame, rip),
    rflags = const offset_of!(Frame, rflags),
    rsp = const offset_of!(Frame, rsp),
    resume = const offset_of!(Frame, resume),
    full = const Resume::Full as u32,
    stack = const STACK,
    user = sym from_user,
    kernel = sym from_kernel,
    stopping = sym panic::STOPPING,
);

unsafe extern "C" {
    fn exception_stubs();
    fn non_maskable_entry();
    fn debug_entry();
}

#[repr(C, align(16))]
struct Table(UnsafeCell<[[u64; 2]; 256]>);

// SAFETY: it is written by the first CPU before it starts others, and read by the hardware afterwards.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([[0; 2]; 256]));

/// Fills the interrupt table. Once, by the first CPU.
///
/// # Safety
/// No CPU uses the table yet.
pub(crate) unsafe fn fill_table() {
    // SAFETY: the contract.
    let table = unsafe { &mut *TABLE.0.get() };
    for (number, gate) in (0u8..=255).zip(table) {
        let stack = match number {
            vector::DEBUG => FaultStack::Debug,
            vector::NON_MASKABLE => FaultStack::NonMaskable,
            vector::DOUBLE_FAULT => FaultStack::DoubleFault,
            vector::MACHINE_CHECK => FaultStack::MachineCheck,
            _ => FaultStack::None,
        };
        let kind = match number {
            vector::BREAKPOINT | vector::OVERFLOW => USER_GATE,
            _ => GATE,
        };
        let entry = match number {
            vector::DEBUG => debug_entry as *const () as u64,
            vector::NON_MASKABLE => non_maskable_entry as *const () as u64,
            _ => exception_stubs as *const () as u64 + u64::from(number) * STUB,
        };
        let low = entry & 0xffff | KERNEL_CODE << 16 | (stack as u64) << 32 | kind;
        *gate = [low | (entry >> 16 & 0xffff) << 48, entry >> 32];
    }
}

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Makes this CPU use the table.
///
/// # Safety
/// It is filled, and the CPU's segments and fault stacks are loaded.
pub(crate) unsafe fn load_table() {
    let pointer = Pointer {
        limit: size_of::<Table>() as u16 - 1,
        base: TABLE.0.get() as u64,
    };
    // SAFETY: the contract; the table is static.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) };
}

extern "C" fn from_user(number: u64, code: u64) -> ! {
    stretch::begin(Cause::Vector(number as u8));
    interrupts::dispatch(percpu::this(), number as u8, code)
}

/// The machine is broken, while this CPU's thread ran.
#[cold]
pub(crate) fn stop(area: &PerCpu, number: u8, code: u64) -> ! {
    // SAFETY: the frame is that of this CPU's thread, which was interrupted.
    let frame = unsafe { &*exit::current(area) };
    panic::stop_at(&Interrupted::in_user_mode(frame, number, code))
}

/// What a CPU was doing when it was interrupted.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "the registers' own names")]
pub(crate) struct Interrupted {
    /// `rax rbx rcx rdx rsi rdi rbp r8` to `r15`.
    pub(crate) registers: [u64; 15],
    number: u64,
    code: u64,
    pub(crate) rip: u64,
    cs: u64,
    pub(crate) rflags: u64,
    pub(crate) rsp: u64,
    ss: u64,
}

impl Interrupted {
    /// A thread whose registers are in its frame.
    fn in_user_mode(frame: &Frame, number: u8, code: u64) -> Self {
        let f = frame;
        let [r8, r9, r12, r13, r14, r15] = f.words;
        Self {
            registers: [
                f.rax, f.rbx, f.rcx, f.rdx, f.rsi, f.rdi, f.rbp, r8, r9, f.r10, f.r11, r12, r13,
                r14, r15,
            ],
            number: number.into(),
            code,
            rip: f.rip,
            cs: USER_CODE.into(),
            rflags: f.rflags,
            rsp: f.rsp,
            ss: USER_DATA.into(),
        }
    }

    /// Whether it was the kernel that was interrupted, and not a thread's own code.
    pub(crate) fn is_in_ring_0(&self) -> bool {
        self.cs & 3 == 0
    }

    /// Whether the processor tells of broken hardware.
    pub(crate) fn is_machine_check(&self) -> bool {
        self.number == vector::MACHINE_CHECK.into()
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number as u8;
        let name = NAMES.get(usize::from(number)).unwrap_or(&"exception");
        write!(f, "{name} ({number}, code {:#x}", self.code)?;
        if number == vector::PAGE_FAULT {
            write!(f, ", address {:#x}", cpu::read_cr2())?;
        }
        f.write_str(match self.is_in_ring_0() {
            true => ") in ring 0",
            false => ") in user mode",
        })
    }
}

/// The exceptions' names (Intel SDM vol. 3, table 6-1).
const NAMES: [&str; 22] = [
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no vector unit",
    "double fault",
    "coprocessor overrun",
    "invalid task state",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "x87 error",
    "alignment check",
    "machine check",
    "vector error",
    "virtualisation exception",
    "control protection fault",
];

/// How a return to user mode was refused.
enum Refused {
    /// Ring 0 still has its own GS base.
    FsBase,
    /// The GS base is the user's.
    Later,
}

extern "C" fn from_kernel(interrupted: &Interrupted) -> ! {
    let number = interrupted.number as u8;
    if number >= vector::EXCEPTIONS {
        let area = percpu::this();
        assert!(
            area.pause.get() != Pause::None,
            "interrupt {number} in ring 0"
        );
        stretch::begin(Cause::Vector(number));
        interrupts::dispatch(area, number, 0);
    }
    if let Some(refused) = refused(number, interrupted.rip) {
        if matches!(refused, Refused::Later) {
            // SAFETY: the instruction that faulted comes after the exit's `swapgs`.
            unsafe { asm!("swapgs", options(nomem, nostack, preserves_flags)) };
        }
        let area = percpu::this();
        exit::refuse(area);
        interrupts::dispatch(area, number, interrupted.code);
    }
    panic::stop_at(interrupted)
}

/// Whether the instruction is one of `exit`'s that take what a thread's state says.
///
/// They are known by their bytes, for the compiler may have made several copies of them.
fn refused(number: u8, rip: u64) -> Option<Refused> {
    if !matches!(number, vector::PROTECTION | vector::STACK_FAULT) || !panic::is_code(rip) {
        return None;
    }
    // SAFETY: the address is in the kernel's code, which is mapped and ends with a few bytes to spare.
    match unsafe { (rip as *const [u8; 5]).read() } {
        // wrfsbase rcx
        [0xf3, 0x48, 0x0f, 0xae, 0xd1] => Some(Refused::FsBase),
        // wrgsbase rcx, iretq
        [0xf3, 0x48, 0x0f, 0xae, 0xd9] | [0x48, 0xcf, ..] => Some(Refused::Later),
        _ => None,
    }
}
