//! The example server: says back what it is told, and keeps a sum that dies with it.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

use interfaces::echo::Echo;
use libmach::Result;

/// The server's state: the sum.
#[derive(Debug, Default)]
pub struct Server(u64);

impl Echo for Server {
    async fn echo(&self, value: u64) -> Result<u64> {
        Ok(value)
    }

    async fn add(&mut self, n: u64) -> Result<u64> {
        self.0 = self.0.wrapping_add(n);
        Ok(self.0)
    }
}
