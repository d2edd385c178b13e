//! A message being read.

use alloc::vec::Vec;

use abi::kern_return::KernReturn;
use abi::message::{Descriptor, WORDS, descriptor};
use abi::names::{Name, disposition, right};
use abi::registers::{Received, ReplyKind, Shape};
use abi::transport::{Error, Incoming, Plan, REPLY_WORDS, REQUEST_WORDS, Result, Source, Span};

use super::Mach;
use crate::memory::Memory;
use crate::rights::{ReceiveRight, SendOnce, SendRight, SendRights};
use crate::server::ReplyTo;
use crate::trap::Registers;
use crate::{buffer, ignore, trap};

/// Where inline data and descriptors lie.
#[derive(Debug)]
enum Store {
    /// In the thread's message buffer: read at once, before the next trap on it.
    InPlace,
    /// Copied out of it, to be kept.
    Kept {
        data: Vec<u64>,
        descriptors: Vec<Descriptor>,
    },
}

/// Why a request is still in the buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsent {
    /// The kernel did not take it.
    Refused,
    /// The kernel took it and gave it back (M-10).
    Returned,
}

/// Where the words are.
#[derive(Clone, Copy)]
enum Place {
    /// From this register on.
    Registers { first: usize },
    /// In the inline data.
    Inline,
}

impl Place {
    #[inline(always)]
    const fn of_reply(plan: &Plan) -> Self {
        if plan.reply_words > REPLY_WORDS {
            Self::Inline
        } else {
            Self::Registers { first: 1 }
        }
    }

    /// How much inline data a message may have whose words, so many at most, lie here.
    #[inline(always)]
    const fn most_bytes(self, words: usize) -> usize {
        match self {
            Self::Registers { .. } => 0,
            Self::Inline => words * 8,
        }
    }

    const fn of_request(plan: &Plan) -> Self {
        if plan.request_words > REQUEST_WORDS {
            Self::Inline
        } else {
            Self::Registers { first: 0 }
        }
    }
}

/// A received message's words, rights and memory. What is not taken out is released on drop.
#[derive(Debug)]
pub struct In {
    words: [u64; WORDS],
    /// The next word to read.
    at: usize,
    /// How many words there are: registers' or inline.
    end: usize,
    /// The words are inline data.
    long: bool,
    /// The next descriptor to take.
    taken: usize,
    descriptors: usize,
    /// Memory in the message is only lent to it, and not to be taken or released.
    lent: bool,
    store: Store,
}

impl In {
    /// A message as it lies in registers and buffer.
    #[inline(always)]
    fn new(words: [u64; WORDS], shape: Shape, place: Place) -> Self {
        let (at, end, long) = match place {
            Place::Inline => (0, shape.size() as usize / 8, true),
            Place::Registers { first } => (first, WORDS, false),
        };
        let descriptors = shape.descriptors() as usize;
        Self {
            words,
            at,
            end,
            long,
            taken: 0,
            descriptors,
            lent: false,
            store: Store::InPlace,
        }
    }

    /// A reply of which the code was read already.
    ///
    /// # Errors
    /// [`Error::BadReply`] when it is not of the plan's shape, or has a reply right of its own,
    /// which nobody would answer; its rights are released.
    #[inline(always)]
    pub(crate) fn reply(registers: Registers, plan: &Plan) -> Result<Self> {
        let received = registers.received();
        let place = Place::of_reply(plan);
        if plan.reply_words <= REPLY_WORDS && plan.reply_descriptors == 0 {
            // Said with a constant, so that nothing of the buffer is left in the stub.
            return match received {
                Received::SHORT => Ok(Self::new(registers.words, Shape::SHORT, place)),
                _ => Err(bad_reply(registers)),
            };
        }
        let shape = received.shape();
        let expected = Shape::buffered(shape.size(), plan.reply_descriptors as u32);
        let too_long = shape.size() as usize > place.most_bytes(plan.reply_words);
        if too_long || received != Received::new(expected, ReplyKind::None) {
            return Err(bad_reply(registers));
        }
        Ok(Self::new(registers.words, shape, place))
    }

    /// Any received message, kept: the buffer is free for the next one.
    pub(crate) fn kept(registers: &Registers) -> Self {
        let shape = registers.received().shape();
        let registers_only = Place::Registers { first: 0 };
        let place = if shape.size() > 0 {
            Place::Inline
        } else {
            registers_only
        };
        let mut input = Self::new(registers.words, shape, place);
        if shape.is_buffered() {
            input.keep();
        }
        input
    }

