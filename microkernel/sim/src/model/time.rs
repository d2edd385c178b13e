//! Time (MACH.md K-01, T-11): it passes in *eras* only, each longer than all that a program does in one of them. Who waits
//! for the next one waits until a program lets it begin.

use std::collections::{BTreeMap, BTreeSet};

use abi::clock::{kind, which};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::control::TIMED_OUT;
use super::names::{Answer, accept, refuse};
use super::{FAR, Model, Seen, State, TaskId, ThreadId, Verdict};

/// An era in ns.
pub const ERA: u64 = 1 << 42;

/// A time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// It has come.
    Past,
    /// It comes in the next era.
    Soon,
    /// It does not come in any program.
    Never,
}

/// Something with time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeOp {
    /// No trap: the next era begins.
    Pass,
    /// `clock`.
    Now,
    /// `wait_until`.
    WaitUntil(When),
    /// `clock_sleep`: a clock, a kind of time, and the time; `None`: one that is none.
    Sleep(Name, u32, Option<When>),
    /// `thread_switch` that waits, with one of two options.
    Rest(Name, u64, When),
    /// `thread_switch` that gives way, with one of two options: it lasts until then, or until somebody ends it.
    GiveWay(Name, u64, When),
}

/// What the model knows of time.
#[derive(Clone, Default, Debug)]
pub(super) struct Time {
    era: u64,
    /// The last time that was told.
    told: u64,
    /// Threads that wait for a time, and whether they are told it when it comes.
    sleepers: BTreeMap<ThreadId, (When, bool)>,
    /// Threads that wait for something else, until the next era.
    deadlines: BTreeSet<ThreadId>,
    /// Threads that were given a message when their deadline came: either is first.
    lapsed: BTreeSet<ThreadId>,
    /// Threads that come behind all others, until then.
    depressed: BTreeMap<ThreadId, When>,
}

impl Model {
    /// The present era.
    pub fn era(&self) -> u64 {
        self.time.era
    }

    /// Whether anybody waits for the next era.
    pub fn awaits_era(&self) -> bool {
        let time = &self.time;
        let sleepers = time.sleepers.values().map(|(when, _)| *when);
        let mut all = sleepers.chain(time.depressed.values().copied());
        let timers = self.ports.iter().filter_map(|port| port.deadline);
        let mut limited = time.deadlines.iter();
        all.any(|when| when == When::Soon)
            || self.awaits_alarm()
            || timers.min().is_some_and(|deadline| deadline < FAR)
            || limited.any(|thread| self.waits(*thread))
    }

    /// Whether a thread comes behind all others: nobody can tell whether it runs.
    pub fn is_depressed(&self, thread: ThreadId) -> bool {
        self.time.depressed.contains_key(&thread)
    }

    pub(super) fn time_op(
        &mut self,
        thread: ThreadId,
        op: TimeOp,
        seen: Option<Answer>,
    ) -> Verdict {
        let task = self.threads[thread].task;
        let tells = !matches!(op, TimeOp::Rest(..));
        let when = match op {
            TimeOp::Pass => {
                self.pass();
                return Ok(());
            }
            TimeOp::Now => When::Past,
            TimeOp::WaitUntil(when) | TimeOp::Rest(_, _, when) => when,
            TimeOp::GiveWay(_, _, When::Past) => return accept(seen.ok_or("it waits")?),
            TimeOp::GiveWay(_, _, when) => {
                self.time.depressed.insert(thread, when);
                self.threads[thread].state = State::DueTrap(Code::Success);
                return must_wait(seen);
            }
            TimeOp::Sleep(clock, kind, time) => match self.sleep(task, clock, kind, time) {
                Ok(when) => when,
                Err(code) => return refuse(seen.ok_or("it waits, and must not")?, &[code]),
            },
        };
        if when == When::Past {
            let seen = seen.ok_or("it waits, and must not")?;
            accept(seen)?;
            return if tells {
                self.tell_time(seen.1)
            } else {
                Ok(())
            };
        }
        self.wait_until(thread, When::Never);
        self.time.sleepers.insert(thread, (when, tells));
        must_wait(seen)
    }

