//! Special ports of the host (XNU `mach/host_special_ports.h`).

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
