//! What each side of a call owes the other: who destroys what when a request is refused, and replies that are none.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{Descriptor, WORDS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::{ReplyKind, Shape};
use common::{Counter, CounterClient, Events};
use libmach::blocking::Blocking;
use libmach::host::{Task, give};
use libmach::message::{self, NO_REPLY};
use libmach::{Error, Mach, Memory, ReceiveRight, Refused, Result, Runtime, SendRight, SendRights};
use libmach::{Untyped, buffer};
use macros::interface;

type Client = CounterClient<Blocking<SendRight<dyn Counter>>>;

#[interface(name = "test.refusals", subsystem = 9400)]
trait Refusals {
    /// Takes the right, and fails: its answer would bring memory.
    async fn fail(&self, right: SendRight<dyn Events>) -> Result<Memory>;
}

struct Refusing;

impl Refusals for Refusing {
    type Rights = Mach;

    async fn fail(&self, right: SendRight<dyn Events>) -> Result<Memory> {
        assert!(right.name().is_valid());
        Err(KernReturn::NoAccess.into())
    }
}

/// A request with one port right, made from `events`, by the registers themselves; the answer's code.
fn send_right(to: Name, id: i32, events: &ReceiveRight<dyn Events>, count: u32) -> KernReturn {
    for index in 0..count {
        let port = Descriptor {
            kind: descriptor::PORT,
            disposition: disposition::MAKE_SEND,
            name: events.name().0,
            ..Descriptor::default()
        };
        buffer::set_descriptor(index as usize, port);
    }
    let shape = Shape::buffered(0, count);
    let (code, reply) = message::exchange(message::call_registers(to, id, shape, [0; WORDS]));
    assert_eq!((code, reply.id()), (MessageReturn::Success, id + 100));
    let received = reply.received();
    assert_eq!(received.shape(), Shape::SHORT, "an error is simple");
    assert_eq!(received.reply(), ReplyKind::None);
    KernReturn(reply.words[0] as u32)
}

// covers: G-01 G-02
#[test]
fn whoever_refuses_a_request_destroys_its_rights() {
    let port = ReceiveRight::<dyn Refusals>::new().unwrap();
    let client = port.make_send().unwrap().into_client();
    let server = Task::spawn(vec![("port", give(port))], |context| {
        let port = context.receive_right::<dyn Refusals>("port").unwrap();
        let runtime = Runtime::new().unwrap();
        runtime.serve(port, Refusing).unwrap();
        runtime.run().unwrap();
    });
    let events = ReceiveRight::<dyn Events>::new().unwrap();
    let to = client.transport().name();
    let fail = <dyn Refusals>::FAIL.id;
    for (id, count, code) in [
        (9499, 1, KernReturn::MigBadId),
        (fail, 0, KernReturn::MigTypeError),
        (fail, 1, KernReturn::NoAccess),
        // What nobody asked for is not kept either.
        (fail, 3, KernReturn::NoAccess),
    ] {
        assert_eq!(send_right(to, id, &events, count), code, "{id}");
        assert_eq!(events.send_rights(), Ok(0), "{id} with {count}");
    }
    // The generated client: the request was taken, so nothing comes back.
    let Err(Refused { error, rights }) = client.fail(events.make_send().unwrap()) else {
        panic!("it did not fail");
    };
    assert_eq!(error, Error::Code(KernReturn::NoAccess));
    assert!(rights.is_none());
    assert_eq!(events.send_rights(), Ok(0));
    server.kill();
}

/// What a server of this file answers.
#[derive(Clone, Copy)]
enum Wrong {
    /// So many rights, and so many bytes of data.
    Ports(u32, u32),
    /// Memory, where it does not belong.
    Memory,
}

impl Wrong {
    /// Puts it into the buffer; its shape.
    fn write(self, events: &ReceiveRight<dyn Events>) -> Shape {
        let (count, size) = match self {
            Self::Ports(count, size) => (count, size),
            Self::Memory => (1, 0),
        };
        for index in 0..count as usize {
            let value = match self {
                Self::Ports(..) => Descriptor {
                    kind: descriptor::PORT,
                    disposition: disposition::MAKE_SEND,
                    name: events.name().0,
                    ..Descriptor::default()
                },
                Self::Memory => Descriptor {
                    kind: descriptor::OUT_OF_LINE,
                    ..Descriptor::default()
                },
            };
            buffer::set_descriptor(index, value);
        }
        for word in 0..size as usize / 8 {
            buffer::set_word(count as usize, word, 0);
        }
        Shape::buffered(size, count)
    }
}

/// A server that answers each request with the right id, success, and what does not belong to it. The rights that it sent
/// must be gone when the next request comes.
fn wrong_answers(answers: Vec<Wrong>) -> (Client, Task) {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let client = port.make_send().unwrap().into_client();
    let server = Task::spawn(vec![("port", give(port))], move |context| {
        let port = context.receive_right::<dyn Counter>("port").unwrap();
        let events = ReceiveRight::<dyn Events>::new().unwrap();
        for answer in answers {
            let (code, request) = message::receive(port.name());
            assert_eq!(code, MessageReturn::Success);
            assert_eq!(events.send_rights(), Ok(0), "the client kept a right");
            let shape = answer.write(&events);
            let to = match request.received().reply() {
                ReplyKind::Slot => Name::REPLY_SLOT,
                _ => request.reply(),
            };
            let to = (to, disposition::MOVE_SEND_ONCE);
            let id = request.id() + 100;
            let registers = message::send_registers(0, to, NO_REPLY, id, shape, [0; WORDS]);
            assert_eq!(message::exchange(registers).0, MessageReturn::Success);
        }
        // The client's last word: it looked at the last answer.
        let (code, _) = message::receive(port.name());
        assert_eq!(code, MessageReturn::Success);
        assert_eq!(events.send_rights(), Ok(0), "the client kept a right");
    });
    (client, server)
}

