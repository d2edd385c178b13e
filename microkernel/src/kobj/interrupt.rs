//! Interrupt lines: the root, and the right to one line, which is also the right to acknowledge it.

use abi::kern_return::KernReturn;
use abi::transport::Result;
use interfaces::interrupt::{Interrupt, InterruptRoot};

use super::Core;
use super::transport::{Held, KernelRights, Reply, Request, serve};
use crate::base::KernResult;
use crate::ipc::lines::Line;
use crate::ipc::port::Object;
use crate::ipc::right::Right;
use crate::machine::Machine;

struct Root<'a, 'k, M: Machine>(&'a mut Core<'k, M>);

struct LineObject<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    line: u32,
}

#[inline(never)]
pub(super) fn serve_root<M: Machine>(core: &mut Core<'_, M>, request: Request<'_>) -> Reply {
    serve::<dyn InterruptRoot, _>(Root(core), request)
}

#[inline(never)]
pub(super) fn serve_line<M: Machine>(
    core: &mut Core<'_, M>,
    line: u32,
    request: Request<'_>,
) -> Reply {
    serve::<dyn Interrupt, _>(LineObject { core, line }, request)
}

impl<M: Machine> InterruptRoot for Root<'_, '_, M> {
    type Rights = KernelRights;

    async fn line(&mut self, line: u32) -> Result<Held> {
        let ipc = &*self.0.layers.ipc;
        if ipc.lines.is_given(line, &ipc.ports) {
            return Err(KernReturn::ResourceShortage.into());
        }
        // Masking tells whether the machine has such a line, and is how it is to begin.
        let exists = self.0.layers.ipc.lines.get_mut(line).is_some()
            && self.0.layers.cx.machine.mask_interrupt(line);
        if !exists {
            return Err(KernReturn::InvalidArgument.into());
        }
        let payer = self.0.payer()?;
        let held = self.0.give_object(Object::Interrupt { line }, payer)?;
        if let (Held::Given(Right::Send(port)), Some(record)) =
            (&held, self.0.layers.ipc.lines.get_mut(line))
        {
            *record = Line {
                right: Some(*port),
                bound: None,
            };
        }
        Ok(held)
    }
}

impl<M: Machine> LineObject<'_, '_, M> {
    fn record(&mut self) -> KernResult<&mut Line> {
        let record = self.core.layers.ipc.lines.get_mut(self.line);
        record.ok_or(KernReturn::InvalidArgument)
    }
}

impl<M: Machine> Interrupt for LineObject<'_, '_, M> {
    type Rights = KernelRights;

    /// The port is remembered without a right to it: its owner's no-senders count is not disturbed, and the binding ends
    /// with the port.
    async fn bind(&mut self, port: Held) -> Result<()> {
        let port = self.core.port_of(&port)?;
        self.record()?.bound = Some(port);
        self.core.layers.cx.machine.unmask_interrupt(self.line);
        Ok(())
    }

    async fn unbind(&mut self) -> Result<()> {
        self.core.layers.cx.machine.mask_interrupt(self.line);
        self.record()?.bound = None;
        Ok(())
    }
}
