//! Requests for notifications, and what fires them.

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use abi::notify;

use super::entry::Rights;
use super::notice::{NOTICE_BYTES, Notice, Watch, refund};
use super::port::{Kind, Port};
use super::right::Right;
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::{MembershipId, NoticeId, PortId, SpaceId};
use crate::base::ledger::{Ledgers, Resource};
use crate::machine::Machine;

/// What `mach_port_request_notification` was asked.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The name to watch.
    pub name: Name,
    /// Which notification ([`abi::notify`]).
    pub id: i32,
    /// See the notification.
    pub sync: u32,
    /// The receive right to make the send-once right from; null disarms.
    pub notify: Name,
}

impl Ipc {
    /// Arms or disarms a notification; answers the send-once right that was armed before, under a name.
    ///
    /// # Errors
    /// `InvalidValue`: no such notification, or a sync that it cannot have · `InvalidName`,
    /// `InvalidRight`: the watched name · `InvalidCapability`: the notify name is no receive right ·
    /// `InvalidArgument`: the watched right is dead already and `sync` is 0 · `Failure`: a port-destroyed
    /// request is armed already · `ResourceShortage`.
    pub fn request_notification<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Name> {
        if !matches!(
            request.id,
            notify::DEAD_NAME
                | notify::SEND_POSSIBLE
                | notify::MESSAGE_WAITING
                | notify::NO_SENDERS
                | notify::PORT_DESTROYED
                | notify::NAMES_USED
        ) {
            return Err(KernReturn::InvalidValue);
        }
        if request.notify != Name::NULL {
            let allowed = self.can_copy_in(space, request.notify, disposition::MAKE_SEND_ONCE);
            allowed.map_err(|_| KernReturn::InvalidCapability)?;
        }
        let previous = match request.id {
            notify::DEAD_NAME | notify::SEND_POSSIBLE => {
                self.request_of_name(cx, space, request)?
            }
            notify::MESSAGE_WAITING => self.request_message_waiting(cx, space, request)?,
            notify::NO_SENDERS => self.request_no_senders(cx, space, request)?,
            notify::NAMES_USED => self.request_names_used(cx, space, request)?,
            _ => self.request_port_destroyed(cx, space, request)?,
        };
        // No name for the previous right: it ends, and its port hears of it.
        self.copy_out(cx, space, previous).or_else(|right| {
            self.release(right);
            Ok(Name::NULL)
        })
    }

    /// A dead-name or send-possible request: a name has one of them at a time.
    fn request_of_name<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Right> {
        let name = request.name;
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        let (rights, port) = (entry.rights, entry.port);
        match port {
            None if rights == Rights::DEAD => {
                if request.notify == Name::NULL || request.sync == 0 {
                    return Err(KernReturn::InvalidArgument);
                }
                let watch = Watch::DeadName { space, name };
                let notice = self.new_notice(cx, space, request.notify, watch)?;
                self.fire_dead_name(notice, space, name);
                Ok(Right::None)
            }
            Some(port) if rights.intersects(Rights::SEND | Rights::RECEIVE | Rights::SEND_ONCE) => {
                let watch = match request.id {
                    notify::SEND_POSSIBLE => Watch::SendPossible { space, name },
                    _ => Watch::DeadName { space, name },
                };
                let new = self.optional_notice(cx, space, request, watch)?;
                let previous = self.replace_request((space, name), new)?;
                if let Some(new) = new {
                    self.watch_port(port, new);
                }
                if request.id == notify::SEND_POSSIBLE && request.sync != 0 {
                    self.arm_for_room(space, name, rights);
                }
                Ok(previous)
            }
            _ => Err(KernReturn::InvalidRight),
        }
    }

    /// A message-waiting request, of a name of a receive right or set; it takes the place of the name's other request.
    fn request_message_waiting<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Right> {
        let name = request.name;
        let entry = self.look_up(space, name).ok_or(KernReturn::InvalidName)?;
        let received = Rights::RECEIVE | Rights::SET;
        let port = entry.port.filter(|_| entry.rights.intersects(received));
        let port = port.ok_or(KernReturn::InvalidRight)?;
        let watch = Watch::MessageWaiting { space, name };
        let new = self.optional_notice(cx, space, request, watch)?;
        let previous = self.replace_request((space, name), new)?;
        if let Some(new) = new {
            self.hang(port, new, |port| &mut port.message_request);
            self.put_on_agenda(port);
        }
        Ok(previous)
    }

