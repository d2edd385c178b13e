//! A clock's port.

use abi::clock::attribute;
use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::bounded::List;
use interfaces::clock::{Clock as ClockInterface, Time};

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve as dispatch};
use crate::base::KernResult;
use crate::ipc::alarm::{Clock, Hand, Told, deadline};
use crate::ipc::right::Right;
use crate::machine::{self, Machine};

/// The clock counts nanoseconds, and timers are set in them.
const RESOLUTION: u32 = 1;

struct ClockObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    clock: Clock,
    hand: Hand,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    (clock, hand): (Clock, Hand),
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn ClockInterface, _>(ClockObject { core, clock, hand }, request)
}

impl<M: Machine> Core<'_, M> {
    /// Keeps a send-once right of the request for a message that comes later.
    pub(super) fn add_alarm(&mut self, told: (Told, machine::Time), port: Held) -> KernResult<()> {
        let id = self.port_of(&port)?;
        let payer = self.payer()?;
        let layers = &mut self.layers;
        layers.ipc.add_alarm(&mut layers.cx, told, (id, payer))?;
        let taken = self.take(port);
        debug_assert_eq!(taken, Right::SendOnce(id), "the alarm has the right");
        Ok(())
    }
}

impl<M: Machine> ClockInterface for ClockObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn time(&mut self) -> Result<Time> {
        let now = self.core.layers.cx.machine.now();
        Ok(Time::of(self.core.layers.ipc.clocks.time(self.clock, now)))
    }

    async fn attributes(&self, flavor: u32, count: u32) -> Result<List<u32, 1>> {
        if count != 1 {
            return Err(KernReturn::Failure.into());
        }
        let word = match (flavor, self.clock) {
            (attribute::TIME_RESOLUTION, _) => RESOLUTION,
            (
                attribute::ALARM_RESOLUTION | attribute::ALARM_LEAST | attribute::ALARM_MOST,
                Clock::System,
            ) => RESOLUTION,
            _ => return Err(KernReturn::InvalidValue.into()),
        };
        let mut list = List::default();
        list.push(word);
        Ok(list)
    }

    async fn alarm(&mut self, kind: u32, time: Time, port: Held) -> Result<()> {
        if self.clock != Clock::System {
            return Err(KernReturn::Failure.into());
        }
        let now = self.core.layers.cx.machine.now();
        let told = match deadline(kind, time, now) {
            Ok(at) => (Told::Time(KernReturn::Success, kind, Time::of(at)), at),
            Err(_) => (Told::Time(KernReturn::InvalidValue, kind, time), now),
        };
        Ok(self.core.add_alarm(told, port)?)
    }

    async fn set_time(&mut self, time: Time) -> Result<()> {
        match (self.hand, self.clock) {
            (Hand::Ask, _) => return Err(KernReturn::NoAccess.into()),
            (Hand::Set, Clock::System) => return Err(KernReturn::Failure.into()),
            (Hand::Set, Clock::Calendar) => {}
        }
        let time = time.nanoseconds().ok_or(KernReturn::InvalidValue)?;
        let layers = &mut self.core.layers;
        layers.ipc.set_calendar(&mut layers.cx, time);
        Ok(())
    }
}
