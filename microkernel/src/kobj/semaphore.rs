//! A semaphore's port.

use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::semaphore::Semaphore;

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve as dispatch};
use crate::base::ids::SemaphoreId;
use crate::ipc::port::Object;
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::sched::semaphore::Woken;

struct SemaphoreObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: SemaphoreId,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(
    core: &mut Core<'_, M>,
    id: SemaphoreId,
    request: Request<'_>,
) -> Reply {
    dispatch::<dyn Semaphore, _>(SemaphoreObject { core, id }, request)
}

impl<M: Machine> Semaphore for SemaphoreObject<'_, '_, M> {
    type Rights = KernelRights;

    async fn signal(&mut self) -> Result<()> {
        let cx = &mut self.core.layers.cx;
        Ok(cx.sched.signal(cx.machine, self.id)?)
    }

    async fn signal_all(&mut self) -> Result<()> {
        let cx = &mut self.core.layers.cx;
        match cx.sched.signal_all(cx.machine, self.id) {
            Woken::All => Ok(()),
            Woken::Some => Err(self.core.again()),
        }
    }

    async fn signal_thread(&mut self, thread: Held) -> Result<()> {
        let Object::Thread(thread) = self.core.object_of(&thread)? else {
            return Err(KernReturn::InvalidRight.into());
        };
        let cx = &mut self.core.layers.cx;
        Ok(cx.sched.signal_thread(cx.machine, self.id, thread)?)
    }

    async fn destroy(&mut self) -> Result<()> {
        let layers = &mut self.core.layers;
        let semaphore = layers.cx.sched.semaphores.get(self.id);
        let port = semaphore.and_then(|semaphore| semaphore.port);
        // Its waiters are told while the port is taken apart.
        layers
            .ipc
            .release(Right::Receive(port.ok_or(KernReturn::Terminated)?));
        Ok(())
    }
}
