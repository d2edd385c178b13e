//! Messages to the kernel's own ports: what they carry, how they are put off, and their answers.
//!
//! An answer to the caller's own reply object, which is about to be waited on, goes straight into the
//! caller's registers and buffer: it is never a message, and nobody pays for it. The charge for any other
//! request passes on to its answer, so that a task whose answers nobody receives runs into its own limit.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::WORDS;
use abi::registers::{self, Received, ReplyKind, Shape};
use abi::trace;
use abi::transport::REPLY_OFFSET;

use super::array::Array;
use super::body::Carried;
use super::fast::count;
use super::layout::PAGE;
use super::message::{Made, Message, Via};
use super::port::Kind;
use super::receive::note_receive;
use super::right::Right;
use super::send::Call;
use super::stage::Stage;
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{ArrayId, BodyId, MessageId, PortId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Frame, Machine};
use crate::sched::Sched;

/// What a request to the kernel says, beside the rights and the data in its body.
#[derive(Debug)]
pub struct Asked<'a> {
    /// The message's id.
    pub id: i32,
    /// Who asks.
    pub identity: u64,
    /// The payload.
    pub words: &'a [u64; WORDS],
    /// Bytes of inline data.
    pub size: u32,
}

impl<'a> Asked<'a> {
    /// What a message says, whose words these are.
    pub fn by(message: &Message, words: &'a [u64; WORDS]) -> Self {
        Self {
            id: message.id,
            identity: message.identity,
            words,
            size: message.shape.size(),
        }
    }
}

/// What the kernel answers.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The payload; word 0 is the code.
    pub words: [u64; WORDS],
    /// A right or memory, if the answer has a descriptor for one.
    pub carried: Option<Carried>,
    /// Inline data.
    pub data: &'a [u8],
}

/// Where an answer went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Answered {
    /// Into the caller's registers: its receive half is done.
    Received,
    /// To a port, or to nobody: the caller's receive half is still to be done.
    Sent,
}

impl Answer<'_> {
    /// An answer that is words alone.
    pub fn short(words: [u64; WORDS]) -> Self {
        Self {
            words,
            carried: None,
            data: &[],
        }
    }

    /// Writes an answer that is words alone into the registers of the thread that asked.
    #[inline(always)]
    pub fn write_short(frame: &mut Frame, id: i32, words: [u64; WORDS]) {
        // A reply object has neither name nor label.
        frame.rax = MessageReturn::Success.0.into();
        frame.rdi = Received::new(Shape::SHORT, ReplyKind::None).0.into();
        frame.rsi = 0;
        frame.rdx = registers::pair(id as u32, 0);
        frame.heard = id;
        frame.r10 = 0;
        frame.words = words;
    }

    /// What it consists of beside the words.
    fn shape(&self) -> Shape {
        if self.carried.is_none() && self.data.is_empty() {
            return Shape::SHORT;
        }
        Shape::buffered(self.data.len() as u32, u32::from(self.carried.is_some()))
    }
}

impl Ipc {
    /// What descriptor `index` of a request brought.
    pub fn carried(&self, body: BodyId, index: usize) -> Option<&Carried> {
        self.bodies.get(body)?.carried.get(index)
    }

    /// Takes a right out of a request. What stays in it ends with it.
    pub fn take_carried(&mut self, body: BodyId, index: usize) -> Right {
        let carried = self
            .bodies
            .get_mut(body)
            .and_then(|body| body.carried.get_mut(index));
        match carried {
            Some(Carried::Port(right)) => core::mem::replace(right, Right::None),
            _ => Right::None,
        }
    }

