//! Exceptions: a call that the kernel makes for the thread that caused one.

use abi::exception;
use abi::trace::{Kind as TraceKind, wait};

use super::{Layers, Tasks};
use crate::base::ids::ThreadId;
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
        if layers.ipc.ports.get(port).is_none() {
            return Raised::Unhandled;
        }
        let (reply_port, identity) = (thread.reply_port, thread.identity);
        thread.wait = Wait::Exception;
        let frame = layers.cx.machine.frame(id.index());
        let content = KernelMessage {
            id: exception::RAISE,
            words: [
                exception.kind.into(),
                exception.code,
                exception.subcode,
                frame.rip,
                frame.rsp,
                id.to_bits(),
            ],
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
