//! Tasks that die: who hears of it, what survives, and that nothing is left.

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::registers::options;
use abi::trap::attribute;
use microkernel::machine::{Access, Event, Machine as _};
use sim::{Config, Faulted, Path, Request, Sim, image};

// covers: N-07
#[test]
fn a_server_that_dies_leaves_no_caller_waiting() {
    for path in [Path::Fast, Path::Slow] {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::default()
        });
        let first = sim.first();
        sim.on(first).register_buffer();
        let server = sim.add_task();
        let port = sim.on(server).port();
        let callers: Vec<_> = (0..3).map(|_| sim.add_task()).collect();
        // One is being served, one was taken and kept, one is queued.
        for (n, caller) in callers.iter().enumerate() {
            let service = sim.give(server, port, disposition::MAKE_SEND, *caller);
            assert_eq!(sim.on(*caller).start_message(&Request::call(service)), None);
            if n < 2 {
                assert_eq!(sim.on(server).poll(port).code, Code::Success);
            }
        }
        sim.end_task(server);
        for caller in callers {
            let answer = sim.on(caller).finish_message();
            assert_eq!((answer.code, answer.id), (Code::Success, notify::SEND_ONCE));
        }
    }
}

// covers: N-07
#[test]
fn a_thread_that_ends_itself_leaves_no_caller_waiting() {
    // Nobody else can run when it ends, and no event will come: its end itself must wake the caller.
    for by_trap in [false, true] {
        let (mut sim, client) = Sim::single();
        let server = sim.add_thread(client);
        let port = sim.on(client).port();
        let me = sim.on(server).trap(abi::trap::THREAD_SELF, &[]).unwrap();
        let call = Request::call(port).disposed(disposition::MAKE_SEND);
        assert_eq!(sim.on(client).start_message(&call), None);
        assert_eq!(sim.on(server).poll(port).code, Code::Success);
        if by_trap {
            assert_eq!(sim.on(server).start(abi::trap::THREAD_EXIT, &[]), None);
        } else {
            let terminate = <dyn interfaces::thread::Thread>::TERMINATE.id;
            let end = Request::call(Name(me as u32)).id(terminate);
            assert_eq!(sim.on(server).start_message(&end), None);
        }
        let answer = sim.on(client).finish_message();
        assert_eq!((answer.code, answer.id), (Code::Success, notify::SEND_ONCE));
        assert_eq!(sim.kernel.census().threads, 1);
    }
}

