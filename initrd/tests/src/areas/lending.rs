//! Priorities that callers lend to who works for them.

use interfaces::host::Host;
use interfaces::thread::Thread;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::task::DEFAULT_PRIORITY;
use libmach::abi::trace::wait;
use libmach::message::{NO_REPLY, send_registers};
use libmach::{ReceiveRight, SendRight, Untyped, message, ms, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::child::Child;
use crate::raw::Words;

/// Of the client, of this thread, and of the server behind it.
const URGENT: u32 = 50;
const ORDINARY: u32 = DEFAULT_PRIORITY as u32;
const LOW: u32 = 20;
/// What is lent ends with a slice: so often it is looked for at the most. Once must be enough.
const ROUNDS: u32 = 50;

/// Words of pages: what a port is called, and what was seen.
const PORT: usize = 0;
const SEEN: usize = 1;

cases! { "lending":
    "a server works at the priority of who waits for it, and so does the one behind it" => lending,
}

/// A thread's priority now.
fn priority(thread: u32) -> libmach::Result<u32> {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let from = host.client().threads(thread)?;
    let found = from.iter().find(|entry| entry.index == thread);
    Ok(found.map_or(u32::MAX, |entry| entry.priority))
}

fn own_thread() -> libmach::Result<SendRight<dyn Thread>> {
    Ok(SendRight::from_name(trap::thread_self()?))
}

/// Calls a port again and again.
extern "C" fn calls(page: &Words, _: u64) {
    loop {
        let (code, _) = message::call(Name(page.get(PORT) as u32), 7, [0; 6]);
        if code != MessageReturn::Success {
            return;
        }
    }
}

/// Serves a port, and notes its priority while it does.
extern "C" fn serves(page: &Words, _: u64) {
    let index = own_thread().and_then(|own| own.client().info());
    let index = index.map_or(u32::MAX, |info| info.index);
    loop {
        let (code, _) = message::receive(Name(page.get(PORT) as u32));
        if code != MessageReturn::Success {
            return;
        }
        page.set(SEEN, priority(index).unwrap_or(0).into());
        if answer() != MessageReturn::Success {
            return;
        }
    }
}

/// Answers whoever waits.
fn answer() -> MessageReturn {
    let to = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
    message::exchange(send_registers(0, to, NO_REPLY, 107, Shape::SHORT, [0; 6])).0
}

/// What a round saw of this thread's priority while it worked for the client, and of the other server's.
fn round(
    client: &Child,
    (port, deep): (&ReceiveRight<Untyped>, &SendRight<Untyped>),
    back: &Child,
) -> Check<[u32; 2]> {
    let own = own_thread()?.client().info()?.index;
    client.until_it_waits(wait::REPLY)?;
    equal("before it knows", priority(own)?, ORDINARY)?;
    let (code, _) = message::receive_until(port.name(), time::deadline(ms(10_000)));
    equal("request", code, MessageReturn::Success)?;
    let front = priority(own)?;
    back.page.set(SEEN, 0);
    let (code, _) = message::call(deep.name(), 8, [0; 6]);
    equal("the call behind it", code, MessageReturn::Success)?;
    let behind = back.page.get(SEEN) as u32;
    equal("answer", answer(), MessageReturn::Success)?;
    equal("once it is answered", priority(own)?, ORDINARY)?;
    Ok([front, behind])
}

fn lend() -> Check {
    let [port, deep] = [ReceiveRight::<Untyped>::new()?, ReceiveRight::new()?];
    let (client, back) = (Child::new(calls, 0)?, Child::new(serves, 0)?);
    let to_deep = deep.make_send()?;
    for (child, priority) in [(&client, URGENT), (&back, LOW)] {
        child.thread.client().set_priority(priority, 1)?;
    }
    let named = client.give(port.make_send()?)?;
    client.page.set(PORT, named.0.into());
    let named = back.task.client().insert_receive(Name::NULL, deep)?;
    back.page.set(PORT, named.0.into());
    back.run()?;
    back.until_it_waits(wait::RECEIVE)?;
    client.run()?;
    let mut seen = [false; 2];
    for _ in 0..ROUNDS {
        let found = round(&client, (&port, &to_deep), &back)?;
        for (found, seen) in found.into_iter().zip(&mut seen) {
            // Without the loan: its own, or that of who asked it.
            let known = [URGENT, ORDINARY, LOW].contains(&found);
            check!(known, "a priority of {found}");
            *seen |= found == URGENT;
        }
        if seen == [true; 2] {
            return Ok(());
        }
    }
    equal(
        "lent to the server, and to the one behind it",
        seen,
        [true; 2],
    )
}

// covers: T-15
fn lending(_: &World) -> Check {
    let own = own_thread()?;
    own.client().set_priority(ORDINARY, 1)?;
    let done = lend();
    own.client().set_priority(ORDINARY, 0)?;
    done
}
