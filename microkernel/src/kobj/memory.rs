//! Memory entries, and the root that makes them over device memory.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::transport::Result;
use abi::vm::protection;
use interfaces::memory::{Entry, MemoryRoot};

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve};
use crate::machine::{Caching, Machine, Page};
use crate::vm::MemoryEntryId;

struct Root<'a, 'k, M: Machine>(&'a mut Core<'k, M>);

struct EntryObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: MemoryEntryId,
}

#[inline(never)]
pub(super) fn serve_root<M: Machine>(core: &mut Core<'_, M>, request: Request<'_>) -> Reply {
    serve::<dyn MemoryRoot, _>(Root(core), request)
}

#[inline(never)]
pub(super) fn serve_entry<M: Machine>(
    core: &mut Core<'_, M>,
    id: MemoryEntryId,
    request: Request<'_>,
) -> Reply {
    serve::<dyn Entry, _>(EntryObject { core, id }, request)
}

impl<M: Machine> MemoryRoot for Root<'_, '_, M> {
    type Rights = KernelRights;

    async fn window(&mut self, physical: u64, size: u64, cached: u32) -> Result<Held> {
        let caching = match cached {
            0 => Caching::Uncached,
            1 => Caching::WriteBack,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        let end = physical
            .checked_add(size)
            .ok_or(KernReturn::InvalidArgument)?;
        if !(physical | size).is_multiple_of(PAGE_SIZE) || size == 0 {
            return Err(KernReturn::InvalidArgument.into());
        }
        let page = |address: u64| u32::try_from(address / PAGE_SIZE).map(Page);
        let (Ok(first), Ok(last)) = (page(physical), page(end)) else {
            return Err(KernReturn::InvalidArgument.into());
        };
        if !self.0.layers.cx.machine.is_device_memory(first..last) {
            return Err(KernReturn::InvalidArgument.into());
        }
        let payer = self.0.payer()?;
        let rights = protection::READ | protection::WRITE;
        let (vm, mut context) = self.0.layers.vm();
        let entry = vm.make_physical(&mut context, first..last, caching, rights, Some(payer))?;
        Ok(self.0.give_entry(entry, payer)?)
    }
}

impl<M: Machine> Entry for EntryObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn bounds(&self) -> Result<(u64, u32)> {
        let bounds = self.core.layers.cx.vm.memory_entry(self.id);
        Ok(bounds.ok_or(KernReturn::Terminated)?)
    }

    async fn part(&mut self, offset: u64, size: u64, protection: u32) -> Result<Held> {
        let payer = self.core.payer()?;
        let (vm, mut context) = self.core.layers.vm();
        let range = (offset, size);
        let entry = vm.attenuate(&mut context, self.id, range, protection, Some(payer))?;
        Ok(self.core.give_entry(entry, payer)?)
    }
}
