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
    /// How late the thread may wake from a sleep: a tier ([`tier`]), or 0 for not at all.
    pub const LATENCY_QOS: u32 = 7;
    /// How much the thread is to get done: a tier, or 0. Nothing depends on it here: no processor runs slower than it can.
    pub const THROUGHPUT_QOS: u32 = 8;

    /// Tiers of quality, from 0, the best, to this one.
    pub const LAST_TIER: u32 = 5;

    /// The word that a tier is.
    pub const fn tier(tier: u32) -> u32 {
        0xff << 16 | (tier + 1)
    }

    /// How late a sleep of a tier may end, in ns: it ends at a multiple of this, with others.
    pub const LATENESS: [u64; LAST_TIER as usize + 1] = [
        1_000_000,
        5_000_000,
        20_000_000,
        75_000_000,
        1_000_000_000,
        1_000_000_000,
    ];

    /// Into the background.
    pub const DARWIN_BACKGROUND: u32 = 0x1000;
    /// The least and the most ns that a period's computation may take.
    pub const COMPUTATION: core::ops::RangeInclusive<u32> = 50_000..=50_000_000;
}

/// What Mach's basic information of tasks and threads says in numbers.
pub mod basic {
    /// The policy of who shares time.
    pub const TIMESHARE: u32 = 1;
    /// The policy of who does not.
    pub const ROUND_ROBIN: u32 = 2;
}

/// Flavors of `task_info` (XNU `mach/task_info.h`). Sizes are in bytes, times in seconds and microseconds. Resident is what
/// the task's account pays for and is in memory; time in the kernel counts as the program's.
pub mod info {
    /// Suspensions, mapped and resident sizes, user and system time of threads that have ended, policy.
    pub const BASIC: u32 = 4;
    /// Words of it.
    pub const BASIC_COUNT: u32 = 8;
    /// The same with sizes of two words.
    pub const BASIC_64: u32 = 5;
    /// Words of it.
    pub const BASIC_64_COUNT: u32 = 10;
    /// Faults, pages asked of pagers, pages copied; messages sent and received, traps, other system calls, switches to
    /// its threads. Messages that go straight to a waiting receiver, calls of the kernel's own ports and traps that are over in
    /// a few steps are not among them, nor are switches by which a message brought the CPU along: to count those
    /// for each task costs more than it tells. The host counts them all.
    pub const EVENTS: u32 = 2;
    /// Words of it.
    pub const EVENTS_COUNT: u32 = 8;
    /// User and system time of threads that live.
    pub const THREAD_TIMES: u32 = 3;
    /// Words of it.
    pub const THREAD_TIMES_COUNT: u32 = 4;
    /// The identity token.
    pub const SECURITY_TOKEN: u32 = 13;
    /// Words of it.
    pub const SECURITY_TOKEN_COUNT: u32 = 2;
    /// The identity token, then zeros.
    pub const AUDIT_TOKEN: u32 = 15;
    /// Words of it.
    pub const AUDIT_TOKEN_COUNT: u32 = 8;
    /// Mapped size, regions, bytes of a page; then sizes, each with its peak, which is not kept and told as it is now:
    /// resident, of devices, without pager, with pager, reusable; purgeable ones (three), compressed ones (three).
    pub const VM_INFO: u32 = 22;
    /// Words of it.
    pub const VM_INFO_COUNT: u32 = 36;
}

/// Flavors of `thread_info` (XNU `mach/thread_info.h`).
pub mod thread_info {
    /// User and system time, usage of a processor since its birth in 1/[`USAGE_SCALE`], policy, state, flags, suspensions,
    /// seconds asleep, which is 0 here as in XNU: nobody notes when a wait begins.
    pub const BASIC: u32 = 3;
    /// Words of it.
    pub const BASIC_COUNT: u32 = 10;
    /// What is unique to it, its handle, its queue's address: two words each, of which only the first is known.
    pub const IDENTIFIER: u32 = 4;
    /// Words of it.
    pub const IDENTIFIER_COUNT: u32 = 6;
    /// User and system time in ns, two words each; usage, policy, state, flags, seconds asleep; priorities: now, its own,
    /// the most it may have; [`NAME`] bytes of its name.
    pub const EXTENDED: u32 = 5;
    /// Words of it.
    pub const EXTENDED_COUNT: u32 = 28;
    /// Bytes of a name.
    pub const NAME: usize = 64;
    /// A usage of all of a processor.
    pub const USAGE_SCALE: u32 = 1000;
    /// State: it runs or could run.
    pub const RUNNING: u32 = 1;
    /// State: it is suspended.
    pub const STOPPED: u32 = 2;
    /// State: it waits.
    pub const WAITING: u32 = 3;
    /// State: it waits, and nothing but what it waits for ends that. No thread does: every wait can be ended.
    pub const UNINTERRUPTIBLE: u32 = 4;
}

/// Ports that a task's control port keeps for it (XNU `mach/task_special_ports.h`).
pub mod special {
    /// The task's own port, unless another one was set in its place.
    pub const KERNEL: u32 = 1;
    /// The host's, unless another one was set in its place.
    pub const HOST: u32 = 2;
    /// Not supported: a right that only names the task.
    pub const NAME: u32 = 3;
    /// The name service's.
    pub const BOOTSTRAP: u32 = 4;
    /// Not supported: a right to look at the task from outside.
    pub const INSPECT: u32 = 5;
    /// Not supported: a right to look at all of the task.
    pub const READ: u32 = 6;

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
