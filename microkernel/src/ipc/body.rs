//! What a message carries beside its words: inline data, port rights, memory.
//!
//! On the way in, every descriptor is read once into a kernel value, and inline data is copied into pages
//! of the message's own; from then on nothing that the sender does changes the message. On the way out,
//! both go into the receiver's buffer. What fails on the way in destroys the message (M-08); what fails on
//! the way out delivers the rest (M-22).

use core::mem::offset_of;

use abi::PAGE_SIZE;
use abi::exception;
use abi::kern_return::{KernReturn, MessageReturn, resource};
use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, Header, MAX_DESCRIPTORS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::Shape;
use arena::Arena;

use super::agenda::Progress;
use super::array::{Placed, RIGHT, Stage};
use super::fast::At;
use super::message::Message;
use super::notice::Watch;
use super::receive::PORT_DESTROYED_SHAPE;
use super::right::Right;
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{ArrayId, BodyId, BodyKind, BufferId, PortId, SpaceId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Machine, Page};
use crate::vm::{After, BUFFER_PAGES, CopyId, STALLED, Vm};

/// What one descriptor carries.
#[derive(Debug)]
pub enum Carried {
    /// A port right.
    Port(Right),
    /// Memory; `None` for a size of 0.
    Memory(Option<CopyId>, u64),
    /// A port right that the receiver has already: its name and disposition.
    Named(Name, u8),
    /// An array of port rights.
    Ports(ArrayId),
    /// An array whose rights the receiver has already.
    Placed(Placed),
    /// Memory that the receiver has already: address and bytes.
    Mapped(u64, u64),
}

/// What a sender is told whose memory could not be copied. [`STALLED`] stays what it is: the send goes on when a page is there.
pub(super) fn memory_error(code: KernReturn) -> MessageReturn {
    match code {
        STALLED => MessageReturn(STALLED.0),
        KernReturn::ResourceShortage => MessageReturn::SendNoBuffer,
        _ => MessageReturn::SendInvalidMemory,
    }
}

/// Data and rights of a queued message.
#[derive(Debug)]
pub struct Body {
    pub(super) carried: heapless::Vec<Carried, MAX_DESCRIPTORS>,
    pub(super) pages: heapless::Vec<Page, BUFFER_PAGES>,
    pub(super) size: usize,
    /// How many rights its arrays have.
    pub(super) ports: u32,
    /// The arrays have rights that must not come to the port that the message goes to.
    pub(super) circular: bool,
    /// What went wrong with arrays that the receiver has.
    pub(super) code: u32,
    /// What its thread is at with it.
    pub(super) stage: Stage,
}

impl Body {
    /// One without pages, and with no rights yet.
    pub(super) fn new(size: usize) -> Self {
        Self {
            carried: empty(),
            pages: empty(),
            size,
            ports: 0,
            circular: false,
            code: 0,
            stage: Stage::Whole,
        }
    }

    /// Pages for the inline data. What is there when it fails is freed with the body.
    pub(super) fn allocate_pages<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        payer: LedgerId,
    ) -> Result<(), Shortage> {
        for _ in 0..self.size.div_ceil(PAGE) {
            cx.ledgers.charge(payer, Resource::Pages, 1)?;
            let page = cx.machine.allocate_page().ok_or(()).and_then(|page| {
                self.pages
                    .push(page)
                    .map_err(|page| cx.machine.free_page(page))
            });
            page.map_err(|()| {
                cx.ledgers.release(payer, Resource::Pages, 1);
                Shortage
            })?;
        }
        Ok(())
    }
}

/// A list without elements. That of `heapless::Vec::new` is a constant, with which the compiler clears the places, too.
fn empty<T, const N: usize>() -> heapless::Vec<T, N> {
    core::iter::empty().collect()
}

/// All bodies.
pub type Bodies = Arena<Body, BodyKind>;

pub(super) const PAGE: usize = PAGE_SIZE as usize;

