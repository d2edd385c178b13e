//! A terminal line: bytes out, bytes in.

use macros::interface;

use crate::bounded::Bytes;

/// The most bytes in one read or write.
pub const CHUNK: usize = 1024;

/// The driver of a terminal line.
#[interface(name = "org.mello.console", subsystem = 4400)]
pub trait Console {
    /// Writes bytes; answers when they are with the device or its queue: how many it took.
    async fn write(&mut self, bytes: &[u8]) -> Result<u64>;
    /// Waits for input: at least one byte, uninterpreted. One reader at a time gets it, in order.
    async fn read(&mut self, reply: Reply<Bytes<1024>>);
    /// Sends what comes in to `to` instead, until that port dies or another one subscribes.
    async fn subscribe(&mut self, to: SendRight<dyn ConsoleInput>) -> Result<()>;
}

/// Who gets a console's input as it comes.
#[interface(name = "org.mello.console-input", subsystem = 4420)]
pub trait ConsoleInput {
    /// Bytes came in.
    #[oneway]
    async fn input(&mut self, bytes: Bytes<32>);
}
