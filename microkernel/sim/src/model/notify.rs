//! Requests for notifications, and the messages that come of them (MACH.md N).

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::notify;

use super::body::Part;
use super::names::{Answer, accept, refuse};
use super::{Ask, Carried, Entry, Message, Model, PortId, TaskId, Verdict, Wish};

impl Model {
    /// Uses up a send-once right for a message of the kernel.
    pub(super) fn notify(&mut self, to: PortId, id: i32, word: Option<u64>) {
        self.notify_with(to, (id, word.into_iter().collect()), Vec::new());
    }

    /// As [`notify`](Self::notify), with rights.
    pub(super) fn notify_with(
        &mut self,
        to: PortId,
        (id, words): (i32, Vec<u64>),
        rights: Vec<Carried>,
    ) {
        let message = Message {
            batch: self.batch,
            from_kernel: true,
            id,
            first: words.first().copied().unwrap_or(0),
            words,
            data: None,
            remote: Carried::SendOnce(to),
            local: Carried::Null,
            parts: vec![Part::Right; rights.len()],
            rights,
        };
        if self.is_alive(to) {
            self.push(to, message);
        } else {
            self.discard_message(message);
        }
    }

    /// N-02: after a send right to the port is gone.
    pub(super) fn senders_changed(&mut self, port: PortId) {
        let state = &self.ports[port];
        let ends = state.semaphore.is_some() || state.device.is_some();
        let ends = ends || self.entries.contains(port) || self.proxy_at(port).is_some();
        if ends && self.send_rights(port) == 0 {
            return self.die(port);
        }
        self.leave_task(port);
        let Some((to, sync)) = self.ports[port].no_senders else {
            return;
        };
        let count = self.ports[port].make_send;
        if self.is_alive(port) && self.send_rights(port) == 0 && count >= sync {
            self.ports[port].no_senders = None;
            self.notify(to, notify::NO_SENDERS, Some(count));
        }
    }

    pub(super) fn notify_op(
        &mut self,
        task: TaskId,
        what: (Name, i32, u64, Name),
        seen: Answer,
    ) -> Verdict {
        let (name, id, sync, to) = what;
        let known = [
            notify::NO_SENDERS,
            notify::PORT_DESTROYED,
            notify::DEAD_NAME,
            notify::SEND_POSSIBLE,
        ];
        if !known.contains(&id) {
            return refuse(seen, &[Code::InvalidValue]);
        }
        if id == notify::PORT_DESTROYED && sync != 0 && seen.0 == Code::InvalidValue {
            return Ok(());
        }
        let target = self.receive_right(task, to);
        let Some(entry) = self.entry(task, name) else {
            return refuse(
                seen,
                &[
                    Code::InvalidName,
                    Code::InvalidCapability,
                    Code::InvalidRight,
                ],
            );
        };
        if to != Name::NULL && target.is_none() {
            return refuse(
                seen,
                &[
                    Code::InvalidCapability,
                    Code::InvalidRight,
                    Code::InvalidName,
                ],
            );
        }
        match (id, entry) {
            (
                notify::NO_SENDERS,
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
            ) => self.arm_no_senders(task, (port, sync, target), seen),
            (
                notify::PORT_DESTROYED,
                Entry::Port {
                    port,
                    receive: true,
                    ..
                },
            ) => self.arm_destroyed(task, (port, sync, target), seen),
            (notify::DEAD_NAME | notify::SEND_POSSIBLE, Entry::Dead(_)) => {
                self.name_is_dead(task, (name, sync, target), seen)
            }
            (
                notify::DEAD_NAME | notify::SEND_POSSIBLE,
                Entry::Port { request, .. } | Entry::SendOnce { request, .. },
            ) => {
                accept(seen)?;
                self.set_request(task, name, None);
                self.previous(task, request.map(|ask| ask.to), seen)?;
                self.ask(task, (name, id, sync), target);
                Ok(())
            }
            _ => refuse(seen, &[Code::InvalidRight]),
        }
    }

    /// N-03, N-06: a name has one request.
    fn ask(&mut self, task: TaskId, (name, id, sync): (Name, i32, u64), target: Option<PortId>) {
        let wish = match id {
            notify::DEAD_NAME => Wish::Death,
            _ => Wish::Room,
        };
        self.set_request(task, name, target.map(|to| Ask { to, wish }));
        if sync != 0 {
            self.arm_for_room(task, name);
        }
    }

