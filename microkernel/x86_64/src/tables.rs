//! Page tables: four levels of 512 entries, as words of physical memory.
//!
//! A root is the physical address of a top-level table. The upper half of every root holds the same
//! entries, which never change after boot. The lower half is the task's own; its tables stay until the
//! space is destroyed, even when they are empty: freeing them earlier would cost each unmapping a
//! search, and what they take is reported by [`Tables::count`] and charged to the task.
//!
//! How many tables a root has is kept in one of its own unused entries ([`COUNT_SLOT`]), not present for
//! the hardware.
//!
//! Deliberately absent: flushing. Whoever changes a mapping knows which CPUs may remember the old one.

use core::ops::Range;

use abi::vm::protection;
use microkernel::machine::Caching;

use crate::layout::PAGE;
use crate::physical::Physical;

/// Bits of an entry.
pub mod flags {
    /// The entry counts.
    pub const PRESENT: u64 = 1;
    /// Writing is allowed.
    pub const WRITE: u64 = 1 << 1;
    /// User mode may use it.
    pub const USER: u64 = 1 << 2;
    /// Write-through; with [`NO_CACHE`]: uncached, whatever the MTRRs say.
    pub const WRITE_THROUGH: u64 = 1 << 3;
    /// Not cached.
    pub const NO_CACHE: u64 = 1 << 4;
    /// The entry maps a large page.
    pub const LARGE: u64 = 1 << 7;
    /// The same in every address space.
    pub const GLOBAL: u64 = 1 << 8;
    /// Instructions are not fetched from here.
    pub const NO_EXECUTE: u64 = 1 << 63;
    /// The bits that are an address.
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

    /// Device registers of the kernel.
    pub const DEVICE: u64 = DATA | WRITE_THROUGH | NO_CACHE;
    /// Writable memory of the kernel.
    pub const DATA: u64 = PRESENT | WRITE | GLOBAL | NO_EXECUTE;
    /// Constant memory of the kernel.
    pub const CONSTANT: u64 = PRESENT | GLOBAL | NO_EXECUTE;
    /// Code of the kernel.
    pub const CODE: u64 = PRESENT | GLOBAL;
    /// What an entry that points to a table carries; the leaf restricts.
    pub const TABLE: u64 = PRESENT | WRITE;
}

/// The entry of a root whose address bits count the root's tables. It lies in the upper half, between
/// the ranges of [`layout`](crate::layout).
pub const COUNT_SLOT: u64 = 480;
/// The first entry of the upper half.
const UPPER: u64 = 256;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// How many entries [`Tables::destroy_step`] looks at. More than on any way to a table of the last level, so that each
/// step frees one.
const STEP: u32 = 3072;
const _: () = assert!(STEP as u64 > UPPER + 2 * ENTRIES);
/// As how many of them a table counts that is freed: a step frees 64 at the most.
const RELEASE: u32 = STEP / 64;
/// The level whose entries map pages of 4 KiB.
const LEAF: u32 = 1;
/// The level whose entries may map pages of 2 MiB.
const LARGE: u32 = 2;
const TOP: u32 = 4;

/// No page for a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoTable;

/// Where the pages of tables come from and go to.
pub trait TablePages {
    /// A page, its content undefined.
    fn allocate(&mut self) -> Option<u64>;
    /// Takes a page back; some CPU may still walk it.
    fn release(&mut self, page: u64);
}

/// A page's entry for a user mapping; `None` when the protection allows nothing.
pub fn user_entry(page: u64, rights: u32, caching: Caching) -> Option<u64> {
    if rights & protection::ALL == 0 {
        return None;
    }
    let mut entry = page & flags::ADDRESS | flags::PRESENT | flags::USER;
    if rights & protection::WRITE != 0 {
        entry |= flags::WRITE;
    }
    if rights & protection::EXECUTE == 0 {
        entry |= flags::NO_EXECUTE;
    }
    if caching == Caching::Uncached {
        entry |= flags::NO_CACHE | flags::WRITE_THROUGH;
    }
    Some(entry)
}

fn index(address: u64, level: u32) -> u64 {
    address >> (12 + 9 * (level - 1)) & 511
}

/// Page tables, and the memory that they lie in.
pub struct Tables<'a, M: Physical> {
    memory: &'a mut M,
}

impl<'a, M: Physical> Tables<'a, M> {
    /// The tables in this memory.
    pub fn new(memory: &'a mut M) -> Self {
        Self { memory }
    }

    /// A root with nothing in it but what `template`'s upper half has.
    ///
    /// # Errors
    /// [`NoTable`]: nothing changed.
    pub fn create(&mut self, template: u64, pages: &mut impl TablePages) -> Result<u64, NoTable> {
        let root = pages.allocate().ok_or(NoTable)?;
        self.memory.clear_page(root);
        for slot in UPPER..512 {
            let entry = self.memory.load(template + slot * 8);
            if entry & flags::PRESENT != 0 {
                self.memory.store(root + slot * 8, entry);
            }
        }
        self.memory.store(root + COUNT_SLOT * 8, PAGE);
        Ok(root)
    }

    /// How many pages the tables of a root take, itself included.
    pub fn count(&self, root: u64) -> u64 {
        self.memory.load(root + COUNT_SLOT * 8) / PAGE
    }

