//! Ports and messages by their bare names, for what owned rights do not let a program do.

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::{Descriptor, descriptor};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::{Shape, options};
use libmach::abi::trap::construct;
use libmach::message::{self, NO_REPLY, send_registers};
use libmach::trap::{self, Registers};
use libmach::{buffer, ms, time};

use crate::case::{Check, equal};

/// A name of this task's. Dropped, it is destroyed with all rights under it, if it is still there.
#[derive(Debug)]
pub(crate) struct Owned(pub(crate) Name);

impl Drop for Owned {
    fn drop(&mut self) {
        // What a case has destroyed or sent away is not there any more.
        trap::port_destroy(self.0).ok();
    }
}

/// A port with one send right, under one name.
pub(crate) fn port() -> Check<Owned> {
    Ok(Owned(trap::port_construct(construct::INSERT_SEND, 0, 0)?))
}

/// An empty set.
pub(crate) fn set() -> Check<Owned> {
    Ok(Owned(trap::port_construct(construct::PORT_SET, 0, 0)?))
}

/// What a message without data is answered with: it carries `id`, and never waits.
pub(crate) fn attempt(to: (Name, u8), reply: (Name, u8), id: i32) -> MessageReturn {
    let registers = send_registers(options::SEND_TIMEOUT, to, reply, id, Shape::SHORT, [0; 6]);
    message::exchange(registers).0
}

/// Sends an id to a port, of which there is a send right.
pub(crate) fn send(to: Name, id: i32) -> Check {
    let code = attempt((to, disposition::COPY_SEND), NO_REPLY, id);
    equal("send", code, MessageReturn::Success)
}

/// Sends the rights that were described.
pub(crate) fn send_described(to: (Name, u8), count: u32) -> MessageReturn {
    let shape = Shape::buffered(0, count);
    let registers = send_registers(options::SEND_TIMEOUT, to, NO_REPLY, 1, shape, [0; 6]);
    message::exchange(registers).0
}

/// What a port or set has now.
pub(crate) fn poll(port: Name) -> (MessageReturn, Registers) {
    message::receive_until(port, 0)
}

/// What a port or set has within ten seconds.
pub(crate) fn next(port: Name) -> Check<Registers> {
    let (code, found) = message::receive_until(port, time::deadline(ms(10_000)));
    equal("receive", code, MessageReturn::Success)?;
    Ok(found)
}

/// The id of what comes next, which is there.
pub(crate) fn next_id(port: Name) -> Check<i32> {
    Ok(next(port)?.id())
}

/// That a port has nothing.
pub(crate) fn nothing(port: Name) -> Check {
    equal("receive", poll(port).0, MessageReturn::ReceiveTimedOut)
}

/// Writes a descriptor of the next message: a right, and how it goes.
pub(crate) fn describe(index: usize, name: Name, how: u8) {
    let value = Descriptor {
        kind: descriptor::PORT,
        disposition: how,
        name: name.0,
        ..Descriptor::default()
    };
    buffer::set_descriptor(index, value);
}

/// The name of a right that came.
pub(crate) fn arrived(index: usize) -> Name {
    Name(buffer::descriptor(index).name)
}

/// Sends a right by way of a port of its own, and receives it; its name then.
pub(crate) fn pass(name: Name, how: u8) -> Check<Name> {
    let way = port()?;
    describe(0, name, how);
    equal(
        "send",
        send_described((way.0, disposition::COPY_SEND), 1),
        MessageReturn::Success,
    )?;
    next(way.0)?;
    Ok(arrived(0))
}
