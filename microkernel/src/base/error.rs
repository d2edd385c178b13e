//! Errors inside the kernel.
//!
//! Layers answer with Mach's own codes: they are what the caller finally sees, and their texts in
//! [`abi::kern_return`] say whose fault each is.

use abi::kern_return::KernReturn;

/// What an operation that a user asked for answers.
pub type KernResult<T> = Result<T, KernReturn>;

/// A ledger, an arena or the machine's memory is used up. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortage;

impl From<Shortage> for KernReturn {
    fn from(_: Shortage) -> Self {
        Self::ResourceShortage
    }
}

impl From<arena::Full> for Shortage {
    fn from(_: arena::Full) -> Self {
        Self
    }
}
