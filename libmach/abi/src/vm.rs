//! Addresses, protections and flags of virtual memory (XNU `mach/vm_*.h`).

/// The lowest address a task may map: page 0 stays empty.
pub const MIN_ADDRESS: u64 = 0x1000;
/// One past the highest address a task may map. The page below the non-canonical hole stays empty,
/// so that no `syscall` can return to a non-canonical address.
pub const MAX_ADDRESS: u64 = 0x7fff_ffff_f000;

/// `vm_prot_t`.
pub mod protection {
    /// Nothing.
    pub const NONE: u32 = 0;
    /// Reading.
    pub const READ: u32 = 1;
    /// Writing.
    pub const WRITE: u32 = 2;
    /// Fetching instructions.
    pub const EXECUTE: u32 = 4;
    /// All bits.
    pub const ALL: u32 = 7;
}

/// `vm_inherit_t`.
pub mod inherit {
    /// Parent and child share the memory.
    pub const SHARE: u32 = 0;
    /// The child gets a copy.
    pub const COPY: u32 = 1;
    /// The child gets nothing there.
    pub const NONE: u32 = 2;
}

/// Flags of `vm_allocate`.
pub mod flags {
    /// At exactly this address, or not at all.
    pub const FIXED: u64 = 0;
    /// Anywhere at or above the address.
    pub const ANYWHERE: u64 = 1;
}

/// The last argument of the `vm_map` trap: flags, protections and inheritance in one word.
pub mod map_flags {
    /// Anywhere at or above the address.
    pub const ANYWHERE: u64 = 1;
    /// A private copy, made as pages are written.
    pub const COPY: u64 = 2;
    /// Replace what is there.
    pub const OVERWRITE: u64 = 0x4000;
    /// Where the current protection lies (3 bits).
    pub const CURRENT_SHIFT: u32 = 16;
    /// Where the maximum protection lies (3 bits).
    pub const MAXIMUM_SHIFT: u32 = 20;
    /// Where the inheritance lies (2 bits).
    pub const INHERIT_SHIFT: u32 = 24;
}
