//! The message that tells a handler of an exception, and what becomes of its answer.
//!
//! The content is that of `interfaces::exceptions`: what the answer must look like follows from the
//! [`Form`] that the thread waits with. An answer that is not so counts as a refusal, and ends with
//! all that it carries.

use abi::exception;
use abi::kern_return::KernReturn;
use abi::registers::Shape;
use abi::thread_state::{FLAVOR, ThreadState};
use abi::transport::{REPLY_OFFSET, Sink, Source, Span, Wire};

use super::body::Carried;
use super::message::{Message, Via};
use super::port::Kind;
use super::right::Right;
use super::send::KernelMessage;
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{BodyId, BufferId, PortId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::Machine;
use crate::sched::{Flags, Form, Wait, check_state, get_state, set_state};

/// Words of a message with a state: type, two codes, flavor, registers.
const STATE_WORDS: usize = 4 + ThreadState::WORDS;

/// Bytes of registers in an answer.
const STATE_BYTES: usize = ThreadState::WORDS * 8;

/// An exception that a handler is to be told of.
#[derive(Debug)]
pub struct Report {
    /// Whose it is.
    pub thread: ThreadId,
    /// Its type.
    pub kind: u32,
    /// Its codes.
    pub codes: [u64; 2],
    /// The thread's port and the task's, where the form has them.
    pub ports: [Option<PortId>; 2],
    /// Who pays for the message.
    pub payer: LedgerId,
}

impl Report {
    /// The words of a brief message.
    pub fn brief<M: Machine>(&self, machine: &mut M) -> [u64; 6] {
        Self::brief_words(machine, self.thread, (self.kind, self.codes))
    }

    /// The same, of a thread's exception of a type, with its codes.
    #[inline(always)]
    pub fn brief_words<M: Machine>(
        machine: &mut M,
        thread: ThreadId,
        (kind, [code, subcode]): (u32, [u64; 2]),
    ) -> [u64; 6] {
        let frame = machine.frame(thread.index());
        let thread = thread.to_bits();
        [kind.into(), code, subcode, frame.rip, frame.rsp, thread]
    }
}

/// Words, as bytes.
struct Words {
    bytes: [u8; STATE_WORDS * 8],
    size: usize,
}

impl Sink for Words {
    fn word(&mut self, value: u64) {
        if let Some(place) = self.bytes.get_mut(self.size..self.size + 8) {
            place.copy_from_slice(&value.to_le_bytes());
            self.size += 8;
        }
    }
}

/// Bytes, as words.
struct Read<'a>(&'a [u8]);

impl Source for Read<'_> {
    fn word(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn span(&mut self) -> Option<Span> {
        None
    }

    fn view(&self, _: Span) -> &[u8] {
        &[]
    }
}

/// Registers, from the bytes that messages carry them in: so many and no more.
pub(crate) fn state_of(bytes: &[u8]) -> Option<ThreadState> {
    let bytes: &[u8; STATE_BYTES] = bytes.try_into().ok()?;
    ThreadState::take(&mut Read(bytes))
}