    /// N-06: the request fires when there is room, at once if there is.
    pub(super) fn arm_for_room(&mut self, task: TaskId, name: Name) {
        let (port, request, once) = match self.tasks[task].names.get_mut(&name) {
            Some(Entry::Port { port, request, .. }) => (*port, request, false),
            Some(Entry::SendOnce { port, request }) => (*port, request, true),
            _ => return,
        };
        let Some(ask) = request.as_mut().filter(|ask| ask.wish != Wish::Death) else {
            return;
        };
        ask.wish = Wish::RoomNow;
        if once {
            let to = ask.to;
            *request = None;
            self.notify(to, notify::SEND_POSSIBLE, Some(name.0.into()));
        } else if self.ports[port].load() < self.ports[port].limit {
            self.tell_of_room(port);
        }
    }

    /// N-06: nobody waits for the room that there is.
    pub(super) fn tell_of_room(&mut self, port: PortId) {
        let mut told = Vec::new();
        for task in &mut self.tasks {
            for (name, entry) in &mut task.names {
                let Entry::Port {
                    port: of, request, ..
                } = entry
                else {
                    continue;
                };
                let now = |ask: &mut Ask| *of == port && ask.wish == Wish::RoomNow;
                if let Some(ask) = request.take_if(now) {
                    told.push((ask.to, *name));
                }
            }
        }
        for (to, name) in told {
            self.notify(to, notify::SEND_POSSIBLE, Some(name.0.into()));
        }
    }

    fn set_request(&mut self, task: TaskId, name: Name, to: Option<Ask>) {
        if let Some(Entry::Port { request, .. } | Entry::SendOnce { request, .. }) =
            self.tasks[task].names.get_mut(&name)
        {
            *request = to;
        }
    }

    /// N-02.
    fn arm_no_senders(
        &mut self,
        task: TaskId,
        (port, sync, target): (PortId, u64, Option<PortId>),
        seen: Answer,
    ) -> Verdict {
        accept(seen)?;
        let old = self.ports[port].no_senders.take().map(|(to, _)| to);
        self.previous(task, old, seen)?;
        self.ports[port].no_senders = target.map(|to| (to, sync));
        self.senders_changed(port);
        Ok(())
    }

    /// N-05: a second registration fails.
    fn arm_destroyed(
        &mut self,
        task: TaskId,
        (port, sync, target): (PortId, u64, Option<PortId>),
        seen: Answer,
    ) -> Verdict {
        if sync != 0 {
            return refuse(seen, &[Code::InvalidValue]);
        }
        if self.ports[port].is_timer {
            return refuse(seen, &[Code::InvalidRight]);
        }
        let old = self.ports[port].destroyed;
        if old.is_some() && target.is_some() {
            return refuse(seen, &[Code::Failure]);
        }
        accept(seen)?;
        self.ports[port].destroyed = None;
        self.previous(task, old, seen)?;
        self.ports[port].destroyed = target;
        Ok(())
    }

    /// N-03 on a name that is dead already.
    fn name_is_dead(
        &mut self,
        task: TaskId,
        (name, sync, target): (Name, u64, Option<PortId>),
        seen: Answer,
    ) -> Verdict {
        let Some(to) = target else {
            return refuse(seen, &[Code::InvalidArgument, Code::Success]);
        };
        if sync == 0 {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        self.previous(task, None, seen)?;
        if let Some(Entry::Dead(urefs)) = self.tasks[task].names.get_mut(&name) {
            *urefs = (*urefs + 1).min(u16::MAX.into());
        }
        self.notify(to, notify::DEAD_NAME, Some(name.0.into()));
        Ok(())
    }

    /// The send-once right that was registered before comes back as a name.
    fn previous(&mut self, task: TaskId, old: Option<PortId>, seen: Answer) -> Verdict {
        let name = Name(seen.1 as u32);
        let right = old.map_or(Carried::Null, Carried::SendOnce);
        self.accept_right(task, right, name)
            .map_err(|why| format!("previous right: {why}"))
    }
}
