//! Semaphores, as `semaphore_create` makes them.

/// Whom a signal lets go (`xnu:osfmk/mach/sync_policy.h`).
pub mod policy {
    /// Who came first.
    pub const FIFO: u32 = 0;
    /// Who has the highest priority; among equals, who came first. Who is given another priority meanwhile comes behind all
    /// that have it already.
    pub const FIXED_PRIORITY: u32 = 1;
}
