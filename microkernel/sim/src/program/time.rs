//! Traps that have to do with time, and how it passes.

use abi::clock::{SECOND, kind};
use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::registers::options;
use abi::trap::{self, switch_option};

use super::World;
use super::generate::{Names, Patience};
use crate::message::Request;
use crate::model::{ERA, Model, Op, Seen, ThreadId, TimeOp, When};

/// How long after its beginning an era is one: sleeps may end that much late.
const LATE: u64 = 3 * SECOND;

impl Names<'_> {
    /// Something with time: mostly a wait.
    pub(super) fn time(&mut self, patience: Patience) -> Op {
        let awaited = self.model.awaits_era();
        let hasty = patience == Patience::NeverWaits;
        let whens = [When::Past, When::Soon, When::Soon, When::Never];
        let when = self.rng.pick(&whens[..if hasty { 1 } else { 4 }]);
        Op::Time(match self.rng.below(16) {
            0..4 if awaited => TimeOp::Pass,
            0 => TimeOp::Pass,
            4..7 => TimeOp::WaitUntil(when),
            7..10 => match self.clock() {
                Some(clock) => {
                    let kinds = [kind::ABSOLUTE, kind::RELATIVE, kind::RELATIVE + 1];
                    let known = 3 - usize::from(!self.rng.one_in(4));
                    let kind = self.rng.pick(&kinds[..known]);
                    TimeOp::Sleep(clock, kind, (!self.rng.one_in(8)).then_some(when))
                }
                None => TimeOp::WaitUntil(when),
            },
            10..12 => {
                let options = [switch_option::WAIT, switch_option::OSLOCK_WAIT];
                TimeOp::Rest(self.turn(), self.rng.pick(&options), when)
            }
            12..15 => {
                let options = [switch_option::DEPRESS, switch_option::OSLOCK_DEPRESS];
                TimeOp::GiveWay(self.turn(), self.rng.pick(&options), when)
            }
            _ => TimeOp::Now,
        })
    }

    /// When a wait ends.
    pub(super) fn until(&mut self, patience: Patience) -> When {
        match (patience, self.rng.below(4)) {
            (Patience::NeverWaits, _) | (_, 0) => When::Past,
            (_, 1) => When::Soon,
            _ => When::Never,
        }
    }

    /// A message that is sent or received until the next era at the latest, now and then.
    pub(super) fn limited(&mut self, request: Request, patience: Patience) -> Request {
        if patience == Patience::NeverWaits || !self.rng.one_in(3) {
            return request;
        }
        self.soon(request)
    }

    /// A message of which one half or both, as it has them, last until the next era at most.
    pub(super) fn soon(&mut self, request: Request) -> Request {
        const BOTH: u32 = options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT;
        let limits = match request.options & (options::SEND | options::RECEIVE) {
            options::SEND => options::SEND_TIMEOUT,
            options::RECEIVE => options::RECEIVE_TIMEOUT,
            // When others are told of something, does not say what comes before an answer.
            _ if request.receive == Name::NULL => {
                let limits = [BOTH, BOTH, options::SEND_TIMEOUT, options::RECEIVE_TIMEOUT];
                self.rng.pick(&limits)
            }
            _ => self.rng.pick(&[BOTH, options::SEND_TIMEOUT]),
        };
        request.with(limits).until(deadline(self.model, When::Soon))
    }

    /// A clock, or now and then any name.
    fn clock(&mut self) -> Option<Name> {
        if self.rng.one_in(8) {
            return Some(self.any());
        }
        let mut live = self.live();
        live.retain(|name| self.model.is_clock(self.task, *name));
        (!live.is_empty()).then(|| self.rng.pick(&live))
    }
}

/// When a wait ends, in ns since boot.
pub(super) fn deadline(model: &Model, until: When) -> u64 {
    match until {
        When::Past => 0,
        When::Soon => (model.era() + 1) * ERA,
        When::Never => u64::MAX,
    }
}

impl World {
    /// A trap, or time that passes; `None`: the thread waits.
    pub(super) fn time(&mut self, thread: ThreadId, op: TimeOp) -> Option<Seen> {
        let next = (self.model.era() + 1) * ERA;
        let deadline = |when| deadline(&self.model, when);
        let (number, arguments) = match op {
            TimeOp::Pass => {
                let now = self.sim.now();
                self.sim.pass_time(next + LATE - now);
                return Some(Seen::Trap(KernReturn::Success, 0));
            }
            TimeOp::Now => (trap::CLOCK, Vec::new()),
            TimeOp::WaitUntil(when) => (trap::WAIT_UNTIL, vec![deadline(when)]),
            TimeOp::Sleep(clock, kind, when) => {
                let [seconds, nanoseconds] = time(next, kind, when);
                let clock = clock.0.into();
                (
                    trap::CLOCK_SLEEP,
                    vec![clock, kind.into(), seconds, nanoseconds],
                )
            }
            TimeOp::Rest(to, option, when) | TimeOp::GiveWay(to, option, when) => {
                let arguments = vec![to.0.into(), option, deadline(when)];
                (trap::THREAD_SWITCH, arguments)
            }
        };
        let frame = self.threads[thread].0;
        if matches!(op, TimeOp::GiveWay(_, _, When::Soon | When::Never)) {
            // Whether it is back at once depends on what the other CPUs do: its answer is looked at later.
            let cpu = self.sim.until_runs(frame);
            self.sim.load_trap(cpu, number, &arguments);
            self.sim.event(cpu, microkernel::machine::Event::Trap);
            return None;
        }
        let answer = self.sim.on(frame).start(number, &arguments)?;
        Some(super::calls::seen(&answer))
    }
}

/// Seconds and nanoseconds of a time of a kind, or of none.
fn time(next: u64, kind: u32, when: Option<When>) -> [u64; 2] {
    match when {
        None => [1, SECOND],
        Some(When::Past) => [0, 0],
        Some(When::Soon) if kind == kind::RELATIVE => [ERA / 2 / SECOND, 0],
        Some(When::Soon) => [next / SECOND + 1, 0],
        Some(When::Never) => [u32::MAX.into(), 0],
    }
}
