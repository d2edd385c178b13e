//! A port whose messages a task reads itself: notifications, timers, interrupts, late replies.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

use abi::kern_return::MessageReturn;
use abi::names::Name;
use abi::transport::{Result, Source as _};

use super::answer::ReplyTo;
use super::runtime::Inner;
use crate::packet::In;
use crate::rights::{ReceiveRight, SendOnce, Untyped};
use crate::trap::Registers;

/// A received message, kept.
#[derive(Debug)]
pub struct Message {
    /// Message id.
    pub id: i32,
    /// The sender's identity token; 0 of the kernel.
    pub identity: u64,
    /// Words, rights and memory.
    pub content: In,
    /// The reply right, when there is one. Dropped unused, the sender learns it.
    pub reply: Option<SendOnce<Untyped>>,
}

impl Message {
    pub(crate) fn new(registers: &Registers) -> Self {
        let content = In::kept(registers);
        let reply = match ReplyTo::of(registers).kept() {
            ReplyTo::Once(name) | ReplyTo::Send(name) => Some(SendOnce::from_name(name)),
            ReplyTo::Slot | ReplyTo::Nobody => None,
        };
        Self {
            id: registers.id(),
            identity: registers.identity(),
            content,
            reply,
        }
    }

    /// Word 0 of the registers, as most notifications use it.
    pub fn word(&self) -> u64 {
        self.content.register(0)
    }

    /// All words, read in order.
    pub fn next_word(&mut self) -> Option<u64> {
        self.content.word()
    }
}

/// The queue behind an inbox.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Message>,
    waker: Option<Waker>,
}

pub(crate) type Shared = Rc<RefCell<Queue>>;

/// How many messages wait for an inbox's reader. The kernel's own queue was emptied into this one,
/// so that nothing else bounds what a flood of messages costs this task.
const MAX_QUEUED: usize = 1024;

/// Puts a message in and wakes the reader; when it is full the message is released.
pub(crate) fn put(queue: &Shared, message: Message) {
    let mut queue = queue.borrow_mut();
    if queue.messages.len() < MAX_QUEUED {
        queue.messages.push_back(message);
    }
    if let Some(waker) = queue.waker.take() {
        waker.wake();
    }
}

/// A receive right in a runtime's set, and what came through it. Dropped, the port dies.
#[derive(Debug)]
pub struct Inbox {
    port: ReceiveRight<Untyped>,
    queue: Shared,
    label: u64,
    runtime: Rc<Inner>,
}

impl Inbox {
    pub(crate) fn new(runtime: Rc<Inner>, port: ReceiveRight<Untyped>) -> Result<Self> {
        let queue = Shared::default();
        let label = runtime.attach_queue(&port, Rc::clone(&queue))?;
        Ok(Self {
            port,
            queue,
            label,
            runtime,
        })
    }

    /// The port, to make send rights from.
    pub const fn port(&self) -> &ReceiveRight<Untyped> {
        &self.port
    }

    /// The port's name, for traps that take it.
    pub const fn name(&self) -> Name {
        self.port.name()
    }

    /// Waits for the next message.
    pub async fn next(&self) -> Message {
        poll_fn(|context| {
            let mut queue = self.queue.borrow_mut();
            match queue.messages.pop_front() {
                Some(message) => Poll::Ready(message),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// Receives and releases what is queued on `port`, without waiting: each caller learns that nobody
/// will answer. Says how many messages that were.
pub fn discard<I: ?Sized>(port: &ReceiveRight<I>) -> usize {
    for count in 0..abi::names::queue_limit::MAX as usize {
        let (code, registers) = crate::message::receive_until(port.name(), 0);
        if code != MessageReturn::Success {
            return count;
        }
        drop(Message::new(&registers));
    }
    abi::names::queue_limit::MAX as usize
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.runtime.detach(self.label);
    }
}