    fn sleep(
        &self,
        task: TaskId,
        clock: Name,
        kind: u32,
        time: Option<When>,
    ) -> Result<When, Code> {
        match self.clock_of(task, clock) {
            None => Err(Code::InvalidArgument),
            Some((which::CALENDAR, _)) => Err(Code::Failure),
            Some(_) if kind > kind::RELATIVE => Err(Code::InvalidArgument),
            Some(_) => time.ok_or(Code::InvalidArgument),
        }
    }

    /// What was to come in this era comes.
    fn pass(&mut self) {
        self.unsettled = true;
        self.time.era += 1;
        self.time.depressed.retain(|_, when| *when != When::Soon);
        self.fire_alarms();
        self.fire_timers();
        for thread in std::mem::take(&mut self.time.deadlines) {
            match self.is_there(thread) {
                true => drop(self.time.lapsed.insert(thread)),
                false => self.end_wait(thread, &TIMED_OUT),
            }
        }
        let sleepers = self.time.sleepers.clone();
        for (thread, (_, tells)) in sleepers.iter().filter(|(_, of)| of.0 == When::Soon) {
            self.time.sleepers.remove(thread);
            self.threads[*thread].state = match tells {
                true => State::DueTime,
                false => State::DueTrap(Code::Success),
            };
        }
    }

    /// A thread waits for what no message brings.
    pub(super) fn wait_until(&mut self, thread: ThreadId, until: When) {
        self.threads[thread].state = State::Waiting;
        self.set_deadline(thread, until);
    }

    /// When a wait ends that begins now.
    pub(super) fn set_deadline(&mut self, thread: ThreadId, until: When) {
        match until {
            When::Soon => self.time.deadlines.insert(thread),
            When::Past | When::Never => self.time.deadlines.remove(&thread),
        };
    }

    /// Whether a thread may as well come back for its deadline as with the message that it was given: once.
    pub(super) fn has_lapsed(&mut self, thread: ThreadId) -> bool {
        self.time.lapsed.remove(&thread)
    }

    /// When a deadline is, in ns.
    pub(super) fn when(&self, deadline: u64) -> When {
        match deadline {
            FAR.. => When::Never,
            deadline if deadline > self.time.era * ERA + ERA / 2 => When::Soon,
            _ => When::Past,
        }
    }

    /// A time of the system's clock: no earlier than one before, and of this era.
    pub(super) fn tell_time(&mut self, now: u64) -> Verdict {
        let start = self.time.era * ERA;
        if !(start..start + ERA / 2).contains(&now) {
            return Err(format!("{now:#x} is no time of era {}", self.time.era));
        }
        let before = std::mem::replace(&mut self.time.told, now);
        match now < before {
            true => Err(format!("it was {before:#x} before {now:#x}")),
            false => Ok(()),
        }
    }

    /// T-11: a thread has its priority back.
    pub(super) fn end_depression(&mut self, thread: ThreadId) -> Code {
        match self.time.depressed.remove(&thread) {
            Some(_) => Code::Success,
            None => Code::NotDepressed,
        }
    }

    /// A thread waits for no time any more.
    pub(super) fn leave_sleep(&mut self, thread: ThreadId) {
        self.time.sleepers.remove(&thread);
    }

    /// A thread that was told the time when it came.
    pub(super) fn wake_up(&mut self, thread: ThreadId, seen: &Seen) -> Verdict {
        self.threads[thread].state = State::User;
        match *seen {
            Seen::Trap(Code::Success, now) => self.tell_time(now),
            _ => Err(format!("a time expected, not {seen:?}")),
        }
    }
}

fn must_wait(seen: Option<Answer>) -> Verdict {
    match seen {
        None => Ok(()),
        Some(seen) => Err(format!("it must wait, and came back with {seen:?}")),
    }
}
