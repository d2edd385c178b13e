//! Receive rights in transit: the one search that their nesting needs, and threads that a moved right leaves behind.
//!
//! A receive right that is sent to a port which itself lies in a message, in the queue of a port which itself …, must
//! not end in its own queue (M-26). Only a port that has receive rights in its own queue can, which
//! [`Port::carried`](super::port::Port) says at once; so chains of any length are made and ended without a
//! search. Where one is needed it ends after [`MAX_WALK`] ports, as if it had found what it looked for: whoever sends a
//! port with receive rights in its queue that deep loses the message, as for a circle.

use abi::kern_return::MessageReturn;
use abi::message::MAX_DESCRIPTORS;

use super::{Context, Ipc};
use crate::base::ids::{PortId, ThreadId};
use crate::machine::Machine;

/// Ports that one search goes through at the most.
pub const MAX_WALK: u32 = 64;

impl Ipc {
    /// Notes in whose queue a port's receive right travels, if in any.
    pub(super) fn set_carrier(&mut self, id: PortId, carrier: Option<PortId>) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        let old = core::mem::replace(&mut port.carrier, carrier);
        // A carrier that has died counts no more.
        if let Some(old) = old.and_then(|old| self.ports.get_mut(old)) {
            old.carried -= 1;
        }
        if let Some(new) = carrier.and_then(|new| self.ports.get_mut(new)) {
            new.carried += 1;
        }
    }

    /// Whether a port is another one, or its receive right lies in that one's queue, or in the queue of a
    /// port that does, and so on, or too deep to say.
    pub(super) fn travels_behind(&self, port: PortId, other: PortId) -> bool {
        let carries = self.ports.get(other).is_some_and(|other| other.carried > 0);
        let mut next = Some(port);
        for _ in 0..MAX_WALK {
            let Some(id) = next else { return false };
            if id == other {
                return true;
            }
            if !carries {
                return false;
            }
            next = self.ports.get(id).and_then(|port| port.carrier);
        }
        next.is_some()
    }

    /// Every thread that waits to receive on a port is to be told that it changed hands (M-25, P-36): it leaves the
    /// port at once, and is told in a step of the agenda.
    pub(super) fn evict_receivers<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) {
        let Some(port) = self.ports.get_mut(id) else {
            return;
        };
        if !port.receivers.is_empty() {
            let receivers = core::mem::take(&mut port.receivers);
            self.evicted.join(&mut cx.sched.threads, receivers);
            self.put_on_agenda(id);
        }
    }

    /// Gives what came to a port before it moves to whoever waits for it. Within one trap that is what the rights before it
    /// in the same message have caused, which the agenda has not brought together yet.
    pub(super) fn serve_receivers<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: PortId) {
        for _ in 0..MAX_DESCRIPTORS {
            let has_work = self.ports.get(id).is_some_and(|port| port.has_work);
            let receiver = self.receiver_of(cx.sched, id).filter(|_| has_work);
            let Some(thread) = receiver else { return };
            self.receive_for_blocked(cx, thread, id);
        }
    }

    /// Tells one evicted thread; `false`: there is none.
    pub(super) fn tell_evicted<M: Machine>(&mut self, cx: &mut Context<'_, M>) -> bool {
        let Some(thread) = self.evicted.pop(&mut cx.sched.threads) else {
            return false;
        };
        Self::finish(cx, thread, MessageReturn::ReceivePortChanged);
        self.spent += 1;
        true
    }

    /// Takes a thread out of the queue of those that wait to receive on a port, or that did until it moved.
    pub(super) fn give_up_receiving<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port: PortId,
        thread: ThreadId,
    ) {
        // Between two others it is in both queues alike: only ends are known to the queue itself. The port may have got
        // another id since: one that is being taken apart.
        let queue = match self.ports.at_mut(port.index()) {
            Some(port) if !self.evicted.ends_with(thread) => &mut port.receivers,
            _ => &mut self.evicted,
        };
        queue.remove(&mut cx.sched.threads, thread);
    }
}