impl Ipc {
    /// Tells the handler at a port of an exception, for a thread that [waits](Wait::Exception) for its answer.
    ///
    /// # Errors
    /// [`Shortage`]: there is no memory for the message. Nothing changed. A message that is merely short cannot
    /// fail so: lost, it counts as refused.
    pub fn report<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (port, form): (PortId, Form),
        report: &Report,
    ) -> Result<(), Shortage> {
        let thread = cx.sched.threads.get(report.thread).ok_or(Shortage)?;
        let (reply_port, identity) = (thread.reply_port, thread.identity);
        let frame = cx.machine.frame(report.thread.index());
        let [code, subcode] = report.codes.map(|code| form.code(code));
        let mut content = KernelMessage {
            id: form.id(),
            words: [report.kind.into(), code, subcode, 0, 0, 0],
            identity,
            reply: Right::SendOnce(reply_port),
            payer: report.payer,
        };
        if form.is_brief() {
            content.words = report.brief(cx.machine);
            let to = self.make_send(port);
            self.send_from_kernel(cx, to, content);
            return Ok(());
        }
        let state = form.has_state().then(|| get_state(frame));
        let mut data = Words {
            bytes: [0; STATE_WORDS * 8],
            size: 0,
        };
        if let Some(state) = state {
            for word in [report.kind.into(), code, subcode, FLAVOR.into()] {
                data.word(word);
            }
            state.put(&mut data);
            content.words = [0; 6];
        }
        let body = self.report_body(cx, report, data.bytes.get(..data.size).unwrap_or(&[]))?;
        self.send_with_body(cx, port, content, body)
    }

    /// Rights and registers of a message; charged, with the message itself.
    fn report_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        report: &Report,
        data: &[u8],
    ) -> Result<(BodyId, Shape), Shortage> {
        self.messages.make_room()?;
        cx.ledgers.charge(report.payer, Resource::Messages, 1)?;
        let body = self
            .make_body(cx, Some(report.payer), data)
            .inspect_err(|_| {
                cx.ledgers.release(report.payer, Resource::Messages, 1);
            })?;
        let mut count = 0;
        for port in report.ports.into_iter().flatten() {
            let right = self.make_send(port);
            count += 1;
            if let Some(body) = self.bodies.get_mut(body)
                && let Err(Carried::Port(right)) = body.carried.push(Carried::Port(right))
            {
                self.release(right);
            }
        }
        Ok((body, Shape::buffered(data.len() as u32, count)))
    }

    fn send_with_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        port: PortId,
        content: KernelMessage,
        (body, shape): (BodyId, Shape),
    ) -> Result<(), Shortage> {
        self.add_send(port);
        let mut message = Message {
            via: Via::Send,
            identity: content.identity,
            reply: content.reply,
            shape,
            body: Some(body),
            payer: Some(content.payer),
            ..Message::from_kernel(port, content.id, content.words)
        };
        let kind = self.ports.get(port).map(|port| port.kind);
        if kind.is_none_or(|kind| matches!(kind, Kind::Kernel(_))) {
            // The kernel handles no exceptions; the reply right says so.
            self.abandon(cx, message);
            return Ok(());
        }
        if let Some(receiver) = self.meets(cx, port, shape) {
            self.hand(cx, (None, receiver), &mut message);
        } else if let Ok(id) = self.messages.insert(message) {
            self.enqueue(cx, id);
        }
        Ok(())
    }

    /// The answer to a thread's exception. Success resumes it, with the registers in the answer if it was asked for
    /// some; after anything else the next level is asked. Inline data may still lie in the sender's buffer.
    pub(super) fn answer_exception<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, from): (ThreadId, Option<BufferId>),
        message: &mut Message,
    ) {
        let wait = cx.sched.threads.get(thread).map(|thread| thread.wait);
        let handled = match wait {
            // A send-once notification is no answer: the right ended unused.
            Some(Wait::Exception(port, _)) if message.via == Via::Kernel => {
                self.ports.get(port).is_none() && repeats(cx, thread)
            }
            Some(Wait::Exception(_, form)) => {
                is_consent(message, form)
                    && (!form.has_state() || self.install_state(cx, (thread, from), message))
            }
            _ => false,
        };
        if !handled && let Some(thread) = cx.sched.threads.get_mut(thread) {
            thread.flags |= Flags::UNHANDLED;
        }
        self.destroy_message(cx, message);
    }

    /// Gives the thread the registers in an answer; whether it may have them.
    fn install_state<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, from): (ThreadId, Option<BufferId>),
        message: &Message,
    ) -> bool {
        let mut bytes = [0; STATE_BYTES];
        self.read_inline(cx, (message, from), &mut bytes);
        let Some(state) = state_of(&bytes) else {
            return false;
        };
        if check_state(&state).is_err() {
            return false;
        }
        set_state(cx.machine.frame(thread.index()), &state);
        true
    }

    /// The handler that a reply slot's right came from ends with the slot: the thread that waits for its answer
    /// tries again, if that is any use, and else asks the next level.
    pub fn handler_ended<M: Machine>(&mut self, cx: &mut Context<'_, M>, slot: &Right) {
        let Right::SendOnce(port) = *slot else { return };
        let Some(Kind::Reply(victim)) = self.ports.get(port).map(|port| port.kind) else {
            return;
        };
        let waits = cx.sched.threads.get(victim).map(|thread| thread.wait);
        if !matches!(waits, Some(Wait::Exception(..))) || !repeats(cx, victim) {
            return;
        }
        self.end_wait(cx, victim, super::receive::End::Aborted);
    }
}

/// Whether an answer says that the exception is dealt with, and is all that it should be.
fn is_consent(message: &Message, form: Form) -> bool {
    let shape = if form.has_state() {
        Shape::buffered(STATE_BYTES as u32, 0)
    } else {
        Shape::SHORT
    };
    message.id == form.id() + REPLY_OFFSET
        && message.words[0] == u64::from(KernReturn::Success.0)
        && message.shape == shape
        && message.reply == Right::None
}

/// Whether a thread that goes on as it is raises its exception again: the instruction has not happened.
fn repeats<M: Machine>(cx: &Context<'_, M>, thread: ThreadId) -> bool {
    let kind = cx
        .sched
        .threads
        .get(thread)
        .map_or(0, |thread| thread.exception & 0xf);
    matches!(
        kind.into(),
        exception::BAD_ACCESS | exception::BAD_INSTRUCTION | exception::ARITHMETIC
    )
}
