//! The kernel's own access to a task's memory: bytes by value, and futex words.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::traits::Traits;
use super::{Context, MapId, Vm, whole_pages};
use crate::base::KernResult;
use crate::machine::{Access, Machine};

/// What a futex word is, whichever address reaches it: the same for all that share the memory.
///
/// Private memory is named by its map and address: its object changes when it is copied, and a thread that
/// waits would miss who wakes. Memory that becomes shared while a thread waits on it changes its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct FutexKey {
    /// The map's or object's id.
    owner: u64,
    /// Bytes from its beginning; the lowest bit, which an aligned word leaves free, is set for an object.
    place: u64,
}

impl FutexKey {
    /// The key as two words, for tables that know nothing of memory.
    pub fn bits(self) -> [u64; 2] {
        [self.owner, self.place]
    }
}

impl Vm {
    /// Reads a task's memory. Up to a page is read as a whole or not at all.
    ///
    /// # Errors
    /// `InvalidArgument`: the range wraps around. Else as [`fault`](Self::fault).
    pub fn read_bytes<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        bytes: &mut [u8],
    ) -> KernResult<()> {
        self.prepare(context, map, (address, bytes.len()), Access::Read)?;
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = self.page_for(context, map, at, Access::Read)?.page;
            let within = (at % PAGE_SIZE) as usize;
            let length = rest.len().min(PAGE_SIZE as usize - within);
            let (now, later) = rest.split_at_mut(length);
            context.machine.read((page, within), now);
            at += length as u64;
            rest = later;
        }
        Ok(())
    }

    /// Writes a task's memory. Up to a page is written as a whole or not at all.
    ///
    /// # Errors
    /// As [`read_bytes`](Self::read_bytes).
    pub fn write_bytes<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        bytes: &[u8],
    ) -> KernResult<()> {
        self.prepare(context, map, (address, bytes.len()), Access::Write)?;
        let mut at = address;
        let mut rest = bytes;
        while !rest.is_empty() {
            let page = self.page_for(context, map, at, Access::Write)?.page;
            let within = (at % PAGE_SIZE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE_SIZE as usize - within));
            context.machine.write((page, within), now);
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Checks a range, and makes the pages of a short one present, so that the access itself cannot fail.
    pub(super) fn prepare<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        (address, size): (u64, usize),
        access: Access,
    ) -> KernResult<()> {
        let pages = whole_pages(address, size as u64)?;
        self.map_ref(map)?;
        if size == 0 {
            return Ok(());
        }
        let right = if access == Access::Write {
            protection::WRITE
        } else {
            protection::READ
        };
        self.check_covered(map, &pages, Traits::allows(right))?;
        if pages.end - pages.start <= 2 * PAGE_SIZE {
            self.page_for(context, map, pages.start, access)?;
            self.page_for(context, map, pages.end - PAGE_SIZE, access)?;
        }
        Ok(())
    }

    /// The futex word at an address, and its value now.
    ///
    /// # Errors
    /// `InvalidArgument`: not aligned to 4 bytes. Else as [`fault`](Self::fault) for reading.
    pub fn futex_word<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
    ) -> KernResult<(FutexKey, u32)> {
        let key = self.futex_key(map, address)?;
        let page = self.page_for(context, map, address, Access::Read)?.page;
        let within = (address % PAGE_SIZE) as usize;
        Ok((key, context.machine.read_u32((page, within))))
    }

    /// The futex word at an address, for a wake-up: nothing is read.
    ///
    /// # Errors
    /// `InvalidArgument`: not aligned to 4 bytes. `InvalidAddress`: nothing is mapped there.
    pub fn futex_key(&self, map: MapId, address: u64) -> KernResult<FutexKey> {
        if !address.is_multiple_of(4) {
            return Err(KernReturn::InvalidArgument);
        }
        let entry = self.entry(self.find_entry(map, address)?);
        let shared = entry
            .object
            .filter(|object| !self.object(*object).is_private());
        Ok(match shared {
            Some(object) if !entry.needs_copy => FutexKey {
                owner: object.to_bits(),
                place: (entry.page_at(address) * PAGE_SIZE + address % PAGE_SIZE) | 1,
            },
            _ => FutexKey {
                owner: map.to_bits(),
                place: address,
            },
        })
    }
}
