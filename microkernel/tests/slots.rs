//! The reply slot's name: its right is inspected, moved and ended like any other send-once right.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use microkernel::machine::FrameIndex;
use sim::{Config, Path, Request, Sim};

const SLOT: Name = Name::REPLY_SLOT;

/// A client in a call, and a server whose slot holds the right to answer it.
fn served(path: Path) -> (Sim, FrameIndex, FrameIndex) {
    let mut sim = Sim::boot(Config {
        path,
        ..Config::default()
    });
    let client = sim.add_task();
    let (server, port, service) = sim.add_server(client);
    let waits = Request::receive(port);
    assert_eq!(sim.on(server).start_message(&waits), None);
    let call = Request::call(service);
    assert_eq!(sim.on(client).start_message(&call), None);
    assert_eq!(sim.on(server).finish_message().reply, SLOT);
    (sim, client, server)
}

fn on_both_paths(story: impl Fn(Sim, FrameIndex, FrameIndex)) {
    for path in [Path::Fast, Path::Slow] {
        let (sim, client, server) = served(path);
        story(sim, client, server);
    }
}

// covers: P-02 P-13
#[test]
fn the_slot_shows_what_it_holds() {
    on_both_paths(|mut sim, _, server| {
        let mut server = sim.on(server);
        assert_eq!(server.kind(SLOT), Ok(port_type::SEND_ONCE));
        assert_eq!(server.refs(SLOT, right::SEND_ONCE), Ok(1));
        assert_eq!(server.refs(SLOT, right::SEND), Ok(0));
        assert_eq!(server.refs(SLOT, 9), Err(K::InvalidValue));
        assert_eq!(server.mod_refs(SLOT, right::SEND_ONCE, 0), Ok(()));
        assert_eq!(server.mod_refs(SLOT, right::SEND, -1), Err(K::InvalidRight));
        assert_eq!(
            server.mod_refs(SLOT, right::SEND_ONCE, 1),
            Err(K::InvalidValue)
        );
        // No name that is in use takes a send-once right.
        let port = server.port();
        let moves = disposition::MOVE_SEND_ONCE;
        assert_eq!(server.insert_right(port, SLOT, moves), Err(K::NameExists));
        let copies = disposition::COPY_SEND;
        assert_eq!(
            server.insert_right(port, SLOT, copies),
            Err(K::InvalidRight)
        );
        assert_eq!(server.insert_right(port, SLOT, 99), Err(K::InvalidValue));
        assert_eq!(server.kind(SLOT), Ok(port_type::SEND_ONCE), "still there");
        let free = Name(0x7700);
        assert_eq!(server.insert_right(free, SLOT, moves), Ok(()));
        assert_eq!(server.kind(free), Ok(port_type::SEND_ONCE));
        assert_eq!(server.kind(SLOT), Err(K::InvalidName));
    });
}

// covers: P-08 P-09 P-10 P-12 N-07
#[test]
fn the_caller_hears_of_the_end_of_the_right_in_the_slot() {
    type End = fn(&mut Sim, FrameIndex) -> Result<(), K>;
    let ends: [End; 3] = [
        |sim, server| sim.on(server).deallocate(SLOT),
        |sim, server| sim.on(server).destroy(SLOT),
        |sim, server| sim.on(server).mod_refs(SLOT, right::SEND_ONCE, -1),
    ];
    for end in ends {
        on_both_paths(|mut sim, client, server| {
            assert_eq!(end(&mut sim, server), Ok(()));
            let told = sim.on(client).finish_message();
            assert_eq!((told.code, told.id), (Code::Success, notify::SEND_ONCE));
            assert_eq!(end(&mut sim, server), Err(K::InvalidName), "it is empty");
            assert_eq!(sim.on(server).kind(SLOT), Err(K::InvalidName));
            assert_eq!(
                sim.on(server).refs(SLOT, right::SEND_ONCE),
                Err(K::InvalidName)
            );
            assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
        });
    }
}

// covers: M-21
#[test]
fn the_right_in_the_slot_travels_in_a_message_to_who_answers() {
    on_both_paths(|mut sim, client, server| {
        let worker = sim.add_task();
        let orders = sim.on(worker).port();
        let to_worker = sim.give(worker, orders, disposition::MAKE_SEND, server);
        let wrong = Request::send(to_worker).port(SLOT, disposition::MOVE_SEND);
        let refused = sim.on(server).message(&wrong);
        assert_eq!(refused.code, Code::SendInvalidRight);
        let order = Request::send(to_worker).port(SLOT, disposition::MOVE_SEND_ONCE);
        assert_eq!(sim.on(server).message(&order).code, Code::Success);
        assert_eq!(sim.on(server).kind(SLOT), Err(K::InvalidName));
        let twice = sim.on(server).message(&order);
        assert_eq!(twice.code, Code::SendInvalidRight);

        let got = sim.on(worker).poll(orders);
        let name = Name(got.body.unwrap().descriptors[0].name);
        assert_eq!(sim.on(worker).kind(name), Ok(port_type::SEND_ONCE));
        let answer = Request::send(name)
            .disposed(disposition::MOVE_SEND_ONCE)
            .id(107);
        assert_eq!(sim.on(worker).message(&answer).code, Code::Success);
        assert_eq!(sim.on(client).finish_message().id, 107);
    });
}

// covers: P-02 P-13 P-14
#[test]
fn a_right_in_the_slot_that_died_is_a_dead_name() {
    on_both_paths(|mut sim, client, server| {
        sim.end_task(client);
        let mut server = sim.on(server);
        assert_eq!(server.kind(SLOT), Ok(port_type::DEAD_NAME));
        assert_eq!(server.refs(SLOT, right::DEAD_NAME), Ok(1));
        assert_eq!(server.refs(SLOT, right::SEND_ONCE), Ok(0));
        let port = server.port();
        let moved = server.insert_right(port, SLOT, disposition::MOVE_SEND_ONCE);
        assert_eq!(moved, Err(K::InvalidCapability));
        assert_eq!(
            server.mod_refs(SLOT, right::SEND_ONCE, -1),
            Err(K::InvalidRight)
        );
        assert_eq!(server.mod_refs(SLOT, right::DEAD_NAME, -1), Ok(()));
        assert_eq!(server.kind(SLOT), Err(K::InvalidName));
    });
}
