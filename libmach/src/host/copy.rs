//! Rights between a space and a message: copyin and copyout.

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};

use super::world::{Entry, Outcome, Right, SpaceId, World};

impl World {
    /// Takes or makes a right out of a space, as `how` says.
    pub(super) fn copy_in(&mut self, space: SpaceId, name: Name, how: u8) -> Outcome<Right> {
        match name {
            Name::NULL => return Ok(Right::Null),
            Name::DEAD => return Ok(Right::Dead),
            _ => {}
        }
        let found = self.spaces.get_mut(&space).ok_or(KernReturn::InvalidTask)?;
        let entry = found
            .entries
            .get_mut(&name)
            .ok_or(KernReturn::InvalidName)?;
        let port = entry.port;
        let right = match how {
            disposition::MOVE_SEND | disposition::MOVE_SEND_ONCE if entry.dead > 0 => {
                entry.dead -= 1;
                Right::Dead
            }
            disposition::COPY_SEND if entry.dead > 0 => Right::Dead,
            disposition::MOVE_SEND if entry.send > 0 => {
                entry.send -= 1;
                Right::Send(port)
            }
            disposition::MOVE_SEND_ONCE if entry.once => {
                entry.once = false;
                Right::Once(port)
            }
            disposition::COPY_SEND if entry.send > 0 => {
                self.count(port, |port| port.send_rights += 1);
                Right::Send(port)
            }
            disposition::MAKE_SEND if entry.receive => {
                self.count(port, |port| {
                    port.send_rights += 1;
                    port.made += 1;
                });
                Right::Send(port)
            }
            disposition::MAKE_SEND_ONCE if entry.receive => {
                self.count(port, |port| port.once_rights += 1);
                Right::Once(port)
            }
            disposition::MOVE_RECEIVE if entry.receive => {
                entry.receive = false;
                self.count(port, |port| {
                    (port.made, port.sequence, port.timer, port.label) = (0, 0, None, 0);
                });
                Right::Receive(port)
            }
            _ => return Err(KernReturn::InvalidRight),
        };
        if let Some(space) = self.spaces.get_mut(&space) {
            space.tidy(name);
        }
        Ok(right)
    }

    fn count(&mut self, port: u64, change: impl FnOnce(&mut super::world::Port)) {
        if let Some(port) = self.ports.get_mut(&port) {
            change(port);
        }
    }

    /// Puts a right into a space; answers with its name and what it is now.
    pub(super) fn copy_out(&mut self, space: SpaceId, right: Right) -> (Name, u8) {
        let (port, how) = match right {
            Right::Null => return (Name::NULL, disposition::NONE),
            Right::Dead => return (Name::DEAD, disposition::MOVE_SEND),
            Right::Send(port) => (port, disposition::MOVE_SEND),
            Right::Once(port) => (port, disposition::MOVE_SEND_ONCE),
            Right::Receive(port) => (port, disposition::MOVE_RECEIVE),
        };
        if !self.ports.contains_key(&port) {
            return (Name::DEAD, how);
        }
        let Some(found) = self.spaces.get_mut(&space) else {
            self.destroy(right);
            return (Name::NULL, how);
        };
        if how == disposition::MOVE_SEND_ONCE {
            return (
                found.insert(Entry {
                    port,
                    once: true,
                    ..Entry::default()
                }),
                how,
            );
        }
        let held = found.entries.iter_mut().find(|(_, entry)| {
            entry.port == port && (entry.send > 0 || entry.receive) && entry.members.is_none()
        });
        let send = u64::from(how == disposition::MOVE_SEND);
        let name = match held {
            Some((name, entry)) => {
                entry.send += send;
                entry.receive |= send == 0;
                *name
            }
            None => found.insert(Entry {
                port,
                send,
                receive: send == 0,
                ..Entry::default()
            }),
        };
        if send == 0
            && let Some(port) = self.ports.get_mut(&port)
        {
            port.label = u64::from(name.0);
        }
        (name, how)
    }
}
