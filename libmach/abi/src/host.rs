//! Special ports of the host (XNU `mach/host_special_ports.h`), and what host, processors and their set tell by flavors
//! (`mach/host_info.h`, `mach/processor_info.h`). A flavor's words are counted by the constant behind it.

/// Which special port.
pub mod special {
    /// The host, as everybody may know it. The kernel's: not settable; so are the next two.
    pub const HOST: u32 = 1;
    /// The host, for those who may steer it.
    pub const HOST_PRIVILEGED: u32 = 2;
    /// Maker of I/O-port ranges.
    pub const IO_ROOT: u32 = 3;
    /// The last one that is the kernel's.
    pub const LAST_OF_KERNEL: u32 = 7;
    /// The last one: those in between are for servers, settable with the privileged port.
    pub const LAST: u32 = 39;
}

/// Flavors of `host_info`.
pub mod info {
    /// Most processors there can be, those there are, bytes of memory up to 2³² − 1, type, subtype and kind of threading
    /// of a processor, physical and logical processors (each now and at most), bytes of memory (two words).
    pub const BASIC: u32 = 1;
    /// Words of it.
    pub const BASIC_COUNT: u32 = 12;
    /// The shortest sleep and the length of a slice, in ms.
    pub const SCHED: u32 = 3;
    /// Words of it.
    pub const SCHED_COUNT: u32 = 2;
    /// Priorities: of the kernel, of system services, of servers, of programs, those depressed, the idle one, the least
    /// and the most that there are.
    pub const PRIORITY: u32 = 5;
    /// Words of it.
    pub const PRIORITY_COUNT: u32 = 8;
    /// `CPU_TYPE_X86_64`.
    pub const CPU_TYPE: u32 = 0x0100_0007;
    /// `CPU_SUBTYPE_X86_64_ALL`.
    pub const CPU_SUBTYPE: u32 = 3;
}

/// Flavors of `host_statistics64`.
pub mod statistics {
    /// Load averages over 5, 30 and 60 s, then Mach factors over the same, in units of 1/[`LOAD_SCALE`].
    pub const LOAD: u32 = 1;
    /// Words of it.
    pub const LOAD_COUNT: u32 = 6;
    /// `vm_statistics64` up to the speculative pages: pages that are free, used by tasks, idle and the kernel's own;
    /// counts since boot, two words each, of zero-filled pages, reactivations, pages asked of pagers, pages given to
    /// them, faults, copied pages, look-ups and hits of the object cache, and purges; pages that are purgeable, and
    /// speculative. A look-up is of a memory object that is mapped and that the kernel has already, a hit one that stayed without
    /// mappings. What is not counted is 0, the idle pages, and so is what there is none of: purges.
    pub const VM64: u32 = 4;
    /// Words of it.
    pub const VM64_COUNT: u32 = 24;
    /// All processors' times in user mode, in system mode, idle and at low priority, in ticks of [`TICK`] ns.
    pub const CPU_LOAD: u32 = 3;
    /// Words of it.
    pub const CPU_LOAD_COUNT: u32 = 4;
    /// A load of one thread that always runs.
    pub const LOAD_SCALE: u32 = 1000;
    /// A tick in ns: 10 ms.
    pub const TICK: u64 = 10_000_000;
}

/// Flavors of `processor_info`.
pub mod processor {
    /// Type, subtype, whether it runs, its number, whether the system started on it.
    pub const BASIC: u32 = 1;
    /// Words of it.
    pub const BASIC_COUNT: u32 = 5;
    /// As [`CPU_LOAD`](super::statistics::CPU_LOAD), of one processor.
    pub const CPU_LOAD: u32 = 2;
    /// Words of it.
    pub const CPU_LOAD_COUNT: u32 = 4;
}

/// Flavors of `processor_set_info` and `processor_set_statistics`.
pub mod processor_set {
    /// Information: how many processors, the policy of new threads.
    pub const BASIC: u32 = 5;
    /// Words of it.
    pub const BASIC_COUNT: u32 = 2;
    /// Statistics: tasks, threads, load average and Mach factor over 5 s.
    pub const LOAD: u32 = 4;
    /// Words of it.
    pub const LOAD_COUNT: u32 = 4;
}
