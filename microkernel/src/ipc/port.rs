//! A port, or a port set: what names denote, messages wait at and threads receive from.

use abi::kern_return::KernReturn;
use abi::names::{Name, queue_limit};

use super::alarm::{Clock, Hand};
use super::message::MessageQueue;
use super::notice::NoticeQueue;
use crate::base::KernResult;
use crate::base::ids::{MembershipId, NoticeId, PortId, SemaphoreId, SpaceId, TaskId, ThreadId};
use crate::base::ledger::LedgerId;
use crate::base::tree::Links;
use crate::machine::{Cpu, NEVER, Time};
use crate::sched::ThreadQueue;
use crate::vm::{MemoryEntryId, PagerId};

/// What the kernel itself is behind a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A task's control port.
    Task(TaskId),
    /// A thread's control port.
    Thread(ThreadId),
    /// The host, as everybody may know it.
    Host,
    /// The host, for those who may steer it.
    HostPrivileged,
    /// Maker of I/O-port ranges.
    IoRoot,
    /// Maker of interrupt rights.
    InterruptRoot,
    /// Maker of memory entries over device memory.
    MemoryRoot,
    /// A range of I/O ports.
    IoRange {
        /// The first port.
        first: u16,
        /// How many ports.
        count: u16,
    },
    /// An interrupt line that is bound to a receive right.
    Interrupt {
        /// The line.
        line: u32,
    },
    /// A processor.
    Processor(Cpu),
    /// The set of all processors, and what the port allows.
    ProcessorSet(Hand),
    /// A clock, and what the port allows.
    Clock(Clock, Hand),
    /// A semaphore.
    Semaphore(SemaphoreId),
    /// A memory entry.
    Memory(MemoryEntryId),
    /// What a pager answers to.
    MemoryControl(PagerId),
    /// The name of a memory object: it says which one memory is of, and nothing else.
    MemoryName(PagerId),
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A task receives on it.
    Plain,
    /// A set of ports; nothing is ever sent to it.
    Set,
    /// A thread's reply port: no names, only the send-once right of one call at a time.
    Reply(ThreadId),
    /// The kernel answers what is sent to it.
    Kernel(Object),
}

impl Kind {
    /// Whether it is one of a memory object's ports that the kernel has.
    pub(super) fn is_memory_object(self) -> bool {
        let Self::Kernel(object) = self else {
            return false;
        };
        matches!(object, Object::MemoryControl(_) | Object::MemoryName(_))
    }
}

/// What waits at a port without a message: receive makes one from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Send-once rights that were destroyed without use.
    pub send_once: u32,
    /// Interrupts since the last message.
    pub interrupts: u32,
    /// The deadline that passed, and has not been reported.
    pub timer: Option<u64>,
}

impl Pending {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.send_once == 0 && self.interrupts == 0 && self.timer.is_none()
    }
}

/// What the receive right is destroyed and moved with (P-19).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Guard {
    /// The owner's secret.
    pub value: u64,
    /// Also a move needs it.
    pub strict: bool,
}

impl Guard {
    /// From what a call says; `strict` is 0 or 1.
    ///
    /// # Errors
    /// `InvalidArgument`: it is neither.
    pub fn decode(value: u64, strict: u64) -> KernResult<Self> {
        match strict {
            0 | 1 => Ok(Self {
                value,
                strict: strict == 1,
            }),
            _ => Err(KernReturn::InvalidArgument),
        }
    }
}

/// What is special about a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// Nothing.
    None,
    /// It stands for a task all of whose threads are suspended, if it has any: whoever lets go of a send right may have
    /// been the last who reached it.
    Idle,
    /// It is a timer, and nothing else: its receive right stays where it is.
    Timer,
}

