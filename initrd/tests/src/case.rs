//! What a case is, what it may use, and what it says.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Debug;

use interfaces::console::{Console, RIGHT};
use interfaces::supervisor::Supervisor;
use libmach::abi::kern_return::KernReturn;
use libmach::{Context, Error, Result, SendRight};

/// Why a case did not pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Something is not as it must be.
    Failed(String),
    /// The case says nothing about this system.
    Skipped(String),
}

/// The result of a case, and of each step of it.
pub type Check<T = ()> = core::result::Result<T, Verdict>;

impl From<Error> for Verdict {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<KernReturn> for Verdict {
    fn from(code: KernReturn) -> Self {
        Self::Failed(code.to_string())
    }
}

impl<B> From<libmach::Refused<B>> for Verdict {
    fn from(refused: libmach::Refused<B>) -> Self {
        refused.error.into()
    }
}

/// Fails unless `found` is `expected`.
///
/// # Errors
/// Both values, and `what` they are of.
#[allow(
    clippy::needless_pass_by_value,
    reason = "both values are made for the comparison and end with it"
)]
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Check {
    if found == expected {
        Ok(())
    } else {
        Err(Verdict::Failed(format!(
            "{what}: {found:?}, expected {expected:?}"
        )))
    }
}

/// The code of an answer; `Failure` for what is no answer.
pub(crate) fn code<T>(result: Result<T>) -> KernReturn {
    match result.err() {
        None => KernReturn::Success,
        Some(Error::Code(code)) => code,
        Some(_) => KernReturn::Failure,
    }
}

/// Fails with `what` unless the condition holds.
macro_rules! check {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err($crate::Verdict::Failed(alloc::format!($($what)+)));
        }
    };
}
pub(crate) use check;

/// One test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it is about.
    pub area: &'static str,
    /// What holds when it passes.
    pub name: &'static str,
    /// Finds out.
    pub run: fn(&World) -> Check,
}

/// What cases may use.
#[derive(Debug)]
pub struct World {
    /// The program's start page.
    pub context: Context,
    /// Where the program writes to.
    pub console: SendRight<dyn Console>,
}

impl World {
    /// What the start page gives.
    ///
    /// # Errors
    /// When it names no console.
    pub fn of(context: Context) -> Result<Self> {
        let console = context.send_right(RIGHT)?;
        Ok(Self { context, console })
    }

    /// Orders to services and programs.
    pub(crate) fn supervisor(&self) -> Check<SendRight<dyn Supervisor>> {
        Ok(self.context.send_right("supervisor")?)
    }

    /// Writes all of `text`.
    pub(crate) fn write(&self, text: &str) -> Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let chunk = &rest[..rest.len().min(interfaces::console::CHUNK)];
            let taken = self.console.client().write(chunk)?;
            rest = usize::try_from(taken)
                .ok()
                .filter(|taken| *taken > 0)
                .and_then(|taken| rest.get(taken..))
                .ok_or(Error::BadReply)?;
        }
        Ok(())
    }
}
