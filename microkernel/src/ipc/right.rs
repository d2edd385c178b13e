//! Rights on their way: out of a space (copy-in), into a space (copy-out), and to their end.

use abi::names::{MAX_UREFS, Name, disposition};

use super::entry::{Entry, Rights};
use super::port::{Kind, Mark};
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{ChunkId, PortId, SpaceId};
use crate::base::ledger::Resource;
use crate::machine::Machine;

/// A right that no name holds: in a message, a slot or a request, or just between.
///
/// Not `Clone`: whoever has one gives it on or [releases](Ipc::release) it.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "a right that is dropped is lost; release it"]
pub enum Right {
    /// None.
    None,
    /// One that died.
    Dead,
    /// A send right.
    Send(PortId),
    /// A send-once right.
    SendOnce(PortId),
    /// The receive right.
    Receive(PortId),
}

impl Right {
    /// What it is to who gets it: as if it had been moved.
    pub(super) fn disposition(&self) -> u8 {
        match self {
            Right::Receive(_) => disposition::MOVE_RECEIVE,
            Right::SendOnce(_) => disposition::MOVE_SEND_ONCE,
            Right::Send(_) | Right::None | Right::Dead => disposition::MOVE_SEND,
        }
    }
}

/// Why a name and a disposition do not make a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The name denotes nothing, or not the right that the disposition needs, or one that stays where it is.
    NoRight,
    /// The disposition is none.
    BadDisposition,
}

impl Ipc {
    /// What a name denotes, once rights to dead ports have become dead names.
    pub fn look_up(&mut self, space: SpaceId, name: Name) -> Option<&mut Entry> {
        let entry = self.names.get(space, name)?;
        let port = entry.port;
        if port.is_some_and(|port| self.ports.get(port).is_none()) {
            self.names.make_dead(space, name);
        }
        self.names.get_mut(space, name)
    }

    /// The live port to which a name holds one of these rights.
    #[inline(always)]
    pub(super) fn held(
        &self,
        names: (SpaceId, ChunkId),
        name: Name,
        wanted: Rights,
    ) -> Option<PortId> {
        let entry = self.names.get_near(names, name)?;
        let port = entry.port.filter(|_| entry.rights.intersects(wanted))?;
        self.ports.get(port).map(|_| port)
    }

