//! Memory objects: memory whose pages a task, its *pager*, supplies.
//!
//! A memory object is a port of the pager's. Whoever has a send right to it can map it with `vm_map`. The kernel speaks
//! to the pager by [`MemoryObject`], without waiting; the pager answers by [`MemoryControl`], whose calls never
//! wait either. The protocol is that of GNU Mach and OSF Mach; what they send to a reply port of the pager's
//! (`supply_completed`, `lock_completed`, `change_completed`) is here the call's own answer, which comes after all
//! messages that the call caused.

use abi::transport::Untyped;
use macros::{Wire, interface};

/// What a pager decides of its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Attributes {
    /// 1: pages stay when nobody maps the object any more.
    pub may_cache: u32,
    /// How copies are made, of `abi::vm::copy_strategy`.
    pub copy_strategy: u32,
}

/// How far a supply came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Supplied {
    /// A `KernReturn`: `Success`; `MemoryPresent`: a page was there already; `ResourceShortage`: the
    /// pager's ledger is full.
    pub result: u32,
    /// The first page that was not taken, in bytes from the object's beginning.
    pub error_offset: u64,
}

/// What a memory object is told. Offsets are bytes from its beginning, sizes are of whole pages.
#[interface(name = "org.mello.memory-object", subsystem = 2200)]
pub trait MemoryObject {
    /// Somebody maps the object. Nothing is asked until the pager has set its attributes.
    #[oneway]
    async fn init(
        &mut self,
        control: SendRight<dyn MemoryControl>,
        name: SendRight<Untyped>,
        page_size: u64,
    );
    /// Nobody maps it any more: no further call comes by these ports. The next mapping begins anew.
    #[oneway]
    async fn terminate(
        &mut self,
        control: ReceiveRight<dyn MemoryControl>,
        name: ReceiveRight<Untyped>,
    );
    /// Somebody needs a page, for an access of `abi::vm::protection`.
    #[oneway]
    async fn data_request(&mut self, offset: u64, length: u64, access: u32);
    /// Somebody needs an access that the page's lock forbids.
    #[oneway]
    async fn data_unlock(&mut self, offset: u64, length: u64, access: u32);
    /// Pages that the pager asked back, or that leave memory: up to 64. `dirty` 1: they were written; 0: they are precious.
    /// `kernel_copy` 1: they also stay, and are clean now.
    #[oneway]
    async fn data_return(&mut self, offset: u64, data: Memory, dirty: u32, kernel_copy: u32);
    /// To the default pager: nobody will ask for these pages any more.
    #[oneway]
    async fn discard_request(&mut self, offset: u64, size: u64);
}

/// What a pager says of its object.
#[interface(name = "org.mello.memory-control", subsystem = 2220)]
pub trait MemoryControl {
    /// Says how the object is to be treated. The first time it says also that the pager is ready.
    async fn set_attributes(&mut self, attributes: Attributes) -> Result<()>;
    /// Whether the pager is ready (1), and what it said last.
    async fn attributes(&self) -> Result<(u32, Attributes)>;
    /// Supplies pages, 64 at the most, asked for or not. `lock` are the accesses that need the pager's leave first;
    /// `precious` 1: the pages are to come back even if nobody wrote them.
    async fn data_supply(
        &mut self,
        offset: u64,
        data: Memory,
        lock: u32,
        precious: u32,
    ) -> Result<Supplied>;
    /// Pages that were asked for, in this range, are zero.
    async fn data_unavailable(&mut self, offset: u64, size: u64) -> Result<()>;
    /// Pages that were asked for, in this range, cannot be had: who needs them gets `MemoryError`.
    async fn data_error(&mut self, offset: u64, size: u64, code: u32) -> Result<()>;
    /// Gives the object up: what is missing stays missing, and the next mapping of the port begins anew.
    async fn destroy(&mut self, reason: u32) -> Result<()>;
    /// Cleans, flushes, locks pages that are in memory. `should_return` says which ones come back by `data_return`
    /// (`abi::vm::returns`); `flush` 1: all of them leave memory, and what is not returned is lost; `lock` are the accesses
    /// that need the pager's leave from now on, or `protection::NO_CHANGE`. Who waits for an access that is not locked
    /// any more goes on. The answer comes after all `data_return`s; `ResourceShortage`: the pager's ledger is full, and the
    /// rest is as it was.
    async fn lock_request(
        &mut self,
        offset: u64,
        size: u64,
        should_return: u32,
        flush: u32,
        lock: u32,
    ) -> Result<()>;
}
