//! The default pager: a port of a task's own that becomes a memory object of the kernel's. Programs never make it put pages
//! away.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use interfaces::memory_object::MemoryObject;

use super::body::Part;
use super::names::{Answer, accept, refuse};
use super::{Carried, Holder, Message, Model, PortId, TaskId, Verdict};

/// The memory object's ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Store {
    object: PortId,
    /// The kernel's own two.
    ports: [PortId; 2],
}

impl Model {
    /// The kernel has a right to its pager's port, and tells it of two of its own.
    pub(super) fn set_store(&mut self, task: TaskId, name: Name, seen: Answer) -> Verdict {
        let port = match self.refuses_store(task, name) {
            Err(code) => return refuse(seen, &[code]),
            Ok(port) => port,
        };
        accept(seen)?;
        let ports = [(); 2].map(|()| self.new_port(Holder::Kernel));
        let object = port;
        self.store = Some(Store { object, ports });
        let message = Message {
            batch: self.batch,
            // It comes in the order of what tasks send.
            from_kernel: false,
            id: <dyn MemoryObject>::INIT.id,
            words: vec![PAGE_SIZE],
            first: PAGE_SIZE,
            data: None,
            remote: Carried::Null,
            local: Carried::Null,
            rights: ports.map(Carried::Send).to_vec(),
            parts: vec![Part::Right; 2],
        };
        self.push(port, message);
        Ok(())
    }

    fn refuses_store(&self, task: TaskId, name: Name) -> Result<PortId, Code> {
        let port = self.sends_to(task, name).ok_or(Code::InvalidCapability)?;
        let is_one = self.store.is_some_and(|store| store.object == port);
        match self.ports[port].holder {
            Holder::Task(_) if self.object_at(port).is_some() => Err(Code::InvalidRight),
            Holder::Task(_) if is_one => Err(Code::InvalidRight),
            Holder::Task(_) if self.store.is_some() => Err(Code::NameExists),
            Holder::Task(_) => Ok(port),
            _ => Err(Code::InvalidRight),
        }
    }

    /// Whether there is one.
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// How many rights to a port the kernel has because it is the store.
    pub(super) fn kept_as_store(&self, port: PortId) -> u64 {
        let is_it = self.store.is_some_and(|store| store.object == port);
        u64::from(is_it)
    }

    /// The pager's port dies, and the object with it.
    pub(super) fn end_store(&mut self, port: PortId) {
        if let Some(store) = self.store.take_if(|store| store.object == port) {
            self.unsettled = true;
            for port in store.ports {
                self.die(port);
            }
        }
    }
}
