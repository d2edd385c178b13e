//! What happens when rights and ports go away.

use abi::kern_return::MessageReturn;
use abi::names::{MAX_UREFS, Name};
use abi::notify;

use super::{Ask, Carried, Entry, Holder, Message, Model, PortId, SetId, Source, State, TaskId};

impl Model {
    /// A right that nobody has any more.
    pub(super) fn discard(&mut self, right: Carried) {
        match right {
            Carried::Null | Carried::Dead => {}
            Carried::Send(port) => self.senders_changed(port),
            Carried::SendOnce(port) => self.notify(port, notify::SEND_ONCE, None),
            Carried::Receive(port) => self.receiver_gone(port),
        }
    }

    /// A message that nobody will receive.
    pub(super) fn discard_message(&mut self, message: Message) {
        for right in [message.local].into_iter().chain(message.rights) {
            self.discard(right);
        }
        // A send-once right that was used for a message is gone with it, silently.
        if let Carried::Send(_) = message.remote {
            self.discard(message.remote);
        }
    }

    /// The receive right was destroyed: the port dies, or its supervisor gets the right (N-05).
    fn receiver_gone(&mut self, port: PortId) {
        if let Some(to) = self.ports[port].destroyed.take()
            && self.is_alive(to)
            && !self.travels_behind(to, port)
        {
            self.clear_receiver(port);
            self.ports[port].holder = Holder::Message;
            self.notify_with(
                to,
                (notify::PORT_DESTROYED, Vec::new()),
                vec![Carried::Receive(port)],
            );
            return;
        }
        self.die(port);
    }

    /// M-25, P-32: what a receive right loses when it moves.
    pub(super) fn clear_receiver(&mut self, port: PortId) {
        self.withdraw(port);
        let state = &mut self.ports[port];
        state.make_send = 0;
        state.sequence = 0;
        state.label = None;
        state.guard = None;
    }

    /// Nobody receives from the port any more.
    pub(super) fn withdraw(&mut self, port: PortId) {
        self.leave_sets(port);
        self.end_waits(port);
    }

    pub(super) fn leave_sets(&mut self, port: PortId) {
        for set in &mut self.sets {
            set.retain(|member| *member != port);
        }
    }

    /// Threads that wait on the port itself come back with `PORT_CHANGED`.
    fn end_waits(&mut self, port: PortId) {
        for thread in &mut self.threads {
            if let State::Receiving {
                source: Source::Port(of),
                claimed: false,
                ..
            } = thread.state
                && of == port
            {
                thread.state = State::Due(MessageReturn::ReceivePortChanged);
            }
        }
    }

    /// P-36.
    pub(super) fn destroy_set(&mut self, set: SetId) {
        self.sets[set].clear();
        for thread in &mut self.threads {
            if let State::Receiving {
                source: Source::Set(of),
                claimed: false,
                ..
            } = thread.state
                && of == set
            {
                thread.state = State::Due(MessageReturn::ReceivePortChanged);
            }
        }
    }

    /// The port dies: names turn dead, waiters come back, messages are destroyed.
    pub(super) fn die(&mut self, port: PortId) {
        self.clear_receiver(port);
        self.ports[port].holder = Holder::Nobody;
        self.end_semaphore(port);
        self.end_device(port);
        self.end_entry(port);
        self.end_proxy(port);
        self.end_store(port);
        self.end_objects(port);
        self.end_alarms(port);
        self.ports[port].deadline = None;
        for task in 0..self.tasks.len() {
            for name in self.names_of(task, port) {
                self.name_dies(task, name);
            }
        }
        let state = &mut self.ports[port];
        let queued: Vec<Message> = state.queue.drain(..).collect();
        let (senders, unsent): (Vec<_>, Vec<_>) = state.senders.drain(..).unzip();
        let no_senders = state.no_senders.take();
        for message in queued.into_iter().chain(unsent) {
            self.discard_message(message);
        }
        // M-06: their messages are sent, and have ended before they receive what comes of that.
        for thread in senders {
            self.sent(thread);
        }
        if let Some((to, _)) = no_senders {
            self.discard(Carried::SendOnce(to));
        }
    }

    fn names_of(&self, task: TaskId, port: PortId) -> Vec<Name> {
        let entries = self.tasks[task].names.iter();
        let matching = entries.filter(|(_, entry)| match entry {
            Entry::Port { port: of, .. } | Entry::SendOnce { port: of, .. } => *of == port,
            Entry::Set(_) | Entry::Dead(_) => false,
        });
        matching.map(|(name, _)| *name).collect()
    }

    /// N-03: a name turns dead, with one more reference when that is announced.
    fn name_dies(&mut self, task: TaskId, name: Name) {
        let Some(entry) = self.tasks[task].names.get_mut(&name) else {
            return;
        };
        let (urefs, request) = match entry {
            Entry::Port { send, request, .. } => (*send, request.take()),
            Entry::SendOnce { request, .. } => (1, request.take()),
            Entry::Set(_) | Entry::Dead(_) => return,
        };
        let announced = u32::from(request.is_some());
        *entry = Entry::Dead((urefs + announced).min(MAX_UREFS.into()));
        if let Some(Ask { to, .. }) = request {
            self.notify(to, notify::DEAD_NAME, Some(name.0.into()));
        }
    }
}
