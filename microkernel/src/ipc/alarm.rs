//! Alarms of clocks, and requests to hear of a changed calendar (K-01, H-03).
//!
//! An alarm is a [notice](super::notice) that waits for a time, or for the calendar to be set. Until it fires it hangs
//! on the port that it will tell, so that it ends with that port. From the request to the receive it counts as
//! a message of who asked for it.
//!
//! Invariant: an alarm that has not fired is in one of the two trees, and its notice is among its port's requests.

use abi::clock;
use abi::kern_return::KernReturn;
use abi::message::WORDS;
use arena::Arena;
use interfaces::clock::Time as ClockTime;

use super::notice::{Notice, Watch};
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::{AlarmId, AlarmKind, NoticeId, PortId};
use crate::base::ledger::{LedgerId, Ledgers, Resource};
use crate::base::tree::{Links, Nodes, Tree};
use crate::base::usage::Usage;
use crate::machine::{Machine, NEVER, Time};

/// Alarms that fire at once when the calendar is set; the rest does from the timer.
const STEP: u32 = 8;

/// A clock of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// Time since boot.
    System,
    /// The calendar.
    Calendar,
}

impl Clock {
    /// The clock of a number.
    ///
    /// # Errors
    /// `InvalidArgument`: no clock has it.
    pub fn decode(which: u32) -> KernResult<Self> {
        match which {
            clock::which::SYSTEM => Ok(Self::System),
            clock::which::CALENDAR => Ok(Self::Calendar),
            _ => Err(KernReturn::InvalidArgument),
        }
    }
}

/// The time since boot that a time of the system clock, or a span, means.
///
/// # Errors
/// `InvalidArgument`: no such kind, or no such time.
pub fn deadline(kind: u32, time: ClockTime, now: Time) -> KernResult<Time> {
    let time = time.nanoseconds().ok_or(KernReturn::InvalidArgument)?;
    match kind {
        clock::kind::ABSOLUTE => Ok(time),
        clock::kind::RELATIVE => Ok(now.saturating_add(time)),
        _ => Err(KernReturn::InvalidArgument),
    }
}

/// When an alarm fires, and what it tells then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// A time came: a code, the kind of time that was asked for, and the time.
    Time(KernReturn, u32, ClockTime),
    /// The calendar was set; the number is the message's id.
    Calendar(i32),
}

impl Told {
    /// The words of its message.
    pub(super) fn words(self) -> [u64; WORDS] {
        match self {
            Self::Time(code, kind, time) => [
                code.0.into(),
                kind.into(),
                time.seconds.into(),
                time.nanoseconds.into(),
                0,
                0,
            ],
            Self::Calendar(_) => [0; WORDS],
        }
    }

    fn id(self) -> i32 {
        match self {
            Self::Time(..) => clock::ALARM_REPLY,
            Self::Calendar(id) => id,
        }
    }
}

/// One alarm.
#[derive(Debug)]
pub struct Alarm {
    told: Told,
    notice: NoticeId,
    /// When it fires, in ns since boot; of a request for the calendar, its number.
    key: u64,
    /// Place in its tree.
    links: Links,
    /// Whose message it counts as.
    payer: LedgerId,
}

/// All alarms.
type Alarms = Arena<Alarm, AlarmKind>;

/// The clocks.
pub struct Clocks {
    alarms: Alarms,
    /// Alarms by their times.
    timed: Tree,
    /// Requests for the calendar by their numbers.
    requests: Tree,
    /// The number of the next request.
    next: u64,
    /// Requests below this number are due.
    due: u64,
    /// The calendar's time is that since boot and this, in ns; it may wrap.
    offset: u64,
    /// The clocks' ports: to be asked, and to be set as well.
    ports: [[Option<PortId>; 2]; 2],
}

/// What a port of a clock, or of the processor set, allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hand {
    /// To ask.
    Ask,
    /// To set and steer it, too.
    Set,
}

struct ByKey<'a>(&'a mut Alarms);

impl Nodes for ByKey<'_> {
    type Key = (u64, u32);

    fn key(&self, node: u32) -> Self::Key {
        (self.0.at(node).map_or(NEVER, |alarm| alarm.key), node)
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |alarm| alarm.links)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(alarm) = self.0.at_mut(node) {
            alarm.links = links;
        }
    }
}

impl Clocks {
    pub(super) fn new<M: Machine>(machine: &mut M) -> Self {
        Self {
            alarms: Arena::new(machine.reserve(64 << 20)),
            timed: Tree::new(),
            requests: Tree::new(),
            next: 0,
            due: 0,
            offset: 0,
            ports: [[None; 2]; 2],
        }
    }

    /// What alarms take.
    pub(super) fn usage(&self) -> Usage {
        Usage::of("alarms", &self.alarms)
    }

    /// How many alarms there are.
    pub fn len(&self) -> u32 {
        self.alarms.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.alarms.is_empty()
    }

    /// The port of a clock, once it is [set](Self::set_port).
    pub fn port(&self, clock: Clock, hand: Hand) -> Option<PortId> {
        self.ports[clock as usize][hand as usize]
    }

    /// Sets the port of a clock.
    pub fn set_port(&mut self, clock: Clock, hand: Hand, port: PortId) {
        self.ports[clock as usize][hand as usize] = Some(port);
    }

    /// A clock's time, in ns, when it is `now` since boot.
    pub fn time(&self, clock: Clock, now: Time) -> u64 {
        match clock {
            Clock::System => now,
            Clock::Calendar => now.wrapping_add(self.offset),
        }
    }

