//! One-way messages on the fast path: a short one to a thread that waits for it at a higher priority, which
//! runs now, and one that its own sender receives.
//!
//! As for [calls](super::fast): a condition that does not hold changes nothing and answers `None`. A
//! receiver that does not run at once is the general path's: it goes through the run queue.

use abi::names::Name;
use abi::registers::{self, ReplyKind, Shape};

use super::Ipc;
use super::entry::Rights;
use super::fast::{Hands, count};
use super::port::Port;
use crate::base::ids::{PortId, ThreadId};
use crate::machine::{Cpu, Delivery, Machine, Request};
use crate::sched::{Flags, Sched, State, Thread, ThreadQueue, Wait};

impl Ipc {
    /// Sends the current thread's message to a waiting receiver, which preempts it.
    #[inline(always)]
    pub fn fast_send<M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        sender: ThreadId,
        request: Request,
    ) -> Option<Delivery> {
        let from = hands.sched.threads.get(sender)?;
        let target = self.plain_target(from, request)?;
        let port = self.ports.get_mut(target)?;
        let delivery = if port.receivers.is_empty() {
            let set = port.set;
            let mut pair = self.ports.pair(target, set)?;
            let handed = preempt(hands.sched, hands.cpu, &mut pair.second().receivers)?;
            delivery(request, pair.first(), handed)
        } else {
            let handed = preempt(hands.sched, hands.cpu, &mut port.receivers)?;
            delivery(request, port, handed)
        };
        hands.machine.frame(sender.index()).rax = 0;
        Some(delivery)
    }

    /// Sends the current thread's message to a port that it receives from in the same trap, and where nothing
    /// else waits.
    #[inline(always)]
    pub fn fast_exchange<M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        sender: ThreadId,
        request: Request,
    ) -> Option<Delivery> {
        if request.names != u64::from(request.receive as u32) {
            return None;
        }
        let from = hands.sched.threads.get(sender)?;
        let identity = from.identity;
        if !(from.flags - Flags::SLOT_FULL).is_empty() {
            return None;
        }
        let target = self.plain_target(from, request)?;
        let port = self.ports.get_mut(target)?;
        let own = port.name == Name(request.receive as u32) && from.space.is(port.space);
        // Whoever waits there already is before this thread.
        let alone = port.receivers.is_empty() && port.set.is_none() && port.limit > 0;
        if !own || !alone {
            return None;
        }
        Some(delivery(request, port, (sender, identity)))
    }

    /// The port that a message without a reply right goes to, when nothing waits there.
    #[inline(always)]
    fn plain_target(&self, from: &Thread, request: Request) -> Option<PortId> {
        let names = (from.space, from.first_names);
        let entry = self.names.get_alone(names, request.names)?;
        let target = entry.port.filter(|_| entry.rights.contains(Rights::SEND))?;
        let port = self.ports.get(target)?;
        (!port.has_work).then_some(target)
    }
}

/// What the receiver finds in its registers, of one more message of a port.
#[inline(always)]
fn delivery(request: Request, port: &mut Port, (receiver, identity): (ThreadId, u64)) -> Delivery {
    count(port);
    let kind = registers::Received::new(Shape::SHORT, ReplyKind::None);
    Delivery {
        thread: receiver.index(),
        word: registers::pair(kind.0, port.name.0),
        label: port.label,
        reply: request.receive >> 32,
        identity,
    }
}

/// The first thread of a queue takes the CPU over from the current one; also answers that one's identity.
#[inline(always)]
fn preempt(sched: &mut Sched, cpu: Cpu, queue: &mut ThreadQueue) -> Option<(ThreadId, u64)> {
    let receiver = queue.first()?;
    let sender = sched.current(cpu)?;
    let pair = sched.threads.pair(sender, Some(receiver))?;
    let (from, to) = pair.both();
    let flags = (from.flags | to.flags) - Flags::SLOT_FULL;
    let (own, priority, identity) = (from.priority, to.priority, from.identity);
    if !flags.is_empty() || own >= priority || !sched.takes_at_once(cpu, receiver, priority) {
        return None;
    }
    let to = sched.threads.get_mut(receiver)?;
    to.wait = Wait::None;
    to.state = State::Running;
    queue.advance(&to.link);
    sched.preempted_by(cpu, receiver);
    Some((receiver, identity))
}
