//! Messages from a task to itself: words, data, rights, memory, full queues.

use alloc::vec::Vec;

use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::message::{Descriptor, HEADER_SIZE, descriptor};
use libmach::abi::names::{Name, disposition, port_type, right};
use libmach::abi::notify;
use libmach::abi::registers::{ReplyKind, Shape, options, pair, send_word};
use libmach::message::send_registers;
use libmach::trap::{self, Registers};
use libmach::{ReceiveRight, SendRight, buffer, message, thread};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};
use crate::raw;

const WORDS: [u64; 6] = [1, u64::MAX, 0x8000_0000_0000_0000, 4, 5, 6];
const PAGE: u64 = 4096;

cases! { "messages":
    "six words arrive as they were sent" => short,
    "messages arrive in the order of sending" => order,
    "a full queue ends a send at its deadline" => full,
    "an empty queue ends a receive at its deadline" => empty,
    "data of every size arrives in the buffer" => buffered,
    "calls and answers of every size pass, and touch nothing beside" => passed,
    "a right moves with a message" => right,
    "a receive right moves with what is queued on it" => receive_right,
    "memory out of line is copied" => copied,
    "memory out of line is moved" => moved,
    "hundreds of rights move in one array" => array,
    "an array with a bad name ends as a whole" => bad_array,
    "a message whose body is refused uses its header's rights up" => refused_body,
    "a call whose body is refused leaves nothing for the next one" => refused_call,
    "a reply right comes with the message" => reply,
    "a message to a dead port is refused" => dead,
}

/// A port and a send right to it.
fn port() -> Check<(ReceiveRight<()>, SendRight<()>)> {
    let port = ReceiveRight::new()?;
    let send = port.make_send()?;
    Ok((port, send))
}

fn send(to: &SendRight<()>, id: i32, shape: Shape, words: [u64; 6]) -> Check {
    let code = message::send(to.name(), disposition::COPY_SEND, id, shape, words);
    equal("send", code, MessageReturn::Success)
}

fn receive(port: &ReceiveRight<()>) -> Check<Registers> {
    let (code, registers) =
        message::receive_until(port.name(), libmach::time::deadline(libmach::ms(10_000)));
    equal("receive", code, MessageReturn::Success)?;
    Ok(registers)
}

fn short(_: &World) -> Check {
    let (port, to) = port()?;
    port.set_label(77)?;
    send(&to, 4711, Shape::SHORT, WORDS)?;
    let found = receive(&port)?;
    equal("words", found.words, WORDS)?;
    equal("id", found.id(), 4711)?;
    equal("label", found.label(), 77)?;
    equal("port", found.local(), port.name())?;
    equal("shape", found.received().shape(), Shape::SHORT)?;
    equal("reply", found.received().reply(), ReplyKind::None)
}

fn order(_: &World) -> Check {
    let (port, to) = port()?;
    for n in 0..5 {
        send(&to, n, Shape::SHORT, [n as u64; 6])?;
    }
    for n in 0..5 {
        let found = receive(&port)?;
        equal("id and word", (found.id(), found.words[5]), (n, n as u64))?;
    }
    Ok(())
}

fn full(_: &World) -> Check {
    let (port, to) = port()?;
    port.set_queue_limit(2)?;
    send(&to, 1, Shape::SHORT, WORDS)?;
    send(&to, 2, Shape::SHORT, WORDS)?;
    let (code, _) = message::exchange(Registers {
        word: send_word(
            options::SEND | options::SEND_TIMEOUT,
            disposition::COPY_SEND,
            disposition::NONE,
            Shape::SHORT,
        ),
        names: pair(to.name().0, 0),
        receive: pair(0, 3),
        deadline: 0,
        words: WORDS,
    });
    equal("send", code, MessageReturn::SendTimedOut)?;
    receive(&port)?;
    send(&to, 4, Shape::SHORT, WORDS)?;
    let ids = [receive(&port)?.id(), receive(&port)?.id()];
    equal("ids", ids, [2, 4])
}

fn empty(_: &World) -> Check {
    let (port, _to) = port()?;
    for deadline in [0, libmach::time::deadline(libmach::ms(5))] {
        let (code, _) = message::receive_until(port.name(), deadline);
        equal("receive", code, MessageReturn::ReceiveTimedOut)?;
        check!(libmach::time::now() >= deadline, "it ended too early");
    }
    Ok(())
}

