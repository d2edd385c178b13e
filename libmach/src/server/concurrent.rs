//! Calls to other servers that do not stop the loop.
//!
//! Each call has a reply port of its own in the runtime's set, which is destroyed with the call, so
//! that a late reply reaches nobody (G-03). The send itself never waits: a full queue is
//! `Error::TimedOut` at once. An idempotent call is not repeated here; whoever awaits it decides.

use core::future::Future;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use alloc::boxed::Box;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition};
use abi::notify;
use abi::registers::options;
use abi::transport::{Error, Plan, REPLY_OFFSET, Refused, Result, Transport};

use super::inbox::{Inbox, Message};
use super::runtime::Runtime;
use crate::blocking::{Blocking, Limited};
use crate::failure::{Failure, failed};
use crate::packet::{In, Mach, Out};
use crate::{message, trap};

/// Calls on a borrowed send right, each a future.
#[derive(Clone, Debug)]
pub struct Concurrent<'a> {
    runtime: Runtime,
    destination: Name,
    limit: Option<Duration>,
    right: PhantomData<&'a ()>,
}

impl Concurrent<'_> {
    pub(crate) const fn new(runtime: Runtime, destination: Name) -> Self {
        Self {
            runtime,
            destination,
            limit: None,
            right: PhantomData,
        }
    }

    /// A call under way, or one that has failed already: `lost` says with what.
    fn begin<O: 'static, E: From<Error> + 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        lost: impl FnOnce(Failure) -> E,
    ) -> Call<O, E> {
        let mut out = Out::request(&plan);
        write(&mut out);
        Call(match self.start(&plan, &out) {
            Ok(inbox) => Box::pin(async move { Ok(finish(inbox, plan, read).await?) }),
            Err(failure) => Box::pin(core::future::ready(Err(lost(failure)))),
        })
    }

    /// Sends the request; the reply will come through the inbox.
    fn start(&self, plan: &Plan, out: &Out) -> Result<Inbox, Failure> {
        let unsent = |error| Failure::unsent(plan, error);
        let (words, shape) = out.finish().map_err(unsent)?;
        let inbox = self.runtime.inbox().map_err(unsent)?;
        if let Some(limit) = self.limit {
            let deadline = crate::time::deadline(limit);
            trap::timer_arm(inbox.name(), deadline).map_err(|code| unsent(code.into()))?;
        }
        let to = (self.destination, disposition::COPY_SEND);
        let reply = (inbox.name(), disposition::MAKE_SEND_ONCE);
        let registers =
            message::send_registers(options::SEND_TIMEOUT, to, reply, plan.id, shape, words);
        let (code, received) = message::exchange(registers);
        if code == MessageReturn::Success {
            Ok(inbox)
        } else {
            Err(failed(code, received, shape))
        }
    }
}

/// A call under way.
#[must_use = "a call that is not awaited is given up"]
pub struct Call<O, E>(Pin<Box<dyn Future<Output = Result<O, E>>>>);

impl<O, E> core::fmt::Debug for Call<O, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Call")
    }
}

impl<O, E> Future for Call<O, E> {
    type Output = Result<O, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<O, E>> {
        self.0.as_mut().poll(context)
    }
}

/// Waits for the reply and reads it.
async fn finish<O>(inbox: Inbox, plan: Plan, read: fn(&mut In) -> Result<O>) -> Result<O> {
    let Message { id, content, .. } = inbox.next().await;
    match id {
        id if id == plan.id + REPLY_OFFSET => match content.register(0) as u32 {
            0 => read(&mut content.into_reply(&plan)?),
            code => Err(KernReturn(code).into()),
        },
        notify::pending::TIMER => Err(Error::TimedOut),
        notify::SEND_ONCE => Err(Error::ServerDied {
            maybe_executed: true,
        }),
        _ => Err(Error::BadReply),
    }
}

impl Transport for Concurrent<'_> {
    type Rights = Mach;
    type Out = Out;
    type In = In;
    type Answer<O: 'static, E: 'static> = Call<O, E>;
    type Limited<'a>
        = Concurrent<'a>
    where
        Self: 'a;

    fn limited(&self, limit: Duration) -> Concurrent<'_> {
        Concurrent {
            limit: Some(limit),
            ..self.clone()
        }
    }

    fn call<O: 'static>(
        &self,
        plan: Plan,
        write: impl Fn(&mut Out),
        read: fn(&mut In) -> Result<O>,
    ) -> Call<O, Error> {
        self.begin(plan, write, read, |failure| failure.discard(&plan))
    }

    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        restore: fn(&mut In) -> Result<B>,
    ) -> Call<O, Refused<B>> {
        self.begin(plan, write, read, |failure| {
            failure.give_back(&plan, restore)
        })
    }

    fn send_moving<B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<(), Refused<B>> {
        Blocking::new(Limited::new(self.destination, Duration::ZERO))
            .send_moving(plan, write, restore)
    }
}
