//! The message fast path: a call, or a reply with the next receive, to a thread that waits for it.
//!
//! It is the general path with everything left out that such a message does not need: nothing is
//! allocated, queued or scheduled, no name is made, and the CPU goes from one thread to the other with the
//! rest of the slice. A condition that does not hold changes nothing and answers `None`; the general path
//! then does the whole trap. Tests run every program with and without it and compare.
//!
//! What the caller lends: the receiver runs at the caller's priority if that is higher, on the caller's
//! slice. The loan ends when the receiver next receives, or when the slice is used up.

use abi::names::{Name, disposition};
use abi::registers::{self, ReplyKind, Shape, options};

use super::Ipc;
use super::entry::Rights;
use super::port::{Kind, Port};
use crate::base::ids::{PortId, ThreadId};
use crate::machine::{Cpu, Frame, Machine};
use crate::sched::{Flags, Sched, State, Thread, Wait};

/// `rdi` of a short call: send by a send right, reply to the own reply object.
pub const CALL: u64 = registers::send_word(
    options::SEND | options::RECEIVE,
    disposition::COPY_SEND,
    disposition::MAKE_SEND_ONCE,
    Shape::SHORT,
);

/// `rdi` of a short reply, with the next receive.
pub const REPLY: u64 = registers::send_word(
    options::SEND | options::RECEIVE,
    disposition::MOVE_SEND_ONCE,
    disposition::NONE,
    Shape::SHORT,
);

impl Ipc {
    /// Sends the current thread's short call to a waiting receiver, which runs next.
    #[inline(always)]
    pub fn fast_call<M: Machine>(
        &mut self,
        sched: &mut Sched,
        machine: &mut M,
        cpu: Cpu,
        caller: ThreadId,
    ) -> Option<ThreadId> {
        let frame = machine.frame(caller.index());
        let (destination, receive, id) = (frame.rsi, frame.rdx as u32, (frame.rdx >> 32) as u32);
        // The reply name and the receive name are both null: the own reply object.
        if destination >> 32 != 0 || receive != 0 {
            return None;
        }
        let from = sched.threads.get(caller)?;
        if !(from.flags - Flags::SLOT_FULL).is_empty() {
            return None;
        }
        let entry = self.names.get(from.space, Name(destination as u32))?;
        if !entry.rights.contains(Rights::SEND) {
            return None;
        }
        let port = self.ports.get(entry.port?)?;
        if port.has_work {
            return None;
        }
        let (label, name) = (port.label, port.name);
        let (queue, receiver) = self.waiting_receiver(port, entry.port?)?;
        let (from, to) = sched.threads.get_pair_mut(caller, receiver)?;
        // The receiver's slot must be free, and nothing else may be special about it.
        if !to.flags.is_empty() {
            return None;
        }
        to.slot = Some(from.reply_port);
        to.flags = Flags::SLOT_FULL;
        if from.priority > to.priority {
            to.priority = from.priority;
        }
        from.wait = Wait::Reply;
        let identity = hand_over(from, to, cpu);
        self.ports
            .get_mut(queue)?
            .receivers
            .remove(&mut sched.threads, receiver);
        sched.cpu(cpu).current = Some(receiver);
        let words = machine.frame(caller.index()).words;
        let frame = machine.frame(receiver.index());
        let kind = registers::Received::new(Shape::SHORT, ReplyKind::Slot);
        frame.rdi = registers::pair(kind.0, name.0);
        frame.rsi = label;
        frame.rdx = registers::pair(id, Name::REPLY_SLOT.0);
        finish(frame, identity, words);
        Some(receiver)
    }

    /// Sends the current thread's short reply through its slot to the waiting caller, which runs next,
    /// and makes the current thread wait for its next message.
    #[inline(always)]
    pub fn fast_reply<M: Machine>(
        &mut self,
        sched: &mut Sched,
        machine: &mut M,
        cpu: Cpu,
        server: ThreadId,
    ) -> Option<ThreadId> {
        let frame = machine.frame(server.index());
        let (destination, receive) = (frame.rsi, Name(frame.rdx as u32));
        let id = (frame.rdx >> 32) as u32;
        if destination != u64::from(Name::REPLY_SLOT.0) {
            return None;
        }
        let highest = sched.ready.highest();
        let from = sched.threads.get(server)?;
        if from.flags != Flags::SLOT_FULL {
            return None;
        }
        let reply_port = self.ports.get(from.slot?)?;
        let Kind::Reply(caller) = reply_port.kind else {
            return None;
        };
        let entry = self.names.get(from.space, receive)?;
        if !entry.rights.intersects(Rights::RECEIVE | Rights::SET) {
            return None;
        }
        let source = entry.port?;
        if self.ports.get(source)?.has_work {
            return None;
        }
        let (from, to) = sched.threads.get_pair_mut(server, caller)?;
        let special = !(to.flags - Flags::SLOT_FULL).is_empty();
        // Somebody who waits at a higher priority than the caller's comes first.
        if special || to.wait != Wait::Reply || highest > to.priority + 1 {
            return None;
        }
        from.slot = None;
        from.flags = Flags::empty();
        from.priority = from.own_priority;
        from.wait = Wait::Receive(source);
        let identity = hand_over(from, to, cpu);
        self.ports
            .get_mut(source)?
            .receivers
            .push(&mut sched.threads, server);
        sched.cpu(cpu).current = Some(caller);
        let words = machine.frame(server.index()).words;
        let frame = machine.frame(caller.index());
        frame.rdi = registers::Received::new(Shape::SHORT, ReplyKind::None)
            .0
            .into();
        frame.rsi = 0;
        frame.rdx = registers::pair(id, Name::NULL.0);
        finish(frame, identity, words);
        Some(caller)
    }

    /// The first thread that waits on a port, or on its set, and the queue that it is in.
    #[inline(always)]
    fn waiting_receiver(&self, port: &Port, id: PortId) -> Option<(PortId, ThreadId)> {
        if let Some(receiver) = port.receivers.first() {
            return Some((id, receiver));
        }
        let set = port.set?;
        Some((set, self.ports.get(set)?.receivers.first()?))
    }
}

/// The CPU goes from one thread to the other.
#[inline(always)]
fn hand_over(from: &mut Thread, to: &mut Thread, cpu: Cpu) -> u64 {
    from.state = State::Blocked;
    to.wait = Wait::None;
    to.state = State::Running(cpu);
    from.identity
}

/// What every received message brings.
#[inline(always)]
fn finish(frame: &mut Frame, identity: u64, words: [u64; 6]) {
    frame.rax = 0;
    frame.r10 = identity;
    frame.words = words;
}
