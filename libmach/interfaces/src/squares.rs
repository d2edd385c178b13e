//! The example pager: memory whose words are computed.

use macros::interface;

use crate::memory_object::MemoryObject;

/// Words that the object has; the first missing one lies behind its last page.
pub const WORDS: u64 = 1 << 20;

/// Gives the memory object.
#[interface(name = "org.mello.squares", subsystem = 4660)]
pub trait Squares {
    /// A memory object of 64-bit words, each the square of its place.
    async fn object(&mut self) -> Result<SendRight<dyn MemoryObject>>;
}
