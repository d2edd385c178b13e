//! A terminal line: bytes out, bytes in.
//!
//! Reading is by asking, not by subscription: who does not ask holds the sender back, and a reader
//! finds a restarted driver by asking again.

use macros::interface;

use crate::bounded::Bytes;

/// The most bytes in one read or write.
pub const CHUNK: usize = 1024;

/// The start page's name for the console of a program.
pub const RIGHT: &str = "console";

/// The driver of a terminal line, or whoever stands for one.
#[interface(name = "org.mello.console", subsystem = 4400)]
pub trait Console {
    /// Writes the first [`CHUNK`] bytes, answers when the device has them: how many they are. Bytes
    /// of two writers never mix within one write.
    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>);
    /// Waits for input, uninterpreted; an empty answer is the input's end. The line has one reader:
    /// a new one takes over, the former gets `Aborted`.
    async fn read(&mut self, reply: Reply<Bytes<1024>>);
}
