//! Why a story did not end well.

use alloc::string::String;
use core::fmt;

use libmach::Error;
use libmach::abi::kern_return::KernReturn;

/// The result of a story or of a part of it.
pub type Result<T> = core::result::Result<T, Failure>;

/// What went wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// A call failed.
    Call(Error),
    /// Something is not as it must be.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(error) => error.fmt(f),
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

impl<B> From<libmach::Refused<B>> for Failure {
    fn from(refused: libmach::Refused<B>) -> Self {
        refused.error.into()
    }
}

/// Fails with `what` when something does not hold.
///
/// # Errors
/// `what`.
#[allow(
    clippy::fn_params_excessive_bools,
    reason = "it is a condition, as that of `assert`"
)]
pub fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Failure::Wrong(what()))
    }
}
