//! The blocking client: a call is one trap, and an error says what became of the request.
//!
//! The way through is inlined into each stub: registers in, trap, id and code compared, results
//! out. Everything that may go wrong is in cold functions. A call that is marked idempotent is
//! repeated when the server died; its service port outlives it, so the next one gets it.

use core::marker::PhantomData;
use core::time::Duration;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::WORDS;
use abi::names::{Name, disposition};
use abi::registers::{Shape, options, pair, send_word};
use abi::transport::{Error, Plan, REPLY_OFFSET, Refused, Result, Transport};

use crate::message;
use crate::packet::{In, Mach, Out, Unsent};
use crate::rights::SendRight;
use crate::server::ReplyTo;
use crate::trap::Registers;

/// How often an idempotent call is repeated before the client gives the service up.
const RETRIES: u32 = 16;

/// Calls on a borrowed send right.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'a> {
    destination: Name,
    limit: Option<Duration>,
    right: PhantomData<&'a ()>,
}

impl Blocking<'_> {
    /// Calls on the send right under `destination`.
    #[inline(always)]
    pub(crate) const fn new(destination: Name) -> Self {
        Self {
            destination,
            limit: None,
            right: PhantomData,
        }
    }

    #[inline(always)]
    fn deadline(&self) -> Option<u64> {
        self.limit.map(crate::time::deadline)
    }
}

/// Why a message exchange gave nothing, and where the moved rights are.
pub(crate) enum Failure {
    /// Still (or again) in the buffer: nothing was sent.
    Unsent(Error, Shape, Unsent),
    /// Gone with the message.
    Sent(Error),
}

impl Failure {
    pub(crate) const fn error(&self) -> Error {
        match self {
            Self::Unsent(error, ..) | Self::Sent(error) => *error,
        }
    }

    /// Releases what came back of a request that moved no rights: copies of lent memory.
    #[cold]
    pub(crate) fn discard(self, plan: &Plan) -> Error {
        if let Self::Unsent(_, shape, state) = self {
            drop(In::unsent(plan, shape, state));
        }
        self.error()
    }
}

impl Blocking<'_> {
    /// One request out, one reply in.
    #[inline(always)]
    fn exchange(&self, plan: &Plan, out: &Out, deadline: Option<u64>) -> Result<In, Failure> {
        let (words, shape) = match out.finish() {
            Ok(message) => message,
            Err(error) => return Err(Failure::Unsent(error, all_of(plan), Unsent::Refused)),
        };
        let mut registers = message::call_registers(self.destination, plan.id, shape, words);
        if let Some(deadline) = deadline {
            registers.word |= u64::from(options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT);
            registers.deadline = deadline;
        }
        let (code, reply) = message::exchange(registers);
        if code != MessageReturn::Success || reply.id() != plan.id + REPLY_OFFSET {
            return Err(failed(code, reply, shape));
        }
        if reply.words[0] != 0 {
            return Err(refused(reply));
        }
        In::reply(reply, plan).map_err(Failure::Sent)
    }
}

/// The shape of a request that was written but is too large to be sent.
pub(crate) fn all_of(plan: &Plan) -> Shape {
    Shape::buffered(0, plan.request_descriptors as u32)
}

// The cold functions take the registers by value: a reference would make each stub spill them.
#[cold]
#[inline(never)]
fn refused(reply: Registers) -> Failure {
    drop(In::kept(&reply));
    Failure::Sent(Error::Code(KernReturn(reply.words[0] as u32)))
}

/// Releases a message that is not what was awaited.
fn release(reply: &Registers) {
    drop(In::kept(reply));
    ReplyTo::of(reply).release();
}

/// What a code other than the awaited reply means.
#[cold]
#[inline(never)]
pub(crate) fn failed(code: MessageReturn, reply: Registers, shape: Shape) -> Failure {
    let died = |maybe_executed| Error::ServerDied { maybe_executed };
    match code.without_resources() {
        MessageReturn::Success => {
            release(&reply);
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
            release(&reply);
            Failure::Sent(Error::NotReceived(code))
        }
        _ => Failure::Sent(Error::NotReceived(code)),
    }
}

/// Reads the rights of an unsent message back out.
#[cold]
pub(crate) fn give_back<B>(
    failure: &Failure,
    plan: &Plan,
    restore: fn(&mut In) -> Result<B>,
) -> Refused<B> {
    let rights = match failure {
        Failure::Unsent(_, shape, state) => restore(&mut In::unsent(plan, *shape, *state)).ok(),
        Failure::Sent(_) => None,
    };
    Refused {
        error: failure.error(),
        rights,
    }
}

