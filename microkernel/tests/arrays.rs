//! Port arrays in messages: from memory to memory, in steps, and what becomes of them when something fails.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::{MessageReturn as Code, resource};
use abi::message::{MAX_PORTS, descriptor};
use abi::names::{Name, disposition, right};
use abi::notify;
use abi::registers::options;
use abi::trap::{self, attribute};
use microkernel::machine::{Event, FrameIndex};
use sim::{Config, Path, Request, Sim, User};

/// More rights than one step moves.
const MANY: usize = 200;

fn sim() -> (Sim, FrameIndex) {
    let (mut sim, first) = Sim::single();
    sim.on(first).register_buffer();
    (sim, first)
}

/// Ports without send rights.
fn receivers(me: &mut User<'_>, count: usize) -> Vec<Name> {
    (0..count)
        .map(|_| me.allocate(right::RECEIVE).unwrap())
        .collect()
}

fn free(me: &mut User<'_>, address: u64, count: usize) {
    me.trap(trap::VM_DEALLOCATE, &[address, count as u64 * 4])
        .unwrap();
}

// covers: M-24
#[test]
fn an_array_brings_each_right_like_a_descriptor_of_its_own() {
    for count in [0, 1, 63, 64, 65, MANY] {
        let (mut sim, first) = sim();
        let mut me = sim.on(first);
        let to = me.port();
        let ports = receivers(&mut me, count);
        let address = me.poke_names(&ports);
        let sent = Request::send(to).array(address, count as u32, disposition::MAKE_SEND);
        assert_eq!(me.message(&sent).code, Code::Success);
        for port in &ports {
            assert_eq!(
                me.attribute(*port, attribute::SEND_RIGHTS),
                Ok(1),
                "in transit"
            );
            assert_eq!(me.refs(*port, right::SEND), Ok(0));
        }
        let got = me.poll(to);
        assert_eq!((got.code, got.local), (Code::Success, to));
        let array = got.right();
        assert_eq!(array.disposition, disposition::MOVE_SEND);
        assert_eq!(
            me.take_names(&array),
            ports,
            "they join the names that are there"
        );
        for port in &ports {
            assert_eq!(me.refs(*port, right::SEND), Ok(1));
            me.destroy(*port).unwrap();
        }
        free(&mut me, address, count);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

// covers: M-24 M-21 M-22
#[test]
fn null_and_dead_names_arrive_unchanged_and_what_dies_on_the_way_arrives_dead() {
    let (mut sim, first) = sim();
    let mut me = sim.on(first);
    let to = me.port();
    let ports: Vec<_> = (0..3).map(|_| me.port()).collect();
    let address = me.poke_names(&[ports[0], Name::NULL, ports[1], Name::DEAD, ports[2]]);
    let sent = Request::send(to).array(address, 5, disposition::MOVE_SEND);
    assert_eq!(me.message(&sent).code, Code::Success);
    me.mod_refs(ports[1], right::RECEIVE, -1).unwrap();
    let array = me.poll(to).right();
    let names = me.take_names(&array);
    assert_eq!(
        names,
        [ports[0], Name::NULL, Name::DEAD, Name::DEAD, ports[2]]
    );
}

// covers: M-24 M-08 N-07
#[test]
fn a_failure_in_the_middle_destroys_all_of_it() {
    for bad in [0, 1, 70, MANY - 1] {
        let (mut sim, first) = sim();
        let before = sim.kernel.census();
        let mut me = sim.on(first);
        let (to, reply) = (me.port(), me.port());
        let mut names = receivers(&mut me, MANY);
        let ports = names.clone();
        names[bad] = Name::new(9999, 1);
        let address = me.poke_names(&names);
        let sent = Request::send(to)
            .replying(reply, disposition::MAKE_SEND_ONCE)
            .port(reply, disposition::COPY_SEND)
            .array(address, MANY as u32, disposition::MAKE_SEND_ONCE);
        assert_eq!(me.message(&sent).code, Code::SendInvalidRight);
        for (index, port) in ports.iter().enumerate() {
            let told = me.poll(*port);
            if index < bad {
                let expected = (Code::Success, notify::SEND_ONCE);
                assert_eq!((told.code, told.id), expected, "the right to {index} ended");
            } else {
                assert_eq!(
                    told.code,
                    Code::ReceiveTimedOut,
                    "{index} was never reached"
                );
            }
            me.destroy(*port).unwrap();
        }
        let told = me.poll(reply);
        assert_eq!(told.id, notify::SEND_ONCE, "so did the header's");
        assert_eq!(me.attribute(reply, attribute::SEND_RIGHTS), Ok(1));
        assert_eq!(me.poll(to).code, Code::ReceiveTimedOut);
        for port in [to, reply] {
            me.destroy(port).unwrap();
        }
        free(&mut me, address, MANY);
        assert_eq!(sim.kernel.census(), before);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

// covers: M-24
#[test]
fn the_most_rights_of_a_message_are_16383_in_all_its_arrays() {
    let (mut sim, first) = sim();
    let before = sim.kernel.census();
    let mut me = sim.on(first);
    let to = me.port();
    let port = me.port();
    let names = vec![port; MAX_PORTS as usize + 1];
    let address = me.poke_names(&names);
    for (one, other, code) in [
        (MAX_PORTS + 1, 0, Code::SendTooLarge),
        (MAX_PORTS, 1, Code::SendTooLarge),
        (u32::MAX, 1, Code::SendTooLarge),
        (MAX_PORTS - 1, 1, Code::Success),
    ] {
        let sent = Request::send(to)
            .array(address, other, disposition::COPY_SEND)
            .array(address, one, disposition::COPY_SEND);
        assert_eq!(me.message(&sent).code, code);
    }
    assert_eq!(
        me.attribute(port, attribute::SEND_RIGHTS),
        Ok(u64::from(MAX_PORTS) + 1)
    );
    let got = me.poll(to).body.unwrap();
    for (array, count) in got.descriptors.iter().zip([1, MAX_PORTS as usize - 1]) {
        assert_eq!(me.take_names(array), vec![port; count]);
    }
    assert_eq!(me.refs(port, right::SEND), Ok(u64::from(MAX_PORTS) + 1));
    for name in [to, port] {
        me.destroy(name).unwrap();
    }
    free(&mut me, address, MAX_PORTS as usize + 1);
    assert_eq!(sim.kernel.census(), before);
}

// covers: M-24 M-23
#[test]
fn names_are_read_once_at_the_send_and_their_memory_may_leave_with_it() {
    let (mut sim, first) = sim();
    let mut me = sim.on(first);
    let (to, port, other) = (me.port(), me.port(), me.port());
    let address = me.poke_names(&[port; MANY]);
    let mut sent = Request::send(to).array(address, MANY as u32, disposition::COPY_SEND);
    assert_eq!(me.message(&sent).code, Code::Success);
    for at in (address..).step_by(4).take(MANY) {
        me.poke(at, &other.0.to_le_bytes());
    }
    let array = me.poll(to).right();
    assert_eq!(me.take_names(&array), [port; MANY]);
    sent.body.as_mut().unwrap().descriptors[0].flags = descriptor::DEALLOCATE;
    assert_eq!(me.message(&sent).code, Code::Success);
    assert_eq!(
        me.message(&sent).code,
        Code::SendInvalidMemory,
        "it is gone"
    );
    let array = me.poll(to).right();
    assert_eq!(me.take_names(&array), [other; MANY]);
    for flags in [2, u16::MAX] {
        sent.body.as_mut().unwrap().descriptors[0].flags = flags;
        assert_eq!(me.message(&sent).code, Code::SendInvalidType);
    }
    let none = Request::send(to).array(address, 1, disposition::NONE);
    assert_eq!(me.message(&none).code, Code::SendInvalidType);
}

// covers: M-24 M-10
#[test]
fn an_array_that_finds_no_room_in_the_queue_comes_back() {
    for count in [3, MANY] {
        let (mut sim, first) = sim();
        let mut me = sim.on(first);
        let to = me.port();
        me.set_attribute(to, attribute::QUEUE_LIMIT, 1).unwrap();
        me.message(&Request::send(to));
        let ports: Vec<_> = (0..count).map(|_| me.port()).collect();
        let address = me.poke_names(&ports);
        let sent = Request::send(to).with(options::SEND_TIMEOUT).array(
            address,
            count as u32,
            disposition::MOVE_SEND,
        );
        // The test's reading of the buffer waits for a success: the names are there all the same.
        assert_eq!(me.message(&sent).code, Code::SendTimedOut);
        for port in ports {
            assert_eq!(me.refs(port, right::SEND), Ok(1), "back under its name");
            assert_eq!(me.attribute(port, attribute::SEND_RIGHTS), Ok(1));
        }
    }
}

// covers: M-24 M-37
#[test]
fn a_message_with_many_rights_that_nobody_takes_ends_in_steps() {
    let (mut sim, first) = sim();
    let before = sim.kernel.census();
    let mut me = sim.on(first);
    let to = me.port();
    let ports = receivers(&mut me, MANY);
    let address = me.poke_names(&ports);
    for how in [
        disposition::MAKE_SEND,
        disposition::MAKE_SEND_ONCE,
        disposition::MOVE_RECEIVE,
    ] {
        let sent = Request::send(to).array(address, MANY as u32, how);
        assert_eq!(me.message(&sent).code, Code::Success);
    }
    let pauses = sim.pauses;
    sim.on(first).destroy(to).unwrap();
    assert!(sim.pauses > pauses, "in one step");
    let mut me = sim.on(first);
    free(&mut me, address, MANY);
    assert_eq!(sim.kernel.census(), before);
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: M-24 M-26
#[test]
fn a_receive_right_in_an_array_that_closes_a_circle_destroys_the_message() {
    for count in [2, MANY] {
        let (mut sim, first) = sim();
        let before = sim.kernel.census();
        let mut me = sim.on(first);
        let mut ports = receivers(&mut me, count - 1);
        let (to, watched) = (me.port(), ports[0]);
        me.insert_right(watched, watched, disposition::MAKE_SEND)
            .unwrap();
        ports.push(to);
        let address = me.poke_names(&ports);
        let sent = Request::send(to).array(address, count as u32, disposition::MOVE_RECEIVE);
        assert_eq!(me.message(&sent).code, Code::Success);
        for name in [to, watched] {
            assert_eq!(me.refs(name, right::DEAD_NAME), Ok(1), "all of it ended");
            me.deallocate(name).unwrap();
        }
        free(&mut me, address, count);
        assert_eq!(sim.kernel.census(), before);
    }
}

// covers: M-24 M-25
#[test]
fn receive_rights_in_an_array_arrive_with_their_queues() {
    let (mut sim, first) = sim();
    let mut me = sim.on(first);
    let to = me.port();
    let ports: Vec<_> = (0..MANY).map(|_| me.port()).collect();
    for (n, port) in (0..).zip(&ports) {
        me.message(&Request::send(*port).id(n));
    }
    let address = me.poke_names(&ports);
    let sent = Request::send(to).array(address, MANY as u32, disposition::MOVE_RECEIVE);
    assert_eq!(me.message(&sent).code, Code::Success);
    let array = me.poll(to).right();
    assert_eq!(array.disposition, disposition::MOVE_RECEIVE);
    assert_eq!(me.take_names(&array), ports);
    for (n, port) in (0..).zip(ports) {
        assert_eq!(me.poll(port).id, n);
    }
}

// covers: M-24 M-34
#[test]
fn who_has_no_names_left_gets_the_rest_and_is_told() {
    let (mut sim, first) = sim();
    let receiver = sim.add_task();
    let own = sim.on(receiver).port();
    let to = sim.give(receiver, own, disposition::MAKE_SEND, first);
    let mut taken = 0;
    while sim.on(receiver).allocate(right::DEAD_NAME).is_ok() {
        taken += 1;
    }
    assert!(taken > MANY);
    let mut me = sim.on(first);
    let ports: Vec<_> = (0..MANY).map(|_| me.port()).collect();
    let address = me.poke_names(&ports);
    let sent = Request::send(to).array(address, MANY as u32, disposition::MOVE_SEND);
    assert_eq!(me.message(&sent).code, Code::Success);
    let got = sim.on(receiver).poll(own);
    assert_eq!(got.code.0, Code::ReceiveBodyError.0 | resource::IPC_SPACE);
    let mut me = sim.on(first);
    for port in ports {
        assert_eq!(me.attribute(port, attribute::SEND_RIGHTS), Ok(0));
    }
}

// covers: M-24 M-31
#[test]
fn a_port_that_goes_while_its_message_arrives_is_told_as_null_or_dead() {
    for (moves, local) in [(false, Name::DEAD), (true, Name::NULL)] {
        let mut sim = Sim::boot(Config::with_cpus(2));
        let first = sim.first();
        sim.on(first).register_buffer();
        let other = sim.add_thread(first);
        sim.until_runs(other);
        let mut me = sim.on(first);
        let (to, elsewhere, port) = (me.port(), me.port(), me.port());
        let address = me.poke_names(&[port; MANY]);
        let sent = Request::send(to).array(address, MANY as u32, disposition::COPY_SEND);
        assert_eq!(me.message(&sent).code, Code::Success);
        let cpu = me.message_steps(&Request::poll(to), 2);
        let mut he = sim.on(other);
        if moves {
            let sent = Request::send(elsewhere).port(to, disposition::MOVE_RECEIVE);
            assert_eq!(he.message(&sent).code, Code::Success);
        } else {
            he.mod_refs(to, right::RECEIVE, -1).unwrap();
        }
        sim.event(cpu, Event::Continue);
        let got = sim.on(first).finish_message();
        assert_eq!((got.code, got.local, got.label), (Code::Success, local, 0));
        assert_eq!(sim.on(first).take_names(&got.right()), [port; MANY]);
    }
}

// covers: M-24 M-37 T-07
#[test]
fn a_task_that_ends_in_the_middle_of_an_array_leaves_nothing_behind() {
    // How far it is by then: sending, or receiving.
    for (receives, steps) in [(false, 1), (false, 2), (true, 1), (true, 2), (true, 3)] {
        let mut sim = Sim::boot(Config::with_cpus(2));
        let first = sim.first();
        sim.on(first).register_buffer();
        let mut me = sim.on(first);
        let own = me.port();
        let before = sim.kernel.census();
        let pages = sim.machine.memory.in_use();
        let task = sim.add_task();
        let to = sim.give(first, own, disposition::MAKE_SEND, task);
        let mut he = sim.on(task);
        let port = he.port();
        let address = he.poke_names(&[port; MANY]);
        let target = if receives { he.port() } else { to };
        let sent = Request::send(target).array(address, MANY as u32, disposition::COPY_SEND);
        let cpu = if receives {
            assert_eq!(he.message(&sent).code, Code::Success);
            he.message_steps(&Request::receive(target), steps)
        } else {
            he.message_steps(&sent, steps)
        };
        let ends = sim.task_of(task);
        sim.kernel.stage_termination(&mut sim.machine, ends);
        sim.event(cpu, Event::Continue);
        sim.end_task(task);
        assert_eq!(sim.on(first).poll(own).code, Code::ReceiveTimedOut);
        assert_eq!(sim.kernel.census(), before);
        assert_eq!(sim.machine.memory.in_use(), pages);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

// covers: M-24 M-27
#[test]
fn arrays_go_between_tasks_on_many_cpus_and_all_is_given_back() {
    for (cpus, path) in [(1, Path::Fast), (2, Path::Slow), (4, Path::Fast)] {
        let mut sim = Sim::boot(Config {
            path,
            seed: 7,
            ..Config::with_cpus(cpus)
        });
        let first = sim.first();
        sim.on(first).register_buffer();
        let own = sim.on(first).port();
        let before = sim.kernel.census();
        let clients: Vec<_> = (0..3).map(|_| sim.add_task()).collect();
        for (n, client) in clients.iter().enumerate() {
            let to = sim.give(first, own, disposition::MAKE_SEND, *client);
            sim.until_runs(*client);
            let mut he = sim.on(*client);
            let ports: Vec<_> = (0..MANY / 2).map(|_| he.port()).collect();
            let address = he.poke_names(&ports);
            let sent = Request::send(to)
                .array(address, ports.len() as u32, disposition::MAKE_SEND_ONCE)
                .array(address, ports.len() as u32, disposition::COPY_SEND)
                .id(n as i32);
            assert_eq!(he.message(&sent).code, Code::Success);
        }
        sim.until_runs(first);
        for n in 0..clients.len() {
            let mut me = sim.on(first);
            let got = me.poll(own);
            assert_eq!(got.id, n as i32);
            for array in &got.body.unwrap().descriptors {
                for name in me.take_names(array) {
                    me.deallocate(name).unwrap();
                }
            }
        }
        for client in clients {
            sim.end_task(client);
        }
        assert_eq!(sim.kernel.census(), before);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}
