//! Memory entries: a range of memory as a right, to be mapped by whoever holds it.

use macros::interface;

/// The one root over physical memory, which bootstrap holds.
#[interface(name = "org.mello.memory-root", subsystem = 3820)]
pub trait MemoryRoot {
    /// A window on device memory; `InvalidArgument` when it touches memory that is the kernel's to
    /// give out. `cached` is 0 or 1.
    async fn window(
        &mut self,
        physical: u64,
        size: u64,
        cached: u32,
    ) -> Result<SendRight<dyn Entry>>;
}

/// A memory entry. Mapping is `vm_map`, by trap or on a task's port.
#[interface(name = "org.mello.memory-entry", subsystem = 3830)]
pub trait Entry {
    /// Its bytes, and the most protection that a mapping of it gets.
    async fn bounds(&self) -> Result<(u64, u32)>;
    /// An entry over a part of it, with at most `protection`.
    async fn part(
        &mut self,
        offset: u64,
        size: u64,
        protection: u32,
    ) -> Result<SendRight<dyn Entry>>;
}
