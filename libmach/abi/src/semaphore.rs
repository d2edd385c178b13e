//! Semaphores, as `semaphore_create` makes them.

/// Whom a signal lets go (`xnu:osfmk/mach/sync_policy.h`).
pub mod policy {
    /// Who came first.
    pub const FIFO: u32 = 0;
    /// Who has the highest priority; among equals, who came first.
    pub const FIXED_PRIORITY: u32 = 1;
}