// covers: G-03
#[test]
fn a_reply_with_other_rights_or_memory_than_promised_is_none() {
    use Wrong::{Memory, Ports};
    let (counter, server) = wrong_answers(vec![
        Ports(1, 0),
        Ports(3, 0),
        Ports(0, 8),
        Ports(0, 0),
        Ports(1, 0),
        Ports(2, 0),
        Memory,
    ]);
    // A word is expected.
    for _ in 0..3 {
        assert_eq!(counter.add(1), Err(Error::BadReply));
    }
    // One piece of memory is.
    let pages = || counter.pages(1).map(|memory| memory.len());
    assert_eq!(pages(), Err(Error::BadReply), "none");
    assert_eq!(pages(), Err(KernReturn::MigTypeError.into()), "a right");
    assert_eq!(pages(), Err(Error::BadReply), "two");
    // An array of rights is.
    let none = || SendRights::<dyn Events>::new([]).unwrap();
    let turned = counter.turn(none()).map(|rights| rights.len());
    let error = turned.err().map(|refused| refused.error);
    assert_eq!(error, Some(KernReturn::MigTypeError.into()), "memory");
    counter.note(1).unwrap();
    server.join();
}

// covers: G-03
#[test]
fn a_reply_of_another_size_is_none() {
    let (counter, server) = wrong_answers(vec![
        Wrong::Ports(0, 0),
        Wrong::Ports(0, 8 * 8),
        Wrong::Ports(0, 10 * 8),
        Wrong::Ports(0, 9 * 8),
        Wrong::Ports(1, 8),
    ]);
    // Nine words are expected.
    let describe = || counter.describe("", &[], 1);
    for size in ["none", "eight", "ten"] {
        assert_eq!(describe(), Err(Error::BadReply), "{size}");
    }
    assert_eq!(describe(), Ok((0, [0; 8])));
    let pages = counter.pages(1).map(|memory| memory.len());
    assert_eq!(pages, Err(Error::BadReply), "a right and a word");
    counter.note(1).unwrap();
    server.join();
}

/// The same for calls of a server's that do not stop its loop.
// covers: G-03
#[test]
fn a_concurrent_call_looks_at_its_reply_too() {
    let (client, server) = wrong_answers(vec![
        Wrong::Ports(1, 0),
        Wrong::Ports(2, 0),
        Wrong::Ports(1, 0),
        Wrong::Ports(0, 10 * 8),
        Wrong::Ports(0, 9 * 8),
    ]);
    let runtime = Runtime::new().unwrap();
    let on = runtime.clone();
    let calls = async move {
        let counter = on.concurrent(client.transport());
        assert_eq!(counter.add(1).await, Err(Error::BadReply));
        let pages = counter.pages(1).await.map(|memory| memory.len());
        assert_eq!(pages, Err(Error::BadReply));
        let pages = counter.pages(1).await.map(|memory| memory.len());
        assert_eq!(pages, Err(KernReturn::MigTypeError.into()));
        assert_eq!(counter.describe("", &[], 1).await, Err(Error::BadReply));
        assert_eq!(counter.describe("", &[], 1).await, Ok((0, [0; 8])));
        client.note(1).unwrap();
    };
    runtime.run_until(calls).unwrap();
    server.join();
}

/// The host backend judges a reply name as the kernel does.
// covers: M-07
#[test]
fn a_reply_name_may_be_none_or_dead_and_its_disposition_must_be_one() {
    let port = ReceiveRight::<Untyped>::new().unwrap();
    let right = port.make_send().unwrap();
    let send = |name: Name, how: u8| {
        let to = (right.name(), disposition::COPY_SEND);
        let registers = message::send_registers(0, to, (name, how), 1, Shape::SHORT, [0; WORDS]);
        message::exchange(registers).0
    };
    let kind = || {
        let (code, got) = message::receive_until(port.name(), 0);
        assert_eq!(code, MessageReturn::Success);
        got.received().reply()
    };
    for how in [
        disposition::NONE,
        disposition::MAKE_SEND,
        disposition::COPY_SEND,
        disposition::MOVE_SEND,
        disposition::MOVE_SEND_ONCE,
    ] {
        assert_eq!(send(Name::NULL, how), MessageReturn::Success, "{how}");
        assert_eq!(kind(), ReplyKind::None, "{how}");
    }
    assert_eq!(
        send(Name::DEAD, disposition::COPY_SEND),
        MessageReturn::Success
    );
    assert_eq!(kind(), ReplyKind::Dead);
    for (name, how, code) in [
        // It stands for the own reply object, and nobody receives on that.
        (
            Name::NULL,
            disposition::MAKE_SEND_ONCE,
            MessageReturn::SendInvalidReply,
        ),
        (
            Name::NULL,
            disposition::MOVE_RECEIVE,
            MessageReturn::SendInvalidHeader,
        ),
        (
            port.name(),
            disposition::NONE,
            MessageReturn::SendInvalidHeader,
        ),
        (
            Name(0x7777_0001),
            disposition::COPY_SEND,
            MessageReturn::SendInvalidReply,
        ),
    ] {
        assert_eq!(send(name, how), code, "{name:?} {how}");
    }
    let (code, _) = message::receive_until(port.name(), 0);
    assert_eq!(code, MessageReturn::ReceiveTimedOut, "nothing was sent");
    assert_eq!(port.send_rights(), Ok(1));
}
