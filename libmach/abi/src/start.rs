//! The start page: what a new task finds, read-only, at [`ADDRESS`]; `rdi` of its first thread too.

/// Where the start page lies in every task.
pub const ADDRESS: u64 = 0x7fff_ffff_0000;

/// `MELLOTSK` in ASCII, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"MELLOTSK");

/// Identity token of the first task.
pub const FIRST_IDENTITY: u64 = 1;

/// Bytes of a right's name on the start page.
pub const NAME_SIZE: usize = 40;
/// The most rights that a start page names.
pub const MAX_RIGHTS: usize = 32;
/// Bytes of arguments and environment together.
pub const STRINGS_SIZE: usize = 4096 - 40 - MAX_RIGHTS * 48;

/// A right that the task holds from its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Right {
    /// What the manifest calls it, UTF-8, zero-padded.
    pub name: [u8; NAME_SIZE],
    /// The port name.
    pub port: u32,
    /// Reserved, 0.
    pub reserved: u32,
}

impl Right {
    /// No right.
    pub const EMPTY: Self = Self {
        name: [0; NAME_SIZE],
        port: 0,
        reserved: 0,
    };
}

/// The whole page.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Page {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`ABI_VERSION`](crate::ABI_VERSION).
    pub version: u32,
    /// How many of the rights count.
    pub right_count: u32,
    /// How many arguments the strings begin with.
    pub argument_count: u32,
    /// How many `KEY=VALUE` strings follow them.
    pub environment_count: u32,
    /// Bytes of strings that count.
    pub strings_size: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// The task's identity token.
    pub identity: u64,
    /// The rights.
    pub rights: [Right; MAX_RIGHTS],
    /// Arguments, then environment, each ended by a NUL.
    pub strings: [u8; STRINGS_SIZE],
}

const _: () = assert!(size_of::<Page>() == 4096);

/// Names of rights that the kernel itself puts on the first task's start page.
pub mod names {
    /// Control port of the task itself.
    pub const TASK: &str = "task";
    /// The privileged host port.
    pub const HOST_PRIVILEGED: &str = "host-privileged";
    /// Maker of I/O-port ranges.
    pub const IO_ROOT: &str = "io-root";
    /// Maker of interrupt rights.
    pub const INTERRUPT_ROOT: &str = "interrupt-root";
    /// Maker of memory entries over device memory.
    pub const MEMORY_ROOT: &str = "memory-root";
    /// The boot archive, a memory entry.
    pub const ARCHIVE: &str = "archive";
    /// Send right to the name service (every other task).
    pub const BOOTSTRAP: &str = "bootstrap";
}
