//! Calls to clocks, and requests to hear of the calendar.

use abi::clock::{SECOND, kind, which};
use abi::names::{Name, disposition, port_type};
use interfaces::clock::Clock;
use interfaces::mach_host::MachHost;

use super::World;
use super::calls::with_taken;
use super::generate::Names;
use crate::message::Request;
use crate::model::{
    ClockOp, ControlOp, ERA, Hand, HostOp, Op, Seen, SelfOp, Subject, Taken, ThreadId, Timespec,
    Verdict, When,
};

/// Times that the calendar is set to: the last one is none.
const CALENDARS: [Timespec; 4] = [[0, 0], [1, 5], [u32::MAX, 999_999_999], [1, SECOND as u32]];

impl Names<'_> {
    /// Something with a clock, if the task knows one.
    pub(super) fn clocks(&mut self) -> Op {
        if self.model.host_name(self.task).is_none() {
            return Op::Itself(SelfOp::HostSelf);
        }
        // The first task alone knows the privileged port.
        let hand = match self.task == 0 && !self.rng.one_in(3) {
            true => Hand::Steer,
            false => Hand::Ask,
        };
        let which = self
            .rng
            .pick(&[which::SYSTEM, which::CALENDAR, which::CALENDAR]);
        let mut clocks = self.live();
        clocks.retain(|name| self.model.is_clock(self.task, *name));
        if clocks.is_empty() || self.rng.one_in(6) {
            let op = match hand {
                Hand::Ask => HostOp::ClockService(which),
                Hand::Steer => HostOp::ClockControl(which),
            };
            return Op::Host(hand, op);
        }
        let settable = clocks.iter().copied();
        let mut settable = settable.filter(|name| self.model.sets_calendar(self.task, *name));
        if let Some(calendar) = settable.next()
            && self.model.awaits_change()
            && self.rng.one_in(2)
        {
            return Op::Clock(calendar, ClockOp::SetTime(self.rng.pick(&CALENDARS)));
        }
        let clock = self.rng.pick(&clocks);
        let op = match self.rng.below(9) {
            8 => ClockOp::Attributes(self.rng.below(7) as u32, self.rng.pick(&[1, 1, 1, 2])),
            0 | 1 => ClockOp::GetTime,
            2 | 3 => ClockOp::SetTime(self.rng.pick(&CALENDARS)),
            4 | 5 => return Op::Host(hand, self.request_change()),
            _ => self.alarm(),
        };
        Op::Clock(clock, op)
    }

    fn request_change(&mut self) -> HostOp {
        let change = self.rng.pick(&[0, 0, 1, 1, 2]);
        HostOp::RequestChange(change, self.told_at())
    }

    fn alarm(&mut self) -> ClockOp {
        let kinds = [kind::ABSOLUTE, kind::RELATIVE, kind::RELATIVE + 1];
        let known = 3 - usize::from(!self.rng.one_in(6));
        let kind = self.rng.pick(&kinds[..known]);
        let when = self.rng.pick(&[When::Past, When::Soon, When::Never]);
        let next = (self.model.era() + 1) * ERA;
        let span = match when {
            _ if self.rng.one_in(6) => [1, SECOND as u32],
            When::Past => [0, self.rng.below(2) as u32],
            When::Soon if kind == kind::RELATIVE => [(ERA / 2 / SECOND) as u32, 7],
            When::Soon => [(next / SECOND) as u32 + 1, 7],
            When::Never => [u32::MAX, 7],
        };
        // The first nanosecond after now is not now.
        let span = match (when, kind) {
            (When::Past, kind::RELATIVE) if span[0] == 0 => [0, 0],
            _ => span,
        };
        ClockOp::Alarm(kind, (span, when), self.told_at())
    }

    /// Who is to hear of something: mostly a port of the task's, or whoever waits for an answer.
    fn told_at(&mut self) -> Taken {
        let mut live = self.live();
        live.push(Name::REPLY_SLOT);
        let fitting = live.into_iter().filter_map(|name| {
            let bits = self.model.bits(self.task, name);
            let how = match name {
                Name::REPLY_SLOT if !self.model.has_reply_right(self.thread) => return None,
                Name::REPLY_SLOT => disposition::MOVE_SEND_ONCE,
                _ if bits & port_type::RECEIVE != 0 => disposition::MAKE_SEND_ONCE,
                _ if bits & port_type::SEND_ONCE != 0 => disposition::MOVE_SEND_ONCE,
                _ if bits & port_type::DEAD_NAME != 0 => disposition::MOVE_SEND_ONCE,
                _ if bits & port_type::SEND != 0 => disposition::COPY_SEND,
                _ => return None,
            };
            Some((name, how))
        });
        let fitting: Vec<_> = fitting.collect();
        let mut once = fitting.clone();
        once.retain(|(_, how)| *how != disposition::COPY_SEND);
        let among = match once.is_empty() || self.rng.one_in(8) {
            true => fitting,
            false => once,
        };
        match among.is_empty() {
            true => (Name::NULL, disposition::COPY_SEND),
            false => self.rng.pick(&among),
        }
    }
}

impl World {
    pub(super) fn clock_call(&mut self, thread: ThreadId, (name, op): (Name, ClockOp)) -> Seen {
        // Time stands still while the kernel serves the call of a thread that runs.
        self.sim.until_runs(self.threads[thread].0);
        let now = self.sim.now();
        let call = |id: i32, [a, b]: [u32; 2]| {
            let [a, b] = [a, b].map(u64::from);
            Request::call(name).id(id).words([a, b, 0, 0, 0, 0])
        };
        let request = match op {
            ClockOp::Attributes(flavor, count) => {
                let request = call(<dyn Clock>::ATTRIBUTES.id, [flavor, count]);
                return self.telling_call(thread, &request);
            }
            ClockOp::GetTime => {
                let request = call(<dyn Clock>::TIME.id, [0, 0]);
                return match self.telling_call(thread, &request) {
                    Seen::Told(words) => Seen::Told(vec![words[0], words[1], now]),
                    seen => seen,
                };
            }
            ClockOp::SetTime(time) => call(<dyn Clock>::SET_TIME.id, time),
            ClockOp::Alarm(kind, ([seconds, nanoseconds], _), right) => {
                let words = [kind, seconds, nanoseconds].map(u64::from);
                with_taken(name, (<dyn Clock>::ALARM.id, right), &words)
            }
        };
        match self.plain_call(thread, &request) {
            Seen::Trap(code, _) => Seen::Trap(code, now),
            seen => seen,
        }
    }

    /// Nobody in the first task waits for what a clock may tell instead of an answer.
    pub(super) fn await_nothing(&mut self) -> Verdict {
        for (name, subject) in self.model.subjects(0) {
            if matches!(subject, Subject::Thread(of) if self.model.is_told_instead(of)) {
                self.perform(0, &Op::Control(name, subject, ControlOp::Abort))?;
            }
        }
        self.settle()
    }

    pub(super) fn request_change(host: Name, (change, right): (u32, Taken)) -> Request {
        let id = <dyn MachHost>::REQUEST_NOTIFICATION.id;
        with_taken(host, (id, right), &[change.into()])
    }
}
