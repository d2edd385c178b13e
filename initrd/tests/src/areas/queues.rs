//! Queues of ports and sets by their bare names: room, order, who is served, what is told of them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use libmach::abi::kern_return::{KernReturn as K, MessageReturn as M};
use libmach::abi::message::{HEADER_SIZE, trailer};
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::notify;
use libmach::abi::registers::Shape;
use libmach::abi::trace::wait;
use libmach::abi::trap::attribute;
use libmach::message::{self, NO_REPLY, receive_registers};
use libmach::{Error, trap};

use super::{cases, own};
use crate::case::{Check, World, equal};
use crate::child::{Child, end_thread};
use crate::post::{self, Owned};
use crate::raw::Words;

cases! { "queues":
    "a queue's limit is bounded, and raising it lets as many senders in" => limit,
    "a sender with a send-once right needs no room" => once,
    "a member is received from directly, too" => directly,
    "busy members of a set are served in turn" => fair,
    "who waits on a set is told of its end, and its members stay" => set_ends,
    "a look at a queue takes nothing" => peek,
    "messages of one sender come in their order" => order,
    "a message that waits for room keeps its turn" => turn,
    "a request that makes no sense is refused" => senseless,
    "arming again gives what was armed before" => armed_again,
    "a right that leaves with a request says so" => leaves,
    "notifications need no room" => notifications,
}

// covers: P-30
fn limit(_: &World) -> Check {
    let port = post::port()?;
    let set = |limit| trap::port_set_attribute(port.0, attribute::QUEUE_LIMIT, limit);
    equal("too high", set(1025), Err(K::InvalidValue))?;
    set(1)?;
    post::send(port.0, 0)?;
    let mut children = Vec::new();
    for id in 1..=3 {
        let child = sender(&port, id)?;
        child.run()?;
        child.until_it_waits(wait::SEND)?;
        children.push(child);
    }
    set(3)?;
    let sent = |child: &Child| child.until_it_waits(wait::FUTEX);
    children[..2].iter().try_for_each(sent)?;
    equal("messages", messages(&port)?, 3)?;
    children[2].until_it_waits(wait::SEND)?;
    post::next(port.0)?;
    sent(&children[2])
}

fn messages(port: &Owned) -> Check<u64> {
    Ok(trap::port_get_attribute(port.0, attribute::MESSAGE_COUNT)?)
}

/// Word of the page: what a child calls the port.
const TO: usize = 0;

/// Sends one message, which may have to wait, and then waits for something else.
extern "C" fn send_one(page: &Words, id: u64) {
    let to = Name(page.get(TO) as u32);
    let shape = Shape::SHORT;
    let code = message::send(to, disposition::COPY_SEND, id as i32, shape, [0; 6]);
    page.set(1, code.0.into());
    trap::futex_wait(page.half(4), 0, u64::MAX).ok();
}

/// A child that will send an id to a port.
fn sender(port: &Owned, id: u64) -> Check<Child> {
    let child = Child::new(send_one, id)?;
    give(&child, port)?;
    Ok(child)
}

fn give(child: &Child, port: &Owned) -> Check {
    let right = own()?
        .client()
        .extract_send(port.0, disposition::MAKE_SEND)?;
    let name = child.task.client().insert_send(Name::NULL, right)?;
    child.page.set(TO, name.0.into());
    Ok(())
}

// covers: M-12
fn once(_: &World) -> Check {
    let port = post::port()?;
    trap::port_set_attribute(port.0, attribute::QUEUE_LIMIT, 1)?;
    post::send(port.0, 0)?;
    let full = post::attempt((port.0, disposition::COPY_SEND), NO_REPLY, 1);
    equal("by a send right", full, M::SendTimedOut)?;
    for id in 1..20 {
        // Passed through another port: this one's queue is full.
        let once = post::pass(port.0, disposition::MAKE_SEND_ONCE)?;
        let sent = post::attempt((once, disposition::MOVE_SEND_ONCE), NO_REPLY, id);
        equal("by a send-once right", sent, M::Success)?;
    }
    equal("messages", messages(&port)?, 20)?;
    for id in 0..20 {
        equal("id", post::next_id(port.0)?, id)?;
    }
    Ok(())
}

/// Receives from a port, or a set, that the page names, once.
extern "C" fn receive_one(page: &Words, _: u64) {
    let own = || -> Check {
        let (port, set) = (post::port()?, post::set()?);
        trap::port_insert_member(port.0, set.0)?;
        page.set(1, port.0.0.into());
        page.set(2, set.0.0.into());
        let from = if page.get(3) == 0 { port.0 } else { set.0 };
        let (code, found) = message::exchange(receive_registers(from));
        page.set(5, code.0.into());
        page.set(6, u64::from(found.id().cast_unsigned()));
        trap::futex_wait(page.half(4), 0, u64::MAX)?;
        Ok(())
    };
    // What goes wrong before shows in the page.
    own().ok();
}