    fn tree(&mut self, told: Told) -> &mut Tree {
        match told {
            Told::Time(..) => &mut self.timed,
            Told::Calendar(_) => &mut self.requests,
        }
    }

    fn insert(&mut self, told: Told, index: u32) {
        let mut tree = *self.tree(told);
        tree.insert(&mut ByKey(&mut self.alarms), index);
        *self.tree(told) = tree;
    }

    fn remove(&mut self, index: u32) {
        let Some((told, key)) = self.alarms.at(index).map(|alarm| (alarm.told, alarm.key)) else {
            return;
        };
        let mut tree = *self.tree(told);
        tree.remove(&mut ByKey(&mut self.alarms), (key, index));
        *self.tree(told) = tree;
    }

    /// The alarm that fires first, and when: in the past, for a request that is due.
    fn first(&mut self) -> Option<(Time, u32)> {
        let nodes = ByKey(&mut self.alarms);
        if let Some(index) = self.requests.first(&nodes)
            && nodes.key(index).0 < self.due
        {
            return Some((0, index));
        }
        let index = self.timed.first(&nodes)?;
        Some((nodes.key(index).0, index))
    }

    /// When the first alarm fires.
    pub(super) fn first_time(&mut self) -> Time {
        self.first().map_or(NEVER, |(time, _)| time)
    }
}

impl Ipc {
    /// How many alarms a ledger pays for: each is a message.
    pub(crate) fn alarms_of(&self, payer: LedgerId) -> u64 {
        let alarms = &self.clocks.alarms;
        let all = (0..alarms.end()).filter_map(|index| alarms.at(index));
        all.filter(|alarm| alarm.payer == payer).count() as u64
    }

    /// Asks for a message at a time since boot, or when the calendar is set. The send-once right to `port` is the
    /// alarm's now.
    ///
    /// # Errors
    /// `ResourceShortage`: the right is still the caller's.
    pub fn add_alarm<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (told, at): (Told, Time),
        (port, payer): (PortId, LedgerId),
    ) -> KernResult<()> {
        cx.ledgers.charge(payer, Resource::Messages, 1)?;
        let made = self.new_alarm((told, at), (port, payer));
        let Some(id) = made else {
            cx.ledgers.release(payer, Resource::Messages, 1);
            return Err(KernReturn::ResourceShortage);
        };
        self.clocks.insert(told, id.index());
        self.fire_due(cx);
        Ok(())
    }

    fn new_alarm(
        &mut self,
        (told, at): (Told, Time),
        (port, payer): (PortId, LedgerId),
    ) -> Option<AlarmId> {
        // Both or neither: the notice is filled in when the alarm is there.
        let notice = self
            .notices
            .insert(Notice::new(Watch::Alarm(None), port, None))
            .ok()?;
        let key = match told {
            Told::Time(..) => at,
            Told::Calendar(_) => self.clocks.next,
        };
        let alarm = Alarm {
            told,
            notice,
            key,
            links: Links::LEAF,
            payer,
        };
        let Ok(id) = self.clocks.alarms.insert(alarm) else {
            self.notices.remove(notice);
            return None;
        };
        if let Told::Calendar(_) = told {
            self.clocks.next += 1;
        }
        if let Some(notice) = self.notices.get_mut(notice) {
            notice.watch = Watch::Alarm(Some(id));
        }
        self.watch_port(port, notice);
        Some(id)
    }

    /// The calendar is another one from now on; who asked hears of it.
    pub fn set_calendar<M: Machine>(&mut self, cx: &mut Context<'_, M>, time: u64) {
        self.clocks.offset = time.wrapping_sub(cx.machine.now());
        self.clocks.due = self.clocks.next;
        self.fire_due(cx);
    }

    /// Fires what is due, and sees to it that the rest is fired when its time comes.
    fn fire_due<M: Machine>(&mut self, cx: &mut Context<'_, M>) {
        let now = cx.machine.now();
        let next = self.fire_timers(now, STEP);
        cx.sched.set_port_deadline(cx.machine, cx.cpu, next);
    }

    /// Fires alarms whose time has come, at most `limit`; how many fewer it were.
    pub(super) fn fire_alarms(&mut self, now: Time, limit: u32) -> u32 {
        for left in (0..limit).rev() {
            let Some((_, index)) = self.clocks.first().filter(|(time, _)| *time <= now) else {
                return left + 1;
            };
            self.clocks.remove(index);
            let alarm = self.clocks.alarms.at(index);
            let Some((notice, id)) = alarm.map(|alarm| (alarm.notice, alarm.told.id())) else {
                continue;
            };
            let port = self.notices.get(notice).map(|notice| notice.notify);
            // A port that is being taken apart ends its alarms itself.
            if port.is_some_and(|port| self.ports.get(port).is_some()) {
                self.unwatch_port(notice);
                self.fire(notice, id, 0);
            }
        }
        0
    }

    /// An alarm's message is received: what it tells.
    pub(super) fn end_alarm(&mut self, ledgers: &mut Ledgers, id: AlarmId) -> [u64; WORDS] {
        let Some(alarm) = self.clocks.alarms.remove(id) else {
            return [0; WORDS];
        };
        ledgers.release(alarm.payer, Resource::Messages, 1);
        alarm.told.words()
    }

    /// The port that an alarm was to tell has died.
    pub(super) fn alarm_died(&mut self, ledgers: &mut Ledgers, notice: NoticeId, id: AlarmId) {
        self.unwatch_port(notice);
        self.notices.remove(notice);
        self.clocks.remove(id.index());
        self.end_alarm(ledgers, id);
    }
}