fn buffered(_: &World) -> Check {
    let (port, to) = port()?;
    for count in [1, 7, 8, 128, buffer::CAPACITY / 8] {
        let data: Vec<u64> = (0..count as u64)
            .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .collect();
        buffer::copy_in(0, &data);
        send(&to, 1, Shape::buffered(count as u32 * 8, 0), WORDS)?;
        buffer::copy_in(0, &alloc::vec![0; count]);
        let found = receive(&port)?;
        equal("size", found.received().shape().size() as usize, count * 8)?;
        let mut arrived = alloc::vec![0; count];
        buffer::copy_out(0, &mut arrived);
        check!(arrived == data, "{count} words arrived otherwise");
        equal("words", found.words, WORDS)?;
    }
    Ok(())
}

/// What lies in a page beside a header.
const ROOM: usize = PAGE as usize - HEADER_SIZE;

/// Answers each message with its complement, until the port dies.
fn complement(port: Name) {
    let mut bytes = alloc::vec![0; buffer::CAPACITY];
    let (mut code, mut found) = message::receive(port);
    while code == MessageReturn::Success {
        let shape = found.received().shape();
        buffer::copy_out_bytes(0, &mut bytes);
        for byte in &mut bytes {
            *byte = !*byte;
        }
        buffer::copy_in_bytes(0, &bytes);
        let reply = message::reply_receive_registers(port, found.id() + 100, shape, WORDS);
        (code, found) = message::exchange(reply);
    }
}

fn passed(_: &World) -> Check {
    let (port, to) = port()?;
    let name = port.name();
    let server = thread::spawn(move || complement(name))?;
    let whole: Vec<u8> = (0..buffer::CAPACITY).map(|n| (n % 251) as u8).collect();
    let (room, all) = (ROOM, buffer::CAPACITY);
    // The first call may come before its server waits; all later ones are passed on at once.
    let sizes = [
        0,
        0,
        1,
        7,
        8,
        9,
        room - 1,
        room,
        room + 1,
        room + 8,
        all - 1,
        all,
    ];
    for size in sizes {
        buffer::copy_in_bytes(0, &whole);
        let shape = Shape::buffered(size as u32, 0);
        let call = message::call_registers(to.name(), 7, shape, WORDS);
        let (code, found) = message::exchange(call);
        equal("call", code, MessageReturn::Success)?;
        equal("id", found.id(), 107)?;
        equal("shape", found.received().shape(), shape)?;
        let mut answer = alloc::vec![0; all];
        buffer::copy_out_bytes(0, &mut answer);
        let expected = |at: usize| if at < size { !whole[at] } else { whole[at] };
        let wrong = (0..all).find(|at| answer[*at] != expected(*at));
        equal("first wrong byte", wrong, None)?;
    }
    drop(port);
    server.join();
    Ok(())
}

fn describe_port(name: Name, how: u8) {
    buffer::set_descriptor(
        0,
        Descriptor {
            kind: descriptor::PORT,
            disposition: how,
            name: name.0,
            ..Descriptor::default()
        },
    );
}

fn right(_: &World) -> Check {
    let (port, to) = port()?;
    let (other, other_send) = self::port()?;
    let name = other_send.into_name();
    describe_port(name, disposition::MOVE_SEND);
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    // One name for both rights: the receive right alone is left.
    equal("type", trap::port_type(other.name())?, port_type::RECEIVE)?;
    receive(&port)?;
    let arrived = buffer::descriptor(0);
    equal("disposition", arrived.disposition, disposition::MOVE_SEND)?;
    let arrived = SendRight::<()>::from_name(Name(arrived.name));
    send(&arrived, 9, Shape::SHORT, WORDS)?;
    equal("id", receive(&other)?.id(), 9)
}

fn receive_right(_: &World) -> Check {
    let (port, to) = port()?;
    let (other, other_send) = self::port()?;
    send(&other_send, 5, Shape::SHORT, WORDS)?;
    describe_port(other.into_name(), disposition::MOVE_RECEIVE);
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    // It is under way: what is sent meanwhile waits with it.
    send(&other_send, 6, Shape::SHORT, WORDS)?;
    receive(&port)?;
    let arrived = buffer::descriptor(0);
    equal(
        "disposition",
        arrived.disposition,
        disposition::MOVE_RECEIVE,
    )?;
    let arrived = ReceiveRight::<()>::from_name(Name(arrived.name));
    let ids = [receive(&arrived)?.id(), receive(&arrived)?.id()];
    equal("ids", ids, [5, 6])
}

