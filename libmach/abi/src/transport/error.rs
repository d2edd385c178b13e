//! What a call can fail with, on both sides.

use core::fmt;

use crate::kern_return::{KernReturn, MessageReturn};

/// The result of a call, or of a handler.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Why a call has no result.
///
/// A handler returns [`Error::Code`] (any [`KernReturn`] converts); the client gets the same code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The server or the kernel refused, with this code.
    Code(KernReturn),
    /// The server died before it answered.
    ServerDied {
        /// The request had left the client: the server may have acted on it.
        maybe_executed: bool,
    },
    /// The deadline passed. The server may still act on the request when it was sent.
    TimedOut,
    /// `thread_abort` ended the call.
    Aborted,
    /// The message could not be sent; nothing happened.
    NotSent(MessageReturn),
    /// The answer could not be received.
    NotReceived(MessageReturn),
    /// The answer is not of the shape that the interface says.
    BadReply,
    /// The arguments are larger than a message.
    TooLarge,
    /// The name service knows no service of this name, or the task holds no right of it.
    NoService,
}

impl Error {
    /// The code that a server answers with when its handler fails with this.
    pub const fn code(self) -> KernReturn {
        match self {
            Self::Code(code) => code,
            Self::ServerDied { .. } => KernReturn::MigServerDied,
            Self::TimedOut => KernReturn::OperationTimedOut,
            Self::Aborted => KernReturn::Aborted,
            Self::BadReply => KernReturn::MigTypeError,
            Self::TooLarge => KernReturn::MigArrayTooLarge,
            Self::NoService => KernReturn::NoAccess,
            Self::NotSent(_) | Self::NotReceived(_) => KernReturn::Failure,
        }
    }
}

impl From<KernReturn> for Error {
    fn from(code: KernReturn) -> Self {
        Self::Code(code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "refused: {code}"),
            Self::ServerDied {
                maybe_executed: true,
            } => f.write_str("the server died, the request may have been executed"),
            Self::ServerDied {
                maybe_executed: false,
            } => f.write_str("the server is dead, the request was not executed"),
            Self::TimedOut => f.write_str("the deadline passed"),
            Self::Aborted => f.write_str("the call was aborted"),
            Self::NotSent(code) => write!(f, "not sent: {code}"),
            Self::NotReceived(code) => write!(f, "no answer: {code}"),
            Self::BadReply => f.write_str("the answer is not of the interface's shape"),
            Self::TooLarge => f.write_str("the arguments are larger than a message"),
            Self::NoService => f.write_str("no such service"),
        }
    }
}

impl core::error::Error for Error {}

/// A call that moved rights failed.
///
/// The rights come back when the message was not sent. When it was, they belong to the server,
/// whatever it answered.
#[derive(PartialEq, Eq, Debug)]
pub struct Refused<B> {
    /// Why.
    pub error: Error,
    /// The rights that would have been moved, in the order of the arguments.
    pub rights: Option<B>,
}

/// The rights went with the message, or there are none.
impl<B> From<Error> for Refused<B> {
    fn from(error: Error) -> Self {
        Self {
            error,
            rights: None,
        }
    }
}

impl<B> From<Refused<B>> for Error {
    fn from(refused: Refused<B>) -> Self {
        refused.error
    }
}
