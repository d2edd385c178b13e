//! Messages to the kernel's own ports: what they carry, how they are put off, and their answers.
//!
//! The charge for a request passes on to its answer, so that a task whose answers nobody receives runs
//! into its own limit. An answer to the caller's own reply object, which is about to be waited on, goes
//! straight into the caller's registers.

use abi::kern_return::KernReturn;
use abi::message::WORDS;
use abi::names::Name;
use abi::registers::{Shape, options};
use abi::trace;
use abi::transport::REPLY_OFFSET;

use super::body::{Body, Carried, PAGE};
use super::message::{Message, Via};
use super::port::Kind;
use super::receive::note_receive;
use super::right::Right;
use super::send::Call;
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{BodyId, PortId, TaskId, ThreadId};
use crate::base::ledger::LedgerId;
use crate::machine::Machine;

/// What the kernel answers.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The payload; word 0 is the code.
    pub words: [u64; WORDS],
    /// A right, if the answer has a descriptor for one.
    pub right: Option<Right>,
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

    /// Keeps a request that is answered in steps; its thread comes back with [`Ipc::resume_request`].
    ///
    /// `Some`: there is no memory to keep it in.
    #[must_use]
    pub fn put_off_request<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        request: Message,
    ) -> Option<Message> {
        // The place first: a record that does not get one would be lost.
        let Ok(place) = self
            .messages
            .insert(Message::from_kernel(request.port, 0, [0; WORDS]))
        else {
            return Some(request);
        };
        match (
            cx.sched.threads.get_mut(thread),
            self.messages.get_mut(place),
        ) {
            (Some(thread), Some(kept)) => {
                *kept = request;
                thread.parked = Some(place);
                None
            }
            _ => Some(request),
        }
    }

    /// The request that a thread put off.
    pub fn resume_request<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<Message> {
        self.take_parked(cx, thread)
    }

    /// Ends a request that its thread put off and will not come back for; answers what it had made.
    pub fn drop_request<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
    ) -> Option<TaskId> {
        let request = self.take_parked(cx, thread)?;
        let made = request.made;
        self.end_epoch(cx, thread);
        self.end_kernel_message(cx, request);
        made
    }

    /// Ends a request to the kernel and answers it.
    ///
    /// An answer for which there is no memory becomes its code alone, `ResourceShortage`; its right ends.
    pub fn answer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, call): (ThreadId, &Call),
        mut request: Message,
        answer: Answer<'_>,
    ) -> Answered {
        let to = core::mem::replace(&mut request.reply, Right::None);
        if let Some(body) = request.body.take() {
            self.destroy_body(cx, body, request.payer);
        }
        let (Right::Send(port) | Right::SendOnce(port)) = to else {
            self.release(answer.right.unwrap_or(Right::None));
            self.end_kernel_message(cx, request);
            return Answered::Sent;
        };
        let payer = request.payer.take();
        let id = request.id.wrapping_add(REPLY_OFFSET);
        self.end_kernel_message(cx, request);
        let via = if matches!(to, Right::Send(_)) {
            Via::Send
        } else {
            Via::SendOnce
        };
        let mut message = Message {
            via,
            payer,
            ..Message::from_kernel(port, id, answer.words)
        };
        if answer.right.is_some() || !answer.data.is_empty() {
            self.add_body(cx, &mut message, answer);
        }
        self.deliver_answer(cx, (thread, call), message)
    }

    fn deliver_answer<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, call): (ThreadId, &Call),
        message: Message,
    ) -> Answered {
        const PLAIN: u32 = options::SEND | options::RECEIVE;
        const LIMITS: u32 = options::RECEIVE_TIMEOUT | options::SEND_TIMEOUT;
        let Some(port) = self.ports.get_mut(message.port) else {
            self.destroy_message(cx, message);
            return Answered::Sent;
        };
        if let Kind::Kernel(_) = port.kind {
            // The kernel receives no answers: it would lie there for ever.
            let right = Right::Send(message.port);
            self.destroy_message(cx, message);
            self.release(right);
            return Answered::Sent;
        }
        let waits = call.options & !LIMITS == PLAIN && call.receive == Name::NULL && !port.has_work;
        let own = cx.sched.threads.get(thread).map(|thread| thread.reply_port);
        if waits && own == Some(message.port) {
            port.sequence = port.sequence.wrapping_add(1);
            let port = message.port;
            note_receive(cx, thread, port, trace::message(message.id, u32::MAX));
            self.deliver(cx, thread, port, message);
            return Answered::Received;
        }
        self.queue_answer(cx, message);
        Answered::Sent
    }

    fn queue_answer<M: Machine>(&mut self, cx: &mut Context<'_, M>, message: Message) {
        let (port, via) = (message.port, message.via);
        match self
            .messages
            .insert(Message::from_kernel(port, 0, [0; WORDS]))
        {
            Ok(id) => {
                if let Some(place) = self.messages.get_mut(id) {
                    *place = message;
                }
                self.enqueue(cx, port, id);
            }
            Err(_) => {
                self.destroy_message(cx, message);
                self.release(match via {
                    Via::Send => Right::Send(port),
                    Via::SendOnce | Via::Kernel => Right::SendOnce(port),
                });
            }
        }
    }

    /// Gives an answer its right and its data.
    fn add_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        message: &mut Message,
        answer: Answer<'_>,
    ) {
        let shape = Shape::buffered(answer.data.len() as u32, u32::from(answer.right.is_some()));
        match self.make_body(cx, message.payer, answer.data) {
            Ok(id) => {
                message.body = Some(id);
                message.shape = shape;
                if let (Some(right), Some(body)) = (answer.right, self.bodies.get_mut(id))
                    && let Err(Carried::Port(right)) = body.carried.push(Carried::Port(right))
                {
                    self.release(right);
                }
            }
            Err(Shortage) => {
                self.release(answer.right.unwrap_or(Right::None));
                message.words = [KernReturn::ResourceShortage.0.into(), 0, 0, 0, 0, 0];
            }
        }
    }

    fn make_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        payer: Option<LedgerId>,
        data: &[u8],
    ) -> Result<BodyId, Shortage> {
        let id = self.bodies.insert(Body {
            carried: heapless::Vec::new(),
            pages: heapless::Vec::new(),
            size: data.len(),
        })?;
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
