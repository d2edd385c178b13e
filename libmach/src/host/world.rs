//! Ports, spaces and the rights between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::names::{Name, queue_limit};
use abi::notify;

pub(super) type PortId = u64;
pub(super) type SpaceId = u64;
pub(super) type Outcome<T> = Result<T, KernReturn>;

/// A right outside every space: in a message, a registration or a reply slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Right {
    Null,
    Dead,
    Send(PortId),
    Once(PortId),
    Receive(PortId),
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) id: i32,
    pub(super) words: [u64; WORDS],
    pub(super) buffered: bool,
    pub(super) data: Vec<u8>,
    pub(super) items: Vec<Item>,
    pub(super) reply: Right,
    pub(super) identity: u64,
}

/// What a descriptor carries.
#[derive(Debug)]
pub(super) enum Item {
    Port(Right),
    Memory(Vec<u8>),
    /// An array, and how it was given.
    Ports(Vec<Right>, u8),
}

impl Queued {
    /// A notification with one word.
    pub(super) fn notification(id: i32, word: u64) -> Self {
        let words = [word, 0, 0, 0, 0, 0];
        Self {
            id,
            words,
            buffered: false,
            data: Vec::new(),
            items: Vec::new(),
            reply: Right::Null,
            identity: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) queue: VecDeque<Queued>,
    pub(super) limit: usize,
    pub(super) label: u64,
    pub(super) send_rights: u64,
    pub(super) once_rights: u64,
    pub(super) made: u64,
    pub(super) sequence: u64,
    pub(super) timer: Option<u64>,
    pub(super) no_senders: Option<(PortId, u64)>,
    pub(super) destroyed: Option<PortId>,
    /// A thread's reply object.
    reply_object: bool,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) port: PortId,
    pub(super) send: u64,
    pub(super) receive: bool,
    pub(super) once: bool,
    pub(super) dead: u64,
    pub(super) members: Option<BTreeSet<Name>>,
    /// Where the dead-name notification goes.
    pub(super) request: Option<PortId>,
}

#[derive(Debug, Default)]
pub(super) struct Space {
    pub(super) identity: u64,
    pub(super) entries: BTreeMap<Name, Entry>,
    free: Vec<Name>,
    used: u32,
}

impl Space {
    /// Enters `entry` under a new name.
    pub(super) fn insert(&mut self, entry: Entry) -> Name {
        let name = match self.free.pop() {
            Some(old) => Name::new(old.index(), old.generation().wrapping_add(1)),
            None => {
                self.used += 1;
                Name::new(self.used, 0)
            }
        };
        self.entries.insert(name, entry);
        name
    }

    /// Frees a name whose entry holds nothing any more.
    pub(super) fn tidy(&mut self, name: Name) {
        let empty = self.entries.get(&name).is_some_and(|entry| {
            let counts = entry.send + entry.dead;
            counts == 0 && !entry.receive && !entry.once && entry.members.is_none()
        });
        if empty {
            self.entries.remove(&name);
            self.free.push(name);
            for entry in self.entries.values_mut() {
                if let Some(members) = &mut entry.members {
                    members.remove(&name);
                }
            }
        }
    }
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) ports: BTreeMap<PortId, Port>,
    pub(super) spaces: BTreeMap<SpaceId, Space>,
    next: u64,
}

impl World {
    pub(super) const fn new() -> Self {
        Self {
            ports: BTreeMap::new(),
            spaces: BTreeMap::new(),
            next: 1,
        }
    }

    pub(super) fn new_space(&mut self) -> SpaceId {
        let id = self.new_id();
        self.spaces.insert(
            id,
            Space {
                identity: id,
                ..Space::default()
            },
        );
        id
    }

    pub(super) fn new_port(&mut self) -> PortId {
        let id = self.new_id();
        let port = Port {
            queue: VecDeque::new(),
            limit: queue_limit::DEFAULT as usize,
            label: 0,
            send_rights: 0,
            once_rights: 0,
            made: 0,
            sequence: 0,
            timer: None,
            no_senders: None,
            destroyed: None,
            reply_object: false,
        };
        self.ports.insert(id, port);
        id
    }

    /// A port for the answer to one call.
    pub(super) fn new_reply_object(&mut self) -> PortId {
        let id = self.new_port();
        if let Some(port) = self.ports.get_mut(&id) {
            port.reply_object = true;
        }
        id
    }

