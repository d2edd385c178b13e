//! Lent priority, whatever way messages take: who serves a waiting caller runs at that caller's priority.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::trap::{self, switch_option};
use interfaces::thread::Thread;
use microkernel::machine::FrameIndex;
use microkernel::sched::SLICE;
use sim::{Config, Path, Request, Sim};

const ORDINARY: u8 = 31;
const URGENT: u8 = 60;

/// A client above two servers, each in a task of its own.
struct Stage {
    sim: Sim,
    client: FrameIndex,
    servers: [FrameIndex; 2],
}

impl Stage {
    fn new(path: Path) -> Self {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::default()
        });
        let client = sim.first();
        set_priority(&mut sim, client, ORDINARY);
        let servers = [(); 2].map(|()| {
            let server = sim.add_task();
            set_priority(&mut sim, server, ORDINARY);
            server
        });
        Self {
            sim,
            client,
            servers,
        }
    }

    /// A port of a server, and what the client and the other server call it.
    fn port(&mut self, index: usize) -> (Name, Name, Name) {
        let (server, other) = (self.servers[index], self.servers[1 - index]);
        let sim = &mut self.sim;
        let port = sim.on(server).port();
        let [client, other] =
            [self.client, other].map(|task| sim.give(server, port, disposition::MAKE_SEND, task));
        (port, client, other)
    }

    /// The client calls, urgently.
    fn call(&mut self, service: Name) {
        set_priority(&mut self.sim, self.client, URGENT);
        let call = Request::call(service);
        assert_eq!(self.sim.on(self.client).start_message(&call), None);
    }

    fn priority(&self, thread: FrameIndex) -> u8 {
        let view = self
            .sim
            .kernel
            .threads()
            .find(|(view, _)| view.id.index() == thread);
        view.map_or(0, |(view, _)| view.priority)
    }
}

/// A thread gives itself a priority that stays.
fn set_priority(sim: &mut Sim, thread: FrameIndex, priority: u8) {
    let own = sim.on(thread).trap(trap::THREAD_SELF, &[]).unwrap();
    let set = Request::call(Name(own as u32))
        .id(<dyn Thread>::SET_PRIORITY.id)
        .words([priority.into(), 1, 0, 0, 0, 0]);
    assert_eq!(sim.on(thread).message(&set).words[0], 0);
}

// covers: T-15
#[test]
fn who_takes_a_request_out_of_a_queue_works_at_its_caller_s_priority() {
    for path in [Path::Fast, Path::Slow] {
        let mut stage = Stage::new(path);
        let server = stage.servers[0];
        let (port, service, _) = stage.port(0);
        stage.call(service);
        assert_eq!(stage.priority(server), ORDINARY, "it does not know yet");
        stage.sim.on(server).message(&Request::receive(port));
        assert_eq!(stage.priority(server), URGENT);
        // The client runs the moment that it is answered.
        stage.sim.on(server).start_message(&Request::reply());
        assert_eq!(stage.priority(server), ORDINARY);
        assert!(stage.sim.cpu_of(stage.client).is_some());
    }
}

// covers: T-15
#[test]
fn a_server_that_asks_another_one_passes_on_what_it_was_lent() {
    for path in [Path::Fast, Path::Slow] {
        let mut stage = Stage::new(path);
        let [front, back] = stage.servers;
        let (port, service, _) = stage.port(0);
        let (deep, _, deeper) = stage.port(1);
        stage.sim.on(front).start_message(&Request::receive(port));
        stage.call(service);
        assert_eq!(stage.priority(front), URGENT);
        // Nobody waits there yet: the call is queued, its thread waits, and is still owed to the client.
        let call = Request::call(deeper);
        stage.sim.on(front).finish_message();
        assert_eq!(stage.sim.on(front).start_message(&call), None);
        assert_eq!(stage.priority(front), URGENT);
        stage.sim.on(back).message(&Request::receive(deep));
        assert_eq!(stage.priority(back), URGENT);
        stage.sim.on(back).start_message(&Request::reply());
        assert_eq!(
            (stage.priority(front), stage.priority(back)),
            (URGENT, ORDINARY)
        );
        let answer = Request::reply().then_receive(port);
        stage.sim.on(front).finish_message();
        assert_eq!(stage.sim.on(front).start_message(&answer), None);
        assert_eq!(stage.priority(front), ORDINARY);
        assert!(stage.sim.cpu_of(stage.client).is_some());
    }
}

