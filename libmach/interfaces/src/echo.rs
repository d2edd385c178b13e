//! The example service: says back what it is told, and keeps a sum.

use macros::interface;

/// Says back what it is told.
#[interface(name = "org.mello.echo", subsystem = 4200)]
pub trait Echo {
    /// Answers with `value`.
    #[idempotent]
    async fn echo(&self, value: u64) -> Result<u64>;
    /// Adds to the server's sum and answers with it. The sum dies with the server.
    async fn add(&mut self, n: u64) -> Result<u64>;
}
