//! A received request, as the generated dispatch sees it, and what it ends with.
//!
//! Both loops dispatch the same request; they differ in where a handler runs ([`Run`]): the
//! runtime lets it wait (`object`), the direct loop does not (`direct`).

use core::future::Future;

use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::registers::Shape;
use abi::transport::{Caller, Plan, REPLY_OFFSET, Request, Result};

use super::answer::ReplyTo;
use super::reply::Reply;
use crate::packet::{In, Mach, Out};
use crate::trap::Registers;

/// Where the handlers of a loop run, and where the reply right lies meanwhile.
pub(crate) trait Run<'s> {
    /// What a caller is told whose handler wants to wait, but may not.
    const MAY_NOT_WAIT: KernReturn;

    /// Runs the handler of request `id`; `finish` makes the answer of what it ends with, now or
    /// later. `None` when it may not wait: it was dropped.
    fn run<O, F>(
        self,
        id: i32,
        handler: F,
        finish: impl FnOnce(O) -> Answer + 'static,
    ) -> Option<Answer>
    where
        F: Future<Output = O> + 's;

    /// Takes the reply right, to be used after the next receive.
    fn take_reply(&self) -> ReplyTo;
}

/// A request that a loop dispatches.
pub(crate) struct ServerRequest<R> {
    id: i32,
    caller: Caller,
    input: In,
    on: R,
}

/// What a dispatch ends with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
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

impl<R> ServerRequest<R> {
    /// A received request, whose handler will run on `on`.
    #[inline(always)]
    pub(crate) fn new(registers: &Registers, on: R) -> Self {
        let input = match registers.received().shape() {
            Shape::SHORT => In::short(registers.words),
            _ => In::kept(registers),
        };
        let caller = Caller {
            identity: registers.identity(),
            label: registers.label(),
        };
        Self {
            id: registers.id(),
            caller,
            input,
            on,
        }
    }

    /// Lets the handler run. What the request still holds goes first: there is one buffer, which
    /// the answer is written to.
    #[inline(always)]
    fn start<'s, O, F>(
        self,
        handler: F,
        finish: impl FnOnce(O) -> Answer + 'static,
    ) -> Option<Answer>
    where
        R: Run<'s>,
        F: Future<Output = O> + 's,
    {
        let Self { id, input, on, .. } = self;
        drop(input);
        on.run(id, handler, finish)
    }
}

impl<'s, R: Run<'s>> Request<'s> for ServerRequest<R> {
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
        F: Future<Output = Result<T>> + 's,
    {
        self.start(handler, move |result| Answer::of(&plan, result, write))
            .unwrap_or_else(|| Answer::code(&plan, R::MAY_NOT_WAIT.0))
    }

    #[inline(always)]
    fn run<F>(self, _: Plan, handler: F) -> Answer
    where
        F: Future<Output = ()> + 's,
    {
        self.start(handler, |()| Answer::None)
            .unwrap_or(Answer::None)
    }

    fn defer<T: 'static>(&mut self, plan: Plan, write: fn(T, &mut Out)) -> Reply<T> {
        Reply::new(self.on.take_reply(), plan, write)
    }

    fn done(self) -> Answer {
        Answer::None
    }
}
