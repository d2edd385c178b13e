//! A manifest: everything that a server, driver or program is started with, and nothing else.
//!
//! People write `manifest.toml` beside the crate; `xtask` validates it and puts it, encoded, into the
//! boot archive; `bootstrap` decodes it and grants exactly the rights that it names. Both sides use
//! the types of this crate, so that there is one schema.
//!
//! ```toml
//! name = "uart16550"
//! services = ["org.mello.console"]
//! start = "boot"
//!
//! [rights]
//! registers = { io-ports = { first = 0x3f8, count = 8 } }
//! interrupt = { interrupt = { line = 4 } }
//! log = { service = "org.mello.log" }
//! ```
//!
//! Invariant: what [`Manifest::decode`] returns has passed [`Manifest::check`]. Every size is bounded
//! by a constant of this crate.
//!
//! Deliberately absent: reading TOML (only the host does), granting rights (`bootstrap`), allocation.
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod schema;

pub use check::{Invalid, is_name, is_service};
pub use schema::{
    Label, Limits, MAX_ARGUMENT, MAX_ARGUMENTS, MAX_NAME, MAX_RIGHTS, MAX_SERVICE, MAX_SERVICES,
    Manifest, Name, Restart, Right, Root, Service, Start,
};

/// The most bytes that an encoded manifest takes.
pub const MAX_ENCODED: usize = 4096;

/// Why an encoded manifest cannot be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// It breaks a rule.
    Invalid(Invalid),
    /// The bytes are no encoded manifest of this version.
    Malformed,
    /// The buffer is too small.
    NoRoom,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Malformed => write!(f, "the bytes are no manifest of this version"),
            Self::NoRoom => write!(f, "the encoded manifest does not fit"),
        }
    }
}

impl core::error::Error for Error {}

impl Manifest {
    /// Writes the encoded form to the start of `out`; [`MAX_ENCODED`] bytes are always enough.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a rule is broken, [`Error::NoRoom`] when `out` is too small.
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], Error> {
        self.check().map_err(Error::Invalid)?;
        postcard::to_slice(self, out)
            .map(|used| &*used)
            .map_err(|_| Error::NoRoom)
    }

    /// Reads what [`Manifest::encode`] wrote.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are something else or go on after it, [`Error::Invalid`]
    /// when a rule is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let (manifest, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| Error::Malformed)?;
        if !rest.is_empty() {
            return Err(Error::Malformed);
        }
        manifest.check().map_err(Error::Invalid)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests;