    /// Fires the request of who wants to hear that a message waits at a port or set; whether there was one.
    pub(super) fn tell_of_message(&mut self, id: PortId) -> bool {
        let request = self.ports.get(id).and_then(|port| port.message_request);
        let watch = self.notices.find(request).map(|notice| notice.watch);
        let (Some(request), Some((space, name))) = (request, watch.and_then(Watch::name)) else {
            return false;
        };
        self.end_request(request, (space, name));
        self.fire(request, notify::MESSAGE_WAITING, name.0.into());
        true
    }

    /// A receive right has left a name that stays: who waited for messages there hears that it is gone.
    pub(super) fn receiver_left(&mut self, space: SpaceId, name: Name) {
        let request = self.names.get(space, name).and_then(|entry| entry.request);
        let watch = self.notices.find(request).map(|notice| notice.watch);
        if matches!(watch, Some(Watch::MessageWaiting { .. })) {
            self.port_deleted(space, name);
        }
    }

    /// A name has another request from now on; the right of the one before.
    fn replace_request(
        &mut self,
        (space, name): (SpaceId, Name),
        new: Option<NoticeId>,
    ) -> KernResult<Right> {
        let entry = self.names.get_mut(space, name);
        let entry = entry.ok_or(KernReturn::InvalidName)?;
        let old = core::mem::replace(&mut entry.request, new);
        Ok(old.map_or(Right::None, |old| {
            self.unwatch_port(old);
            self.take_notify_right(old)
        }))
    }

    /// A name's request is none any more.
    fn end_request(&mut self, request: NoticeId, (space, name): (SpaceId, Name)) {
        self.unwatch_port(request);
        if let Some(entry) = self.names.get_mut(space, name) {
            entry.request = None;
        }
    }

    fn request_no_senders<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Right> {
        let id = self.receive_right(space, request.name)?;
        let new =
            self.optional_notice(cx, space, request, Watch::NoSenders { sync: request.sync })?;
        let Some(port) = self.ports.get_mut(id) else {
            return Err(KernReturn::InvalidRight);
        };
        let old = core::mem::replace(&mut port.no_senders, new);
        let previous = old.map_or(Right::None, |old| self.take_notify_right(old));
        self.no_senders_left(id);
        Ok(previous)
    }

    fn request_port_destroyed<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Right> {
        if request.sync != 0 {
            return Err(KernReturn::InvalidValue);
        }
        let id = self.receive_right(space, request.name)?;
        if self.is_timer(id) {
            return Err(KernReturn::InvalidRight);
        }
        let armed = self
            .ports
            .get(id)
            .is_some_and(|port| port.port_destroyed.is_some());
        if armed && request.notify != Name::NULL {
            return Err(KernReturn::Failure);
        }
        let watch = Watch::PortDestroyed { port: None };
        let new = self.optional_notice(cx, space, request, watch)?;
        let Some(port) = self.ports.get_mut(id) else {
            return Err(KernReturn::InvalidRight);
        };
        let old = core::mem::replace(&mut port.port_destroyed, new);
        Ok(old.map_or(Right::None, |old| self.take_notify_right(old)))
    }

