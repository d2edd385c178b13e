//! I/O ports of the machine: the root, and ranges. Reading and writing are traps on a range.

use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::io::{IoRange, IoRoot};

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve};
use crate::ipc::port::Object;
use crate::machine::Machine;

struct Root<'a, 'k, M: Machine>(&'a mut Core<'k, M>);

struct Range {
    first: u16,
    count: u16,
}

#[inline(never)]
pub(super) fn serve_root<M: Machine>(core: &mut Core<'_, M>, request: Request<'_>) -> Reply {
    serve::<dyn IoRoot, _>(Root(core), request)
}

#[inline(never)]
pub(super) fn serve_range((first, count): (u16, u16), request: Request<'_>) -> Reply {
    serve::<dyn IoRange, _>(Range { first, count }, request)
}

impl<M: Machine> IoRoot for Root<'_, '_, M> {
    type Rights = KernelRights;

    async fn range(&mut self, first: u16, count: u16) -> Result<Held> {
        if count == 0 || u32::from(first) + u32::from(count) > 0x1_0000 {
            return Err(KernReturn::InvalidArgument.into());
        }
        let payer = self.0.payer()?;
        Ok(self
            .0
            .give_object(Object::IoRange { first, count }, payer)?)
    }
}

impl IoRange for Range {
    async fn bounds(&self) -> Result<(u16, u16)> {
        Ok((self.first, self.count))
    }
}