impl Transport for Blocking<'_> {
    type Rights = Mach;
    type Out = Out;
    type In = In;
    type Answer<O: 'static, E: 'static> = Result<O, E>;
    type Limited<'a>
        = Blocking<'a>
    where
        Self: 'a;

    fn limited(&self, limit: Duration) -> Blocking<'_> {
        Blocking {
            limit: Some(limit),
            ..*self
        }
    }

    #[inline(always)]
    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Out),
        read: fn(&mut In) -> Result<O>,
    ) -> Result<O> {
        let deadline = self.deadline();
        let mut tries = 0;
        loop {
            let mut out = Out::request(&plan);
            write(&mut out);
            match self.exchange(&plan, &out, deadline) {
                Ok(mut reply) => return read(&mut reply),
                Err(failure) => {
                    let error = failure.discard(&plan);
                    tries += 1;
                    let died = error
                        == Error::ServerDied {
                            maybe_executed: true,
                        };
                    if !(plan.idempotent && died && tries <= RETRIES) {
                        return Err(error);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<O, Refused<B>> {
        let mut out = Out::request(&plan);
        write(&mut out);
        match self.exchange(&plan, &out, self.deadline()) {
            Ok(mut reply) => read(&mut reply).map_err(|error| Refused {
                error,
                rights: None,
            }),
            Err(failure) => Err(give_back(&failure, &plan, restore)),
        }
    }

    fn send(&self, plan: Plan, write: impl Fn(&mut Out)) -> Result<()> {
        let mut out = Out::request(&plan);
        write(&mut out);
        self.send_only(&plan, &out)
            .map_err(|failure| failure.discard(&plan))
    }

    fn send_moving<B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<(), Refused<B>> {
        let mut out = Out::request(&plan);
        write(&mut out);
        self.send_only(&plan, &out)
            .map_err(|failure| give_back(&failure, &plan, restore))
    }
}

impl Blocking<'_> {
    fn send_only(&self, plan: &Plan, out: &Out) -> Result<(), Failure> {
        let (words, shape) = out
            .finish()
            .map_err(|error| Failure::Unsent(error, all_of(plan), Unsent::Refused))?;
        let registers = send_registers(self.destination, plan.id, shape, words, self.deadline());
        let (code, reply) = message::exchange(registers);
        if code == MessageReturn::Success {
            Ok(())
        } else {
            Err(failed(code, reply, shape))
        }
    }
}

/// The registers of a message without a reply right.
pub(crate) fn send_registers(
    destination: Name,
    id: i32,
    shape: Shape,
    words: [u64; WORDS],
    deadline: Option<u64>,
) -> Registers {
    let limit = if deadline.is_some() {
        options::SEND_TIMEOUT
    } else {
        0
    };
    Registers {
        word: send_word(
            options::SEND | limit,
            disposition::COPY_SEND,
            disposition::NONE,
            shape,
        ),
        names: pair(destination.0, 0),
        receive: pair(0, id.cast_unsigned()),
        deadline: deadline.unwrap_or(0),
        words,
    }
}

impl<I: ?Sized> Transport for SendRight<I> {
    type Rights = Mach;
    type Out = Out;
    type In = In;
    type Answer<O: 'static, E: 'static> = Result<O, E>;
    type Limited<'a>
        = Blocking<'a>
    where
        Self: 'a;

    fn limited(&self, limit: Duration) -> Blocking<'_> {
        Blocking {
            limit: Some(limit),
            ..Blocking::new(self.name())
        }
    }

    #[inline(always)]
    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Out),
        read: fn(&mut In) -> Result<O>,
    ) -> Result<O> {
        Blocking::new(self.name()).call(plan, write, read)
    }

    #[inline(always)]
    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<O, Refused<B>> {
        Blocking::new(self.name()).call_moving(plan, write, read, restore)
    }

    fn send(&self, plan: Plan, write: impl Fn(&mut Out)) -> Result<()> {
        Blocking::new(self.name()).send(plan, write)
    }

    fn send_moving<B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<(), Refused<B>> {
        Blocking::new(self.name()).send_moving(plan, write, restore)
    }
}

/// The shape of a reply that was written but is too large to be sent.
pub(crate) fn all_of_reply(plan: &Plan) -> Shape {
    Shape::buffered(0, plan.reply_descriptors as u32)
}