// covers: P-34
fn directly(_: &World) -> Check {
    let (port, set) = (post::port()?, post::set()?);
    trap::port_insert_member(port.0, set.0)?;
    for id in [1, 2] {
        post::send(port.0, id)?;
    }
    equal("by the port", post::next_id(port.0)?, 1)?;
    equal("by the set", post::next_id(set.0)?, 2)?;
    // A receiver that waits for either is found.
    for by_set in [0, 1] {
        let child = Child::new(receive_one, 0)?;
        child.page.set(3, by_set);
        child.run()?;
        child.until_it_waits(wait::RECEIVE)?;
        let theirs = Name(child.page.get(1) as u32);
        let right = child
            .task
            .client()
            .extract_send(theirs, disposition::MAKE_SEND)?;
        let to = Owned(right.into_name());
        post::send(to.0, 7)?;
        child.until_it_waits(wait::FUTEX)?;
        equal(
            "code and id",
            (child.page.get(5), child.page.get(6)),
            (0, 7),
        )?;
    }
    Ok(())
}

// covers: P-35
fn fair(_: &World) -> Check {
    let set = post::set()?;
    let ports = [post::port()?, post::port()?, post::port()?, post::port()?];
    for port in &ports {
        trap::port_insert_member(port.0, set.0)?;
        post::send(port.0, 0)?;
        post::send(port.0, 0)?;
    }
    let mut served = BTreeSet::new();
    for _ in &ports {
        let from = post::next(set.0)?.local();
        served.insert(from.0);
        post::send(from, 0)?;
    }
    // Each stays busy, and each has its turn.
    let all = ports.iter().map(|port| port.0.0).collect();
    equal("served", served, all)
}

// covers: P-36
fn set_ends(_: &World) -> Check {
    let child = Child::new(receive_one, 0)?;
    child.page.set(3, 1);
    child.run()?;
    child.until_it_waits(wait::RECEIVE)?;
    let [port, set] = [1, 2].map(|word| Name(child.page.get(word) as u32));
    let client = child.task.client();
    let right = client.extract_send(port, disposition::MAKE_SEND)?;
    let to = Owned(right.into_name());
    child.also(destroy, set.0.into())?;
    child.until_it_waits(wait::FUTEX)?;
    let code = child.page.get(5);
    equal("code", code, M::ReceivePortChanged.0.into())?;
    post::send(to.0, 5)?;
    let seen = client.port_peek(port, trailer::NULL)?;
    equal("what its member has", seen.id, 5)
}

/// Destroys a name, and ends.
extern "C" fn destroy(_: &Words, name: u64) {
    trap::port_destroy(Name(name as u32)).ok();
    end_thread();
}

// covers: P-37
fn peek(_: &World) -> Check {
    let own = own()?;
    let port = post::port()?;
    let look = |trailer| own.client().port_peek(port.0, trailer);
    let code = |code| Err(Error::Code(code));
    equal("empty", look(trailer::NULL), code(K::Failure))?;
    equal("too much", look(trailer::CONTEXT), code(K::InvalidValue))?;
    for id in [-3, 4] {
        post::send(port.0, id)?;
    }
    for (sequence, id) in [(0, -3_i32), (1, 4)] {
        for trailer in trailer::NULL..=trailer::AUDIT {
            let seen = look(trailer)?;
            let size = HEADER_SIZE as u32;
            let expected = (sequence, size, id.cast_unsigned());
            equal("seen", (seen.sequence, seen.size, seen.id), expected)?;
        }
        equal("received", post::next_id(port.0)?, id)?;
    }
    equal("empty again", look(trailer::NULL), code(K::Failure))
}

// covers: M-14
fn order(_: &World) -> Check {
    const COUNT: i32 = 100;
    let (port, set) = (post::port()?, post::set()?);
    trap::port_insert_member(port.0, set.0)?;
    trap::port_set_attribute(port.0, attribute::QUEUE_LIMIT, COUNT as u64)?;
    for id in 0..COUNT {
        post::send(port.0, id)?;
    }
    for id in 0..COUNT {
        let from = if id % 3 == 0 { set.0 } else { port.0 };
        equal("id", post::next_id(from)?, id)?;
    }
    Ok(())
}

