//! From what the kernel gives to the classic layout: a message, written for a program.

use abi::classic::{
    BODY_SIZE, HEADER_SIZE, Header, MAX_TRAILER_SIZE, NDR_RECORD, bits, copy, trailer,
};
use abi::message::{Descriptor, WORDS, descriptor};
use abi::names::disposition;
use abi::registers::{ReplyKind, Shape};
use abi::{exception, notify};
use libmach::abi;
use libmach::trap::Registers;

use crate::outgoing::{WORDS_SIZE, size_of_kind};

/// Where descriptors and data of a received message are.
pub trait Body {
    /// Descriptor `index`.
    fn descriptor(&self, index: usize) -> Descriptor;
    /// Copies the inline data, which follows so many descriptors, to `to`.
    fn data(&self, descriptors: usize, to: &mut [u8]);
}

/// What is behind the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Six words.
    Words,
    /// What the buffer holds.
    Buffer,
    /// A notification of the kernel's: an NDR record and, for most, this name or count.
    Notice(Option<u32>),
    /// An exception of the kernel's with rights and codes: an NDR record, type, count and codes of so many bytes each,
    /// as MIG's `exc` and `mach_exc` have them.
    Exception(usize),
}

/// A message to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// The header; its size is the whole message's.
    pub header: Header,
    form: Form,
    words: [u64; WORDS],
    descriptors: usize,
    data: usize,
}

impl Incoming {
    /// A received message.
    ///
    /// Which right it came through the kernel does not tell: the local disposition is a send right's.
    pub fn received(registers: &Registers, body: &impl Body) -> Self {
        let received = registers.received();
        let header = Header {
            bits: pair(held(received.reply()), disposition::MOVE_SEND),
            remote: registers.reply(),
            local: registers.local(),
            id: registers.id(),
            ..Header::default()
        };
        Self::new(header, form(registers), (registers, received.shape()), body)
    }

    /// A message that was to be sent and came back (M-10): ports are where the sender had them, as rights
    /// that it now holds.
    pub fn returned(sent: &Header, registers: &Registers, body: &impl Body) -> Self {
        let shape = Shape(registers.word as u32);
        let local = (sent.bits & bits::LOCAL_MASK) >> bits::LOCAL_SHIFT;
        let header = Header {
            bits: pair(came_back(sent.bits & bits::REMOTE_MASK), came_back(local)),
            remote: registers.local(),
            local: registers.reply(),
            ..*sent
        };
        let form = if shape.is_buffered() {
            Form::Buffer
        } else {
            Form::Words
        };
        Self::new(header, form, (registers, shape), body)
    }

    fn new(
        header: Header,
        form: Form,
        (registers, shape): (&Registers, Shape),
        body: &impl Body,
    ) -> Self {
        let descriptors = shape.descriptors() as usize;
        let (data, complex) = match form {
            Form::Words => (WORDS_SIZE, 0),
            Form::Notice(None) => (0, 0),
            Form::Notice(Some(_)) => (NDR_RECORD.len() + 4, 0),
            Form::Exception(code) => (NDR_RECORD.len() + 8 + 2 * code, bits::COMPLEX),
            Form::Buffer if descriptors == 0 => (shape.size() as usize, 0),
            Form::Buffer => (shape.size() as usize, bits::COMPLEX),
        };
        let mut size = HEADER_SIZE + data;
        if complex != 0 {
            let all = (0..descriptors).map(|index| body.descriptor(index).kind);
            size += BODY_SIZE + all.filter_map(size_of_kind).sum::<usize>();
        }
        Self {
            header: Header {
                bits: header.bits | complex,
                size: size as u32,
                ..header
            },
            form,
            words: registers.words,
            descriptors,
            data,
        }
    }

    /// Bytes of the message, its trailer not counted.
    pub const fn size(&self) -> usize {
        self.header.size as usize
    }

    /// Writes the message to the first [`Incoming::size`] bytes of `to`.
    pub fn write(&self, body: &impl Body, to: &mut [u8]) {
        let (header, mut rest) = to.split_at_mut(HEADER_SIZE);
        write_header(&self.header, header);
        if self.header.bits & bits::COMPLEX != 0 {
            rest = put(rest, &(self.descriptors as u32).to_le_bytes());
            for index in 0..self.descriptors {
                rest = write_descriptor(rest, body.descriptor(index));
            }
        }
        match self.form {
            Form::Words => {
                let _ = self
                    .words
                    .iter()
                    .fold(rest, |rest, word| put(rest, &word.to_le_bytes()));
            }
            Form::Buffer => body.data(self.descriptors, &mut rest[..self.data]),
            Form::Notice(None) => {}
            Form::Exception(code) => {
                let [kind, codes @ .., _, _, _] = self.words;
                let rest = put(rest, &NDR_RECORD);
                let rest = put(rest, &(kind as u32).to_le_bytes());
                let rest = put(rest, &2_u32.to_le_bytes());
                let _ = codes
                    .iter()
                    .fold(rest, |rest, word| put(rest, &word.to_le_bytes()[..code]));
            }
            Form::Notice(Some(value)) => {
                let rest = put(rest, &NDR_RECORD);
                let _ = put(rest, &value.to_le_bytes());
            }
        }
    }
}

