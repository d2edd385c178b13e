//! Page tables: four levels of 512 entries, as words of physical memory.
//!
//! A root is the physical address of a top-level table. The upper half of every root holds the same
//! entries, which never change after boot. The lower half is the task's own; its tables stay until the
//! space is destroyed, even when they are empty: freeing them earlier would cost each unmapping a
//! search, and what they take is reported by [`Tables::count`] and charged to the task.
//!
//! How many tables a root has is kept in one of its own unused entries ([`COUNT_SLOT`]), not present for
//! the hardware. So does the way to tables that were set aside (`ASIDE_SLOT`): they were cut off with all that they
//! mapped, and lie below a table of the same level as the root, at their old places, until they are freed in steps.
//!
//! A user's large page ([`Tables::map_splittable`]) is one entry of a directory. It comes with a *spare*: a table, empty and
//! counted like any other, that is linked to the root (`SPARE_SLOT`) until a part of the large page gets other rights, or goes. Then
//! the spare takes the entry's place. So no change of a part can fail, or has to wait for memory. Which spare that is does not
//! matter: no CPU has ever walked one.
//!
//! Invariant: there are as many spares as large pages below a root, with those that were set aside.
//!
//! Deliberately absent: flushing. Whoever changes a mapping knows which CPUs may remember the old one.

use core::ops::Range;

use abi::vm::protection;
use microkernel::machine::Caching;

use crate::layout::{LARGE_PAGE, PAGE};
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
/// The entry of a root whose address bits lead to the tables that were set aside last, and in there to those before.
const ASIDE_SLOT: u64 = 481;
/// The entry of a root whose address bits lead to its first spare; the first word of each leads to the next one.
const SPARE_SLOT: u64 = 482;
/// The entry of a root whose address bits count its spares.
const LARGE_SLOT: u64 = 483;
/// The first entry of the upper half.
const UPPER: u64 = 256;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// How many entries a step of freeing tables looks at. More than on any way to a table of the last level, so that each
/// step frees one. Each takes some 13 instructions.
const STEP: u32 = 2048;
const _: () = assert!(STEP as u64 > UPPER + 2 * ENTRIES);
/// As how many of them a table counts that is freed: a step frees 64 at the most.
const RELEASE: u32 = STEP / 64;
/// How many entries [`Tables::detach`] looks at: those of a table that is not of the last level count twice, as they may be
/// moved. That is all for a range of 50 MiB wherever it lies. Each takes some 10 instructions.
const LOOKS: u64 = 2 * ENTRIES + 64;
/// The level whose entries map pages of 4 KiB.
const LEAF: u32 = 1;
/// The level whose entries may map pages of 2 MiB.
const LARGE: u32 = 2;
const TOP: u32 = 4;

/// What a step of freeing tables works on.
struct Sweep {
    root: u64,
    /// Entries that it may still look at.
    left: u32,
    /// Tables freed.
    freed: u64,
}

impl Sweep {
    fn of(root: u64) -> Self {
        Self {
            root,
            left: STEP,
            freed: 0,
        }
    }
}

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

