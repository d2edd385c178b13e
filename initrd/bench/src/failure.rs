//! Why a measurement has no result.

use core::fmt;

use libmach::Error;
use libmach::abi::kern_return::{KernReturn, MessageReturn};

/// The result of a measurement or of a part of it.
pub type Result<T> = core::result::Result<T, Failure>;

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A call failed.
    Call(Error),
    /// `mach_msg` failed.
    Message(MessageReturn),
    /// An operation did not do what it is measured for.
    Wrong(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
            Self::Message(code) => write!(f, "mach_msg: {code}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl From<KernReturn> for Failure {
    fn from(code: KernReturn) -> Self {
        Self::Call(code.into())
    }
}

/// Fails with `what` when something does not hold.
#[allow(
    clippy::fn_params_excessive_bools,
    reason = "it is a condition, as that of `assert`"
)]
pub const fn ensure(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Failure::Wrong(what))
    }
}

/// Fails when a message was not sent or received.
pub(crate) fn delivered(code: MessageReturn) -> Result<()> {
    match code {
        MessageReturn::Success => Ok(()),
        code => Err(Failure::Message(code)),
    }
}
