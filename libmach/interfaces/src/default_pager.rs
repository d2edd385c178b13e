//! The default pager: where anonymous memory goes when there is too little.

use macros::{Wire, interface};

/// What it keeps, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Statistics {
    /// Pages that it has room for.
    pub capacity: u64,
    /// Pages that it keeps now.
    pub pages: u64,
    /// Bytes that their contents take.
    pub bytes: u64,
    /// Pages that came since it started.
    pub kept: u64,
    /// Pages that were asked for since then.
    pub supplied: u64,
}

/// The pager of the kernel's store.
#[interface(name = "org.mello.pager", subsystem = 4680)]
pub trait DefaultPager {
    /// What it keeps.
    #[idempotent]
    async fn statistics(&self) -> Result<Statistics>;
}
