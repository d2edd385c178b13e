//! The ways out of ring 0: to a thread by `sysretq` or `iretq`, or into idling.
//!
//! [`run`] is the hot one: after a trap, with nothing to attend to. What the fast way leaves out is found
//! by one test, of the thread's `resume` and `machine_flags` and the CPU's attention bits together.
//!
//! FS and GS base and the root are written when the CPU goes to another thread than the one that trapped. What user code
//! writes into a base by itself (`wrfsbase`) is not kept: it lasts until another thread runs. Everything but the hot way
//! leaves by `iretq`.

use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use abi::thread_state::{FIXED_FLAGS, USER_FLAGS};
use abi::vm::MAX_ADDRESS;
use ksync::Guard;
use microkernel::machine::{Delivery, Event, Frame, FrameIndex, Next, Resume};
use microkernel_x86_64::layout::THREAD_SIZE;

use super::asm::{self, msr};
use super::cpu::{USER_CODE, USER_DATA};
use super::entry::SAVED;
use super::kernel::{Guarded, KERNEL};
use super::lock;
use super::memory::MEMORY;
use super::percpu::{self, ATTENTION, FIRST_END, FRAME_END, Pause, PerCpu, ROOT, STACK, attention};
use super::stretch::{self, Cause};
use super::{debug, interrupts, shootdown, vector};

const RESUME: usize = offset_of!(Frame, resume);
// One load reads both.
const _: () = assert!(RESUME + 4 == offset_of!(Frame, machine_flags) && RESUME.is_multiple_of(8));
const _: () = assert!(Resume::Trap as u32 == 0);

/// A thread's frame.
///
/// Its address is not computed from a constant: with that in sight the compiler adds each field's offset to it
/// first, and loads 64 bits for each access.
#[inline(always)]
pub(crate) fn frame_of(thread: FrameIndex) -> *mut Frame {
    ending_at(end_of(thread))
}

/// The frame in which what the trap entry saves ends there.
#[inline(always)]
fn ending_at(end: u64) -> *mut Frame {
    end.wrapping_sub(SAVED as u64) as *mut Frame
}

/// Where what the trap entry saves ends in a thread's frame.
#[inline(always)]
fn end_of(thread: FrameIndex) -> u64 {
    let mut end = u64::from(thread) * THREAD_SIZE;
    // SAFETY: GS is this CPU's area, which holds where thread 0's ends: a constant of 64 bits takes two instructions.
    // It never changes, so that reading it counts as no access to memory.
    unsafe {
        asm!("add {end}, gs:[{first}]", end = inout(reg) end, first = const FIRST_END,
            options(pure, nomem, nostack));
    }
    end
}

const _: () = assert!(THREAD_SIZE.is_power_of_two());

/// A field's distance from there.
const fn from_end(offset: usize) -> isize {
    offset as isize - SAVED as isize
}

/// Whether there is nothing to attend to: else, goes the long way.
macro_rules! attend {
    ($end:expr, $slow:expr) => {
        // SAFETY: the thread is this CPU's from now on, so its frame is there.
        unsafe {
            asm!(
                "mov {word}, [{end} + {resume}]",
                "or {word}, gs:[{attention}]",
                "jnz {slow}",
                word = out(reg) _,
                end = in(reg) $end,
                resume = const from_end(RESUME),
                attention = const ATTENTION,
                slow = label { $slow },
                options(nostack, readonly),
            );
        }
    };
}

/// Returns to user mode with a frame's registers. `$first` comes before all else; `$registers` loads what is not in registers already, all but those after
/// `own`, and points the stack there. Fields are reached from the end of what the trap entry saves, which is what the
/// CPU's area holds; `$end` is in `r11`.
///
/// The thread is another one than the one that trapped (`other`), which makes it the current one, or the same (`same`):
/// then bases and root are those that the CPU has.
macro_rules! return_from_trap {
    (other, $end:expr, [$($first:expr),*], [$($registers:expr),*], $($operand:tt)*) => {
        return_from_trap!($end,
            [
                $($first,)*
                "mov gs:[{frame_end}], r11",
                "mov rcx, [r11 + {root_field}]",
                "cmp rcx, gs:[{root}]",
                "je 2f",
                "mov gs:[{root}], rcx",
                "mov cr3, rcx",
                "2:",
                "mov rcx, [r11 + {fs}]",
                "wrfsbase rcx",
                "mov rcx, [r11 + {gs}]",
                "swapgs",
                "wrgsbase rcx",
                $($registers),*
            ],
            $($operand)*
            frame_end = const FRAME_END,
            root_field = const from_end(offset_of!(Frame, root)),
            root = const ROOT,
            fs = const from_end(offset_of!(Frame, fs_base)),
            gs = const from_end(offset_of!(Frame, gs_base)),
        )
    };
    (other, $end:expr, [$($registers:expr),*], $($operand:tt)*) => {
        return_from_trap!(other, $end, [], [$($registers),*], $($operand)*)
    };
    (same, $end:expr, [$($registers:expr),*], $($operand:tt)*) => {
        return_from_trap!($end, ["swapgs", $($registers),*], $($operand)*)
    };
    ($end:expr, [$($line:expr),*], $($operand:tt)*) => {
        // SAFETY: the frame is that of a thread that runs, so it has a root whose upper half is the
        // kernel's; its registers were filled by the trap entry or by the kernel. A base that the CPU
        // does not take faults, which `exceptions` turns into an exception of the thread.
        unsafe {
            asm!(
                $($line,)*
                "pop rbx",
                "pop rbp",
                "pop r11",
                "pop rcx",
                "pop rsp",
                "sysretq",
                in("r11") $end,
                $($operand)*
                options(noreturn),
            )
        }
    };
}

