//! The life of one server or driver: what happens to it, and what that asks for.
//!
//! ```text
//!            wanted                checked in            gone                 time
//!   Idle ────────────▶ Starting ────────────▶ Running ────────▶ Waiting ────────────▶ Starting
//!    ▲                    │                      │                │ 8th death in a row
//!    └── ended well ──────┴──────────────────────┤                ▼
//!                                      stop ──▶ Stopped         Failed ── start ──▶ Starting
//! ```
//!
//! Pure: time is an argument, and each event answers with the one [`Order`] that its caller carries
//! out. Invariants: `next_start` is set exactly while Waiting; a doomed life has a task; orders of a
//! person never count as deaths.
//!
//! Deliberately absent: tasks, ports, programs (which live once).

use core::fmt::Write as _;

use interfaces::bounded::Text;
use interfaces::supervisor::{Cause, Info, State};
use manifest::{Manifest, Restart, Start};

/// The wait after the first death in a row, in ns; each further death doubles it.
pub const FIRST_BACK_OFF: u64 = 10_000_000;
/// The longest wait, in ns.
pub const LONGEST_BACK_OFF: u64 = 1_000_000_000;
/// Whoever ran this long, in ns, is healthy: its deaths before do not count any more.
pub const HEALTH: u64 = 1_000_000_000;
/// So many deaths in a row, and the service has failed.
pub const MAX_DEATHS: u32 = 8;

/// What the manifest says of a life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    start: Start,
    restart: Restart,
    /// Period of the heartbeat in ns.
    heartbeat: Option<u64>,
    /// It has services to check in; without any it runs from its start.
    serves: bool,
}

impl Policy {
    /// The policy of a manifest.
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            start: manifest.start,
            restart: manifest.restart,
            heartbeat: manifest.heartbeat.map(|ms| u64::from(ms) * 1_000_000),
            serves: !manifest.services.is_empty(),
        }
    }
}

/// What an event asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Order {
    /// Nothing.
    Nothing,
    /// Make its task; then say [`Life::launched`], [`Life::unlucky`] or [`Life::fail`].
    Start,
    /// Terminate its task; [`Life::gone`] follows when that is done.
    End,
    /// Look out for a first message to one of its services.
    Watch,
    /// It has failed: refuse what is queued, and what comes.
    Refuse,
}

/// Why a person's order cannot be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It has a task already.
    Active,
    /// It has no task.
    NotRunning,
}

/// What follows a death that was brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// As after any death.
    Judge,
    /// A new life at once.
    Restart,
    /// None.
    Stop,
}

/// A death that was brought about and is not yet complete.
#[derive(Clone, Copy, Debug)]
struct Doom {
    cause: Cause,
    reason: Text<120>,
    after: After,
}

/// The state of a life.
#[derive(Clone, Debug)]
pub struct Life {
    policy: Policy,
    info: Info,
    /// The last sign of life, in ns.
    sign: u64,
    /// Since when it runs, in ns.
    running: Option<u64>,
    doom: Option<Doom>,
    /// What it said it would end with.
    status: u64,
}

impl Life {
    /// A declared service that never ran.
    pub fn new(name: &str, policy: Policy) -> Self {
        Self {
            policy,
            info: Info {
                name: Text::cut(name),
                ..Info::default()
            },
            sign: 0,
            running: None,
            doom: None,
            status: 0,
        }
    }

    /// What `svc` shows.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Whether it has a task.
    pub fn has_task(&self) -> bool {
        matches!(self.info.state, State::Starting | State::Running)
    }

    /// The system comes up.
    pub fn boot(&mut self) -> Order {
        match self.policy.start {
            Start::Boot => self.begin(),
            Start::Demand => Order::Watch,
            Start::Request => Order::Nothing,
        }
    }

    /// Somebody looked it up or sent it a message.
    pub fn wanted(&mut self) -> Order {
        if self.info.state == State::Idle {
            self.begin()
        } else {
            Order::Nothing
        }
    }

