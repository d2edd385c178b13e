//! I/O ports of the machine. Reading and writing are traps (`abi::trap::IO_READ`) on a range.

use macros::interface;

/// The one root, which bootstrap holds.
#[interface(name = "org.mello.io-root", subsystem = 3800)]
pub trait IoRoot {
    /// A right to `count` I/O ports from `first` on; it is revoked when its receiver dies.
    async fn range(&mut self, first: u16, count: u16) -> Result<SendRight<dyn IoRange>>;
}

/// A range of I/O ports.
#[interface(name = "org.mello.io-range", subsystem = 3805)]
pub trait IoRange {
    /// First port and how many.
    async fn bounds(&self) -> Result<(u16, u16)>;
}
