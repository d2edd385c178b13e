//! The right that a letter encloses: what the fast path does for it before and after it passes the letter on.
//!
//! Before, nothing changes, and all that could fail is looked at; so the right goes from name to name without a body, and
//! without being anybody's in between. What is left to the general path: receive rights, whose ports have receivers and
//! sets to leave; rights that died; names whose end is watched; and a receiver whose table has to grow.

use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};

use super::layout::{read_descriptor, right_at, write_descriptor};
use super::right::needed;
use super::{Context, Ipc};
use crate::base::ids::{SpaceId, ThreadId};
use crate::base::ledger::{Ledgers, Resource};
use crate::machine::{Direct, Machine, Page, Request};
use crate::sched::{Flags, Sched, Thread};

/// A right that can go from a space to another one, now.
#[must_use = "what a receiver finds in its buffer is the sender's descriptor until the right is handed over"]
pub struct Enclosure {
    from: (SpaceId, Name),
    disposition: u8,
    to: SpaceId,
    /// The receiver's name for the port, if it has one that the right joins.
    held: Option<Name>,
    /// The first page of the receiver's buffer.
    page: Page,
}

/// Whether nothing is special about a thread that would take a message from the fast path. That itself looks again.
fn is_plain(thread: &Thread) -> bool {
    (thread.flags - Flags::SLOT_FULL).is_empty()
}

impl Ipc {
    /// The right that a message encloses as its one descriptor, if whoever waits for the message can be given it.
    /// Changes nothing.
    ///
    /// Valid for as long as nothing changes but that the fast path passes this message on.
    pub fn find_enclosure<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        sender: ThreadId,
        request: Request,
    ) -> Option<Enclosure> {
        let sender = cx.sched.threads.get(sender)?;
        let page = sender.buffer_page.filter(|_| is_plain(sender))?;
        let Descriptor {
            kind: descriptor::PORT,
            disposition,
            name,
            ..
        } = read_descriptor(cx.machine, page, 0)
        else {
            return None;
        };
        let receiver = self.next_receiver(cx.sched, sender, request)?;
        let page = receiver.buffer_page.filter(|_| is_plain(receiver))?;
        let (space, to) = (sender.space, receiver.space);
        // In one space the right might leave the very name that it is to join.
        if space == to {
            return None;
        }
        let name = Name(name);
        let held = self.place_for(cx.ledgers, (space, name), disposition, to)?;
        Some(Enclosure {
            from: (space, name),
            disposition,
            to,
            held,
            page,
        })
    }

    /// Who gets a message if the fast path passes it on.
    fn next_receiver<'a>(
        &self,
        sched: &'a Sched,
        sender: &Thread,
        request: Request,
    ) -> Option<&'a Thread> {
        let receiver = match request.direct {
            Direct::Call => {
                let names = (sender.space, sender.first_names);
                let entry = self.names.get_alone(names, request.names)?;
                let port = self.ports.get(entry.port?)?;
                let waiting = match port.receivers.is_empty() {
                    true => self.ports.get(port.set?)?,
                    false => port,
                };
                waiting.receivers.first()
            }
            Direct::Reply => sender.slot_of,
            Direct::Send | Direct::Exchange => None,
        };
        sched.threads.get(receiver?)
    }

    /// Whether a right can leave a name and enter another space, and which name it joins there.
    fn place_for(
        &mut self,
        ledgers: &Ledgers,
        (space, name): (SpaceId, Name),
        disposition: u8,
        to: SpaceId,
    ) -> Option<Option<Name>> {
        if disposition == disposition::MOVE_RECEIVE {
            return None;
        }
        let entry = self.names.get(space, name)?;
        let moves = matches!(
            disposition,
            disposition::MOVE_SEND | disposition::MOVE_SEND_ONCE
        );
        if !entry.rights.contains(needed(disposition)?) || moves && entry.request.is_some() {
            return None;
        }
        let port = entry.port?;
        self.ports.get(port)?;
        let once = matches!(
            disposition,
            disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE
        );
        let held = match once {
            true => None,
            false => self.names.name_of(to, port),
        };
        (held.is_some() || self.has_place(ledgers, to)).then_some(held)
    }

    /// Whether a space can have one more name at once.
    fn has_place(&self, ledgers: &Ledgers, space: SpaceId) -> bool {
        self.names.has_free_name(space)
            && self.names.space(space).is_some_and(|space| {
                space.watch.is_none() && ledgers.has_room(space.ledger, Resource::Names)
            })
    }

    /// Gives the receiver the right: its message was passed on.
    pub fn hand_over<M: Machine>(&mut self, cx: &mut Context<'_, M>, enclosure: &Enclosure) {
        let Enclosure {
            from: (space, name),
            disposition,
            to,
            held,
            page,
        } = *enclosure;
        let right = self.copy_in(cx, space, name, disposition);
        let disposition = right.disposition();
        let name = self.put(cx, to, right, held).unwrap_or_else(|right| {
            debug_assert!(false, "there was a place for it");
            self.release(right);
            Name::NULL
        });
        write_descriptor(cx.machine, page, 0, right_at(name, disposition));
    }
}