// covers: M-09
fn turn(_: &World) -> Check {
    let port = post::port()?;
    trap::port_set_attribute(port.0, attribute::QUEUE_LIMIT, 1)?;
    post::send(port.0, 1)?;
    let child = sender(&port, 2)?;
    child.run()?;
    child.until_it_waits(wait::SEND)?;
    let try_send = |id| post::attempt((port.0, disposition::COPY_SEND), NO_REPLY, id);
    equal("no room", try_send(3), M::SendTimedOut)?;
    equal("first", post::next_id(port.0)?, 1)?;
    // The room that there is is the child's.
    equal("no barging", try_send(3), M::SendTimedOut)?;
    equal("second", post::next_id(port.0)?, 2)?;
    equal("room", try_send(3), M::Success)?;
    equal("third", post::next_id(port.0)?, 3)?;
    child.until_it_waits(wait::FUTEX)?;
    equal("the child's code", child.page.get(1), 0)
}

// covers: N-01
fn senseless(_: &World) -> Check {
    let (port, notes, set) = (post::port()?, post::port()?, post::set()?);
    let dead = Owned(trap::port_allocate(right::DEAD_NAME)?);
    let request = trap::port_request_notification;
    for id in [0, 0o100, 0o103, 0o107, -1, i32::MAX] {
        let refused = request(port.0, id, 0, notes.0);
        equal("id", refused, Err(K::InvalidValue))?;
    }
    let bad = [
        (port.0, notify::DEAD_NAME, 0, dead.0, K::InvalidCapability),
        (
            Name(0x7fff_0001),
            notify::DEAD_NAME,
            0,
            notes.0,
            K::InvalidName,
        ),
        (set.0, notify::DEAD_NAME, 0, notes.0, K::InvalidRight),
        (set.0, notify::NO_SENDERS, 0, notes.0, K::InvalidRight),
        (dead.0, notify::PORT_DESTROYED, 0, notes.0, K::InvalidRight),
        (port.0, notify::PORT_DESTROYED, 1, notes.0, K::InvalidValue),
    ];
    for (name, id, sync, to, code) in bad {
        equal("refused", request(name, id, sync, to), Err(code))?;
    }
    // Nothing is armed.
    let rights = trap::port_get_attribute(notes.0, attribute::SEND_ONCE_RIGHTS)?;
    equal("rights", rights, 0)
}

// covers: N-01
fn armed_again(_: &World) -> Check {
    let (port, first, second) = (post::port()?, post::port()?, post::port()?);
    for id in [notify::NO_SENDERS, notify::DEAD_NAME] {
        let request = |to| trap::port_request_notification(port.0, id, 0, to);
        equal("none before", request(first.0)?, Name::NULL)?;
        let former = request(second.0)?;
        let sent = post::attempt((former, disposition::MOVE_SEND_ONCE), NO_REPLY, 77);
        equal("sent", sent, M::Success)?;
        equal("to the first port", post::next_id(first.0)?, 77)?;
        trap::port_deallocate(request(Name::NULL)?)?;
        let told = post::next_id(second.0)?;
        equal("to the second port", told, notify::SEND_ONCE)?;
        equal("none left", request(Name::NULL)?, Name::NULL)?;
    }
    Ok(())
}

// covers: N-04
fn leaves(_: &World) -> Check {
    let notes = post::port()?;
    for way in 0..4 {
        let port = post::port()?;
        let once = post::pass(port.0, disposition::MAKE_SEND_ONCE)?;
        trap::port_request_notification(once, notify::DEAD_NAME, 0, notes.0)?;
        match way {
            0 => trap::port_deallocate(once)?,
            1 => trap::port_destroy(once)?,
            2 => {
                let how = (once, disposition::MOVE_SEND_ONCE);
                equal("send", post::attempt(how, NO_REPLY, 1), M::Success)?;
            }
            _ => {
                post::describe(0, once, disposition::MOVE_SEND_ONCE);
                equal(
                    "send",
                    post::send_described((port.0, disposition::COPY_SEND), 1),
                    M::Success,
                )?;
            }
        }
        let told = post::next(notes.0)?;
        let expected = (notify::PORT_DELETED, u64::from(once.0));
        equal("told", (told.id(), told.words[0]), expected)?;
    }
    Ok(())
}

// covers: N-08 M-12
fn notifications(_: &World) -> Check {
    let port = post::port()?;
    trap::port_set_attribute(port.0, attribute::QUEUE_LIMIT, 1)?;
    post::send(port.0, 0)?;
    for _ in 0..20 {
        trap::port_deallocate(post::pass(port.0, disposition::MAKE_SEND_ONCE)?)?;
    }
    equal("messages", messages(&port)?, 21)?;
    let mut told = 0;
    for _ in 0..21 {
        told += u32::from(post::next_id(port.0)? == notify::SEND_ONCE);
    }
    equal("told", told, 20)?;
    post::nothing(port.0)
}
