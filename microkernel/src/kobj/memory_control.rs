//! A memory object's control port: what its pager says.

use abi::kern_return::KernReturn;
use abi::names::queue_limit;
use abi::transport::Result;
use abi::vm::copy_strategy;
use interfaces::memory_object::{Attributes, MemoryControl, Supplied};

use super::Core;
use super::transport::{Extent, KernelRights, Reply, Request, serve as dispatch};
use crate::ipc::message::Made;
use crate::machine::Machine;
use crate::vm::{Cursor, Order, OrderStep, PagerAttributes, PagerId, PagerState, Terms};

struct Control<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: PagerId,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    id: PagerId,
    request: Request<'_>,
) -> Reply {
    if core.layers.cx.vm.pager(id).is_none() {
        // The object has ended, and its ports are on their way to the pager.
        return Reply::code(KernReturn::Terminated);
    }
    dispatch::<dyn MemoryControl, _>(Control { core, id }, request)
}

/// A word that is to be 0 or 1.
fn flag(word: u32) -> Result<bool> {
    match word {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(KernReturn::InvalidArgument.into()),
    }
}

impl<M: Machine> MemoryControl for Control<'_, '_, M> {
    type Rights = KernelRights;

    async fn set_attributes(&mut self, attributes: Attributes) -> Result<()> {
        match attributes.copy_strategy {
            copy_strategy::NONE | copy_strategy::DELAY | copy_strategy::TEMPORARY => {}
            // The pager would be asked to make each copy, and whoever copies would wait for it. None needs to: a pager that
            // wants copies to show what others write elsewhere says NONE.
            copy_strategy::CALL => return Err(KernReturn::NotSupported.into()),
            // SYMMETRIC too: both sides would be shadows, and the pager's object none of them.
            _ => return Err(KernReturn::InvalidArgument.into()),
        }
        let attributes = PagerAttributes {
            may_cache: flag(attributes.may_cache)?,
            copy_strategy: attributes.copy_strategy,
        };
        let (vm, _) = self.core.layers.vm();
        Ok(vm.set_pager_attributes(self.id, attributes)?)
    }

    async fn attributes(&self) -> Result<(u32, Attributes)> {
        let pager = self.core.layers.cx.vm.pager(self.id);
        let (state, attributes) = pager.ok_or(KernReturn::Terminated)?;
        let attributes = Attributes {
            may_cache: attributes.may_cache.into(),
            copy_strategy: attributes.copy_strategy,
        };
        Ok(((state == PagerState::Ready).into(), attributes))
    }

    async fn data_supply(
        &mut self,
        offset: u64,
        data: Extent,
        lock: u32,
        precious: u32,
    ) -> Result<Supplied> {
        let (copy, _) = self
            .core
            .memory_of(&data)?
            .ok_or(KernReturn::InvalidArgument)?;
        let terms = Terms {
            lock,
            precious: flag(precious)?,
        };
        let (vm, mut context) = self.core.layers.vm();
        let supplied = vm.supply(&mut context, self.id, (offset, copy), terms)?;
        Ok(Supplied {
            result: supplied.result.0,
            error_offset: supplied.offset,
        })
    }

    async fn data_unavailable(&mut self, offset: u64, size: u64) -> Result<()> {
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.supply_zeros(&mut context, self.id, (offset, size))?;
        self.core.done(progress)
    }

    async fn data_error(&mut self, offset: u64, size: u64, _code: u32) -> Result<()> {
        let (vm, _) = self.core.layers.vm();
        let progress = vm.supply_error(self.id, (offset, size))?;
        self.core.done(progress)
    }

    async fn destroy(&mut self, _reason: u32) -> Result<()> {
        let (vm, _) = self.core.layers.vm();
        vm.abandon_pager(self.id);
        Ok(())
    }

    async fn lock_request(
        &mut self,
        offset: u64,
        size: u64,
        should_return: u32,
        flush: u32,
        lock: u32,
    ) -> Result<()> {
        let order = Order::decode(should_return, flush, lock)?;
        let cursor = match *self.core.made {
            Some(Made::Ordered(cursor)) => cursor,
            _ => Cursor::at(offset),
        };
        let (vm, mut context) = self.core.layers.vm();
        let part = (self.id, (offset, size));
        let cursor = match vm.order_step(&mut context, part, &order, cursor)? {
            OrderStep::Done => return Ok(()),
            OrderStep::More(cursor) => cursor,
            OrderStep::Return(cursor) => {
                let layers = &mut self.core.layers;
                let to = (self.id, queue_limit::KERNEL);
                layers.ipc.return_data(&mut layers.cx, to, cursor)?;
                cursor
            }
        };
        *self.core.made = Some(Made::Ordered(cursor));
        Err(self.core.again())
    }
}
