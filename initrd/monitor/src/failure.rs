//! Why a command did not do what it was asked for, in words.

use alloc::format;
use alloc::string::{String, ToString};

use interfaces::bootstrap::refusal;
use libmach::Error;
use libmach::abi::kern_return::KernReturn;

/// A command's failure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The command is used otherwise; the text says how. Status 2.
    Usage(&'static str),
    /// It could not be done. Status 1.
    Said(String),
    /// Nothing has that name. Status 127.
    NoSuchCommand(String),
}

impl Failure {
    /// A failure about `what`.
    pub fn of(what: &str, error: Error) -> Self {
        Self::Said(format!("{what}: {}", explain(error)))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Said(explain(error))
    }
}

/// An error for a person.
pub fn explain(error: Error) -> String {
    let words = match error {
        Error::Code(refusal::NOT_PRIVILEGED) => "that is not allowed to the monitor",
        Error::Code(refusal::UNKNOWN_SERVICE) => "there is no such service",
        Error::Code(refusal::SERVICE_ACTIVE) => "it runs already",
        Error::Code(refusal::SERVICE_FAILED) => "it has failed; see `svc`, and `svc start` it",
        Error::Code(refusal::NO_SUCH_PROGRAM) => "there is no such program",
        Error::Code(refusal::NOT_RUNNING) => "it does not run",
        Error::Code(refusal::NOT_LOADED) => "it cannot be loaded; see `dmesg`",
        Error::Code(KernReturn::ResourceShortage) => "resources are short",
        Error::Code(KernReturn::NoAccess) => "it needs a privilege that the monitor does not hold",
        Error::Code(KernReturn::NotSupported | KernReturn::MigBadId) => {
            "this system does not support it"
        }
        Error::Code(KernReturn::InvalidTask | KernReturn::Terminated) => "it has ended",
        other => return other.to_string(),
    };
    words.to_string()
}
