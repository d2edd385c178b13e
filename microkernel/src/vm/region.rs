//! `vm_region`: what a map looks like.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::MAX_ADDRESS;

use super::entry::entry_from;
use super::{MapId, Vm};
use crate::base::KernResult;

/// Whose memory a region shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// Nobody touched it yet.
    Empty,
    /// This map's alone.
    Private,
    /// It will be copied at the next write.
    CopyOnWrite,
    /// Other maps see the same pages.
    Shared,
    /// Pages that exist by themselves: a device, the boot archive.
    Physical,
}

/// A region of a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegionInfo {
    /// Where it begins.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Of [`abi::vm::protection`].
    pub protection: u32,
    /// See [`protection`](Self::protection).
    pub maximum: u32,
    /// Of [`abi::vm::inherit`].
    pub inheritance: u32,
    /// Whose memory it is.
    pub sharing: Sharing,
    /// Whether a message buffer lies there.
    pub wired: bool,
    /// Pages of its own in memory; what shows through from a copied object does not count.
    pub resident: u64,
    /// Pages of its own that were put away.
    pub swapped: u64,
    /// How often its pages are wired.
    pub wires: u32,
    /// How it is used, of [`abi::vm::behavior`].
    pub behavior: u32,
    /// Where in its object it begins, in bytes.
    pub offset: u64,
    /// References to its object.
    pub references: u32,
    /// Objects behind its object.
    pub depth: u32,
    /// A pager supplies what is not there.
    pub paged: bool,
    /// A number that is the same for every region of the same object; 0 before the first touch.
    pub object: u64,
    /// Large pages may map it.
    pub large: bool,
}

impl Vm {
    /// The first region that ends above an address.
    ///
    /// # Errors
    /// `InvalidAddress`: there is none.
    pub fn region(&self, map: MapId, address: u64) -> KernResult<RegionInfo> {
        let here = self.map_ref(map)?;
        let id =
            entry_from(&here.entries, &self.entries, address).ok_or(KernReturn::InvalidAddress)?;
        let entry = self.entry(id);
        let (mut sharing, mut resident, mut swapped) = (Sharing::Empty, 0, 0);
        let (mut references, mut depth, mut paged) = (0, 0, false);
        if let Some(id) = entry.object {
            let object = self.object(id);
            sharing = if entry.needs_copy {
                Sharing::CopyOnWrite
            } else if object.shared {
                Sharing::Shared
            } else if object.is_private() {
                Sharing::Private
            } else {
                Sharing::Physical
            };
            (references, depth) = (object.references, self.chain(id));
            paged = self.paged_behind(id, entry.index).is_some();
            let end = entry.page_at(entry.end);
            swapped = self.stored_below(id, end) - self.stored_below(id, entry.index);
            resident = self.resident_below(id, end) - self.resident_below(id, entry.index);
            resident -= swapped;
        }
        Ok(RegionInfo {
            start: entry.start,
            size: entry.size() * PAGE_SIZE,
            protection: entry.attributes.protection,
            maximum: entry.attributes.maximum,
            inheritance: entry.attributes.inheritance,
            sharing,
            wired: entry.wired > 0,
            wires: entry.wires,
            behavior: entry.attributes.behavior,
            offset: entry.index * PAGE_SIZE,
            references,
            depth,
            paged,
            resident,
            swapped,
            object: entry.object.map_or(0, super::ObjectId::to_bits),
            large: entry.object.is_some_and(|object| self.is_large(object)),
        })
    }

    /// Bytes of a map that may be accessed in any way.
    ///
    /// # Errors
    /// `InvalidArgument`: there is no such map.
    pub fn virtual_size(&self, map: MapId) -> KernResult<u64> {
        self.usable_below(map, MAX_ADDRESS)
    }

    /// Pages that a map's tables take, and how many regions it has.
    pub fn map_size(&self, map: MapId) -> Option<(u64, u32)> {
        let map = self.maps.get(map)?;
        Some((map.tables, map.count))
    }
}