    /// A short message's words.
    #[inline(always)]
    pub(crate) fn short(words: [u64; WORDS]) -> Self {
        Self::new(words, Shape::SHORT, Place::Registers { first: 0 })
    }

    /// The rights of a request that was not sent, as they lie in the buffer.
    ///
    /// When the kernel had taken it and gave it back, lent memory came back as a copy, which is
    /// owned; otherwise it is still the lender's.
    pub(crate) fn unsent(plan: &Plan, shape: Shape, state: Unsent) -> Self {
        let mut input = Self::new([0; WORDS], shape, Place::of_request(plan));
        input.lent = state == Unsent::Refused;
        input
    }

    /// The rights of an answer that was not sent.
    pub(crate) fn unsent_answer(shape: Shape) -> Self {
        Self::new([0; WORDS], shape, Place::Inline)
    }

    /// A kept reply, read on from behind its code.
    ///
    /// # Errors
    /// As [`In::reply`].
    pub(crate) fn into_reply(mut self, plan: &Plan) -> Result<Self> {
        let place = Place::of_reply(plan);
        let inline = if self.long { self.end * 8 } else { 0 };
        if self.long != matches!(place, Place::Inline)
            || inline > place.most_bytes(plan.reply_words)
            || self.descriptors != plan.reply_descriptors
        {
            return Err(Error::BadReply);
        }
        self.at = usize::from(!self.long);
        Ok(self)
    }

    /// Word `index` of the registers.
    pub(crate) const fn register(&self, index: usize) -> u64 {
        self.words[index]
    }

    /// How many rights and pieces of memory are left in it.
    pub fn descriptors_left(&self) -> usize {
        self.descriptors - self.taken
    }

    fn keep(&mut self) {
        let mut data = alloc::vec![0; if self.long { self.end } else { 0 }];
        buffer::copy_out(self.descriptors, &mut data);
        let descriptors = (0..self.descriptors).map(buffer::descriptor).collect();
        self.store = Store::Kept { data, descriptors };
    }

    fn next(&mut self) -> Option<Descriptor> {
        while self.taken < self.descriptors {
            let index = self.taken;
            self.taken += 1;
            let found = match &self.store {
                Store::InPlace => buffer::descriptor(index),
                Store::Kept { descriptors, .. } => *descriptors.get(index)?,
            };
            if !(self.lent && found.kind == descriptor::OUT_OF_LINE) {
                return Some(found);
            }
        }
        None
    }

    /// The next descriptor's name, when it is a live port right of this disposition.
    fn port(&mut self, disposition: u8) -> Result<Name> {
        let found = self.next().ok_or(Error::Code(KernReturn::MigTypeError))?;
        let name = Name(found.name);
        if found.kind != descriptor::PORT {
            release(found);
            return Err(KernReturn::MigTypeError.into());
        }
        if !name.is_valid() {
            return Err(KernReturn::InvalidCapability.into());
        }
        if found.disposition != disposition {
            release(found);
            return Err(KernReturn::MigTypeError.into());
        }
        Ok(name)
    }

    #[cold]
    fn release_rest(&mut self) {
        while let Some(rest) = self.next() {
            release(rest);
        }
    }
}

/// Releases a reply that is not of the interface's shape.
#[cold]
#[inline(never)]
fn bad_reply(registers: Registers) -> Error {
    release_all(&registers);
    Error::BadReply
}

/// Releases all that a message brought; who waits for an answer learns that there will be none.
#[cold]
#[inline(never)]
pub(crate) fn release_all(registers: &Registers) {
    drop(In::kept(registers));
    ReplyTo::of(registers).release();
}

/// Gives back what a descriptor brought into the task.
fn release(found: Descriptor) {
    match found.kind {
        descriptor::PORT => release_right(Name(found.name), found.disposition),
        descriptor::OUT_OF_LINE => drop(memory_of(found)),
        descriptor::OUT_OF_LINE_PORTS => {
            for name in names_of(found).as_chunks().0 {
                release_right(Name(u32::from_le_bytes(*name)), found.disposition);
            }
        }
        _ => {}
    }
}

/// Gives back a right that came under a name of its own. It fails only when there was none.
fn release_right(name: Name, disposition: u8) {
    match disposition {
        _ if !name.is_valid() => {}
        disposition::MOVE_RECEIVE => ignore(trap::port_mod_refs(name, right::RECEIVE, -1)),
        _ => ignore(trap::port_deallocate(name)),
    }
}

