//! Ports that a task's control port keeps for it (MACH.md T-06): a right to each, which counts as one.

use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::task::special;

use super::names::{Answer, accept, refuse};
use super::{Carried, Entry, Model, TaskId, Verdict};

/// A kept port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kept {
    /// A special port of this number.
    Special(u32),
    /// A registered port of this index.
    Registered(u32),
}

impl Kept {
    fn is_known(self) -> bool {
        match self {
            Self::Special(which) => which == special::BOOTSTRAP,
            Self::Registered(index) => index < special::REGISTERED,
        }
    }
}

/// What is done with one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the calls' arguments under their own names")]
pub enum KeptOp {
    /// The name holds a send right.
    Set {
        which: Kept,
        name: Name,
    },
    Get {
        which: Kept,
    },
    /// Of special ports alone.
    Clear {
        which: u32,
    },
}

impl Model {
    /// The ports that are kept for a task.
    pub fn kept(&self, task: TaskId) -> Vec<Kept> {
        self.tasks[task].kept.keys().copied().collect()
    }

    pub(super) fn kept_op(&mut self, task: TaskId, op: &KeptOp, seen: Answer) -> Verdict {
        let which = match *op {
            KeptOp::Set { which, .. } | KeptOp::Get { which } => which,
            KeptOp::Clear { which } => Kept::Special(which),
        };
        if !which.is_known() {
            let lesser = [special::NAME, special::INSPECT, special::READ];
            let code = match which {
                Kept::Special(which) if lesser.contains(&which) => Code::NotSupported,
                _ => Code::InvalidArgument,
            };
            return refuse(seen, &[code]);
        }
        match *op {
            KeptOp::Set { name, .. } => {
                let Some(Entry::Port { port, .. }) = self.entry(task, name) else {
                    return Err(format!("{name:x?} is no send right"));
                };
                accept(seen)?;
                let old = self.tasks[task].kept.insert(which, port);
                self.release_kept(old);
                Ok(())
            }
            KeptOp::Get { .. } => {
                let port = self.tasks[task].kept.get(&which).copied();
                let Some(port) = port.filter(|port| self.is_alive(*port)) else {
                    return refuse(seen, &[Code::Failure]);
                };
                accept(seen)?;
                self.accept_right(task, Carried::Send(port), Name(seen.1 as u32))
            }
            KeptOp::Clear { .. } => {
                accept(seen)?;
                let old = self.tasks[task].kept.remove(&which);
                self.release_kept(old);
                Ok(())
            }
        }
    }

    fn release_kept(&mut self, old: Option<usize>) {
        if let Some(old) = old {
            self.discard(Carried::Send(old));
        }
    }
}
