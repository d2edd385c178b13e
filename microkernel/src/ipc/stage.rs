//! `Stage`: what a thread is at with a message that takes more steps than one, which it keeps in between.

use abi::kern_return::MessageReturn;

use super::agenda::Progress;
use super::fast::At;
use super::message::Message;
use super::send::Sent;
use super::{Context, Ipc};
use crate::base::ids::ThreadId;
use crate::machine::Machine;
use crate::sched::Flags;

/// What a thread does with the message that it keeps, in steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Nothing: the message is whole.
    Whole,
    /// It sends it: not all of its descriptors have been read.
    Sending,
    /// It receives it, as the message of this number on its port.
    Receiving(u32),
    /// It gets it back, since the send ended so (M-10).
    Returning(MessageReturn),
}

impl Stage {
    /// Where a message came to that was received in this way: others may have been received there since.
    pub(super) fn at(self, at: At) -> At {
        match self {
            Self::Receiving(sequence) => At { sequence, ..at },
            _ => at,
        }
    }
}

/// How far a thread is with a message that it keeps.
#[derive(Debug)]
#[must_use]
pub enum Resumed {
    /// Not yet through.
    Again,
    /// Its send went so.
    Sent(Result<Sent, MessageReturn>),
    /// It is in the registers.
    Received,
    /// It was not sent, and is back.
    Returned(MessageReturn),
}

impl Ipc {
    /// Gives a thread a message to keep, with which it goes on when it runs next.
    pub(super) fn begin_stage<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (mut message, stage): (Message, Stage),
    ) {
        if self.messages.make_room().is_err() {
            // There is room: it came from there, or room was made for it.
            debug_assert!(false, "no room for a message that had some");
            self.end_via(&message);
            return self.destroy_message(cx, &mut message);
        }
        if let Some(body) = message.body.and_then(|body| self.bodies.get_mut(body)) {
            body.stage = stage;
        }
        if let (Ok(id), Some(thread)) = (
            self.messages.insert(message),
            cx.sched.threads.get_mut(thread),
        ) {
            thread.parked = Some(id);
            thread.flags |= Flags::RETRY;
        }
    }

    /// Takes the message back that a thread kept.
    pub(super) fn end_stage<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<Message> {
        let message = self.take_parked(cx, thread)?;
        let stage = self.stage_of(&message);
        if let Some(body) = message.body.and_then(|body| self.bodies.get_mut(body))
            && stage == Stage::Sending
        {
            body.stage = Stage::Whole;
        }
        Some(message)
    }

    /// Whether a thread keeps a message that it has begun to send.
    pub fn is_sending<M: Machine>(&self, cx: &Context<'_, M>, thread: ThreadId) -> bool {
        let parked = cx
            .sched
            .threads
            .get(thread)
            .and_then(|thread| thread.parked);
        let message = parked.and_then(|id| self.messages.get(id));
        message.is_some_and(|message| self.stage_of(message) == Stage::Sending)
    }

    pub(super) fn stage_of(&self, message: &Message) -> Stage {
        let body = self.bodies.find(message.body);
        body.map_or(Stage::Whole, |body| body.stage)
    }

    /// The next step of a thread with the message that it keeps; `None`: what it keeps is none of these.
    pub fn resume_message<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<Resumed> {
        let id = cx.sched.threads.get(thread)?.parked?;
        let message = self.messages.get(id)?;
        let (body, stage) = (message.body?, self.stage_of(message));
        match stage {
            Stage::Whole => return None,
            Stage::Sending => {
                return Some(match self.send_more(cx, thread, (id, body)) {
                    Ok(Sent::Again) => Resumed::Again,
                    sent => Resumed::Sent(sent),
                });
            }
            Stage::Receiving(_) | Stage::Returning(_) => {}
        }
        if self.place_arrays(cx, thread, body) == Progress::More {
            return Some(Resumed::Again);
        }
        let mut message = self.end_stage(cx, thread)?;
        Some(match stage {
            Stage::Returning(code) => Resumed::Returned(self.give_back(cx, thread, message, code)),
            _ => {
                self.deliver(cx, thread, &mut message, None);
                Resumed::Received
            }
        })
    }
}
