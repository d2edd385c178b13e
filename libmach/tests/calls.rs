//! Calls of each kind through generated client and dispatch, over the host backend.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod common;

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use abi::transport::Interface;
use abi::trap;
use common::{Counter, CounterClient, Events, Server};
use libmach::blocking::Blocking;
use libmach::host::Names;
use libmach::packet::In;
use libmach::server::Message;
use libmach::{Error, ReceiveRight, Refused, Result, SendRight, SendRights, ms};
use macros::interface;

/// A counter in a task of its own, and its client.
fn counter() -> (
    Names,
    libmach::host::Task,
    CounterClient<Blocking<SendRight<dyn Counter>>>,
) {
    let names = Names::start().unwrap();
    let task = names
        .spawn(|context| {
            let service = context.check_in::<dyn Counter>().unwrap();
            service.serve(Server::default()).unwrap();
        })
        .unwrap();
    let client = names.context().unwrap().look_up::<dyn Counter>().unwrap();
    (names, task, client)
}

fn references(name: Name) -> u64 {
    libmach::trap::port_get_refs(name, abi::names::right::SEND).unwrap_or(0)
}

#[test]
fn words_travel_in_registers_and_state_is_kept() {
    let (_names, _task, counter) = counter();
    assert_eq!(counter.add(2), Ok(2));
    assert_eq!(counter.add(40), Ok(42));
    assert_eq!(counter.get(), Ok(42));
}

// covers: G-02
#[test]
fn a_handlers_code_reaches_the_client() {
    let (_names, _task, counter) = counter();
    assert_eq!(counter.refuse(), Err(Error::Code(KernReturn::NoAccess)));
    counter.add(u64::MAX).unwrap();
    assert_eq!(
        counter.add(1),
        Err(Error::Code(KernReturn::InvalidArgument))
    );
}

// covers: G-04
#[test]
fn text_bytes_and_long_results_travel_in_the_buffer() {
    let (_names, _task, counter) = counter();
    let bytes: Vec<u8> = (0..100).collect();
    assert_eq!(counter.describe("four", &bytes, 6), Ok((4950, [10; 8])));
    assert_eq!(counter.describe("", &[], 6), Ok((0, [6; 8])));
}

#[test]
fn arguments_larger_than_a_message_are_refused_before_sending() {
    let (_names, _task, counter) = counter();
    let bytes = vec![0; libmach::buffer::SIZE];
    assert_eq!(counter.describe("", &bytes, 1), Err(Error::TooLarge));
}

// covers: G-04
#[test]
fn lent_memory_stays_the_lenders() {
    let (_names, _task, counter) = counter();
    let data = vec![3_u8; 10_000];
    assert_eq!(counter.digest(&data), Ok(30_000));
    assert_eq!(counter.digest(&data), Ok(30_000));
    assert_eq!(counter.digest(&[]), Ok(0));
    assert_eq!(data[9_999], 3);
}

