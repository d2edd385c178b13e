//! Clocks (MACH.md K-01): their times, alarms, and who hears that the calendar was set (H-03).
//!
//! Who is to hear of something gives a send-once right. Until then it hangs on the right's port, and ends with that.

use abi::clock::{ALARM_REPLY, CALENDAR_CHANGED, SECOND, attribute, change, kind, which};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::control::answer;
use super::names::{Answer, accept, refuse};
use super::{Carried, Hand, Model, PortId, Seen, TaskId, ThreadId, Verdict, When};

/// Seconds and nanoseconds beside them.
pub type Timespec = [u32; 2];

/// A name, and the disposition by which a right is taken from it.
pub type Taken = (Name, u8);

/// A call to a clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockOp {
    /// `clock_get_attributes`: flavor and room.
    Attributes(u32, u32),
    /// `clock_get_time`; what is seen with a success are its words, and the time since boot.
    GetTime,
    /// `clock_set_time`; what is seen with a success is the time since boot.
    SetTime(Timespec),
    /// `clock_alarm`: a kind of time, the time, when it comes, and who hears of it. Seen as before.
    Alarm(u32, (Timespec, When), Taken),
}

/// Somebody who is to hear of a time.
#[derive(Clone, Debug)]
struct Alarm {
    port: PortId,
    when: When,
    words: Vec<u64>,
}

/// What the model knows of clocks.
#[derive(Clone, Default, Debug)]
pub(super) struct Clocks {
    alarms: Vec<Alarm>,
    /// Who is to hear of the calendar, by the ids of the messages.
    requests: Vec<(PortId, i32)>,
    /// The calendar's time when that since boot was 0; it may be before.
    calendar: u64,
}

impl Model {
    /// Whether an alarm is to come in the next era.
    pub(super) fn awaits_alarm(&self) -> bool {
        let mut alarms = self.clocks.alarms.iter();
        alarms.any(|alarm| alarm.when == When::Soon)
    }

    /// Whether somebody else than who answers is to tell something to a thread that waits for an answer.
    pub fn is_told_instead(&self, thread: ThreadId) -> bool {
        self.alarms_at(self.threads[thread].reply) > 0
    }

    /// Whether somebody is to hear of the calendar.
    pub fn awaits_change(&self) -> bool {
        !self.clocks.requests.is_empty()
    }

    /// Whether a name is a right to set the calendar by.
    pub fn sets_calendar(&self, task: TaskId, name: Name) -> bool {
        self.clock_of(task, name) == Some((which::CALENDAR, Hand::Steer))
    }

    /// How many send-once rights to a port alarms and requests hold.
    pub(super) fn alarms_at(&self, port: PortId) -> usize {
        let clocks = &self.clocks;
        let alarms = clocks.alarms.iter().map(|alarm| alarm.port);
        let all = alarms.chain(clocks.requests.iter().map(|request| request.0));
        all.filter(|of| *of == port).count()
    }

    /// A port dies, and what was to be told there is told to nobody.
    pub(super) fn end_alarms(&mut self, port: PortId) {
        self.clocks.alarms.retain(|alarm| alarm.port != port);
        self.clocks.requests.retain(|request| request.0 != port);
    }

    /// The next era begins.
    pub(super) fn fire_alarms(&mut self) {
        let alarms = std::mem::take(&mut self.clocks.alarms).into_iter();
        let (due, rest) = alarms.partition(|alarm| alarm.when == When::Soon);
        self.clocks.alarms = rest;
        for Alarm { port, words, .. } in due {
            self.notify_with(port, (ALARM_REPLY, words), Vec::new());
        }
    }

    pub(super) fn clock_op(
        &mut self,
        thread: ThreadId,
        (name, op): (Name, ClockOp),
        seen: &Seen,
    ) -> Verdict {
        let task = self.threads[thread].task;
        let (which, hand) = self.clock_of(task, name).ok_or("it is no clock")?;
        match op {
            ClockOp::Attributes(flavor, count) => attributes(which, (flavor, count), seen),
            ClockOp::GetTime => self.get_time(which, seen),
            ClockOp::SetTime(time) => self.set_time((which, hand), time, answer(seen)?),
            ClockOp::Alarm(kind, time, right) => {
                let right = self.told_at(thread, right);
                if which == which::CALENDAR {
                    return self.refuse_told(right, Code::Failure, answer(seen)?);
                }
                self.alarm(right, (kind, time), answer(seen)?)
            }
        }
    }

    fn get_time(&mut self, which: u32, seen: &Seen) -> Verdict {
        let Seen::Told(words) = seen else {
            return Err(format!("a time expected, not {seen:?}"));
        };
        let [seconds, nanoseconds, now] = words[..] else {
            return Err(format!("two words expected, not {words:x?}"));
        };
        self.tell_time(now)?;
        let expected = match which {
            which::SYSTEM => words_of(now),
            _ => words_of(now.wrapping_add(self.clocks.calendar)),
        };
        match [seconds, nanoseconds] == expected {
            true => Ok(()),
            false => Err(format!("{expected:?} expected, not {words:?}")),
        }
    }