/// What a receiver finds in its buffer of memory.
fn memory_at(address: u64, size: u64) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: descriptor::DEALLOCATE,
        address,
        size,
        ..Descriptor::default()
    }
}

/// What a receiver finds in its buffer of a right.
fn right_at(name: Name, disposition: u8) -> Descriptor {
    Descriptor {
        kind: descriptor::PORT,
        disposition,
        name: name.0,
        ..Descriptor::default()
    }
}

/// Where inline data begins in a buffer.
const fn data_offset(descriptors: u32) -> usize {
    HEADER_SIZE + descriptors as usize * DESCRIPTOR_SIZE
}

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

    /// A body without pages, and with no rights yet.
    pub(super) fn new_body(&mut self, size: usize) -> Result<BodyId, Shortage> {
        Ok(self.bodies.insert(Body::new(size))?)
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
                let allowed = self.unguard(cx, space, (name, descriptor.address));
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
                    if disposition == disposition::MOVE_RECEIVE && self.is_guarded(space, name) {
                        let tried = (exception::guard::INCORRECT_GUARD, 0);
                        Self::tell_guard(cx, (space, name), tried);
                    }
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
    /// [`Vm::copy_more`] takes.
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
        if self.place_arrays(cx, thread, id) == Progress::More {
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
        let disposition = match right {
            Right::Receive(_) => disposition::MOVE_RECEIVE,
            Right::SendOnce(_) => disposition::MOVE_SEND_ONCE,
            Right::Send(_) | Right::None | Right::Dead => disposition::MOVE_SEND,
        };
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

    /// Ends a body and all that it carries.
    pub(super) fn destroy_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: BodyId,
        payer: Option<LedgerId>,
    ) {
        let body = self.bodies.get_mut(id);
        let carried = body.map(|body| core::mem::take(&mut body.carried));
        let carried = carried.unwrap_or_default();
        self.spent = self.spent.saturating_add(carried.len() as u32);
        // In the order in which they were sent: what follows shows.
        for carried in carried {
            self.end_carried(cx, carried);
        }
        self.free_body(cx, id, payer);
    }

    /// Ends what a message carried and nobody took.
    pub fn end_carried<M: Machine>(&mut self, cx: &mut Context<'_, M>, carried: Carried) {
        match carried {
            Carried::Port(right) => self.release(right),
            Carried::Ports(array) => self.end_array(array),
            // What a receiver has got stays there.
            Carried::Named(..)
            | Carried::Memory(None, _)
            | Carried::Placed(_)
            | Carried::Mapped(..) => {}
            Carried::Memory(Some(copy), _) => {
                let (vm, mut context) = cx.vm();
                vm.copy_discard(&mut context, copy);
            }
        }
    }

    /// How many pages a message's inline data takes.
    pub(crate) fn body_pages(&self, message: &Message) -> u64 {
        let body = message.body.and_then(|body| self.bodies.get(body));
        body.map_or(0, |body| body.pages.len() as u64)
    }

    /// Gives back a body's pages and its place.
    fn free_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: BodyId,
        payer: Option<LedgerId>,
    ) {
        let Some(body) = self.bodies.get(id) else {
            return;
        };
        for page in &body.pages {
            cx.machine.free_page(*page);
            if let Some(payer) = payer {
                cx.ledgers.release(payer, Resource::Pages, 1);
            }
        }
        self.bodies.discard(id);
    }

    /// Whether a message that is about to be queued at `port` carries the receive right that the port itself
    /// travels behind (M-26). Notes, for the next such question, where its receive rights go; arrays did so before.
    pub(super) fn closes_circle(&mut self, body: Option<BodyId>, port: PortId) -> bool {
        let Some(body) = self.bodies.find(body) else {
            return false;
        };
        if body.circular {
            return true;
        }
        let rights = body.carried.iter().filter_map(|carried| match carried {
            Carried::Port(Right::Receive(id)) => Some(*id),
            _ => None,
        });
        if rights.clone().next().is_none() {
            return false;
        }
        let moved: heapless::Vec<PortId, MAX_DESCRIPTORS> = rights.collect();
        if moved.iter().any(|id| self.travels_behind(port, *id)) {
            return true;
        }
        for id in moved {
            self.set_carrier(id, Some(port));
        }
        false
    }
}

