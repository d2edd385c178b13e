//! The message fast path: a call, or a reply with the next receive, to a thread that waits for it.
//!
//! It is the general path with everything left out that such a message does not need: nothing is
//! allocated, queued or scheduled, no name is made, and the CPU goes from one thread to the other with the
//! rest of the slice. A message in the buffer goes the same way if it is inline data and at most one right: it is copied
//! once, from buffer to buffer, and the right goes from name to name ([`super::enclosure`]). A condition that does not hold
//! changes nothing and answers `None`; the general path then does the whole trap. Tests run every program with and without
//! it and compare.
//!
//! What the caller lends: the receiver runs at the caller's priority if that is higher, on the caller's
//! slice. The loan ends when the receiver next receives, or when the slice is used up.

use abi::exception;
use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::names::Name;
use abi::registers::{self, ReplyKind, Shape};
use abi::transport::REPLY_OFFSET;
use arena::Pair;

use super::Ipc;
use super::entry::Rights;
use super::layout::HeaderFacts;
use super::letter::{Letter, Pages};
use super::port::{Kind, Port};
use crate::base::ids::{PortId, ThreadId, ThreadKind};
use crate::machine::{Cpu, Delivery, FrameIndex, Machine, Request, Resume};
use crate::sched::{Flags, Form, Sched, State, Thread, ThreadQueue, Wait};

/// What the fast path works with beside the ports.
pub struct Hands<'a, M> {
    /// The threads, and who runs.
    pub sched: &'a mut Sched,
    /// The hardware.
    pub machine: &'a mut M,
    /// The CPU that the trap came from.
    pub cpu: Cpu,
}

/// What became of a message that was passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// A thread got it, and runs.
    Message(Delivery),
    /// It was the answer to an exception, and let this thread go on with the registers that it has. Such a thread
    /// [resumes fully](Resume::Full).
    Resumed(FrameIndex),
}

/// Why a message takes the general way. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Something is special about it, or nobody waits for it.
    Special,
    /// It is a call by a send right to this port, which is a kernel object's, with the answer to the own reply object.
    ToKernel(PortId),
}

/// As [`Option::ok_or`] with the reason that most refusals have.
trait OrSpecial<T> {
    fn or_special(self) -> Result<T, Refused>;
}

impl<T> OrSpecial<T> for Option<T> {
    #[inline(always)]
    fn or_special(self) -> Result<T, Refused> {
        self.ok_or(Refused::Special)
    }
}

