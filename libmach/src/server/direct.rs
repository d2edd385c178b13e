//! One port, one state, handlers that never wait: the shortest loop there is.
//!
//! Dispatch and handler are inlined into the loop, and the handler's future lives on the stack, so
//! nothing is allocated, looked up or called through a pointer. A handler that waits all the same
//! is dropped, and its client gets `NotSupported`: such a server wants a [`super::Runtime`].
//! Deferred replies work, since keeping one is no waiting.

use core::cell::Cell;
use core::future::Future;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::Name;
use abi::registers::options;
use abi::transport::{Direct, Result, Serve, poll_once};

use super::answer::ReplyTo;
use super::request::{Answer, Run, ServerRequest};
use super::runtime::not_received;
use crate::message;
use crate::packet::Mach;
use crate::trap::Registers;

/// Runs handlers to their end at once; the reply right lies in the cell.
struct AtOnce<'a>(&'a Cell<ReplyTo>);

impl<'s> Run<'s> for AtOnce<'_> {
    const MAY_NOT_WAIT: KernReturn = KernReturn::NotSupported;

    #[inline(always)]
    fn run<O, F>(
        self,
        _: i32,
        handler: F,
        finish: impl FnOnce(O) -> Answer + 'static,
    ) -> Option<Answer>
    where
        F: Future<Output = O> + 's,
    {
        poll_once(handler).map(finish)
    }

    fn take_reply(&self) -> ReplyTo {
        self.0.take().kept()
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
        let request = ServerRequest::new(&got, AtOnce(&reply));
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
