//! Port sets: many ports, one place to receive.
//!
//! A membership is a record that hangs on three lists: its port's sets, its set's members, and, while the
//! port has work, its set's ready members. So a receive on a set costs the same for one port and ten
//! thousand, and ready ports get their turn one after the other (P-35).

use abi::kern_return::KernReturn;
use abi::names::Name;
use arena::Arena;

use super::Ipc;
use super::entry::Rights;
use super::port::Kind;
use crate::base::KernResult;
use crate::base::ids::{MembershipId, MembershipKind, PortId, SpaceId};

/// The most sets that one port is in: what one message arrival looks at.
pub const MAX_SETS: u32 = 16;

/// Neighbours in one list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Pair {
    previous: Option<MembershipId>,
    next: Option<MembershipId>,
}

/// One port in one set.
#[derive(Debug)]
pub struct Membership {
    /// The port.
    pub port: PortId,
    /// The set.
    pub set: PortId,
    of_port: Pair,
    of_set: Pair,
    ready: Option<Pair>,
}

/// All memberships.
pub type Memberships = Arena<Membership, MembershipKind>;

impl Ipc {
    /// Puts a port into a set, besides those that it is in (`mach_port_insert_member`).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight`: not a receive right and a set · `AlreadyInSet`: it is in there ·
    /// `ResourceShortage`: it is in [`MAX_SETS`] sets, or there is no memory.
    pub fn insert_member(&mut self, space: SpaceId, member: Name, set: Name) -> KernResult<()> {
        let (port, set) = self.member_and_set(space, member, set)?;
        if self.membership(port, set).is_some() {
            return Err(KernReturn::AlreadyInSet);
        }
        self.join_set(port, set)
    }

    /// Takes a port out of a set (`mach_port_extract_member`).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight`: not a receive right and a set · `NotInSet`: it is not in there.
    pub fn extract_member(&mut self, space: SpaceId, member: Name, set: Name) -> KernResult<()> {
        let (port, set) = self.member_and_set(space, member, set)?;
        let id = self.membership(port, set).ok_or(KernReturn::NotInSet)?;
        self.leave_set(id);
        Ok(())
    }

    /// Puts a port into a set and takes it out of all others; a null set takes it out only
    /// (`mach_port_move_member`, P-33).
    ///
    /// # Errors
    /// As [`insert_member`](Self::insert_member); `NotInSet`: the set is null and it was in none.
    pub fn move_member(&mut self, space: SpaceId, member: Name, set: Name) -> KernResult<()> {
        if set == Name::NULL {
            let port = self.receive_right(space, member)?;
            let in_any = self
                .ports
                .get(port)
                .is_some_and(|port| port.memberships.is_some());
            self.leave_all_sets(port);
            return if in_any {
                Ok(())
            } else {
                Err(KernReturn::NotInSet)
            };
        }
        let (port, set) = self.member_and_set(space, member, set)?;
        if self.membership(port, set).is_none() {
            // All that can fail comes first; room for one membership is made by leaving the others.
            let alone = self
                .ports
                .get(port)
                .is_none_or(|port| port.memberships.is_none());
            if alone {
                return self.join_set(port, set);
            }
            let first = self.ports.get(port).and_then(|port| port.memberships);
            if let Some(first) = first {
                self.leave_set(first);
            }
            self.join_set(port, set)?;
        }
        while let Some(other) = self.other_membership(port, set) {
            self.leave_set(other);
        }
        Ok(())
    }

    /// Takes a port out of every set that it is in. A set is in none: its own members leave it in steps, when it is
    /// taken apart.
    pub(super) fn leave_all_sets(&mut self, port: PortId) {
        if self.is_set(port) {
            return;
        }
        while let Some(id) = self.ports.get(port).and_then(|port| port.memberships) {
            self.leave_set(id);
        }
    }

