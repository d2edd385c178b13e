//! Messages as they go through the trap: the thinnest layer that safe code may use.
//!
//! [`exchange`] is `mach_msg`; the other functions are its common shapes. The stubs that the
//! interface macro makes end here. Nothing here retries or owns: names are plain [`Name`]s, and
//! what the codes mean for their owners is said in [`crate::rights`].
//!
//! Invariant that makes it safe: nobody ever holds a reference into the thread's message buffer
//! ([`crate::buffer`] reads and writes it by value), and a descriptor that gives memory away is
//! written by `unsafe` code alone.

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::registers::{Received, Shape, high_name, options, pair, send_word};

use crate::trap::{self, Registers};

/// Sends, receives, or both: `mach_msg` with its registers.
#[inline(always)]
pub fn exchange(registers: Registers) -> (MessageReturn, Registers) {
    // SAFETY: no reference into the message buffer exists (module invariant), and descriptors with
    // `DEALLOCATE` come from unsafe code that answers for their memory.
    let (code, registers) = unsafe { trap::mach_msg(registers) };
    (MessageReturn(code), registers)
}

/// What came: the output registers of a receive, by their meaning.
impl Registers {
    /// Shape and reply kind.
    #[inline(always)]
    pub const fn received(&self) -> Received {
        Received(self.word as u32)
    }

    /// The port received on.
    #[inline(always)]
    pub const fn local(&self) -> Name {
        high_name(self.word)
    }

    /// Label of the port received on.
    #[inline(always)]
    pub const fn label(&self) -> u64 {
        self.names
    }

    /// Message id.
    #[inline(always)]
    pub const fn id(&self) -> i32 {
        self.receive as u32 as i32
    }

    /// The reply right's name; which right it is says [`Registers::received`].
    #[inline(always)]
    pub const fn reply(&self) -> Name {
        high_name(self.receive)
    }

    /// The sender's identity token.
    #[inline(always)]
    pub const fn identity(&self) -> u64 {
        self.deadline
    }
}

/// The registers of a call: send to `destination` (copied), receive on the own reply object.
#[inline(always)]
pub const fn call_registers(
    destination: Name,
    id: i32,
    shape: Shape,
    words: [u64; abi::message::WORDS],
) -> Registers {
    const CALL: u32 = options::SEND | options::RECEIVE;
    Registers {
        word: send_word(
            CALL,
            disposition::COPY_SEND,
            disposition::MAKE_SEND_ONCE,
            shape,
        ),
        names: pair(destination.0, Name::NULL.0),
        receive: pair(Name::NULL.0, id.cast_unsigned()),
        deadline: 0,
        words,
    }
}

/// A call of six words: one trap.
#[inline(always)]
pub fn call(
    destination: Name,
    id: i32,
    words: [u64; abi::message::WORDS],
) -> (MessageReturn, Registers) {
    exchange(call_registers(destination, id, Shape::SHORT, words))
}

/// The registers that answer what lies in the reply slot and receive the next message.
#[inline(always)]
pub const fn reply_receive_registers(
    receive: Name,
    id: i32,
    shape: Shape,
    words: [u64; abi::message::WORDS],
) -> Registers {
    const BOTH: u32 = options::SEND | options::RECEIVE;
    Registers {
        word: send_word(BOTH, disposition::MOVE_SEND_ONCE, disposition::NONE, shape),
        names: pair(Name::REPLY_SLOT.0, Name::NULL.0),
        receive: pair(receive.0, id.cast_unsigned()),
        deadline: 0,
        words,
    }
}

/// Answers the caller in the reply slot and receives the next message on `receive`: one trap.
#[inline(always)]
pub fn reply_receive(
    receive: Name,
    id: i32,
    words: [u64; abi::message::WORDS],
) -> (MessageReturn, Registers) {
    exchange(reply_receive_registers(receive, id, Shape::SHORT, words))
}

/// Receives the next message on a port or set, without end.
#[inline(always)]
pub fn receive(port: Name) -> (MessageReturn, Registers) {
    exchange(Registers {
        word: send_word(options::RECEIVE, 0, 0, Shape::SHORT),
        receive: pair(port.0, 0),
        ..Registers::default()
    })
}

/// Receives the next message on a port or set, until `deadline` (absolute ns).
#[inline(always)]
pub fn receive_until(port: Name, deadline: u64) -> (MessageReturn, Registers) {
    exchange(Registers {
        word: send_word(
            options::RECEIVE | options::RECEIVE_TIMEOUT,
            0,
            0,
            Shape::SHORT,
        ),
        receive: pair(port.0, 0),
        deadline,
        ..Registers::default()
    })
}

/// Sends one message and expects no answer. `how` is the destination's disposition.
#[inline(always)]
pub fn send(
    destination: Name,
    how: u8,
    id: i32,
    shape: Shape,
    words: [u64; abi::message::WORDS],
) -> MessageReturn {
    let registers = Registers {
        word: send_word(options::SEND, how, disposition::NONE, shape),
        names: pair(destination.0, Name::NULL.0),
        receive: pair(Name::NULL.0, id.cast_unsigned()),
        deadline: 0,
        words,
    };
    exchange(registers).0
}
