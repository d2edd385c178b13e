//! What happens: deaths, ports that come back, first messages, time.

use alloc::format;
use alloc::vec::Vec;

use abi::names::Name;
use abi::notify;
use abi::transport::Incoming;
use interfaces::log::Level;
use interfaces::supervisor::State;
use libmach::server::Message;
use libmach::{DeadName, Mach, ReceiveRight, abi, time};

use super::Hub;
use crate::launch::Launcher;
use crate::life::Order;
use crate::registry::Owner;

impl<L: Launcher> Hub<L> {
    /// A notification came: a service's port is back, or a port died. The ports of the subsets that
    /// ended with it are the caller's to end.
    #[must_use]
    pub fn notified(&mut self, mut message: Message) -> Vec<Name> {
        match message.id {
            notify::PORT_DESTROYED => {
                let port = Incoming::<Mach>::receive(&mut message.content);
                if let Ok(port) = port {
                    self.port_is_back(port);
                }
            }
            notify::DEAD_NAME => {
                let port = Name(message.word() as u32);
                self.port_died(port);
                let ended = self.requestor_died(port);
                // The notification brought one more reference.
                drop(DeadName::from_name(port));
                return ended;
            }
            _ => {}
        }
        Vec::new()
    }

    fn port_is_back(&mut self, port: ReceiveRight) {
        let Some(service) = self.registry.by_port(port.name()) else {
            return;
        };
        service.put_back(port);
        if let Owner::Unit(index) = service.owner() {
            let order = match self.units[index].postponed.take() {
                // Postponed again while another port is missing.
                Some(_) => Order::Start,
                None => self.units[index].life.at_rest(),
            };
            self.carry_out(index, order);
        }
    }

    fn port_died(&mut self, port: Name) {
        let is_it = |unit: &super::Unit| unit.task.as_ref().is_some_and(|t| t.port.name() == port);
        if let Some(index) = self.units.iter().position(is_it) {
            let unit = &mut self.units[index];
            if let Some(task) = unit.task.take() {
                self.registry.forget_of(task.identity);
            }
            let order = unit.life.gone(time::now());
            self.log_state(index);
            self.carry_out(index, order);
        } else if let Some(program) = self.programs.by_port(port) {
            let name = program.manifest.name.clone();
            self.registry.forget_of(program.identity);
            let end = program.gone();
            let text = format!("{name}: {:?} {}", end.how, end.value);
            self.log(Level::Debug, &text);
        }
        // A task's port may have been registered too.
        self.registry.forget(port);
    }

    /// A message came to the service whose port this task knows as `port`, while no server had it.
    pub fn arrived(&mut self, port: Name) {
        let Some(Owner::Unit(index)) = self.registry.by_port(port).map(|s| s.owner()) else {
            return;
        };
        let life = &mut self.units[index].life;
        let order = match life.info().state {
            State::Idle => life.wanted(),
            _ => life.at_rest(),
        };
        self.carry_out(index, order);
    }

    /// Time has come.
    pub fn ticked(&mut self) {
        self.armed = u64::MAX;
        let now = time::now();
        for index in 0..self.units.len() {
            let order = match self.units[index].postponed {
                Some(until) if until <= now => self.launch_unit(index),
                _ => self.units[index].life.tick(now),
            };
            self.carry_out(index, order);
        }
        self.arm_clock();
    }

    /// Messages to a unit that has failed already are refused.
    pub(super) fn watch_if_failed(&self, index: usize) {
        if self.units[index].life.info().state == State::Failed {
            self.watch(index);
        }
    }
}
