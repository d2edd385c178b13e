//! Clocks of the host (Mach's `clock` subsystem), and what they tell on their own.

use abi::clock::{CALENDAR_CHANGED, SECOND};
use abi::kern_return::KernReturn;
use macros::{Wire, interface};

use crate::bounded::List;

/// A time of a clock, or a span of time (`mach_timespec_t`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Wire)]
pub struct Time {
    /// Seconds.
    pub seconds: u32,
    /// Nanoseconds beside them, below 10⁹.
    pub nanoseconds: u32,
}

impl Time {
    /// So many nanoseconds.
    pub const fn of(nanoseconds: u64) -> Self {
        let seconds = nanoseconds / SECOND;
        if seconds > u32::MAX as u64 {
            return Self {
                seconds: u32::MAX,
                nanoseconds: SECOND as u32 - 1,
            };
        }
        Self {
            seconds: seconds as u32,
            nanoseconds: (nanoseconds % SECOND) as u32,
        }
    }

    /// All of it in nanoseconds; `None`: the nanoseconds are a second or more.
    pub const fn nanoseconds(self) -> Option<u64> {
        if self.nanoseconds as u64 >= SECOND {
            return None;
        }
        Some(self.seconds as u64 * SECOND + self.nanoseconds as u64)
    }
}

/// A clock. The ordinary right to it answers what is marked *privileged* with `NoAccess`.
#[interface(name = "org.mello.clock", subsystem = 1000)]
pub trait Clock {
    /// `clock_get_time`.
    async fn time(&mut self) -> Result<Time>;
    /// `clock_get_attributes`: one word, of `abi::clock::attribute`; `count` is how many words the caller has room for.
    ///
    /// `InvalidValue`: no such attribute. `Failure`: a count other than 1.
    async fn attributes(&self, flavor: u32, count: u32) -> Result<List<u32, 1>>;
    /// `clock_alarm`: a message ([`ClockReply::alarm`]) at a time, or after a span, of `abi::clock::kind`. A time that
    /// has passed or is none is told at once, the latter with `InvalidValue`.
    ///
    /// `Failure`: the calendar has no alarms. `ResourceShortage`: it counts as a message of the caller's until it is
    /// received.
    async fn alarm(&mut self, kind: u32, time: Time, port: SendOnce<dyn ClockReply>) -> Result<()>;
    /// `clock_set_time`. Who asked for it (`Host::request_notification`) hears of it. Privileged.
    ///
    /// `Failure`: this clock is not to be set. `InvalidValue`: a time that is none.
    async fn set_time(&mut self, time: Time) -> Result<()>;
}

/// Who hears of an alarm.
#[interface(name = "org.mello.clock-reply", subsystem = 3125107)]
pub trait ClockReply {
    /// `clock_alarm_reply`: its time has come, or `code` says why there is no such time.
    #[oneway]
    async fn alarm(&mut self, code: KernReturn, kind: u32, time: Time);
}

/// Who hears of changes of the host.
#[interface(name = "org.mello.host-watcher", subsystem = 950)]
pub trait HostNotify {
    /// The calendar was set.
    #[oneway]
    async fn calendar_changed(&mut self);
    /// The same, to who asked for `abi::clock::change::CALENDAR_SET`.
    #[oneway]
    async fn calendar_set(&mut self);
}

const _: () = assert!(<dyn HostNotify as abi::transport::Interface>::SUBSYSTEM == CALENDAR_CHANGED);
const _: () =
    assert!(<dyn ClockReply as abi::transport::Interface>::SUBSYSTEM == abi::clock::ALARM_REPLY);

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_and_nanoseconds() {
        let time = Time {
            seconds: 7,
            nanoseconds: 5,
        };
        assert_eq!(time.nanoseconds(), Some(7_000_000_005));
        assert_eq!(Time::of(7_000_000_005), time);
        let long = Time::of(u64::MAX);
        assert_eq!((long.seconds, long.nanoseconds), (u32::MAX, 999_999_999));
        let none = Time {
            nanoseconds: 1_000_000_000,
            ..time
        };
        assert_eq!(none.nanoseconds(), None);
    }
}
