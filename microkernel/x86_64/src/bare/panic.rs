//! The end of a run that went wrong: what happened, where, and what came before.
//!
//! Written for xtask to read: each return address stands on a line `#n 0x…`, which the host turns into a
//! function and a line with the kernel's ELF file. No lock is taken and no CPU area used, for either may
//! be what broke.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::trace::Kind;
use microkernel::kernel::Kernel;
use microkernel_x86_64::backtrace::follows_call;

use super::exceptions::Interrupted;
use super::kernel::KERNEL;
use super::log::{self, Ending, log};
use super::memory::stack_around;
use super::start::{text_end, text_start};
use super::{apic, asm, machine_check};

/// Set when the machine stops: an NMI then halts its CPU.
pub(crate) static STOPPING: AtomicBool = AtomicBool::new(false);

/// The local APIC's id of the CPU that panicked first.
static WHO: AtomicU32 = AtomicU32::new(u32::MAX);

/// How many trace records are printed.
const LAST_EVENTS: u64 = 24;
/// The most return addresses that are printed.
const DEPTH: usize = 48;
const NAMES: [&str; 15] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let message = info.message();
    let text = match info.location() {
        Some(at) => &format_args!("{message} at {}:{}", at.file(), at.line()),
        None => &format_args!("{message}"),
    };
    begin(*text);
    trace_stack(asm::stack_pointer(), 0);
    end()
}

/// Stops all CPUs after an exception that nothing is done about, says what it found, and ends the run.
pub(crate) fn stop_at(interrupted: &Interrupted) -> ! {
    begin(format_args!("{interrupted}"));
    for (name, value) in NAMES.iter().zip(interrupted.registers) {
        log!("  {name:<4}{value:#018x}");
    }
    let Interrupted {
        rip, rsp, rflags, ..
    } = interrupted;
    log!("  rip {rip:#018x}  rsp {rsp:#018x}");
    log!("  rflags {rflags:#x}  cr3 {:#x}", asm::read_cr3());
    if interrupted.is_machine_check() {
        machine_check::report();
    }
    // A thread's own code has no names here, and its stack may be anything.
    if interrupted.is_in_ring_0() {
        log!("#0 {rip:#018x}");
        trace_stack(*rsp, 1);
    }
    end()
}

/// Stops all other CPUs, and says why. Does not return when another CPU, or this one, is at it.
fn begin(text: fmt::Arguments<'_>) {
    let me = apic::id();
    if STOPPING.swap(true, Ordering::SeqCst) {
        if WHO.load(Ordering::SeqCst) != me {
            // Another CPU is at it, and will end the run.
            asm::halt();
        }
        log!("kernel: another panic while printing this one: {text}");
        log::end(Ending::Panicked);
    }
    WHO.store(me, Ordering::SeqCst);
    apic::stop_others();
    log!("kernel panic: {text}");
}

/// Says what came before, and ends the run.
fn end() -> ! {
    log_last_events();
    log::end(Ending::Panicked)
}

/// Prints what looks like return addresses, from a stack pointer on.
fn trace_stack(from: u64, mut number: usize) {
    let Some(stack) = stack_around(from) else {
        log!("kernel: no stack at {from:#x}");
        return;
    };
    if from < stack.start {
        log!("kernel: the stack overflowed");
    }
    let start = from.max(stack.start).next_multiple_of(8);
    let mut last = 0;
    for address in (start..stack.end).step_by(8) {
        // SAFETY: the word lies in a stack that is mapped whole.
        let word = unsafe { (address as *const u64).read_volatile() };
        // A function that calls itself is told once.
        if word != last && is_return_address(word) {
            last = word;
            log!("#{number} {word:#018x}");
            number += 1;
            if number == DEPTH {
                return;
            }
        }
    }
}

/// Whether an address, and the few bytes after it, are kernel code.
pub(crate) fn is_code(address: u64) -> bool {
    (text_start()..text_end().saturating_sub(8)).contains(&address)
}

fn is_return_address(word: u64) -> bool {
    if !is_code(word) || word < text_start() + 8 {
        return false;
    }
    // SAFETY: the bytes before an address in the code, at least 8 behind its start, are code.
    let before = unsafe { ((word - 8) as *const [u8; 8]).read() };
    follows_call(&before)
}

/// Prints the newest records of the trace ring.
fn log_last_events() {
    // SAFETY: all other CPUs are stopped, and this one does not go on. One of them may have been inside
    // the kernel: what is read is plain numbers, whose content is only printed.
    let guarded = unsafe { &*KERNEL.as_ptr() };
    if let Some(kernel) = guarded.kernel() {
        log_events(kernel, LAST_EVENTS);
    }
}

/// Prints the newest `count` records of the trace ring.
pub(crate) fn log_events(kernel: &Kernel, count: u64) {
    let trace = kernel.trace();
    let next = trace.next_sequence();
    for sequence in next.saturating_sub(count)..next {
        let Some(record) = trace.get(sequence) else {
            continue;
        };
        let (time, cpu, thread) = (record.time, record.cpu, record.thread);
        match Kind::from_byte(record.kind) {
            Some(kind) => log!(
                "  {time} ns cpu {cpu} thread {thread} {kind:?} {:#x} {:#x}",
                record.a,
                record.b
            ),
            None => log!("  {time} ns: record of an unknown kind"),
        }
    }
}
