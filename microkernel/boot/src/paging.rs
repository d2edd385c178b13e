//! The page tables that the kernel is entered with: four levels (Intel SDM volume 3, chapter 4.5), built in physical memory.
//!
//! A set of mappings is declared first, the memory for their tables is taken at once, then they are written. All are
//! for ring 0 only. What may be executed cannot be written through the same mapping.

use crate::error::Error;
use crate::kernel::Access;
use crate::memory_map::{Kind, MemoryMap, PAGE};
use crate::physical::{Fields, Physical};

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The level of the root table; tables of level 1 map 4 KiB pages.
const ROOT_LEVEL: u32 = 4;

/// The size of a mapping's pages; the values are the levels of the tables that hold them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum PageSize {
    /// 4 KiB.
    Small = 1,
    /// 2 MiB.
    Large = 2,
    /// 1 GiB.
    Huge = 3,
}

impl PageSize {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        1 << shift(self as u32)
    }
}

/// A contiguous mapping. The addresses and the length are multiples of 4 KiB; the two addresses differ by a multiple of
/// the largest page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Where it begins in the address space.
    pub address: u64,
    /// Where it begins in physical memory.
    pub physical: u64,
    /// In bytes, not 0.
    pub length: u64,
    /// Of its pages, the largest. Smaller ones fill the two ends.
    pub largest: PageSize,
    /// What may be done to it.
    pub access: Access,
}

impl Mapping {
    /// An upper bound of the tables that it needs below the root.
    fn tables(&self) -> u64 {
        let last = self.address + (self.length - 1);
        let tables = |level| (last >> shift(level + 1)) - (self.address >> shift(level + 1)) + 1;
        let largest = self.largest as u32;
        // Pages below the largest size are at the ends only: each end has one table of each such level.
        let ends = (1..largest).map(|level| tables(level).min(2));
        ends.chain((largest..ROOT_LEVEL).map(tables)).sum()
    }

    /// The largest page that fits at `offset` from the beginning.
    fn page(&self, offset: u64) -> PageSize {
        let fits = |size: &PageSize| {
            let places = (self.address + offset) | (self.physical + offset);
            *size as u32 <= self.largest as u32
                && places.is_multiple_of(size.bytes())
                && self.length - offset >= size.bytes()
        };
        [PageSize::Huge, PageSize::Large]
            .into_iter()
            .find(fits)
            .unwrap_or(PageSize::Small)
    }
}

/// Takes memory for the tables of `mappings` and fills them.
///
/// # Errors
/// [`Error::NoRoom`], [`Error::TooManyRegions`].
pub fn build(
    memory: &mut impl Physical,
    map: &mut MemoryMap,
    mappings: &[Mapping],
    no_execute: NoExecute,
) -> Result<u64, Error> {
    let tables: u64 = 1 + mappings.iter().map(Mapping::tables).sum::<u64>();
    let length = tables * PAGE;
    let root = map.allocate("page tables", length, Kind::Bootloader)?;
    let no_room = Error::NoRoom("page tables", length);
    memory.bytes_mut(root, length).ok_or(no_room)?.fill(0);
    let mut builder = Builder {
        memory,
        root,
        next: root + PAGE,
        end: root + length,
        no_execute,
    };
    for mapping in mappings {
        builder.map(mapping).ok_or(no_room)?;
    }
    Ok(root)
}

/// Whether the processor can forbid execution of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoExecute {
    /// It can.
    Present,
    /// It cannot: the bit must stay 0.
    Absent,
}

struct Builder<'a, M> {
    memory: &'a mut M,
    root: u64,
    next: u64,
    end: u64,
    no_execute: NoExecute,
}

impl<M: Physical> Builder<'_, M> {
    fn map(&mut self, mapping: &Mapping) -> Option<()> {
        let mut offset = 0;
        while offset < mapping.length {
            let address = mapping.address + offset;
            let page = mapping.page(offset);
            let table = self.table(address, page as u32)?;
            let leaf = self.flags(mapping.access, page);
            self.write(
                table,
                index(address, page as u32),
                (mapping.physical + offset) | leaf,
            )?;
            offset += page.bytes();
        }
        Some(())
    }

    fn flags(&self, access: Access, page: PageSize) -> u64 {
        let size = if page == PageSize::Small { 0 } else { LARGE };
        let access = match access {
            Access::Write => WRITE | NO_EXECUTE,
            Access::Read => NO_EXECUTE,
            Access::Execute => 0,
        };
        let mask = if self.no_execute == NoExecute::Present {
            u64::MAX
        } else {
            !NO_EXECUTE
        };
        (PRESENT | size | access) & mask
    }

    /// The table of `level` that `address` goes through; those above and itself are made when missing.
    fn table(&mut self, address: u64, level: u32) -> Option<u64> {
        let mut table = self.root;
        for above in (level + 1..=ROOT_LEVEL).rev() {
            let index = index(address, above);
            let entry = Fields(self.memory.bytes(table, PAGE)?).u64(index * 8)?;
            table = if entry & PRESENT != 0 {
                entry & ADDRESS
            } else {
                let fresh = self.next;
                if fresh >= self.end {
                    return None;
                }
                self.next += PAGE;
                self.write(table, index, fresh | PRESENT | WRITE)?;
                fresh
            };
        }
        Some(table)
    }

    fn write(&mut self, table: u64, index: usize, entry: u64) -> Option<()> {
        let place = self.memory.bytes_mut(table + index as u64 * 8, 8)?;
        place.copy_from_slice(&entry.to_le_bytes());
        Some(())
    }
}

/// How far an address is shifted for the index into a table of `level`.
const fn shift(level: u32) -> u32 {
    12 + 9 * (level - 1)
}

const fn index(address: u64, level: u32) -> usize {
    (address >> shift(level) & 511) as usize
}