/// The names of an array.
fn names_of(found: Descriptor) -> Memory {
    let size = u64::from(found.name) * size_of::<u32>() as u64;
    memory_of(Descriptor { size, ..found })
}

fn memory_of(found: Descriptor) -> Memory {
    // SAFETY: the kernel mapped the region for this message, or it is a `Memory` that was not
    // sent. Either way each descriptor is looked at once, by this owner.
    unsafe { Memory::from_raw(found.address, found.size as usize) }
}

impl Source for In {
    #[inline(always)]
    fn word(&mut self) -> Option<u64> {
        let index = self.at;
        if index >= self.end {
            return None;
        }
        self.at += 1;
        if !self.long {
            return self.words.get(index).copied();
        }
        match &self.store {
            Store::InPlace => Some(buffer::word(self.descriptors, index)),
            Store::Kept { data, .. } => data.get(index).copied(),
        }
    }

    fn span(&mut self) -> Option<Span> {
        // Byte strings are inline data: registers hold none.
        if !self.long {
            return None;
        }
        let size = usize::try_from(self.word()?).ok()?;
        let start = self.at;
        let end = start.checked_add(size.div_ceil(8))?;
        if end > self.end {
            return None;
        }
        self.at = end;
        Some(Span { start, size })
    }

    fn view(&self, span: Span) -> &[u8] {
        let words: &[u64] = match &self.store {
            Store::Kept { data, .. } if self.long => data,
            // Only requests have byte strings, and they are kept.
            _ => &[],
        };
        let end = span.start.saturating_add(span.size.div_ceil(8));
        let words = words.get(span.start..end).unwrap_or(&[]);
        bytes_of(words).get(..span.size).unwrap_or(&[])
    }
}

/// Words as the bytes that they are made of.
fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: the same memory for the same time; any bytes are `u8`s, which need no alignment.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

impl Incoming<Mach> for In {
    fn send<I: ?Sized + 'static>(&mut self) -> Result<SendRight<I>> {
        self.port(disposition::MOVE_SEND).map(SendRight::from_name)
    }

    fn send_once<I: ?Sized + 'static>(&mut self) -> Result<SendOnce<I>> {
        self.port(disposition::MOVE_SEND_ONCE)
            .map(SendOnce::from_name)
    }

    fn receive<I: ?Sized + 'static>(&mut self) -> Result<ReceiveRight<I>> {
        self.port(disposition::MOVE_RECEIVE)
            .map(ReceiveRight::from_name)
    }

    fn sends<I: ?Sized + 'static>(&mut self) -> Result<SendRights<I>> {
        let found = self.next().ok_or(Error::Code(KernReturn::MigTypeError))?;
        if found.kind != descriptor::OUT_OF_LINE_PORTS
            || found.disposition != disposition::MOVE_SEND
        {
            release(found);
            return Err(KernReturn::MigTypeError.into());
        }
        Ok(SendRights::from_names(names_of(found), found.name))
    }

    fn memory(&mut self) -> Result<Memory> {
        let found = self.next().ok_or(Error::Code(KernReturn::MigTypeError))?;
        if found.kind != descriptor::OUT_OF_LINE {
            release(found);
            return Err(KernReturn::MigTypeError.into());
        }
        Ok(memory_of(found))
    }
}

impl Drop for In {
    #[inline(always)]
    fn drop(&mut self) {
        if self.taken < self.descriptors {
            self.release_rest();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

    use super::*;

    #[test]
    fn an_array_of_rights_that_nobody_wants_is_released() {
        let ports: Vec<_> = (0..3).map(|_| ReceiveRight::<()>::new().unwrap()).collect();
        let names = ports
            .iter()
            .map(|port| port.make_send().unwrap().into_name());
        let names = names.chain([Name::NULL, Name::DEAD]);
        let mut array = Memory::new(5 * size_of::<u32>()).unwrap();
        for (place, name) in array.as_chunks_mut().0.iter_mut().zip(names) {
            *place = name.0.to_le_bytes();
        }
        let (address, _) = array.into_raw();
        let value = Descriptor {
            kind: descriptor::OUT_OF_LINE_PORTS,
            disposition: disposition::MOVE_SEND,
            name: 5,
            address,
            ..Descriptor::default()
        };
        buffer::set_descriptor(0, value);
        assert!(ports.iter().all(|port| port.send_rights() == Ok(1)));
        drop(In::unsent_answer(Shape::buffered(0, 1)));
        assert!(ports.iter().all(|port| port.send_rights() == Ok(0)));
    }
}
