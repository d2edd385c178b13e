//! Where a request's answer goes, and sending it.

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::registers::{ReplyKind, options};

use super::request::Answer;
use crate::packet::In;
use crate::trap::Registers;
use crate::{ignore, message, trap};

/// The right to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum ReplyTo {
    /// There is none (any more).
    #[default]
    Nobody,
    /// In the thread's reply slot.
    Slot,
    /// A send-once right.
    Once(Name),
    /// A send right.
    Send(Name),
}

impl ReplyTo {
    /// The reply right of a received message.
    #[inline(always)]
    pub(crate) const fn of(registers: &Registers) -> Self {
        match registers.received().reply() {
            ReplyKind::Slot => Self::Slot,
            ReplyKind::SendOnce => Self::Once(registers.reply()),
            ReplyKind::Send => Self::Send(registers.reply()),
            ReplyKind::None | ReplyKind::Dead => Self::Nobody,
        }
    }

    /// The same right, out of the slot: for an answer after the next receive.
    pub(crate) fn kept(self) -> Self {
        match self {
            Self::Slot => trap::reply_slot_take().map_or(Self::Nobody, Self::Once),
            other => other,
        }
    }

    const fn destination(self) -> Option<(Name, u8)> {
        match self {
            Self::Nobody => None,
            Self::Slot => Some((Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE)),
            Self::Once(name) => Some((name, disposition::MOVE_SEND_ONCE)),
            Self::Send(name) => Some((name, disposition::MOVE_SEND)),
        }
    }

    /// Gives the right up unused: the caller learns that there will be no answer.
    #[cold]
    pub(crate) fn release(self) {
        if let Some((name, _)) = self.destination()
            && name.is_valid()
        {
            // It fails only when there was nothing to give up.
            ignore(trap::port_deallocate(name));
        }
    }

    /// Sends an answer that lies in registers and buffer, and does not wait for anything.
    pub(crate) fn send(self, answer: Answer) {
        if let Some(registers) = self.registers(answer, 0) {
            let (code, back) = message::exchange(registers);
            self.settle(code, &back, answer);
        }
    }

    /// The registers that send `answer`, with options beside sending; `None` when there is nothing to
    /// send, and then the right is given up and the answer's content released.
    #[inline(always)]
    pub(crate) fn registers(self, answer: Answer, option: u32) -> Option<Registers> {
        let (Answer::Message { id, words, shape }, Some(destination)) =
            (answer, self.destination())
        else {
            self.nothing(answer);
            return None;
        };
        // A client that made the reply right a send right must not make the server wait.
        let option = option
            | if matches!(self, Self::Send(_)) {
                options::SEND_TIMEOUT
            } else {
                0
            };
        let reply = message::NO_REPLY;
        Some(message::send_registers(
            option,
            destination,
            reply,
            id,
            shape,
            words,
        ))
    }

    #[cold]
    fn nothing(self, answer: Answer) {
        answer.release();
        self.release();
    }

    /// After a send: a client that is gone gets nothing, and nothing stays behind.
    #[inline(always)]
    pub(crate) fn settle(self, code: MessageReturn, back: &Registers, answer: Answer) {
        if code != MessageReturn::Success {
            self.not_sent(code, back, answer);
        }
    }

    #[cold]
    fn not_sent(self, code: MessageReturn, back: &Registers, answer: Answer) {
        match code {
            MessageReturn::SendInvalidDest
            | MessageReturn::SendInvalidHeader
            | MessageReturn::SendTooLarge => self.nothing(answer),
            // It came back, the reply right under the name that the registers say.
            MessageReturn::SendTimedOut | MessageReturn::SendInterrupted => {
                answer.release();
                Self::Once(back.local()).release();
            }
            // Sent, and the receive behind it failed; or consumed with its rights (M-08).
            _ => {}
        }
    }
}

impl Answer {
    /// Releases the rights and memory of an answer that nobody gets.
    pub(crate) fn release(self) {
        if let Self::Message { shape, .. } = self {
            drop(In::unsent_answer(shape));
        }
    }
}