    /// Its task was made; `task` is what `ps` calls it.
    pub fn launched(&mut self, now: u64, task: u32) {
        self.info.task = task;
        self.sign = now;
        if !self.policy.serves {
            self.checked_in(now);
        }
    }

    /// Its task could not be made now, but perhaps later.
    pub fn unlucky(&mut self, now: u64, reason: &str) -> Order {
        self.judge(now, Cause::Exit, Text::cut(reason))
    }

    /// Its task cannot be made: its manifest or file is bad.
    pub fn fail(&mut self, reason: &str) -> Order {
        self.clear(State::Failed);
        self.info.reason = Text::cut(reason);
        Order::Refuse
    }

    /// It got the receive right of a service.
    pub fn checked_in(&mut self, now: u64) {
        if self.info.state == State::Starting {
            self.info.state = State::Running;
            self.running = Some(now);
            self.sign = now;
        }
    }

    /// It says that it is alive. That is no health: it may say so and die at the next request.
    pub fn alive(&mut self, now: u64) {
        self.sign = now;
    }

    /// It says with which status it will end.
    pub fn exiting(&mut self, status: u64) {
        self.status = status;
    }

    /// A detector saw it misbehave.
    pub fn condemn(&mut self, cause: Cause, reason: &str) -> Order {
        self.doom(cause, Text::cut(reason), After::Judge)
    }

    /// `svc start`.
    ///
    /// # Errors
    /// [`Refusal::Active`].
    pub fn start(&mut self) -> Result<Order, Refusal> {
        if self.has_task() {
            return Err(Refusal::Active);
        }
        self.info.deaths_in_row = 0;
        Ok(self.begin())
    }

    /// `svc stop`.
    ///
    /// # Errors
    /// [`Refusal::NotRunning`] when it is stopped already.
    pub fn stop(&mut self) -> Result<Order, Refusal> {
        match self.info.state {
            State::Stopped => Err(Refusal::NotRunning),
            State::Starting | State::Running => Ok(self.order("stopped by order", After::Stop)),
            State::Idle | State::Waiting | State::Failed => {
                self.clear(State::Stopped);
                Ok(Order::Nothing)
            }
        }
    }

    /// `svc kill`.
    ///
    /// # Errors
    /// [`Refusal::NotRunning`] when it has no task.
    pub fn kill(&mut self) -> Result<Order, Refusal> {
        if self.has_task() {
            Ok(self.order("killed by order", After::Restart))
        } else {
            Err(Refusal::NotRunning)
        }
    }

    /// `svc restart`.
    pub fn restart(&mut self) -> Order {
        if self.has_task() {
            self.order("restarted by order", After::Restart)
        } else {
            self.info.deaths_in_row = 0;
            self.begin()
        }
    }

    /// Its task is dead.
    pub fn gone(&mut self, now: u64) -> Order {
        let status = core::mem::take(&mut self.status);
        let Some(doom) = self.doom.take() else {
            let mut reason = Text::EMPTY;
            // A number always fits.
            let written = write!(reason, "ended by itself with status {status}");
            debug_assert!(written.is_ok());
            if self.stays_dead(status) {
                let order = self.rest(status);
                self.record(now, Cause::Exit, reason);
                return order;
            }
            return self.judge(now, Cause::Exit, reason);
        };
        match doom.after {
            After::Judge if self.policy.restart == Restart::Never => {
                self.clear(State::Stopped);
                self.record(now, doom.cause, doom.reason);
                Order::Nothing
            }
            After::Judge => self.judge(now, doom.cause, doom.reason),
            After::Stop => {
                self.clear(State::Stopped);
                self.record(now, doom.cause, doom.reason);
                Order::Nothing
            }
            After::Restart => {
                self.record(now, doom.cause, doom.reason);
                self.begin()
            }
        }
    }

