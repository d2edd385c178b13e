//! How threads ask to be scheduled (T-10), and what follows from it.
//!
//! What was asked for is kept apart from what holds, so that a thread gets its priority back when it leaves the
//! background, gives up a time constraint, or its task's limit is raised. That limit holds for all: a time constraint is no
//! way above it.

use abi::kern_return::KernReturn;
use abi::task::{BACKGROUND_PRIORITY, DEFAULT_PRIORITY, policy};

use super::{Flags, Policy, SLICE, Sched, Thread};
use crate::base::KernResult;
use crate::base::ids::{TaskId, ThreadId};
use crate::machine::{Cpu, Machine, Time};

/// What was asked for a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wishes {
    /// Its priority, unless it has a time constraint.
    pub priority: u8,
    /// How that changes.
    pub policy: Policy,
    /// Whether it is in the background for now.
    pub background: bool,
}

impl Wishes {
    /// Of a new thread.
    pub const NONE: Self = Self {
        priority: DEFAULT_PRIORITY,
        policy: Policy::Timeshare,
        background: false,
    };

    /// What holds, below a limit of priority.
    fn granted(self, limit: u8) -> (u8, Policy) {
        match self.policy {
            _ if self.background => {
                let priority = self.priority.min(BACKGROUND_PRIORITY);
                (priority.min(limit), Policy::Timeshare)
            }
            Policy::TimeConstraint => (limit, Policy::TimeConstraint),
            policy => (self.priority.min(limit), policy),
        }
    }
}

/// What a thread with a time constraint needs, in ns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Constraint {
    /// Between the beginnings of two computations; 0: they come irregularly.
    pub period: u32,
    /// How long one takes.
    pub computation: u32,
    /// How long after its beginning it must be over.
    pub constraint: u32,
    /// Whether it may be interrupted. It may in any case; that is only told.
    pub preemptible: bool,
}

impl Constraint {
    /// What a caller's words mean.
    ///
    /// # Errors
    /// `InvalidArgument`: they make no sense.
    pub fn new([period, computation, constraint, preemptible]: [u32; 4]) -> KernResult<Self> {
        let fits = computation <= constraint && (period == 0 || computation <= period);
        if !fits || !policy::COMPUTATION.contains(&computation) || preemptible > 1 {
            return Err(KernReturn::InvalidArgument);
        }
        Ok(Self {
            period,
            computation,
            constraint,
            preemptible: preemptible == 1,
        })
    }

    /// The words.
    pub fn words(self) -> [u32; 4] {
        let preemptible = u32::from(self.preemptible);
        [self.period, self.computation, self.constraint, preemptible]
    }

    /// How long a thread gives way that has used up its computation.
    fn pause(self) -> Time {
        let whole = self.period.max(self.constraint);
        Time::from(whole - self.computation).max(SLICE)
    }
}

impl Thread {
    /// Whether what was asked for it holds, as far as a limit of priority lets it.
    pub fn has_what_it_may(&self, limit: u8) -> bool {
        (self.base, self.policy) == self.wishes.granted(limit)
    }

    /// When a sleep until a time ends, for a thread that may wake late.
    pub fn sleeps_until(&self, deadline: Time) -> Time {
        let tier = usize::from(self.latency).checked_sub(1);
        match tier.and_then(|tier| policy::LATENESS.get(tier)) {
            Some(step) => deadline.checked_next_multiple_of(*step).unwrap_or(deadline),
            None => deadline,
        }
    }
}

impl Sched {
    /// What was asked for a thread comes to hold, or its task's limit has changed.
    pub fn grant<M: Machine>(&mut self, machine: &mut M, here: Cpu, id: ThreadId, limit: u8) {
        let wishes = self.threads.get(id).map(|thread| thread.wishes);
        if let Some(wishes) = wishes {
            self.set_priority(machine, here, id, wishes.granted(limit));
        }
    }

    /// The time constraint that holds for a thread.
    pub(super) fn constraint(&self, id: ThreadId) -> Option<Constraint> {
        let thread = self.threads.get(id)?;
        if thread.policy != Policy::TimeConstraint {
            return None;
        }
        self.extras.find(thread.extra)?.constraint
    }

    /// How long the current thread of a CPU gives way, if the slice that ended was its whole computation.
    pub(super) fn overrun(&mut self, cpu: Cpu) -> Option<(ThreadId, Time)> {
        let computing = self.cpu(cpu).computing;
        let id = self.current(cpu).filter(|id| computing == Some(*id))?;
        let constraint = self.constraint(id)?;
        let thread = self.threads.get(id)?;
        (!thread.flags.contains(Flags::DEPRESSED)).then(|| (id, constraint.pause()))
    }

    /// Where a thread should run: by its tag, else where it ran last.
    pub(super) fn home(&self, id: ThreadId) -> Cpu {
        let Some(thread) = self.threads.get(id) else {
            return Cpu(0);
        };
        if thread.tag == 0 {
            return thread.cpu;
        }
        tagged(thread.task, thread.tag, self.cpu_end)
    }
}

/// The CPU of a task's tag.
fn tagged(task: TaskId, tag: u32, cpus: usize) -> Cpu {
    let number = scatter(u64::from(task.index()) << 32 | u64::from(tag));
    Cpu((number % cpus.max(1) as u64) as u32)
}

/// Spreads a number over 64 bits (the finaliser of `SplitMix64`).
fn scatter(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
