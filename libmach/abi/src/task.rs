//! Limits, priorities and statistics of a task, as its control port takes and gives them.

/// The highest priority of a thread; 0 is the lowest.
pub const MAX_PRIORITY: u8 = 127;

/// The priority that a thread begins with, unless its task's limit is lower.
pub const DEFAULT_PRIORITY: u8 = 31;

/// The highest priority of a thread in the background.
pub const BACKGROUND_PRIORITY: u8 = 4;

/// How threads ask to be scheduled (XNU `mach/thread_policy.h`), and how many words that takes.
pub mod policy {
    /// No words: `THREAD_STANDARD_POLICY`, which is timesharing. One: `THREAD_EXTENDED_POLICY`, 0 takes the thread out of
    /// timesharing.
    pub const STANDARD: u32 = 1;
    /// Period, computation and constraint in ns, and whether it may be preempted.
    pub const TIME_CONSTRAINT: u32 = 2;
    /// How much above, or below, the ordinary priority, as an `i32`.
    pub const PRECEDENCE: u32 = 3;
    /// A number; threads of a task that have the same one run on the same CPU, if they can. 0: none.
    pub const AFFINITY: u32 = 4;
    /// [`DARWIN_BACKGROUND`], or 0.
    pub const BACKGROUND: u32 = 5;
    /// Not supported.
    pub const LATENCY_QOS: u32 = 7;
    /// Not supported.
    pub const THROUGHPUT_QOS: u32 = 8;

    /// Into the background.
    pub const DARWIN_BACKGROUND: u32 = 0x1000;
    /// The least and the most ns that a period's computation may take.
    pub const COMPUTATION: core::ops::RangeInclusive<u32> = 50_000..=50_000_000;
}

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
