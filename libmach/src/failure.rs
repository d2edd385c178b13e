//! What became of a request that has no result, for both clients (`blocking`, `server::concurrent`).
//!
//! A code of the kernel says where the message ended, and so who owns the rights in it: still the
//! caller, who gets them back, or nobody on this side any more. All of it is cold.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::registers::Shape;
use abi::transport::{Error, Plan, Refused, Result};

use crate::packet::{In, Unsent, release_all};
use crate::server::ReplyTo;
use crate::trap::Registers;

/// Why a message exchange gave nothing, and where the moved rights are.
pub(crate) enum Failure {
    /// Still (or again) in the buffer: nothing was sent.
    Unsent(Error, Shape, Unsent),
    /// Gone with the message.
    Sent(Error),
}

impl Failure {
    /// A request that was written, but never given to the kernel.
    pub(crate) const fn unsent(plan: &Plan, error: Error) -> Self {
        let all = Shape::buffered(0, plan.request_descriptors as u32);
        Self::Unsent(error, all, Unsent::Refused)
    }

    /// Reads the rights of an unsent message back out.
    #[cold]
    pub(crate) fn give_back<B>(self, plan: &Plan, restore: fn(&mut In) -> Result<B>) -> Refused<B> {
        match self {
            Self::Unsent(error, shape, state) => Refused {
                error,
                rights: restore(&mut In::unsent(plan, shape, state)).ok(),
            },
            Self::Sent(error) => error.into(),
        }
    }

    /// Releases what came back of a request that moved no rights: copies of lent memory.
    #[cold]
    pub(crate) fn discard(self, plan: &Plan) -> Error {
        self.give_back(plan, |_| Ok(())).error
    }
}

// The cold functions take the registers by value: a reference would make each stub spill them.
#[cold]
#[inline(never)]
pub(crate) fn refused(reply: Registers) -> Failure {
    release_all(&reply);
    Failure::Sent(Error::Code(KernReturn(reply.words[0] as u32)))
}

/// What a code other than the awaited reply means.
#[cold]
#[inline(never)]
pub(crate) fn failed(code: MessageReturn, reply: Registers, shape: Shape) -> Failure {
    let died = |maybe_executed| Error::ServerDied { maybe_executed };
    match code.without_resources() {
        MessageReturn::Success => {
            release_all(&reply);
            Failure::Sent(match reply.id() {
                abi::notify::SEND_ONCE => died(true),
                _ => Error::BadReply,
            })
        }
        MessageReturn::SendInvalidDest => Failure::Unsent(died(false), shape, Unsent::Refused),
        MessageReturn::SendTimedOut | MessageReturn::SendInterrupted => {
            // The reference of the destination that the message had came back too.
            ReplyTo::Once(reply.local()).release();
            ReplyTo::Once(reply.reply()).release();
            let timed_out = code.without_resources() == MessageReturn::SendTimedOut;
            let error = if timed_out {
                Error::TimedOut
            } else {
                Error::Aborted
            };
            Failure::Unsent(error, shape, Unsent::Returned)
        }
        MessageReturn::SendInvalidHeader
        | MessageReturn::SendInvalidReply
        | MessageReturn::SendTooLarge => {
            Failure::Unsent(Error::NotSent(code), shape, Unsent::Refused)
        }
        // The body failed behind the point of no return: its rights are consumed (M-08). For want
        // of kernel memory it may have failed before or behind; what is not surely ours is not
        // given back.
        MessageReturn::SendNoBuffer
        | MessageReturn::SendInvalidRight
        | MessageReturn::SendInvalidMemory
        | MessageReturn::SendInvalidType => Failure::Sent(Error::NotSent(code)),
        MessageReturn::ReceiveTimedOut => Failure::Sent(Error::TimedOut),
        MessageReturn::ReceiveInterrupted => Failure::Sent(Error::Aborted),
        MessageReturn::ReceivePortDied => Failure::Sent(died(true)),
        MessageReturn::ReceiveBodyError => {
            release_all(&reply);
            Failure::Sent(Error::NotReceived(code))
        }
        _ => Failure::Sent(Error::NotReceived(code)),
    }
}
