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
use abi::registers::{options, pair, send_word};
use abi::transport::{Error, Plan, REPLY_OFFSET, Refused, Result, Transport};

use super::inbox::{Inbox, Message};
use super::runtime::Runtime;
use crate::blocking::{Failure, all_of, failed, give_back};
use crate::packet::{In, Mach, Out, Unsent};
use crate::trap::Registers;
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

    /// Sends the request; the reply will come through the inbox.
    fn start(&self, plan: &Plan, out: &Out) -> Result<Inbox, Failure> {
        let unsent = |error| Failure::Unsent(error, all_of(plan), Unsent::Refused);
        let (words, shape) = out.finish().map_err(unsent)?;
        let inbox = self.runtime.inbox().map_err(unsent)?;
        if let Some(limit) = self.limit {
            let deadline = crate::time::deadline(limit);
            trap::timer_arm(inbox.name(), deadline).map_err(|code| unsent(code.into()))?;
        }
        let (how, reply) = (disposition::COPY_SEND, disposition::MAKE_SEND_ONCE);
        let (code, received) = message::exchange(Registers {
            word: send_word(options::SEND | options::SEND_TIMEOUT, how, reply, shape),
            names: pair(self.destination.0, inbox.name().0),
            receive: pair(0, plan.id.cast_unsigned()),
            deadline: 0,
            words,
        });
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
        let mut out = Out::request(&plan);
        write(&mut out);
        Call(match self.start(&plan, &out) {
            Ok(inbox) => Box::pin(finish(inbox, plan, read)),
            Err(failure) => Box::pin(core::future::ready(Err(failure.discard(&plan)))),
        })
    }

    fn call_moving<O: 'static, B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        read: fn(&mut In) -> Result<O>,
        restore: fn(&mut In) -> Result<B>,
    ) -> Call<O, Refused<B>> {
        let mut out = Out::request(&plan);
        write(&mut out);
        Call(match self.start(&plan, &out) {
            Ok(inbox) => Box::pin(async move {
                let result = finish(inbox, plan, read).await;
                result.map_err(|error| Refused {
                    error,
                    rights: None,
                })
            }),
            Err(failure) => {
                let refused = give_back(&failure, &plan, restore);
                Box::pin(core::future::ready(Err(refused)))
            }
        })
    }

    fn send(&self, plan: Plan, write: impl Fn(&mut Out)) -> Result<()> {
        crate::blocking::Blocking::new(self.destination)
            .limited(Duration::ZERO)
            .send(plan, write)
    }

    fn send_moving<B: 'static>(
        &self,
        plan: Plan,
        write: impl FnOnce(&mut Out),
        restore: fn(&mut In) -> Result<B>,
    ) -> Result<(), Refused<B>> {
        crate::blocking::Blocking::new(self.destination)
            .limited(Duration::ZERO)
            .send_moving(plan, write, restore)
    }
}