/// As how many looks those entries of one table of a level count that lie in a range.
fn looks(range: &Range<u64>, level: u32) -> u64 {
    let entries = index(range.end - 1, level) - index(range.start, level) + 1;
    if level == LEAF { entries } else { 2 * entries }
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
        let table = match self.find(root, address) {
            Some(table) => table,
            None => self.table(root, address, LEAF, pages)?,
        };
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

    /// Maps a page of 2 MiB of a user by one entry, in place of whatever is mapped there; whether a table was, or a large page.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_splittable(
        &mut self,
        root: u64,
        address: u64,
        entry: u64,
        pages: &mut impl TablePages,
    ) -> Result<bool, NoTable> {
        let directory = self.table(root, address, LARGE, pages)?;
        let slot = directory + index(address, LARGE) * 8;
        let old = self.memory.load(slot);
        if old & (flags::PRESENT | flags::LARGE) != flags::PRESENT | flags::LARGE {
            let spare = pages.allocate().ok_or(NoTable)?;
            self.memory.clear_page(spare);
            self.add_spare(root, spare);
            if old & flags::PRESENT == 0 {
                self.add_to_count(root, PAGE);
            } else {
                // Some CPU may still walk it: it is no spare.
                pages.release(old & flags::ADDRESS);
            }
        }
        self.memory.store(slot, entry | flags::LARGE);
        Ok(old & flags::PRESENT != 0)
    }

    /// How many large pages a root has, other than the kernel's.
    pub fn large_pages(&self, root: u64) -> u64 {
        self.memory.load(root + LARGE_SLOT * 8) / PAGE
    }

    fn add_spare(&mut self, root: u64, spare: u64) {
        let first = self.memory.load(root + SPARE_SLOT * 8);
        self.memory.store(spare, first);
        self.memory.store(root + SPARE_SLOT * 8, spare);
        let count = self.memory.load(root + LARGE_SLOT * 8);
        self.memory.store(root + LARGE_SLOT * 8, count + PAGE);
    }

    /// A table without entries, for a large page that is one no longer.
    fn take_spare(&mut self, root: u64) -> u64 {
        let spare = self.memory.load(root + SPARE_SLOT * 8);
        debug_assert!(spare != 0, "a large page without a spare");
        let next = self.memory.load(spare);
        self.memory.store(root + SPARE_SLOT * 8, next);
        self.memory.store(spare, 0);
        let count = self.memory.load(root + LARGE_SLOT * 8);
        self.memory.store(root + LARGE_SLOT * 8, count - PAGE);
        spare
    }

    /// Maps a large page by a table from now on, which is returned: the same pages with the same rights.
    #[cold]
    fn split(&mut self, root: u64, slot: u64) -> u64 {
        let first = self.memory.load(slot) & !flags::LARGE;
        let table = self.take_spare(root);
        for page in 0..ENTRIES {
            self.memory.store(table + page * 8, first + page * PAGE);
        }
        self.memory.store(slot, table | flags::TABLE | flags::USER);
        table
    }

    /// Changes the count of a root, which lies in address bits.
    fn add_to_count(&mut self, root: u64, bytes: u64) {
        let slot = root + COUNT_SLOT * 8;
        let count = self.memory.load(slot);
        self.memory.store(slot, count.wrapping_add(bytes));
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

    /// Whether a large page is mapped at an address.
    pub fn is_large(&self, root: u64, address: u64) -> bool {
        // The bit is never set in a page's own entry.
        self.entry(root, address)
            .is_some_and(|entry| entry & flags::LARGE != 0)
    }

    /// Removes the mappings of a range.
    pub fn unmap(&mut self, root: u64, range: Range<u64>) {
        self.change(root, range, |_| 0);
    }

    /// Removes the mappings of a range, however large: whole tables of it are set aside, which
    /// [`free_aside`](Self::free_aside) frees.
    ///
    /// More than the range may go where page tables are full at its ends: all of the space is to be flushed.
    ///
    /// # Errors
    /// [`NoTable`]: nothing changed.
    pub fn detach(
        &mut self,
        root: u64,
        range: Range<u64>,
        pages: &mut impl TablePages,
    ) -> Result<(), NoTable> {
        let aside = pages.allocate().ok_or(NoTable)?;
        self.memory.clear_page(aside);
        self.memory.store(aside + COUNT_SLOT * 8, PAGE);
        // A table at either end may be kept in part: it stays where it is, and one here takes what is not kept.
        for (end, page) in [(range.start, range.start), (range.end, range.end - PAGE)] {
            let mut level = LARGE;
            while level < TOP && end.is_multiple_of(PAGE << (9 * level)) {
                level += 1;
            }
            if self.table(aside, page, level, pages).is_err() {
                while !self.free_below((aside, TOP), 0..UPPER, &mut Sweep::of(root), pages) {}
                pages.release(aside);
                return Err(NoTable);
            }
        }
        self.set_aside((root, aside), TOP, range, &mut { LOOKS });
        let slot = root + ASIDE_SLOT * 8;
        let others = self.memory.load(slot);
        self.memory.store(aside + ASIDE_SLOT * 8, others);
        self.memory.store(slot, aside);
        self.add_to_count(root, self.memory.load(aside + COUNT_SLOT * 8));
        Ok(())
    }

    /// Moves what a table has in a range to the table of the same level and place among those that are set aside.
    fn set_aside(
        &mut self,
        (table, aside): (u64, u64),
        level: u32,
        range: Range<u64>,
        left: &mut u64,
    ) {
        let size = PAGE << (9 * (level - 1));
        let (mut from, mut to) = (index(range.start, level), index(range.end - 1, level) + 1);
        *left = left.saturating_sub(looks(&range, level));
        let first_end = range.end.min((range.start | (size - 1)) + 1);
        if first_end - range.start < size {
            let places = (table + from * 8, aside + from * 8);
            self.set_part_aside(places, level, range.start..first_end, left);
            from += 1;
        }
        let last_start = (range.end - 1) & !(size - 1);
        if from < to && range.end - last_start < size {
            to -= 1;
            let places = (table + to * 8, aside + to * 8);
            self.set_part_aside(places, level, last_start..range.end, left);
        }
        for slot in from..to {
            let here = table + slot * 8;
            let entry = self.memory.load(here);
            if entry & flags::PRESENT != 0 {
                if level > LEAF {
                    self.memory.store(aside + slot * 8, entry);
                }
                self.memory.store(here, 0);
            }
        }
    }

    /// The same for an entry of a table that lies in the range in part. As long as entries may be looked at, so are those of
    /// the table below; then it goes as a whole, as a large page does, and what it maps beside the range is mapped again when it is used.
    fn set_part_aside(
        &mut self,
        (here, there): (u64, u64),
        level: u32,
        part: Range<u64>,
        left: &mut u64,
    ) {
        let entry = self.memory.load(here);
        if entry & flags::PRESENT == 0 {
            return;
        }
        // The empty table that was made for it; none for one of the last level.
        let below = self.memory.load(there);
        let is_table = entry & flags::LARGE == 0;
        if is_table && looks(&part, level - 1) <= *left {
            let tables = (entry & flags::ADDRESS, below & flags::ADDRESS);
            self.set_aside(tables, level - 1, part, left);
        } else {
            self.memory.store(there, entry);
            self.memory.store(here, below);
        }
    }

    /// Frees tables that were set aside, as many as a step finds. `true`: there was none.
    pub fn free_aside(&mut self, root: u64, pages: &mut impl TablePages) -> bool {
        let slot = root + ASIDE_SLOT * 8;
        let aside = self.memory.load(slot);
        if aside == 0 {
            return true;
        }
        let mut sweep = Sweep::of(root);
        let gone = self.free_below((aside, TOP), 0..UPPER, &mut sweep, pages);
        if gone {
            let others = self.memory.load(aside + ASIDE_SLOT * 8);
            self.memory.store(slot, others);
            pages.release(aside);
            sweep.freed += 1;
        }
        self.add_to_count(root, (sweep.freed * PAGE).wrapping_neg());
        false
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
        if !self.free_aside(root, pages) {
            return false;
        }
        let gone = self.free_below((root, TOP), 0..UPPER, &mut Sweep::of(root), pages);
        if gone {
            debug_assert!(self.large_pages(root) == 0, "a spare is left");
            pages.release(root);
        }
        gone
    }

    /// Frees what the slots of a table of this level lead to; `false` when the step is used up.
    fn free_below(
        &mut self,
        (table, level): (u64, u32),
        slots: Range<u64>,
        sweep: &mut Sweep,
        pages: &mut impl TablePages,
    ) -> bool {
        for slot in slots {
            if sweep.left == 0 {
                return false;
            }
            sweep.left -= 1;
            let entry = self.memory.load(table + slot * 8);
            if entry & flags::PRESENT == 0 {
                continue;
            }
            let below = if entry & flags::LARGE != 0 {
                self.take_spare(sweep.root)
            } else {
                let below = (entry & flags::ADDRESS, level - 1);
                if below.1 > LEAF && !self.free_below(below, 0..ENTRIES, sweep, pages) {
                    return false;
                }
                below.0
            };
            self.memory.store(table + slot * 8, 0);
            pages.release(below);
            sweep.left = sweep.left.saturating_sub(RELEASE);
            sweep.freed += 1;
        }
        true
    }

    fn change(&mut self, root: u64, range: Range<u64>, new: impl Fn(u64) -> u64) {
        let mut address = range.start;
        while address < range.end {
            let end = range.end.min((address | (LARGE_PAGE - 1)) + 1);
            if let Some(table) = self.lowest(root, address..end, &new) {
                for address in (address..end).step_by(PAGE as usize) {
                    let slot = table + index(address, LEAF) * 8;
                    let old = self.memory.load(slot);
                    if old & flags::PRESENT != 0 {
                        self.memory.store(slot, new(old));
                    }
                }
            }
            address = end;
        }
    }

    /// The lowest table on the way to a range, in which its pages are to be changed. `None`: there is none, or they are one large
    /// page, which was changed.
    fn lowest(&mut self, root: u64, range: Range<u64>, new: impl Fn(u64) -> u64) -> Option<u64> {
        let mut slot = root + index(range.start, TOP) * 8;
        for level in (LARGE..TOP).rev() {
            let entry = self.memory.load(slot);
            if entry & flags::PRESENT == 0 {
                return None;
            }
            slot = (entry & flags::ADDRESS) + index(range.start, level) * 8;
        }
        let entry = self.memory.load(slot);
        if entry & flags::PRESENT == 0 {
            return None;
        }
        if entry & flags::LARGE == 0 {
            return Some(entry & flags::ADDRESS);
        }
        if range.end - range.start < LARGE_PAGE {
            return Some(self.split(root, slot));
        }
        let changed = match new(entry) {
            0 => self.take_spare(root) | flags::TABLE | flags::USER,
            entry => entry,
        };
        self.memory.store(slot, changed);
        None
    }

    /// The lowest table on the way to an address, if it is there: mostly it is.
    #[inline(always)]
    fn find(&self, root: u64, address: u64) -> Option<u64> {
        let mut table = root;
        for level in [TOP, TOP - 1, LARGE] {
            let entry = self.memory.load(table + index(address, level) * 8);
            if entry & (flags::PRESENT | flags::LARGE) != flags::PRESENT {
                return None;
            }
            table = entry & flags::ADDRESS;
        }
        Some(table)
    }

    /// The table of a level on the way to an address; makes what is missing.
    #[cold]
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
            table = if entry & (flags::PRESENT | flags::LARGE) == flags::PRESENT {
                entry & flags::ADDRESS
            } else if entry & flags::PRESENT != 0 {
                self.split(root, slot)
            } else {
                let new = pages.allocate().ok_or(NoTable)?;
                self.memory.clear_page(new);
                self.memory.store(slot, new | flags::TABLE | user);
                self.add_to_count(root, PAGE);
                new
            };
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests;
