//! The example service in C: keeps a sum, and adds up memory that it is sent.

use abi::transport::Untyped;
use macros::interface;

/// Id of the message that [`Tally::digest`] sends; its word 0 is the sum of the bytes.
pub const DIGESTED: i32 = 4690;

/// Keeps a sum.
#[interface(name = "org.mello.tally", subsystem = 4600)]
pub trait Tally {
    /// The sum.
    #[idempotent]
    async fn value(&self) -> Result<u64>;
    /// Adds to the sum and answers with it. The sum dies with the server. What would overflow it is an
    /// `InvalidArgument`.
    async fn add(&mut self, n: u64) -> Result<u64>;
    /// Adds up the bytes of `data`, tells the sum to `to` ([`DIGESTED`]) and answers with it.
    async fn digest(&self, data: Memory, to: SendRight<Untyped>) -> Result<u64>;
    /// Ends the server in the midst of the call.
    async fn die(&mut self) -> Result<()>;
}
