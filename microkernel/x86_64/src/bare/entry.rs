//! The trap entry: from `syscall` to [`Kernel::handle`](microkernel::kernel::Kernel::handle).
//!
//! Registers are pushed straight into the current thread's frame, whose end lies in the CPU's area. `rcx` and
//! `r11`, which `syscall` fills, are the thread's `rip` and flags. What says what a `mach_msg` is stays in registers,
//! and goes to memory only when the message cannot be passed on at once: each of the usual kinds, a short
//! call and a short reply first, has a function of its own, so that the compiler needs few registers for it.
//!
//! Interrupts are off (`SFMASK`), and an NMI has its own stack and does not use GS, so that the first
//! instructions may run on the user's stack and GS.

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use abi::names::Name;
use abi::registers::Shape;
use abi::trap::MACH_MSG;
use ksync::Guard;
use microkernel::base::ids::PortId;
use microkernel::ipc::fast::{Passed, Refused};
use microkernel::ipc::letter;
use microkernel::machine::{Direct, Event, Frame, Next, Request};

use super::exit;
use super::kernel::Guarded;
use super::lock;
use super::percpu::{self, FRAME_END, SCRATCH, STACK};
use super::stretch::{self, Cause};

/// Where the registers that the trap entry saves end in a frame.
pub(crate) const SAVED: usize = offset_of!(Frame, rsp) + 8;

// The order of the pushes below and of the pops in `exit`.
const _: () = {
    assert!(SAVED == 12 * 8);
    assert!(offset_of!(Frame, rip) == 10 * 8);
    assert!(offset_of!(Frame, rflags) == 9 * 8);
    assert!(offset_of!(Frame, rbp) == 8 * 8);
    assert!(offset_of!(Frame, rbx) == 7 * 8);
    assert!(offset_of!(Frame, r10) == 6 * 8);
    assert!(offset_of!(Frame, words) == 0);
    // What the trap entry compares with, in one instruction each.
    assert!(Direct::CALL <= i32::MAX as u32);
    assert!(Direct::REPLY <= i32::MAX as u32);
    assert!(Direct::SEND <= i32::MAX as u32);
    assert!(Direct::EXCHANGE <= i32::MAX as u32);
};

/// Where `syscall` goes.
///
/// # Safety
/// Only the hardware calls it.
#[unsafe(naked)]
#[unsafe(link_section = ".text.entry")]
pub(crate) unsafe extern "C" fn trap() -> ! {
    naked_asm!(
        "swapgs",
        "mov gs:[{scratch}], rsp",
        "mov rsp, gs:[{frame_end}]",
        "push qword ptr gs:[{scratch}]",
        "push rcx",
        "push r11",
        "push rbp",
        "push rbx",
        "push r10",
        "push r15",
        "push r14",
        "push r13",
        "push r12",
        "push r9",
        "push r8",
        "cmp rax, {mach_msg}",
        "jne 2f",
        "mov rsp, gs:[{stack}]",
        "cmp rdi, {call}",
        "je {call_handler}",
        "cmp rdi, {reply}",
        "je {reply_handler}",
        "cmp edi, {call}",
        "je {letter_call_handler}",
        "cmp edi, {reply}",
        "je {letter_reply_handler}",
        "cmp rdi, {send}",
        "je {send_handler}",
        "cmp rdi, {exchange}",
        "je {exchange_handler}",
        "jmp {ask_handler}",
        "2:",
        "mov [rsp + {rdi}], rdi",
        "mov [rsp + {rsi}], rsi",
        "mov [rsp + {rdx}], rdx",
        "mov [rsp + {rax}], rax",
        "mov rsp, gs:[{stack}]",
        "jmp {other_handler}",
        scratch = const SCRATCH,
        frame_end = const FRAME_END,
        stack = const STACK,
        mach_msg = const MACH_MSG,
        call = const Direct::CALL,
        reply = const Direct::REPLY,
        send = const Direct::SEND,
        exchange = const Direct::EXCHANGE,
        rdi = const offset_of!(Frame, rdi),
        rsi = const offset_of!(Frame, rsi),
        rdx = const offset_of!(Frame, rdx),
        rax = const offset_of!(Frame, rax),
        call_handler = sym call,
        reply_handler = sym reply,
        send_handler = sym send,
        exchange_handler = sym exchange,
        letter_call_handler = sym letter_call,
        letter_reply_handler = sym letter_reply,
        ask_handler = sym ask,
        other_handler = sym other,
    )
}

extern "C" fn call(_: u64, names: u64, receive: u64) -> ! {
    let word = Direct::CALL.into();
    pass((Direct::Call, Shape::SHORT), (word, names, receive))
}

extern "C" fn reply(_: u64, names: u64, receive: u64) -> ! {
    let word = Direct::REPLY.into();
    if names != SLOT {
        ask(word, names, receive);
    }
    pass((Direct::Reply, Shape::SHORT), (word, SLOT, receive))
}

/// The names of a reply through the slot, and the only ones of a reply that the fast path takes.
const SLOT: u64 = Name::REPLY_SLOT.0 as u64;

extern "C" fn send(word: u64, names: u64, receive: u64) -> ! {
    // Its sender runs again later, with the registers that it has now.
    // SAFETY: the frame is that of the thread that trapped on this CPU.
    let frame = unsafe { &mut *exit::trapped() };
    frame.rdi = word;
    frame.rsi = names;
    frame.rdx = receive;
    pass((Direct::Send, Shape::SHORT), (word, names, receive))
}

extern "C" fn exchange(word: u64, names: u64, receive: u64) -> ! {
    pass((Direct::Exchange, Shape::SHORT), (word, names, receive))
}

