//! How many rights to a port there are (MACH.md M-37, P-31): all the places that hold one, looked up anew each time.

use super::{Ask, Carried, Entry, Message, Model, PortId};

impl Model {
    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> + '_ {
        self.ports.iter().flat_map(|port| {
            let waiting = port.senders.iter().map(|(_, message)| message);
            port.queue.iter().chain(&port.claims).chain(waiting)
        })
    }

    /// Every right that a message carries or a slot holds, without those that messages are sent with.
    fn carried(&self) -> impl Iterator<Item = Carried> + '_ {
        let in_messages = self
            .messages()
            .flat_map(|message| message.rights.iter().copied().chain([message.local]));
        in_messages.chain(self.threads.iter().filter_map(|thread| thread.slot))
    }

    /// How many send rights to a port there are.
    pub(super) fn send_rights(&self, port: PortId) -> u64 {
        let named = self.tasks.iter().flat_map(|task| task.names.values()).filter(
            |entry| matches!(entry, Entry::Port { port: of, send, .. } if *of == port && *send > 0),
        );
        let kept = self.tasks.iter().flat_map(|task| task.kept.values());
        let handlers = self.handlers.values().map(|handler| &handler.port);
        let kept = kept.chain(handlers).chain(self.host.specials.values());
        let kept = kept.filter(|kept| **kept == port);
        // A message keeps the send right that it was sent with until it is received (N-02).
        let used = self.messages().map(|message| message.remote);
        let carried = self
            .carried()
            .chain(used)
            .filter(|right| *right == Carried::Send(port));
        (named.count() + kept.count() + carried.count()) as u64
            + self.kept_as_store(port)
            + self.kept_as_object(port)
    }

    /// How many send-once rights to a port there are, those that requests hold included; one that was
    /// used for a message is gone. Whether one that a queued notification uses still counts is the
    /// kernel's choice: `seen` decides as far as it can.
    pub(super) fn send_once_rights(&self, port: PortId, seen: u64) -> u64 {
        let carried = self
            .carried()
            .filter(|right| *right == Carried::SendOnce(port))
            .count();
        let mut named = 0;
        let asks = |request: &Option<Ask>| request.is_some_and(|ask| ask.to == port);
        for entry in self.tasks.iter().flat_map(|task| task.names.values()) {
            named += match entry {
                Entry::SendOnce { port: of, request } => {
                    usize::from(*of == port) + usize::from(asks(request))
                }
                Entry::Port { request, .. } => usize::from(asks(request)),
                Entry::Set(_) | Entry::Dead(_) => 0,
            };
        }
        let requests = self.ports.iter().map(|of| {
            usize::from(of.destroyed == Some(port))
                + usize::from(of.no_senders.is_some_and(|(to, _)| to == port))
        });
        let requests = requests.sum::<usize>() + self.alarms_at(port);
        let sure = (carried + named + requests) as u64;
        let used = self
            .messages()
            .filter(|message| message.from_kernel && message.remote == Carried::SendOnce(port));
        seen.clamp(sure, sure + used.count() as u64)
    }
}
