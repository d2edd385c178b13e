//! How much there is of everything, and whether the numbers agree: the leak oracle of all tests.

use abi::names::Name;

use super::Kernel;
use crate::base::ids::SpaceId;
use crate::ipc::entry::Rights;
use crate::ipc::tally::{Tally, WINDOW};
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
        self.check_rights()?;
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
            let mut count = 0;
            for (name, entry) in self.entries(space) {
                count += 1;
                let receives = entry.rights.intersects(Rights::RECEIVE | Rights::SET);
                let port = self.ipc.ports.find(entry.port).filter(|_| receives);
                if port.is_some_and(|port| (port.space, port.name) != (Some(space), name)) {
                    return Err("a port does not know who holds its receive right");
                }
            }
            if count != self.ipc.names.count(space) {
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

    /// Every port's counts against all rights that there are.
    fn check_rights(&self) -> Result<(), Broken> {
        for first in (0..self.ipc.ports.end()).step_by(WINDOW as usize) {
            let mut tally = Tally::new(&self.ipc.ports, first);
            self.ipc.find_rights(&mut tally);
            self.find_in_threads(&mut tally);
            self.tasks.find_rights(&mut tally);
            self.vm.memory_objects().for_each(|port| tally.send(port));
            tally.compare()?;
        }
        Ok(())
    }

    fn find_in_threads(&self, tally: &mut Tally<'_>) {
        let sched = &self.sched;
        for thread in (0..sched.threads.end()).filter_map(|index| sched.threads.at(index)) {
            if let Some(port) = thread.slot {
                tally.send_once(port);
            }
            if let Some(message) = thread.parked {
                self.ipc.find_on_the_way(message, tally);
            }
        }
        for actions in (0..sched.actions.end()).filter_map(|index| sched.actions.at(index)) {
            actions.ports().for_each(|port| tally.send(port));
        }
    }
}