extern "C" fn letter_call(word: u64, names: u64, receive: u64) -> ! {
    letter(Direct::Call, (word, names, receive))
}

extern "C" fn letter_reply(word: u64, names: u64, receive: u64) -> ! {
    letter(Direct::Reply, (word, names, receive))
}

/// As `pass`, of a message that is not short.
#[inline(always)]
fn letter(direct: Direct, (word, names, receive): (u64, u64, u64)) -> ! {
    let size = beside_buffered(word);
    if size > letter::ROOM {
        if size == Shape(size).size() {
            long_letter(direct, word, names, receive)
        }
        if Shape(size).descriptors() == 1 {
            letter_with_right(direct, word, names, receive)
        }
        ask(word, names, receive)
    }
    pass((direct, Shape::buffered(size, 0)), (word, names, receive))
}

/// The shape in a message's word without the bit that says that the message lies in the buffer: the size of its data, if
/// that is all. Whatever else there is makes it larger than a page, so that one comparison tells.
///
/// In assembly, since the compiler would follow its bits back to the word, and not find again what it was compared with.
#[inline(always)]
fn beside_buffered(word: u64) -> u32 {
    let rest: u32;
    // SAFETY: registers alone.
    unsafe {
        asm!("mov {rest:r}, {word}", "shr {rest:r}, 32", "btc {rest:e}, 31",
            word = in(reg) word, rest = out(reg) rest, options(pure, nomem, nostack));
    }
    rest
}

/// Data of more than a page: apart, so that what passes less is compiled without.
#[inline(never)]
fn long_letter(direct: Direct, word: u64, names: u64, receive: u64) -> ! {
    let shape = Shape((word >> 32) as u32);
    pass((direct, shape), (word, names, receive))
}

/// A `mach_msg` of the given kind: by the fast path, if that takes it.
#[inline(always)]
fn pass((direct, shape): (Direct, Shape), (word, names, receive): (u64, u64, u64)) -> ! {
    stretch::begin(Cause::Message((receive >> 32) as u32));
    let mut kernel = lock::take();
    let request = Request {
        direct,
        shape,
        names,
        receive,
    };
    let passed = kernel.pass(percpu::number(), request);
    go_on(kernel, passed, (shape, word, names, receive))
}

/// One right, whatever the data. It asks as `pass` does, and not through it: a function that is handed over is not compiled
/// into its caller, and a short call would not be straight code any more.
#[inline(never)]
fn letter_with_right(direct: Direct, word: u64, names: u64, receive: u64) -> ! {
    stretch::begin(Cause::Message((receive >> 32) as u32));
    let mut kernel = lock::take();
    let shape = Shape((word >> 32) as u32);
    let request = Request {
        direct,
        shape,
        names,
        receive,
    };
    let passed = kernel.pass_with_right(percpu::number(), request);
    go_on(kernel, passed, (shape, word, names, receive))
}

/// Goes where the fast path says.
#[inline(always)]
fn go_on(
    kernel: Guard<'_, Guarded>,
    passed: Result<Passed, Refused>,
    (shape, word, names, receive): (Shape, u64, u64, u64),
) -> ! {
    match passed {
        Ok(Passed::Message(delivery)) => exit::pass(kernel, delivery),
        Ok(Passed::Resumed(thread)) => exit::run_slowly(kernel, thread),
        Err(Refused::ToKernel(port)) if shape == Shape::SHORT => {
            call_object(names, receive, kernel, port)
        }
        Err(_) => general(word, names, receive, kernel),
    }
}

/// A `mach_msg` that the fast path never takes.
#[inline(never)]
extern "C" fn ask(word: u64, names: u64, receive: u64) -> ! {
    stretch::begin(Cause::Message((receive >> 32) as u32));
    general(word, names, receive, lock::take())
}

/// A short call to a kernel object.
#[inline(never)]
fn call_object(names: u64, receive: u64, mut kernel: Guard<'_, Guarded>, port: PortId) -> ! {
    store((Direct::CALL.into(), names, receive));
    let next = kernel.call(percpu::number(), port);
    leave(kernel, next)
}

/// Any other `mach_msg` by the general way.
#[inline(never)]
fn general(word: u64, names: u64, receive: u64, mut kernel: Guard<'_, Guarded>) -> ! {
    store((word, names, receive));
    let next = kernel.handle(percpu::number(), Event::Trap);
    leave(kernel, next)
}

/// The general way wants all registers in the frame.
#[inline(always)]
fn store((word, names, receive): (u64, u64, u64)) {
    // SAFETY: the frame is that of the thread that trapped on this CPU.
    let frame = unsafe { &mut *exit::trapped() };
    frame.rax = MACH_MSG as u64;
    frame.rdi = word;
    frame.rsi = names;
    frame.rdx = receive;
}

/// Any other trap: asks the kernel, and leaves.
extern "C" fn other() -> ! {
    stretch::begin(Cause::Trap);
    let mut kernel = lock::take();
    match kernel.null_trap(percpu::number()) {
        Some(next) => leave(kernel, next),
        None => one_of_many(kernel),
    }
}

/// Any other trap but the null trap.
#[inline(never)]
fn one_of_many(mut kernel: Guard<'_, Guarded>) -> ! {
    let next = kernel.trap(percpu::number());
    leave(kernel, next)
}

/// Leaves after a trap: the short way back, most of the time.
#[inline(always)]
fn leave(kernel: Guard<'_, Guarded>, next: Next) -> ! {
    match next {
        Next::Run(thread) => exit::run_after_trap(kernel, thread),
        next => exit::leave(kernel, next),
    }
}
