//! What a message's header and its descriptors may say, and what becomes of the rights in them.

use libmach::abi::kern_return::{KernReturn as K, MessageReturn as M, resource};
use libmach::abi::message::{Descriptor, MAX_DESCRIPTORS};
use libmach::abi::names::{Name, disposition, port_type, right};
use libmach::abi::notify;
use libmach::abi::registers::{ReplyKind, Shape, options};
use libmach::abi::trace::wait;
use libmach::abi::transport::REPLY_OFFSET;
use libmach::abi::trap::attribute;
use libmach::message::{self, NO_REPLY, send_registers};
use libmach::{buffer, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::census;
use crate::child::Child;
use crate::post::{self, Owned};
use crate::raw::Words;

cases! { "headers":
    "dispositions that make no header change nothing" => dispositions,
    "a right must be there for what is to be done with it" => preconditions,
    "a header that is refused changes nothing" => atomic,
    "destination and reply may be one right, if there are two references" => one_name,
    "the kernel has answered when the send returns" => kernel,
    "a received header tells the reply right and the port" => swapped,
    "a receiver without a free name gets the rest" => no_names,
    "descriptors that make no body are refused" => bodies,
    "a right that died on the way arrives dead" => died,
    "a receive right that moves begins anew, with its queue" => moves,
    "a receive right sent to itself ends" => circle,
    "a chain of rights in messages ends as a whole" => chain,
    "what is refused leaves nothing behind" => conserved,
}

const COPY: u8 = disposition::COPY_SEND;
const ONCE: u8 = disposition::MAKE_SEND_ONCE;

fn counts(port: &Owned) -> Check<[u64; 4]> {
    let all = [
        attribute::MESSAGE_COUNT,
        attribute::SEND_RIGHTS,
        attribute::SEND_ONCE_RIGHTS,
        attribute::MAKE_SEND_COUNT,
    ];
    let mut found = [0; 4];
    for (found, which) in found.iter_mut().zip(all) {
        *found = trap::port_get_attribute(port.0, which)?;
    }
    Ok(found)
}

// covers: M-02
fn dispositions(_: &World) -> Check {
    let port = post::port()?;
    let before = counts(&port)?;
    let (good, other) = ((port.0, COPY), Name(0x77));
    let bad = [
        ((port.0, disposition::NONE), NO_REPLY),
        ((port.0, disposition::MOVE_RECEIVE), NO_REPLY),
        ((port.0, 22), NO_REPLY),
        (good, (port.0, disposition::MOVE_RECEIVE)),
        (good, (port.0, 31)),
        (good, (port.0, disposition::NONE)),
        // They are judged before the names.
        ((other, COPY), (port.0, 31)),
        ((Name::NULL, COPY), (other, disposition::MOVE_RECEIVE)),
    ];
    for (to, reply) in bad {
        let code = post::attempt(to, reply, 1);
        equal("code", code, M::SendInvalidHeader)?;
    }
    equal("rights", counts(&port)?, before)
}

// covers: M-03
fn preconditions(_: &World) -> Check {
    let (port, way) = (post::port()?, post::port()?);
    let once = Owned(post::pass(port.0, ONCE)?);
    let set = post::set()?;
    // A receive right alone, and a send right alone.
    let receive = Owned(trap::port_allocate(right::RECEIVE)?);
    let task = Owned(trap::task_self()?);
    let bad = [
        (receive.0, disposition::MOVE_SEND),
        (receive.0, COPY),
        (receive.0, disposition::MOVE_SEND_ONCE),
        (task.0, disposition::MAKE_SEND),
        (task.0, ONCE),
        (task.0, disposition::MOVE_RECEIVE),
        (once.0, COPY),
        (once.0, disposition::MAKE_SEND),
        (set.0, disposition::MOVE_RECEIVE),
    ];
    for (name, how) in bad {
        post::describe(0, name, how);
        equal(
            "body",
            post::send_described((way.0, disposition::COPY_SEND), 1),
            M::SendInvalidRight,
        )?;
    }
    let types = [receive.0, once.0, set.0].map(trap::port_type);
    let expected = [
        port_type::RECEIVE,
        port_type::SEND_ONCE,
        port_type::PORT_SET,
    ];
    equal("types", types, expected.map(Ok))?;
    core::mem::forget(task);
    // What arrives is a right of the kind that was made.
    for (how, arrives) in [
        (disposition::MAKE_SEND, disposition::MOVE_SEND),
        (ONCE, disposition::MOVE_SEND_ONCE),
        (disposition::MOVE_RECEIVE, disposition::MOVE_RECEIVE),
    ] {
        post::describe(0, receive.0, how);
        equal(
            "send",
            post::send_described((way.0, disposition::COPY_SEND), 1),
            M::Success,
        )?;
        post::next(way.0)?;
        let found = buffer::descriptor(0);
        equal("arrived as", found.disposition, arrives)?;
        if arrives == disposition::MOVE_SEND_ONCE {
            trap::port_destroy(Name(found.name))?;
        } else {
            equal("arrived under", Name(found.name), receive.0)?;
        }
    }
    Ok(())
}

// covers: M-04
fn atomic(_: &World) -> Check {
    let (port, reply) = (post::port()?, post::port()?);
    let once = Owned(post::pass(reply.0, ONCE)?);
    let before = (counts(&port)?, counts(&reply)?);
    let nobody = Name(0x7fff_ff03);
    let moving = (once.0, disposition::MOVE_SEND_ONCE);
    let bad = [
        ((nobody, disposition::MOVE_SEND), moving, M::SendInvalidDest),
        (
            (port.0, disposition::MOVE_SEND),
            (nobody, ONCE),
            M::SendInvalidReply,
        ),
        (
            (port.0, disposition::MAKE_SEND),
            (once.0, COPY),
            M::SendInvalidReply,
        ),
        (
            (port.0, disposition::MOVE_SEND),
            (once.0, 31),
            M::SendInvalidHeader,
        ),
    ];
    for (to, reply, code) in bad {
        equal("code", post::attempt(to, reply, 1), code)?;
    }
    equal("rights", (counts(&port)?, counts(&reply)?), before)?;
    equal("type", trap::port_type(once.0), Ok(port_type::SEND_ONCE))?;
    let references = trap::port_get_refs(port.0, right::SEND);
    equal("references", references, Ok(1))
}

// covers: M-05
fn one_name(_: &World) -> Check {
    let port = post::port()?;
    let once = Owned(post::pass(port.0, ONCE)?);
    let moving = (once.0, disposition::MOVE_SEND_ONCE);
    let code = post::attempt(moving, moving, 1);
    equal("send-once right", code, M::SendInvalidDest)?;
    equal("type", trap::port_type(once.0), Ok(port_type::SEND_ONCE))?;
    let moving = (port.0, disposition::MOVE_SEND);
    let code = post::attempt(moving, moving, 1);
    equal("one reference", code, M::SendInvalidDest)?;
    trap::port_mod_refs(port.0, right::SEND, 1)?;
    equal(
        "two references",
        post::attempt(moving, moving, 1),
        M::Success,
    )?;
    equal("type", trap::port_type(port.0), Ok(port_type::RECEIVE))?;
    let found = post::next(port.0)?;
    let reply = (found.received().reply(), found.reply());
    equal("reply", reply, (ReplyKind::Send, port.0))?;
    let references = trap::port_get_refs(port.0, right::SEND);
    equal("references", references, Ok(1))
}

// covers: M-13
fn kernel(_: &World) -> Check {
    /// An id of no method.
    const UNKNOWN: i32 = 3499;
    let (port, dead) = (post::port()?, post::port()?);
    let task = (trap::task_self()?, COPY);
    for how in [ONCE, COPY] {
        equal(
            "send",
            post::attempt(task, (port.0, how), UNKNOWN),
            M::Success,
        )?;
        equal("waiting", counts(&port)?[0], 1)?;
        let (code, answer) = post::poll(port.0);
        equal("receive", code, M::Success)?;
        equal("id", answer.id(), UNKNOWN + REPLY_OFFSET)?;
        equal("code", answer.words[0], K::MigBadId.0.into())?;
        equal("the kernel's identity", answer.identity(), 0)?;
    }
    // Nobody to answer, or nobody any more.
    equal("send", post::attempt(task, NO_REPLY, UNKNOWN), M::Success)?;
    trap::port_mod_refs(dead.0, right::RECEIVE, -1)?;
    let code = post::attempt(task, (dead.0, COPY), UNKNOWN);
    equal("answer to nobody", code, M::Success)?;
    equal("rights", counts(&port)?, [0, 1, 0, 1])
}

// covers: M-31
fn swapped(_: &World) -> Check {
    let (port, set) = (post::port()?, post::set()?);
    trap::port_insert_member(port.0, set.0)?;
    let reply = post::port()?;
    for (how, kind) in [
        (ONCE, ReplyKind::SendOnce),
        (COPY, ReplyKind::Send),
        (disposition::MAKE_SEND, ReplyKind::Send),
    ] {
        equal(
            "send",
            post::attempt((port.0, COPY), (reply.0, how), 1),
            M::Success,
        )?;
        let found = post::next(set.0)?;
        equal("port", found.local(), port.0)?;
        equal("reply", found.received().reply(), kind)?;
        let name = found.reply();
        match kind {
            ReplyKind::SendOnce => {
                equal("type", trap::port_type(name), Ok(port_type::SEND_ONCE))?;
                let answer = (name, disposition::MOVE_SEND_ONCE);
                equal("answer", post::attempt(answer, NO_REPLY, 2), M::Success)?;
                equal("answered", post::next_id(reply.0)?, 2)?;
            }
            _ => {
                equal("one name", name, reply.0)?;
                trap::port_deallocate(name)?;
            }
        }
    }
    Ok(())
}

/// A word of the page: what a child calls its port.
const PORT: usize = 0;

/// Makes a port, takes all other names, and receives two messages; the codes.
extern "C" fn without_names(page: &Words, _: u64) {
    let run = || -> Check {
        let port = trap::port_allocate(right::RECEIVE)?;
        page.set(PORT, port.0.into());
        page.set(1, message::receive(port).0.0.into());
        while trap::port_allocate(right::DEAD_NAME).is_ok() {}
        page.set(2, 1);
        for word in [3, 4] {
            let (code, found) = message::receive(port);
            page.set(word, code.0.into());
            page.set(word + 2, u64::from(found.id().cast_unsigned()));
        }
        Ok(())
    };
    // What goes wrong shows in the page.
    run().ok();
    page.set(7, 1);
    trap::futex_wait(page.half(8), 0, u64::MAX).ok();
}

// covers: M-34
fn no_names(_: &World) -> Check {
    let child = Child::new(without_names, 0)?;
    child.run()?;
    child.until_it_waits(wait::RECEIVE)?;
    let port = Name(child.page.get(PORT) as u32);
    let right = child
        .task
        .client()
        .extract_send(port, disposition::MAKE_SEND)?;
    let (to, reply) = (Owned(right.into_name()), post::port()?);
    post::send(to.0, 0)?;
    child.until(2, 1)?;
    post::describe(0, reply.0, ONCE);
    equal(
        "in the body",
        post::send_described((to.0, disposition::COPY_SEND), 1),
        M::Success,
    )?;
    equal("told", post::next_id(reply.0)?, notify::SEND_ONCE)?;
    let send = (reply.0, disposition::MAKE_SEND);
    equal(
        "in the header",
        post::attempt((to.0, COPY), send, 2),
        M::Success,
    )?;
    child.until(7, 1)?;
    let full = |part: M| u64::from(part.0 | resource::IPC_SPACE);
    let codes = [child.page.get(3), child.page.get(4)];
    let expected = [M::ReceiveBodyError, M::ReceiveHeaderError].map(full);
    equal("codes", codes, expected)?;
    equal("ids", [child.page.get(5), child.page.get(6)], [1, 2])?;
    equal("rights", counts(&reply)?[1], 1)
}

// covers: M-20
fn bodies(_: &World) -> Check {
    let port = post::port()?;
    let before = counts(&port)?;
    let attempt = |shape| {
        let to = (port.0, COPY);
        let registers = send_registers(options::SEND_TIMEOUT, to, NO_REPLY, 1, shape, [0; 6]);
        message::exchange(registers).0
    };
    post::describe(0, port.0, ONCE);
    post::describe(1, port.0, ONCE);
    let unknown = Descriptor {
        kind: 77,
        ..buffer::descriptor(1)
    };
    buffer::set_descriptor(1, unknown);
    equal(
        "a kind that is none",
        attempt(Shape::buffered(0, 2)),
        M::SendInvalidType,
    )?;
    let many = attempt(Shape::buffered(0, MAX_DESCRIPTORS as u32 + 1));
    check!(
        many == M::SendTooLarge || many == M::SendMsgTooSmall,
        "too many: {many:?}"
    );
    let large = attempt(Shape::buffered(buffer::CAPACITY as u32 + 1, 0));
    equal("too large", large, M::SendTooLarge)?;
    // What the first one made has ended, and said so.
    equal("told", post::next_id(port.0)?, notify::SEND_ONCE)?;
    equal("rights", counts(&port)?, before)
}

// covers: M-22
fn died(_: &World) -> Check {
    let (way, port) = (post::port()?, post::port()?);
    post::describe(0, port.0, COPY);
    let registers = send_registers(
        options::SEND_TIMEOUT,
        (way.0, COPY),
        (port.0, ONCE),
        1,
        Shape::buffered(0, 1),
        [0; 6],
    );
    equal("send", message::exchange(registers).0, M::Success)?;
    trap::port_destroy(port.0)?;
    let found = post::next(way.0)?;
    equal("in the body", post::arrived(0), Name::DEAD)?;
    let reply = (found.received().reply(), found.reply());
    equal("in the header", reply, (ReplyKind::Dead, Name::DEAD))
}

// covers: M-25
fn moves(_: &World) -> Check {
    let (way, port, set) = (post::port()?, post::port()?, post::set()?);
    trap::port_insert_member(port.0, set.0)?;
    trap::port_guard(port.0, 5, 0)?;
    post::send(port.0, 1)?;
    post::send(port.0, 2)?;
    equal("received", post::next_id(port.0)?, 1)?;
    post::describe(0, port.0, disposition::MOVE_RECEIVE);
    equal(
        "send",
        post::send_described((way.0, disposition::COPY_SEND), 1),
        M::Success,
    )?;
    equal("type", trap::port_type(port.0), Ok(port_type::SEND))?;
    post::nothing(set.0)?;
    // Senders go on while it travels.
    post::send(port.0, 3)?;
    post::next(way.0)?;
    equal("name", post::arrived(0), port.0)?;
    let of = |which| trap::port_get_attribute(port.0, which);
    let reset = [
        attribute::MAKE_SEND_COUNT,
        attribute::SEQUENCE,
        attribute::PORT_SETS,
    ];
    equal("counts", reset.map(of), [Ok(0); 3])?;
    trap::port_guard(port.0, 6, 0)?;
    trap::port_unguard(port.0, 6)?;
    for id in [2, 3] {
        equal("its queue", post::next_id(port.0)?, id)?;
    }
    Ok(())
}

// covers: M-26
fn circle(_: &World) -> Check {
    let [a, b, c] = [post::port()?, post::port()?, post::port()?];
    let send = |carried: &Owned, to: &Owned| {
        post::describe(0, carried.0, disposition::MOVE_RECEIVE);
        post::send_described((to.0, disposition::COPY_SEND), 1)
    };
    equal("to itself", send(&a, &a), M::Success)?;
    equal("type", trap::port_type(a.0), Ok(port_type::DEAD_NAME))?;
    equal("into another", send(&b, &c), M::Success)?;
    equal("and back", send(&c, &b), M::Success)?;
    for port in [&b, &c] {
        equal("type", trap::port_type(port.0), Ok(port_type::DEAD_NAME))?;
    }
    Ok(())
}

// covers: M-27
fn chain(_: &World) -> Check {
    /// Far more than a kernel stack has room for, if each were a call.
    const DEPTH: usize = 2000;
    let (notes, innermost) = (post::port()?, post::port()?);
    trap::port_request_notification(innermost.0, notify::DEAD_NAME, 0, notes.0)?;
    let (mut inner, mut outermost) = (innermost.0, None);
    for _ in 0..DEPTH {
        let next = Owned(trap::port_allocate(right::RECEIVE)?);
        post::describe(0, inner, disposition::MOVE_RECEIVE);
        let to = (next.0, disposition::MAKE_SEND);
        equal("send", post::send_described(to, 1), M::Success)?;
        inner = next.0;
        outermost = Some(next);
    }
    post::nothing(notes.0)?;
    drop(outermost);
    equal("the innermost", post::next_id(notes.0)?, notify::DEAD_NAME)
}

// covers: M-37
fn conserved(world: &World) -> Check {
    census::leaves_nothing(5, || {
        for case in [dispositions, atomic, one_name, bodies, died, circle] {
            case(world)?;
        }
        Ok(())
    })
}
