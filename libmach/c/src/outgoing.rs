//! From the classic layout to what the kernel takes: a message of a program's, read.

use abi::classic::{
    BODY_SIZE, DISPOSITION_OFFSET, HEADER_SIZE, Header, KIND_OFFSET, MEMORY_DESCRIPTOR_SIZE,
    MemoryDescriptor, NDR_RECORD, PORT_DESCRIPTOR_SIZE, PortDescriptor, bits,
};
use abi::exception;
use abi::kern_return::MessageReturn;
use abi::message::{DESCRIPTOR_SIZE, Descriptor, MAX_DESCRIPTORS, WORDS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::Shape;
use abi::transport::REPLY_OFFSET;
use core::mem::offset_of;
use libmach::{abi, buffer};

/// Bytes of the six words.
pub const WORDS_SIZE: usize = WORDS * 8;
/// Bytes of an error reply behind its header: NDR record and code.
const ERROR_SIZE: usize = NDR_RECORD.len() + 4;

/// A message as the kernel is to be told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing<'a> {
    /// The destination, and how its right is used.
    pub to: (Name, u8),
    /// The reply right, and how it is used.
    pub reply: (Name, u8),
    /// The message id.
    pub id: i32,
    /// The registers' words.
    pub words: [u64; WORDS],
    /// What lies in the buffer beside them.
    pub shape: Shape,
    /// The descriptors, as the program wrote them.
    descriptors: &'a [u8],
    /// The inline data.
    pub data: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// Reads a message. What the kernel checks is left to it, since a failure there has its rules about
    /// the message's rights (M-08).
    ///
    /// # Errors
    /// `SendMsgTooSmall`, `SendInvalidHeader`, `SendInvalidVoucher`, `SendTooLarge`; nothing was sent.
    pub fn read(message: &'a [u8]) -> Result<Self, MessageReturn> {
        if !message.len().is_multiple_of(4) {
            return Err(MessageReturn::SendMsgTooSmall);
        }
        let header = header(message).ok_or(MessageReturn::SendMsgTooSmall)?;
        if header.bits & !bits::ALL != 0 {
            return Err(MessageReturn::SendInvalidHeader);
        }
        if header.bits & bits::VOUCHER_MASK != 0 || header.voucher != 0 {
            return Err(MessageReturn::SendInvalidVoucher);
        }
        let complex = header.bits & bits::COMPLEX != 0;
        let body = &message[HEADER_SIZE..];
        let (count, descriptors, data) = if complex {
            split(body)?
        } else {
            (0, &[][..], body)
        };
        if count * DESCRIPTOR_SIZE + data.len() > buffer::CAPACITY {
            return Err(MessageReturn::SendTooLarge);
        }
        let (words, in_registers) = words(data);
        let shape = if (in_registers || answers_exception(header.id, data)) && count == 0 {
            Shape::SHORT
        } else {
            Shape::buffered(data.len() as u32, count as u32)
        };
        let local = (header.bits & bits::LOCAL_MASK) >> bits::LOCAL_SHIFT;
        Ok(Self {
            to: (header.remote, (header.bits & bits::REMOTE_MASK) as u8),
            reply: reply(header.local, local as u8),
            id: header.id,
            words,
            shape,
            descriptors,
            data,
        })
    }

    /// The descriptors, one after the other.
    pub fn descriptors(&self) -> impl Iterator<Item = Descriptor> + use<'a> {
        let mut rest = self.descriptors;
        core::iter::from_fn(move || {
            let (found, size) = descriptor_of(rest)?;
            rest = rest.get(size..).unwrap_or(&[]);
            Some(found)
        })
    }
}

/// The kernel takes a null reply name for the thread's own reply object if a right to that could be made, which a
/// classic message does not have. With any other disposition it is no reply right there, too.
const fn reply(name: Name, how: u8) -> (Name, u8) {
    if name.0 == Name::NULL.0 && how == disposition::MAKE_SEND_ONCE {
        (Name::NULL, disposition::NONE)
    } else {
        (name, how)
    }
}

