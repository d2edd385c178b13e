//! `mach_msg`: send, then receive.

use std::vec::Vec;

use abi::kern_return::MessageReturn;
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};
use abi::notify::pending;
use abi::registers::{Received, ReplyKind, Shape, high_name, low_name, options, pair};

use super::task::{Entered, check_alive, enter, replace_slot};
use super::world::{Item, PortId, Queued, Right};
use super::{CHANGED, memory, now, wait};
use crate::buffer;
use crate::trap::Registers;

type Sent<T> = Result<T, MessageReturn>;

/// What the input registers say.
struct Call {
    options: u32,
    remote: u8,
    local: u8,
    shape: Shape,
    destination: Name,
    reply: Name,
    receive: Name,
    id: i32,
    deadline: u64,
}

impl Call {
    fn decode(registers: &Registers) -> Self {
        let low = registers.word as u32;
        let how = |shift: u32| (low >> shift & options::DISPOSITION_MASK) as u8;
        Self {
            options: low & 0xffff,
            remote: how(options::REMOTE_SHIFT),
            local: how(options::LOCAL_SHIFT),
            shape: Shape((registers.word >> 32) as u32),
            destination: low_name(registers.names),
            reply: high_name(registers.names),
            receive: low_name(registers.receive),
            id: (registers.receive >> 32) as u32 as i32,
            deadline: registers.deadline,
        }
    }

    fn until(&self, option: u32) -> u64 {
        if self.options & option != 0 {
            self.deadline
        } else {
            u64::MAX
        }
    }
}

/// The reply object of a call. It ends with the call, also when that is unwound since the task was
/// killed: an answer on its way gives its rights back.
struct ReplyObject(Option<PortId>);

impl Drop for ReplyObject {
    fn drop(&mut self) {
        if let Some(port) = self.0 {
            super::world().destroy_port(port);
            CHANGED.notify_all();
        }
    }
}

pub(super) fn mach_msg(registers: &Registers) -> (u32, Registers) {
    let call = Call::decode(registers);
    let mut entered = enter();
    let own = (call.options & options::RECEIVE != 0 && call.receive == Name::NULL)
        .then(|| entered.world.new_reply_object());
    let mut reply_object = ReplyObject(own);
    let mut unsent = Registers::default();
    let mut result = Ok(Registers::default());
    if call.options & options::SEND != 0 {
        result = match send(entered, &call, registers, own) {
            Ok(back) => {
                entered = back;
                Ok(Registers::default())
            }
            Err(Unsent(back, code, registers)) => {
                entered = back;
                unsent = registers;
                Err(code)
            }
        };
    }
    if result.is_ok() && call.options & options::RECEIVE != 0 {
        (entered, result) = receive(entered, &call, own);
    }
    if let Some(own) = reply_object.0.take() {
        // The epoch ends: whoever still holds the right to answer holds a dead one.
        entered.world.destroy_port(own);
    }
    CHANGED.notify_all();
    match result {
        Ok(registers) => (0, registers),
        Err(code) => (code.0, unsent),
    }
}

/// A send that failed: why, and what came back of the header.
struct Unsent(Entered, MessageReturn, Registers);

/// Sends; waits for room in the queue.
fn send(
    mut entered: Entered,
    call: &Call,
    registers: &Registers,
    own: Option<PortId>,
) -> Result<Entered, Unsent> {
    let (port, message, once) = match entered.compose(call, registers, own) {
        Ok(composed) => composed,
        Err(code) => return Err(Unsent(entered, code, Registers::default())),
    };
    let until = call.until(options::SEND_TIMEOUT);
    loop {
        let full = entered
            .world
            .ports
            .get(&port)
            .is_some_and(|port| port.queue.len() >= port.limit);
        if once || !full {
            break;
        }
        if now() >= until {
            let back = entered.give_back(port, message);
            return Err(Unsent(entered, MessageReturn::SendTimedOut, back));
        }
        CHANGED.notify_all();
        let world = wait(entered.world, until);
        check_alive(&world, entered.space);
        entered.world = world;
    }
    entered.world.enqueue(port, message);
    if !once {
        // The right that carried the message is used up.
        entered.world.drop_send(port);
    }
    CHANGED.notify_all();
    Ok(entered)
}

