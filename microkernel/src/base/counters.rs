//! Counters of what the kernel did since boot, for `host_statistics`, tests and the benchmark.

/// Counts since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Traps, of all numbers.
    pub traps: u64,
    /// Messages to the kernel's own ports.
    pub kernel_calls: u64,
    /// Messages that went straight to a waiting receiver.
    pub handoffs: u64,
    /// Messages that were queued.
    pub queued: u64,
    /// Page faults.
    pub faults: u64,
    /// Pages that were zero-filled for a fault.
    pub zero_filled: u64,
    /// Pages that were copied for a fault.
    pub copied: u64,
    /// Pages that pagers were asked for.
    pub paged_in: u64,
    /// Exceptions raised.
    pub exceptions: u64,
    /// Interrupts taken.
    pub interrupts: u64,
    /// Times that a CPU went on with another thread.
    pub switches: u64,
    /// Tasks created.
    pub tasks_created: u64,
    /// Tasks terminated.
    pub tasks_terminated: u64,
}
