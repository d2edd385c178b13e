//! What tasks do that want more than they may have, each until it is refused.
//!
//! A refusal must be a shortage: any other answer ends the task by a panic, which whoever watches it sees. Each
//! gets its end without giving anything back.

use alloc::vec::Vec;

use interfaces::host::{Host, ThreadEntry};
use interfaces::task::Task;
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::message::{Descriptor, descriptor};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::{Shape, options, pair, send_word};
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::trap::construct;
use libmach::abi::vm::protection;
use libmach::trap::{self, Registers};
use libmach::{Error, ReceiveRight, SendRight, buffer, message, thread};

use crate::raw;

const PAGE: u64 = 4096;
/// What a port's queue takes at most.
const QUEUE: u32 = 1024;

fn own() -> SendRight<dyn Task> {
    let name = trap::task_self();
    assert!(name.is_ok(), "no name for the own task");
    SendRight::from_name(name.unwrap_or_default())
}

fn is_shortage<T>(result: &libmach::Result<T>) -> bool {
    matches!(result, Err(Error::Code(KernReturn::ResourceShortage)))
}

/// Ports, until there is no name.
pub(crate) fn names() {
    // Ending takes no name.
    while let Ok(port) = ReceiveRight::<()>::new() {
        port.into_name();
    }
}

/// Messages in its own queues.
pub(crate) fn messages() {
    loop {
        let flags = construct::INSERT_SEND | construct::QUEUE_LIMIT;
        let port = trap::port_construct(flags, QUEUE, 0).unwrap_or(Name::NULL);
        loop {
            match send_at_once(port, Shape::SHORT) {
                MessageReturn::Success => {}
                MessageReturn::SendTimedOut => break,
                code => return assert_eq!(code, MessageReturn::SendNoBuffer),
            }
        }
    }
}

fn send_at_once(port: Name, shape: Shape) -> MessageReturn {
    let options = options::SEND | options::SEND_TIMEOUT;
    let (code, _) = message::exchange(Registers {
        word: send_word(options, disposition::MAKE_SEND, disposition::NONE, shape),
        names: pair(port.0, 0),
        receive: pair(0, 1),
        ..Registers::default()
    });
    code
}

/// Receive rights in messages in queues of ports whose receive rights are in messages.
pub(crate) fn nested_rights() {
    let mut inner = trap::port_construct(0, 0, 0).unwrap_or(Name::NULL);
    loop {
        let outer = trap::port_construct(0, 0, 0).unwrap_or(Name::NULL);
        buffer::set_descriptor(
            0,
            Descriptor {
                kind: descriptor::PORT,
                disposition: disposition::MOVE_RECEIVE,
                name: inner.0,
                ..Descriptor::default()
            },
        );
        match send_at_once(outer, Shape::buffered(0, 1)) {
            MessageReturn::Success => inner = outer,
            code => return assert_eq!(code, MessageReturn::SendNoBuffer),
        }
    }
}

/// Threads that never run.
pub(crate) fn threads() {
    let own = own();
    loop {
        let made = own.client().thread_create(ThreadState::default());
        if made.is_err() {
            return assert!(is_shortage(&made), "{made:?}");
        }
    }
}

/// Children that inherit its memory, and children of theirs.
pub(crate) fn forks() {
    const LIMITS: Limits = Limits {
        names: 8,
        messages: 1,
        threads: 1,
        pages: 48,
        kernel_bytes: 1 << 15,
    };
    let own = own();
    let mut children = Vec::new();
    loop {
        let made = own.client().create(LIMITS, 0, 1);
        match made {
            Ok(child) => {
                // It has no room for another one like itself.
                let deeper = child.client().create(LIMITS, 0, 1);
                assert!(is_shortage(&deeper), "{deeper:?}");
                children.push(child);
            }
            Err(_) => {
                assert!(is_shortage(&made), "{made:?}");
                assert!(!children.is_empty(), "not one child");
                // Dropped, they would end before this task does.
                return core::mem::forget(children);
            }
        }
    }
}

/// Every other page of much memory under another protection.
pub(crate) fn regions() {
    const PAGES: u64 = 1 << 15;
    let start = raw::allocate(PAGES * PAGE).unwrap_or(0);
    for page in (0..PAGES).step_by(2) {
        if let Err(code) = raw::protect(start + page * PAGE, PAGE, protection::READ) {
            return assert_eq!(code, KernReturn::ResourceShortage);
        }
    }
    panic!("{PAGES} regions");
}

/// Pages so far apart that each needs tables of its own.
pub(crate) fn tables() {
    for gigabyte in 64..1 << 15 {
        let place = gigabyte << 30;
        if raw::allocate_at(place, PAGE).is_ok() {
            raw::poke(place, 1, 1);
        }
    }
}

/// A thread that waits for a page of this task, which never supplies it.
pub(crate) fn slow_pager() {
    let port = ReceiveRight::<()>::new().and_then(|port| Ok((port.make_send()?, port)));
    let mapped = port.as_ref().map(|(send, _)| raw::map(send.name(), PAGE));
    let Ok(Ok(address)) = mapped else {
        panic!("not mapped: {mapped:?}");
    };
    let reader = thread::spawn(move || drop(raw::peek(address, 1)));
    assert!(reader.is_ok(), "no thread");
    while !waits_for_page() {
        trap::thread_switch(Name::NULL, 0, 0).unwrap_or_default();
    }
    // The right would end the object before the task does.
    core::mem::forget(port);
}

/// Whether a thread of this task waits for a page.
fn waits_for_page() -> bool {
    let host = SendRight::<dyn Host>::from_name(trap::host_self().unwrap_or_default());
    let index = own().client().info().map(|info| info.index);
    let mut first = 0;
    loop {
        let part = host.client().threads(first).unwrap_or_default();
        let Some(last) = part.last() else {
            return false;
        };
        first = last.index + 1;
        let waits = |thread: &ThreadEntry| thread.state == wait::PAGE && Ok(thread.task) == index;
        if part.iter().any(waits) {
            return true;
        }
    }
}