    /// Whether [`copy_in`](Self::copy_in) would find what it needs. Changes nothing.
    ///
    /// `Ok(true)`: the right is dead, and would arrive as dead.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn can_copy_in(
        &self,
        space: SpaceId,
        name: Name,
        disposition: u8,
    ) -> Result<bool, Refusal> {
        let needed = needed(disposition).ok_or(Refusal::BadDisposition)?;
        let entry = self.names.get(space, name).ok_or(Refusal::NoRight)?;
        let port = entry.port;
        // What `look_up` would make of it.
        let died = port.is_some_and(|port| self.ports.get(port).is_none());
        let rights = if died { Rights::DEAD } else { entry.rights };
        if rights == Rights::DEAD && !needed.contains(Rights::RECEIVE) {
            return Ok(true);
        }
        let held = rights.contains(needed);
        if !held || disposition == disposition::MOVE_RECEIVE && self.stays(port) {
            Err(Refusal::NoRight)
        } else {
            Ok(false)
        }
    }

    /// Takes a right out of a space, or makes or copies one from it.
    ///
    /// [`can_copy_in`](Self::can_copy_in) must have said yes; else the answer is [`Right::None`].
    pub fn copy_in<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        disposition: u8,
    ) -> Right {
        let Some(entry) = self.look_up(space, name) else {
            return Right::None;
        };
        if entry.rights == Rights::DEAD {
            // A moved right that died on the spot takes its user reference with it (M-07).
            if disposition == disposition::MOVE_SEND || disposition == disposition::MOVE_SEND_ONCE {
                self.drop_uref(cx, space, name);
            }
            return Right::Dead;
        }
        let Some(id) = entry.port else {
            return Right::None;
        };
        match disposition {
            disposition::MOVE_RECEIVE => self.take_receive(cx, space, name, id),
            disposition::MOVE_SEND => self.take_send(cx, space, name, id),
            disposition::MOVE_SEND_ONCE => {
                self.forget(cx, space, name);
                Right::SendOnce(id)
            }
            disposition::COPY_SEND => {
                self.add_send(id);
                Right::Send(id)
            }
            disposition::MAKE_SEND => {
                if let Some(port) = self.ports.get_mut(id) {
                    port.make_send = port.make_send.wrapping_add(1);
                }
                self.add_send(id);
                Right::Send(id)
            }
            disposition::MAKE_SEND_ONCE => self.make_send_once(id),
            _ => Right::None,
        }
    }

    /// A new send-once right to a port.
    pub fn make_send_once(&mut self, id: PortId) -> Right {
        if let Some(port) = self.ports.get_mut(id)
            && !matches!(port.kind, Kind::Reply(_))
        {
            port.send_once_rights += 1;
        }
        Right::SendOnce(id)
    }

    /// A new send right to a port, as the kernel makes it.
    pub fn make_send(&mut self, id: PortId) -> Right {
        self.add_send(id);
        Right::Send(id)
    }

    /// Puts a right into a space; the answer is its name there.
    ///
    /// Send and receive rights join the name that the space has for the port already (P-03); send-once
    /// rights never do (P-04). A right that died on the way becomes [`Name::DEAD`].
    ///
    /// # Errors
    /// The right itself: no name could be made for it.
    pub fn copy_out<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        right: Right,
    ) -> Result<Name, Right> {
        let held = match right {
            Right::Send(id) | Right::Receive(id) => self.names.name_of(space, id),
            Right::None | Right::Dead | Right::SendOnce(_) => None,
        };
        self.put(cx, space, right, held)
    }

    /// As [`copy_out`](Self::copy_out), into the name that it joins, if it does.
    pub(super) fn put<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        right: Right,
        held: Option<Name>,
    ) -> Result<Name, Right> {
        let (id, kind) = match right {
            Right::None => return Ok(Name::NULL),
            Right::Dead => return Ok(Name::DEAD),
            Right::Send(id) => (id, Rights::SEND),
            Right::SendOnce(id) => (id, Rights::SEND_ONCE),
            Right::Receive(id) => (id, Rights::RECEIVE),
        };
        if self.ports.get(id).is_none() {
            return Ok(Name::DEAD);
        }
        let name = match held {
            Some(name) => {
                self.join(space, name, id, kind);
                name
            }
            None => match self.new_name(cx, space, id, kind) {
                Ok(name) => name,
                Err(Shortage) => return Err(right),
            },
        };
        if kind == Rights::RECEIVE {
            self.receive_right_arrived(id, space, name);
        }
        Ok(name)
    }

    /// A new name for a right, paid for by the space's ledger.
    pub(super) fn new_name<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        port: PortId,
        rights: Rights,
    ) -> Result<Name, Shortage> {
        let urefs = u16::from(!rights.intersects(Rights::RECEIVE | Rights::SET));
        let entry = Entry {
            rights,
            urefs,
            port: Some(port),
            ..Entry::FREE
        };
        self.new_entry(cx, (space, None), entry)
    }

    /// Frees a name, whatever it holds. The right that it held is the caller's now.
    pub(super) fn forget<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) {
        self.port_deleted(space, name);
        self.names.remove(space, name);
        if let Some(space) = self.names.space(space) {
            cx.ledgers.release(space.ledger, Resource::Names, 1);
        }
    }

    /// Drops one user reference of a dead name or of send rights; the name goes with the last one.
    pub(super) fn drop_uref<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) {
        let Some(entry) = self.names.get_mut(space, name) else {
            return;
        };
        if entry.is_pegged() {
            return;
        }
        entry.urefs = entry.urefs.saturating_sub(1);
        if entry.urefs == 0 {
            self.drop_all_urefs(cx, space, name);
        }
    }

    /// Drops all user references of a dead name or of send rights.
    pub(super) fn drop_all_urefs<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) {
        let Some(entry) = self.names.get_mut(space, name) else {
            return;
        };
        let (rights, port) = (entry.rights, entry.port);
        if rights.contains(Rights::RECEIVE) {
            // The name stays, and with it what is armed on it.
            entry.rights -= Rights::SEND;
            entry.urefs = 0;
        } else {
            self.forget(cx, space, name);
        }
        if rights.contains(Rights::SEND)
            && let Some(port) = port
        {
            self.release(Right::Send(port));
        }
    }

    /// Ends a right that nobody will use.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "the right ends here; its owner may not keep it"
    )]
    pub fn release(&mut self, right: Right) {
        match right {
            Right::None | Right::Dead => {}
            Right::Send(id) => {
                let Some(port) = self.ports.get_mut(id) else {
                    return;
                };
                port.send_rights -= 1;
                if port.mark == Mark::Idle {
                    self.put_on_agenda(id);
                } else if port.send_rights == 0 {
                    self.no_senders_left(id);
                }
            }
            Right::SendOnce(id) => {
                let Some(port) = self.ports.get_mut(id) else {
                    return;
                };
                if !matches!(port.kind, Kind::Reply(_)) {
                    port.send_once_rights -= 1;
                }
                port.pending.send_once = port.pending.send_once.saturating_add(1);
                self.port_has_work(id);
            }
            Right::Receive(id) => self.destroy_port(id),
        }
    }

    /// A port has one more send right, which the caller keeps.
    #[inline(always)]
    pub fn add_send(&mut self, id: PortId) {
        if let Some(port) = self.ports.get_mut(id) {
            port.send_rights += 1;
        }
    }

    /// A right joins the name that its space has for the port.
    fn join(&mut self, space: SpaceId, name: Name, id: PortId, kind: Rights) {
        let Some(entry) = self.names.get_mut(space, name) else {
            return;
        };
        if kind == Rights::SEND && entry.rights.contains(Rights::SEND) {
            entry.add_uref();
            // The name counts as one send right, however many references it has.
            if let Some(port) = self.ports.get_mut(id) {
                port.send_rights -= 1;
            }
            return;
        }
        entry.rights |= kind;
        if kind == Rights::SEND {
            entry.urefs = 1;
        }
    }

    fn take_send<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        id: PortId,
    ) -> Right {
        let last = self
            .names
            .get(space, name)
            .is_some_and(|entry| entry.urefs == 1);
        if !last {
            self.add_send(id);
            self.drop_uref(cx, space, name);
            return Right::Send(id);
        }
        // The name's own send right moves on.
        let Some(entry) = self.names.get_mut(space, name) else {
            return Right::None;
        };
        if entry.rights.contains(Rights::RECEIVE) {
            entry.rights -= Rights::SEND;
            entry.urefs = 0;
        } else {
            self.forget(cx, space, name);
        }
        Right::Send(id)
    }

    fn take_receive<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        id: PortId,
    ) -> Right {
        self.serve_receivers(cx, id);
        self.receive_right_left(cx, id);
        let Some(entry) = self.names.get_mut(space, name) else {
            return Right::None;
        };
        // A name without rights is none: it goes while it still has its last one.
        if entry.rights == Rights::RECEIVE {
            self.forget(cx, space, name);
        } else {
            entry.rights -= Rights::RECEIVE;
            self.receiver_left(space, name);
        }
        Right::Receive(id)
    }

    /// The port's receive right has a name again: the port belongs to that space.
    pub(super) fn receive_right_arrived(&mut self, id: PortId, space: SpaceId, name: Name) {
        if let Some(port) = self.ports.get_mut(id) {
            port.space = Some(space);
            port.name = name;
            port.label = u64::from(name.0);
            // Calls to a memory object that has ended are refused until its pager has the ports: queued, they would be the
            // pager's, and one that it makes before it knows would wait for itself.
            if port.kind.is_memory_object() {
                port.kind = Kind::Plain;
            }
        }
        self.set_carrier(id, None);
    }

    /// The receive right leaves its space (M-25): counts start anew, receivers are told, sets lose it.
    pub(super) fn receive_right_left<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) {
        self.leave_all_sets(id);
        self.evict_receivers(cx, id);
        if let Some(port) = self.ports.get_mut(id) {
            port.space = None;
            port.name = Name::NULL;
            port.label = 0;
            port.make_send = 0;
            port.sequence = 0;
            port.guard = None;
        }
    }

    /// Adds user references to send rights or a dead name; the count stops at its maximum (P-05).
    pub(super) fn add_urefs(entry: &mut Entry, count: u32) {
        let sum = u32::from(entry.urefs).saturating_add(count);
        entry.urefs = u16::try_from(sum).unwrap_or(MAX_UREFS);
    }
}

/// The right that a name must hold for a disposition.
pub(super) fn needed(disposition: u8) -> Option<Rights> {
    Some(match disposition {
        disposition::MOVE_RECEIVE | disposition::MAKE_SEND | disposition::MAKE_SEND_ONCE => {
            Rights::RECEIVE
        }
        disposition::MOVE_SEND | disposition::COPY_SEND => Rights::SEND,
        disposition::MOVE_SEND_ONCE => Rights::SEND_ONCE,
        _ => return None,
    })
}
