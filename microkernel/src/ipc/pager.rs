//! The kernel's messages to pagers, and the ports of memory objects.
//!
//! A memory object is a port whose receive right a pager has. The first mapping of it makes two ports of the kernel's
//! own: *control*, which the pager answers to, and *name*, and tells the pager of both. What is sent are the
//! messages of `interfaces::memory_object`, short or with descriptors alone.
//!
//! The message that says that the object has ended is made with the object: that end needs no memory.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{WORDS, descriptor};
use abi::names::queue_limit;
use abi::registers::Shape;
use interfaces::memory_object::MemoryObject;

use super::agenda::Progress;
use super::body::{Body, Carried};
use super::layout::read_descriptor;
use super::message::Message;
use super::port::{Kind, Object};
use super::right::Right;
use super::{Context, Ipc};
use crate::base::ids::{BodyId, MessageId, PortId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::base::{KernResult, Shortage};
use crate::machine::Machine;
use crate::vm::{AWAITED_PAGES, Ask, COPY_STEP, Cursor, PagerId, PagerPorts, Question, STALLED};
use crate::vm::{ReclaimStep, Returned, Room, Source, Victim, whole_pages};

/// Messages that may wait at a pager's port when pages come back that it did not ask for: who is slow is waited for.
pub const MAX_RETURNS: u32 = 16;

impl Ipc {
    /// What mapping a port shows: a memory entry, or a memory object from a byte on, which is made when there is none
    /// yet. A memory object comes with a reference, to be given back by [`Vm::drop_pager`](crate::vm::Vm::drop_pager).
    ///
    /// # Errors
    /// `InvalidRight`: the port is neither. `ResourceShortage`: the pager cannot pay for an object.
    pub fn map_source<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port: PortId,
        offset: u64,
        payer: LedgerId,
    ) -> KernResult<Source> {
        let here = self.ports.get(port).ok_or(KernReturn::InvalidCapability)?;
        match here.kind {
            Kind::Kernel(Object::Memory(entry)) => return Ok(Source::Entry(entry, offset)),
            Kind::Plain => {}
            Kind::Kernel(_) | Kind::Set | Kind::Reply(_) => return Err(KernReturn::InvalidRight),
        }
        let holder = here.space.and_then(|space| self.names.space(space));
        let payer = holder.map_or(payer, |holder| holder.ledger);
        let pager = match cx.vm.pager_at(port) {
            // The kernel alone uses the store.
            Some(pager) if cx.vm.store() == Some(pager) => return Err(KernReturn::InvalidRight),
            Some(pager) => {
                cx.vm.keep_pager(pager);
                pager
            }
            None => self.create_memory_object(cx, port, payer)?,
        };
        Ok(Source::Pager(pager, offset))
    }

    /// Makes a port that is no memory object yet the store, with room for so many pages.
    ///
    /// # Errors
    /// `InvalidRight`: the port is none of a task's own, or a memory object already. `NameExists`: there is a store.
    /// `ResourceShortage`: its task cannot pay for an object.
    pub fn set_store<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port: PortId,
        pages: u64,
    ) -> KernResult<LedgerId> {
        let here = self.ports.get(port).ok_or(KernReturn::InvalidCapability)?;
        let space = here.space.and_then(|space| self.names.space(space));
        let payer = space.filter(|_| matches!(here.kind, Kind::Plain));
        let payer = payer.ok_or(KernReturn::InvalidRight)?.ledger;
        if cx.vm.pager_at(port).is_some() {
            return Err(KernReturn::InvalidRight);
        }
        if cx.vm.store().is_some() {
            return Err(KernReturn::NameExists);
        }
        let pager = self.create_memory_object(cx, port, payer)?;
        let set = cx.vm.set_store(pager, pages);
        set.inspect_err(|_| cx.vm.drop_pager(pager))?;
        Ok(payer)
    }

    fn create_memory_object<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port: PortId,
        payer: LedgerId,
    ) -> KernResult<PagerId> {
        let control = self.create_port(Kind::Plain)?;
        let name = self
            .create_port(Kind::Plain)
            .inspect_err(|_| self.destroy_port(control))?;
        let made = self.reserve_farewell(port).and_then(|farewell| {
            let ports = PagerPorts {
                object: port,
                control,
                name,
                farewell,
            };
            let (vm, mut context) = cx.vm();
            vm.create_pager(&mut context, ports, payer)
                .inspect_err(|_| self.drop_farewell(farewell))
        });
        let pager = made.inspect_err(|_| {
            self.destroy_port(control);
            self.destroy_port(name);
        })?;
        self.set_kind(control, Object::MemoryControl(pager));
        self.set_kind(name, Object::MemoryName(pager));
        // Kept as long as the object: the pager hears of no lack of senders while it is needed.
        let kept = self.make_send(port);
        debug_assert!(matches!(kept, Right::Send(_)));
        let rights = [self.make_send(control), self.make_send(name)].map(Carried::Port);
        let id = <dyn MemoryObject>::INIT.id;
        let words = [PAGE_SIZE, 0, 0, 0, 0, 0];
        if self.tell(cx, (port, id), words, rights, payer).is_err() {
            cx.vm.abandon_pager(pager);
            cx.vm.drop_pager(pager);
            return Err(KernReturn::ResourceShortage);
        }
        Ok(pager)
    }

    /// Before a message is sent: makes its memory present where only a pager can, in steps, between which the trap is done
    /// again. What is there when the message takes it is checked then.
    ///
    /// # Errors
    /// [`STALLED`], as a code of messages.
    pub(super) fn await_memory<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        shape: Shape,
    ) -> Result<Progress, MessageReturn> {
        let Some(record) = cx.sched.threads.get(thread) else {
            return Ok(Progress::Done);
        };
        let map = self.names.space(record.space).map(|space| space.map);
        let (Some(page), Some(map)) = (record.buffer_page, map) else {
            return Ok(Progress::Done);
        };
        // Pages that earlier steps have looked at, and those of the descriptors before.
        let (mut done, mut before, mut budget) = (u64::from(record.awaited), 0, COPY_STEP);
        for index in 0..shape.descriptors() {
            let descriptor = read_descriptor(cx.machine, page, index);
            let size = match descriptor.kind {
                descriptor::OUT_OF_LINE | descriptor::OUT_OF_LINE_VOLATILE => descriptor.size,
                descriptor::OUT_OF_LINE_PORTS => {
                    u64::from(descriptor.name) * size_of::<u32>() as u64
                }
                _ => continue,
            };
            let range = whole_pages(descriptor.address, size.min(AWAITED_PAGES * PAGE_SIZE));
            let range = range.map_or(0..0, |pages| pages.start / PAGE_SIZE..pages.end / PAGE_SIZE);
            let pages = range.end - range.start;
            while done < before + pages {
                if budget == 0 {
                    self.note_awaited(cx, thread, done);
                    return Ok(Progress::More);
                }
                let start = range.start + (done - before);
                let end = range.end.min(start + budget);
                let (vm, mut context) = cx.vm();
                let part = start * PAGE_SIZE..end * PAGE_SIZE;
                if vm.await_range(&mut context, map, part) == Err(STALLED) {
                    self.note_awaited(cx, thread, done);
                    return Err(MessageReturn(STALLED.0));
                }
                (done, budget) = (done + (end - start), budget - (end - start));
            }
            before += pages;
        }
        self.note_awaited(cx, thread, 0);
        Ok(Progress::Done)
    }

    /// Where a send goes on when its trap is done again.
    fn note_awaited<M: Machine>(&self, cx: &mut Context<'_, M>, thread: ThreadId, pages: u64) {
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.awaited = u32::try_from(pages).unwrap_or(u32::MAX);
        }
    }

    fn set_kind(&mut self, port: PortId, object: Object) {
        if let Some(port) = self.ports.get_mut(port) {
            port.kind = Kind::Kernel(object);
        }
    }

    /// Asks a pager.
    ///
    /// # Errors
    /// [`Shortage`]: there is no memory for the message, or who waits cannot pay for it.
    pub fn ask_pager<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        ask: &Ask,
    ) -> Result<(), Shortage> {
        let (plan, access) = match ask.question {
            Question::Data(access) => (<dyn MemoryObject>::DATA_REQUEST, access),
            Question::Unlock(access) => (<dyn MemoryObject>::DATA_UNLOCK, access),
        };
        let words = [ask.offset, PAGE_SIZE, access.into(), 0, 0, 0];
        self.tell(cx, (ask.port, plan.id), words, [], ask.payer)
    }

    /// Gives a pager pages back, those that [`Vm::collect`](crate::vm::Vm::collect) takes from the cursor on. `limit` is how
    /// many messages may wait at its port then.
    ///
    /// # Errors
    /// `ResourceShortage`: the pager cannot pay, or its queue is full. The pages stay, and are as before.
    pub fn return_data<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        to: (PagerId, u32),
        cursor: Cursor,
    ) -> KernResult<()> {
        self.for_heir(cx, to.0, |ipc, cx| ipc.return_pages(cx, to, cursor))
    }

    /// Lets who pays for a memory object pay, within the limits, even if that task is gone: what the object has is still to
    /// come back to whoever has its port now.
    fn for_heir<M: Machine, R>(
        &mut self,
        cx: &mut Context<'_, M>,
        pager: PagerId,
        work: impl FnOnce(&mut Self, &mut Context<'_, M>) -> R,
    ) -> R {
        let payer = cx.vm.pager_payer(pager);
        let closed = payer.filter(|payer| cx.ledgers.reopen(*payer));
        let result = work(self, cx);
        if let Some(payer) = closed {
            cx.ledgers.close(payer);
        }
        result
    }

    fn return_pages<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (pager, limit): (PagerId, u32),
        cursor: Cursor,
    ) -> KernResult<()> {
        let made = self.reserve_return(cx, (pager, limit));
        let (message, body) = made.inspect_err(|_| cx.vm.stop_order(pager, cursor))?;
        let (vm, mut context) = cx.vm();
        let returned = vm.collect(&mut context, pager, cursor).inspect_err(|_| {
            self.unmake_message(cx, message);
            self.bodies.remove(body);
        })?;
        self.send_return(cx, (message, body), &returned);
        Ok(())
    }

    fn send_return<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (message, body): (MessageId, BodyId),
        returned: &Returned,
    ) {
        if let Some(message) = self.messages.get_mut(message) {
            let [dirty, kept] = [returned.dirty, returned.kept].map(u64::from);
            message.words = [returned.offset, dirty, kept, 0, 0, 0];
        }
        self.paged_out += returned.size / PAGE_SIZE;
        self.attach_body(message, body, 1);
        let memory = Carried::Memory(Some(returned.copy), returned.size);
        self.carry(message, [memory]);
        self.enqueue(cx, message);
    }

    fn reserve_return<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (pager, limit): (PagerId, u32),
    ) -> KernResult<(MessageId, BodyId)> {
        let gone = KernReturn::Terminated;
        let ports = cx.vm.pager_ports(pager).ok_or(gone)?;
        let queue = &self.ports.get(ports.object).ok_or(gone)?.messages;
        if queue.count() >= limit {
            return Err(KernReturn::ResourceShortage);
        }
        let payer = cx.vm.pager_payer(pager).ok_or(gone)?;
        let to = (ports.object, <dyn MemoryObject>::DATA_RETURN.id);
        let message = self.make_message(cx, to, [0; WORDS], payer)?;
        let body = self.empty_body();
        let body = body.inspect_err(|_| self.unmake_message(cx, message))?;
        Ok((message, body))
    }

    /// Goes on with page-out.
    pub fn reclaim<M: Machine>(&mut self, cx: &mut Context<'_, M>) {
        let room = match self.waiting_at_store(cx) {
            0 => Room::Idle,
            MAX_RETURNS.. => Room::Full,
            _ => Room::Some,
        };
        let (vm, mut context) = cx.vm();
        match vm.reclaim_step(&mut context, room) {
            ReclaimStep::Done => {}
            ReclaimStep::Return(pager, cursor) => {
                // What cannot be returned now stays, and the hand is past it.
                if self.return_data(cx, (pager, MAX_RETURNS), cursor).is_ok() {
                    cx.vm.note_reclaimed();
                }
            }
            ReclaimStep::Store(victim) => self.put_away(cx, victim),
        }
    }

    /// How many messages wait at the store's port.
    fn waiting_at_store<M: Machine>(&self, cx: &Context<'_, M>) -> u32 {
        let ports = cx.vm.store().and_then(|store| cx.vm.pager_ports(store));
        let port = ports.and_then(|ports| self.ports.get(ports.object));
        port.map_or(0, |port| port.messages.count())
    }

    /// Sends a page to the store. One that cannot be sent now stays, and the hand is past it.
    fn put_away<M: Machine>(&mut self, cx: &mut Context<'_, M>, victim: Victim) {
        let Some(store) = cx.vm.store() else {
            return;
        };
        let Ok((message, body)) = self.reserve_return(cx, (store, MAX_RETURNS)) else {
            return;
        };
        let (vm, mut context) = cx.vm();
        match vm.put_away(&mut context, victim) {
            Ok(returned) => {
                self.send_return(cx, (message, body), &returned);
                cx.vm.note_reclaimed();
            }
            Err(_) => {
                self.unmake_message(cx, message);
                self.bodies.remove(body);
            }
        }
    }

    /// Tells the store's pager what it can forget.
    pub fn discard<M: Machine>(&mut self, cx: &mut Context<'_, M>) {
        let reserved = match cx.vm.store() {
            None => None,
            Some(_) if self.waiting_at_store(cx) >= MAX_RETURNS => {
                return cx.vm.hold_discards();
            }
            Some(store) => {
                let ports = cx.vm.pager_ports(store);
                let payer = cx.vm.pager_payer(store);
                let (Some(ports), Some(payer)) = (ports, payer) else {
                    return cx.vm.hold_discards();
                };
                let to = (ports.object, <dyn MemoryObject>::DISCARD_REQUEST.id);
                let Ok(message) = self.make_message(cx, to, [0; WORDS], payer) else {
                    return cx.vm.hold_discards();
                };
                Some(message)
            }
        };
        let (vm, mut context) = cx.vm();
        match (vm.take_discards(&mut context), reserved) {
            (Some((offset, size)), Some(id)) => {
                if let Some(message) = self.messages.get_mut(id) {
                    message.words = [offset, size, 0, 0, 0, 0];
                }
                self.enqueue(cx, id);
            }
            (_, Some(id)) => self.unmake_message(cx, id),
            (_, None) => {}
        }
    }

    /// Forgets a message that was not sent and carries nothing.
    fn unmake_message<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: MessageId) {
        if let Some(payer) = self.messages.remove(id).and_then(|message| message.payer) {
            cx.ledgers.release(payer, Resource::Messages, 1);
        }
    }

    /// Goes on with the end of a memory object.
    pub fn close_memory_object<M: Machine>(&mut self, cx: &mut Context<'_, M>, pager: PagerId) {
        let (vm, mut context) = cx.vm();
        if let Some(cursor) = vm.close_step(&mut context, pager)
            && self.return_data(cx, (pager, MAX_RETURNS), cursor).is_err()
        {
            cx.vm.hold_pager(pager);
        }
    }

    /// Sends a message of the kernel's to a pager.
    ///
    /// # Errors
    /// [`Shortage`]: no memory, or `payer` has no message left, or the queue holds all that any may. What it was to
    /// carry has ended.
    fn tell<M: Machine, const N: usize>(
        &mut self,
        cx: &mut Context<'_, M>,
        (port, id): (PortId, i32),
        words: [u64; WORDS],
        carried: [Carried; N],
        payer: LedgerId,
    ) -> Result<(), Shortage> {
        let made = self.make_message(cx, (port, id), words, payer);
        let made = made.and_then(|message| {
            if N > 0 {
                let body = self.empty_body();
                let body = body.inspect_err(|_| self.unmake_message(cx, message))?;
                self.attach_body(message, body, N as u32);
            }
            Ok(message)
        });
        let message = match made {
            Ok(message) => message,
            Err(Shortage) => {
                for carried in carried {
                    self.end_carried(cx, carried);
                }
                return Err(Shortage);
            }
        };
        self.carry(message, carried);
        self.enqueue(cx, message);
        Ok(())
    }

    fn make_message<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (port, id): (PortId, i32),
        words: [u64; WORDS],
        payer: LedgerId,
    ) -> Result<MessageId, Shortage> {
        let here = self.ports.get(port).ok_or(Shortage)?;
        if here.messages.count() >= queue_limit::KERNEL {
            return Err(Shortage);
        }
        cx.ledgers.charge(payer, Resource::Messages, 1)?;
        let made = self.messages.insert(Message {
            payer: Some(payer),
            ..Message::from_kernel(port, id, words)
        });
        made.map_err(|_| {
            cx.ledgers.release(payer, Resource::Messages, 1);
            Shortage
        })
    }

    fn empty_body(&mut self) -> Result<BodyId, Shortage> {
        Ok(self.bodies.insert(Body::new(0))?)
    }

    fn attach_body(&mut self, message: MessageId, body: BodyId, descriptors: u32) {
        if let Some(message) = self.messages.get_mut(message) {
            message.body = Some(body);
            message.shape = Shape::buffered(0, descriptors);
        }
    }

    /// Puts what a message carries into its body.
    fn carry<const N: usize>(&mut self, message: MessageId, carried: [Carried; N]) {
        let body = self.messages.get(message).and_then(|message| message.body);
        if let Some(body) = body.and_then(|body| self.bodies.get_mut(body)) {
            body.carried.extend(carried);
        }
    }

    /// The message that will say that a memory object has ended.
    fn reserve_farewell(&mut self, port: PortId) -> KernResult<MessageId> {
        let id = <dyn MemoryObject>::TERMINATE.id;
        let body = self.empty_body()?;
        match self
            .messages
            .insert(Message::from_kernel(port, id, [0; WORDS]))
        {
            Ok(farewell) => {
                self.attach_body(farewell, body, 2);
                Ok(farewell)
            }
            Err(_) => {
                self.bodies.remove(body);
                Err(KernReturn::ResourceShortage)
            }
        }
    }

    fn drop_farewell(&mut self, farewell: MessageId) {
        if let Some(message) = self.messages.remove(farewell)
            && let Some(body) = message.body
        {
            self.bodies.remove(body);
        }
    }

    /// Tells a pager that its object has ended, and gives it the object's ports.
    pub fn end_memory_object<M: Machine>(&mut self, cx: &mut Context<'_, M>, pager: PagerId) {
        let Some(ports) = cx.vm.pager_ports(pager) else {
            return;
        };
        let (vm, mut context) = cx.vm();
        vm.remove_pager(&mut context, pager);
        if self.ports.get(ports.object).is_none() {
            self.destroy_port(ports.control);
            self.destroy_port(ports.name);
            return self.drop_farewell(ports.farewell);
        }
        for port in [ports.control, ports.name] {
            self.set_carrier(port, Some(ports.object));
        }
        let rights = [ports.control, ports.name].map(|port| Carried::Port(Right::Receive(port)));
        self.carry(ports.farewell, rights);
        self.enqueue(cx, ports.farewell);
        self.release(Right::Send(ports.object));
    }
}
