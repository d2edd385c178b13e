//! A message's body on its way out: into the receiver's buffer, names and memory.

use abi::kern_return::{MessageReturn, resource};
use abi::message::Descriptor;
use abi::names::Name;
use abi::registers::Shape;

use super::agenda::Progress;
use super::array::RIGHT;
use super::body::Carried;
use super::fast::At;
use super::layout::{
    PAGE, copy_span, data_offset, fits, memory_at, right_at, write_descriptor, write_header,
};
use super::message::Message;
use super::notice::Watch;
use super::receive::PORT_DESTROYED_SHAPE;
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{BodyId, BufferId, PortId, SpaceId, ThreadId};
use crate::base::ledger::LedgerId;
use crate::machine::{Machine, Page};
use crate::vm::CopyId;

impl Ipc {
    /// Whether the next message at a port is too large for a thread that wants such messages to stay.
    ///
    /// If so, the thread's registers say how large it is (M-33).
    pub(super) fn refuses_large<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        id: PortId,
    ) -> bool {
        let Some(port) = self.ports.get(id) else {
            return false;
        };
        let Some(record) = cx.sched.threads.get(thread) else {
            return false;
        };
        if !port.pending.is_empty() {
            return false;
        }
        let first = port.messages.first().and_then(|id| self.messages.get(id));
        let notice = port.notices.first().and_then(|id| self.notices.get(id));
        let shape = match (notice.map(|notice| notice.watch), first) {
            (Some(Watch::PortDestroyed { .. }), _) => PORT_DESTROYED_SHAPE,
            (None, Some(message)) => message.shape,
            _ => return false,
        };
        if !shape.is_buffered() || fits(cx.vm, record.buffer, shape) {
            return false;
        }
        let (name, label) = (port.name, port.label);
        let frame = cx.machine.frame(thread.index());
        frame.rax = MessageReturn::ReceiveTooLarge.0.into();
        frame.rdi = abi::registers::pair(shape.0, name.0);
        frame.rsi = label;
        true
    }

    /// Writes a message's body into the receiver's buffer, and answers the shape that is there now.
    pub(super) fn deliver_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, from): (ThreadId, Option<BufferId>),
        message: &mut Message,
        (at, reply): (At, Name),
        code: &mut MessageReturn,
    ) -> Shape {
        let Some(record) = cx.sched.threads.get(thread) else {
            return Shape::SHORT;
        };
        let space = record.space;
        let (buffer, page) = match (record.buffer, record.buffer_page) {
            (Some(buffer), Some(page)) if fits(cx.vm, Some(buffer), message.shape) => {
                (buffer, page)
            }
            _ => {
                if let Some(id) = message.body.take() {
                    self.destroy_body(cx, id, message.payer);
                }
                *code = MessageReturn::ReceiveTooLarge;
                return message.shape;
            }
        };
        let sender = (message.id, message.identity);
        let at = match message.body.and_then(|body| self.bodies.get(body)) {
            Some(body) => body.stage.at(at),
            None => at,
        };
        write_header(cx.machine, page, (at, reply), (sender, message.shape));
        if let Some(from) = from {
            let offset = data_offset(message.shape.descriptors());
            let (from, to) = (cx.vm.buffer_pages(from), cx.vm.buffer_pages(buffer));
            let size = message.shape.size() as usize;
            copy_span(cx.machine, (from, offset), (to, offset), size);
        }
        if let Some(id) = message.body.take() {
            let body = (id, message.shape, message.payer);
            code.0 |= self
                .deliver_carried(cx, thread, (space, buffer, page), body)
                .0;
        }
        message.shape
    }

    /// Writes what a body carries into the receiver's buffer, and ends the body; what went wrong with it.
    #[inline(never)]
    fn deliver_carried<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (space, buffer, page): (SpaceId, BufferId, Page),
        (id, shape, payer): (BodyId, Shape, Option<LedgerId>),
    ) -> MessageReturn {
        if self.has_arrays(id) && self.place_arrays(cx, thread, id) == Progress::More {
            debug_assert!(false, "what takes steps was placed before");
        }
        let weight = shape.descriptors() * RIGHT as u32;
        self.spent = self.spent.saturating_add(weight);
        let mut code = MessageReturn::Success;
        for index in 0..shape.descriptors() {
            let carried = self.bodies.get_mut(id).and_then(|body| {
                // Taken from the front one by one; what is taken is replaced by nothing.
                body.carried.get_mut(index as usize)
            });
            let Some(carried) = carried else { break };
            let carried = core::mem::replace(carried, Carried::Port(Right::None));
            let descriptor = self.copy_out_descriptor(cx, space, carried, &mut code);
            write_descriptor(cx.machine, page, index, descriptor);
        }
        if let Some(body) = self.bodies.get(id) {
            if body.size > 0 {
                let to = (cx.vm.buffer_pages(buffer), data_offset(shape.descriptors()));
                copy_span(cx.machine, (&body.pages, 0), to, body.size);
            }
            code.0 |= body.code;
        }
        self.free_body(cx, id, payer);
        code
    }

    /// Reads the first bytes of a message's inline data, which lies in its body or still in the buffer `from`.
    pub(super) fn read_inline<M: Machine>(
        &self,
        cx: &mut Context<'_, M>,
        (message, from): (&Message, Option<BufferId>),
        bytes: &mut [u8],
    ) {
        let offset = data_offset(message.shape.descriptors());
        let body = message.body.and_then(|body| self.bodies.get(body));
        let (page, offset) = match (body, from) {
            (Some(body), None) => (body.pages.first(), 0),
            (_, Some(from)) => (cx.vm.buffer_pages(from).first(), offset),
            (None, None) => (None, 0),
        };
        // What the kernel reads so lies in the first page.
        if let Some(page) = page
            && offset + bytes.len() <= PAGE
        {
            cx.machine.read((*page, offset), bytes);
        }
    }

    /// Puts a mailed receive right into the receiver's space, and its descriptor into the buffer.
    pub(super) fn copy_out_receive_right<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (port, message): (PortId, &Message),
        right: PortId,
    ) -> MessageReturn {
        let place = cx
            .sched
            .threads
            .get(thread)
            .and_then(|t| t.buffer_page.map(|page| (t.space, page)));
        let Some((space, page)) = place else {
            self.release(Right::Receive(right));
            return MessageReturn::ReceiveTooLarge;
        };
        let mut code = MessageReturn::Success;
        let place = (self.at(port, space), Name::NULL);
        let sender = (message.id, message.identity);
        write_header(cx.machine, page, place, (sender, PORT_DESTROYED_SHAPE));
        let carried = Carried::Port(Right::Receive(right));
        let descriptor = self.copy_out_descriptor(cx, space, carried, &mut code);
        write_descriptor(cx.machine, page, 0, descriptor);
        code
    }

    /// Writes the kernel's answer to a thread into its buffer: at most one right or memory, and data.
    pub(super) fn deliver_answer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        place: (PortId, i32),
        carried: Option<Carried>,
        data: &[u8],
    ) -> MessageReturn {
        let shape = Shape::buffered(data.len() as u32, u32::from(carried.is_some()));
        let record = cx.sched.threads.get(thread);
        let into = record.and_then(|thread| {
            let buffer = thread.buffer.zip(thread.buffer_page);
            buffer.map(|(buffer, page)| (thread.space, buffer, page))
        });
        let Some((space, buffer, page)) = into.filter(|(_, to, _)| fits(cx.vm, Some(*to), shape))
        else {
            if let Some(carried) = carried {
                self.end_carried(cx, carried);
            }
            return MessageReturn::ReceiveTooLarge;
        };
        let (port, id) = place;
        let at = self.at(port, space);
        write_header(cx.machine, page, (at, Name::NULL), ((id, 0), shape));
        let mut code = MessageReturn::Success;
        if let Some(carried) = carried {
            let descriptor = self.copy_out_descriptor(cx, space, carried, &mut code);
            write_descriptor(cx.machine, page, 0, descriptor);
        }
        let mut data = data;
        let mut offset = data_offset(shape.descriptors());
        for page in cx.vm.buffer_pages(buffer) {
            let (part, rest) = data.split_at(data.len().min(PAGE - offset));
            cx.machine.write((*page, offset), part);
            (data, offset) = (rest, 0);
            if data.is_empty() {
                break;
            }
        }
        code
    }

    fn copy_out_descriptor<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        carried: Carried,
        code: &mut MessageReturn,
    ) -> Descriptor {
        match carried {
            Carried::Port(right) => {
                let (name, disposition) = self.name_right(cx, space, right, code);
                right_at(name, disposition)
            }
            Carried::Named(name, disposition) => right_at(name, disposition),
            Carried::Placed(placed) => placed.descriptor(),
            Carried::Ports(array) => {
                debug_assert!(false, "arrays are placed before they are delivered");
                self.end_array(array);
                Descriptor::default()
            }
            Carried::Mapped(address, size) => memory_at(address, size),
            Carried::Memory(copy, size) => {
                let placed = self.place_copy(cx, space, (copy, size));
                let (address, size) = placed.unwrap_or_else(|()| {
                    code.0 |= MessageReturn::ReceiveBodyError.0 | resource::VM_SPACE;
                    (0, 0)
                });
                memory_at(address, size)
            }
        }
    }

    /// Gives a receiver a right, or ends it: its name and disposition.
    #[inline]
    pub(super) fn name_right<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        right: Right,
        code: &mut MessageReturn,
    ) -> (Name, u8) {
        let disposition = right.disposition();
        let name = self.copy_out(cx, space, right).unwrap_or_else(|right| {
            self.release(right);
            code.0 |= MessageReturn::ReceiveBodyError.0 | resource::IPC_SPACE;
            Name::NULL
        });
        (name, disposition)
    }

    /// Puts memory into a receiver's map, or ends it: address and bytes.
    pub(super) fn place_copy<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        (copy, size): (Option<CopyId>, u64),
    ) -> Result<(u64, u64), ()> {
        let map = self.names.space(space).map(|space| space.map);
        let (vm, mut context) = cx.vm();
        let place = match (copy, map) {
            (Some(copy), Some(map)) => vm.copy_in(&mut context, map, copy),
            _ => Ok(0),
        };
        place.map(|address| (address, size)).map_err(|_| {
            self.end_carried(cx, Carried::Memory(copy, size));
        })
    }
}
