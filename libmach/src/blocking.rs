//! The blocking client: a call is one trap, and an error says what became of the request.
//!
//! The way through is inlined into each stub: registers in, trap, id and code compared, results
//! out. Everything that may go wrong is in cold functions (`failure`). A call that is marked
//! idempotent is repeated when the server died; its service port outlives it, so the next one gets
//! it.

use core::marker::PhantomData;
use core::ops::Deref;
use core::time::Duration;

use abi::kern_return::MessageReturn;
use abi::message::WORDS;
use abi::names::{Name, disposition};
use abi::registers::{Shape, options};
use abi::transport::{Error, Plan, REPLY_OFFSET, Refused, Result, Transport};

use crate::failure::{Failure, failed, refused};
use crate::message::{self, NO_REPLY};
use crate::packet::{In, Mach, Out};
use crate::rights::SendRight;
use crate::trap::Registers;

/// How often an idempotent call is repeated before the client gives the service up.
const RETRIES: u32 = 16;

/// Blocking calls through a right: an owned one, a borrowed one, or one with a [`Limited`] time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Blocking<R>(R);

impl<R> Blocking<R> {
    #[inline(always)]
    pub(crate) const fn new(right: R) -> Self {
        Self(right)
    }

    /// The right, given back.
    pub fn into_right(self) -> R {
        self.0
    }
}

impl<R> Deref for Blocking<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.0
    }
}

/// What calls go to.
pub trait Destination {
    /// The name of a send right.
    fn name(&self) -> Name;

    /// When a call that begins now is given up: absolute, in ns.
    #[inline(always)]
    fn deadline(&self) -> Option<u64> {
        None
    }
}

impl<I: ?Sized> Destination for SendRight<I> {
    #[inline(always)]
    fn name(&self) -> Name {
        self.name()
    }
}

impl<D: Destination> Destination for &D {
    #[inline(always)]
    fn name(&self) -> Name {
        (**self).name()
    }

    #[inline(always)]
    fn deadline(&self) -> Option<u64> {
        (**self).deadline()
    }
}

/// A borrowed send right, and how long each call through it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limited<'a> {
    name: Name,
    limit: Duration,
    right: PhantomData<&'a ()>,
}

impl Limited<'_> {
    pub(crate) const fn new(name: Name, limit: Duration) -> Self {
        Self {
            name,
            limit,
            right: PhantomData,
        }
    }
}

impl Destination for Limited<'_> {
    fn name(&self) -> Name {
        self.name
    }

    fn deadline(&self) -> Option<u64> {
        Some(crate::time::deadline(self.limit))
    }
}

impl<R: Destination> Blocking<R> {
    /// One request out, one reply in.
    #[inline(always)]
    fn exchange(&self, plan: &Plan, out: &Out, deadline: Option<u64>) -> Result<In, Failure> {
        let (words, shape) = match out.finish() {
            Ok(message) => message,
            Err(error) => return Err(Failure::unsent(plan, error)),
        };
        let mut registers = message::call_registers(self.0.name(), plan.id, shape, words);
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

    /// One message out, nothing in.
    fn send_only(&self, plan: &Plan, out: &Out) -> Result<(), Failure> {
        let (words, shape) = out.finish().map_err(|error| Failure::unsent(plan, error))?;
        let registers = one_way(self.0.name(), plan.id, (words, shape), self.0.deadline());
        let (code, reply) = message::exchange(registers);
        if code == MessageReturn::Success {
            Ok(())
        } else {
            Err(failed(code, reply, shape))
        }
    }
}

/// The registers of a message without a reply right.
fn one_way(
    destination: Name,
    id: i32,
    (words, shape): ([u64; WORDS], Shape),
    deadline: Option<u64>,
) -> Registers {
    let option = match deadline {
        Some(_) => options::SEND_TIMEOUT,
        None => 0,
    };
    let to = (destination, disposition::COPY_SEND);
    Registers {
        deadline: deadline.unwrap_or(0),
        ..message::send_registers(option, to, NO_REPLY, id, shape, words)
    }
}

impl<R: Destination> Transport for Blocking<R> {
    type Rights = Mach;
    type Out = Out;
    type In = In;
    type Answer<O: 'static, E: 'static> = Result<O, E>;
    type Limited<'a>
        = Blocking<Limited<'a>>
    where
        Self: 'a;

    fn limited(&self, limit: Duration) -> Blocking<Limited<'_>> {
        Blocking(Limited::new(self.0.name(), limit))
    }

    #[inline(always)]
    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Out),
        read: fn(&mut In) -> Result<O>,
    ) -> Result<O> {
        let deadline = self.0.deadline();
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
        match self.exchange(&plan, &out, self.0.deadline()) {
            Ok(mut reply) => Ok(read(&mut reply)?),
            Err(failure) => Err(failure.give_back(&plan, restore)),
        }
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
            .map_err(|failure| failure.give_back(&plan, restore))
    }
}
