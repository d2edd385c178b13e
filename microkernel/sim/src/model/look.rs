//! Receives that leave the message where it is: looks, and those of a message that the thread has no room for (MACH.md M-33);
//! and the buffer that such a message needs.

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::Name;
use abi::registers::{Shape, options};

use super::message::expect;
use super::names::{Answer, accept, refuse};
use super::{
    ControlOp, Message, Model, Op, SemaphoreOp, Source, State, Subject, TaskId, ThreadId, Verdict,
};
use crate::message::{Reply, Request};

/// What a receive is to do with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Want {
    /// Take it.
    Take,
    /// Look at it.
    Peek,
    /// Take it, if there is room.
    TakeIfFits,
}

impl Want {
    pub(super) fn of(request: &Request) -> Self {
        match request.options {
            has if has & options::PEEK != 0 => Self::Peek,
            has if has & options::RECEIVE_LARGE != 0 => Self::TakeIfFits,
            _ => Self::Take,
        }
    }
}

/// What a thread does with its message buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BufferOp {
    /// It has none any more.
    Drop,
    /// It has one.
    Make,
    /// It asks for one where no memory is: nothing changes.
    Nowhere,
    /// It asks for one that is not whole pages: nothing changes.
    Crooked,
}

impl Message {
    /// What it is beside its words.
    pub(super) fn shape(&self) -> Shape {
        if self.data.is_none() && self.parts.is_empty() {
            return Shape::SHORT;
        }
        let size = self.data.as_ref().map_or(0, Vec::len);
        Shape::buffered(size as u32, self.parts.len() as u32)
    }
}

impl Model {
    /// Whether a thread has a message buffer.
    pub fn has_buffer(&self, thread: ThreadId) -> bool {
        self.threads[thread].has_buffer
    }

    pub(super) fn buffer_op(&mut self, thread: ThreadId, op: BufferOp, seen: Answer) -> Verdict {
        if matches!(op, BufferOp::Make | BufferOp::Drop) {
            self.threads[thread].has_buffer = op == BufferOp::Make;
        }
        match op {
            BufferOp::Nowhere => refuse(seen, &[KernReturn::InvalidAddress]),
            BufferOp::Crooked => refuse(seen, &[KernReturn::InvalidArgument]),
            BufferOp::Drop | BufferOp::Make => accept(seen),
        }
    }

    /// Whether a message is more than a thread has room for. Buffers hold all messages that programs send.
    pub(super) fn is_too_large(&self, thread: ThreadId, message: &Message) -> bool {
        message.shape().is_buffered() && !self.threads[thread].has_buffer
    }

    /// Whether a message does not go to a thread that waits for one.
    pub(super) fn stays_for(&self, thread: ThreadId, message: &Message) -> bool {
        match self.threads[thread].state {
            State::Receiving { want, .. } => match want {
                Want::Take => false,
                Want::Peek => true,
                Want::TakeIfFits => self.is_too_large(thread, message),
            },
            _ => false,
        }
    }

    /// A message is shown that may come next, and stays. One that is too large shows how large.
    pub(super) fn look(&self, thread: ThreadId, source: Source, reply: &Reply) -> Verdict {
        let port = match source {
            // A reply object has neither name nor label.
            Source::Reply(port) => Some(port).filter(|_| reply.local == Name::NULL),
            _ => self
                .receive_right(self.threads[thread].task, reply.local)
                .filter(|port| self.covers(source, *port)),
        };
        let port = port.ok_or("it shows a port that was not asked for")?;
        let state = &self.ports[port];
        let label = state.label.unwrap_or(reply.local.0.into());
        let fits = |message: &&Message| match reply.code {
            Code::ReceiveTooLarge => {
                self.is_too_large(thread, message) && message.shape() == reply.shape
            }
            _ => message.id == reply.id,
        };
        match state.next().find(fits).filter(|_| label == reply.label) {
            Some(_) => Ok(()),
            None => Err(format!(
                "{:x?} expected, not {reply:x?}",
                state.queue.front()
            )),
        }
    }

    /// A thread shows what it got, or saw.
    pub(super) fn show(
        &mut self,
        thread: ThreadId,
        (source, want): (Source, Want),
        reply: &Reply,
        from: super::From,
    ) -> Verdict {
        match want {
            Want::Peek => {
                expect(Some(reply), &[Code::Success])?;
                self.look(thread, source, reply)?;
                self.end_call(thread, source);
                Ok(())
            }
            Want::TakeIfFits if reply.code == Code::ReceiveTooLarge => {
                self.look(thread, source, reply)?;
                self.end_call(thread, source);
                Ok(())
            }
            Want::Take | Want::TakeIfFits => self.deliver(thread, source, reply, from),
        }
    }

    /// An answer that stays where it is stays for nobody: only a call receives it.
    fn end_call(&mut self, thread: ThreadId, source: Source) {
        if let Source::Reply(_) = source {
            self.end_epoch(thread);
        }
    }

    /// Whether an operation could take a message away that a waiting thread is about to see, or show it another one: which
    /// of them is first is the scheduler's business. Or whether it lets one of several threads go on that nobody can tell.
    pub fn disturbs(&self, thread: ThreadId, op: &Op) -> bool {
        let task = self.threads[thread].task;
        match op {
            Op::MoveMember { .. } | Op::InsertMember { .. } => self.lookers(task).next().is_some(),
            Op::Semaphore(
                SemaphoreOp::Signal { name }
                | SemaphoreOp::CallSignal { name }
                | SemaphoreOp::Wait {
                    signal: Some(name), ..
                },
            ) => self.is_in_doubt(task, *name),
            // What its header brings about may be seen before its body takes the port away.
            Op::Message(request) if request.moves_receive_right() => {
                self.lookers(task).next().is_some()
            }
            Op::Message(request) if request.options & options::RECEIVE != 0 => {
                let Some(source) = self.source(thread, request) else {
                    return false;
                };
                let covered = (0..self.ports.len()).filter(|port| self.covers(source, *port));
                let covered: Vec<_> = covered.collect();
                self.lookers(task)
                    .any(|looks| covered.iter().any(|port| self.covers(looks, *port)))
            }
            // Whether its registers can be set is not known.
            Op::Control(_, Subject::Thread(of), ControlOp::SetState(..)) | Op::State(_, of, _) => {
                self.is_paging(*of)
            }
            _ => false,
        }
    }

    /// What threads of a task wait to see.
    fn lookers(&self, task: TaskId) -> impl Iterator<Item = Source> {
        let own = self
            .threads
            .iter()
            .filter(move |thread| thread.task == task);
        own.filter_map(|thread| match thread.state {
            State::Receiving { source, want, .. } if want != Want::Take => Some(source),
            _ => None,
        })
    }
}