    pub(super) fn optional_notice<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
        watch: Watch,
    ) -> KernResult<Option<NoticeId>> {
        match request.notify {
            Name::NULL => Ok(None),
            notify => self.new_notice(cx, space, notify, watch).map(Some),
        }
    }

    /// A notice with a fresh send-once right to the port under `notify`, which is a receive right.
    fn new_notice<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        notify: Name,
        watch: Watch,
    ) -> KernResult<NoticeId> {
        let port = self
            .receive_right(space, notify)
            .map_err(|_| KernReturn::InvalidCapability)?;
        let payer = self.names.space(space).map(|space| space.ledger);
        let payer = payer.ok_or(KernReturn::InvalidArgument)?;
        cx.ledgers
            .charge(payer, Resource::KernelBytes, NOTICE_BYTES)?;
        let Ok(id) = self.notices.insert(Notice::new(watch, port, Some(payer))) else {
            cx.ledgers
                .release(payer, Resource::KernelBytes, NOTICE_BYTES);
            return Err(KernReturn::ResourceShortage);
        };
        // The right that `copy_in` makes is the notice's.
        match self.copy_in(cx, space, notify, disposition::MAKE_SEND_ONCE) {
            Right::SendOnce(_) => Ok(id),
            other => {
                self.spend_notice(id);
                self.release(other);
                Err(KernReturn::InvalidCapability)
            }
        }
    }

    /// Ends a notice that hangs nowhere: who is notified, and what it was. Its payer gets back what it takes as a part of
    /// the follow-up work.
    fn spend_notice(&mut self, id: NoticeId) -> Option<(PortId, Watch)> {
        let notice = self.notices.get_mut(id)?;
        let was = (
            notice.notify,
            core::mem::replace(&mut notice.watch, Watch::Spent),
        );
        notice.next = self.spent_notices.replace(id);
        Some(was)
    }

    /// Gives back what one ended notice takes; `false`: there is none.
    pub(super) fn refund_notice(&mut self, ledgers: &mut Ledgers) -> bool {
        let notice = self.spent_notices.and_then(|id| self.notices.remove(id));
        self.spent_notices = notice.as_ref().and_then(|notice| notice.next);
        if let Some(notice) = &notice {
            refund(ledgers, notice);
        }
        notice.is_some()
    }

    /// Ends an unfired notice; its send-once right is the caller's now.
    pub(super) fn take_notify_right(&mut self, id: NoticeId) -> Right {
        self.spend_notice(id)
            .map_or(Right::None, |(notify, _)| Right::SendOnce(notify))
    }

    /// Ends an unfired notice; its port hears that the right is gone.
    pub(super) fn cancel_notice(&mut self, id: NoticeId) {
        let right = self.take_notify_right(id);
        self.release(right);
    }

    /// Hangs a notice on the port that it watches.
    pub(super) fn watch_port(&mut self, watched: PortId, id: NoticeId) {
        self.hang(watched, id, |port| &mut port.requests);
    }

    fn hang(
        &mut self,
        watched: PortId,
        id: NoticeId,
        list: fn(&mut Port) -> &mut Option<NoticeId>,
    ) {
        let Some(port) = self.ports.get_mut(watched) else {
            return;
        };
        let next = list(port).replace(id);
        if let Some(next) = next.and_then(|next| self.notices.get_mut(next)) {
            next.previous = Some(id);
        }
        if let Some(notice) = self.notices.get_mut(id) {
            notice.watched = Some(watched);
            notice.next = next;
            notice.previous = None;
        }
    }

    /// Takes a notice off the port that it watches. The port may be dying: then its id is another
    /// one by now, but its place is not free before its last request is gone.
    pub(super) fn unwatch_port(&mut self, id: NoticeId) {
        let Some(notice) = self.notices.get_mut(id) else {
            return;
        };
        let (previous, next) = (notice.previous.take(), notice.next.take());
        let Some(watched) = notice.watched.take() else {
            return;
        };
        match previous.and_then(|previous| self.notices.get_mut(previous)) {
            Some(previous) => previous.next = next,
            None => {
                if let Some(port) = self.ports.at_mut(watched.index()) {
                    let lists = [
                        &mut port.requests,
                        &mut port.room_requests,
                        &mut port.message_request,
                    ];
                    if let Some(list) = lists.into_iter().find(|list| **list == Some(id)) {
                        *list = next;
                    }
                }
            }
        }
        if let Some(next) = next.and_then(|next| self.notices.get_mut(next)) {
            next.previous = previous;
        }
    }

    /// A right with an armed dead-name request leaves its name: the request ends as "deleted" (N-04).
    pub(super) fn port_deleted(&mut self, space: SpaceId, name: Name) {
        let Some(entry) = self.names.get_mut(space, name) else {
            return;
        };
        let Some(id) = entry.request.take() else {
            return;
        };
        self.unwatch_port(id);
        self.fire(id, notify::PORT_DELETED, name.0.into());
    }

    /// The port that a request of a name watches has died, or the one that an alarm was to tell.
    pub(super) fn port_died(&mut self, ledgers: &mut Ledgers, id: NoticeId) {
        let Some(notice) = self.notices.get(id) else {
            return;
        };
        if let Watch::Alarm(Some(alarm)) = notice.watch {
            return self.alarm_died(ledgers, id, alarm);
        }
        let Some((space, name)) = notice.watch.name() else {
            return;
        };
        self.unwatch_port(id);
        self.names.make_dead(space, name);
        if let Some(entry) = self.names.get_mut(space, name) {
            entry.request = None;
        }
        self.fire_dead_name(id, space, name);
    }

    /// Arms the send-possible request of a name: it fires when the port has room (N-06), at once if it has.
    ///
    /// A send-once right and a port of the kernel always have.
    fn arm_for_room(&mut self, space: SpaceId, name: Name, rights: Rights) {
        let Some((request, watched)) = self.names.get(space, name).and_then(|entry| {
            let port = entry.port?;
            Some((entry.request?, port))
        }) else {
            return;
        };
        let watch = self.notices.get(request).map(|notice| notice.watch);
        if !matches!(watch, Some(Watch::SendPossible { .. })) {
            return;
        }
        let has_room = self.ports.get(watched).is_some_and(|port| {
            rights == Rights::SEND_ONCE || matches!(port.kind, Kind::Kernel(_)) || !port.is_full()
        });
        if has_room {
            return self.room_came(request);
        }
        self.unwatch_port(request);
        self.hang(watched, request, |port| &mut port.room_requests);
    }

    /// A send gave up because the queue was full: what it asked for is armed.
    pub(super) fn arm_after_send(&mut self, space: SpaceId, port: PortId) {
        if let Some(name) = self.names.name_of(space, port) {
            self.arm_for_room(space, name, Rights::SEND);
        }
    }

    /// Fires one of the requests that wait for room at a port, if there is room; whether it did.
    pub(super) fn tell_of_room(&mut self, id: PortId) -> bool {
        let Some(port) = self.ports.get(id).filter(|port| !port.is_full()) else {
            return false;
        };
        let Some(notice) = port.room_requests else {
            return false;
        };
        self.room_came(notice);
        true
    }

    fn room_came(&mut self, id: NoticeId) {
        let watch = self.notices.get(id).map(|notice| notice.watch);
        let Some((space, name)) = watch.and_then(Watch::name) else {
            return;
        };
        self.end_request(id, (space, name));
        self.fire(id, notify::SEND_POSSIBLE, name.0.into());
    }

    /// A dead-name notification carries a user reference of the dead name (N-03).
    fn fire_dead_name(&mut self, id: NoticeId, space: SpaceId, name: Name) {
        if let Some(entry) = self.names.get_mut(space, name) {
            entry.add_uref();
        }
        self.fire(id, notify::DEAD_NAME, name.0.into());
    }

    /// Sends a no-senders notification if nobody can send any more (N-02); ends a kernel port that is there
    /// for its senders only.
    pub(super) fn no_senders_left(&mut self, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        if let Kind::Kernel(object) = port.kind {
            if port.send_rights == 0 && object.ends_without_senders() {
                self.destroy_port(id);
            }
            return;
        }
        let (senders, made) = (port.send_rights, port.make_send);
        let Some(notice) = port.no_senders else {
            return;
        };
        let Some(Watch::NoSenders { sync }) = self.notices.get(notice).map(|notice| notice.watch)
        else {
            return;
        };
        if senders == 0 && made >= sync {
            if let Some(port) = self.ports.get_mut(id) {
                port.no_senders = None;
            }
            self.fire(notice, notify::NO_SENDERS, made.into());
        }
    }

    /// A receive right is destroyed, and somebody asked to get it instead.
    pub(super) fn mail_receive_right(&mut self, id: PortId, notice: NoticeId) {
        self.leave_all_sets(id);
        if let Some(port) = self.ports.get_mut(id) {
            port.space = None;
            port.name = Name::NULL;
            port.make_send = 0;
            port.sequence = 0;
            port.guard = None;
        }
        let Some(record) = self.notices.get_mut(notice) else {
            return;
        };
        record.watch = Watch::PortDestroyed { port: Some(id) };
        let to = record.notify;
        if self.travels_behind(to, id) {
            // The port to be told lies in the queue of the one that ends: nobody would ever hear of it.
            return self.end_notice(notice);
        }
        self.set_carrier(id, Some(to));
        self.fire(notice, notify::PORT_DESTROYED, 0);
    }

    /// Posts a notice at the port that it notifies; if that is dead, the notice ends, with all it carries.
    pub(super) fn fire(&mut self, id: NoticeId, message_id: i32, word: u64) {
        let Some(notice) = self.notices.get_mut(id) else {
            return;
        };
        notice.id = message_id;
        notice.word = word;
        let port_id = notice.notify;
        match self.ports.get_mut(port_id) {
            Some(port) => {
                port.notices.push(&mut self.notices, id);
                self.port_has_work(port_id);
            }
            None => self.end_notice(id),
        }
    }

    fn end_notice(&mut self, id: NoticeId) {
        if let Some((_, Watch::PortDestroyed { port: Some(port) })) = self.spend_notice(id) {
            self.release(Right::Receive(port));
        }
    }

    /// Drops the first notice that waits at a dying port.
    pub(super) fn drop_notice(&mut self, ledgers: &mut Ledgers, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        let Some(notice) = port.notices.pop(&mut self.notices) else {
            return;
        };
        refund(ledgers, &notice);
        match notice.watch {
            Watch::PortDestroyed { port: Some(port) } => self.release(Right::Receive(port)),
            Watch::Alarm(Some(alarm)) => {
                self.end_alarm(ledgers, alarm);
            }
            _ => {}
        }
    }

    /// Drops the first member of a dying set.
    pub(super) fn drop_member(&mut self, set: PortId, membership: MembershipId) {
        // The membership knows the set by its old id, under which nothing is found any more.
        let next = self.memberships_after(membership);
        if let Some(set) = self.ports.get_mut(set) {
            set.memberships = next;
        }
        self.leave_set(membership);
    }
}