/// The kernel's own notifications have their classic layout too, and so have exceptions with rights.
fn form(registers: &Registers) -> Form {
    let value = Form::Notice(Some(registers.words[0] as u32));
    let own = registers.identity() == 0;
    let shape = registers.received().shape();
    let raised = shape == Shape::buffered(0, 2);
    match registers.id() {
        exception::WIDE_RAISE if raised => Form::Exception(8),
        exception::NARROW_RAISE if raised => Form::Exception(4),
        _ if shape.is_buffered() => Form::Buffer,
        notify::SEND_ONCE if own => Form::Notice(None),
        notify::PORT_DELETED | notify::SEND_POSSIBLE | notify::NO_SENDERS | notify::DEAD_NAME
            if own =>
        {
            value
        }
        _ => Form::Words,
    }
}

/// The reply right that came.
pub(crate) const fn held(kind: ReplyKind) -> u8 {
    match kind {
        ReplyKind::None => disposition::NONE,
        ReplyKind::Send => disposition::MOVE_SEND,
        ReplyKind::Slot | ReplyKind::SendOnce | ReplyKind::Dead => disposition::MOVE_SEND_ONCE,
    }
}

/// The right that came back, by the disposition with which it went.
const fn came_back(sent: u32) -> u8 {
    match sent as u8 {
        disposition::MOVE_SEND | disposition::COPY_SEND | disposition::MAKE_SEND => {
            disposition::MOVE_SEND
        }
        disposition::NONE => disposition::NONE,
        _ => disposition::MOVE_SEND_ONCE,
    }
}

fn pair(remote: u8, local: u8) -> u32 {
    u32::from(remote) | u32::from(local) << bits::LOCAL_SHIFT
}

/// Writes a header to the first bytes of `to`.
pub fn write_header(header: &Header, to: &mut [u8]) {
    let words = [
        header.bits,
        header.size,
        header.remote.0,
        header.local.0,
        header.voucher,
        header.id.cast_unsigned(),
    ];
    for (place, word) in to.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

fn write_descriptor(to: &mut [u8], found: Descriptor) -> &mut [u8] {
    let deallocate = u8::from(found.flags & descriptor::DEALLOCATE != 0);
    match found.kind {
        descriptor::PORT => {
            let to = put(to, &found.name.to_le_bytes());
            put(to, &[0, 0, 0, 0, 0, 0, found.disposition, found.kind])
        }
        descriptor::OUT_OF_LINE => {
            let to = put(to, &found.address.to_le_bytes());
            let to = put(to, &[deallocate, copy::ALLOCATE, 0, found.kind]);
            put(to, &(found.size as u32).to_le_bytes())
        }
        descriptor::OUT_OF_LINE_PORTS => {
            let to = put(to, &found.address.to_le_bytes());
            let to = put(
                to,
                &[deallocate, copy::ALLOCATE, found.disposition, found.kind],
            );
            put(to, &found.name.to_le_bytes())
        }
        _ => to,
    }
}

/// Writes `bytes`, and answers what follows them.
fn put<'a>(to: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (place, rest) = to.split_at_mut(bytes.len());
    place.copy_from_slice(bytes);
    rest
}

/// What a trailer may tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Which message of its port it was.
    pub sequence: u32,
    /// The sender's identity token.
    pub identity: u64,
    /// The label of the port.
    pub label: u64,
}

/// Bytes of the trailer that the options of a receive ask for; `None` when there is no such trailer.
pub fn trailer_size(option: u32) -> Option<usize> {
    let elements = option >> trailer::ELEMENTS_SHIFT & 0xf;
    let format = option >> trailer::TYPE_SHIFT;
    trailer::size(elements).filter(|_| format == 0)
}

/// Writes a trailer of `to`'s size.
pub fn write_trailer(facts: &Facts, to: &mut [u8]) {
    let mut whole = [0; MAX_TRAILER_SIZE];
    let rest = put(&mut whole, &[0; 4]);
    let rest = put(rest, &(to.len() as u32).to_le_bytes());
    let rest = put(rest, &facts.sequence.to_le_bytes());
    let rest = put(rest, &facts.identity.to_le_bytes());
    let rest = put(rest, &facts.identity.to_le_bytes());
    let rest = put(rest, &[0; 24]);
    let _ = put(rest, &facts.label.to_le_bytes());
    to.copy_from_slice(&whole[..to.len()]);
}
