//! The port traps.

use std::collections::BTreeSet;

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition, port_type, queue_limit, right};
use abi::notify;
use abi::trap::{self as number, attribute, construct};

use super::task::{Entered, replace_slot};
use super::world::{Entry, Outcome, Port, Queued, Right};

/// One trap on the calling task's space.
pub(super) fn trap(entered: &mut Entered, trap: i64, arguments: [u64; 6]) -> Outcome<u64> {
    let [first, second, third, fourth, ..] = arguments;
    let name = Name(first as u32);
    match trap {
        number::PORT_ALLOCATE => match first as u32 {
            right::RECEIVE => entered.construct(0, 0, 0),
            right::PORT_SET => entered.construct(construct::PORT_SET, 0, 0),
            _ => Err(KernReturn::InvalidValue),
        },
        number::PORT_CONSTRUCT => entered.construct(first, second, third),
        number::PORT_DEALLOCATE if name == Name::REPLY_SLOT => match replace_slot(Right::Null) {
            Right::Null => Err(KernReturn::InvalidName),
            right => {
                entered.world.destroy(right);
                Ok(0)
            }
        },
        number::PORT_DEALLOCATE => entered.deallocate(name),
        number::PORT_MOD_REFS => entered.mod_refs(name, second as u32, third.cast_signed()),
        number::PORT_DESTRUCT => entered.mod_refs(name, right::RECEIVE, -1),
        number::PORT_GET_REFS => entered.refs(name, second as u32),
        number::PORT_INSERT_RIGHT => entered.insert_right(name, Name(second as u32), third as u8),
        number::PORT_INSERT_MEMBER => entered.insert_member(name, Name(second as u32)),
        number::PORT_EXTRACT_MEMBER => entered.extract_member(name, Name(second as u32)),
        number::PORT_TYPE => entered.kind(name),
        number::PORT_SET_LABEL => {
            entered.receiver(name)?.label = second;
            Ok(0)
        }
        number::PORT_GET_ATTRIBUTE => entered.attribute(name, second),
        number::PORT_SET_ATTRIBUTE if second == attribute::QUEUE_LIMIT => {
            if third > u64::from(queue_limit::MAX) {
                return Err(KernReturn::InvalidValue);
            }
            entered.receiver(name)?.limit = third as usize;
            Ok(0)
        }
        number::PORT_REQUEST_NOTIFICATION => {
            entered.request(name, second as i32, third, Name(fourth as u32))
        }
        number::TIMER_ARM => {
            entered.receiver(name)?.timer = (second != u64::MAX).then_some(second);
            Ok(0)
        }
        number::REPLY_SLOT_TAKE => match replace_slot(Right::Null) {
            Right::Null => Err(KernReturn::InvalidName),
            right => Ok(u64::from(entered.world.copy_out(entered.space, right).0.0)),
        },
        _ => Err(KernReturn::NotSupported),
    }
}

impl Entered {
    fn entry(&mut self, name: Name) -> Outcome<&mut Entry> {
        let space = self
            .world
            .spaces
            .get_mut(&self.space)
            .ok_or(KernReturn::InvalidTask)?;
        space.entries.get_mut(&name).ok_or(KernReturn::InvalidName)
    }

    fn tidy(&mut self, name: Name) {
        if let Some(space) = self.world.spaces.get_mut(&self.space) {
            space.tidy(name);
        }
    }

    fn receiver(&mut self, name: Name) -> Outcome<&mut Port> {
        let entry = self.entry(name)?;
        if !entry.receive {
            return Err(KernReturn::InvalidRight);
        }
        let port = entry.port;
        self.world
            .ports
            .get_mut(&port)
            .ok_or(KernReturn::InvalidRight)
    }

    fn construct(&mut self, flags: u64, limit: u64, label: u64) -> Outcome<u64> {
        let space = self.space;
        let mut entry = Entry::default();
        if flags & construct::PORT_SET != 0 {
            entry.members = Some(BTreeSet::new());
        } else {
            entry.port = self.world.new_port();
            entry.receive = true;
            entry.send = flags & construct::INSERT_SEND;
        }
        let (id, send) = (entry.port, entry.send);
        let space = self
            .world
            .spaces
            .get_mut(&space)
            .ok_or(KernReturn::InvalidTask)?;
        let name = space.insert(entry);
        if let Some(port) = self.world.ports.get_mut(&id) {
            (port.send_rights, port.made) = (send, send);
            port.label = if flags & construct::LABEL != 0 {
                label
            } else {
                u64::from(name.0)
            };
            if flags & construct::QUEUE_LIMIT != 0 {
                port.limit = limit as usize;
            }
        }
        Ok(u64::from(name.0))
    }

    fn deallocate(&mut self, name: Name) -> Outcome<u64> {
        let entry = self.entry(name)?;
        let kind = match entry {
            entry if entry.members.is_some() => right::PORT_SET,
            entry if entry.once => right::SEND_ONCE,
            entry if entry.send > 0 => right::SEND,
            entry if entry.dead > 0 => right::DEAD_NAME,
            _ => return Err(KernReturn::InvalidRight),
        };
        self.mod_refs(name, kind, -1)
    }

