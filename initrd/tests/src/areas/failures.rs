//! Failures that other kernels met (F-nn in `microkernel/tests/requirements.toml`) and no other area looks for.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use interfaces::exceptions::Exceptions;
use libmach::abi::exception::RAISE;
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::message::{Descriptor, descriptor};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::transport::REPLY_OFFSET;
use libmach::{PortSet, ReceiveRight, SendRight, buffer, message, ms, thread, time};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::Child;
use crate::raw::{self, Words};

cases! { "failures":
    "messages find those who wait at a port and those at its set" => both_pools,
    "nonsense in an answer to an exception ends its task, and no other" => nonsense,
}

/// Messages to a port for which one thread waits, and another one at its set.
const MESSAGES: u32 = 2000;
/// The id of the last one for each of them.
const LAST: i32 = 9;

fn send(to: &SendRight<()>, id: i32) -> Check {
    let how = disposition::COPY_SEND;
    let code = message::send(to.name(), how, id, Shape::SHORT, [0; 6]);
    equal("send", code, MessageReturn::Success)
}

// covers: F-01 F-02
fn both_pools(_: &World) -> Check {
    let (set, port) = (PortSet::new()?, ReceiveRight::<()>::new()?);
    let to = port.make_send()?;
    set.insert(&port)?;
    let received = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for name in [set.name(), port.name()] {
        let received = Arc::clone(&received);
        threads.push(thread::spawn(move || {
            loop {
                let (code, found) = message::receive(name);
                if code == MessageReturn::Success {
                    received.fetch_add(1, Ordering::Relaxed);
                }
                if code != MessageReturn::Success || found.id() == LAST {
                    return;
                }
            }
        })?);
    }
    for _ in 0..MESSAGES {
        send(&to, 1)?;
    }
    for _ in &threads {
        send(&to, LAST)?;
    }
    let expected = MESSAGES + threads.len() as u32;
    threads.into_iter().for_each(thread::Join::join);
    equal("received", received.load(Ordering::Relaxed), expected)
}

/// Reads where nothing is.
extern "C" fn fault(_: &Words, address: u64) {
    raw::peek(address, 1);
}

/// A right that is too many in an answer.
fn right(port: Name) -> Descriptor {
    Descriptor {
        kind: descriptor::PORT,
        disposition: disposition::MAKE_SEND,
        name: port.0,
        ..Descriptor::default()
    }
}

/// Memory that is too much.
fn memory(address: u64) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE,
        address,
        size: 8192,
        ..Descriptor::default()
    }
}

// covers: F-10
fn nonsense(_: &World) -> Check {
    let reply = RAISE + REPLY_OFFSET;
    let (port, page) = (ReceiveRight::<()>::new()?, raw::allocate(8192)?);
    let refused = [KernReturn::Failure.0.into(), !0, !0, !0, !0, !0];
    let variants = [
        (-1, Shape::SHORT, [0; 6]),
        (RAISE, Shape::SHORT, [0; 6]),
        (reply, Shape::buffered(0, 1), [0; 6]),
        (reply, Shape::buffered(0, 2), [0; 6]),
        (reply, Shape::buffered(3000, 0), [0; 6]),
        (reply, Shape::SHORT, refused),
        (reply, Shape::SHORT, [!0; 6]),
    ];
    for (id, shape, words) in variants {
        let child = Child::new(fault, 8)?;
        let handler = ReceiveRight::<dyn Exceptions>::new()?;
        let right_to = handler.make_send()?.cast();
        child.task.client().set_exception_port(right_to)?;
        child.run()?;
        let end = time::deadline(ms(10_000));
        let (code, raised) = message::receive_until(handler.name(), end);
        equal(
            "raised",
            (code, raised.id()),
            (MessageReturn::Success, RAISE),
        )?;
        buffer::set_descriptor(0, right(port.name()));
        buffer::set_descriptor(1, memory(page));
        let how = disposition::MOVE_SEND_ONCE;
        let code = message::send(Name::REPLY_SLOT, how, id, shape, words);
        equal("answer", code, MessageReturn::Success)?;
        child.until_gone()?;
        check!(port.send_rights()? == 0, "a right of answer {id} is left");
    }
    Ok(raw::deallocate(page, 8192)?)
}