impl Ipc {
    /// Sends the current thread's call to a waiting receiver, which runs next.
    ///
    /// # Errors
    /// [`Refused`].
    #[inline(always)]
    pub fn fast_call<M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        caller: ThreadId,
        request: Request,
        letter: Option<Letter<'_>>,
    ) -> Result<Delivery, Refused> {
        // The receive name is null, and so is the reply name, above the destination's: the own reply object.
        if request.receive as u32 != 0 {
            return Err(Refused::Special);
        }
        let from = hands.sched.threads.get(caller).or_special()?;
        let names = (from.space, from.first_names);
        let entry = self.names.get_alone(names, request.names).or_special()?;
        if !entry.rights.contains(Rights::SEND) {
            return Err(Refused::Special);
        }
        let target = entry.port;
        let (handed, port) = self.hand_to(hands, (caller, Wait::Reply), target, letter)?;
        let At {
            label,
            name,
            sequence,
        } = port;
        let shape = letter.map_or(Shape::SHORT, Letter::shape);
        if let Some(pages) = handed.pages {
            pages.deliver(
                hands.machine,
                &HeaderFacts {
                    shape,
                    remote: Name::REPLY_SLOT,
                    local: name,
                    id: (request.receive >> 32) as i32,
                    label,
                    identity: handed.identity,
                    sequence,
                },
            );
        }
        let kind = registers::Received::new(shape, ReplyKind::Slot);
        Ok(Delivery {
            thread: handed.receiver.index(),
            word: registers::pair(kind.0, name.0),
            label,
            // The id, and above it the slot's name: the halves change places, and the lower one was null.
            reply: (request.receive | u64::from(Name::REPLY_SLOT.0)).rotate_left(32),
            identity: handed.identity,
        })
    }

    /// Asks the handler of the current thread's exception, which waits for that at a port and runs next: a call
    /// that the kernel makes for the thread.
    #[inline(always)]
    pub fn fast_raise<M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        (thread, target): (ThreadId, PortId),
        (id, words): (i32, [u64; WORDS]),
    ) -> Option<FrameIndex> {
        let wait = Wait::Exception(target, Form::BRIEF);
        let (handed, port) = self
            .hand_to(hands, (thread, wait), Some(target), None)
            .ok()?;
        let kind = registers::Received::new(Shape::SHORT, ReplyKind::Slot);
        let delivery = Delivery {
            thread: handed.receiver.index(),
            word: registers::pair(kind.0, port.name.0),
            label: port.label,
            reply: registers::pair(id as u32, Name::REPLY_SLOT.0),
            identity: handed.identity,
        };
        let frame = hands.machine.frame(delivery.thread);
        delivery.write(frame);
        frame.words = words;
        Some(delivery.thread)
    }

    /// Hands the CPU and the reply object of the current thread to whoever waits at a port or its set; the
    /// thread then waits as is said.
    #[inline(always)]
    fn hand_to<'l, M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        caller: (ThreadId, Wait),
        target: Option<PortId>,
        letter: Option<Letter<'l>>,
    ) -> Result<(Handed<'l>, At), Refused> {
        let port = self.ports.find_mut(target).or_special()?;
        if port.has_work {
            return Err(Refused::Special);
        }
        // Every message counts, on whatever path it comes (P-32).
        if port.receivers.is_empty() {
            let target = target.or_special()?;
            let Some(set) = port.set else {
                return Err(match port.kind {
                    Kind::Kernel(_) => Refused::ToKernel(target),
                    _ => Refused::Special,
                });
            };
            let mut pair = self.ports.pair(target, Some(set)).or_special()?;
            let receivers = &mut pair.second().receivers;
            let handed = hand_call(hands, caller, letter, receivers).or_special()?;
            Ok((handed, At::next(pair.first())))
        } else {
            let handed = hand_call(hands, caller, letter, &mut port.receivers).or_special()?;
            Ok((handed, At::next(port)))
        }
    }

    /// Sends the current thread's reply through its slot to the waiting caller, which runs next,
    /// and makes the current thread wait for its next message.
    ///
    /// Success as the answer to an exception goes the same way: who raised it goes on where it stands.
    #[inline(always)]
    pub fn fast_reply<M: Machine>(
        &mut self,
        hands: &mut Hands<'_, M>,
        server: ThreadId,
        request: Request,
        letter: Option<Letter<'_>>,
    ) -> Option<Passed> {
        if request.names != u64::from(Name::REPLY_SLOT.0) {
            return None;
        }
        let sched = &mut *hands.sched;
        let highest = sched.highest_ready();
        let from = sched.threads.get(server)?;
        let caller = from.slot_of;
        let (source, queue) = self.ports.find_known_mut(from.source)?;
        // The guess is right if the port is still the space's, under this name.
        if queue.name != Name(request.receive as u32) || !from.space.is(queue.space) {
            return None;
        }
        let mut pair = sched.threads.pair(server, caller)?;
        let (from, to) = pair.both();
        // So is this one: a reply port lives as long as its thread, and gets another id when a call is given up.
        if !to.reply_port.is(from.slot) {
            return None;
        }
        let flags = (from.flags ^ Flags::SLOT_FULL) | (to.flags - Flags::SLOT_FULL);
        // Somebody who waits at a higher priority than the caller's comes first.
        if queue.has_work || !flags.is_empty() || highest > i16::from(to.priority) {
            return None;
        }
        if to.wait != Wait::Reply {
            let raised = caller?;
            if sched.trace.is_detailed()
                || !resumes(hands.machine, (server, raised), (request, to.wait))
            {
                return None;
            }
            give_back(&mut pair, &mut queue.receivers, (server, source));
            *sched.current_mut(hands.cpu) = caller;
            return Some(Passed::Resumed(raised.index()));
        }
        let pages = match letter {
            Some(letter) => Some(letter.pages(from, to)?),
            None => None,
        };
        let identity = give_back(&mut pair, &mut queue.receivers, (server, source));
        *sched.current_mut(hands.cpu) = caller;
        let shape = letter.map_or(Shape::SHORT, Letter::shape);
        if let Some(pages) = pages {
            // A reply object has neither name nor label, and its messages no number.
            pages.deliver(
                hands.machine,
                &HeaderFacts {
                    shape,
                    remote: Name::NULL,
                    local: Name::NULL,
                    id: (request.receive >> 32) as i32,
                    label: 0,
                    identity,
                    sequence: 0,
                },
            );
        }
        Some(Passed::Message(Delivery {
            thread: caller.map_or(0, ThreadId::index),
            word: registers::Received::new(shape, ReplyKind::None).0.into(),
            label: 0,
            reply: request.receive >> 32,
            identity,
        }))
    }
}