    /// Time has come to [`Life::due`].
    pub fn tick(&mut self, now: u64) -> Order {
        if self.due().is_none_or(|due| due > now) {
            return Order::Nothing;
        }
        if self.info.state == State::Waiting {
            self.begin()
        } else {
            let period = self.policy.heartbeat.unwrap_or(0) / 1_000_000;
            let mut reason = Text::EMPTY;
            let written = write!(reason, "silent for two heartbeats of {period} ms");
            debug_assert!(written.is_ok());
            self.doom(Cause::Silence, reason, After::Judge)
        }
    }

    /// When it wants to hear of the time, in ns.
    pub fn due(&self) -> Option<u64> {
        match self.info.state {
            State::Waiting => Some(self.info.next_start),
            State::Starting | State::Running if self.doom.is_none() => self
                .policy
                .heartbeat
                .map(|period| self.sign.saturating_add(period.saturating_mul(2))),
            _ => None,
        }
    }

    /// What its services need while it has no task: to be looked at, to be refused, or nothing.
    pub fn at_rest(&self) -> Order {
        match self.info.state {
            State::Idle if self.policy.start == Start::Demand => Order::Watch,
            State::Failed => Order::Refuse,
            _ => Order::Nothing,
        }
    }

    fn begin(&mut self) -> Order {
        if self.info.died > 0 || self.info.cause != Cause::None {
            self.info.restarts = self.info.restarts.saturating_add(1);
        }
        self.clear(State::Starting);
        Order::Start
    }

    fn order(&mut self, reason: &str, after: After) -> Order {
        // A person's order goes before what a detector saw: it decides what follows.
        self.doom = None;
        self.doom(Cause::Order, Text::cut(reason), after)
    }

    fn doom(&mut self, cause: Cause, reason: Text<120>, after: After) -> Order {
        if !self.has_task() || self.doom.is_some() {
            return Order::Nothing;
        }
        self.doom = Some(Doom {
            cause,
            reason,
            after,
        });
        Order::End
    }

    /// Whether a regular end is one for good.
    fn stays_dead(&self, status: u64) -> bool {
        match self.policy.restart {
            Restart::Always => false,
            Restart::OnFailure => status == 0,
            Restart::Never => true,
        }
    }

    fn rest(&mut self, status: u64) -> Order {
        let done = self.policy.restart == Restart::OnFailure && status == 0;
        self.clear(if done { State::Idle } else { State::Stopped });
        self.at_rest()
    }

    /// Decides what follows a death that counts.
    fn judge(&mut self, now: u64, cause: Cause, reason: Text<120>) -> Order {
        if self
            .running
            .is_some_and(|since| now - since.min(now) >= HEALTH)
        {
            self.info.deaths_in_row = 0;
        }
        self.info.deaths_in_row += 1;
        let deaths = self.info.deaths_in_row;
        self.record(now, cause, reason);
        if deaths >= MAX_DEATHS {
            let mut text = Text::<120>::EMPTY;
            let known = write!(text, "died {deaths} times in a row, last: ").is_ok();
            debug_assert!(known);
            let room = 120 - text.len();
            // Cut to what is left, it fits.
            let written = text.write_str(&reason[..reason.floor_char_boundary(room)]);
            debug_assert!(written.is_ok());
            return self.fail(&text);
        }
        self.clear(State::Waiting);
        let wait = FIRST_BACK_OFF << (deaths - 1);
        self.info.next_start = now.saturating_add(wait.min(LONGEST_BACK_OFF));
        Order::Nothing
    }

    fn record(&mut self, now: u64, cause: Cause, reason: Text<120>) {
        self.info.died = now;
        self.info.cause = cause;
        self.info.reason = reason;
    }

    /// No task, and nothing of the one before but what `info` keeps.
    fn clear(&mut self, state: State) {
        self.info.state = state;
        self.info.task = 0;
        self.info.next_start = 0;
        self.running = None;
        self.doom = None;
        self.status = 0;
    }
}

#[cfg(test)]
mod tests;