#[test]
fn a_task_ends_itself_when_it_has_no_name_left_for_its_own_port() {
    for cpus in [1, 2] {
        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        let before = sim.kernel.census();
        let hog = sim.add_task();
        let _second = sim.add_thread(hog);
        while sim.on(hog).allocate(right::DEAD_NAME).is_ok() {}
        let refused = sim.on(hog).trap(abi::trap::TASK_SELF, &[]);
        assert_eq!(refused, Err(KernReturn::ResourceShortage));
        assert_eq!(sim.on(hog).start(abi::trap::TASK_EXIT, &[]), None);
        while sim.kernel.census() != before {
            sim.on(first).trap(abi::trap::NULL, &[]).unwrap();
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

// covers: N-05 B-05 P-32
#[test]
fn a_service_port_outlives_its_server_with_what_is_queued() {
    let (mut sim, supervisor) = Sim::single();
    let (port, notes) = (sim.on(supervisor).port(), sim.on(supervisor).port());
    for life in 1..=3 {
        let server = sim.add_task();
        let armed = sim
            .on(supervisor)
            .request(port, notify::PORT_DESTROYED, 0, notes);
        assert_eq!(armed, Ok(Name::NULL));
        let handed = sim.give(supervisor, port, disposition::MOVE_RECEIVE, server);
        assert_eq!(sim.on(supervisor).kind(port), Ok(port_type::SEND));
        let client = sim.add_task();
        let service = sim.give(supervisor, port, disposition::COPY_SEND, client);
        sim.on(client).message(&Request::send(service).id(life));
        if life > 1 {
            assert_eq!(
                sim.on(server).poll(handed).id,
                life - 1,
                "from the life before"
            );
        }
        sim.end_task(server);
        let note = sim.on(supervisor).poll(notes);
        assert_eq!(
            (note.code, note.id),
            (Code::Success, notify::PORT_DESTROYED)
        );
        assert_eq!(
            Name(note.right().name),
            port,
            "under the name of its send right"
        );
        assert_eq!(
            sim.on(supervisor).attribute(port, attribute::MESSAGE_COUNT),
            Ok(1)
        );
        sim.end_task(client);
    }
}

// covers: P-20
#[test]
fn a_dying_task_s_receive_rights_go_before_its_other_names() {
    let (mut sim, first) = Sim::single();
    let inbox = sim.on(first).port();
    let task = sim.add_task();
    let outside = sim.give(first, inbox, disposition::MAKE_SEND, task);
    let mut user = sim.on(task);
    let early = user.port();
    let (port, notes, queue) = (user.port(), user.port(), user.port());
    // A send-once right under a name that comes before the port's own.
    user.destroy(early).unwrap();
    user.message(&Request::send(queue).port(port, disposition::MAKE_SEND_ONCE));
    let once = Name(user.poll(queue).right().name);
    assert!(once.index() < port.index());
    user.request(once, notify::DEAD_NAME, 0, notes).unwrap();
    user.message(&Request::send(outside).port(notes, disposition::MOVE_RECEIVE));
    let notes = Name(sim.on(first).poll(inbox).right().name);
    sim.end_task(task);
    // Had the names gone in their order, the right would have been deleted while its port lived.
    assert_eq!(sim.on(first).poll(notes).id, notify::DEAD_NAME);
    assert_eq!(sim.on(first).poll(notes).code, Code::ReceiveTimedOut);
}

// covers: V-02 V-11
#[test]
fn a_wild_access_ends_its_task_alone() {
    let (mut sim, first) = Sim::single();
    let port = sim.on(first).port();
    let before = sim.kernel.census();
    let wild = [
        (0, Access::Read),
        (0x7000_0000, Access::Write),
        (image::DATA, Access::Execute),
        (abi::start::ADDRESS, Access::Read),
        (abi::vm::MAX_ADDRESS, Access::Read),
        (1 << 63, Access::Write),
        (u64::MAX, Access::Read),
    ];
    for (address, access) in wild {
        let task = sim.add_task();
        sim.give(first, port, disposition::COPY_SEND, task);
        let cpu = sim.until_runs(task);
        assert_eq!(sim.reach(cpu, address, access), Err(Faulted { address }));
        sim.kernel.stage_rest(&mut sim.machine);
        assert_eq!(
            sim.kernel.census(),
            before,
            "after {access:?} of {address:#x}"
        );
        assert!(
            sim.machine
                .log
                .last()
                .is_some_and(|line| line.contains("EXC_BAD_ACCESS"))
        );
        assert_eq!(
            sim.on(first).kind(port),
            Ok(port_type::SEND | port_type::RECEIVE)
        );
    }
}

// covers: T-02 M-37 F-06
#[test]
fn a_hundred_tasks_later_everything_is_as_before() {
    let mut sim = Sim::boot(Config::with_cpus(2));
    let first = sim.first();
    sim.on(first).register_buffer();
    let port = sim.on(first).port();
    let mut before = None;
    for round in 0..100 {
        let (a, b) = (sim.add_task(), sim.add_task());
        let queue = sim.on(a).port();
        let to_a = sim.give(a, queue, disposition::MAKE_SEND, b);
        let to_first = sim.give(first, port, disposition::COPY_SEND, a);
        let own = sim.on(b).port();
        sim.on(b).message(
            &Request::send(to_a)
                .port(own, disposition::MOVE_RECEIVE)
                .data(&[1; 99]),
        );
        sim.on(a)
            .request(to_first, notify::DEAD_NAME, 0, queue)
            .ok();
        let waits = sim.on(b).start_message(&Request::call(to_a));
        assert_eq!(waits, None);
        sim.end_task(if round % 2 == 0 { a } else { b });
        sim.end_task(if round % 2 == 0 { b } else { a });
        sim.kernel.stage_rest(&mut sim.machine);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
        let now = (
            sim.kernel.census(),
            sim.machine.memory.in_use(),
            sim.machine.spaces.len(),
        );
        assert_eq!(*before.get_or_insert(now), now, "round {round}");
    }
}

// covers: M-06 M-10 T-02
#[test]
fn a_send_whose_time_is_up_leaves_a_port_that_is_being_taken_apart() {
    for steps in 1..=8 {
        let (mut sim, _) = Sim::single();
        let server = sim.add_task();
        // So many that the end of one waits for a step of its own.
        let ports: Vec<_> = (0..100).map(|_| sim.on(server).port()).collect();
        let senders: Vec<_> = ports[..6]
            .iter()
            .map(|port| {
                let limited = sim
                    .on(server)
                    .set_attribute(*port, attribute::QUEUE_LIMIT, 0);
                assert_eq!(limited, Ok(()));
                let sender = sim.add_task();
                let to = sim.give(server, *port, disposition::MAKE_SEND, sender);
                let deadline = sim.machine.now() + 1_000_000_000;
                let send = Request::send(to)
                    .with(options::SEND_TIMEOUT)
                    .until(deadline);
                assert_eq!(sim.on(sender).start_message(&send), None);
                sender
            })
            .collect();
        let me = sim.on(server).trap(abi::trap::TASK_SELF, &[]).unwrap();
        let terminate = <dyn interfaces::task::Task>::TERMINATE.id;
        let end = Request::call(Name(me as u32)).id(terminate);
        let cpu = sim.on(server).message_steps(&end, steps);
        sim.machine.advance(2_000_000_000);
        assert!(sim.machine.take_due_timer(cpu));
        sim.event(cpu, Event::Timer);
        for sender in senders {
            let code = sim.on(sender).finish_message().code;
            assert!(
                [Code::SendTimedOut, Code::Success].contains(&code),
                "{code:?}"
            );
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}
