//! Recording what happens.

use abi::trace::{Kind, Record};

use super::Sched;
use crate::base::ids::ThreadId;
use crate::machine::{Cpu, Machine};

impl Sched {
    /// Records an event of a CPU's current thread, if events of its kind are recorded. `what` is the record's
    /// `a` and `b`.
    #[inline(always)]
    pub fn note<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, kind: Kind, what: (u64, u64)) {
        if kind.is_rare() {
            let thread = self.cpu(cpu).current;
            self.record(machine, (cpu, thread), kind, what);
        } else if self.trace.is_detailed() {
            self.note_detail(machine, cpu, kind, what);
        }
    }

    /// Apart from [`record`](Self::record), so that who records what is rare is not taken for unlikely itself.
    #[cold]
    #[inline(never)]
    fn note_detail<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, kind: Kind, what: (u64, u64)) {
        let thread = self.cpu(cpu).current;
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
