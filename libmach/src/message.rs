//! Messages as they go through the trap: the thinnest layer that safe code may use.
//!
//! [`exchange`] is `mach_msg`; the other functions are its common shapes. The stubs that the
//! interface macro makes end here. Nothing here owns: names are plain [`Name`]s, and
//! what the codes mean for their owners is said in `failure`.
//!
//! Invariant that makes it safe: nobody ever holds a reference into the thread's message buffer
//! ([`crate::buffer`] reads and writes it by value), and a descriptor that gives memory away is
//! written by `unsafe` code alone.

use abi::kern_return::MessageReturn;
use abi::message::WORDS;
use abi::names::{Name, disposition};
use abi::registers::{Received, Shape, high_name, low_name, options, pair, send_word};

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

/// What is sent.
impl Registers {
    /// The same message, with a receive on `port` behind it.
    #[inline(always)]
    #[must_use]
    pub const fn receiving_on(self, port: Name) -> Self {
        let receive = pair(port.0, high_name(self.receive).0);
        Self { receive, ..self }
    }
}

/// The registers that send a message, with these options beside [`options::SEND`].
///
/// `to` is the destination and how its right is used, `reply` the same of the reply right.
#[inline(always)]
pub const fn send_registers(
    option: u32,
    to: (Name, u8),
    reply: (Name, u8),
    id: i32,
    shape: Shape,
    words: [u64; WORDS],
) -> Registers {
    Registers {
        word: send_word(options::SEND | option, to.1, reply.1, shape),
        names: pair(to.0.0, reply.0.0),
        receive: pair(Name::NULL.0, id.cast_unsigned()),
        deadline: 0,
        words,
    }
}

/// The reply right of a message that expects no answer.
pub const NO_REPLY: (Name, u8) = (Name::NULL, disposition::NONE);

/// The registers of a call: send to `destination` (copied), receive on the own reply object.
#[inline(always)]
pub const fn call_registers(
    destination: Name,
    id: i32,
    shape: Shape,
    words: [u64; WORDS],
) -> Registers {
    let to = (destination, disposition::COPY_SEND);
    let reply = (Name::NULL, disposition::MAKE_SEND_ONCE);
    send_registers(options::RECEIVE, to, reply, id, shape, words)
}

/// A call of six words: one trap.
#[inline(always)]
pub fn call(destination: Name, id: i32, words: [u64; WORDS]) -> (MessageReturn, Registers) {
    exchange(call_registers(destination, id, Shape::SHORT, words))
}

/// The registers that answer what lies in the reply slot and receive the next message.
#[inline(always)]
pub const fn reply_receive_registers(
    receive: Name,
    id: i32,
    shape: Shape,
    words: [u64; WORDS],
) -> Registers {
    let to = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
    send_registers(options::RECEIVE, to, NO_REPLY, id, shape, words).receiving_on(receive)
}

/// Answers the caller in the reply slot and receives the next message on `receive`: one trap.
#[inline(always)]
pub fn reply_receive(receive: Name, id: i32, words: [u64; WORDS]) -> (MessageReturn, Registers) {
    exchange(reply_receive_registers(receive, id, Shape::SHORT, words))
}

/// The registers that receive the next message on a port or set.
#[inline(always)]
pub const fn receive_registers(port: Name) -> Registers {
    Registers {
        word: send_word(options::RECEIVE, 0, 0, Shape::SHORT),
        names: 0,
        receive: pair(port.0, 0),
        deadline: 0,
        words: [0; WORDS],
    }
}

/// As [`exchange`], and again for as long as `thread_abort` interrupts it, unless its options say that it is to
/// end then (MACH.md M-11). Only a wait for the own reply object ends: the interruption ended its call.
pub fn uninterrupted(registers: Registers) -> (MessageReturn, Registers) {
    let mut sent = registers;
    loop {
        let (code, back) = exchange(sent);
        match again(&sent, code, &back) {
            Some(next) => sent = next,
            None => return (code, back),
        }
    }
}

/// What is left to do of a message that was interrupted.
#[cold]
fn again(sent: &Registers, code: MessageReturn, back: &Registers) -> Option<Registers> {
    let low = sent.word as u32;
    match code {
        // Its rights came back as if they had been received: they are moved now, whatever they were made from.
        MessageReturn::SendInterrupted if low & options::SEND_INTERRUPT == 0 => {
            let own_reply = high_name(sent.names) == Name::NULL;
            let local = (low >> options::LOCAL_SHIFT & options::DISPOSITION_MASK) as u8;
            let (reply, local) = match own_reply {
                true => (Name::NULL, local),
                false => (back.reply(), moved(local)),
            };
            let remote = moved((low >> options::REMOTE_SHIFT & options::DISPOSITION_MASK) as u8);
            let option = low & options::ALL;
            Some(Registers {
                word: send_word(option, remote, local, back.received().shape()),
                names: pair(back.local().0, reply.0),
                ..*sent
            })
        }
        MessageReturn::ReceiveInterrupted
            if low & options::RECEIVE_INTERRUPT == 0 && low_name(sent.receive) != Name::NULL =>
        {
            let option = low & options::ALL & !options::SEND;
            Some(Registers {
                word: send_word(option, 0, 0, Shape::SHORT),
                ..*sent
            })
        }
        _ => None,
    }
}

