//! Operations on names: what `mach_port_*` does to a space.
//!
//! Errors follow one order: no such name (`InvalidName`), not such a right (`InvalidRight`), not such a
//! value (`InvalidValue`).

use abi::exception;
use abi::kern_return::KernReturn;
use abi::names::{Name, disposition, port_type, queue_limit, right};
use abi::trap::{attribute, construct};

use super::entry::{Entry, Rights};
use super::notice::Watch;
use super::port::{Guard, Kind, Port};
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{PortId, SpaceId};
use crate::base::ledger::Resource;
use crate::base::{KernResult, Shortage};
use crate::machine::Machine;

/// What a dead name holds that nothing died for.
const DEAD_NAME: Entry = Entry {
    rights: Rights::DEAD,
    urefs: 1,
    ..Entry::FREE
};

/// Bytes of kernel memory that one port is charged as.
pub const PORT_BYTES: u64 = size_of::<Port>() as u64;

impl Ipc {
    /// A new receive right, port set or dead name (P-06).
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right can be allocated · `ResourceShortage`.
    pub fn allocate<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        kind: u32,
    ) -> KernResult<Name> {
        self.allocate_at(cx, (space, None), kind)
    }

    /// The same under a free name of the caller's choice (P-07).
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right, or a name that none can have · `NameExists`: its index is taken ·
    /// `ResourceShortage`: the ledger, or an index above its limit of names.
    pub fn allocate_name<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        kind: u32,
        name: Name,
    ) -> KernResult<Name> {
        if !name.is_valid() || name.index() == 0 {
            return Err(KernReturn::InvalidValue);
        }
        if self.names.is_used(space, name.index()) {
            return Err(KernReturn::NameExists);
        }
        self.allocate_at(cx, (space, Some(name)), kind)
    }

    fn allocate_at<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        place: (SpaceId, Option<Name>),
        kind: u32,
    ) -> KernResult<Name> {
        match kind {
            right::RECEIVE => Ok(self.allocate_port(cx, place, Kind::Plain, Rights::RECEIVE)?),
            right::PORT_SET => Ok(self.allocate_port(cx, place, Kind::Set, Rights::SET)?),
            right::DEAD_NAME => Ok(self.new_entry(cx, place, DEAD_NAME)?),
            _ => Err(KernReturn::InvalidValue),
        }
    }

    /// `mach_port_construct`: a port with all that it needs, in one trap (P-18).
    ///
    /// # Errors
    /// `InvalidValue`: unknown flags, a strict guard without guard, or a queue limit above the maximum ·
    /// `ResourceShortage`.
    pub fn construct<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        arguments: [u64; 4],
    ) -> KernResult<Name> {
        let [flags, limit, label, guard] = arguments;
        let port_flags = construct::INSERT_SEND
            | construct::QUEUE_LIMIT
            | construct::LABEL
            | construct::GUARD
            | construct::STRICT;
        if flags == construct::PORT_SET {
            return self.allocate(cx, space, right::PORT_SET);
        }
        let has = |flag| flags & flag != 0;
        if flags & !port_flags != 0
            || (has(construct::QUEUE_LIMIT) && limit > u64::from(queue_limit::MAX))
            || (has(construct::STRICT) && !has(construct::GUARD))
        {
            return Err(KernReturn::InvalidValue);
        }
        let name = self.allocate(cx, space, right::RECEIVE)?;
        let id = self.receive_right(space, name)?;
        if let Some(port) = self.ports.get_mut(id) {
            if has(construct::QUEUE_LIMIT) {
                port.limit = limit as u32;
            }
            if has(construct::LABEL) {
                port.label = label;
            }
            port.guard = has(construct::GUARD).then_some(Guard {
                value: guard,
                strict: has(construct::STRICT),
            });
        }
        if has(construct::INSERT_SEND) {
            self.insert_right(cx, space, name, name, disposition::MAKE_SEND)?;
        }
        Ok(name)
    }

    /// `mach_port_destruct`: the receive right, and some of the send rights beside it (P-18).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: the port has another guard · `InvalidValue`: the delta
    /// is above 0, or more than there is.
    pub fn destruct<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        (name, guard): (Name, u64),
        send_delta: i32,
    ) -> KernResult<()> {
        let id = self.receive_right(space, name)?;
        if send_delta > 0 {
            return Err(KernReturn::InvalidValue);
        }
        let held = self.ports.get(id).and_then(|port| port.guard);
        if held.is_some_and(|held| held.value != guard) {
            let tried = (exception::guard::INCORRECT_GUARD, guard);
            Self::tell_guard(cx, (space, name), tried);
            return Err(KernReturn::InvalidArgument);
        }
        if send_delta < 0 {
            self.mod_refs(cx, space, name, right::SEND, send_delta)?;
        }
        self.drop_receive(cx, space, name);
        Ok(())
    }

    /// `mach_port_deallocate` (P-08).
    ///
    /// # Errors
    /// `InvalidName` · `InvalidRight`: only a receive right is there.
    pub fn deallocate<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) -> KernResult<()> {
        let rights = self
            .look_up(space, name)
            .ok_or(KernReturn::InvalidName)?
            .rights;
        if rights.intersects(Rights::SEND | Rights::DEAD) {
            self.drop_uref(cx, space, name);
        } else if rights.intersects(Rights::SEND_ONCE | Rights::SET) {
            self.destroy_name(cx, space, name);
        } else {
            return Err(KernReturn::InvalidRight);
        }
        Ok(())
    }

    /// `mach_port_destroy`: everything under a name, whatever the user references (P-12).
    ///
    /// # Errors
    /// `InvalidName` · `InvalidRight`: the receive right is guarded.
    pub fn destroy<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) -> KernResult<()> {
        self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        if self.is_guarded(space, name) {
            Self::tell_guard(cx, (space, name), (exception::guard::DESTROY, 0));
            return Err(KernReturn::InvalidRight);
        }
        self.destroy_name(cx, space, name);
        Ok(())
    }

    /// `mach_port_mod_refs` (P-10, P-11).
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right, or a delta that it cannot take · `InvalidName` ·
    /// `InvalidRight`: the name holds another kind, or a guarded receive right that is to go.
    pub fn mod_refs<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        kind: u32,
        delta: i32,
    ) -> KernResult<()> {
        let wanted = rights_of(kind).ok_or(KernReturn::InvalidValue)?;
        if !name.is_valid() {
            let nothing = matches!(kind, right::SEND | right::SEND_ONCE);
            return if nothing {
                Ok(())
            } else {
                Err(KernReturn::InvalidName)
            };
        }
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        if !entry.rights.contains(wanted) {
            return Err(KernReturn::InvalidRight);
        }
        if wanted.intersects(Rights::SEND | Rights::DEAD) {
            return self.change_urefs(cx, space, name, delta);
        }
        match delta {
            0 => Ok(()),
            -1 if wanted == Rights::RECEIVE && self.is_guarded(space, name) => {
                Self::tell_guard(cx, (space, name), (exception::guard::MOD_REFS, 0));
                Err(KernReturn::InvalidRight)
            }
            -1 if wanted == Rights::RECEIVE => {
                self.drop_receive(cx, space, name);
                Ok(())
            }
            -1 => {
                self.destroy_name(cx, space, name);
                Ok(())
            }
            _ => Err(KernReturn::InvalidValue),
        }
    }

    /// `mach_port_get_refs` (P-13).
    ///
    /// # Errors
    /// `InvalidValue`: no such kind of right · `InvalidName`.
    pub fn get_refs(&mut self, space: SpaceId, name: Name, kind: u32) -> KernResult<u32> {
        let wanted = rights_of(kind).ok_or(KernReturn::InvalidValue)?;
        if !name.is_valid() {
            let nothing = matches!(kind, right::SEND | right::SEND_ONCE);
            return if nothing {
                Ok(1)
            } else {
                Err(KernReturn::InvalidName)
            };
        }
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        Ok(match entry.rights.contains(wanted) {
            false => 0,
            true if wanted.intersects(Rights::SEND | Rights::DEAD) => entry.urefs.into(),
            true => 1,
        })
    }

    /// `mach_port_insert_right`, from the same space: makes `name` denote a right made from `from` (P-14). A right to send once
    /// gets a name that is free, any other joins the one that its port has.
    ///
    /// # Errors
    /// `InvalidValue`: no such disposition, or a name that none can have · `InvalidCapability`: the source is null or dead ·
    /// `InvalidRight`, `InvalidName`: the source cannot give that right · `NameExists`: `name` denotes another
    /// thing · `RightExists`: the right has another name here · `ResourceShortage`. Nothing has changed then.
    pub fn insert_right<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        from: Name,
        disposition: u8,
    ) -> KernResult<()> {
        if !from.is_valid() {
            return Err(KernReturn::InvalidCapability);
        }
        let entry = self.look_up(space, from).ok_or(KernReturn::InvalidName)?;
        let source = entry.port;
        match self.can_copy_in(space, from, disposition) {
            Ok(false) => {}
            Ok(true) => return Err(KernReturn::InvalidCapability),
            Err(super::right::Refusal::NoRight) => {
                self.tell_kept(cx, (space, from), disposition);
                return Err(KernReturn::InvalidRight);
            }
            Err(super::right::Refusal::BadDisposition) => return Err(KernReturn::InvalidValue),
        }
        let once = matches!(
            disposition,
            disposition::MAKE_SEND_ONCE | disposition::MOVE_SEND_ONCE
        );
        if once && let Some(port) = source {
            self.make_name(cx, (space, name), port, Rights::SEND_ONCE)?;
            // The right that is taken out is the new name's.
            let taken = self.copy_in(cx, space, from, disposition);
            debug_assert!(matches!(taken, Right::SendOnce(_)));
            return Ok(());
        }
        let held = self.look_up(space, name);
        let joins = held.map(|held| held.port == source && held.is_indexed());
        match joins {
            Some(true) => {}
            None if !self.names.is_used(space, name.index()) => {
                return Err(KernReturn::RightExists);
            }
            _ => return Err(KernReturn::NameExists),
        }
        let right = self.copy_in(cx, space, from, disposition);
        // The name went with the right if that was moved and the last one there.
        self.copy_out_as(cx, space, right, name)
            .map(|_| ())
            .map_err(|(right, code)| {
                self.release(right);
                code
            })
    }

    /// `mach_port_type` (P-02).
    ///
    /// # Errors
    /// `InvalidName`.
    pub fn type_of(&mut self, space: SpaceId, name: Name) -> KernResult<u32> {
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        let (bits, request) = (entry.type_bits(), entry.request);
        let request = request.and_then(|request| self.notices.get(request));
        match request.map(|request| request.watch) {
            Some(Watch::SendPossible { .. }) => {
                Ok(bits & !port_type::DEAD_NAME_REQUEST | port_type::SEND_POSSIBLE_REQUEST)
            }
            _ => Ok(bits),
        }
    }

    /// An attribute of a receive right (P-31).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: no such attribute.
    pub fn attribute(&mut self, space: SpaceId, name: Name, which: u64) -> KernResult<u64> {
        let id = self.receive_right(space, name)?;
        let port = self.ports.get(id).ok_or(KernReturn::InvalidRight)?;
        Ok(match which {
            attribute::QUEUE_LIMIT => port.limit.into(),
            attribute::MESSAGE_COUNT => port.message_count().into(),
            attribute::MAKE_SEND_COUNT => port.make_send.into(),
            attribute::SEQUENCE => port.sequence.into(),
            attribute::SEND_RIGHTS => port.send_rights.into(),
            attribute::SEND_ONCE_RIGHTS => port.send_once_rights.into(),
            attribute::PORT_SETS => port.membership_count.into(),
            attribute::LABEL => port.label,
            _ => return Err(KernReturn::InvalidArgument),
        })
    }

    /// Sets an attribute of a receive right (P-30, P-32).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `InvalidArgument`: no such attribute, or not settable · `InvalidValue`:
    /// out of range.
    pub fn set_attribute(
        &mut self,
        space: SpaceId,
        name: Name,
        attribute: (u64, u64),
    ) -> KernResult<()> {
        let (which, value) = attribute;
        let id = self.receive_right(space, name)?;
        let port = self.ports.get_mut(id).ok_or(KernReturn::InvalidRight)?;
        let small = u32::try_from(value).map_err(|_| KernReturn::InvalidValue);
        match which {
            attribute::LABEL => port.label = value,
            attribute::MAKE_SEND_COUNT => port.make_send = small?,
            attribute::SEQUENCE => port.sequence = small?,
            attribute::QUEUE_LIMIT => {
                let limit = small?;
                if limit > queue_limit::MAX {
                    return Err(KernReturn::InvalidValue);
                }
                port.limit = limit;
                self.put_on_agenda(id);
            }
            _ => return Err(KernReturn::InvalidArgument),
        }
        Ok(())
    }

    /// A name for a send right to a kernel object's port.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub fn name_for_kernel_port<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        port: PortId,
    ) -> KernResult<Name> {
        if let Some(name) = self.name_again(space, port) {
            return Ok(name);
        }
        let right = self.make_send(port);
        let name = self.copy_out(cx, space, right).map_err(|right| {
            self.release(right);
            KernReturn::ResourceShortage
        })?;
        if let Some(space) = self.names.space_mut(space) {
            space.last_kernel_name = name;
        }
        Ok(name)
    }

    /// One more user reference of the name that was asked for last, if it is still that port's.
    #[inline(always)]
    pub(crate) fn name_again(&mut self, space: SpaceId, port: PortId) -> Option<Name> {
        let record = self.names.space(space)?;
        let (first, name) = (record.first, record.last_kernel_name);
        let entry = self.names.get_near_mut((space, first), name)?;
        if entry.port != Some(port) || !entry.rights.contains(Rights::SEND) {
            return None;
        }
        entry.add_uref();
        Some(name)
    }

    fn allocate_port<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (space, name): (SpaceId, Option<Name>),
        kind: Kind,
        rights: Rights,
    ) -> Result<Name, Shortage> {
        let ledger = self.names.space(space).ok_or(Shortage)?.ledger;
        cx.ledgers
            .charge(ledger, Resource::KernelBytes, PORT_BYTES)?;
        let made = self.create_port(kind).and_then(|id| {
            let entry = Entry {
                rights,
                port: Some(id),
                ..Entry::FREE
            };
            let name = self.new_entry(cx, (space, name), entry);
            name.map(|name| (id, name)).inspect_err(|_| {
                self.ports.remove(id);
            })
        });
        let (id, name) = made.inspect_err(|_| {
            cx.ledgers
                .release(ledger, Resource::KernelBytes, PORT_BYTES);
        })?;
        if let Some(port) = self.ports.get_mut(id) {
            port.payer = Some(ledger);
        }
        self.receive_right_arrived(id, space, name);
        Ok(name)
    }

    /// An entry under a name, or a fresh one, paid for by the space's ledger.
    pub(super) fn new_entry<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (space, name): (SpaceId, Option<Name>),
        entry: Entry,
    ) -> Result<Name, Shortage> {
        let record = self.names.space(space).ok_or(Shortage)?;
        let (ledger, watched) = (record.ledger, record.watch.is_some());
        // So far its table could grow anyway: chosen names cost no more memory than others.
        let limit = cx.ledgers.limit(ledger, Resource::Names);
        if name.is_some_and(|name| u64::from(name.index()) > limit) {
            return Err(Shortage);
        }
        cx.ledgers.charge(ledger, Resource::Names, 1)?;
        let made = match name {
            None => self.names.insert(space, entry),
            Some(name) => self.names.insert_at(space, name, entry).map(|()| name),
        };
        if watched {
            self.names_used(space);
        }
        made.inspect_err(|_| cx.ledgers.release(ledger, Resource::Names, 1))
    }

    /// Ends everything that a name of a dying space holds.
    pub fn end_name<M: Machine>(&mut self, cx: &mut Context<'_, M>, space: SpaceId, name: Name) {
        self.destroy_name(cx, space, name);
    }

    /// Ends the receive right or set that a name of a dying space holds, and nothing else (P-20).
    pub fn end_receive_right<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
    ) {
        let Some(rights) = self.look_up(space, name).map(|entry| entry.rights) else {
            return;
        };
        if rights.contains(Rights::RECEIVE) {
            self.drop_receive(cx, space, name);
        } else if rights == Rights::SET {
            self.destroy_name(cx, space, name);
        }
    }

    /// Ends everything that a name holds, and the name.
    fn destroy_name<M: Machine>(&mut self, cx: &mut Context<'_, M>, space: SpaceId, name: Name) {
        let Some(entry) = self.look_up(space, name) else {
            return;
        };
        let (rights, port) = (entry.rights, entry.port);
        self.forget(cx, space, name);
        let Some(port) = port else { return };
        if rights.contains(Rights::SEND) {
            self.release(Right::Send(port));
        }
        if rights.contains(Rights::SEND_ONCE) {
            self.release(Right::SendOnce(port));
        }
        if rights.intersects(Rights::RECEIVE | Rights::SET) {
            self.end_receive(cx, port);
        }
    }

    /// The receive right goes; send rights under the same name become a dead name (P-11).
    fn drop_receive<M: Machine>(&mut self, cx: &mut Context<'_, M>, space: SpaceId, name: Name) {
        let Some(entry) = self.look_up(space, name) else {
            return;
        };
        let Some(port) = entry.port else { return };
        if entry.rights.contains(Rights::SEND) {
            entry.rights -= Rights::RECEIVE;
        } else {
            self.forget(cx, space, name);
        }
        self.end_receive(cx, port);
    }

    fn end_receive<M: Machine>(&mut self, cx: &mut Context<'_, M>, port: PortId) {
        self.receive_right_left(cx, port);
        self.release(Right::Receive(port));
    }

    /// Changes the user references of send rights or a dead name (P-05, P-10).
    fn change_urefs<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        name: Name,
        delta: i32,
    ) -> KernResult<()> {
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        if delta >= 0 {
            Self::add_urefs(entry, delta.unsigned_abs());
            return Ok(());
        }
        let held = u32::from(entry.urefs);
        let fewer = delta.unsigned_abs();
        if fewer > held {
            return Err(KernReturn::InvalidValue);
        }
        if fewer == held {
            self.drop_all_urefs(cx, space, name);
        } else if !entry.is_pegged() {
            entry.urefs = (held - fewer) as u16;
        }
        Ok(())
    }
}

/// The right behind a `mach_port_right_t`.
pub(super) fn rights_of(kind: u32) -> Option<Rights> {
    Some(match kind {
        right::SEND => Rights::SEND,
        right::RECEIVE => Rights::RECEIVE,
        right::SEND_ONCE => Rights::SEND_ONCE,
        right::PORT_SET => Rights::SET,
        right::DEAD_NAME => Rights::DEAD,
        _ => return None,
    })
}
