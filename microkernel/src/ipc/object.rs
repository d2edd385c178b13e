//! Ports that stand for kernel objects and are made on demand: they end with their last send right.
//!
//! A task's port, the host's and the roots are there for as long as their object. A thread's port is made
//! again when it is asked for; an I/O range, an interrupt line and a memory entry are nothing but their
//! port, so what they stand for is given back with it.

use super::ops::PORT_BYTES;
use super::port::{Kind, Object};
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::PortId;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::Machine;

impl Object {
    /// Whether its port ends when nobody holds a send right to it.
    pub(super) fn ends_without_senders(self) -> bool {
        match self {
            Self::Thread(_) | Self::IoRange { .. } | Self::Interrupt { .. } | Self::Memory(_) => {
                true
            }
            Self::Task(_)
            | Self::Host
            | Self::HostPrivileged
            | Self::IoRoot
            | Self::InterruptRoot
            | Self::MemoryRoot => false,
        }
    }
}

impl Ipc {
    /// A port for an object, paid for by `payer`. It has no send right yet; it ends with its last one.
    ///
    /// # Errors
    /// [`Shortage`]: the ledger or the memory. What the object stands for stays the caller's.
    pub fn create_object_port<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        object: Object,
        payer: LedgerId,
    ) -> Result<PortId, Shortage> {
        cx.ledgers
            .charge(payer, Resource::KernelBytes, PORT_BYTES)?;
        let id = self.create_port(Kind::Kernel(object)).inspect_err(|_| {
            cx.ledgers.release(payer, Resource::KernelBytes, PORT_BYTES);
        })?;
        if let Some(port) = self.ports.get_mut(id) {
            port.payer = Some(payer);
        }
        Ok(id)
    }

    /// The port of an object is gone: gives back what it stood for.
    pub(super) fn end_object<M: Machine>(&mut self, cx: &mut Context<'_, M>, object: Object) {
        match object {
            Object::Memory(entry) => {
                let (vm, mut context) = cx.vm();
                vm.release_memory_entry(&mut context, entry);
            }
            Object::Interrupt { line } => {
                if !self.lines.is_given(line, &self.ports)
                    && let Some(record) = self.lines.get_mut(line)
                {
                    record.right = None;
                    record.bound = None;
                    cx.machine.mask_interrupt(line);
                }
            }
            _ => {}
        }
    }
}
