//! One port, one state, handlers that never wait: the shortest loop there is.
//!
//! Dispatch and handler are inlined into the loop, and the handler's future lives on the stack, so
//! nothing is allocated, looked up or called through a pointer. A handler that waits all the same
//! is dropped, and its client gets `NotSupported`: such a server wants a [`super::Runtime`].
//! Deferred replies work, since keeping one is no waiting.

use core::cell::Cell;
use core::future::Future;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::WORDS;
use abi::names::Name;
use abi::registers::{Shape, options};
use abi::transport::{Caller, Direct, Plan, Request, Result, Serve, poll_once};

use super::answer::ReplyTo;
use super::reply::Reply;
use super::request::Answer;
use super::runtime::not_received;
use crate::message;
use crate::packet::{In, Mach, Out};
use crate::trap::Registers;

/// A request whose handler runs to its end at once.
struct DirectRequest<'a> {
    id: i32,
    caller: Caller,
    input: In,
    reply: &'a Cell<ReplyTo>,
}

impl<'s> Request<'s> for DirectRequest<'_> {
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

    #[inline(always)]
    fn answer<T>(self, plan: Plan, result: Result<T>, write: fn(T, &mut Out)) -> Answer {
        drop(self);
        Answer::of(&plan, result, write)
    }

    #[inline(always)]
    fn handle<T: 'static, F>(self, plan: Plan, handler: F, write: fn(T, &mut Out)) -> Answer
    where
        F: Future<Output = Result<T>> + 's,
    {
        let waits = || Err(KernReturn::NotSupported.into());
        self.answer(plan, poll_once(handler).unwrap_or_else(waits), write)
    }

    #[inline(always)]
    fn run<F>(self, _: Plan, handler: F) -> Answer
    where
        F: Future<Output = ()> + 's,
    {
        poll_once(handler);
        Answer::None
    }

    fn defer<T: 'static>(&mut self, plan: Plan, write: fn(T, &mut Out)) -> Reply<T> {
        Reply::new(self.reply.take().kept(), plan, write)
    }

    fn done(self) -> Answer {
        Answer::None
    }
}

/// Serves `I` on `port` until receiving fails.
pub(crate) fn serve<I, S>(port: Name, server: S) -> Result<()>
where
    I: ?Sized + Serve<S, Mach>,
{
    let state = Direct::new(server);
    let reply = Cell::new(ReplyTo::Nobody);
    let mut next = message::receive_registers(port);
    let mut sending = None;
    loop {
        let (code, got) = message::exchange(next);
        if code != MessageReturn::Success {
            // A copy: a reference to `got` itself would make every round spill it.
            let back = got;
            failed(code, &back, sending.take())?;
            next = message::receive_registers(port);
            continue;
        }
        reply.set(ReplyTo::of(&got));
        let input = match got.received().shape() {
            Shape::SHORT => In::short(got.words),
            _ => In::kept(&got),
        };
        let caller = Caller {
            identity: got.identity(),
            label: got.label(),
        };
        let request = DirectRequest {
            id: got.id(),
            caller,
            input,
            reply: &reply,
        };
        let answer = I::dispatch(&state, request);
        let to = reply.take();
        match to.registers(answer, options::RECEIVE) {
            Some(registers) => {
                next = registers.receiving_on(port);
                sending = Some((answer, to));
            }
            None => {
                next = message::receive_registers(port);
                sending = None;
            }
        }
    }
}

/// A client that is gone gets nothing; a port that is gone ends the loop.
#[cold]
#[inline(never)]
fn failed(code: MessageReturn, got: &Registers, sending: Option<(Answer, ReplyTo)>) -> Result<()> {
    if let Some((answer, to)) = sending {
        to.settle(code, got, answer);
    }
    not_received(code, got)
}