    fn mod_refs(&mut self, name: Name, kind: u32, delta: i64) -> Outcome<u64> {
        let entry = self.entry(name)?;
        let port = entry.port;
        let count = |count: u64| {
            count
                .checked_add_signed(delta)
                .ok_or(KernReturn::InvalidValue)
        };
        match kind {
            right::SEND if entry.send > 0 => {
                entry.send = count(entry.send)?;
                let gone = entry.send == 0;
                let request = if gone { entry.request.take() } else { None };
                if let Some(port) = self.world.ports.get_mut(&port) {
                    port.send_rights = port.send_rights.wrapping_add_signed(delta);
                }
                if let Some(once) = request {
                    let word = u64::from(name.0);
                    let message = Queued::notification(notify::PORT_DELETED, word);
                    self.world.notify(once, message);
                }
                self.world.check_no_senders(port);
            }
            right::DEAD_NAME if entry.dead > 0 => entry.dead = count(entry.dead)?,
            _ if delta == 0 => {}
            _ if delta != -1 => return Err(KernReturn::InvalidValue),
            right::SEND_ONCE if entry.once => {
                entry.once = false;
                self.world.destroy(Right::Once(port));
            }
            right::PORT_SET if entry.members.is_some() => entry.members = None,
            right::RECEIVE if entry.receive => {
                entry.receive = false;
                self.world.destroy_port(port);
            }
            _ => return Err(KernReturn::InvalidRight),
        }
        self.tidy(name);
        Ok(0)
    }

    fn refs(&mut self, name: Name, kind: u32) -> Outcome<u64> {
        let entry = self.entry(name)?;
        Ok(match kind {
            right::SEND => entry.send,
            right::DEAD_NAME => entry.dead,
            right::RECEIVE => u64::from(entry.receive),
            right::SEND_ONCE => u64::from(entry.once),
            right::PORT_SET => u64::from(entry.members.is_some()),
            _ => return Err(KernReturn::InvalidValue),
        })
    }

    fn insert_right(&mut self, name: Name, source: Name, how: u8) -> Outcome<u64> {
        let space = self.space;
        if name != source || how != disposition::MAKE_SEND {
            // What `ReceiveRight::make_send` needs; the kernel knows the rest.
            return Err(KernReturn::NotSupported);
        }
        let right = self.world.copy_in(space, source, how)?;
        self.world.copy_out(space, right);
        Ok(0)
    }

    fn members(&mut self, member: Name, set: Name) -> Outcome<&mut BTreeSet<Name>> {
        self.receiver(member)?;
        let entry = self.entry(set)?;
        entry.members.as_mut().ok_or(KernReturn::InvalidRight)
    }

    fn insert_member(&mut self, member: Name, set: Name) -> Outcome<u64> {
        if self.members(member, set)?.insert(member) {
            Ok(0)
        } else {
            Err(KernReturn::AlreadyInSet)
        }
    }

    fn extract_member(&mut self, member: Name, set: Name) -> Outcome<u64> {
        if self.members(member, set)?.remove(&member) {
            Ok(0)
        } else {
            Err(KernReturn::NotInSet)
        }
    }

    fn kind(&mut self, name: Name) -> Outcome<u64> {
        let entry = self.entry(name)?;
        let bits = [
            (entry.send > 0, port_type::SEND),
            (entry.receive, port_type::RECEIVE),
            (entry.once, port_type::SEND_ONCE),
            (entry.members.is_some(), port_type::PORT_SET),
            (entry.dead > 0, port_type::DEAD_NAME),
            (entry.request.is_some(), port_type::DEAD_NAME_REQUEST),
        ];
        let held = bits.into_iter().filter(|(held, _)| *held);
        Ok(u64::from(held.fold(0, |all, (_, bit)| all | bit)))
    }

    fn attribute(&mut self, name: Name, which: u64) -> Outcome<u64> {
        let port = self.receiver(name)?;
        Ok(match which {
            attribute::QUEUE_LIMIT => port.limit as u64,
            attribute::MESSAGE_COUNT => port.queue.len() as u64,
            attribute::MAKE_SEND_COUNT => port.made,
            attribute::SEQUENCE => port.sequence,
            attribute::SEND_RIGHTS => port.send_rights,
            attribute::SEND_ONCE_RIGHTS => port.once_rights,
            attribute::LABEL => port.label,
            _ => return Err(KernReturn::InvalidValue),
        })
    }

    fn request(&mut self, name: Name, id: i32, sync: u64, to: Name) -> Outcome<u64> {
        let once = match to {
            Name::NULL => None,
            to => match self
                .world
                .copy_in(self.space, to, disposition::MAKE_SEND_ONCE)?
            {
                Right::Once(port) => Some(port),
                _ => return Err(KernReturn::InvalidCapability),
            },
        };
        let previous = self.arm(name, id, sync, once).inspect_err(|_| {
            if let Some(once) = once
                && let Some(port) = self.world.ports.get_mut(&once)
            {
                port.once_rights -= 1;
            }
        })?;
        Ok(match previous {
            Some(port) => {
                let right = Right::Once(port);
                u64::from(self.world.copy_out(self.space, right).0.0)
            }
            None => 0,
        })
    }

    fn arm(&mut self, name: Name, id: i32, sync: u64, once: Option<u64>) -> Outcome<Option<u64>> {
        match id {
            notify::NO_SENDERS => {
                let port = self.receiver(name)?;
                let new = once.map(|once| (once, sync));
                let previous = std::mem::replace(&mut port.no_senders, new);
                let port = self.entry(name)?.port;
                self.world.check_no_senders(port);
                Ok(previous.map(|(once, _)| once))
            }
            notify::PORT_DESTROYED => {
                let port = self.receiver(name)?;
                Ok(std::mem::replace(&mut port.destroyed, once))
            }
            notify::DEAD_NAME => {
                let entry = self.entry(name)?;
                if entry.dead > 0 {
                    let once = once.ok_or(KernReturn::InvalidArgument)?;
                    entry.dead += 1;
                    let word = u64::from(name.0);
                    self.world
                        .notify(once, Queued::notification(notify::DEAD_NAME, word));
                    return Ok(None);
                }
                Ok(std::mem::replace(&mut entry.request, once))
            }
            _ => Err(KernReturn::InvalidValue),
        }
    }
}