impl Entered {
    /// Checks and takes everything that the message consists of.
    fn compose(
        &mut self,
        call: &Call,
        registers: &Registers,
        own: Option<PortId>,
    ) -> Sent<(PortId, Queued, bool)> {
        if !call.shape.is_valid() {
            return Err(MessageReturn::SendInvalidHeader);
        }
        let reply = self.reply(call, own)?;
        if reply == Right::Once(own.unwrap_or(0))
            && let Some(port) = self.world.ports.get_mut(&own.unwrap_or(0))
        {
            port.once_rights += 1;
        }
        let destination = match self.destination(call) {
            Ok(destination) => destination,
            Err(code) => {
                self.undo_reply(call, reply);
                return Err(code);
            }
        };
        let (port, once) = match destination {
            Right::Once(port) => (port, true),
            Right::Send(port) => (port, false),
            _ => return Err(MessageReturn::SendInvalidDest),
        };
        let (data, items) = match self.body(call.shape) {
            Ok(body) => body,
            Err(code) => {
                // The header's rights are used up (M-08).
                self.world.destroy(destination);
                self.world.destroy(reply);
                return Err(code);
            }
        };
        if once && let Some(port) = self.world.ports.get_mut(&port) {
            port.once_rights -= 1;
        }
        let identity = self
            .world
            .spaces
            .get(&self.space)
            .map_or(0, |space| space.identity);
        let buffered = call.shape.is_buffered();
        let words = registers.words;
        Ok((
            port,
            Queued {
                id: call.id,
                words,
                buffered,
                data,
                items,
                reply,
                identity,
            },
            once,
        ))
    }

    /// The right to answer, as the kernel judges it: no name is no right, whatever the disposition
    /// says (M-07), but for the one that stands for the own reply object.
    fn reply(&mut self, call: &Call, own: Option<PortId>) -> Sent<Right> {
        match (call.local, call.reply) {
            (disposition::NONE, Name::NULL) => Ok(Right::Null),
            (disposition::MAKE_SEND_ONCE, Name::NULL) => {
                own.map(Right::Once).ok_or(MessageReturn::SendInvalidReply)
            }
            (disposition::NONE | disposition::MOVE_RECEIVE, _) => {
                Err(MessageReturn::SendInvalidHeader)
            }
            (_, Name::NULL) => Ok(Right::Null),
            (_, Name::DEAD) => Ok(Right::Dead),
            (how, name) => self
                .world
                .copy_in(self.space, name, how)
                .map_err(|_| MessageReturn::SendInvalidReply),
        }
    }

    /// The right that the message goes through; a dead one stays where it is.
    fn destination(&mut self, call: &Call) -> Sent<Right> {
        let dead = |_| MessageReturn::SendInvalidDest;
        if call.destination == Name::REPLY_SLOT {
            let right = replace_slot(Right::Null);
            if let Right::Once(port) = right
                && self.world.ports.contains_key(&port)
            {
                return Ok(right);
            }
            replace_slot(right);
            return Err(MessageReturn::SendInvalidDest);
        }
        let space = self
            .world
            .spaces
            .get(&self.space)
            .ok_or(MessageReturn::SendInvalidDest)?;
        match space.entries.get(&call.destination) {
            Some(entry) if entry.dead == 0 => self
                .world
                .copy_in(self.space, call.destination, call.remote)
                .map_err(dead),
            _ => Err(MessageReturn::SendInvalidDest),
        }
    }

    /// Header copyin is atomic (M-04): a reply right that was taken goes back.
    fn undo_reply(&mut self, call: &Call, reply: Right) {
        match (reply, call.local) {
            (Right::Once(port), disposition::MAKE_SEND_ONCE) => {
                if let Some(port) = self.world.ports.get_mut(&port) {
                    port.once_rights -= 1;
                }
            }
            (right, _) => {
                self.world.copy_out(self.space, right);
            }
        }
    }

