//! The memory calls of a task's control port that have no trap: Mach's `mach_vm` subsystem.
//!
//! They go to the same port as [`crate::task`]'s, which also has the plain ones (allocate, deallocate, protect, map
//! at an address). Ranges are of whole pages where protections, regions and wiring are meant, of bytes where
//! contents are. Long calls run in steps: other threads see each page as it was before or as it is after.

use abi::transport::Untyped;
use macros::{Wire, interface};

use crate::bounded::List;
use crate::memory::Entry;
use crate::task::Task;

/// Where memory is to be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Place {
    /// At this address, or from it on.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// Bits that the address must not have.
    pub mask: u64,
}

/// A region, and what a flavour says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Region {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// As Mach lays the flavour's structure out, in words of 32 bits.
    pub info: List<u32, 20>,
}

/// Where a mapping came to lie, and what may be done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Remapped {
    /// Its address.
    pub address: u64,
    /// Its current protection: the least of what the source's regions have.
    pub protection: u32,
    /// Its maximum protection.
    pub maximum: u32,
}

/// Memory in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Statistics {
    /// Bytes of a page.
    pub page_size: u64,
    /// Free pages of the machine.
    pub free: u64,
    /// Pages that this task's account pays for.
    pub charged: u64,
    /// Pages of them that are page tables.
    pub tables: u64,
    /// Regions of the task.
    pub regions: u64,
    /// Large pages that the task's tables map by one entry each.
    pub large: u64,
}

/// Operations on a task's memory.
#[interface(name = "org.mello.vm", subsystem = 4800)]
pub trait Vm {
    /// A copy of up to 1 GiB of the task's memory. `InvalidAddress`: a hole. `ProtectionFailure`: not readable.
    async fn read(&mut self, address: u64, size: u64) -> Result<Memory>;
    /// Writes into the task's memory. `InvalidAddress`: a hole. `ProtectionFailure`: not writable. Nothing is written
    /// then, unless the memory changed during a write of more than 64 pages.
    async fn write(&mut self, address: u64, data: Memory) -> Result<()>;
    /// Copies within the task's memory; the two ranges may overlap. Errors as of `read` and `write`.
    async fn copy(&mut self, source: u64, size: u64, destination: u64) -> Result<()>;
    /// Copies the task's memory to the caller's, at `into`. Errors as of `read` and `write`.
    async fn read_overwrite(&mut self, address: u64, size: u64, into: u64) -> Result<u64>;
    /// What children get of a range, of `abi::vm::inherit`.
    async fn inherit(&mut self, address: u64, size: u64, inheritance: u32) -> Result<()>;
    /// Maps zero-filled memory; flags of `abi::vm::map_flags`.
    async fn map_anonymous(&mut self, place: Place, flags: u64) -> Result<u64>;
    /// Maps a memory entry from `offset` on.
    async fn map(
        &mut self,
        entry: SendRight<dyn Entry>,
        place: Place,
        offset: u64,
        flags: u64,
    ) -> Result<u64>;
    /// Maps memory of `source`, or with `COPY` a copy of it. `flags`: as of `map`, without protections.
    async fn remap(
        &mut self,
        source: SendRight<dyn Task>,
        place: Place,
        source_address: u64,
        flags: u64,
    ) -> Result<Remapped>;
    /// The first region at or above an address, by a flavour of `abi::vm::region`; `count` is how many words the
    /// caller has room for. `InvalidAddress`: there is none. `InvalidArgument`: fewer words than the flavour has.
    async fn region(&mut self, address: u64, flavor: u32, count: u32) -> Result<Region>;
    /// The same as `SUBMAP_INFO`. No map has submaps, so `depth` does not matter.
    async fn region_recurse(&mut self, address: u64, depth: u32, count: u32) -> Result<Region>;
    /// Makes the pages of a range resident for accesses of `access` and keeps them so, once more; with no access,
    /// once less (`InvalidArgument`: a page is not wired).
    async fn wire(&mut self, address: u64, size: u64, access: u32) -> Result<()>;
    /// How a range will be used, of `abi::vm::behavior`.
    async fn behavior_set(&mut self, address: u64, size: u64, behavior: u32) -> Result<()>;
    /// Writes a range back to who manages it, or lets pages of it go; flags of `abi::vm::sync`.
    async fn msync(&mut self, address: u64, size: u64, flags: u32) -> Result<()>;
    /// Flushes caches, of `abi::vm::attribute`; answers the attribute's value.
    async fn machine_attribute(
        &mut self,
        address: u64,
        size: u64,
        attribute: u32,
        value: i32,
    ) -> Result<i32>;
    /// Bits of `abi::vm::disposition` of a page, and how many refer to its object.
    async fn page_query(&mut self, address: u64) -> Result<(u32, u32)>;
    /// Memory in numbers.
    async fn statistics(&self) -> Result<Statistics>;
    /// A memory entry: `permission` is protections and flags of `abi::vm::entry`; answers its bytes, too. `parent`
    /// is an entry, of which the new one is a part from `offset` on, or the task's port: its memory at `offset`.
    async fn make_entry(
        &mut self,
        parent: SendRight<Untyped>,
        size: u64,
        offset: u64,
        permission: u32,
    ) -> Result<(u64, SendRight<dyn Entry>)>;
    /// The most bytes that the task may map with any access, now and at most. Raising the latter takes the
    /// privileged host port; without it, any right to send will do.
    async fn set_size_limit(
        &mut self,
        host: SendRight<Untyped>,
        current: u64,
        maximum: u64,
    ) -> Result<()>;
    /// The two limits.
    async fn size_limit(&self) -> Result<(u64, u64)>;
    /// A memory entry of a part of a memory object, or of another entry, that gives at most `maximum` of
    /// `abi::vm::protection`: what it is mapped with never exceeds that, whoever gets it (`memory_object_create_proxy`).
    /// The object stays as long as the entry.
    async fn create_proxy(
        &mut self,
        object: SendRight<Untyped>,
        offset: u64,
        size: u64,
        maximum: u32,
    ) -> Result<SendRight<dyn Entry>>;
}