// covers: T-15
#[test]
fn a_loan_goes_with_the_right_to_the_reply_object() {
    for path in [Path::Fast, Path::Slow] {
        let mut stage = Stage::new(path);
        let [front, back] = stage.servers;
        let (port, service, _) = stage.port(0);
        let (deep, _, deeper) = stage.port(1);
        stage.call(service);
        stage.sim.on(front).message(&Request::receive(port));
        let passed_on =
            Request::send(deeper).replying(Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
        stage.sim.on(front).start_message(&passed_on);
        assert_eq!(stage.priority(front), ORDINARY);
        stage.sim.on(back).message(&Request::receive(deep));
        assert_eq!(
            stage.priority(back),
            URGENT,
            "it serves the client, not the one in front"
        );
        stage.sim.on(back).start_message(&Request::reply());
        assert!(stage.sim.cpu_of(stage.client).is_some());
    }
}

// covers: T-15
#[test]
fn a_loan_ends_at_the_next_receive_and_with_the_slice() {
    for path in [Path::Fast, Path::Slow] {
        for slices in [0, 2] {
            let mut stage = Stage::new(path);
            let server = stage.servers[0];
            let (port, service, _) = stage.port(0);
            stage.call(service);
            stage.sim.on(server).message(&Request::receive(port));
            // A look, and a pause, change nothing.
            stage
                .sim
                .on(server)
                .trap(trap::THREAD_SWITCH, &[0, switch_option::NONE, 0])
                .unwrap();
            assert_eq!(stage.priority(server), URGENT);
            if slices > 0 {
                stage.sim.pass_time(slices * SLICE);
            } else {
                let waits = stage.sim.on(server).start_message(&Request::receive(port));
                assert_eq!(waits, None);
            }
            assert_eq!(stage.priority(server), ORDINARY);
        }
    }
}

// covers: T-15
#[test]
fn a_loan_comes_to_who_gets_a_service_s_port_with_the_request_that_lies_in_it() {
    for path in [Path::Fast, Path::Slow] {
        let mut stage = Stage::new(path);
        let [front, back] = stage.servers;
        let (port, service, _) = stage.port(0);
        let (inbox, _, to_back) = stage.port(1);
        stage.call(service);
        // The receive right is on its way, and the request with it: nobody knows who will serve it.
        stage.sim.on(front).register_buffer();
        stage.sim.on(back).register_buffer();
        let hands_over = Request::send(to_back).port(port, disposition::MOVE_RECEIVE);
        let sent = stage.sim.on(front).message(&hands_over);
        assert_eq!(sent.code, MessageReturn::Success);
        assert_eq!(stage.priority(back), ORDINARY);
        let got = stage.sim.on(back).message(&Request::receive(inbox));
        let port = Name(got.right().name);
        assert_eq!(
            stage.priority(back),
            ORDINARY,
            "it has the port, not the request"
        );
        stage.sim.on(back).message(&Request::receive(port));
        assert_eq!(
            (stage.priority(front), stage.priority(back)),
            (ORDINARY, URGENT)
        );
        stage.sim.on(back).start_message(&Request::reply());
        assert_eq!(stage.priority(back), ORDINARY);
        assert!(stage.sim.cpu_of(stage.client).is_some());
    }
}

// covers: T-15
#[test]
fn a_loan_ends_with_a_reply_right_that_travels_among_a_message_s_rights() {
    for path in [Path::Fast, Path::Slow] {
        let mut stage = Stage::new(path);
        let [front, back] = stage.servers;
        let (port, service, _) = stage.port(0);
        let (deep, _, deeper) = stage.port(1);
        stage.sim.on(front).register_buffer();
        stage.sim.on(back).register_buffer();
        stage.call(service);
        stage.sim.on(front).message(&Request::receive(port));
        assert_eq!(stage.priority(front), URGENT);
        let passed_on = Request::send(deeper).port(Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
        stage.sim.on(front).start_message(&passed_on);
        assert_eq!(stage.priority(front), ORDINARY);
        let got = stage.sim.on(back).message(&Request::receive(deep));
        assert_eq!(stage.priority(back), ORDINARY, "it may only keep it");
        let answer = Request::send(Name(got.right().name)).disposed(disposition::MOVE_SEND_ONCE);
        stage.sim.on(back).start_message(&answer);
        assert!(stage.sim.cpu_of(stage.client).is_some());
    }
}