/// The header of a message, if it is long enough for one.
pub fn header(message: &[u8]) -> Option<Header> {
    let word = |index: usize| u32_at(message, index * 4);
    Some(Header {
        bits: word(0)?,
        size: word(1)?,
        remote: Name(word(2)?),
        local: Name(word(3)?),
        voucher: word(4)?,
        id: word(5)?.cast_signed(),
    })
}

/// Of a complex message's body: the number of descriptors, their bytes, and the inline data.
fn split(body: &[u8]) -> Result<(usize, &[u8], &[u8]), MessageReturn> {
    let small = MessageReturn::SendMsgTooSmall;
    let count = u32_at(body, 0).ok_or(small)? as usize;
    if count > MAX_DESCRIPTORS {
        return Err(MessageReturn::SendTooLarge);
    }
    let all = &body[BODY_SIZE..];
    let mut end = 0;
    for index in 0..count {
        let rest = all.get(end..).ok_or(small)?;
        let kind = *rest.get(KIND_OFFSET).ok_or(small)?;
        if size_of_kind(kind).is_none() {
            // How long it is nobody knows: the kernel refuses it, and the message ends here.
            return Ok((index + 1, all, &[]));
        }
        let (_, size) = descriptor_of(rest).ok_or(small)?;
        end += size;
    }
    Ok((count, &all[..end], &all[end..]))
}

/// Whether it is MIG's answer to an exception with rights, a code and nothing else: the kernel takes it in registers.
fn answers_exception(id: i32, data: &[u8]) -> bool {
    let raised = id.wrapping_sub(REPLY_OFFSET);
    matches!(raised, exception::WIDE_RAISE | exception::NARROW_RAISE)
        && data.len() == ERROR_SIZE
        && data.starts_with(&NDR_RECORD)
}

/// Data of exactly six words goes in registers too; of an error reply the code does, where callers of
/// libmach's interfaces look for it.
fn words(data: &[u8]) -> ([u64; WORDS], bool) {
    let mut words = [0; WORDS];
    if data.len() == WORDS_SIZE {
        for (word, bytes) in words.iter_mut().zip(data.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        return (words, true);
    }
    if data.len() == ERROR_SIZE && data.starts_with(&NDR_RECORD) {
        words[0] = u32_at(data, NDR_RECORD.len()).unwrap_or(0).into();
    }
    (words, false)
}

/// Bytes of a descriptor of this kind.
pub(crate) const fn size_of_kind(kind: u8) -> Option<usize> {
    match kind {
        descriptor::PORT => Some(PORT_DESCRIPTOR_SIZE),
        descriptor::OUT_OF_LINE | descriptor::OUT_OF_LINE_PORTS => Some(MEMORY_DESCRIPTOR_SIZE),
        _ => None,
    }
}

/// The first descriptor of `bytes`, and how long it is.
pub(crate) fn descriptor_of(bytes: &[u8]) -> Option<(Descriptor, usize)> {
    let kind = *bytes.get(KIND_OFFSET)?;
    let Some(size) = size_of_kind(kind) else {
        let unknown = Descriptor {
            kind,
            ..Descriptor::default()
        };
        return Some((unknown, bytes.len()));
    };
    let bytes = bytes.get(..size)?;
    let disposition = bytes[DISPOSITION_OFFSET];
    if kind == descriptor::PORT {
        let name = u32_at(bytes, offset_of!(PortDescriptor, name))?;
        let port = Descriptor {
            kind,
            disposition,
            name,
            ..Descriptor::default()
        };
        return Some((port, size));
    }
    let deallocate = bytes[offset_of!(MemoryDescriptor, deallocate)] != 0;
    let flags = if deallocate {
        descriptor::DEALLOCATE
    } else {
        0
    };
    let address = u64_at(bytes, offset_of!(MemoryDescriptor, address))?;
    let count = u32_at(bytes, offset_of!(MemoryDescriptor, size))?;
    let memory = Descriptor {
        kind,
        flags,
        address,
        ..Descriptor::default()
    };
    let found = if kind == descriptor::OUT_OF_LINE {
        Descriptor {
            size: count.into(),
            ..memory
        }
    } else {
        Descriptor {
            disposition,
            name: count,
            ..memory
        }
    };
    Some((found, size))
}

/// Four bytes, as a number.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let found = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*found))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let found = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*found))
}
