//! A place where commands come from and their text goes.

use alloc::vec::Vec;

use channel::{Exit, Frame, HEADER_SIZE, MAX_PAYLOAD, encode};
use libmach::abi::kern_return::KernReturn;
use libmach::abi::transport::Lock as _;
use libmach::server::Locked;
use libmach::{Error, Result};

use crate::input::{Input, Source};
use crate::port::Port;

/// What is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A terminal: a line feed needs a carriage return, and both outputs are one.
    Terminal,
    /// The host's tool, which takes frames.
    Channel,
}

/// The place.
#[derive(Debug)]
pub struct Session {
    kind: Kind,
    /// Locked, so that frames of two tasks do not mix.
    port: Locked<Port>,
    input: Input,
}

impl Session {
    /// A session whose output goes to `port`.
    pub fn new(kind: Kind, port: Port) -> Self {
        let source = match kind {
            Kind::Terminal => Source::Typed,
            Kind::Channel => Source::Piped,
        };
        Self {
            kind,
            port: Locked::new(port),
            input: Input::new(source),
        }
    }

    /// What comes in.
    pub const fn input(&self) -> &Input {
        &self.input
    }

    /// What is at the other end.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Writes a command's output.
    ///
    /// # Errors
    /// When the other end is gone for good.
    pub async fn stdout(&self, bytes: &[u8]) -> Result<()> {
        match self.kind {
            Kind::Terminal => self.raw(&for_terminal(bytes)).await,
            Kind::Channel => self.frames(bytes, Frame::Stdout).await,
        }
    }

    /// Writes what went wrong.
    ///
    /// # Errors
    /// As [`Session::stdout`].
    pub async fn stderr(&self, bytes: &[u8]) -> Result<()> {
        match self.kind {
            Kind::Terminal => self.raw(&for_terminal(bytes)).await,
            Kind::Channel => self.frames(bytes, Frame::Stderr).await,
        }
    }

    /// Tells a channel that commands are taken.
    ///
    /// # Errors
    /// As [`Session::stdout`].
    pub async fn ready(&self) -> Result<()> {
        self.frame(&Frame::Ready).await
    }

    /// Tells a channel how the command ended.
    ///
    /// # Errors
    /// As [`Session::stdout`].
    pub async fn exit(&self, exit: Exit) -> Result<()> {
        self.frame(&Frame::Exit(exit)).await
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// As [`Session::stdout`].
    pub async fn raw(&self, bytes: &[u8]) -> Result<()> {
        self.port.exclusive().await.write_all(bytes).await
    }

    async fn frames<'a>(&self, bytes: &'a [u8], kind: fn(&'a [u8]) -> Frame<'a>) -> Result<()> {
        for payload in bytes.chunks(MAX_PAYLOAD) {
            self.frame(&kind(payload)).await?;
        }
        Ok(())
    }

    async fn frame(&self, frame: &Frame<'_>) -> Result<()> {
        let mut bytes = alloc::vec![0; HEADER_SIZE + MAX_PAYLOAD];
        let size = encode(frame, &mut bytes).map_err(|_| Error::Code(KernReturn::Failure))?;
        self.raw(&bytes[..size]).await
    }
}

/// Text as a raw terminal wants it.
fn for_terminal(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 16);
    for byte in bytes {
        if *byte == b'\n' {
            text.push(b'\r');
        }
        text.push(*byte);
    }
    text
}