/// The first of the two, a server, waits again, where it waited before; the second, who waited for its answer, runs.
/// Answers the server's identity.
#[inline(always)]
fn give_back(
    pair: &mut Pair<'_, Thread, ThreadKind>,
    receivers: &mut ThreadQueue,
    (server, source): (ThreadId, PortId),
) -> u64 {
    let from = pair.first();
    from.slot = None;
    from.flags = Flags::empty();
    from.priority = from.own_priority;
    from.state = State::Blocked;
    from.wait = Wait::Receive(source);
    let identity = from.identity;
    if let Some(last) = receivers.append(server, &mut from.link) {
        ThreadQueue::learn_next(pair.other(last), server);
    }
    resume(pair.second());
    identity
}

/// Whether a reply answers an exception with success, in the brief form, and who raised it stands where that came.
#[inline(always)]
fn resumes<M: Machine>(
    machine: &mut M,
    (server, raised): (ThreadId, ThreadId),
    (request, wait): (Request, Wait),
) -> bool {
    matches!(wait, Wait::Exception(_, Form::BRIEF))
        && request.shape == Shape::SHORT
        && (request.receive >> 32) as i32 == exception::RAISE + REPLY_OFFSET
        && machine.frame(server.index()).words[0] == u64::from(KernReturn::Success.0)
        && machine.frame(raised.index()).resume == Resume::Full
}

/// Counts a message; answers its number.
#[inline(always)]
pub(super) fn count(port: &mut Port) -> u32 {
    let number = port.sequence;
    port.sequence = number.wrapping_add(1);
    number
}

/// What a receiver learns of the port that a message came to.
pub(super) struct At {
    pub(super) label: u64,
    pub(super) name: Name,
    /// The message's number there.
    pub(super) sequence: u32,
}

impl At {
    /// Of one more message.
    #[inline(always)]
    fn next(port: &mut Port) -> Self {
        Self {
            label: port.label,
            name: port.name,
            sequence: count(port),
        }
    }
}

/// What a call that was handed over leaves to do.
struct Handed<'a> {
    receiver: ThreadId,
    /// The caller's.
    identity: u64,
    /// What is to be copied, of a message in the buffer.
    pages: Option<Pages<'a>>,
}

/// The first thread of a queue gets the caller's reply object, and the CPU; the caller waits.
#[inline(always)]
fn hand_call<'a, M: Machine>(
    hands: &mut Hands<'_, M>,
    (caller, wait): (ThreadId, Wait),
    letter: Option<Letter<'a>>,
    queue: &mut ThreadQueue,
) -> Option<Handed<'a>> {
    let sched = &mut *hands.sched;
    let receiver = queue.first()?;
    let mut pair = sched.threads.pair(caller, Some(receiver))?;
    let (from, to) = pair.both();
    // The receiver's slot must be free, and nothing else may be special about either.
    if !(to.flags | (from.flags - Flags::SLOT_FULL)).is_empty() {
        return None;
    }
    let pages = match letter {
        Some(letter) => Some(letter.pages(from, to)?),
        None => None,
    };
    let from = pair.first();
    from.state = State::Blocked;
    from.wait = wait;
    let (identity, reply_port, priority) = (from.identity, from.reply_port, from.priority);
    let to = pair.second();
    to.slot = Some(reply_port);
    to.slot_of = Some(caller);
    to.flags = Flags::SLOT_FULL;
    if priority > to.priority {
        lend(to, priority);
    }
    resume(to);
    queue.advance(&to.link);
    *sched.current_mut(hands.cpu) = Some(receiver);
    Some(Handed {
        receiver,
        identity,
        pages,
    })
}

/// A thread's wait is over, and it has the CPU.
#[inline(always)]
fn resume(to: &mut Thread) {
    to.state = State::Running;
    to.wait = Wait::None;
}

/// The receiver works for a caller of higher priority.
#[cold]
fn lend(to: &mut Thread, priority: u8) {
    to.priority = priority;
}