// covers: F-05
fn copied(_: &World) -> Check {
    let (port, to) = port()?;
    let source = raw::allocate(3 * PAGE)?;
    raw::poke(source, 3 * PAGE as usize, 0xa5);
    let (from, size) = (source + 100, 2 * PAGE + 50);
    buffer::set_descriptor(
        0,
        Descriptor {
            kind: descriptor::OUT_OF_LINE,
            address: from,
            size,
            ..Descriptor::default()
        },
    );
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    raw::poke(source, 3 * PAGE as usize, 0x11);
    receive(&port)?;
    let arrived = buffer::descriptor(0);
    equal("size", arrived.size, size)?;
    let bytes = raw::peek(arrived.address, size as usize);
    check!(
        bytes.iter().all(|byte| *byte == 0xa5),
        "the sender's later writes show"
    );
    raw::poke(arrived.address, 1, 0);
    equal("source", raw::peek(from, 1), alloc::vec![0x11])?;
    let start = arrived.address / PAGE * PAGE;
    let end = (arrived.address + size).next_multiple_of(PAGE);
    raw::deallocate(start, end - start)?;
    Ok(raw::deallocate(source, 3 * PAGE)?)
}

fn moved(_: &World) -> Check {
    let (port, to) = port()?;
    let source = raw::allocate(2 * PAGE)?;
    raw::poke(source, 2 * PAGE as usize, 0x5a);
    raw::describe_moving(source, 2 * PAGE);
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    receive(&port)?;
    let arrived = buffer::descriptor(0);
    equal("size", arrived.size, 2 * PAGE)?;
    let bytes = raw::peek(arrived.address, 2 * PAGE as usize);
    check!(
        bytes.iter().all(|byte| *byte == 0x5a),
        "the content changed"
    );
    Ok(raw::deallocate(arrived.address, 2 * PAGE)?)
}

fn reply(_: &World) -> Check {
    let (port, to) = port()?;
    let answers = ReceiveRight::<()>::new()?;
    let (code, _) = message::exchange(Registers {
        word: send_word(
            options::SEND,
            disposition::COPY_SEND,
            disposition::MAKE_SEND_ONCE,
            Shape::SHORT,
        ),
        names: pair(to.name().0, answers.name().0),
        receive: pair(0, 1),
        deadline: 0,
        words: WORDS,
    });
    equal("send", code, MessageReturn::Success)?;
    let found = receive(&port)?;
    let slot = match found.received().reply() {
        ReplyKind::Slot => Name::REPLY_SLOT,
        ReplyKind::SendOnce => found.reply(),
        other => return Err(Verdict::Failed(alloc::format!("reply: {other:?}"))),
    };
    let code = message::send(slot, disposition::MOVE_SEND_ONCE, 101, Shape::SHORT, WORDS);
    equal("answer", code, MessageReturn::Success)?;
    equal("id", receive(&answers)?.id(), 101)?;
    let code = message::send(slot, disposition::MOVE_SEND_ONCE, 101, Shape::SHORT, WORDS);
    equal("second answer", code, MessageReturn::SendInvalidDest)
}

fn dead(_: &World) -> Check {
    let (port, to) = port()?;
    drop(port);
    let code = message::send(to.name(), disposition::COPY_SEND, 1, Shape::SHORT, WORDS);
    equal("send", code, MessageReturn::SendInvalidDest)
}

/// More rights than one step of the kernel moves.
const MANY: usize = 300;

/// Writes descriptor 0 of the next message: an array of rights under these names.
fn describe_array(names: &[Name], disposition: u8) {
    let value = Descriptor {
        kind: descriptor::OUT_OF_LINE_PORTS,
        disposition,
        name: names.len() as u32,
        address: names.as_ptr() as u64,
        ..Descriptor::default()
    };
    buffer::set_descriptor(0, value);
}