/// As `return_from_trap`, with every register from the frame.
macro_rules! return_with_frame {
    ($whose:tt, $end:expr) => {
        return_from_trap!($whose, $end,
            [
                "lea rsp, [r11 + {words}]",
                "mov rdi, [r11 + {rdi}]",
                "mov rsi, [r11 + {rsi}]",
                "mov rdx, [r11 + {rdx}]",
                "mov rax, [r11 + {rax}]",
                "pop r8",
                "pop r9",
                "pop r12",
                "pop r13",
                "pop r14",
                "pop r15",
                "pop r10"
            ],
            words = const from_end(0),
            rdi = const from_end(offset_of!(Frame, rdi)),
            rsi = const from_end(offset_of!(Frame, rsi)),
            rdx = const from_end(offset_of!(Frame, rdx)),
            rax = const from_end(offset_of!(Frame, rax)),
        )
    };
}

/// Releases the kernel and runs a thread.
#[inline(always)]
pub(crate) fn run(kernel: Guard<'_, Guarded>, thread: FrameIndex) -> ! {
    let end = end_of(thread);
    attend!(end, run_slowly(kernel, thread));
    lock::release(kernel);
    stretch::end();
    return_with_frame!(other, end)
}

/// As [`run`] after a trap: the thread may be the one that trapped, for which the CPU has all but the registers.
#[inline(always)]
pub(crate) fn run_after_trap(kernel: Guard<'_, Guarded>, thread: FrameIndex) -> ! {
    let end = end_of(thread);
    attend!(end, run_slowly(kernel, thread));
    lock::release(kernel);
    stretch::end();
    // SAFETY: GS is this CPU's area.
    unsafe {
        asm!(
            "cmp {end}, gs:[{frame_end}]",
            "jne {other}",
            end = in(reg) end,
            frame_end = const FRAME_END,
            other = label { return_with_frame!(other, end) },
            options(nostack, readonly),
        );
    }
    return_with_frame!(same, end)
}

/// Releases the kernel and runs the thread that a message was delivered to, with the payload words of the
/// one that ran until now.
#[inline(always)]
pub(crate) fn pass(kernel: Guard<'_, Guarded>, delivery: Delivery) -> ! {
    let end = end_of(delivery.thread);
    attend!(
        end,
        pass_slowly(
            kernel,
            delivery.thread,
            delivery.word,
            delivery.label,
            delivery.reply,
            delivery.identity,
        )
    );
    // SAFETY: the thread is this CPU's from now on.
    delivery.note(unsafe { &mut *ending_at(end) });
    stretch::end();
    lock::keep(kernel);
    // The words are loaded before the lock is released: afterwards another CPU may run the thread that trapped, and write
    // its frame. They are loaded here, for registers that the compiler fills are registers that it saves before.
    return_from_trap!(other, end,
        [
            "mov rax, gs:[{frame_end}]",
            "mov r8, [rax + {words}]",
            "mov r9, [rax + {words} + 8]",
            "mov r12, [rax + {words} + 16]",
            "mov r13, [rax + {words} + 24]",
            "mov r14, [rax + {words} + 32]",
            "mov r15, [rax + {words} + 40]",
            lock::unlock!(),
            "xor eax, eax"
        ],
        ["lea rsp, [r11 + {own}]"],
        in("rdi") delivery.word,
        in("rsi") delivery.label,
        in("rdx") delivery.reply,
        in("r10") delivery.identity,
        words = const from_end(offset_of!(Frame, words)),
        lock = sym KERNEL,
        word = const lock::WORD,
        own = const from_end(offset_of!(Frame, rbx)),
    )
}

