//! How much there is of everything, and whether the numbers agree: the leak oracle of all tests.

use abi::names::Name;

use super::Kernel;
use crate::base::ids::{PortId, SpaceId};
use crate::ipc::entry::Rights;
use crate::machine::Machine;

/// How many objects exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Tasks.
    pub tasks: u32,
    /// Threads.
    pub threads: u32,
    /// What few threads have beside, and their exception ports.
    pub extras: u32,
    /// Semaphores.
    pub semaphores: u32,
    /// Ports and port sets, the kernel's own included.
    pub ports: u32,
    /// Names, of all tasks.
    pub names: u32,
    /// Queued and parked messages.
    pub messages: u32,
    /// Bodies of messages.
    pub bodies: u32,
    /// Port arrays of messages, and their parts.
    pub arrays: u32,
    /// Notices, armed and fired.
    pub notices: u32,
    /// Alarms, and requests for the calendar.
    pub alarms: u32,
    /// Memberships of port sets.
    pub memberships: u32,
    /// Ledgers.
    pub ledgers: u32,
    /// Address maps.
    pub maps: u32,
}

/// What is wrong with a structure.
pub type Broken = &'static str;

impl Kernel {
    /// Counts all objects.
    pub fn census(&self) -> Census {
        let names = self
            .ipc
            .names
            .space_ids()
            .map(|space| self.ipc.names.count(space))
            .sum();
        Census {
            tasks: self.tasks.arena.len(),
            threads: self.sched.threads.len(),
            extras: self.sched.extras.len() + self.sched.actions.len(),
            semaphores: self.sched.semaphores.len(),
            ports: self.ipc.ports.len(),
            names,
            messages: self.ipc.messages.len(),
            bodies: self.ipc.bodies.len(),
            arrays: self.ipc.arrays.len() + self.ipc.rows.len(),
            notices: self.ipc.notices.len(),
            alarms: self.ipc.clocks.len(),
            memberships: self.ipc.memberships.len(),
            ledgers: self.ledgers.len(),
            maps: self.vm.map_count(),
        }
    }

    /// Whether every count agrees with what it counts. Slow: for tests, after each step.
    ///
    /// # Errors
    /// The first disagreement.
    pub fn check<M: Machine>(&self, _machine: &M) -> Result<(), Broken> {
        self.sched.check_all()?;
        self.check_spaces()?;
        for index in 0..self.ipc.ports.end() {
            if let Some(id) = self.ipc.ports.id_at(index) {
                self.check_port(id)?;
            }
        }
        self.vm.check()?;
        self.check_ledgers()
    }

    /// Whether no CPU idles while a thread could run, and each runs and queues what it should. Quick: for tests, after
    /// each event.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check_schedule(&self) -> Result<(), Broken> {
        self.sched.check()
    }

    fn check_spaces(&self) -> Result<(), Broken> {
        for space in self.ipc.names.space_ids() {
            let count = self.entries(space).count();
            if count != self.ipc.names.count(space) as usize {
                return Err("a space miscounts its names");
            }
        }
        Ok(())
    }

    fn entries(
        &self,
        space: SpaceId,
    ) -> impl Iterator<Item = (Name, crate::ipc::entry::Entry)> + '_ {
        (0..self.ipc.names.end(space)).filter_map(move |index| {
            let name = self.ipc.names.name_at(space, index)?;
            self.ipc.names.get(space, name).map(|entry| (name, *entry))
        })
    }

    /// A port's counts against the names that hold rights to it, and its receive right against its space.
    fn check_port(&self, id: PortId) -> Result<(), Broken> {
        let Some(port) = self.ipc.ports.get(id) else {
            return Ok(());
        };
        let (mut senders, mut receivers) = (0, 0);
        for space in self.ipc.names.space_ids() {
            for (name, entry) in self
                .entries(space)
                .filter(|(_, entry)| entry.port == Some(id))
            {
                senders += u32::from(entry.rights.contains(Rights::SEND));
                if entry.rights.intersects(Rights::RECEIVE | Rights::SET) {
                    receivers += 1;
                    if port.space != Some(space) || port.name != name {
                        return Err("a port does not know who holds its receive right");
                    }
                }
            }
        }
        if receivers > 1 || (receivers == 0 && port.space.is_some()) {
            return Err("a port has not exactly one receive right");
        }
        if senders > port.send_rights {
            return Err("names hold more send rights than a port counts");
        }
        Ok(())
    }
}