    fn body(&mut self, shape: Shape) -> Sent<(Vec<u8>, Vec<Item>)> {
        let count = shape.descriptors() as usize;
        let mut items = Vec::new();
        for index in 0..count {
            let found = buffer::descriptor(index);
            let item = match found.kind {
                descriptor::PORT => self
                    .world
                    .copy_in(self.space, Name(found.name), found.disposition)
                    .map(Item::Port)
                    .map_err(|_| MessageReturn::SendInvalidRight),
                descriptor::OUT_OF_LINE_PORTS => self.array(&found),
                // SAFETY: the sender answers for its descriptors; a test's memory is readable.
                descriptor::OUT_OF_LINE => Ok(Item::Memory(unsafe {
                    memory::read(found.address, found.size)
                })),
                _ => Err(MessageReturn::SendInvalidType),
            };
            match item {
                Ok(item) => items.push(item),
                Err(code) => {
                    items.into_iter().for_each(|item| self.world.end_item(item));
                    return Err(code);
                }
            }
        }
        for index in 0..count {
            let found = buffer::descriptor(index);
            let size = match found.kind {
                descriptor::OUT_OF_LINE => found.size,
                descriptor::OUT_OF_LINE_PORTS => u64::from(found.name) * 4,
                _ => continue,
            };
            if found.flags & descriptor::DEALLOCATE != 0 {
                // SAFETY: the flag gives the memory away. What is not a region of its own stays.
                crate::ignore(unsafe { memory::deallocate(found.address, size) });
            }
        }
        let mut data = std::vec![0; shape.size() as usize];
        buffer::copy_out_bytes(count, &mut data);
        Ok((data, items))
    }

    /// The rights of an array, all of them or none.
    fn array(&mut self, found: &Descriptor) -> Sent<Item> {
        // SAFETY: the sender answers for its descriptors; a test's memory is readable.
        let names = unsafe { memory::read(found.address, u64::from(found.name) * 4) };
        let mut rights = Vec::new();
        for name in names.as_chunks().0 {
            let name = Name(u32::from_le_bytes(*name));
            match self.world.copy_in(self.space, name, found.disposition) {
                Ok(right) => rights.push(right),
                Err(_) => {
                    self.world.end_item(Item::Ports(rights, found.disposition));
                    return Err(MessageReturn::SendInvalidRight);
                }
            }
        }
        Ok(Item::Ports(rights, found.disposition))
    }

    /// The names of an array's rights in this space, in memory of their own.
    fn lay_out_array(&mut self, rights: Vec<Right>, how: u8) -> Descriptor {
        let mut names = Vec::new();
        let count = rights.len() as u32;
        for right in rights {
            let (name, _) = self.world.copy_out(self.space, right);
            names.extend_from_slice(&name.0.to_le_bytes());
        }
        Descriptor {
            kind: descriptor::OUT_OF_LINE_PORTS,
            disposition: moved(how),
            flags: descriptor::DEALLOCATE,
            name: count,
            address: memory::deliver(&names),
            size: names.len() as u64,
        }
    }

    /// Writes what lies beside the words into the thread's buffer; answers with the shape.
    fn lay_out(&mut self, content: (Option<&[u8]>, Vec<Item>)) -> Shape {
        let (Some(data), items) = content else {
            return Shape::SHORT;
        };
        let count = items.len();
        for (index, item) in items.into_iter().enumerate() {
            let value = match item {
                Item::Port(right) => {
                    let (name, disposition) = self.world.copy_out(self.space, right);
                    let kind = descriptor::PORT;
                    Descriptor {
                        kind,
                        disposition,
                        name: name.0,
                        ..Descriptor::default()
                    }
                }
                Item::Ports(rights, how) => self.lay_out_array(rights, how),
                Item::Memory(content) => Descriptor {
                    kind: descriptor::OUT_OF_LINE,
                    address: memory::deliver(&content),
                    size: content.len() as u64,
                    ..Descriptor::default()
                },
            };
            buffer::set_descriptor(index, value);
        }
        buffer::copy_in_bytes(count, data);
        Shape::buffered(data.len() as u32, count as u32)
    }

    /// A message that could not be sent comes back as if received (M-10), the right that it went
    /// through included. The own reply object has no name to come back under.
    fn give_back(&mut self, port: PortId, message: Queued) -> Registers {
        let reply = match message.reply {
            Right::Once(own) if self.world.is_reply_object(own) => Name::NULL,
            right => self.world.copy_out(self.space, right).0,
        };
        let destination = self.world.copy_out(self.space, Right::Send(port)).0;
        let content = message.buffered.then_some(&*message.data);
        let shape = self.lay_out((content, message.items));
        Registers {
            word: pair(shape.0, destination.0),
            receive: pair(message.id.cast_unsigned(), reply.0),
            ..Registers::default()
        }
    }
}

