//! A received request, as the generated dispatch sees it.

use alloc::rc::Rc;

use abi::message::WORDS;
use abi::registers::Shape;
use abi::transport::{Caller, Plan, REPLY_OFFSET, Request, Result};

use super::answer::Current;
use super::reply::Reply;
use crate::packet::{In, Mach, Out};
use crate::trap::Registers;

/// A request that a [`super::Runtime`] dispatches.
#[derive(Debug)]
pub struct ServerRequest {
    id: i32,
    caller: Caller,
    input: In,
    current: Rc<Current>,
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
                drop(In::unsent_answer(crate::blocking::all_of_reply(plan)));
                Self::code(plan, error.code().0)
            }
        }
    }
}

impl ServerRequest {
    #[inline(always)]
    pub(crate) fn new(registers: &Registers, current: Rc<Current>) -> Self {
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
            current,
        }
    }
}

impl Request for ServerRequest {
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
    fn answer<T>(self, plan: Plan, result: Result<T>, write: fn(T, &mut Out)) -> Answer {
        // Releasing what the handler left in the request comes before the answer is written: it
        // must not disturb the buffer.
        drop(self);
        Answer::of(&plan, result, write)
    }

    fn defer<T: 'static>(&mut self, plan: Plan, write: fn(T, &mut Out)) -> Reply<T> {
        Reply::new(self.current.take().kept(), plan, write)
    }

    fn done(self) -> Answer {
        Answer::None
    }
}