/// [`pass`] with something to attend to. It takes the delivery apart: as a whole it would be written to memory for
/// this call each time, also when nothing comes of it.
#[cold]
#[inline(never)]
fn pass_slowly(
    kernel: Guard<'_, Guarded>,
    thread: FrameIndex,
    word: u64,
    label: u64,
    reply: u64,
    identity: u64,
) -> ! {
    let delivery = Delivery {
        thread,
        word,
        label,
        reply,
        identity,
    };
    let (from, to) = (current(percpu::this()), frame_of(delivery.thread));
    // SAFETY: the frame is that of the thread that trapped on this CPU, and the lock is held.
    let words = unsafe { (*from).words };
    // SAFETY: the thread is this CPU's from now on.
    let to = unsafe { &mut *to };
    to.words = words;
    delivery.write(to);
    run_slowly(kernel, delivery.thread)
}

/// [`run`] with something to attend to.
#[cold]
#[inline(never)]
pub(crate) fn run_slowly(kernel: Guard<'_, Guarded>, thread: FrameIndex) -> ! {
    let area = percpu::this();
    let frame = frame_of(thread);
    // SAFETY: the thread is this CPU's from now on.
    let registers = unsafe { &*frame };
    let root = registers.root;
    let reasons = area.attention.get();
    if reasons | u64::from(registers.machine_flags) != 0 {
        // Under the lock: afterwards another CPU may run the thread whose state the registers hold.
        vector::switch(area, Some(thread));
        debug::switch(area, Some(thread));
    }
    lock::release(kernel);
    // First, for the old root may be among what is freed.
    switch_root(area, root);
    if reasons & attention::FLUSH != 0 {
        shootdown::complete(area);
    }
    enter(area, frame)
}

/// Releases the kernel and does what it said.
pub(crate) fn leave(kernel: Guard<'_, Guarded>, next: Next) -> ! {
    match next {
        Next::Run(thread) => run(kernel, thread),
        // Only the fast path passes, and `entry` asks for it by itself.
        Next::Pass(_) => unreachable!("a message passed on the general way"),
        Next::Idle => idle(kernel),
        Next::Continue => work(kernel),
    }
}

/// Goes on with this CPU's current thread, without having asked the kernel.
pub(crate) fn resume(area: &'static PerCpu) -> ! {
    let frame = current(area);
    // SAFETY: the frame is that of this CPU's thread.
    let root = unsafe { (*frame).root };
    switch_root(area, root);
    enter(area, frame)
}

/// The frame of this CPU's current thread.
pub(crate) fn current(area: &PerCpu) -> *mut Frame {
    area.frame_end.get().wrapping_sub(SAVED as u64) as *mut Frame
}

/// The frame of the thread that trapped on this CPU.
#[inline(always)]
pub(crate) fn trapped() -> *mut Frame {
    let end: u64;
    // SAFETY: GS is this CPU's area.
    unsafe {
        asm!("mov {}, gs:[{frame_end}]", out(reg) end, frame_end = const FRAME_END,
            options(nostack, preserves_flags, readonly));
    }
    ending_at(end)
}

/// The CPU refused the current thread's state: no short way back with it.
pub(crate) fn refuse(area: &PerCpu) {
    // SAFETY: the frame is that of this CPU's thread.
    unsafe { (*current(area)).resume = Resume::Full };
}

/// Releases the kernel and waits for an interrupt, which does not return here.
#[cold]
#[inline(never)]
pub(crate) fn idle(kernel: Guard<'_, Guarded>) -> ! {
    let area = percpu::this();
    release(area, kernel);
    wait(area)
}

/// Releases the kernel, with no thread on this CPU: nothing of one stays in its registers, and the root
/// is the kernel's own, for that of a thread may be destroyed from now on.
fn release(area: &PerCpu, kernel: Guard<'_, Guarded>) {
    vector::switch(area, None);
    debug::switch(area, None);
    lock::release(kernel);
    switch_root(area, MEMORY.lock().root());
    shootdown::complete(area);
}

/// Waits for an interrupt. The CPU has no thread.
pub(crate) fn wait(area: &'static PerCpu) -> ! {
    area.pause.set(Pause::Idle);
    stretch::end();
    // SAFETY: nothing on this stack is needed any more. Interrupts are let in with the instruction
    // after `sti`, so one that came since the lock was released ends the `hlt` at once.
    unsafe {
        asm!(
            "mov rsp, gs:[{stack}]",
            "2:",
            "sti",
            "hlt",
            "cli",
            "jmp 2b",
            stack = const STACK,
            options(noreturn),
        )
    }
}