fn array(_: &World) -> Check {
    let (port, to) = port()?;
    let mut ports = Vec::new();
    for _ in 0..MANY {
        ports.push(ReceiveRight::<()>::new()?);
    }
    let names: Vec<_> = ports.iter().map(ReceiveRight::name).collect();
    describe_array(&names, disposition::MAKE_SEND);
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    for port in &ports {
        equal("rights on their way", port.send_rights()?, 1)?;
        equal(
            "references",
            trap::port_get_refs(port.name(), right::SEND)?,
            0,
        )?;
    }
    receive(&port)?;
    let arrived = buffer::descriptor(0);
    equal("kind", arrived.kind, descriptor::OUT_OF_LINE_PORTS)?;
    equal("disposition", arrived.disposition, disposition::MOVE_SEND)?;
    equal("how many came", arrived.name as usize, MANY)?;
    let bytes = raw::peek(arrived.address, MANY * 4);
    raw::deallocate(arrived.address, arrived.size.next_multiple_of(PAGE))?;
    for (name, port) in bytes.as_chunks().0.iter().zip(&ports) {
        let right = SendRight::<()>::from_name(Name(u32::from_le_bytes(*name)));
        equal("name", right.name(), port.name())?;
        send(&right, 3, Shape::SHORT, WORDS)?;
        equal("id", receive(port)?.id(), 3)?;
        drop(right);
        equal("rights", port.send_rights()?, 0)?;
    }
    Ok(())
}

fn bad_array(_: &World) -> Check {
    let (port, to) = port()?;
    let other = ReceiveRight::<()>::new()?;
    let mut names = alloc::vec![other.name(); MANY];
    names.push(Name(0x7fff_ff03));
    describe_array(&names, disposition::MAKE_SEND);
    let shape = Shape::buffered(0, 1);
    let code = message::send(to.name(), disposition::COPY_SEND, 1, shape, WORDS);
    equal("send", code, MessageReturn::SendInvalidRight)?;
    equal("rights", other.send_rights()?, 0)?;
    let (code, _) = message::receive_until(port.name(), 0);
    equal("receive", code, MessageReturn::ReceiveTimedOut)
}

/// Writes the descriptor of a name that denotes nothing.
fn describe_bad() -> Shape {
    describe_port(Name(0x7fff_ff03), disposition::COPY_SEND);
    Shape::buffered(0, 1)
}

// covers: M-08
fn refused_body(_: &World) -> Check {
    let (port, to) = port()?;
    let answers = ReceiveRight::<()>::new()?;
    let reply = (answers.name(), disposition::MAKE_SEND_ONCE);
    let refused = |to| message::exchange(send_registers(0, to, reply, 1, describe_bad(), WORDS)).0;
    let moved = (to.duplicate()?.into_name(), disposition::MOVE_SEND);
    equal("moved", refused(moved), MessageReturn::SendInvalidRight)?;
    equal(
        "references",
        trap::port_get_refs(to.name(), right::SEND)?,
        1,
    )?;
    equal("reply", receive(&answers)?.id(), notify::SEND_ONCE)?;
    let copied = (to.name(), disposition::COPY_SEND);
    equal("copied", refused(copied), MessageReturn::SendInvalidRight)?;
    equal("reply", receive(&answers)?.id(), notify::SEND_ONCE)?;
    equal("send rights", port.send_rights()?, 1)?;
    describe_port(port.name(), disposition::MAKE_SEND_ONCE);
    send(&to, 1, Shape::buffered(0, 1), WORDS)?;
    receive(&port)?;
    let once = (
        Name(buffer::descriptor(0).name),
        disposition::MOVE_SEND_ONCE,
    );
    equal("once", refused(once), MessageReturn::SendInvalidRight)?;
    equal("reply", receive(&answers)?.id(), notify::SEND_ONCE)?;
    equal("destination", receive(&port)?.id(), notify::SEND_ONCE)?;
    let gone = trap::port_type(once.0);
    equal("its name", gone, Err(KernReturn::InvalidName))
}

// covers: M-08 G-03
fn refused_call(_: &World) -> Check {
    let (port, to) = port()?;
    for _ in 0..2 {
        let call = message::call_registers(to.name(), 1, describe_bad(), WORDS);
        let (code, _) = message::exchange(call);
        equal("refused", code, MessageReturn::SendInvalidRight)?;
        let mut call = message::call_registers(to.name(), 2, Shape::SHORT, WORDS);
        call.word |= u64::from(options::RECEIVE_TIMEOUT);
        let (code, _) = message::exchange(call);
        equal("unanswered", code, MessageReturn::ReceiveTimedOut)?;
        equal("what arrived", receive(&port)?.id(), 2)?;
    }
    Ok(())
}