    /// Makes the table below a top-level entry of the upper half, before any root is made from this one.
    ///
    /// # Errors
    /// [`NoTable`]: nothing changed.
    pub fn share(
        &mut self,
        root: u64,
        address: u64,
        pages: &mut impl TablePages,
    ) -> Result<(), NoTable> {
        self.table(root, address, TOP - 1, pages).map(|_| ())
    }

    /// Writes the entry of a page of 4 KiB; answers what was there.
    ///
    /// # Errors
    /// [`NoTable`]: the mapping is unchanged; tables that were made stay, empty.
    pub fn map(
        &mut self,
        root: u64,
        address: u64,
        entry: u64,
        pages: &mut impl TablePages,
    ) -> Result<u64, NoTable> {
        let table = self.table(root, address, LEAF, pages)?;
        let slot = table + index(address, LEAF) * 8;
        let old = self.memory.load(slot);
        self.memory.store(slot, entry);
        Ok(old)
    }

    /// Writes the entry of a page of 2 MiB.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_large(
        &mut self,
        root: u64,
        address: u64,
        entry: u64,
        pages: &mut impl TablePages,
    ) -> Result<(), NoTable> {
        let table = self.table(root, address, LARGE, pages)?;
        self.memory
            .store(table + index(address, LARGE) * 8, entry | flags::LARGE);
        Ok(())
    }

    /// The entry that maps an address, 4 KiB or large, if one does.
    pub fn entry(&self, root: u64, address: u64) -> Option<u64> {
        let mut table = root;
        for level in (LEAF..=TOP).rev() {
            let entry = self.memory.load(table + index(address, level) * 8);
            if entry & flags::PRESENT == 0 {
                return None;
            }
            if level == LEAF || entry & flags::LARGE != 0 {
                return Some(entry);
            }
            table = entry & flags::ADDRESS;
        }
        None
    }

    /// Removes the mappings of a range.
    pub fn unmap(&mut self, root: u64, range: Range<u64>) {
        self.change(root, range, |_| 0);
    }

    /// Takes rights away from the mappings of a range.
    pub fn protect(&mut self, root: u64, range: Range<u64>, rights: u32) {
        self.change(root, range, |old| {
            match user_entry(0, rights, Caching::WriteBack) {
                None => 0,
                Some(new) => old & (new | !flags::WRITE) | new & flags::NO_EXECUTE,
            }
        });
    }

    /// Frees tables of the lower half, as many as a step finds; then the root itself. `true` when the root is gone.
    pub fn destroy_step(&mut self, root: u64, pages: &mut impl TablePages) -> bool {
        let mut left = STEP;
        let gone = self.free_below((root, TOP), 0..UPPER, &mut left, pages);
        if gone {
            pages.release(root);
        }
        gone
    }

    /// Frees what the slots of a table of this level lead to; `false` when the step is used up.
    fn free_below(
        &mut self,
        (table, level): (u64, u32),
        slots: Range<u64>,
        left: &mut u32,
        pages: &mut impl TablePages,
    ) -> bool {
        for slot in slots {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            let entry = self.memory.load(table + slot * 8);
            if entry & flags::PRESENT == 0 {
                continue;
            }
            let below = (entry & flags::ADDRESS, level - 1);
            if below.1 > LEAF && !self.free_below(below, 0..ENTRIES, left, pages) {
                return false;
            }
            self.memory.store(table + slot * 8, 0);
            pages.release(below.0);
            *left = left.saturating_sub(RELEASE);
        }
        true
    }

    fn change(&mut self, root: u64, range: Range<u64>, new: impl Fn(u64) -> u64) {
        let mut address = range.start;
        while address < range.end {
            let Some(table) = self.find(root, address) else {
                // Nothing is mapped up to the next table's range.
                address = (address | (PAGE * 512 - 1)) + 1;
                continue;
            };
            let slot = table + index(address, LEAF) * 8;
            let old = self.memory.load(slot);
            if old & flags::PRESENT != 0 {
                self.memory.store(slot, new(old));
            }
            address += PAGE;
        }
    }

    /// The lowest table on the way to an address, if it is there.
    fn find(&self, root: u64, address: u64) -> Option<u64> {
        let mut table = root;
        for level in (LEAF + 1..=TOP).rev() {
            let entry = self.memory.load(table + index(address, level) * 8);
            if entry & flags::PRESENT == 0 || entry & flags::LARGE != 0 {
                return None;
            }
            table = entry & flags::ADDRESS;
        }
        Some(table)
    }

    /// The table of a level on the way to an address; makes what is missing.
    fn table(
        &mut self,
        root: u64,
        address: u64,
        wanted: u32,
        pages: &mut impl TablePages,
    ) -> Result<u64, NoTable> {
        let mut table = root;
        let user = if index(address, TOP) < UPPER {
            flags::USER
        } else {
            0
        };
        for level in (wanted + 1..=TOP).rev() {
            let slot = table + index(address, level) * 8;
            let entry = self.memory.load(slot);
            table = if entry & flags::PRESENT != 0 {
                entry & flags::ADDRESS
            } else {
                let new = pages.allocate().ok_or(NoTable)?;
                self.memory.clear_page(new);
                self.memory.store(slot, new | flags::TABLE | user);
                let count = self.memory.load(root + COUNT_SLOT * 8);
                self.memory.store(root + COUNT_SLOT * 8, count + PAGE);
                new
            };
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests;
