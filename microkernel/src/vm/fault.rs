//! [`Vm::fault`]: a page where a thread needs one.
//!
//! The order of what can be wrong is Mach's: no region, then protection, then resources.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::protection;

use super::large::could_be_large;
use super::object::{Found, Kind};
use super::pages::{Mapping, mapped_rights};
use super::shadow::Backing;
use super::tree::node_mut;
use super::{Context, EntryId, MapId, ObjectId, Vm};
use crate::base::KernResult;
use crate::machine::{Access, Caching, Machine};

/// How a fault was answered. The instruction can run again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultOutcome {
    /// The page was there.
    Mapped,
    /// Anonymous memory got its first page.
    ZeroFilled,
    /// The page was somebody else's too, and was copied.
    Copied,
}

/// A page that may be used at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Resolved {
    pub(super) mapping: Mapping,
    pub(super) outcome: FaultOutcome,
    /// It is a device's.
    device: bool,
    /// What was mapped there before may allow what the new mapping does not, or be another page.
    replaces: bool,
}

/// The right that an access needs.
pub(super) fn needed(access: Access) -> u32 {
    match access {
        Access::Read => protection::READ,
        Access::Write => protection::WRITE,
        Access::Execute => protection::EXECUTE,
    }
}

impl Vm {
    /// Makes an access of a thread of `map` possible.
    ///
    /// # Errors
    /// `InvalidAddress`: nothing is mapped there. `ProtectionFailure`: the entry forbids it. `ResourceShortage`: a
    /// ledger or the machine's memory is full. [`STALLED`](super::STALLED): a pager is to be asked, and the thread
    /// to wait ([`await_page`](Self::await_page)). In this order.
    pub fn fault<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        access: Access,
    ) -> KernResult<FaultOutcome> {
        self.fault_up_to(context, map, address, access)
            .map(|(outcome, _)| outcome)
    }

    /// As [`fault`](Self::fault); also says up to where the hardware maps what it mapped.
    #[inline(always)]
    pub(super) fn fault_up_to<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        access: Access,
    ) -> KernResult<(FaultOutcome, u64)> {
        let address = address - address % PAGE_SIZE;
        let resolved = self.resolve(context, map, address, access);
        let resolved = resolved.map_err(|code| self.wait_for_memory(context, map, code))?;
        if resolved.outcome == FaultOutcome::Mapped
            && could_be_large(address, resolved.mapping.page)
            && let Some(end) = self.install_large(context, map, address, resolved.mapping)
        {
            return Ok((resolved.outcome, end));
        }
        let installed = self.install(context, map, address, resolved.mapping);
        if resolved.replaces {
            if installed.is_err() {
                self.forget(context, map, address);
            } else if let Some(root) = self.root(map) {
                context.machine.flush(root, address..address + PAGE_SIZE);
            }
        }
        match installed {
            Ok(()) => Ok((resolved.outcome, address + PAGE_SIZE)),
            Err(code) => Err(self.excuse(code)),
        }
    }

    /// As [`fault`](Self::fault), for the kernel's own access: the hardware need not map the page.
    pub(super) fn page_for<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        access: Access,
    ) -> KernResult<Mapping> {
        let address = address - address % PAGE_SIZE;
        let resolved = self.resolve(context, map, address, access);
        let resolved = resolved.map_err(|code| self.wait_for_memory(context, map, code))?;
        if resolved.outcome == FaultOutcome::Copied {
            self.forget(context, map, address);
        }
        if resolved.device {
            // Device registers are not memory: no copy touches them.
            return Err(KernReturn::ProtectionFailure);
        }
        Ok(resolved.mapping)
    }

    /// Removes the mapping of one page.
    pub(super) fn forget<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
    ) {
        if let Some(root) = self.root(map) {
            context.machine.unmap(root, address..address + PAGE_SIZE);
            context.machine.flush(root, address..address + PAGE_SIZE);
        }
    }

    /// The page for an access, made if need be. What is mapped is not changed.
    fn resolve<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        address: u64,
        access: Access,
    ) -> KernResult<Resolved> {
        let id = self.find_entry(map, address)?;
        node_mut(&mut self.maps, map).hint = Some(id);
        let allowed = self.entry(id).attributes.protection;
        if allowed & needed(access) == 0 {
            return Err(KernReturn::ProtectionFailure);
        }
        let writes = access == Access::Write;
        let mut object = self.entry_object(context, map, id)?;
        if writes && self.entry(id).needs_copy {
            object = self.make_private(context, map, id)?;
        }
        let index = self.entry(id).page_at(address);
        let (found, outcome) = match self.find_page(context, object, index)? {
            Some(found) if found.depth > 0 && (writes || self.object(object).shared) => {
                if found.paged {
                    self.admit_copy(context, object, index)?;
                }
                self.adopt(context, map, object)?;
                let copied = self.copy_up(context, object, index, found)?;
                (copied, FaultOutcome::Copied)
            }
            Some(found) => (found, FaultOutcome::Mapped),
            None => {
                self.await_missing(object, index, needed(access))?;
                let found = self.zero_fill(context, map, id, index)?;
                (found, FaultOutcome::ZeroFilled)
            }
        };
        self.use_page(&found);
        let own = found.depth == 0 && !self.entry(id).needs_copy;
        let mut allowed = if own {
            allowed
        } else {
            allowed & !protection::WRITE
        };
        if found.paged
            && let (holder, page) = found.holder
            && let Kind::Paged(pager) = self.object(holder).kind
        {
            // Behind shadows, it is only read.
            allowed &= self.admit(context, pager, (holder, page), needed(access))?;
        }
        let protection = mapped_rights(allowed, access);
        Ok(Resolved {
            mapping: Mapping {
                page: found.page,
                protection,
                caching: found.caching,
            },
            outcome,
            device: found.device,
            replaces: outcome == FaultOutcome::Copied || protection != allowed,
        })
    }

    /// The object of an entry, made at its first touch.
    pub(super) fn entry_object<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) -> KernResult<ObjectId> {
        if let Some(object) = self.entry(id).object {
            return Ok(object);
        }
        let (size, ledger) = (self.entry(id).size(), self.map_ref(map)?.ledger);
        let object = self.create_object(context, Kind::Anonymous, size, Some(ledger))?;
        let entry = self.entry_mut(id);
        entry.object = Some(object);
        entry.index = 0;
        Ok(object)
    }

    /// Gives an entry that needs a copy an object of its own: the same one when nobody else is left, or a shadow.
    pub(super) fn make_private<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) -> KernResult<ObjectId> {
        let object = self.entry_object(context, map, id)?;
        let ledger = self.map_ref(map)?.ledger;
        let here = self.object(object);
        if here.references == 1
            && here.is_private()
            && self.change_payer(context, object, ledger).is_ok()
        {
            self.entry_mut(id).needs_copy = false;
            return Ok(object);
        }
        self.bypass(object);
        let (size, index) = (self.entry(id).size(), self.entry(id).index);
        let backing = Backing { object, index };
        let shadow = self.create_shadow(context, backing, size, ledger)?;
        let entry = self.entry_mut(id);
        entry.object = Some(shadow);
        entry.index = 0;
        entry.needs_copy = false;
        Ok(shadow)
    }

    /// Before an object gets a page: if the task that paid for it is gone, who uses it pays from now on.
    pub(super) fn adopt<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        object: ObjectId,
    ) -> KernResult<()> {
        let payer = self.object(object).ledger;
        if payer.is_some_and(|payer| context.ledgers.is_closed(payer)) {
            let ledger = self.map_ref(map)?.ledger;
            self.change_payer(context, object, ledger)?;
        }
        Ok(())
    }

    /// Whether a pager's page that shows through may be read.
    fn admit_copy<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) -> KernResult<()> {
        if let Some((pager, object, page)) = self.paged_behind(object, index) {
            self.admit(context, pager, (object, page), protection::READ)?;
        }
        Ok(())
    }

    /// A copy of a page that shows through, in front.
    pub(super) fn copy_up<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
        found: Found,
    ) -> KernResult<Found> {
        let page = self.add_page(context, object, index)?;
        let length = PAGE_SIZE as usize;
        context.machine.copy((found.page, 0), (page, 0), length);
        Ok(Found {
            page,
            caching: Caching::WriteBack,
            depth: 0,
            paged: false,
            device: false,
            idle: false,
            holder: (object, index),
        })
    }

    fn zero_fill<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        index: u64,
    ) -> KernResult<Found> {
        let ledger = self.map_ref(map)?.ledger;
        let mut object = self.entry_object(context, map, id)?;
        let mut index = index;
        if self.object(object).kind != Kind::Anonymous {
            // Beyond the end of a physical range; `map` lets no entry reach there.
            return Err(KernReturn::InvalidAddress);
        }
        let entry = self.entry(id);
        if entry.needs_copy && self.object(object).ledger != Some(ledger) {
            // A reader's zeros are not for the account of whom it copied from.
            let place = index - entry.index;
            object = self.make_private(context, map, id)?;
            index = self.entry(id).index + place;
        }
        self.adopt(context, map, object)?;
        let page = self.add_page(context, object, index)?;
        context.machine.zero_page(page);
        Ok(Found {
            page,
            caching: Caching::WriteBack,
            depth: 0,
            paged: false,
            device: false,
            idle: false,
            holder: (object, index),
        })
    }
}
