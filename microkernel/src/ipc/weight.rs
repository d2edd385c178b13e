//! Memory of messages in steps: how much of a step it takes to copy it from its sender, and to map it for its receiver.
//!
//! A step moves what weighs as much as [`STEP`] says: rights, each of [`RIGHT`], or memory.

use abi::kern_return::{MessageReturn, resource};
use abi::message::{Descriptor, descriptor};

use super::array::{NAME, RIGHT, STEP};
use super::body::Carried;
use super::message::Message;
use super::{Context, Ipc};
use crate::base::ids::{BodyId, SpaceId};
use crate::machine::Machine;
use crate::vm::{self, CopyId, Vm};

/// How much of a step a descriptor takes at once: a right, or pages of memory.
pub(super) fn weight_of(descriptor: &Descriptor) -> usize {
    let bytes = match descriptor.kind {
        descriptor::OUT_OF_LINE | descriptor::OUT_OF_LINE_VOLATILE => descriptor.size,
        descriptor::OUT_OF_LINE_PORTS => u64::from(descriptor.name) * NAME as u64,
        _ => return RIGHT,
    };
    // A page more than it is: it need not begin where a page does.
    let pages = (bytes / abi::PAGE_SIZE)
        .saturating_add(2)
        .min(vm::COPY_STEP);
    pages as usize * (STEP / vm::COPY_STEP as usize)
}

impl Ipc {
    /// The memory that was begun last, if not all of it was copied.
    pub(super) fn unfinished<M: Machine>(&self, cx: &Context<'_, M>, id: BodyId) -> Option<CopyId> {
        match self.bodies.get(id)?.carried.last()? {
            Carried::Memory(Some(copy), _) if !cx.vm.copy_is_whole(*copy) => Some(*copy),
            _ => None,
        }
    }

    /// Whether a message has more rights and memory than one step brings to its receiver.
    pub(super) fn takes_steps(&self, vm: &Vm, message: &Message) -> bool {
        let Some(body) = self.bodies.find(message.body) else {
            return false;
        };
        let weight = |carried: &Carried| match carried {
            Carried::Memory(Some(copy), _) => vm.copy_weight(*copy),
            Carried::Port(_) => RIGHT as u64,
            _ => 0,
        };
        let other: u64 = body.carried.iter().map(weight).sum();
        u64::from(body.ports) * RIGHT as u64 + other > STEP as u64
    }

    /// Maps memory, if it fits into the budget or the budget is whole.
    pub(super) fn place_memory_step<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (body, space): (BodyId, SpaceId),
        (copy, size): (CopyId, u64),
        budget: &mut usize,
    ) -> Option<Carried> {
        let weight = cx.vm.copy_weight(copy) as usize;
        if weight > *budget && *budget < STEP {
            return None;
        }
        *budget = budget.saturating_sub(weight);
        let placed = self.place_copy(cx, space, (Some(copy), size));
        let (address, size) = placed.unwrap_or_else(|()| {
            self.blame(body, resource::VM_SPACE);
            (0, 0)
        });
        Some(Carried::Mapped(address, size))
    }

    /// Copies a right of a message with many of them out, if that fits into the budget.
    pub(super) fn place_port_step<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (id, space): (BodyId, SpaceId),
        index: usize,
        budget: &mut usize,
    ) -> Option<Carried> {
        *budget = budget.checked_sub(RIGHT)?;
        let right = self.take_carried(id, index);
        let mut code = MessageReturn::Success;
        let (name, disposition) = self.name_right(cx, space, right, &mut code);
        if code != MessageReturn::Success {
            self.blame(id, resource::IPC_SPACE);
        }
        Some(Carried::Named(name, disposition))
    }
}
