//! The classic layout of a message in a program's own memory: what C programs read and write.
//!
//! Sizes, bits and places are those of XNU's user headers for 64-bit programs (`mach/message.h`): names
//! and sizes have 32 bits, addresses 64, all of it packed to 4 bytes. The kernel knows nothing of it:
//! `libmach/c` translates between this layout and the registers and buffer of a message
//! ([`registers`](crate::registers), [`message`](crate::message)), and makes the C headers' numbers from
//! this crate.

use core::mem::offset_of;

use crate::names::Name;

/// `mach_msg_header_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Header {
    /// [`bits`].
    pub bits: u32,
    /// Bytes of header, body and data.
    pub size: u32,
    /// Sent: the destination. Received: the reply right.
    pub remote: Name,
    /// Sent: the reply right. Received: the port received on.
    pub local: Name,
    /// Reserved, 0.
    pub voucher: u32,
    /// Message id.
    pub id: i32,
}

/// Bytes of [`Header`].
pub const HEADER_SIZE: usize = 24;
const _: () = assert!(size_of::<Header>() == HEADER_SIZE);

/// `msgh_bits`.
pub mod bits {
    /// The disposition of the remote port.
    pub const REMOTE_MASK: u32 = 0x1f;
    /// The disposition of the local port.
    pub const LOCAL_MASK: u32 = 0x1f00;
    /// Where that one lies.
    pub const LOCAL_SHIFT: u32 = 8;
    /// The disposition of the voucher: there are none.
    pub const VOUCHER_MASK: u32 = 0x1f_0000;
    /// A body with descriptors follows the header.
    pub const COMPLEX: u32 = 0x8000_0000;
    /// Every bit that a sender may set.
    pub const ALL: u32 = REMOTE_MASK | LOCAL_MASK | VOUCHER_MASK | COMPLEX;
}

/// Bytes of `mach_msg_body_t`: how many descriptors follow.
pub const BODY_SIZE: usize = 4;

/// `mach_msg_port_descriptor_t`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PortDescriptor {
    /// The port's name.
    pub name: u32,
    /// Reserved.
    pub pad1: u32,
    /// Reserved.
    pub pad2: u16,
    /// [`disposition`](crate::names::disposition).
    pub disposition: u8,
    /// [`PORT`](crate::message::descriptor::PORT).
    pub kind: u8,
}

/// `mach_msg_ool_descriptor_t` and, with a disposition and a count, `mach_msg_ool_ports_descriptor_t`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub struct MemoryDescriptor {
    /// Where the memory lies.
    pub address: u64,
    /// Not 0: it leaves the sender's address space.
    pub deallocate: u8,
    /// [`copy`]; all are the same here.
    pub copy: u8,
    /// The disposition of each port of an array.
    pub disposition: u8,
    /// [`OUT_OF_LINE`](crate::message::descriptor::OUT_OF_LINE) or
    /// [`OUT_OF_LINE_PORTS`](crate::message::descriptor::OUT_OF_LINE_PORTS).
    pub kind: u8,
    /// Bytes of memory, or ports of an array.
    pub size: u32,
}

/// How out-of-line memory is to be copied: a wish, which changes nothing that can be seen.
pub mod copy {
    /// At once.
    pub const PHYSICAL: u8 = 0;
    /// When it is written to.
    pub const VIRTUAL: u8 = 1;
    /// As the receiver likes.
    pub const ALLOCATE: u8 = 2;
}

/// Bytes of a [`PortDescriptor`].
pub const PORT_DESCRIPTOR_SIZE: usize = 12;
/// Bytes of a [`MemoryDescriptor`].
pub const MEMORY_DESCRIPTOR_SIZE: usize = 16;
/// Where every descriptor says of which kind it is.
pub const KIND_OFFSET: usize = 11;
/// Where every descriptor that has a disposition has it.
pub const DISPOSITION_OFFSET: usize = 10;
const _: () = {
    assert!(size_of::<PortDescriptor>() == PORT_DESCRIPTOR_SIZE);
    assert!(size_of::<MemoryDescriptor>() == MEMORY_DESCRIPTOR_SIZE);
    assert!(offset_of!(PortDescriptor, kind) == KIND_OFFSET);
    assert!(offset_of!(MemoryDescriptor, kind) == KIND_OFFSET);
    assert!(offset_of!(PortDescriptor, disposition) == DISPOSITION_OFFSET);
    assert!(offset_of!(MemoryDescriptor, disposition) == DISPOSITION_OFFSET);
};

/// What the receiver asked to find behind the message, `mach_msg_mac_trailer_t` at most.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, packed(4))]
pub struct Trailer {
    /// 0: the only type.
    pub kind: u32,
    /// Bytes of it that are there.
    pub size: u32,
    /// [`trailer::SEQUENCE`]: which message of its port this is.
    pub sequence: u32,
    /// [`trailer::SENDER`]: the sender's identity token, low half first.
    pub sender: [u32; 2],
    /// [`trailer::AUDIT`]: the same token, then zeros.
    pub audit: [u32; 8],
    /// [`trailer::CONTEXT`]: the label of the port received on.
    pub context: u64,
    /// [`trailer::FILTER`]: what a filter of messages noted; nobody filters them here: 0.
    pub filter: u32,
    /// [`trailer::LABELS`]: the port of the sender's labels; there are none: 0.
    pub labels: u32,
}

/// Bytes of the largest [`Trailer`].
pub const MAX_TRAILER_SIZE: usize = 68;
const _: () = assert!(size_of::<Trailer>() == MAX_TRAILER_SIZE);

/// Which elements a trailer has: each number brings those before it too.
pub mod trailer {
    /// Type and size alone.
    pub const NONE: u32 = 0;
    /// The sequence number.
    pub const SEQUENCE: u32 = 1;
    /// The sender.
    pub const SENDER: u32 = 2;
    /// The sender in its long form.
    pub const AUDIT: u32 = 3;
    /// The port's label.
    pub const CONTEXT: u32 = 4;
    /// `MACH_RCV_TRAILER_AV`. Who asks for this gets labels, too.
    pub const FILTER: u32 = 7;
    /// `MACH_RCV_TRAILER_LABELS`.
    pub const LABELS: u32 = 8;
    /// Where the options of a receive have this number (4 bits).
    pub const ELEMENTS_SHIFT: u32 = 24;
    /// Where they have the trailer's type (4 bits), 0.
    pub const TYPE_SHIFT: u32 = 28;
    /// All bits of both.
    pub const MASK: u32 = 0xff00_0000;
    /// Bytes of a trailer with these elements; `None`: there are none of that number.
    pub const fn size(elements: u32) -> Option<usize> {
        Some(match elements {
            NONE => 8,
            SEQUENCE => 12,
            SENDER => 20,
            AUDIT => 52,
            CONTEXT => 60,
            FILTER | LABELS => super::MAX_TRAILER_SIZE,
            _ => return None,
        })
    }
}

/// Options that libmach adds to those of the trap ([`options`](crate::registers::options)).
pub mod option {
    /// With `MACH_RCV_LARGE`: say which port the message that is too large waits at.
    pub const RECEIVE_LARGE_IDENTITY: u32 = 0x8;
}

/// `NDR_record_t` of this machine: integers little-endian, characters ASCII, floats IEEE.
pub const NDR_RECORD: [u8; 8] = [0, 0, 0, 0, 1, 0, 0, 0];