    /// Reads a request's inline data into `bytes`; `None`: there is more of it than that.
    pub fn read_body<'a, M: Machine>(
        &self,
        machine: &mut M,
        body: BodyId,
        bytes: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let Some(body) = self.bodies.get(body) else {
            return Some(&[]);
        };
        let bytes = bytes.get_mut(..body.size)?;
        for (page, part) in body.pages.iter().zip(bytes.chunks_mut(PAGE)) {
            machine.read((*page, 0), part);
        }
        Some(bytes)
    }

    /// Keeps a request that is answered in steps, and what it made so far; its thread comes back with
    /// [`Ipc::resume_request`].
    pub fn put_off_request<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (request, made): (MessageId, Option<Made>),
    ) {
        if let Some(request) = self.messages.get_mut(request) {
            request.made = made;
        }
        if let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.parked = Some(request);
        }
    }

    /// The request that a thread put off.
    pub fn resume_request<M: Machine>(
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<MessageId> {
        cx.sched.threads.get_mut(thread)?.parked.take()
    }

    /// Ends a request that its thread put off, or a message that it is at, and will not come back for; answers what the
    /// request had made.
    pub fn drop_request<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<Made> {
        let mut request = self.take_parked(cx, thread)?;
        self.end_epoch(cx, thread);
        match self.stage_of(&request) {
            Stage::Whole => {}
            Stage::Sending | Stage::Returning(_) => {
                self.abandon(cx, request);
                return None;
            }
            Stage::Receiving(_) => {
                self.end_via(&request);
                self.destroy_message(cx, &mut request);
                return None;
            }
        }
        self.arrived(&request);
        self.end_via(&request);
        self.destroy_message(cx, &mut request);
        request.made
    }

    /// Ends a request to the kernel and answers it.
    ///
    /// An answer for which there is no memory becomes its code alone, `ResourceShortage`; what it carries ends.
    pub fn answer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, call): (ThreadId, &Call),
        request: MessageId,
        answer: Answer<'_>,
    ) -> Answered {
        let at_once = self.answers_at_once(cx, thread, call);
        let Some(request) = self.messages.remove(request) else {
            self.end_answer(cx, answer);
            return Answered::Sent;
        };
        self.arrived(&request);
        self.end_via(&request);
        if let Some(body) = request.body {
            self.destroy_body(cx, body, request.payer);
        }
        let id = request.id.wrapping_add(REPLY_OFFSET);
        let own = cx.sched.threads.get(thread).map(|thread| thread.reply_port);
        match request.reply {
            Right::SendOnce(port) if at_once && own == Some(port) => {
                if let Some(payer) = request.payer {
                    cx.ledgers.release(payer, Resource::Messages, 1);
                }
                self.answer_at_once(cx, thread, (port, id), answer);
                Answered::Received
            }
            to => {
                self.queue_answer(cx, (to, id, request.payer), answer);
                Answered::Sent
            }
        }
    }

    /// Whether a thread's reply port still is this one, and nothing waits there.
    #[inline(always)]
    pub fn awaits(&self, sched: &Sched, thread: ThreadId, own: PortId) -> bool {
        let record = sched.threads.get(thread);
        record.is_some_and(|thread| thread.reply_port == own)
            && self.ports.get(own).is_some_and(|port| !port.has_work)
    }

    /// Makes a short call to a kernel object a message, to be put off or answered by one.
    pub fn keep_request(
        &mut self,
        (to, own): (PortId, PortId),
        asked: &Asked<'_>,
    ) -> Option<MessageId> {
        self.messages.make_room().ok()?;
        self.add_send(to);
        let message = Message {
            identity: asked.identity,
            via: Via::Send,
            reply: Right::SendOnce(own),
            ..Message::from_kernel(to, asked.id, *asked.words)
        };
        self.messages.insert(message).ok()
    }

    /// Writes an answer into the registers and the buffer of the thread that asked.
    pub fn answer_at_once<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (port, id): (PortId, i32),
        answer: Answer<'_>,
    ) {
        let mut code = MessageReturn::Success;
        if let Some(port) = self.ports.get_mut(port) {
            count(port);
        }
        if let Some(Carried::Ports(array)) = answer.carried {
            return self.answer_with_array(cx, thread, (port, id), (answer.words, array));
        }
        note_receive(cx, thread, port, trace::message(id, u32::MAX));
        let shape = answer.shape();
        if shape.is_buffered() {
            code = self.deliver_answer(cx, thread, (port, id), answer.carried, answer.data);
        }
        let frame = cx.machine.frame(thread.index());
        Answer::write_short(frame, id, answer.words);
        frame.rax = code.0.into();
        frame.rdi = Received::new(shape, ReplyKind::None).0.into();
    }

    /// Counts an answer at a thread's reply port; whether nothing else waits there, and so
    /// [`write_short`](Answer::write_short) is all that is left to do.
    #[inline(always)]
    pub fn count_answer(&mut self, own: PortId) -> bool {
        match self.ports.get_mut(own) {
            Some(port) if !port.has_work => {
                count(port);
                true
            }
            _ => false,
        }
    }

    /// Answers with an array of rights: a message after all, for it may have steps.
    #[cold]
    fn answer_with_array<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (port, id): (PortId, i32),
        (words, array): ([u64; WORDS], ArrayId),
    ) {
        let shape = Shape::buffered(0, 1);
        let body = self.new_body(0);
        let room = self.messages.make_room();
        let mut message = Message {
            shape,
            ..Message::from_kernel(port, id, words)
        };
        match body {
            Ok(body) => {
                message.body = Some(body);
                self.carry_array(body, array);
            }
            Err(Shortage) => self.end_array(array),
        }
        if message.body.is_none() || room.is_err() {
            self.destroy_message(cx, &mut message);
            message.shape = Shape::SHORT;
            message.words = [KernReturn::ResourceShortage.0.into(), 0, 0, 0, 0, 0];
        }
        self.take_in(cx, thread, message);
    }

    /// Gives a body an array that the kernel made.
    fn carry_array(&mut self, body: BodyId, array: ArrayId) {
        let ports = self.arrays.get(array).map_or(0, Array::count);
        if let Some(body) = self.bodies.get_mut(body)
            && body.carried.push(Carried::Ports(array)).is_ok()
        {
            body.ports += ports;
        }
    }

    /// Sends an answer to whatever the request said. The charge passes on to it.
    fn queue_answer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (to, id, payer): (Right, i32, Option<LedgerId>),
        answer: Answer<'_>,
    ) {
        let (port, via) = match to {
            Right::Send(port) => (port, Via::Send),
            Right::SendOnce(port) => (port, Via::SendOnce),
            Right::None | Right::Dead | Right::Receive(_) => {
                if let Some(payer) = payer {
                    cx.ledgers.release(payer, Resource::Messages, 1);
                }
                return self.end_answer(cx, answer);
            }
        };
        let mut message = Message {
            via,
            payer,
            ..Message::from_kernel(port, id, answer.words)
        };
        // The kernel receives no answers: one would lie there for ever.
        let receives = self
            .ports
            .get(port)
            .is_some_and(|port| !matches!(port.kind, Kind::Kernel(_)));
        let moves = match &answer.carried {
            Some(Carried::Port(Right::Receive(moved))) => Some(*moved),
            _ => None,
        };
        // A receive right that is sent to itself ends, and with it the answer (M-26).
        let circle = moves.is_some_and(|moved| self.travels_behind(port, moved));
        if !receives || circle || self.messages.make_room().is_err() {
            self.end_answer(cx, answer);
            return self.abandon(cx, message);
        }
        if let Some(moved) = moves {
            self.set_carrier(moved, Some(port));
        }
        if answer.shape().is_buffered() {
            self.add_body(cx, &mut message, answer);
        }
        if let Ok(id) = self.messages.insert(message) {
            self.enqueue(cx, id);
        }
    }

    /// Ends what an answer carries that nobody gets.
    fn end_answer<M: Machine>(&mut self, cx: &mut Context<'_, M>, answer: Answer<'_>) {
        if let Some(carried) = answer.carried {
            self.end_carried(cx, carried);
        }
    }

    /// Gives an answer what it carries and its data.
    fn add_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        message: &mut Message,
        answer: Answer<'_>,
    ) {
        let shape = answer.shape();
        match self.make_body(cx, message.payer, answer.data) {
            Ok(id) => {
                message.body = Some(id);
                message.shape = shape;
                if let Some(Carried::Ports(array)) = answer.carried {
                    self.carry_array(id, array);
                } else if let (Some(carried), Some(body)) =
                    (answer.carried, self.bodies.get_mut(id))
                    && let Err(carried) = body.carried.push(carried)
                {
                    self.end_carried(cx, carried);
                }
            }
            Err(Shortage) => {
                self.end_answer(cx, answer);
                message.words = [KernReturn::ResourceShortage.0.into(), 0, 0, 0, 0, 0];
            }
        }
    }

    pub(super) fn make_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        payer: Option<LedgerId>,
        data: &[u8],
    ) -> Result<BodyId, Shortage> {
        let id = self.new_body(data.len())?;
        let body = self.bodies.get_mut(id).ok_or(Shortage)?;
        let made = payer
            .ok_or(Shortage)
            .and_then(|payer| body.allocate_pages(cx, payer));
        if made.is_err() {
            self.destroy_body(cx, id, payer);
            return Err(Shortage);
        }
        for (page, part) in body.pages.iter().zip(data.chunks(PAGE)) {
            cx.machine.write((*page, 0), part);
        }
        Ok(id)
    }

    /// The port of a right that a request brought, when it is a live send or receive right.
    pub fn carried_port(&self, body: BodyId, index: usize) -> Option<PortId> {
        match self.carried(body, index)? {
            Carried::Port(Right::Send(port) | Right::SendOnce(port) | Right::Receive(port)) => {
                self.ports.get(*port).map(|_| *port)
            }
            _ => None,
        }
    }
}