/// What the rights are that were given by a disposition.
const fn moved(how: u8) -> u8 {
    match how {
        disposition::MOVE_RECEIVE => disposition::MOVE_RECEIVE,
        disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => disposition::MOVE_SEND_ONCE,
        _ => disposition::MOVE_SEND,
    }
}

/// Receives on a port, a set, or the own reply port.
fn receive(
    mut entered: Entered,
    call: &Call,
    own: Option<PortId>,
) -> (Entered, Result<Registers, MessageReturn>) {
    let until = call.until(options::RECEIVE_TIMEOUT);
    loop {
        let candidates = match entered.candidates(call.receive, own) {
            Ok(candidates) => candidates,
            Err(code) => return (entered, Err(code)),
        };
        let mut wake = until;
        for (name, port) in &candidates {
            let Some(found) = entered.world.ports.get_mut(port) else {
                continue;
            };
            if call.options & options::PEEK != 0 {
                if let Some(message) = found.queue.front() {
                    let registers = Registers {
                        word: pair(0, name.0),
                        names: found.label,
                        receive: pair(message.id.cast_unsigned(), 0),
                        ..Registers::default()
                    };
                    return (entered, Ok(registers));
                }
                continue;
            }
            let message = match found.timer {
                Some(at) if at <= now() => {
                    found.timer = None;
                    Some(Queued::notification(pending::TIMER, at))
                }
                timer => {
                    wake = wake.min(timer.unwrap_or(u64::MAX));
                    found.queue.pop_front()
                }
            };
            if let Some(message) = message {
                found.sequence += 1;
                let label = found.label;
                let registers = entered.receive_message(*name, label, message);
                return (entered, Ok(registers));
            }
        }
        if now() >= until {
            return (entered, Err(MessageReturn::ReceiveTimedOut));
        }
        let world = wait(entered.world, wake);
        check_alive(&world, entered.space);
        entered.world = world;
        if !entered.world.spaces.contains_key(&entered.space) {
            return (entered, Err(MessageReturn::ReceivePortChanged));
        }
    }
}

impl Entered {
    /// The ports to look at, with their names.
    fn candidates(&self, name: Name, own: Option<PortId>) -> Sent<Vec<(Name, PortId)>> {
        if let Some(own) = own {
            return Ok(std::vec![(Name::NULL, own)]);
        }
        let space = self
            .world
            .spaces
            .get(&self.space)
            .ok_or(MessageReturn::ReceiveInvalidName)?;
        let entry = space
            .entries
            .get(&name)
            .ok_or(MessageReturn::ReceiveInvalidName)?;
        if let Some(members) = &entry.members {
            let ports = members.iter().filter_map(|member| {
                let entry = space.entries.get(member)?;
                entry.receive.then_some((*member, entry.port))
            });
            return Ok(ports.collect());
        }
        if entry.receive {
            Ok(std::vec![(name, entry.port)])
        } else {
            Err(MessageReturn::ReceiveInvalidName)
        }
    }

    /// Puts a dequeued message into registers, buffer and space.
    fn receive_message(&mut self, local: Name, label: u64, message: Queued) -> Registers {
        let shape = self.lay_out((message.buffered.then_some(&message.data), message.items));
        let (kind, reply) = match message.reply {
            Right::Null => (ReplyKind::None, Name::NULL),
            Right::Once(port) if self.world.is_reply_object(port) => {
                match replace_slot(message.reply) {
                    Right::Null => (ReplyKind::Slot, Name::REPLY_SLOT),
                    old => {
                        replace_slot(old);
                        let name = self.world.copy_out(self.space, message.reply).0;
                        (ReplyKind::SendOnce, name)
                    }
                }
            }
            right => match self.world.copy_out(self.space, right) {
                (Name::DEAD, _) => (ReplyKind::Dead, Name::DEAD),
                (name, disposition::MOVE_SEND_ONCE) => (ReplyKind::SendOnce, name),
                (name, _) => (ReplyKind::Send, name),
            },
        };
        Registers {
            word: pair(Received::new(shape, kind).0, local.0),
            names: label,
            receive: pair(message.id.cast_unsigned(), reply.0),
            deadline: message.identity,
            words: message.words,
        }
    }
}
