//! The fields of a manifest.

use heapless::{LinearMap, String, Vec};
use serde::{Deserialize, Serialize};

/// The most bytes in the name of a server, driver or program.
pub const MAX_NAME: usize = 32;
/// The most bytes in the name of a service.
pub const MAX_SERVICE: usize = 64;
/// The most services that one manifest offers.
pub const MAX_SERVICES: usize = 8;
/// The most rights that one manifest asks for: the start page holds a few more, which `bootstrap`
/// gives to everybody.
pub const MAX_RIGHTS: usize = 24;
/// The most bytes in one argument.
pub const MAX_ARGUMENT: usize = 64;
/// The most arguments, the program's name not counted.
pub const MAX_ARGUMENTS: usize = 8;

/// The name of a server, driver or program: `[a-z][a-z0-9-]*`.
pub type Name = String<MAX_NAME>;
/// The name of a service, like `org.mello.echo`: names joined by dots.
pub type Service = String<MAX_SERVICE>;
/// What a right is called on the start page: `[a-z][a-z0-9-]*`.
pub type Label = String<MAX_NAME>;

/// Everything that a task is started with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name, which is also its folder's.
    pub name: Name,
    /// The services that it offers.
    #[serde(default)]
    pub services: Vec<Service, MAX_SERVICES>,
    /// When it is started.
    pub start: Start,
    /// What happens when it dies.
    #[serde(default)]
    pub restart: Restart,
    /// Its heartbeat's period in milliseconds; without one, silence is not taken for death. It is
    /// dead after twice the period.
    #[serde(default)]
    pub heartbeat: Option<u32>,
    /// Whether its memory may be writable and executable at once.
    #[serde(default)]
    pub jit: bool,
    /// Arguments after its name.
    #[serde(default)]
    pub args: Vec<String<MAX_ARGUMENT>, MAX_ARGUMENTS>,
    /// What its ledger allows.
    #[serde(default)]
    pub limits: Limits,
    /// The rights that it holds from its start, by the name that it finds them under.
    #[serde(default)]
    pub rights: LinearMap<Label, Right, MAX_RIGHTS>,
}

/// When a task is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// As the system comes up.
    Boot,
    /// When somebody sends the first message to one of its services.
    Demand,
    /// When somebody asks for it by name: programs.
    Request,
}

/// What happens when a task dies by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It starts again, with back-off.
    #[default]
    Always,
    /// It starts again unless it ended with status 0.
    OnFailure,
    /// It stays dead.
    Never,
}

/// One right that a task gets from its start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// A send right to a service.
    Service(Service),
    /// A range of I/O ports.
    IoPorts {
        /// The first port.
        first: u16,
        /// How many.
        count: u16,
    },
    /// An interrupt.
    Interrupt {
        /// The global interrupt number (GSI; 0 to 15 are the ISA lines).
        line: u32,
    },
    /// A window of device memory.
    Memory {
        /// Physical address, a multiple of the page size.
        address: u64,
        /// Bytes, a multiple of the page size.
        size: u64,
    },
    /// A buffer that devices may read and write, physically contiguous.
    Dma {
        /// Bytes, a multiple of the page size.
        size: u64,
    },
    /// One of the rights that the kernel gave to the first task.
    Root(Root),
}

/// Rights that the kernel gives to the first task (`abi::start::names`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// The privileged host port.
    HostPrivileged,
    /// Maker of I/O-port ranges.
    IoRoot,
    /// Maker of interrupt rights.
    InterruptRoot,
    /// Maker of memory entries over device memory.
    MemoryRoot,
    /// The boot archive.
    Archive,
}

/// What a task's ledger allows; the defaults suit a small server. All of it is set aside when the task
/// is made, so that a large limit is taken from everybody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Port names.
    pub names: u32,
    /// Queued messages.
    pub messages: u32,
    /// Kernel memory in bytes.
    pub kernel_memory: u64,
    /// Pages of memory.
    pub pages: u32,
    /// Threads.
    pub threads: u32,
    /// The highest priority of its threads, 1 to 127; they begin at 31 at the most.
    pub priority: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: 4096,
            messages: 1024,
            kernel_memory: 1 << 20,
            pages: 1024,
            threads: 16,
            priority: 31,
        }
    }
}