/// What a receiver finds in the header of its buffer.
pub(super) struct HeaderFacts {
    pub(super) shape: Shape,
    pub(super) remote: Name,
    pub(super) local: Name,
    pub(super) id: i32,
    pub(super) label: u64,
    pub(super) identity: u64,
    pub(super) sequence: u32,
}

impl HeaderFacts {
    /// An [`abi::message::Header`], as words, without what is reserved at its end.
    #[inline(always)]
    pub(super) fn words(&self) -> [u64; offset_of!(Header, reserved) / size_of::<u64>()] {
        let descriptors = self.shape.descriptors();
        let size = data_offset(descriptors) as u32 + self.shape.size();
        let bits = if descriptors > 0 { 1_u32 << 31 } else { 0 };
        [
            u64::from(bits) | u64::from(size) << 32,
            u64::from(self.remote.0) | u64::from(self.local.0) << 32,
            u64::from(self.id as u32) << 32,
            self.label,
            self.identity,
            u64::from(self.sequence) | u64::from(descriptors) << 32,
        ]
    }
}

/// Whether header, descriptors and data of a shape fit into a buffer.
pub(super) fn fits(vm: &Vm, buffer: Option<BufferId>, shape: Shape) -> bool {
    let Some(buffer) = buffer else { return false };
    let room = vm.buffer_pages(buffer).len() * PAGE;
    let count = shape.descriptors();
    count as usize <= MAX_DESCRIPTORS && data_offset(count) + shape.size() as usize <= room
}

/// Copies bytes from one list of pages to another one.
#[inline(always)]
pub(super) fn copy_span<M: Machine>(
    machine: &mut M,
    (from, from_offset): (&[Page], usize),
    (to, to_offset): (&[Page], usize),
    size: usize,
) {
    let mut done = 0;
    while done < size {
        let (source, target) = (from_offset + done, to_offset + done);
        let room = (PAGE - source % PAGE)
            .min(PAGE - target % PAGE)
            .min(size - done);
        let pages = (from.get(source / PAGE), to.get(target / PAGE));
        let (Some(source_page), Some(target_page)) = pages else {
            return;
        };
        machine.copy(
            (*source_page, source % PAGE),
            (*target_page, target % PAGE),
            room,
        );
        done += room;
    }
}

/// Writes the header into the first page of a receiver's buffer.
fn write_header<M: Machine>(
    machine: &mut M,
    page: Page,
    (at, reply): (At, Name),
    ((id, identity), shape): ((i32, u64), Shape),
) {
    let facts = HeaderFacts {
        shape,
        remote: reply,
        local: at.name,
        id,
        label: at.label,
        identity,
        sequence: at.sequence,
    };
    machine.write_words((page, 0), facts.words());
}

/// All descriptors lie in the first page of a buffer.
const _: () = assert!(data_offset(MAX_DESCRIPTORS as u32) <= PAGE);

/// Reads one descriptor, once.
pub(super) fn read_descriptor<M: Machine>(machine: &mut M, page: Page, index: u32) -> Descriptor {
    let [first, address, size] = machine.read_words((page, data_offset(index)));
    Descriptor {
        kind: first as u8,
        disposition: (first >> 8) as u8,
        flags: (first >> 16) as u16,
        name: (first >> 32) as u32,
        address,
        size,
    }
}

fn write_descriptor<M: Machine>(machine: &mut M, page: Page, index: u32, descriptor: Descriptor) {
    let first = u64::from(descriptor.kind)
        | u64::from(descriptor.disposition) << 8
        | u64::from(descriptor.flags) << 16
        | u64::from(descriptor.name) << 32;
    let words = [first, descriptor.address, descriptor.size];
    machine.write_words((page, data_offset(index)), words);
}
