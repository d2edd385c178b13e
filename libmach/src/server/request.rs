//! A received request, as the generated dispatch sees it.

use alloc::boxed::Box;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use abi::message::WORDS;
use abi::registers::Shape;
use abi::transport::{Caller, Plan, REPLY_OFFSET, Request, Result};

use super::object::{Place, Places};
use super::reply::Reply;
use super::runtime::Inner;
use crate::packet::{In, Mach, Out};
use crate::trap::Registers;

/// A request that a [`super::Runtime`] dispatches.
pub struct ServerRequest<'a> {
    id: i32,
    caller: Caller,
    input: In,
    runtime: &'a Inner,
    places: &'a Places,
}

impl fmt::Debug for ServerRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerRequest")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a dispatch ends with.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// No answer, or not now.
    None,
    /// A message in registers and buffer, to be sent before anything else is.
    Message {
        /// Message id.
        id: i32,
        /// The words in registers.
        words: [u64; WORDS],
        /// What lies in the buffer.
        shape: Shape,
    },
}

impl Answer {
    /// A reply that consists of a code.
    pub(crate) const fn code(plan: &Plan, code: u32) -> Self {
        let words = [code as u64, 0, 0, 0, 0, 0];
        Self::Message {
            id: plan.id + REPLY_OFFSET,
            words,
            shape: Shape::SHORT,
        }
    }

    /// A reply with a result.
    #[inline(always)]
    pub(crate) fn of<T>(plan: &Plan, result: Result<T>, write: fn(T, &mut Out)) -> Self {
        let value = match result {
            Ok(value) => value,
            Err(error) => return Self::code(plan, error.code().0),
        };
        let mut out = Out::reply(plan);
        write(value, &mut out);
        match out.finish() {
            Ok((words, shape)) => Self::Message {
                id: plan.id + REPLY_OFFSET,
                words,
                shape,
            },
            Err(error) => {
                // Too large: all that it would have moved is released.
                let all = Shape::buffered(0, plan.reply_descriptors as u32);
                drop(In::unsent_answer(all));
                Self::code(plan, error.code().0)
            }
        }
    }
}

impl<'a> ServerRequest<'a> {
    #[inline(always)]
    pub(crate) fn new(registers: &Registers, runtime: &'a Inner, places: &'a Places) -> Self {
        let input = if registers.received().shape() == Shape::SHORT {
            In::short(registers.words)
        } else {
            In::kept(registers)
        };
        let caller = Caller {
            identity: registers.identity(),
            label: registers.label(),
        };
        Self {
            id: registers.id(),
            caller,
            input,
            runtime,
            places,
        }
    }

    /// Polls a handler once; `finish` makes the answer of what it ends with, now or later.
    #[inline(always)]
    fn poll<F, O>(self, handler: F, finish: impl FnOnce(O) -> Answer + 'static) -> Answer
    where
        F: Future<Output = O> + 'static,
    {
        let Self {
            id,
            input,
            runtime,
            places,
            ..
        } = self;
        // What the request still holds goes before the answer is written: the buffer is one.
        drop(input);
        let mut place = places.take::<F>(id);
        place.set(Some(handler));
        let mut context = Context::from_waker(Waker::noop());
        let Some(future) = (*place).as_mut().as_pin_mut() else {
            return Answer::None;
        };
        match future.poll(&mut context) {
            Poll::Ready(output) => {
                place.set(None);
                places.put(id, place);
                finish(output)
            }
            Poll::Pending => {
                let waiting = async move { finish(Placed(*place).await) };
                runtime.wait(Box::pin(waiting));
                Answer::None
            }
        }
    }
}

/// A handler that waits, in the place where it was built.
struct Placed<F>(Place<F>);

impl<F: Future> Future for Placed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            // Only filled places are made.
            None => Poll::Pending,
        }
    }
}

impl Request<'static> for ServerRequest<'_> {
    type Rights = Mach;
    type In = In;
    type Out = Out;
    type Answer = Answer;

    #[inline(always)]
    fn id(&self) -> i32 {
        self.id
    }

    #[inline(always)]
    fn caller(&self) -> Caller {
        self.caller
    }

    #[inline(always)]
    fn input(&mut self) -> &mut In {
        &mut self.input
    }

    #[inline(always)]
    fn take_input(&mut self) -> In {
        core::mem::replace(&mut self.input, In::short([0; WORDS]))
    }

    fn answer<T>(self, plan: Plan, result: Result<T>, write: fn(T, &mut Out)) -> Answer {
        drop(self);
        Answer::of(&plan, result, write)
    }

    #[inline(always)]
    fn handle<T: 'static, F>(self, plan: Plan, handler: F, write: fn(T, &mut Out)) -> Answer
    where
        F: Future<Output = Result<T>> + 'static,
    {
        self.poll(handler, move |result| Answer::of(&plan, result, write))
    }

    #[inline(always)]
    fn run<F>(self, _: Plan, handler: F) -> Answer
    where
        F: Future<Output = ()> + 'static,
    {
        self.poll(handler, |()| Answer::None)
    }

    fn defer<T: 'static>(&mut self, plan: Plan, write: fn(T, &mut Out)) -> Reply<T> {
        Reply::new(self.runtime.take_reply(), plan, write)
    }

    fn done(self) -> Answer {
        Answer::None
    }
}