/// Releases the kernel, takes what interrupts are pending, and asks the kernel to go on.
#[cold]
#[inline(never)]
pub(crate) fn work(kernel: Guard<'_, Guarded>) -> ! {
    let area = percpu::this();
    release(area, kernel);
    area.pause.set(Pause::Work);
    stretch::end();
    // SAFETY: nothing on this stack is needed any more, and an interrupt does not return here. The
    // instruction after `sti` is still shielded, the one after it is not.
    unsafe {
        asm!(
            "mov rsp, gs:[{stack}]",
            "sti",
            "nop",
            "nop",
            "cli",
            "jmp {go_on}",
            stack = const STACK,
            go_on = sym go_on,
            options(noreturn),
        )
    }
}

extern "C" fn go_on() -> ! {
    let area = percpu::this();
    area.pause.set(Pause::None);
    stretch::begin(Cause::Step);
    interrupts::ask(area, Event::Continue)
}

fn switch_root(area: &PerCpu, root: u64) {
    if area.root.load(Ordering::Relaxed) != root {
        // Before the tables are used: whoever flushes after this sees it.
        area.root.store(root, Ordering::SeqCst);
        // SAFETY: every root's upper half is the kernel's.
        unsafe { asm::write_cr3(root) };
    }
}

/// Runs this CPU's thread, whatever its frame asks for, in the address space that the CPU is in.
fn enter(area: &'static PerCpu, frame: *mut Frame) -> ! {
    // SAFETY: the thread is this CPU's, so nobody else uses its frame.
    let registers = unsafe { &mut *frame };
    area.frame_end.set(frame as u64 + SAVED as u64);
    registers.rflags = registers.rflags & USER_FLAGS | FIXED_FLAGS;
    // From here on the thread is in user mode: a trap leaves this as it is, an interrupt changes it.
    registers.resume = Resume::Trap;
    let fast_bases = area.attention.get() & attention::NO_FSGSBASE == 0;
    if fast_bases {
        // SAFETY: as in `run`.
        unsafe {
            asm!("wrfsbase rcx", in("rcx") registers.fs_base, options(nostack, preserves_flags))
        };
    } else {
        let canonical = |base: u64| if base < MAX_ADDRESS { base } else { 0 };
        // SAFETY: a canonical address of the lower half is any user's to have.
        unsafe { asm::write_msr(msr::FS_BASE, canonical(registers.fs_base)) };
        // SAFETY: as above; `swapgs` makes it the user's.
        unsafe { asm::write_msr(msr::KERNEL_GS_BASE, canonical(registers.gs_base)) };
    }
    stretch::end();
    // SAFETY: the frame is complete, and this CPU's thread's.
    unsafe { restore(frame, u64::from(fast_bases)) }
}

/// Loads every register and returns to user mode by `iretq`, which takes any state: an address that is
/// not canonical faults, which `exceptions` turns into an exception of the thread.
///
/// # Safety
/// The frame is that of the thread that this CPU runs. `gs`: 1 when the GS base is still to be written.
#[unsafe(naked)]
unsafe extern "C" fn restore(frame: *mut Frame, gs: u64) -> ! {
    naked_asm!(
        "push {user_data}",
        "push qword ptr [rdi + {rsp}]",
        "push qword ptr [rdi + {rflags}]",
        "push {user_code}",
        "push qword ptr [rdi + {rip}]",
        "mov rcx, [rdi + {gs}]",
        "swapgs",
        "test esi, esi",
        "jz 2f",
        "wrgsbase rcx",
        "2:",
        "mov r8, [rdi]",
        "mov r9, [rdi + 8]",
        "mov r12, [rdi + 16]",
        "mov r13, [rdi + 24]",
        "mov r14, [rdi + 32]",
        "mov r15, [rdi + 40]",
        "mov rsi, [rdi + {rsi}]",
        "mov rdx, [rdi + {rdx}]",
        "mov r10, [rdi + {r10}]",
        "mov rax, [rdi + {rax}]",
        "mov rbx, [rdi + {rbx}]",
        "mov rbp, [rdi + {rbp}]",
        "mov rcx, [rdi + {rcx}]",
        "mov r11, [rdi + {r11}]",
        "mov rdi, [rdi + {rdi}]",
        "iretq",
        user_data = const USER_DATA,
        user_code = const USER_CODE,
        rsp = const offset_of!(Frame, rsp),
        rflags = const offset_of!(Frame, rflags),
        rip = const offset_of!(Frame, rip),
        gs = const offset_of!(Frame, gs_base),
        rsi = const offset_of!(Frame, rsi),
        rdx = const offset_of!(Frame, rdx),
        r10 = const offset_of!(Frame, r10),
        rax = const offset_of!(Frame, rax),
        rbx = const offset_of!(Frame, rbx),
        rbp = const offset_of!(Frame, rbp),
        rcx = const offset_of!(Frame, rcx),
        r11 = const offset_of!(Frame, r11),
        rdi = const offset_of!(Frame, rdi),
    )
}