/// How a right is sent on that came back from a send with this disposition.
const fn moved(how: u8) -> u8 {
    match how {
        disposition::NONE => disposition::NONE,
        disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => disposition::MOVE_SEND_ONCE,
        _ => disposition::MOVE_SEND,
    }
}

/// Receives the next message on a port or set, without end.
#[inline(always)]
pub fn receive(port: Name) -> (MessageReturn, Registers) {
    uninterrupted(receive_registers(port))
}

/// Receives the next message on a port or set, until `deadline` (absolute ns).
#[inline(always)]
pub fn receive_until(port: Name, deadline: u64) -> (MessageReturn, Registers) {
    let registers = receive_registers(port);
    uninterrupted(Registers {
        word: registers.word | u64::from(options::RECEIVE_TIMEOUT),
        deadline,
        ..registers
    })
}

/// Sends one message and expects no answer. `how` is the destination's disposition.
#[inline(always)]
pub fn send(
    destination: Name,
    how: u8,
    id: i32,
    shape: Shape,
    words: [u64; WORDS],
) -> MessageReturn {
    let registers = send_registers(0, (destination, how), NO_REPLY, id, shape, words);
    uninterrupted(registers).0
}

#[cfg(test)]
mod tests {
    use abi::registers::ReplyKind;

    use super::*;

    /// What comes back under these names.
    fn back(shape: Shape, remote: Name, reply: Name) -> Registers {
        Registers {
            word: pair(Received::new(shape, ReplyKind::None).0, remote.0),
            receive: pair(9, reply.0),
            ..Registers::default()
        }
    }

    // covers: M-11
    #[test]
    fn an_interrupted_send_goes_out_again_with_what_came_back() {
        let shape = Shape::buffered(100, 2);
        let to = (Name(0x501), disposition::COPY_SEND);
        let reply = (Name(0x601), disposition::MAKE_SEND_ONCE);
        let option = options::RECEIVE | options::SEND_TIMEOUT;
        let sent = send_registers(option, to, reply, 9, shape, [7; WORDS]);
        let sent = sent.receiving_on(Name(0x701));
        let came = back(shape, Name(0x501), Name(0x801));
        let code = MessageReturn::SendInterrupted;
        let expected = Registers {
            word: send_word(
                options::SEND | option,
                disposition::MOVE_SEND,
                disposition::MOVE_SEND_ONCE,
                shape,
            ),
            names: pair(0x501, 0x801),
            ..sent
        };
        assert_eq!(again(&sent, code, &came), Some(expected));
        let told = Registers {
            word: sent.word | u64::from(options::SEND_INTERRUPT),
            ..sent
        };
        assert_eq!(again(&told, code, &came), None, "it wants to know");
        for other in [MessageReturn::Success, MessageReturn::SendTimedOut] {
            assert_eq!(again(&sent, other, &came), None);
        }
    }

    // covers: M-11
    #[test]
    fn an_interrupted_call_keeps_its_own_reply_object() {
        let sent = call_registers(Name(0x501), 9, Shape::SHORT, [1; WORDS]);
        let came = back(Shape::SHORT, Name(0x502), Name::NULL);
        let next = again(&sent, MessageReturn::SendInterrupted, &came).unwrap_or_default();
        assert_eq!(next.names, pair(0x502, 0));
        let how = send_word(
            options::SEND | options::RECEIVE,
            disposition::MOVE_SEND,
            disposition::MAKE_SEND_ONCE,
            Shape::SHORT,
        );
        assert_eq!(next.word, how);
        let answer = again(&sent, MessageReturn::ReceiveInterrupted, &came);
        assert_eq!(answer, None, "its epoch is over");
    }

    // covers: M-11
    #[test]
    fn an_interrupted_receive_goes_on_without_sending_again() {
        let sent = reply_receive_registers(Name(0x301), 9, Shape::SHORT, [1; WORDS]);
        let code = MessageReturn::ReceiveInterrupted;
        let next = again(&sent, code, &sent).unwrap_or_default();
        assert_eq!(next.word, u64::from(options::RECEIVE));
        assert_eq!(low_name(next.receive), Name(0x301));
        let told = Registers {
            word: sent.word | u64::from(options::RECEIVE_INTERRUPT),
            ..sent
        };
        assert_eq!(again(&told, code, &told), None);
    }
}
