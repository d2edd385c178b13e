//! A message being written.

use abi::message::{DESCRIPTOR_SIZE, Descriptor, WORDS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::Shape;
use abi::transport::{Error, Lending, Outgoing, Plan, REPLY_WORDS, REQUEST_WORDS, Result, Sink};

use super::Mach;
use crate::buffer;
use crate::memory::Memory;
use crate::rights::{ReceiveRight, SendOnce, SendRight, SendRights};

/// Words in registers, or words and descriptors in the thread's message buffer.
///
/// Rights that were written belong to the message: whoever does not send it reads them out again
/// (`In::unsent`).
#[derive(Debug)]
pub struct Out {
    words: [u64; WORDS],
    /// How many words were written, registers or inline data.
    written: usize,
    /// The words go to the buffer.
    long: bool,
    /// How many descriptors the message has.
    descriptors: usize,
    /// How many of them were written.
    described: usize,
}

impl Out {
    /// A request.
    #[inline(always)]
    pub(crate) const fn request(plan: &Plan) -> Self {
        Self {
            words: [0; WORDS],
            written: 0,
            long: plan.request_words > REQUEST_WORDS,
            descriptors: plan.request_descriptors,
            described: 0,
        }
    }

    /// A successful reply: word 0 is its code.
    #[inline(always)]
    pub(crate) const fn reply(plan: &Plan) -> Self {
        let long = plan.reply_words > REPLY_WORDS;
        Self {
            words: [0; WORDS],
            written: if long { 0 } else { 1 },
            long,
            descriptors: plan.reply_descriptors,
            described: 0,
        }
    }

    /// The registers' words and the shape.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the words do not fit.
    #[inline(always)]
    pub(crate) fn finish(&self) -> Result<([u64; WORDS], Shape)> {
        if !self.long && self.descriptors == 0 {
            return Ok((self.words, Shape::SHORT));
        }
        let size = if self.long { self.written * 8 } else { 0 };
        if self.descriptors * DESCRIPTOR_SIZE + size > buffer::CAPACITY {
            return Err(Error::TooLarge);
        }
        Ok((
            self.words,
            Shape::buffered(size as u32, self.described as u32),
        ))
    }

    fn port(&mut self, name: Name, disposition: u8) {
        let kind = descriptor::PORT;
        self.describe(Descriptor {
            kind,
            disposition,
            name: name.0,
            ..Descriptor::default()
        });
    }

    /// Memory that leaves with the message.
    fn moved(&mut self, memory: Memory, shape: Descriptor) {
        let (address, size) = memory.into_raw();
        let value = Descriptor {
            flags: descriptor::DEALLOCATE,
            address,
            size: size as u64,
            ..shape
        };
        // SAFETY: the `Memory` that owned the range was given up here.
        unsafe { buffer::set_descriptor_moving(self.described, value) };
        self.described += 1;
    }

    fn describe(&mut self, value: Descriptor) {
        buffer::set_descriptor(self.described, value);
        self.described += 1;
    }
}

impl Sink for Out {
    #[inline(always)]
    fn word(&mut self, value: u64) {
        if self.long {
            // Beyond the buffer it writes nothing, and `finish` refuses.
            buffer::set_word(self.descriptors, self.written, value);
        } else if let Some(word) = self.words.get_mut(self.written) {
            *word = value;
        }
        self.written += 1;
    }
}

impl Outgoing<Mach> for Out {
    fn send<I: ?Sized + 'static>(&mut self, right: SendRight<I>) {
        self.port(right.into_name(), disposition::MOVE_SEND);
    }

    fn send_once<I: ?Sized + 'static>(&mut self, right: SendOnce<I>) {
        self.port(right.into_name(), disposition::MOVE_SEND_ONCE);
    }

    fn receive<I: ?Sized + 'static>(&mut self, right: ReceiveRight<I>) {
        self.port(right.into_name(), disposition::MOVE_RECEIVE);
    }

    fn sends<I: ?Sized + 'static>(&mut self, rights: SendRights<I>) {
        let (names, count) = rights.into_names();
        let shape = Descriptor {
            kind: descriptor::OUT_OF_LINE_PORTS,
            disposition: disposition::MOVE_SEND,
            name: count,
            ..Descriptor::default()
        };
        self.moved(names, shape);
    }

    fn memory(&mut self, memory: Memory) {
        let shape = Descriptor {
            kind: descriptor::OUT_OF_LINE,
            ..Descriptor::default()
        };
        self.moved(memory, shape);
    }
}

impl Lending<Mach> for Out {
    fn lend(&mut self, data: &[u8]) {
        self.describe(Descriptor {
            kind: descriptor::OUT_OF_LINE,
            address: data.as_ptr() as u64,
            size: data.len() as u64,
            ..Descriptor::default()
        });
    }
}
