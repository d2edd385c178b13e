//! Timers of ports: a deadline that becomes a pending word, and so a message (K-02).

use abi::kern_return::KernReturn;
use abi::names::{Name, right};

use super::port::Mark;
use super::{Context, Ipc, Ports};
use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId};
use crate::base::tree::{Links, Nodes};
use crate::machine::{Machine, NEVER, Time};

/// The tree's view of the ports: ordered by deadline, then by index.
struct ByDeadline<'a>(&'a mut Ports);

impl Nodes for ByDeadline<'_> {
    type Key = (Time, u32);

    fn key(&self, node: u32) -> Self::Key {
        (self.0.at(node).map_or(NEVER, |port| port.deadline), node)
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |port| port.timer)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(port) = self.0.at_mut(node) {
            port.timer = links;
        }
    }
}

impl Ipc {
    /// Arms the timer of a receive right, or disarms it with [`NEVER`]. An earlier deadline is replaced.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight`.
    pub fn arm_timer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        deadline: Time,
    ) -> KernResult<()> {
        let id = self.receive_right(space, name)?;
        self.disarm_timer(id.index());
        if deadline != NEVER {
            if let Some(port) = self.ports.get_mut(id) {
                port.deadline = deadline;
            }
            self.timers
                .insert(&mut ByDeadline(&mut self.ports), id.index());
        }
        cx.sched
            .set_port_deadline(cx.machine, cx.cpu, self.first_timer());
        Ok(())
    }

    /// `mk_timer_create`.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub fn create_timer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
    ) -> KernResult<Name> {
        let name = self.allocate(cx, space, right::RECEIVE)?;
        let id = self.receive_right(space, name)?;
        if let Some(port) = self.ports.get_mut(id) {
            port.mark = Mark::Timer;
        }
        Ok(name)
    }

    /// The deadline of a timer; [`NEVER`]: it is not armed.
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the receive right is no timer.
    pub fn timer(&mut self, space: SpaceId, name: Name) -> KernResult<Time> {
        let id = self.receive_right(space, name)?;
        let port = self.ports.get(id).filter(|port| port.mark == Mark::Timer);
        port.map(|port| port.deadline)
            .ok_or(KernReturn::InvalidArgument)
    }

    /// Whether a receive right is a timer's.
    pub(super) fn is_timer(&self, port: PortId) -> bool {
        let port = self.ports.get(port);
        port.is_some_and(|port| port.mark == Mark::Timer)
    }

    /// Forgets the timer of a port, if it is armed.
    pub(super) fn disarm_timer(&mut self, index: u32) {
        let Some(port) = self.ports.at(index) else {
            return;
        };
        let key = (port.deadline, index);
        if key.0 != NEVER {
            self.timers.remove(&mut ByDeadline(&mut self.ports), key);
            if let Some(port) = self.ports.at_mut(index) {
                port.deadline = NEVER;
            }
        }
    }

    /// Fires timers whose time has come, and alarms, at most `limit` together; answers the next deadline.
    pub fn fire_timers(&mut self, now: Time, limit: u32) -> Time {
        let left = self.fire_alarms(now, limit);
        for _ in 0..left {
            let Some(index) = self.timers.first(&ByDeadline(&mut self.ports)) else {
                break;
            };
            let Some(deadline) = self.ports.at(index).map(|port| port.deadline) else {
                break;
            };
            if deadline > now {
                break;
            }
            self.disarm_timer(index);
            if let Some(port) = self.ports.at_mut(index) {
                port.pending.timer = Some(deadline);
            }
            if let Some(id) = self.ports.id_at(index) {
                self.port_has_work(id);
            }
        }
        self.first_timer()
    }

    fn first_timer(&mut self) -> Time {
        let first = self.timers.first(&ByDeadline(&mut self.ports));
        let port = first.and_then(|index| self.ports.at(index));
        let deadline = port.map_or(NEVER, |port| port.deadline);
        deadline.min(self.clocks.first_time())
    }

    /// An interrupt of the device behind a port.
    ///
    /// # Errors
    /// `InvalidCapability`: the port is dead.
    pub fn interrupt(&mut self, id: PortId) -> KernResult<()> {
        let port = self
            .ports
            .get_mut(id)
            .ok_or(KernReturn::InvalidCapability)?;
        port.pending.interrupts = port.pending.interrupts.saturating_add(1);
        self.port_has_work(id);
        Ok(())
    }
}