    fn set_time(
        &mut self,
        (which, hand): (u32, Hand),
        [seconds, nanoseconds]: Timespec,
        seen: Answer,
    ) -> Verdict {
        let code = match (hand, which) {
            (Hand::Ask, _) => Code::NoAccess,
            (Hand::Steer, which::SYSTEM) => Code::Failure,
            _ if u64::from(nanoseconds) >= SECOND => Code::InvalidValue,
            _ => Code::Success,
        };
        refuse(seen, &[code])?;
        if code == Code::Success {
            self.tell_time(seen.1)?;
            let time = u64::from(seconds) * SECOND + u64::from(nanoseconds);
            self.clocks.calendar = time.wrapping_sub(seen.1);
            self.unsettled = true;
            for (port, id) in std::mem::take(&mut self.clocks.requests) {
                self.notify_with(port, (id, vec![0; 6]), Vec::new());
            }
        }
        Ok(())
    }

    /// The port of a send-once right that is given away for a message that comes later.
    fn told_at(&mut self, thread: ThreadId, (name, how): Taken) -> Result<PortId, Code> {
        match self.take(thread, name, how) {
            Some(Carried::SendOnce(port)) if self.is_alive(port) => Ok(port),
            Some(Carried::SendOnce(_) | Carried::Null | Carried::Dead) | None => {
                Err(Code::InvalidCapability)
            }
            Some(other) => {
                self.discard(other);
                Err(Code::MigTypeError)
            }
        }
    }

    /// Something else is wrong, and the right ends. Which of two wrongs is told does not matter.
    fn refuse_told(&mut self, right: Result<PortId, Code>, code: Code, seen: Answer) -> Verdict {
        match right {
            Ok(port) => {
                self.discard(Carried::SendOnce(port));
                refuse(seen, &[code])
            }
            Err(first) => refuse(seen, &[first, code]),
        }
    }

    fn alarm(
        &mut self,
        right: Result<PortId, Code>,
        (kind, (span, when)): (u32, (Timespec, When)),
        seen: Answer,
    ) -> Verdict {
        let port = match right {
            Ok(port) => port,
            Err(code) => return refuse(seen, &[code]),
        };
        accept(seen)?;
        self.tell_time(seen.1)?;
        let [seconds, nanoseconds] = span.map(u64::from);
        let is_time = nanoseconds < SECOND && kind <= kind::RELATIVE;
        let [seconds, nanoseconds] = match kind {
            kind::RELATIVE if is_time => words_of(seen.1 + seconds * SECOND + nanoseconds),
            _ => [seconds, nanoseconds],
        };
        let code = match is_time {
            true => Code::Success,
            false => Code::InvalidValue,
        };
        let words = vec![code.0.into(), kind.into(), seconds, nanoseconds, 0, 0];
        if is_time && when != When::Past {
            self.clocks.alarms.push(Alarm { port, when, words });
        } else {
            self.notify_with(port, (ALARM_REPLY, words), Vec::new());
        }
        Ok(())
    }

    /// `host_request_notification`.
    pub(super) fn request_change(
        &mut self,
        thread: ThreadId,
        (change, right): (u32, Taken),
        seen: Answer,
    ) -> Verdict {
        let right = self.told_at(thread, right);
        let id = match change {
            change::CALENDAR_CHANGED => CALENDAR_CHANGED,
            change::CALENDAR_SET => CALENDAR_CHANGED + 1,
            _ => return self.refuse_told(right, Code::InvalidArgument, seen),
        };
        match right {
            Ok(port) => {
                self.clocks.requests.push((port, id));
                accept(seen)
            }
            Err(code) => refuse(seen, &[code]),
        }
    }
}

fn attributes(which: u32, (flavor, count): (u32, u32), seen: &Seen) -> Verdict {
    let of_alarms = attribute::ALARM_RESOLUTION..=attribute::ALARM_MOST;
    let known = flavor == attribute::TIME_RESOLUTION
        || of_alarms.contains(&flavor) && which == which::SYSTEM;
    let code = match seen {
        _ if count != 1 => Code::Failure,
        Seen::Told(words) if known && words.starts_with(&[1, 1]) => return Ok(()),
        _ if known => return Err(format!("a resolution expected, not {seen:?}")),
        _ => Code::InvalidValue,
    };
    refuse(answer(seen)?, &[code])
}

/// Nanoseconds in seconds and the rest, or the last time that can be said so.
fn words_of(nanoseconds: u64) -> [u64; 2] {
    match nanoseconds / SECOND {
        seconds if seconds > u32::MAX.into() => [u32::MAX.into(), SECOND - 1],
        seconds => [seconds, nanoseconds % SECOND],
    }
}
