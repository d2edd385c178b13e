//! Notifications: asked for, then fired, then received.
//!
//! One record serves the whole life of a notification. It is made when the request is, so destruction
//! never allocates. While armed it hangs on the port that it watches; fired, it waits at the port that
//! it notifies.

use arena::Arena;

use crate::base::ids::{AlarmId, NoticeId, NoticeKind, PortId, SpaceId};
use crate::base::ledger::{LedgerId, Ledgers, Resource};
use abi::names::Name;

/// What an armed notice watches, and what it carries once fired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    /// The death of the port under a name.
    DeadName {
        /// Whose name.
        space: SpaceId,
        /// The name.
        name: Name,
    },
    /// Room in the queue of the port under a name, or its death.
    SendPossible {
        /// Whose name.
        space: SpaceId,
        /// The name.
        name: Name,
    },
    /// A message that waits at the port or set under a name.
    MessageWaiting {
        /// Whose name.
        space: SpaceId,
        /// The name.
        name: Name,
    },
    /// A task's number of names.
    NamesUsed {
        /// How many are many.
        limit: u32,
    },
    /// The end of a port's last send right, with at least this many made.
    NoSenders {
        /// The make-send count that the requester knows of.
        sync: u32,
    },
    /// The destruction of a receive right. Fired, it carries the right.
    PortDestroyed {
        /// The receive right in transit, once fired.
        port: Option<PortId>,
    },
    /// A time, or a change of the calendar; `None` while it is being made.
    Alarm(Option<AlarmId>),
    /// Nothing any more: the record waits for whoever paid for it to get that back.
    Spent,
}

impl Watch {
    /// The name that the request is one of.
    pub(super) fn name(self) -> Option<(SpaceId, Name)> {
        match self {
            Self::DeadName { space, name }
            | Self::SendPossible { space, name }
            | Self::MessageWaiting { space, name } => Some((space, name)),
            Self::NamesUsed { .. }
            | Self::NoSenders { .. }
            | Self::PortDestroyed { .. }
            | Self::Alarm(_)
            | Self::Spent => None,
        }
    }
}

/// Bytes of kernel memory that one notice is charged as.
pub const NOTICE_BYTES: u64 = size_of::<Notice>() as u64;

/// One notification.
#[derive(Debug)]
pub struct Notice {
    /// See [`Watch`].
    pub watch: Watch,
    /// The port whose list of requests it hangs on, by index: its id changes when it dies.
    pub watched: Option<PortId>,
    /// The port to notify: a send-once right.
    pub notify: PortId,
    /// Whose memory it takes, from the request until it is received; an alarm's is paid for as a message.
    pub payer: Option<LedgerId>,
    /// Message id, once fired.
    pub id: i32,
    /// Word 0 of the message, once fired.
    pub word: u64,
    /// The next notice: of the same watched port while armed, in the queue once fired.
    pub next: Option<NoticeId>,
    /// The previous notice of the same watched port.
    pub previous: Option<NoticeId>,
}

impl Notice {
    /// One that nothing fires yet, with a send-once right to `notify`.
    pub(super) fn new(watch: Watch, notify: PortId, payer: Option<LedgerId>) -> Self {
        Self {
            watch,
            watched: None,
            notify,
            payer,
            id: 0,
            word: 0,
            next: None,
            previous: None,
        }
    }
}

/// Gives back what a notice that is no more was charged as.
pub(super) fn refund(ledgers: &mut Ledgers, notice: &Notice) {
    if let Some(payer) = notice.payer {
        ledgers.release(payer, Resource::KernelBytes, NOTICE_BYTES);
    }
}

/// All notices.
pub type Notices = Arena<Notice, NoticeKind>;

/// Fired notices, first in, first out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NoticeQueue {
    head: Option<NoticeId>,
    tail: Option<NoticeId>,
    count: u32,
}

impl NoticeQueue {
    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// How many wait.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The next one to be received.
    pub fn first(&self) -> Option<NoticeId> {
        self.head
    }

    /// Adds a notice at the end.
    pub fn push(&mut self, notices: &mut Notices, id: NoticeId) {
        if let Some(notice) = notices.get_mut(id) {
            notice.next = None;
            notice.previous = None;
        }
        match self.tail.and_then(|tail| notices.get_mut(tail)) {
            Some(tail) => tail.next = Some(id),
            None => self.head = Some(id),
        }
        self.tail = Some(id);
        self.count += 1;
    }

    /// Takes the first notice out of the queue and out of its arena.
    pub fn pop(&mut self, notices: &mut Notices) -> Option<Notice> {
        let notice = notices.remove(self.head?)?;
        self.head = notice.next;
        if self.head.is_none() {
            self.tail = None;
        }
        self.count -= 1;
        Some(notice)
    }
}
