//! What a person is told when something cannot be done: what, and what to try.

use std::fmt::{self, Display};
use std::path::Path;

/// The result of everything here that can fail.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Exit status for a command line that means nothing.
pub(crate) const USAGE: u8 = 2;

/// A failure as it is printed.
#[derive(Debug)]
pub(crate) struct Fault {
    what: String,
    attempt: Option<String>,
    status: u8,
}

impl Fault {
    /// Something went wrong; exit status 1.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            attempt: None,
            status: 1,
        }
    }

    /// The command line means nothing; exit status 2.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self {
            status: USAGE,
            ..Self::new(what)
        }
        .attempt("cargo xtask --help")
    }

    /// The command that may help.
    pub(crate) fn attempt(mut self, command: impl Into<String>) -> Self {
        self.attempt = Some(command.into());
        self
    }

    /// What went wrong, in one line.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The exit status that it ends the tool with.
    pub(crate) fn status(&self) -> u8 {
        self.status
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        match &self.attempt {
            Some(command) => write!(f, "\ntry: {command}"),
            None => Ok(()),
        }
    }
}

impl From<lexopt::Error> for Fault {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string())
    }
}

/// Says what was being done when an error came from below.
pub(crate) trait Doing<T> {
    /// `what` reads as "cannot …".
    fn doing(self, what: impl Display) -> Result<T>;

    /// The same for a file: "cannot VERB PATH".
    fn at(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T, E: Display> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: impl Display) -> Result<T> {
        self.map_err(|error| Fault::new(format!("cannot {what}: {error}")))
    }

    fn at(self, verb: &str, path: &Path) -> Result<T> {
        self.doing(format_args!("{verb} {}", path.display()))
    }
}
