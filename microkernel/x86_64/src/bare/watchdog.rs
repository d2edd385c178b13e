//! The end of a run that takes longer than the command line allows: what every thread is at.
//!
//! The first CPU's timer brings it here. It needs that CPU to take interrupts and the kernel lock to become free:
//! a CPU that is stuck in ring 0 is found from outside, by the emulator.

use core::fmt;
use core::mem::offset_of;

use abi::trace::wait;
use microkernel::kernel::Kernel;
use microkernel::machine::{Cpu, Frame, FrameIndex, Time};
use microkernel::sched::{State, View};

use super::exit::frame_of;
use super::interrupts::number;
use super::kernel::Guarded;
use super::log::{self, Ending, log};
use super::panic::log_events;
use super::{apic, percpu};

/// How many trace records are printed.
const LAST_EVENTS: u64 = 64;
/// How long the other CPUs get to save their threads' registers, in ns.
const PATIENCE: Time = 10_000_000;

/// Tells what all threads do, and ends the run as a failed one.
#[cold]
pub(crate) fn end_run(guarded: &mut Guarded) -> ! {
    let now = guarded.machine.time.now();
    log!(
        "kernel: watchdog: the run takes too long: {} ms",
        now / 1_000_000
    );
    if let Some(kernel) = guarded.kernel() {
        let here = percpu::number();
        for (cpu, _) in kernel.running().filter(|(cpu, _)| *cpu != here) {
            apic::interrupt(cpu, number::KICK);
        }
    }
    // They save their threads' registers, and then wait for the lock, which this CPU does not give up.
    guarded.machine.time.wait(PATIENCE, || false);
    if let Some(kernel) = guarded.kernel() {
        log_state(kernel);
    }
    log!("kernel: watchdog: the run ends");
    log::end(Ending::Hung)
}

fn log_state(kernel: &Kernel) {
    for (Cpu(cpu), thread) in kernel.running() {
        match thread {
            Some(thread) => log!("  cpu {cpu}: thread {}", thread.index()),
            None => log!("  cpu {cpu}: idle"),
        }
    }
    for (view, task) in kernel.threads() {
        let (index, priority) = (view.id.index(), view.priority);
        let rip = read(index, offset_of!(Frame, rip));
        let rsp = read(index, offset_of!(Frame, rsp));
        let doing = Doing(&view);
        log!("  thread {index} {task}: {doing}, priority {priority}, rip {rip:#x}, rsp {rsp:#x}");
    }
    log!("the last events:");
    log_events(kernel, LAST_EVENTS);
}

/// A register of a thread, from its frame.
fn read(thread: FrameIndex, offset: usize) -> u64 {
    let place = frame_of(thread).wrapping_byte_add(offset).cast::<u64>();
    // SAFETY: a thread has a frame from its birth on. While another CPU runs the thread the word may change:
    // it is a plain number, read at once, and only printed.
    unsafe { place.read_volatile() }
}

/// What a thread does, in words.
struct Doing<'a>(&'a View);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.state, self.0.cpu) {
            (State::Running, Some(Cpu(cpu))) => write!(f, "runs on cpu {cpu}")?,
            (State::Running, None) => write!(f, "runs")?,
            (State::Ready, _) => write!(f, "could run")?,
            (State::Held, _) => write!(f, "is held")?,
            (State::Blocked, _) => {
                let code = self.0.wait.code();
                write!(f, "waits for {}", wait::name(code))?;
                if let Some(object) = self.0.wait.object() {
                    write!(f, " ({object})")?;
                }
            }
        }
        match self.0.suspend_count {
            0 => Ok(()),
            count => write!(f, ", suspended {count}"),
        }
    }
}
