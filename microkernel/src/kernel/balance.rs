//! Whether every ledger holds what its task has, and nothing else: a part of [`Kernel::check`].
//!
//! Everything that is charged is counted anew from the object that it was charged for, which knows who pays.

use super::Kernel;
use super::census::Broken;
use crate::base::ledger::{LedgerId, RESOURCES, Resource};
use crate::ipc::message::Message;
use crate::ipc::notice::NOTICE_BYTES;
use crate::ipc::ops::PORT_BYTES;
use crate::task::THREAD_BYTES;
use crate::task::actions::ACTIONS_BYTES;

impl Kernel {
    /// Counts what is charged to each ledger.
    pub(super) fn check_ledgers(&self) -> Result<(), Broken> {
        for id in self.ledgers.ids() {
            if !self.ledgers.carves_what_children_have(id) {
                return Err("a ledger miscounts what is carved from it");
            }
            let mut held = [0; RESOURCES];
            self.count_ports_and_messages(id, &mut held);
            self.count_threads(id, &mut held);
            let (pages, bytes) = self.vm.charged(id);
            held[Resource::Pages as usize] += pages;
            held[Resource::KernelBytes as usize] += bytes;
            for (what, broken) in WRONG {
                if self.ledgers.own(id, what) != held[what as usize] {
                    return Err(broken);
                }
            }
            if self.ledgers.away(id) != self.vm.away(id) {
                return Err("a ledger miscounts pages that were put away");
            }
        }
        Ok(())
    }

    fn count_ports_and_messages(&self, id: LedgerId, held: &mut [u64; RESOURCES]) {
        let names = &self.ipc.names;
        for space in names.space_ids() {
            if names.space(space).is_some_and(|space| space.ledger == id) {
                held[Resource::Names as usize] += u64::from(names.count(space));
            }
        }
        let ports = (0..self.ipc.ports.end()).filter_map(|index| self.ipc.ports.at(index));
        let ports = ports.filter(|port| port.payer == Some(id)).count() as u64;
        held[Resource::KernelBytes as usize] += ports * PORT_BYTES + self.ipc.array_bytes(id);
        held[Resource::Messages as usize] += self.ipc.alarms_of(id);
        let notices = (0..self.ipc.notices.end()).filter_map(|index| self.ipc.notices.at(index));
        let notices = notices.filter(|notice| notice.payer == Some(id)).count() as u64;
        held[Resource::KernelBytes as usize] += notices * NOTICE_BYTES;
        let messages = (0..self.ipc.messages.end()).filter_map(|index| self.ipc.messages.at(index));
        let of = |message: &&Message| message.payer == Some(id);
        for message in messages.filter(of) {
            held[Resource::Messages as usize] += 1;
            held[Resource::Pages as usize] += self.ipc.body_pages(message);
        }
    }

    fn count_threads(&self, id: LedgerId, held: &mut [u64; RESOURCES]) {
        let threads = (0..self.sched.threads.end()).filter_map(|at| self.sched.threads.at(at));
        for thread in threads {
            let task = self.tasks.arena.get(thread.task);
            if task.is_none_or(|task| task.ledger != id) {
                continue;
            }
            held[Resource::Threads as usize] += 1;
            held[Resource::KernelBytes as usize] += THREAD_BYTES;
            let extra = thread.extra.and_then(|extra| self.sched.extras.get(extra));
            if extra.is_some_and(|extra| extra.actions.is_some()) {
                held[Resource::KernelBytes as usize] += ACTIONS_BYTES;
            }
        }
    }
}

/// What is said of each resource.
const WRONG: [(Resource, Broken); RESOURCES] = [
    (Resource::Names, "a ledger miscounts names"),
    (Resource::Messages, "a ledger miscounts messages"),
    (Resource::Threads, "a ledger miscounts threads"),
    (Resource::Pages, "a ledger miscounts pages"),
    (
        Resource::KernelBytes,
        "a ledger miscounts bytes of kernel memory",
    ),
];
