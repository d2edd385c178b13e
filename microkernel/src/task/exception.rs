//! Exceptions: a call that the kernel makes for the thread that caused one.

use abi::exception;
use abi::message::WORDS;
use abi::trace::{Kind as TraceKind, wait};

use super::{Layers, Tasks};
use crate::base::ids::{PortId, ThreadId};
use crate::ipc::fast::Hands;
use crate::ipc::right::Right;
use crate::ipc::send::KernelMessage;
use crate::machine::Machine;
use crate::sched::Wait;

/// What happened ([`abi::exception`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The type.
    pub kind: u32,
    /// The first code.
    pub code: u64,
    /// The second code.
    pub subcode: u64,
}

/// Whether somebody was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Raised {
    /// The thread waits for its handler's answer.
    Asked,
    /// There is no handler.
    Unhandled,
}

impl Tasks {
    /// Calls the exception port of a thread's task. The thread is current and blocks until the answer.
    pub fn raise<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
        exception: Exception,
    ) -> Raised {
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return Raised::Unhandled;
        };
        let Some(task) = self.arena.get(thread.task) else {
            return Raised::Unhandled;
        };
        let Right::Send(port) = task.exception_port else {
            return Raised::Unhandled;
        };
        let (reply_port, identity) = (thread.reply_port, thread.identity);
        let frame = layers.cx.machine.frame(id.index());
        let words = [
            exception.kind.into(),
            exception.code,
            exception.subcode,
            frame.rip,
            frame.rsp,
            id.to_bits(),
        ];
        if raise_at_once(layers, (id, port), words).is_some() {
            return Raised::Asked;
        }
        if layers.ipc.ports.get(port).is_none() {
            return Raised::Unhandled;
        }
        if let Some(thread) = layers.cx.sched.threads.get_mut(id) {
            thread.wait = Wait::Exception;
        }
        let content = KernelMessage {
            id: exception::RAISE,
            words,
            identity,
            reply: Right::SendOnce(reply_port),
            payer: task.ledger,
        };
        let what = (wait::EXCEPTION.into(), port.index().into());
        layers.cx.note(TraceKind::Block, what);
        layers.cx.sched.block(layers.cx.cpu);
        let to = layers.ipc.make_send(port);
        layers.ipc.send_from_kernel(&mut layers.cx, to, content);
        Raised::Asked
    }
}

/// Hands the thread's exception to a handler that waits for one. What is traced goes the other way.
fn raise_at_once<M: Machine>(
    layers: &mut Layers<'_, M>,
    (thread, port): (ThreadId, PortId),
    words: [u64; WORDS],
) -> Option<()> {
    let cx = &mut layers.cx;
    if cx.sched.trace.is_detailed() {
        return None;
    }
    let mut hands = Hands {
        sched: cx.sched,
        machine: cx.machine,
        cpu: cx.cpu,
    };
    layers
        .ipc
        .fast_raise(&mut hands, (thread, port), (exception::RAISE, words))
}
