//! Recording what happens.

use abi::trace::{Kind, Record};

use super::{Flags, Sched, Thread};
use crate::base::ids::ThreadId;
use crate::base::trace::Detail;
use crate::machine::{Cpu, MAX_CPUS, Machine};

impl Sched {
    /// Sets how much is recorded.
    ///
    /// The threads that run know whether that is more than usual, so that the fast path asks for nothing that it does not
    /// look at anyway; those that do not run do not, or calls to them would be none for the fast path either.
    pub fn set_trace_detail(&mut self, detail: Detail) {
        self.trace.set_detail(detail);
        for cpu in (0..MAX_CPUS as u32).map(Cpu) {
            self.mark_traced(cpu);
        }
    }

    /// Lets the thread that runs on a CPU know.
    pub fn mark_traced(&mut self, cpu: Cpu) {
        let traced = self.trace.is_detailed();
        if let Some(thread) = self.running_on(cpu) {
            thread.flags.set(Flags::TRACED, traced);
        }
    }

    /// Before something happens by which another thread may run there.
    pub fn forget_traced(&mut self, cpu: Cpu) {
        if let Some(thread) = self.running_on(cpu) {
            thread.flags -= Flags::TRACED;
        }
    }

    fn running_on(&mut self, cpu: Cpu) -> Option<&mut Thread> {
        let current = self.current(cpu)?;
        self.threads.get_mut(current)
    }

    /// Records an event of a CPU's current thread, if events of its kind are recorded. `what` is the record's
    /// `a` and `b`.
    #[inline(always)]
    pub fn note<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, kind: Kind, what: (u64, u64)) {
        if kind.is_rare() {
            let thread = self.current(cpu);
            self.record(machine, (cpu, thread), kind, what);
        } else if self.trace.is_detailed() {
            self.note_detail(machine, cpu, kind, what);
        }
    }

    /// Apart from [`record`](Self::record), so that who records what is rare is not taken for unlikely itself.
    #[cold]
    #[inline(never)]
    fn note_detail<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, kind: Kind, what: (u64, u64)) {
        let thread = self.current(cpu);
        self.record(machine, (cpu, thread), kind, what);
    }

    /// Records an event of a thread, whatever its kind.
    #[inline(always)]
    pub fn record<M: Machine>(
        &mut self,
        machine: &mut M,
        (cpu, thread): (Cpu, Option<ThreadId>),
        kind: Kind,
        (a, b): (u64, u64),
    ) {
        self.trace.record(Record {
            time: machine.now(),
            kind: kind as u8,
            cpu: cpu.0 as u8,
            reserved: 0,
            thread: thread.map_or(u32::MAX, ThreadId::index),
            a,
            b,
        });
    }
}
