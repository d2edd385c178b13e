//! An answer for later.

use core::fmt;

use abi::kern_return::KernReturn;
use abi::transport::{Plan, Result};

use super::answer::ReplyTo;
use super::request::Answer;
use crate::packet::Out;

/// The duty to answer one call with a `T`.
///
/// Dropped unanswered, the client gets [`KernReturn::Aborted`], not silence.
pub struct Reply<T> {
    to: ReplyTo,
    plan: Plan,
    write: fn(T, &mut Out),
}

impl<T> Reply<T> {
    pub(crate) const fn new(to: ReplyTo, plan: Plan, write: fn(T, &mut Out)) -> Self {
        Self { to, plan, write }
    }

    /// Answers. A client that is gone by now gets nothing, and nothing is left over.
    pub fn send(mut self, result: Result<T>) {
        let to = core::mem::take(&mut self.to);
        to.send(Answer::of(&self.plan, result, self.write));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.to != ReplyTo::Nobody {
            core::mem::take(&mut self.to).send(Answer::code(&self.plan, KernReturn::Aborted.0));
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("to", &self.to)
            .field("id", &self.plan.id)
            .finish()
    }
}
