//! The example pager: a memory object whose pages are computed when somebody looks at them.
#![cfg_attr(target_os = "none", no_std)]
#![forbid(unsafe_code)]

use interfaces::memory_object::MemoryObject;
use interfaces::squares::{Squares, WORDS};
use libmach::pager::{self, Content};
use libmach::{KernReturn, Mach, Result, Runtime, SendRight};

/// Words, each the square of its place.
#[derive(Debug)]
pub struct Table;

impl Content for Table {
    async fn fill(&mut self, offset: u64, page: &mut [u8]) -> Result<()> {
        let first = offset / 8;
        if first >= WORDS {
            return Err(KernReturn::InvalidAddress.into());
        }
        for (place, word) in (first..).zip(page.chunks_exact_mut(8)) {
            word.copy_from_slice(&(place * place).to_le_bytes());
        }
        Ok(())
    }
}

/// Gives the object to whoever asks.
#[derive(Debug)]
pub struct Server {
    /// Serves the objects, too.
    pub runtime: Runtime,
}

impl Squares for Server {
    type Rights = Mach;

    async fn object(&mut self) -> Result<SendRight<dyn MemoryObject>> {
        pager::export(&self.runtime, Table)
    }
}
