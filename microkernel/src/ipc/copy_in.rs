//! A message's body on its way in: each descriptor is read once, inline data is copied into pages of its own.

use abi::kern_return::MessageReturn;
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};

use super::agenda::Progress;
use super::body::{Carried, memory_error};
use super::layout::{copy_span, data_offset};
use super::message::Message;
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{SpaceId, ThreadId};
use crate::machine::Machine;
use crate::vm::{After, CopyId};

impl Ipc {
    /// Begins to copy descriptors out of the sender's buffer; what they carry is in the message's body then.
    /// [`copy_in_step`](Self::copy_in_step) does the rest.
    ///
    /// # Errors
    /// `SendInvalidRight`, `SendInvalidMemory`, `SendInvalidType`, `SendTooLarge`: too many rights in arrays ·
    /// `SendNoBuffer`. What was copied in is in the message, to be destroyed with it.
    #[inline(never)]
    pub(super) fn copy_in_rights<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        message: &mut Message,
    ) -> Result<Progress, MessageReturn> {
        let id = self.new_body(0).map_err(|_| MessageReturn::SendNoBuffer)?;
        message.body = Some(id);
        self.copy_in_step(cx, thread, (id, message.port), message.shape)
    }

    pub(super) fn copy_in_descriptor<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, space): (ThreadId, SpaceId),
        descriptor: Descriptor,
    ) -> Result<Carried, MessageReturn> {
        match descriptor.kind {
            descriptor::PORT => {
                let (name, disposition) = (Name(descriptor.name), descriptor.disposition);
                if super::right::needed(disposition).is_none() {
                    return Err(MessageReturn::SendInvalidType);
                }
                let right = self.copy_in_port(cx, (thread, space), (name, disposition));
                right.map(Carried::Port)
            }
            descriptor::OUT_OF_LINE | descriptor::OUT_OF_LINE_VOLATILE => {
                self.copy_in_memory(cx, space, descriptor)
            }
            descriptor::GUARDED_PORT if descriptor.disposition == disposition::MOVE_RECEIVE => {
                let name = Name(descriptor.name);
                let allowed = self.unguard_to_move(cx, space, (name, descriptor.address));
                allowed.map_err(|_| MessageReturn::SendInvalidRight)?;
                let right = self.copy_in(cx, space, name, disposition::MOVE_RECEIVE);
                Ok(Carried::Port(right))
            }
            _ => Err(MessageReturn::SendInvalidType),
        }
    }

    /// Takes the right of a descriptor or of an element of an array out of the sender's names.
    ///
    /// # Errors
    /// `SendInvalidRight`: the name does not have it.
    pub(super) fn copy_in_port<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, space): (ThreadId, SpaceId),
        (name, disposition): (Name, u8),
    ) -> Result<Right, MessageReturn> {
        match name {
            Name::NULL => Ok(Right::None),
            Name::DEAD => Ok(Right::Dead),
            Name::REPLY_SLOT if disposition == disposition::MOVE_SEND_ONCE => {
                match Self::empty_slot(cx, thread) {
                    Right::None => Err(MessageReturn::SendInvalidRight),
                    right => Ok(right),
                }
            }
            name => {
                if self.can_copy_in(space, name, disposition).is_err() {
                    self.tell_kept(cx, (space, name), disposition);
                    return Err(MessageReturn::SendInvalidRight);
                }
                Ok(self.copy_in(cx, space, name, disposition))
            }
        }
    }

    fn copy_in_memory<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        descriptor: Descriptor,
    ) -> Result<Carried, MessageReturn> {
        if descriptor.flags & !descriptor::DEALLOCATE != 0 {
            return Err(MessageReturn::SendInvalidType);
        }
        if descriptor.size == 0 {
            return Ok(Carried::Memory(None, 0));
        }
        let copy = self.snapshot(cx, space, descriptor)?;
        Ok(Carried::Memory(Some(copy), descriptor.size))
    }

    /// A snapshot of the memory that a descriptor shows, which leaves the sender if the descriptor says so. It may lack what
    /// [`copy_more`](crate::vm::Vm::copy_more) takes.
    ///
    /// # Errors
    /// `SendInvalidMemory`, `SendNoBuffer`.
    pub(super) fn snapshot<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        descriptor: Descriptor,
    ) -> Result<CopyId, MessageReturn> {
        let invalid = MessageReturn::SendInvalidMemory;
        let after = match descriptor.flags & descriptor::DEALLOCATE {
            0 => After::Keep,
            _ => After::Deallocate,
        };
        let map = self.names.space(space).ok_or(invalid)?.map;
        let (vm, mut context) = cx.vm();
        let range = (descriptor.address, descriptor.size);
        vm.copy_out(&mut context, map, range, after)
            .map_err(memory_error)
    }

    /// Copies inline data out of the sender's buffer into pages of the body's own, which the message's payer
    /// pays for.
    ///
    /// # Errors
    /// `SendNoBuffer`; as in [`copy_in_rights`](Self::copy_in_rights).
    pub(super) fn copy_in_data<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        message: &mut Message,
    ) -> Result<(), MessageReturn> {
        let shortage = MessageReturn::SendNoBuffer;
        let record = cx.sched.threads.get(thread).ok_or(shortage)?;
        let (buffer, payer) = (record.buffer, message.payer);
        let (buffer, payer) = (buffer.ok_or(shortage)?, payer.ok_or(shortage)?);
        let id = match message.body {
            Some(id) => id,
            None => self.new_body(0).map_err(|_| shortage)?,
        };
        message.body = Some(id);
        let body = self.bodies.get_mut(id).ok_or(shortage)?;
        body.size = message.shape.size() as usize;
        body.allocate_pages(cx, payer).map_err(|_| shortage)?;
        let offset = data_offset(message.shape.descriptors());
        let from = cx.vm.buffer_pages(buffer);
        copy_span(cx.machine, (from, offset), (&body.pages, 0), body.size);
        Ok(())
    }
}
