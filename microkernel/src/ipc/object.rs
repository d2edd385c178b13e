//! Ports that stand for kernel objects and are made on demand: they end with their last send right.
//!
//! A task's port, the host's and the roots are there for as long as their object. A thread's port is made
//! again when it is asked for; an I/O range, an interrupt line and a memory entry are nothing but their
//! port, so what they stand for is given back with it.

use abi::kern_return::KernReturn;
use abi::names::Name;

use super::entry::{Entry, Rights};
use super::ops::PORT_BYTES;
use super::port::{Kind, Mark, Object, Port};
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{PortId, SpaceId, TaskId};
use crate::base::ledger::{LedgerId, Resource};
use crate::base::{KernResult, Shortage};
use crate::machine::Machine;

/// Whether a task has no threads that nothing suspends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// It has some.
    No,
    /// It has none yet, and its creator is about to get the right to it.
    Yet,
    /// It has none any more.
    Now,
}

impl Object {
    /// Whether its port ends when nobody holds a send right to it.
    pub(super) fn ends_without_senders(self) -> bool {
        match self {
            Self::Thread(_)
            | Self::Semaphore(_)
            | Self::IoRange { .. }
            | Self::Interrupt { .. }
            | Self::Memory(_) => true,
            Self::Task(_)
            | Self::Host
            | Self::HostPrivileged
            | Self::Processor(_)
            | Self::ProcessorSet(_)
            | Self::Clock(..)
            | Self::IoRoot
            | Self::InterruptRoot
            | Self::MemoryRoot
            | Self::MemoryControl(_)
            | Self::MemoryName(_) => false,
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

    /// Puts a right into a space under a name of the caller's choice (P-14). A right to send once never joins a name.
    ///
    /// # Errors
    /// The right, and `InvalidValue`: a name that none can have · `RightExists`: the space holds the port
    /// under another name · `NameExists`: the name denotes another thing · `InvalidCapability`: the right
    /// is dead · `ResourceShortage`: the ledger, or an index above its limit of names.
    pub fn copy_out_as<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        right: Right,
        name: Name,
    ) -> Result<Name, (Right, KernReturn)> {
        let (port, rights) = match right {
            Right::Send(port) => (port, Rights::SEND),
            Right::Receive(port) => (port, Rights::RECEIVE),
            Right::SendOnce(port) if self.ports.get(port).is_some() => (port, Rights::SEND_ONCE),
            other => return Err((other, KernReturn::InvalidCapability)),
        };
        let held = match rights {
            Rights::SEND_ONCE => None,
            _ => self.names.name_of(space, port),
        };
        match held {
            None => match self.make_name(cx, (space, name), port, rights) {
                Ok(()) => Ok(name),
                Err(code) => Err((right, code)),
            },
            Some(held) if held != name => Err((right, KernReturn::RightExists)),
            Some(_) => {
                let joined = self.copy_out(cx, space, right);
                joined.map_err(|right| (right, KernReturn::ResourceShortage))
            }
        }
    }

    /// Makes a name of the caller's choice for a right, which becomes that name's.
    ///
    /// # Errors
    /// As [`copy_out_as`](Self::copy_out_as).
    pub(super) fn make_name<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (space, name): (SpaceId, Name),
        port: PortId,
        rights: Rights,
    ) -> KernResult<()> {
        if !name.is_valid() || name.index() == 0 {
            return Err(KernReturn::InvalidValue);
        }
        if self.names.is_used(space, name.index()) {
            return Err(KernReturn::NameExists);
        }
        let entry = Entry {
            rights,
            urefs: u16::from(rights != Rights::RECEIVE),
            port: Some(port),
            ..Entry::FREE
        };
        self.new_entry(cx, (space, Some(name)), entry)?;
        if rights == Rights::RECEIVE {
            self.receive_right_arrived(port, space, name);
        }
        Ok(())
    }

    /// Whether a task has threads that nothing suspends: without any, it is looked at whenever somebody lets go of
    /// a right to it.
    pub fn set_task_idle(&mut self, port: PortId, idle: Idle) {
        let Some(record) = self.ports.get_mut(port) else {
            return;
        };
        record.mark = match idle {
            Idle::No => Mark::None,
            Idle::Yet | Idle::Now => Mark::Idle,
        };
        if idle == Idle::Now {
            self.put_on_agenda(port);
        }
    }

    /// Remembers the task behind a port that leaves the agenda, if it may be deserted.
    pub(super) fn look_for_deserted(&mut self, port: PortId) {
        if let Some(Port {
            mark: Mark::Idle,
            kind: Kind::Kernel(Object::Task(task)),
            ..
        }) = self.ports.get(port)
        {
            self.deserted = Some(*task);
        }
    }

    /// The task that [`work_off`](Self::work_off) came upon.
    pub fn take_deserted(&mut self) -> Option<TaskId> {
        self.deserted.take()
    }

    /// How many send rights to a port others hold than the names of a space.
    pub fn rights_outside(&mut self, space: SpaceId, port: PortId) -> u32 {
        let held = self.names.name_of(space, port);
        let entry = held.and_then(|name| self.names.get(space, name));
        let own = entry.is_some_and(|entry| entry.rights.contains(Rights::SEND));
        let all = self.ports.get(port).map_or(0, |port| port.send_rights);
        all.saturating_sub(u32::from(own))
    }

    /// The port of an object is gone: gives back what it stood for.
    pub(super) fn end_object<M: Machine>(&mut self, cx: &mut Context<'_, M>, object: Object) {
        match object {
            Object::Memory(entry) => {
                let (vm, mut context) = cx.vm();
                vm.release_memory_entry(&mut context, entry);
            }
            Object::Semaphore(semaphore) => {
                cx.sched.semaphores.remove(semaphore);
            }
            // The last who could have resumed the thread may be gone.
            Object::Thread(thread) => {
                self.deserted = cx.sched.threads.get(thread).map(|thread| thread.task);
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
