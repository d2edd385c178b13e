//! Faults and other exceptions: the handler is asked, or the task ends.

use abi::exception;
use abi::kern_return::KernReturn;
use abi::trace::Kind as TraceKind;

use super::Kernel;
use super::paging::Pause;
use crate::base::ids::{TaskId, ThreadId};
use crate::ipc::fast::Hands;
use crate::machine::{Access, Cpu, Event, FrameIndex, Machine, Next};
use crate::sched::Flags;
use crate::task::{Exception, Raised};
use crate::vm::{self, FaultOutcome};

impl Kernel {
    #[inline(always)]
    fn count_copied(&mut self, task: TaskId) {
        self.counters.copied = self.counters.copied.wrapping_add(1);
        if let Some(task) = self.tasks.arena.get_mut(task) {
            task.events.copied = task.events.copied.wrapping_add(1);
        }
    }

    pub(super) fn fault<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        thread: ThreadId,
        (address, access): (u64, Access),
    ) {
        self.counters.faults += 1;
        let what = (address, access as u64);
        self.sched.note(machine, cpu, TraceKind::Fault, what);
        let Some(task) = self.sched.threads.get(thread).map(|thread| thread.task) else {
            return;
        };
        let Some(record) = self.tasks.arena.get_mut(task) else {
            return;
        };
        record.events.faults = record.events.faults.wrapping_add(1);
        let map = record.map;
        let mut context = vm::Context {
            machine,
            ledgers: &mut self.ledgers,
        };
        let outcome: Result<FaultOutcome, KernReturn> =
            self.vm.fault(&mut context, map, address, access);
        let failed = match outcome {
            Ok(outcome) => {
                match outcome {
                    FaultOutcome::Mapped => {}
                    FaultOutcome::ZeroFilled => {
                        let filled = self.counters.zero_filled;
                        self.counters.zero_filled = filled.wrapping_add(1);
                    }
                    FaultOutcome::Copied => self.count_copied(task),
                }
                self.forget_failure(thread);
                None
            }
            Err(vm::STALLED) => {
                let waits = self.await_pager(machine, cpu, thread);
                if waits == Ok(Pause::Blocked) {
                    self.block(machine, cpu, thread);
                }
                waits.err()
            }
            Err(code) => Some(code),
        };
        if let Some(code) = failed {
            let exception = Exception {
                kind: exception::BAD_ACCESS,
                code: code.0.into(),
                subcode: address,
            };
            self.raise(machine, cpu, thread, exception);
        }
    }

    /// An exception of the current thread's: most often its handler waits for it, and runs now.
    #[inline(always)]
    pub fn exception<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        vector: u8,
        code: u64,
    ) -> Next {
        let exception = exception_of(vector, code);
        match self.raise_at_once(machine, cpu, exception) {
            Some(handler) => Next::Run(handler),
            None => self.handle_generally(machine, cpu, Event::Exception { vector, code }),
        }
    }

    /// Hands the current thread's exception to a handler that waits for it; `None`: nothing has changed. What is traced
    /// goes the other way.
    #[inline(always)]
    fn raise_at_once<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        exception: Exception,
    ) -> Option<FrameIndex> {
        if self.sched.trace.is_detailed() {
            return None;
        }
        let mut hands = Hands {
            sched: &mut self.sched,
            machine,
            cpu,
        };
        let handler = self
            .tasks
            .raise_at_once(&mut self.ipc, &mut hands, exception)?;
        self.counters.exceptions += 1;
        self.counters.handoffs = self.counters.handoffs.wrapping_add(1);
        Some(handler)
    }

    /// Asks the handler of a thread's exceptions, or ends its task.
    pub(super) fn raise<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        thread: ThreadId,
        exception: Exception,
    ) {
        if self.raise_at_once(machine, cpu, exception).is_some() {
            return;
        }
        self.counters.exceptions += 1;
        let what = (exception.kind.into(), exception.code);
        self.sched.note(machine, cpu, TraceKind::Exception, what);
        let (tasks, mut layers) = self.layers(machine, cpu);
        if tasks.raise(&mut layers, thread, exception) == Raised::Unhandled {
            // One that a handler takes is as common as a call; this one is not.
            if !self.sched.trace.is_detailed() {
                let told = (cpu, Some(thread));
                self.sched.record(machine, told, TraceKind::Exception, what);
            }
            let frame = machine.frame(thread.index());
            let (rip, rsp) = (frame.rip, frame.rsp);
            self.report(machine, format_args!(
                "thread {thread:?}: {} code {:#x} subcode {:#x} at {rip:#x}, stack {rsp:#x}: no handler, task ends",
                exception::name(exception.kind),
                exception.code,
                exception.subcode,
            ));
            self.set_flag(thread, Flags::UNHANDLED);
        }
    }

    /// Whoever was asked about a thread's exception did not deal with it: asks the next one, or ends its task.
    pub(super) fn raise_on<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, id: ThreadId) {
        let Some(thread) = self.sched.threads.get_mut(id) else {
            return;
        };
        thread.flags -= Flags::UNHANDLED;
        let task = thread.task;
        let (tasks, mut layers) = self.layers(machine, cpu);
        if tasks.raise_on(&mut layers, id) == Raised::Unhandled {
            self.terminate_task(machine, cpu, task);
            // Its task may be ending already, and have not come to it yet.
            self.set_flag(id, Flags::TERMINATE);
        }
    }
}

/// The Mach exception behind a processor's vector (Intel SDM volume 3, table 6-1).
pub(super) fn exception_of(vector: u8, code: u64) -> Exception {
    let kind = match vector {
        0 | 4 | 16 | 19 => exception::ARITHMETIC,
        1 | 3 => exception::BREAKPOINT,
        12 | 13 | 17 => exception::BAD_ACCESS,
        _ => exception::BAD_INSTRUCTION,
    };
    Exception {
        kind,
        code: vector.into(),
        subcode: code,
    }
}
