//! Limits, priorities and statistics of a task, as its control port takes and gives them.

/// The highest priority of a thread; 0 is the lowest.
pub const MAX_PRIORITY: u8 = 127;

/// The priority that a thread begins with, unless its task's limit is lower.
pub const DEFAULT_PRIORITY: u8 = 31;

/// Ports that a task's control port keeps for it (XNU `mach/task_special_ports.h`).
pub mod special {
    /// The task's own port, unless another one was set in its place.
    pub const KERNEL: u32 = 1;
    /// The host's, unless another one was set in its place.
    pub const HOST: u32 = 2;
    /// The name service's.
    pub const BOOTSTRAP: u32 = 4;

    /// How many more ports are kept without a meaning (`mach_ports_register`).
    pub const REGISTERED: u32 = 3;
}

/// What a task may hold at most; carved from its creator's ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Limits {
    /// Port names.
    pub names: u32,
    /// Messages that it sent and nobody received yet.
    pub messages: u32,
    /// Threads.
    pub threads: u32,
    /// Pages of memory: resident, in page tables and in flight.
    pub pages: u32,
    /// Bytes of kernel memory for its objects.
    pub kernel_bytes: u64,
}
