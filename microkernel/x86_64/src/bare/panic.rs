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
use super::{apic, asm};

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

/// Why the machine stops.
pub(crate) struct Stop<'a> {
    pub(crate) text: fmt::Arguments<'a>,
    /// The state of ring 0 at the exception, if it was one.
    pub(crate) interrupted: Option<&'a Interrupted>,
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let message = info.message();
    let text = match info.location() {
        Some(at) => &format_args!("{message} at {}:{}", at.file(), at.line()),
        None => &format_args!("{message}"),
    };
    stop(&Stop {
        text: *text,
        interrupted: None,
    })
}

/// Stops all CPUs, says why, and ends the run.
pub(crate) fn stop(stop: &Stop<'_>) -> ! {
    let me = apic::id();
    if STOPPING.swap(true, Ordering::SeqCst) {
        if WHO.load(Ordering::SeqCst) != me {
            // Another CPU is at it, and will end the run.
            asm::halt();
        }
        log!(
            "kernel: another panic while printing this one: {}",
            stop.text
        );
        log::end(Ending::Panicked);
    }
    WHO.store(me, Ordering::SeqCst);
    apic::stop_others();
    log!("kernel panic: {}", stop.text);
    let mut from = asm::stack_pointer();
    let mut number = 0;
    if let Some(interrupted) = stop.interrupted {
        for (names, values) in NAMES.chunks(5).zip(interrupted.registers.chunks(5)) {
            for (name, value) in names.iter().zip(values) {
                log!("  {name:<4}{value:#018x}");
            }
        }
        log!(
            "  rip {:#018x}  rsp {:#018x}",
            interrupted.rip,
            interrupted.rsp
        );
        log!(
            "  rflags {:#x}  cr3 {:#x}",
            interrupted.rflags,
            asm::read_cr3()
        );
        log!("#0 {:#018x}", interrupted.rip);
        number = 1;
        from = interrupted.rsp;
    }
    trace_stack(from, number);
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