/// A port or a port set.
pub struct Port {
    /// See [`Kind`].
    pub kind: Kind,
    /// The name of the receive right in [`space`](Self::space); null while in transit.
    pub name: Name,
    /// 64 bits that a receive reports; by default the name.
    pub label: u64,
    /// Threads that wait for a message here.
    pub receivers: ThreadQueue,
    /// The set to look for receivers in first: the port's first membership.
    pub set: Option<PortId>,
    /// Messages, notices or a pending word wait here.
    pub has_work: bool,
    /// The space that holds the receive right; `None` in transit, for reply and kernel ports.
    pub space: Option<SpaceId>,
    /// Queued messages.
    pub messages: MessageQueue,
    /// How many messages fit, sent by send rights.
    pub limit: u32,
    /// Threads that wait for room.
    pub senders: ThreadQueue,
    /// Notifications for this port.
    pub notices: NoticeQueue,
    /// See [`Pending`].
    pub pending: Pending,
    /// Names that hold send rights, and send rights in messages.
    pub send_rights: u32,
    /// Send-once rights, in names, messages, slots and requests.
    pub send_once_rights: u32,
    /// Send rights made from the receive right since it was created or moved.
    pub make_send: u32,
    /// Sequence number of the next message received.
    pub sequence: u32,
    /// Dead-name requests of tasks that hold rights to this port.
    pub requests: Option<NoticeId>,
    /// Send-possible requests that fire when there is room.
    pub room_requests: Option<NoticeId>,
    /// The message-waiting request of who holds the receive right or the set.
    pub message_request: Option<NoticeId>,
    /// The armed no-senders request.
    pub no_senders: Option<NoticeId>,
    /// The armed port-destroyed request.
    pub port_destroyed: Option<NoticeId>,
    /// A port's sets; a set's members.
    pub memberships: Option<MembershipId>,
    /// How many [`memberships`](Self::memberships).
    pub membership_count: u32,
    /// A set's members that have work, in the order of their turn.
    pub ready_first: Option<MembershipId>,
    /// The last of them.
    pub ready_last: Option<MembershipId>,
    /// The port that the message which carries the receive right was sent to, while in transit.
    pub carrier: Option<PortId>,
    /// How many receive rights lie in this port's queue.
    pub(super) carried: u32,
    /// See [`Guard`].
    pub guard: Option<Guard>,
    /// When its timer fires.
    pub(super) deadline: Time,
    /// Place in the tree of armed timers.
    pub(super) timer: Links,
    /// Who pays for the port, for as long as it lives.
    pub payer: Option<LedgerId>,
    /// The next port on the agenda, by index.
    pub(super) agenda_next: u32,
    /// Whether it is on the agenda.
    pub(super) on_agenda: bool,
    /// Its receive right is gone: what is left of it is taken apart.
    pub(super) dying: bool,
    /// See [`Mark`]. One byte: one more would make every port longer, and a look at one cost more.
    pub(super) mark: Mark,
}

impl Port {
    /// A port that nobody holds a right to.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            name: Name::NULL,
            label: 0,
            receivers: ThreadQueue::default(),
            set: None,
            has_work: false,
            space: None,
            messages: MessageQueue::default(),
            limit: queue_limit::DEFAULT,
            senders: ThreadQueue::default(),
            notices: NoticeQueue::default(),
            pending: Pending::default(),
            send_rights: 0,
            send_once_rights: 0,
            make_send: 0,
            sequence: 0,
            requests: None,
            room_requests: None,
            message_request: None,
            no_senders: None,
            port_destroyed: None,
            memberships: None,
            membership_count: 0,
            ready_first: None,
            ready_last: None,
            carrier: None,
            carried: 0,
            guard: None,
            deadline: NEVER,
            timer: Links::LEAF,
            payer: None,
            agenda_next: u32::MAX,
            on_agenda: false,
            dying: false,
            mark: Mark::None,
        }
    }

    /// How many messages a receiver could take, notifications included: the pending ones alone may be as many as fit.
    pub fn message_count(&self) -> u32 {
        let others = u32::from(self.pending.interrupts > 0)
            + u32::from(self.pending.timer.is_some())
            + self.messages.count()
            + self.notices.count();
        self.pending.send_once.saturating_add(others)
    }

    /// Whether no message fits that is sent by a send right.
    pub fn is_full(&self) -> bool {
        self.messages.count() >= self.limit
    }

    /// Recomputes [`has_work`](Self::has_work).
    pub fn update_work(&mut self) {
        self.has_work =
            self.messages.count() != 0 || !self.notices.is_empty() || !self.pending.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_messages_than_can_be_told_are_as_many_as_can_be() {
        let mut port = Port::new(Kind::Plain);
        port.pending.send_once = u32::MAX;
        port.pending.interrupts = 1;
        assert_eq!(port.message_count(), u32::MAX);
    }
}