    /// Whether a port is a live reply object.
    pub(super) fn is_reply_object(&self, id: PortId) -> bool {
        self.ports.get(&id).is_some_and(|port| port.reply_object)
    }

    fn new_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts a message into a port's queue, whatever its limit; one to a dead port is destroyed.
    pub(super) fn enqueue(&mut self, port: PortId, message: Queued) {
        match self.ports.get_mut(&port) {
            Some(port) => port.queue.push_back(message),
            None => self.destroy_message(message),
        }
    }

    pub(super) fn destroy_message(&mut self, message: Queued) {
        self.destroy(message.reply);
        for item in message.items {
            self.end_item(item);
        }
    }

    /// Destroys what a message carried.
    pub(super) fn end_item(&mut self, item: Item) {
        match item {
            Item::Port(right) => self.destroy(right),
            Item::Ports(rights, _) => rights.into_iter().for_each(|right| self.destroy(right)),
            Item::Memory(_) => {}
        }
    }

    /// Destroys a right that was never used.
    pub(super) fn destroy(&mut self, right: Right) {
        match right {
            Right::Null | Right::Dead => {}
            Right::Send(port) => self.drop_send(port),
            Right::Once(port) => {
                if let Some(found) = self.ports.get_mut(&port) {
                    found.once_rights -= 1;
                    self.enqueue(port, Queued::notification(notify::SEND_ONCE, 0));
                }
            }
            Right::Receive(port) => self.destroy_port(port),
        }
    }

    /// Uses a send-once right up: a message goes through it.
    pub(super) fn notify(&mut self, once: PortId, message: Queued) {
        if let Some(found) = self.ports.get_mut(&once) {
            found.once_rights -= 1;
        }
        self.enqueue(once, message);
    }

    /// One send right less.
    pub(super) fn drop_send(&mut self, port: PortId) {
        if let Some(found) = self.ports.get_mut(&port) {
            found.send_rights -= 1;
            self.check_no_senders(port);
        }
    }

    pub(super) fn check_no_senders(&mut self, port: PortId) {
        let Some(found) = self.ports.get_mut(&port) else {
            return;
        };
        let made = found.made;
        if found.send_rights == 0
            && let Some((once, sync)) = found.no_senders
            && made >= sync
        {
            found.no_senders = None;
            self.notify(once, Queued::notification(notify::NO_SENDERS, made));
        }
    }

    /// The receive right goes: back to who asked for it, or the port dies.
    pub(super) fn destroy_port(&mut self, port: PortId) {
        let Some(found) = self.ports.get_mut(&port) else {
            return;
        };
        if let Some(once) = found.destroyed.take() {
            (found.made, found.sequence, found.timer) = (0, 0, None);
            let mut message = Queued::notification(notify::PORT_DESTROYED, 0);
            message.buffered = true;
            message.items.push(Item::Port(Right::Receive(port)));
            return self.notify(once, message);
        }
        let Some(found) = self.ports.remove(&port) else {
            return;
        };
        for message in found.queue {
            self.destroy_message(message);
        }
        let mut fired = Vec::new();
        for space in self.spaces.values_mut() {
            for (name, entry) in &mut space.entries {
                if entry.port == port && entry.members.is_none() && !entry.receive {
                    entry.dead += entry.send + u64::from(entry.once);
                    (entry.send, entry.once, entry.port) = (0, false, 0);
                    if let Some(once) = entry.request.take() {
                        entry.dead += 1;
                        fired.push((once, *name));
                    }
                }
            }
        }
        for (once, name) in fired {
            self.notify(
                once,
                Queued::notification(notify::DEAD_NAME, u64::from(name.0)),
            );
        }
        if let Some((once, _)) = found.no_senders {
            self.destroy(Right::Once(once));
        }
    }

    /// Ends a task: receive rights first, then the rest (P-20).
    pub(super) fn terminate(&mut self, space: SpaceId) {
        let Some(space) = self.spaces.remove(&space) else {
            return;
        };
        for entry in space.entries.values().filter(|entry| entry.receive) {
            self.destroy_port(entry.port);
        }
        for entry in space.entries.into_values() {
            if let Some(once) = entry.request {
                self.destroy(Right::Once(once));
            }
            for _ in 0..entry.send {
                self.drop_send(entry.port);
            }
            if entry.once {
                self.destroy(Right::Once(entry.port));
            }
        }
    }
}