// covers: G-04 M-24
#[test]
fn rights_go_and_come_in_an_array() {
    let (_names, _task, counter) = counter();
    let ports: Vec<_> = (0..3)
        .map(|_| ReceiveRight::<dyn Events>::new().unwrap())
        .collect();
    let count = || -> Vec<_> {
        ports
            .iter()
            .map(|port| port.send_rights().unwrap())
            .collect()
    };
    let rights = SendRights::new(ports.iter().map(|port| port.make_send().unwrap())).unwrap();
    let back = counter.turn(rights).unwrap();
    assert_eq!(
        (back.len(), count()),
        (2, vec![1, 1, 0]),
        "the last one ended there"
    );
    let names: Vec<_> = back.map(|right| right.name()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(count(), [0, 0, 0], "those that came back are owned");

    // What is taken out is the taker's, the rest ends with the array.
    let mut rights = SendRights::new(ports.iter().map(|port| port.make_send().unwrap())).unwrap();
    let first = rights.next().unwrap();
    drop(rights);
    assert_eq!(count(), [1, 0, 0]);
    drop(first);

    let none = counter.turn(SendRights::new([]).unwrap());
    assert_eq!(
        none.err().map(|refused| refused.error),
        Some(KernReturn::InvalidArgument.into())
    );
    let one = SendRights::new([ports[0].make_send().unwrap()]).unwrap();
    assert_eq!(counter.turn(one).unwrap().len(), 0);
    assert_eq!(count(), [0, 0, 0]);
}

// covers: G-04
#[test]
fn memory_comes_back_owned() {
    let (_names, _task, counter) = counter();
    let mut memory = counter.pages(5000).unwrap();
    assert_eq!(memory.len(), 5000);
    assert!(memory.iter().all(|byte| *byte == 7));
    memory[4999] = 1;
}

// covers: G-02 G-04
#[test]
fn a_moved_right_belongs_to_the_server_and_carries_events() {
    let (_names, _task, counter) = counter();
    let events = ReceiveRight::<dyn Events>::new().unwrap();
    let right = events.make_send().unwrap();
    assert_eq!(references(right.name()), 1);
    let name = right.name();
    assert_eq!(counter.watch(right), Ok(1));
    assert_eq!(references(name), 0, "consumed on success");
    assert_eq!(events.send_rights(), Ok(1));
    counter.add(5).unwrap();
    let (code, registers) = libmach::message::receive(events.name());
    assert_eq!(code, abi::kern_return::MessageReturn::Success);
    assert_eq!((registers.id(), registers.words[0]), (9200, 5));
}

#[test]
fn a_right_comes_back_when_the_destination_is_dead() {
    let dead = ReceiveRight::<dyn Counter>::new().unwrap();
    let client = dead.make_send().unwrap().into_client();
    drop(dead);
    let events = ReceiveRight::<dyn Events>::new().unwrap();
    let right = events.make_send().unwrap();
    let Err(Refused { error, rights }) = client.watch(right) else {
        panic!("it was sent")
    };
    assert_eq!(
        error,
        Error::ServerDied {
            maybe_executed: false
        }
    );
    let Some((right,)) = rights else {
        panic!("the right is lost")
    };
    assert_eq!(references(right.name()), 1);
    assert_eq!(events.send_rights(), Ok(1));
}

#[test]
fn a_right_comes_back_when_the_queue_stays_full() {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    port.set_queue_limit(1).unwrap();
    let client = port.make_send().unwrap().into_client();
    client.note(1).unwrap();
    let events = ReceiveRight::<dyn Events>::new().unwrap();
    let right = events.make_send().unwrap();
    let refused = client.with_deadline(ms(5)).watch(right).unwrap_err();
    assert_eq!(refused.error, Error::TimedOut);
    let (right,) = refused.rights.unwrap();
    assert_eq!(references(right.name()), 1);
    assert_eq!(events.send_rights(), Ok(1));
    drop(right);
    assert_eq!(events.send_rights(), Ok(0));
    let destination = client.transport().name();
    assert_eq!(
        references(destination),
        1,
        "the destination's reference came back once"
    );
}

// covers: G-04
#[test]
fn a_deadline_ends_a_call_and_the_next_one_works() {
    let (_names, _task, counter) = counter();
    assert_eq!(counter.with_deadline(ms(20)).never(), Err(Error::TimedOut));
    assert_eq!(
        counter.with_deadline(ms(5000)).get(),
        Ok(0),
        "shared with a waiting handler"
    );
}

#[test]
fn a_one_way_message_arrives_in_order() {
    let (_names, _task, counter) = counter();
    counter.note(7).unwrap();
    assert_eq!(counter.get(), Ok(7));
}

// covers: G-04
#[test]
fn a_handler_learns_who_calls() {
    let (names, _task, counter) = counter();
    let mine = names.context().unwrap().identity();
    assert_ne!(mine, 0);
    assert_eq!(counter.who(), Ok(mine));
}

// covers: G-01
#[test]
fn an_unknown_request_is_refused() {
    let (_names, _task, counter) = counter();
    let (code, reply) = libmach::message::call(counter.transport().name(), 9099, [0; 6]);
    assert_eq!(code, abi::kern_return::MessageReturn::Success);
    assert_eq!(reply.id(), 9199);
    assert_eq!(reply.words[0] as u32, KernReturn::MigBadId.0);
}

#[interface(name = "test.gaps", subsystem = 9300)]
trait Gaps {
    async fn first(&self) -> Result<u64>;
    #[skip(2)]
    async fn fourth(&self) -> Result<u64>;
    async fn fifth(&self, n: u64) -> Result<u64>;
}

struct Numbers;

impl Gaps for Numbers {
    async fn first(&self) -> Result<u64> {
        Ok(1)
    }

    async fn fourth(&self) -> Result<u64> {
        Ok(4)
    }

    async fn fifth(&self, n: u64) -> Result<u64> {
        Ok(5 + n)
    }
}

// covers: G-01
#[test]
fn numbers_that_are_skipped_are_no_methods() {
    let port = ReceiveRight::<dyn Gaps>::new().unwrap();
    let gaps = port.make_send().unwrap().into_client();
    let server = libmach::host::Task::spawn(vec![("port", libmach::host::give(port))], |context| {
        let port = context.receive_right::<dyn Gaps>("port").unwrap();
        let runtime = libmach::Runtime::new().unwrap();
        runtime.serve(port, Numbers).unwrap();
        runtime.run().unwrap();
    });
    let ids = <dyn Gaps>::DESCRIPTION.methods.iter().map(|m| m.id);
    assert!(ids.eq([9300, 9303, 9304]));
    assert_eq!(
        (gaps.first(), gaps.fourth(), gaps.fifth(1)),
        (Ok(1), Ok(4), Ok(6))
    );
    for id in [9299, 9301, 9302, 9305] {
        let (_, reply) = libmach::message::call(gaps.transport().name(), id, [0; 6]);
        assert_eq!(
            (reply.id(), reply.words[0] as u32),
            (id + 100, KernReturn::MigBadId.0)
        );
    }
    server.kill();
}

// covers: G-02
#[test]
fn bad_arguments_are_refused() {
    let (_names, _task, counter) = counter();
    // `describe` expects text: this is a short message.
    let id = <dyn Counter>::DESCRIBE.id;
    for size in [u64::MAX, 8, 0] {
        let (_, reply) = libmach::message::call(counter.transport().name(), id, [size; 6]);
        assert_eq!(reply.words[0] as u32, KernReturn::MigBadArguments.0);
    }
    // `watch` expects a right.
    let id = <dyn Counter>::WATCH.id;
    let (_, reply) = libmach::message::call(counter.transport().name(), id, [0; 6]);
    assert_eq!(reply.words[0] as u32, KernReturn::MigTypeError.0);
    assert_eq!(counter.get(), Ok(0), "the server goes on");
}

// covers: G-03
#[test]
fn a_reply_with_another_id_is_none_and_its_right_is_given_back() {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let counter = port.make_send().unwrap().into_client();
    let server = libmach::host::Task::spawn(vec![("port", libmach::host::give(port))], |context| {
        let port = context.receive_right::<dyn Counter>("port").unwrap();
        let answers = ReceiveRight::<dyn Counter>::new().unwrap();
        for offset in [101, 99, 0] {
            let (_, request) = libmach::message::receive(port.name());
            let to = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
            let reply = (answers.name(), disposition::MAKE_SEND_ONCE);
            let (id, shape) = (request.id() + offset, abi::registers::Shape::SHORT);
            let registers = libmach::message::send_registers(0, to, reply, id, shape, [0; 6]);
            libmach::message::exchange(registers);
            let (_, released) = libmach::message::receive(answers.name());
            assert_eq!(released.id(), abi::notify::SEND_ONCE);
        }
        // The right one comes after all of them.
        let (_, request) = libmach::message::receive(port.name());
        let to = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
        let none = libmach::message::NO_REPLY;
        let (id, shape) = (request.id() + 100, abi::registers::Shape::SHORT);
        let words = [0, 42, 0, 0, 0, 0];
        let registers = libmach::message::send_registers(0, to, none, id, shape, words);
        libmach::message::exchange(registers);
    });
    for _ in 0..3 {
        assert_eq!(counter.add(1), Err(Error::BadReply));
    }
    assert_eq!(counter.add(1), Ok(42));
    server.join();
}

// covers: G-03
#[test]
fn a_reply_that_wants_an_answer_is_none() {
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let counter = port.make_send().unwrap().into_client();
    let server = libmach::host::Task::spawn(vec![("port", libmach::host::give(port))], |context| {
        let port = context.receive_right::<dyn Counter>("port").unwrap();
        let answers = ReceiveRight::<dyn Counter>::new().unwrap();
        for words in [[0; 6], [KernReturn::NoAccess.0.into(), 0, 0, 0, 0, 0]] {
            let (_, request) = libmach::message::receive(port.name());
            let to = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
            let reply = (answers.name(), disposition::MAKE_SEND_ONCE);
            let (id, shape) = (request.id() + 100, abi::registers::Shape::SHORT);
            let registers = libmach::message::send_registers(0, to, reply, id, shape, words);
            libmach::message::exchange(registers);
            // The client gave the right back, instead of gathering one with each reply.
            let (_, released) = libmach::message::receive(answers.name());
            assert_eq!(released.id(), abi::notify::SEND_ONCE);
        }
    });
    assert_eq!(counter.get(), Err(Error::BadReply));
    assert_eq!(counter.get(), Err(Error::Code(KernReturn::NoAccess)));
    server.join();
}

#[test]
fn the_description_names_everything() {
    use abi::transport::{Interface, Kind};
    let description = <dyn Counter as Interface>::DESCRIPTION;
    assert_eq!(
        (description.name, description.subsystem),
        ("test.counter", 9000)
    );
    let watch = description.method(9003).unwrap();
    assert_eq!(watch.name, "watch");
    assert_eq!(watch.arguments[0].kind, Kind::Send("Events"));
    assert!(description.method(9000).unwrap().idempotent);
    assert!(description.methods.iter().any(|method| method.one_way));
    let who = description
        .methods
        .iter()
        .find(|method| method.name == "who")
        .unwrap();
    assert!(who.arguments.is_empty(), "the caller is not on the wire");
}

#[test]
fn a_released_message_takes_its_rights_along() {
    // A message that nobody decodes: its right is released with it.
    let port = ReceiveRight::<dyn Counter>::new().unwrap();
    let client = port.make_send().unwrap().into_client();
    let events = ReceiveRight::<dyn Events>::new().unwrap();
    let names = Names::start().unwrap();
    let name = events.make_send().unwrap();
    let send = libmach::host::give(client.into_transport().into_right());
    let event = libmach::host::give(name);
    let sender = libmach::host::Task::spawn(vec![("to", send), ("event", event)], |context| {
        let client = context
            .send_right::<dyn Counter>("to")
            .unwrap()
            .into_client();
        let event = context.send_right::<dyn Events>("event").unwrap();
        // No one answers: the task ends by the deadline.
        assert!(client.with_deadline(ms(100)).watch(event).is_err());
    });
    let runtime = libmach::Runtime::new().unwrap();
    let inbox = runtime.listen(port).unwrap();
    let read = async move {
        let message: Message = inbox.next().await;
        let content: &In = &message.content;
        assert_eq!(content.descriptors_left(), 1);
        drop(message);
        assert_eq!(
            libmach::trap::port_get_attribute(inbox.name(), trap::attribute::MESSAGE_COUNT),
            Ok(0)
        );
    };
    assert_eq!(runtime.run_until(read), Ok(()));
    sender.join();
    drop(names);
    assert_eq!(events.send_rights(), Ok(0));
}
