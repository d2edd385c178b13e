//! Exception ports of threads, tasks and the host (MACH.md ): a right for each type that has one.

use abi::exception::{MASK_ALL, MASK_FATAL, TYPES, behavior};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::thread_state::FLAVOR;

use super::names::{accept, refuse};
use super::{Carried, Entry, Model, PortId, Seen, TaskId, ThreadId, Verdict};

/// Whose exception ports a thread asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// A thread's of its task.
    Thread(ThreadId),
    /// Its task's.
    Task,
    /// The host's.
    Host,
}

/// Behavior and flavor.
pub type Form = (u32, u32);

/// What is done with them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the calls' arguments under their own names")]
pub enum HandlerOp {
    /// The name holds a send right.
    Set {
        mask: u32,
        name: Name,
        form: Form,
    },
    Clear {
        mask: u32,
    },
    Get {
        mask: u32,
        index: u32,
    },
    /// The task's own call: its port for all that would end it.
    SetFatal {
        name: Name,
    },
    /// As `Set`.
    Swap {
        mask: u32,
        name: Name,
        form: Form,
    },
}

/// Who has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Owner {
    Thread(ThreadId),
    Task(TaskId),
    Host,
}

/// Where exceptions of a type go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Handler {
    pub(super) port: PortId,
    pub(super) form: Form,
}

fn is_form((told, flavor): Form) -> bool {
    let wide = told & behavior::WIDE_CODES != 0;
    match told & !behavior::WIDE_CODES {
        behavior::BRIEF => !wide && flavor == 0,
        behavior::DEFAULT => [0, FLAVOR].contains(&flavor),
        behavior::STATE | behavior::STATE_IDENTITY => flavor == FLAVOR,
        _ => false,
    }
}

fn types(mask: u32) -> impl Iterator<Item = u32> {
    (1..TYPES).filter(move |kind| mask >> kind & 1 != 0)
}

impl Model {
    pub(super) fn handler_op(
        &mut self,
        task: TaskId,
        (level, op): (Level, &HandlerOp),
        seen: &Seen,
    ) -> Verdict {
        let owner = match level {
            Level::Thread(thread) => Owner::Thread(thread),
            Level::Task => Owner::Task(task),
            Level::Host => Owner::Host,
        };
        let (mask, right) = match *op {
            HandlerOp::Set { mask, name, form } | HandlerOp::Swap { mask, name, form } => {
                (mask, Some((name, form)))
            }
            HandlerOp::SetFatal { name } => (MASK_FATAL, Some((name, (behavior::BRIEF, 0)))),
            HandlerOp::Clear { mask } | HandlerOp::Get { mask, .. } => (mask, None),
        };
        let wrong = mask & !MASK_ALL != 0 || right.is_some_and(|(_, form)| !is_form(form));
        let new = match right.map(|(name, form)| (self.entry(task, name), form)) {
            Some((Some(Entry::Port { port, .. }), form)) => Some(Handler { port, form }),
            Some((Some(Entry::Dead(_)), _)) => return refused(seen, Code::InvalidCapability),
            Some(_) => return Err("there is no send right".into()),
            None => None,
        };
        if wrong {
            return refused(seen, Code::InvalidArgument);
        }
        let shown = match *op {
            HandlerOp::Get { index, .. } => self.groups(owner, mask).get(index as usize).copied(),
            HandlerOp::Swap { .. } => self.only_group(owner, mask),
            HandlerOp::Set { .. } | HandlerOp::SetFatal { .. } | HandlerOp::Clear { .. } => {
                done(seen)?;
                self.set_handlers(owner, mask, new);
                return Ok(());
            }
        };
        let Some((types, handler)) = shown else {
            return refused(seen, Code::Failure);
        };
        let Seen::Handler {
            mask: told,
            form,
            name,
        } = *seen
        else {
            return Err(format!("{handler:?} expected, not {seen:?}"));
        };
        if (told, form) != (types, handler.form) {
            return Err(format!("{types:#x} at {handler:?} expected, not {seen:?}"));
        }
        self.accept_right(task, Carried::Send(handler.port), name)?;
        if new.is_some() {
            self.set_handlers(owner, mask, new);
        }
        Ok(())
    }

    /// Types that have the same handler count as one, and one whose port died as none.
    fn groups(&self, owner: Owner, mask: u32) -> Vec<(u32, Handler)> {
        let mut groups: Vec<(u32, Handler)> = Vec::new();
        for kind in types(mask) {
            let handler = self.handlers.get(&(owner, kind));
            let Some(handler) = handler.filter(|handler| self.is_alive(handler.port)) else {
                continue;
            };
            match groups.iter_mut().find(|(_, other)| other == handler) {
                Some((types, _)) => *types |= 1 << kind,
                None => groups.push((1 << kind, *handler)),
            }
        }
        groups
    }

    /// The handler that all types of a mask have.
    fn only_group(&self, owner: Owner, mask: u32) -> Option<(u32, Handler)> {
        let first = self.groups(owner, mask).first().copied();
        first.filter(|(types, _)| *types == mask)
    }

    /// Whoever had handlers is no more.
    pub(super) fn end_handlers(&mut self, owner: Owner) {
        self.set_handlers(owner, MASK_ALL, None);
    }

    fn set_handlers(&mut self, owner: Owner, mask: u32, new: Option<Handler>) {
        let mut old = Vec::new();
        for kind in types(mask) {
            let key = (owner, kind);
            old.extend(match new {
                Some(new) => self.handlers.insert(key, new),
                None => self.handlers.remove(&key),
            });
        }
        for handler in old {
            self.discard(Carried::Send(handler.port));
        }
    }
}

fn done(seen: &Seen) -> Verdict {
    match *seen {
        Seen::Trap(code, value) => accept((code, value)),
        _ => Err(format!("{seen:?} shows a port")),
    }
}

fn refused(seen: &Seen, expected: Code) -> Verdict {
    match *seen {
        Seen::Trap(code, value) => refuse((code, value), &[expected]),
        _ => Err(format!("{expected:?} expected, not {seen:?}")),
    }
}
