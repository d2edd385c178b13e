//! A message between its send and its receive, and the queue that it waits in.
//!
//! One that meets a thread which waits for it is never queued: it lives on the stack, nobody is charged for
//! it, and its data stays in the sender's buffer until it is copied into the receiver's.

use arena::Arena;

use super::right::Right;
use crate::base::ids::{ArrayId, BodyId, MessageId, MessageKind, PortId, TaskId, ThreadId};
use crate::base::ledger::LedgerId;
use crate::vm::{CopyId, Cursor};
use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::registers::Shape;

/// By which right a message reached its port. The right lives until the message is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Via {
    /// A send right: it counts as one until the receive.
    Send,
    /// A send-once right: used up by the send.
    SendOnce,
    /// No right: the kernel made the message.
    Kernel,
}

/// What a request to the kernel that is done in steps has made so far, or how far it has got.
#[derive(Clone, Copy, Debug)]
pub enum Made {
    /// A task that is being filled. It ends when the request fails.
    Task(TaskId),
    /// A copy that is being gathered. It is thrown away when the request fails.
    Copy(CopyId),
    /// Rights for the answer. They end when the request fails.
    Ports {
        /// The rights.
        array: ArrayId,
        /// The thread that gave the last one.
        last: ThreadId,
    },
    /// Rights for the answer, of what lies in a table.
    Row {
        /// The rights.
        array: ArrayId,
        /// The first index that was not looked at.
        index: u32,
    },
    /// Names for the answer, which ends when the request fails.
    Names {
        /// Where they are written.
        copy: CopyId,
        /// The first index that was not looked at.
        index: u32,
        /// How many there are so far.
        count: u32,
    },
    /// The last thread whose counts were taken.
    Counted(ThreadId),
    /// Threads are suspended, and run until their CPUs notice.
    Stopping,
    /// The same of a thread that ends.
    Ending,
    /// All below this address, or before this byte, is done.
    At(u64),
    /// All below this address was looked at, and so many pages more may be asked for.
    Asked(u64, u32),
    /// The bytes that are mapped of what is to lie at an address.
    Mapped {
        /// The address.
        address: u64,
        /// The bytes.
        done: u64,
    },
    /// How far it got with pages of a memory object.
    Ordered(Cursor),
    /// The same with what a map shows of some: all below this address is done.
    Synced(u64, Cursor),
    /// All below this address is done, and is to be taken back when the request fails.
    Wired(u64),
    /// It failed with this code; all below this address is to be taken back.
    Undo(u64, KernReturn),
}

impl Made {
    /// What is left to do when the request fails with a code. `None`: nothing.
    pub fn undone(self, code: KernReturn) -> Option<Self> {
        match self {
            Self::Mapped { address, .. } | Self::Wired(address) => Some(Self::Undo(address, code)),
            _ => None,
        }
    }
}

/// A message that nobody has received yet.
#[derive(Debug)]
pub struct Message {
    /// Its id.
    pub id: i32,
    /// The payload.
    pub words: [u64; WORDS],
    /// Identity token of the sender's task; 0 for the kernel.
    pub identity: u64,
    /// The port that it was sent to.
    pub port: PortId,
    /// See [`Via`].
    pub via: Via,
    /// The right to reply with.
    pub reply: Right,
    /// What it consists of beside the words.
    pub shape: Shape,
    /// Data and rights beside the words.
    pub body: Option<BodyId>,
    /// Who pays for it until it is received.
    pub payer: Option<LedgerId>,
    /// See [`Made`].
    pub made: Option<Made>,
    /// The next message in its queue.
    pub next: Option<MessageId>,
}

impl Message {
    /// A message that the kernel makes: words only, no reply.
    #[inline(always)]
    pub fn from_kernel(port: PortId, id: i32, words: [u64; WORDS]) -> Self {
        Self {
            id,
            words,
            identity: 0,
            port,
            via: Via::Kernel,
            reply: Right::None,
            shape: Shape::SHORT,
            body: None,
            payer: None,
            made: None,
            next: None,
        }
    }
}

/// All queued messages.
pub type Messages = Arena<Message, MessageKind>;

/// First in, first out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageQueue {
    head: Option<MessageId>,
    tail: Option<MessageId>,
    count: u32,
}

impl MessageQueue {
    /// How many messages wait.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The next message to be received.
    pub fn first(&self) -> Option<MessageId> {
        self.head
    }

    /// Adds a message at the end.
    pub fn push(&mut self, messages: &mut Messages, id: MessageId) {
        match self.tail.and_then(|tail| messages.get_mut(tail)) {
            Some(tail) => tail.next = Some(id),
            None => self.head = Some(id),
        }
        self.tail = Some(id);
        self.count += 1;
    }

    /// Takes the first message out of the queue and out of its arena.
    #[inline(always)]
    pub fn pop(&mut self, messages: &mut Messages) -> Option<Message> {
        let message = messages.remove(self.head?)?;
        self.head = message.next;
        if self.head.is_none() {
            self.tail = None;
        }
        self.count -= 1;
        Some(message)
    }
}
