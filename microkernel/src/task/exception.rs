//! Exceptions: calls that the kernel makes for the thread that caused one.
//!
//! The thread's own port for the type is asked first, then its task's, then the host's. While a handler
//! is asked, the thread keeps the exception: its codes in `operands`, its type and the level in `exception`.

use abi::exception;
use abi::trace::{Kind as TraceKind, wait};

use super::{Layers, Tasks};
use crate::base::ids::ThreadId;
use crate::ipc::Ipc;
use crate::ipc::exception::Report;
use crate::ipc::fast::Hands;
use crate::machine::{FrameIndex, Machine};
use crate::sched::{Action, LEVEL_SHIFT, Wait, mark};

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
    /// There is no handler, or none any more.
    Unhandled,
    /// Nobody is left to tell, and the thread goes on.
    Told,
}

/// Who is asked: the thread's, its task's, the host's handler.
const LEVELS: u8 = 3;

impl Tasks {
    /// Asks the first handler of a thread's exceptions. The thread is current and blocks until the answer.
    pub fn raise<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
        exception: Exception,
    ) -> Raised {
        if let Some(thread) = layers.cx.sched.threads.get_mut(id) {
            thread.operands = [exception.code, exception.subcode];
        }
        self.ask_from(layers, id, (exception.kind, 0))
    }

    /// Asks the first handler of the current thread's exceptions, if that waits for a brief message. It runs next.
    #[inline(always)]
    pub fn raise_at_once<M: Machine>(
        &self,
        ipc: &mut Ipc,
        hands: &mut Hands<'_, M>,
        exception: Exception,
    ) -> Option<FrameIndex> {
        let sched = &mut *hands.sched;
        let current = sched.current(hands.cpu);
        let (id, thread) = sched.threads.find_known_mut(current)?;
        let own = sched.extras.find(thread.extra);
        let own = sched.actions.find(own.and_then(|extra| extra.actions));
        let (level, action) = match own.and_then(|actions| actions.of(exception.kind)) {
            Some(action) => (0, action),
            None => (1, self.arena.get(thread.task)?.actions.of(exception.kind)?),
        };
        if !action.form.is_brief() {
            return None;
        }
        // If that handler does not wait, this is written again.
        thread.operands = [exception.code, exception.subcode];
        thread.exception = mark(exception.kind, level);
        let words = Report::brief_words(hands.machine, id, (exception.kind, thread.operands));
        ipc.fast_raise(hands, (id, action.port), (exception::RAISE, words))
    }

    /// Asks the next handler, after one that did not deal with the thread's exception.
    pub fn raise_on<M: Machine>(&mut self, layers: &mut Layers<'_, M>, id: ThreadId) -> Raised {
        let exception = layers.cx.sched.threads.get(id);
        let exception = exception.map_or(u8::MAX, |thread| thread.exception);
        let (kind, level) = (exception & 0xf, exception >> LEVEL_SHIFT);
        // Behind the level before the first one comes the first one.
        let next = mark(0, level + 1) >> LEVEL_SHIFT;
        let raised = self.ask_from(layers, id, (kind.into(), next));
        match (raised, u32::from(kind)) {
            (Raised::Unhandled, exception::GUARD) => Raised::Told,
            (raised, _) => raised,
        }
    }

    fn ask_from<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
        (kind, first): (u32, u8),
    ) -> Raised {
        for level in first..LEVELS {
            if let Some(action) = self.action(layers, id, (kind, level))
                && self.ask(layers, id, (kind, level), action) == Raised::Asked
            {
                return Raised::Asked;
            }
        }
        set_exception(layers, id, (kind, LEVELS));
        Raised::Unhandled
    }

    /// The handler of a level, if its port lives.
    fn action<M: Machine>(
        &self,
        layers: &Layers<'_, M>,
        id: ThreadId,
        (kind, level): (u32, u8),
    ) -> Option<Action> {
        let sched = &layers.cx.sched;
        let thread = sched.threads.get(id)?;
        let actions = match level {
            0 => sched
                .actions
                .get(sched.extras.get(thread.extra?)?.actions?)?,
            1 => &self.arena.get(thread.task)?.actions,
            _ => &self.host_actions,
        };
        let action = actions.of(kind)?;
        layers.ipc.ports.get(action.port).map(|_| action)
    }

    fn ask<M: Machine>(
        &mut self,
        layers: &mut Layers<'_, M>,
        id: ThreadId,
        (kind, level): (u32, u8),
        Action { port, form }: Action,
    ) -> Raised {
        set_exception(layers, id, (kind, level));
        let ports = if form.has_rights() {
            let own = Self::thread_port(layers, id).ok();
            let thread = layers.cx.sched.threads.get(id);
            let task = thread.and_then(|thread| self.arena.get(thread.task));
            [own, task.map(|task| task.port)]
        } else {
            [None; 2]
        };
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return Raised::Unhandled;
        };
        let Some(task) = self.arena.get(thread.task) else {
            return Raised::Unhandled;
        };
        if form.has_rights() && ports.contains(&None) {
            return Raised::Unhandled;
        }
        let report = Report {
            thread: id,
            kind,
            codes: thread.operands,
            ports,
            payer: task.ledger,
        };
        let Some(thread) = layers.cx.sched.threads.get_mut(id) else {
            return Raised::Unhandled;
        };
        // What waits for the answer is found by it as soon as it is sent.
        thread.wait = Wait::Exception(port, form);
        layers.cx.sched.block(layers.cx.cpu);
        if layers
            .ipc
            .report(&mut layers.cx, (port, form), &report)
            .is_err()
        {
            layers.cx.sched.unblock(layers.cx.cpu, id);
            return Raised::Unhandled;
        }
        let what = (wait::EXCEPTION.into(), port.index().into());
        layers.cx.note(TraceKind::Block, what);
        Raised::Asked
    }
}

fn set_exception<M: Machine>(layers: &mut Layers<'_, M>, id: ThreadId, (kind, level): (u32, u8)) {
    if let Some(thread) = layers.cx.sched.threads.get_mut(id) {
        thread.exception = mark(kind, level);
    }
}
