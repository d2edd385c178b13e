//! A message in a thread's message buffer: header, descriptors, inline data, in this order.

use crate::names::Name;
use crate::registers::Shape;

/// What the kernel writes at the start of the receiver's buffer. Output only: a sender's header is
/// never read, its message comes from registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Header {
    /// Remote and local disposition as received, `1 << 31` when descriptors follow.
    pub bits: u32,
    /// Bytes of header, descriptors and inline data.
    pub size: u32,
    /// The reply right.
    pub remote: Name,
    /// The port received on.
    pub local: Name,
    /// Reserved, 0.
    pub voucher: u32,
    /// Message id.
    pub id: i32,
    /// Label of the port received on.
    pub label: u64,
    /// Identity token of the sender's task, set by that task's creator.
    pub identity: u64,
    /// Sequence number of the message on its port.
    pub sequence: u32,
    /// How many descriptors follow.
    pub descriptors: u32,
    /// Reserved, left as it was.
    pub reserved: [u64; 2],
}

/// Bytes of [`Header`]; descriptors begin here.
pub const HEADER_SIZE: usize = 64;
const _: () = assert!(size_of::<Header>() == HEADER_SIZE);

/// Bytes of header, descriptors and data of a message in a buffer; a short one is its header alone.
pub const fn size_in_buffer(shape: Shape) -> u32 {
    (HEADER_SIZE + shape.descriptors() as usize * DESCRIPTOR_SIZE) as u32 + shape.size()
}

/// One right or piece of memory beside the inline data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Descriptor {
    /// [`descriptor`]'s kind.
    pub kind: u8,
    /// [`disposition`](crate::names::disposition) of the port, or of each port of an array.
    pub disposition: u8,
    /// [`descriptor`]'s flags.
    pub flags: u16,
    /// The port's name; of an array, how many names.
    pub name: u32,
    /// Address of the memory or of the array of names.
    pub address: u64,
    /// Bytes of memory.
    pub size: u64,
}

/// Bytes of one [`Descriptor`].
pub const DESCRIPTOR_SIZE: usize = 24;
const _: () = assert!(size_of::<Descriptor>() == DESCRIPTOR_SIZE);

/// Kinds and flags of a [`Descriptor`]. Kinds are XNU's `mach_msg_descriptor_type_t`.
pub mod descriptor {
    /// A port right.
    pub const PORT: u8 = 0;
    /// Out-of-line memory.
    pub const OUT_OF_LINE: u8 = 1;
    /// An out-of-line array of port rights.
    pub const OUT_OF_LINE_PORTS: u8 = 2;

    /// Out-of-line memory that may change until the send, which sees it as it is then: as
    /// [`OUT_OF_LINE`], and received as such.
    pub const OUT_OF_LINE_VOLATILE: u8 = 3;
    /// A guarded receive right; `address` is its guard. Received as [`PORT`], without guard.
    pub const GUARDED_PORT: u8 = 4;

    /// The memory leaves the sender's address space with the send.
    pub const DEALLOCATE: u16 = 1;
}

/// Which facts about a message a receiver asks for (XNU's trailer elements); each includes those before it.
///
/// A receive always gets all of them: label and identity in registers, all three in the [`Header`].
pub mod trailer {
    /// None.
    pub const NULL: u32 = 0;
    /// The sequence number.
    pub const SEQUENCE: u32 = 1;
    /// The sender's identity token.
    pub const SENDER: u32 = 2;
    /// The same: a token is all that tells tasks apart.
    pub const AUDIT: u32 = 3;
    /// The label of the port.
    pub const CONTEXT: u32 = 4;
}

/// The most descriptors one message has.
pub const MAX_DESCRIPTORS: usize = 64;

/// The most rights that all arrays of one message have together.
pub const MAX_PORTS: u32 = 16383;

/// Bytes of the smallest and of the largest message buffer; in between, whole pages.
pub const MIN_BUFFER: u64 = 2 * crate::PAGE_SIZE;
/// See [`MIN_BUFFER`].
pub const MAX_BUFFER: u64 = 16 * crate::PAGE_SIZE;

/// How many payload words a message has in registers.
pub const WORDS: usize = 6;