    /// The port's membership of a set.
    fn membership(&self, port: PortId, set: PortId) -> Option<MembershipId> {
        self.find_membership(port, |membership| membership.set == set)
    }

    fn other_membership(&self, port: PortId, set: PortId) -> Option<MembershipId> {
        self.find_membership(port, |membership| membership.set != set)
    }

    fn find_membership(
        &self,
        port: PortId,
        wanted: impl Fn(&Membership) -> bool,
    ) -> Option<MembershipId> {
        let mut next = self.ports.get(port)?.memberships;
        while let Some(id) = next {
            let membership = self.memberships.get(id)?;
            if wanted(membership) {
                return Some(id);
            }
            next = membership.of_port.next;
        }
        None
    }

    /// The first set of a port that a thread waits to receive on.
    #[inline(never)]
    pub(super) fn set_with_receiver(&self, port: PortId) -> Option<PortId> {
        let id = self.find_membership(port, |membership| {
            self.ports
                .get(membership.set)
                .is_some_and(|set| !set.receivers.is_empty())
        })?;
        self.memberships.get(id).map(|membership| membership.set)
    }

    /// The port's place in each of its sets' order of turns: at the end, or nowhere without work.
    pub(super) fn update_ready(&mut self, port: PortId) {
        let Some(record) = self.ports.get(port) else {
            return;
        };
        let (has_work, mut next) = (record.has_work, record.memberships);
        while let Some(id) = next {
            let Some(membership) = self.memberships.get(id) else {
                return;
            };
            next = membership.of_port.next;
            match (has_work, membership.ready) {
                (true, None) => self.make_ready(id),
                (false, Some(_)) => self.make_unready(id),
                _ => {}
            }
        }
    }

    /// The port whose turn it is in a set; it goes to the end of the order.
    pub(super) fn next_ready(&mut self, set: PortId) -> Option<PortId> {
        let id = self.ports.get(set)?.ready_first?;
        self.make_unready(id);
        self.make_ready(id);
        self.memberships.get(id).map(|membership| membership.port)
    }

    fn make_ready(&mut self, id: MembershipId) {
        let Some(membership) = self.memberships.get_mut(id) else {
            return;
        };
        let Some(set) = self.ports.get_mut(membership.set) else {
            return;
        };
        let previous = set.ready_last.replace(id);
        membership.ready = Some(Pair {
            previous,
            next: None,
        });
        set.has_work = true;
        let watched = set.message_request.map(|_| membership.set);
        match previous.and_then(|previous| self.memberships.get_mut(previous)) {
            Some(previous) => {
                if let Some(pair) = &mut previous.ready {
                    pair.next = Some(id);
                }
            }
            None => set.ready_first = Some(id),
        }
        if let Some(set) = watched {
            self.put_on_agenda(set);
        }
    }

    fn make_unready(&mut self, id: MembershipId) {
        let Some(membership) = self.memberships.get_mut(id) else {
            return;
        };
        let Some(Pair { previous, next }) = membership.ready.take() else {
            return;
        };
        let set = membership.set;
        if let Some(pair) = self.ready_pair(previous) {
            pair.next = next;
        } else if let Some(set) = self.ports.get_mut(set) {
            set.ready_first = next;
        }
        if let Some(pair) = self.ready_pair(next) {
            pair.previous = previous;
        } else if let Some(set) = self.ports.get_mut(set) {
            set.ready_last = previous;
        }
        if let Some(set) = self.ports.get_mut(set) {
            set.has_work = set.ready_first.is_some();
        }
    }

    fn ready_pair(&mut self, id: Option<MembershipId>) -> Option<&mut Pair> {
        self.memberships.get_mut(id?)?.ready.as_mut()
    }

