//! How `mach_msg` packs a message's header into registers (DESIGN.md §4).
//!
//! | register | in | out |
//! |---|---|---|
//! | rax | [`MACH_MSG`](crate::trap::MACH_MSG) | [`MessageReturn`](crate::kern_return::MessageReturn) |
//! | rdi | [`options`], dispositions; upper half: [`Shape`] | [`Received`]; upper half: local port name |
//! | rsi | destination name; upper half: reply name | label of the port received on |
//! | rdx | receive name; upper half: message id | message id; upper half: reply name |
//! | r10 | deadline, absolute ns | sender's identity token |
//! | r8 r9 r12 r13 r14 r15 | payload | payload |
//!
//! A null reply name with the disposition `MAKE_SEND_ONCE`, and a null receive name, both mean the
//! thread's own reply object. They are used together: a call.

use crate::names::Name;

/// The low 16 bits of `rdi`. Values are XNU's `mach_msg_option_t` where it has the option.
pub mod options {
    /// Send the message.
    pub const SEND: u32 = 0x1;
    /// Receive a message, after the send if there is one.
    pub const RECEIVE: u32 = 0x2;
    /// A message too large for the buffer stays in the queue; in the own reply object, which only a call receives from, it ends
    /// with the call.
    pub const RECEIVE_LARGE: u32 = 0x4;
    /// The deadline in `r10` limits a wait on a full queue.
    pub const SEND_TIMEOUT: u32 = 0x10;
    /// `thread_abort` ends the send with `SendInterrupted` instead of libmach repeating it.
    pub const SEND_INTERRUPT: u32 = 0x40;
    /// A send that finds the queue full arms the send-possible request of the destination's name.
    pub const SEND_NOTIFY: u32 = 0x80;
    /// The deadline in `r10` limits the wait for a message.
    pub const RECEIVE_TIMEOUT: u32 = 0x100;
    /// `thread_abort` ends the receive with `ReceiveInterrupted` instead of libmach repeating it.
    pub const RECEIVE_INTERRUPT: u32 = 0x400;
    /// Report that a message is there (its id, the label and name of its port) without dequeuing it. What it would take to
    /// receive it is asked by `mach_port_peek`, or by [`RECEIVE_LARGE`]. In the own reply object it ends with the call.
    pub const PEEK: u32 = 0x1000;
    /// Every bit that an option may be.
    pub const ALL: u32 = SEND
        | RECEIVE
        | RECEIVE_LARGE
        | SEND_TIMEOUT
        | SEND_INTERRUPT
        | SEND_NOTIFY
        | RECEIVE_TIMEOUT
        | RECEIVE_INTERRUPT
        | PEEK;

    /// Where the destination's disposition lies (5 bits).
    pub const REMOTE_SHIFT: u32 = 16;
    /// Where the reply right's disposition lies (5 bits).
    pub const LOCAL_SHIFT: u32 = 21;
    /// All bits of one disposition.
    pub const DISPOSITION_MASK: u32 = 0x1f;
}

/// What a message consists of beside the six words. All zero: a short message, words only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Shape(pub u32);

impl Shape {
    /// Words only.
    pub const SHORT: Self = Self(0);
    const BUFFERED: u32 = 1 << 31;
    const SIZE_BITS: u32 = 20;
    const COUNT_MASK: u32 = 0xff;

    /// A message in the buffer: `size` bytes of inline data (below 1 MiB), `count` descriptors.
    ///
    /// Bits that do not fit are cut off; the kernel checks what it reads against the buffer.
    pub const fn buffered(size: u32, count: u32) -> Self {
        let size = size & ((1 << Self::SIZE_BITS) - 1);
        Self(Self::BUFFERED | size | (count & Self::COUNT_MASK) << Self::SIZE_BITS)
    }

    /// Whether the message lies in the buffer.
    pub const fn is_buffered(self) -> bool {
        self.0 & Self::BUFFERED != 0
    }

    /// Bytes of inline data.
    pub const fn size(self) -> u32 {
        self.0 & ((1 << Self::SIZE_BITS) - 1)
    }

    /// How many descriptors precede the inline data.
    pub const fn descriptors(self) -> u32 {
        self.0 >> Self::SIZE_BITS & Self::COUNT_MASK
    }

    /// Whether a sender may say this: unused bits clear, nothing beside the words when short.
    pub const fn is_valid(self) -> bool {
        self.0 == 0 || self.0 & (Self::BUFFERED | 0x7000_0000) == Self::BUFFERED
    }
}

/// What kind of right the reply name of a received message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum ReplyKind {
    /// The message carried none.
    None = 0,
    /// A send-once right in the reply slot ([`Name::REPLY_SLOT`]).
    Slot = 1,
    /// A send-once right under the name in the upper half of `rdx`.
    SendOnce = 2,
    /// A send right under that name.
    Send = 3,
    /// The right died on the way; the name is [`Name::DEAD`].
    Dead = 4,
}

/// The low half of `rdi` after a receive: the shape, with the reply's kind in bits 28 to 30.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Received(pub u32);

impl Received {
    /// Words only, and no reply right.
    pub const SHORT: Self = Self(0);

    /// Puts shape and kind together.
    pub const fn new(shape: Shape, reply: ReplyKind) -> Self {
        Self(shape.0 | (reply as u32) << 28)
    }

    /// The message's shape.
    pub const fn shape(self) -> Shape {
        Shape(self.0 & !0x7000_0000)
    }

    /// The kind of the reply right.
    pub const fn reply(self) -> ReplyKind {
        match self.0 >> 28 & 7 {
            1 => ReplyKind::Slot,
            2 => ReplyKind::SendOnce,
            3 => ReplyKind::Send,
            4 => ReplyKind::Dead,
            _ => ReplyKind::None,
        }
    }
}

/// `rdi` of a call: options, dispositions and the shape of the message sent.
pub const fn send_word(options: u32, remote: u8, local: u8, shape: Shape) -> u64 {
    (options | (remote as u32) << options::REMOTE_SHIFT | (local as u32) << options::LOCAL_SHIFT)
        as u64
        | (shape.0 as u64) << 32
}

/// Two 32-bit values in one register, the first one low.
pub const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// The low half of a register, as a name.
pub const fn low_name(register: u64) -> Name {
    Name(register as u32)
}

/// The high half of a register, as a name.
pub const fn high_name(register: u64) -> Name {
    Name((register >> 32) as u32)
}
