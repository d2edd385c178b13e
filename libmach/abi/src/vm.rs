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
    /// To `lock_request`: what is locked stays as it is.
    pub const NO_CHANGE: u32 = 8;
    /// To `vm_protect`: writing may be granted beyond the maximum, to a private copy.
    pub const COPY: u32 = 0x10;
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

/// How copies of a memory object's memory are made (`memory_object_copy_strategy_t`).
pub mod copy_strategy {
    /// At once: all pages are asked for when the copy is made.
    pub const NONE: u32 = 0;
    /// The pager is asked. Not supported.
    pub const CALL: u32 = 1;
    /// As pages are written: the copy keeps what is there before.
    pub const DELAY: u32 = 2;
    /// As pages are written; what was written need not come back to the pager.
    pub const TEMPORARY: u32 = 3;
    /// As pages of either side are written: anonymous memory only, no pager may ask for it.
    pub const SYMMETRIC: u32 = 4;
}

/// Which pages `lock_request` returns (`memory_object_return_t`).
pub mod returns {
    /// None.
    pub const NONE: u32 = 0;
    /// Those that were written.
    pub const DIRTY: u32 = 1;
    /// Those, and the precious ones.
    pub const ALL: u32 = 2;
}

/// Bytes of a large page.
pub const LARGE_PAGE_SIZE: u64 = 2 << 20;

/// Flags of `vm_allocate`.
pub mod flags {
    /// At exactly this address, or not at all.
    pub const FIXED: u64 = 0;
    /// Anywhere at or above the address.
    pub const ANYWHERE: u64 = 1;
    /// By large pages, of whatever size the kernel has; as many as hold the size.
    pub const SUPERPAGE_SIZE_ANY: u64 = 1 << 16;
    /// By pages of [`LARGE_PAGE_SIZE`](super::LARGE_PAGE_SIZE): the size, and an address that is to be exact, are multiples of it.
    pub const SUPERPAGE_SIZE_2MB: u64 = 2 << 16;
    /// Where the size of pages lies.
    pub const SUPERPAGE_MASK: u64 = 7 << 16;
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
    /// Where the size of pages lies (3 bits), as in [`SUPERPAGE_MASK`](super::flags::SUPERPAGE_MASK).
    pub const SUPERPAGE_SHIFT: u32 = 28;
}

/// Flavours of `vm_region`, each with the words that it has.
pub mod region {
    /// `vm_region_basic_info_64`.
    pub const BASIC_INFO_64: u32 = 9;
    /// See [`BASIC_INFO_64`].
    pub const BASIC_INFO_64_COUNT: u32 = 9;
    /// `vm_region_extended_info`.
    pub const EXTENDED_INFO: u32 = 13;
    /// See [`EXTENDED_INFO`].
    pub const EXTENDED_INFO_COUNT: u32 = 9;
    /// `vm_region_top_info`.
    pub const TOP_INFO: u32 = 12;
    /// See [`TOP_INFO`].
    pub const TOP_INFO_COUNT: u32 = 5;
    /// Of `vm_region_submap_info_64`, which `vm_region_recurse` gives.
    pub const SUBMAP_INFO_64_COUNT: u32 = 19;

    /// Who sees a region's memory.
    pub mod share_mode {
        /// It is copied at the next write.
        pub const COPY_ON_WRITE: u32 = 1;
        /// One task.
        pub const PRIVATE: u32 = 2;
        /// Nobody touched it.
        pub const EMPTY: u32 = 3;
        /// Several mappings.
        pub const SHARED: u32 = 4;
    }
}

/// `vm_behavior_t`.
pub mod behavior {
    /// No order is known.
    pub const DEFAULT: u32 = 0;
    /// In no order.
    pub const RANDOM: u32 = 1;
    /// Upwards.
    pub const SEQUENTIAL: u32 = 2;
    /// Downwards.
    pub const REVERSE_SEQUENTIAL: u32 = 3;
    /// Soon.
    pub const WILL_NEED: u32 = 4;
    /// Not soon.
    pub const DONT_NEED: u32 = 5;
    /// Its contents may be lost.
    pub const FREE: u32 = 6;
    /// Its contents are to be zeros.
    pub const ZERO: u32 = 7;
}

/// `vm_sync_t`.
pub mod sync {
    /// Do not wait.
    pub const ASYNCHRONOUS: u32 = 1;
    /// Wait until it is written.
    pub const SYNCHRONOUS: u32 = 2;
    /// Drop pages that are not written.
    pub const INVALIDATE: u32 = 4;
    /// Drop pages, written or not: what was not written back is lost. All of it must be writable.
    pub const KILL_PAGES: u32 = 8;
    /// Let pages go before others when memory is short.
    pub const DEACTIVATE: u32 = 0x10;
    /// A hole is an error.
    pub const CONTIGUOUS: u32 = 0x20;
}

/// `vm_machine_attribute_t` and its values.
pub mod attribute {
    /// Caching.
    pub const CACHE: u32 = 1;
    /// May move to another processor's memory.
    pub const MIGRATE: u32 = 2;
    /// May have copies.
    pub const REPLICATE: u32 = 4;
    /// To [`CACHE`]: write all caches back and empty them.
    pub const FLUSH: i32 = 6;
    /// To [`CACHE`]: empty the data cache, which is coherent.
    pub const DATA_FLUSH: i32 = 7;
    /// To [`CACHE`]: empty the instruction cache, which is coherent.
    pub const INSTRUCTION_FLUSH: i32 = 8;
    /// To [`CACHE`]: make instructions see what was written, which they do.
    pub const SYNC: i32 = 9;
}

/// What `vm_page_query` says of a page.
pub mod disposition {
    /// It is in memory.
    pub const PRESENT: u32 = 1;
    /// It was used lately, as far as is known.
    pub const REFERENCED: u32 = 4;
    /// What it holds is nowhere else.
    pub const DIRTY: u32 = 8;
    /// It was put away, and comes back when it is used.
    pub const PAGED_OUT: u32 = 0x10;
    /// It was copied from another object, or will be.
    pub const COPIED: u32 = 0x20;
}

/// Flags beside the protections of `make_entry`.
pub mod entry {
    /// The entry is a new, empty object of its own: no parent limits what it gives.
    pub const NAMED_CREATE: u32 = 0x2_0000;
    /// Protections beyond the parent's are left out instead of refused.
    pub const MASK_PERMISSIONS: u32 = 0x4_0000;
    /// If the parent entry is just what would be made, the answer is that one.
    pub const NAMED_REUSE: u32 = 0x10_0000;
    /// The entry is a copy as of now of memory that can be read, and gives what was asked for. It has no parts.
    pub const COPY: u32 = 0x20_0000;
    /// The entry is shared.
    pub const SHARE: u32 = 0x40_0000;
    /// All of them.
    pub const ALL: u32 = NAMED_CREATE | MASK_PERMISSIONS | NAMED_REUSE | COPY | SHARE;
}