    fn join_set(&mut self, port: PortId, set: PortId) -> KernResult<()> {
        let Some(record) = self.ports.get(port) else {
            return Err(KernReturn::InvalidRight);
        };
        if record.membership_count >= MAX_SETS {
            return Err(KernReturn::ResourceShortage);
        }
        let next_of_port = record.memberships;
        let next_of_set = self.ports.get(set).and_then(|set| set.memberships);
        let membership = Membership {
            port,
            set,
            of_port: Pair {
                previous: None,
                next: next_of_port,
            },
            of_set: Pair {
                previous: None,
                next: next_of_set,
            },
            ready: None,
        };
        let inserted = self.memberships.insert(membership);
        let id = inserted.map_err(|_| KernReturn::ResourceShortage)?;
        if let Some(next) = next_of_port.and_then(|next| self.memberships.get_mut(next)) {
            next.of_port.previous = Some(id);
        }
        if let Some(next) = next_of_set.and_then(|next| self.memberships.get_mut(next)) {
            next.of_set.previous = Some(id);
        }
        if let Some(record) = self.ports.get_mut(port) {
            record.memberships = Some(id);
            record.membership_count += 1;
            record.set = Some(set);
        }
        if let Some(set) = self.ports.get_mut(set) {
            set.memberships = Some(id);
            set.membership_count += 1;
        }
        self.port_has_work(port);
        Ok(())
    }

    /// Ends one membership.
    pub(super) fn leave_set(&mut self, id: MembershipId) {
        self.make_unready(id);
        let Some(membership) = self.memberships.remove(id) else {
            return;
        };
        let Membership {
            port,
            set,
            of_port,
            of_set,
            ..
        } = membership;
        match of_port.previous.and_then(|id| self.memberships.get_mut(id)) {
            Some(previous) => previous.of_port.next = of_port.next,
            None => {
                if let Some(port) = self.ports.get_mut(port) {
                    port.memberships = of_port.next;
                }
            }
        }
        if let Some(next) = of_port.next.and_then(|id| self.memberships.get_mut(id)) {
            next.of_port.previous = of_port.previous;
        }
        match of_set.previous.and_then(|id| self.memberships.get_mut(id)) {
            Some(previous) => previous.of_set.next = of_set.next,
            None => {
                if let Some(set) = self.ports.get_mut(set) {
                    set.memberships = of_set.next;
                }
            }
        }
        if let Some(next) = of_set.next.and_then(|id| self.memberships.get_mut(id)) {
            next.of_set.previous = of_set.previous;
        }
        if let Some(set) = self.ports.get_mut(set) {
            set.membership_count -= 1;
        }
        let first = self.ports.get(port).and_then(|port| port.memberships);
        let set = first
            .and_then(|id| self.memberships.get(id))
            .map(|membership| membership.set);
        if let Some(port) = self.ports.get_mut(port) {
            port.membership_count -= 1;
            port.set = set;
        }
    }

    fn member_and_set(
        &mut self,
        space: SpaceId,
        member: Name,
        set: Name,
    ) -> KernResult<(PortId, PortId)> {
        let port = self.receive_right(space, member)?;
        let entry = self.look_up(space, set).ok_or(KernReturn::InvalidName)?;
        let (rights, set) = (entry.rights, entry.port);
        match set {
            Some(set) if rights == Rights::SET => Ok((port, set)),
            _ => Err(KernReturn::InvalidRight),
        }
    }

    /// The port whose receive right a name holds.
    pub(super) fn receive_right(&mut self, space: SpaceId, name: Name) -> KernResult<PortId> {
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        let (rights, port) = (entry.rights, entry.port);
        match port {
            Some(port) if rights.contains(Rights::RECEIVE) => Ok(port),
            _ => Err(KernReturn::InvalidRight),
        }
    }

    /// The next member of the same set.
    pub(super) fn memberships_after(&self, id: MembershipId) -> Option<MembershipId> {
        self.memberships.get(id)?.of_set.next
    }

    /// Whether a port is a set.
    pub(super) fn is_set(&self, id: PortId) -> bool {
        self.ports
            .get(id)
            .is_some_and(|port| port.kind == Kind::Set)
    }
}
