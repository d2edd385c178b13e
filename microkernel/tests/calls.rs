//! Calls between two tasks: reply objects, reply slots, and servers that die or stay silent.

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::registers::{ReplyKind, options};
use abi::trap::{self, attribute};
use microkernel::machine::FrameIndex;
use sim::{Config, Path, Reply, Request, Sim};

/// A client and a server in tasks of their own.
struct Pair {
    sim: Sim,
    client: FrameIndex,
    server: FrameIndex,
    /// The service port: its name at the server, and the client's name for a send right to it.
    port: Name,
    service: Name,
}

fn pair(path: Path) -> Pair {
    let mut sim = Sim::boot(Config {
        path,
        ..Config::default()
    });
    let client = sim.first();
    sim.on(client).register_buffer();
    let (server, port, service) = sim.add_server(client);
    Pair {
        sim,
        client,
        server,
        port,
        service,
    }
}

fn both(story: impl Fn(Pair)) {
    story(pair(Path::Fast));
    story(pair(Path::Slow));
}

impl Pair {
    fn call(&mut self) -> Option<Reply> {
        let call = Request::call(self.service).id(7).words([1, 2, 3, 4, 5, 6]);
        self.sim.on(self.client).start_message(&call)
    }

    /// The server takes the client's call.
    fn take(&mut self) -> Reply {
        let got = self.sim.on(self.server).poll(self.port);
        assert_eq!(got.code, Code::Success);
        got
    }

    fn answer(&mut self) -> Reply {
        self.sim.on(self.client).finish_message()
    }
}

// covers: M-03
#[test]
fn a_call_needs_a_send_right_even_where_a_server_waits() {
    both(|mut pair| {
        let Pair {
            ref mut sim,
            client,
            server,
            ..
        } = pair;
        let port = sim.on(server).allocate(right::RECEIVE).unwrap();
        let once = sim.give(server, port, disposition::MAKE_SEND_ONCE, client);
        let beside = sim.add_thread(server);
        let waits = Request::receive(port);
        assert_eq!(sim.on(server).start_message(&waits), None);
        for (caller, name) in [(client, once), (beside, port)] {
            let refused = sim.on(caller).message(&Request::call(name));
            assert_eq!(refused.code, Code::SendInvalidDest);
        }
        assert_eq!(sim.on(client).kind(once), Ok(port_type::SEND_ONCE));
        assert!(!sim.is_in_user_mode(server), "it got a message");
    });
}

// covers: M-31
#[test]
fn a_call_finds_its_server_waiting() {
    both(|mut pair| {
        let waits = Request::receive(pair.port);
        assert_eq!(pair.sim.on(pair.server).start_message(&waits), None);
        assert_eq!(pair.call(), None);
        let got = pair.sim.on(pair.server).finish_message();
        assert_eq!((got.code, got.id, got.local), (Code::Success, 7, pair.port));
        assert_eq!(got.words, [1, 2, 3, 4, 5, 6]);
        assert_eq!((got.kind, got.reply), (ReplyKind::Slot, Name::REPLY_SLOT));
        assert_eq!(got.label, u64::from(pair.port.0));
        let sequence = pair
            .sim
            .on(pair.server)
            .attribute(pair.port, attribute::SEQUENCE);
        assert_eq!(sequence, Ok(1), "counted on every path");
        let reply = Request::reply()
            .id(107)
            .words([9; 6])
            .then_receive(pair.port);
        assert_eq!(pair.sim.on(pair.server).start_message(&reply), None);
        let answer = pair.answer();
        assert_eq!(
            (answer.code, answer.id, answer.words),
            (Code::Success, 107, [9; 6])
        );
        assert_eq!(answer.kind, ReplyKind::None);
    });
}

// covers: M-31
#[test]
fn a_call_waits_for_its_server() {
    both(|mut pair| {
        assert_eq!(pair.call(), None);
        let got = pair.take();
        assert_eq!((got.id, got.kind), (7, ReplyKind::Slot));
        let sent = pair.sim.on(pair.server).message(&Request::reply().id(107));
        assert_eq!(sent.code, Code::Success);
        let again = pair.sim.on(pair.server).message(&Request::reply());
        assert_eq!(again.code, Code::SendInvalidDest, "the slot is empty");
        assert_eq!(pair.answer().id, 107);
    });
}

// covers: P-04 M-38
#[test]
fn a_full_slot_gives_the_next_reply_right_a_name() {
    both(|mut pair| {
        let other = pair.sim.add_task();
        let service = pair
            .sim
            .give(pair.server, pair.port, disposition::MAKE_SEND, other);
        assert_eq!(pair.call(), None);
        assert_eq!(pair.take().kind, ReplyKind::Slot);
        let second = Request::call(service).id(8);
        assert_eq!(pair.sim.on(other).start_message(&second), None);
        let got = pair.take();
        assert_eq!((got.id, got.kind), (8, ReplyKind::SendOnce));
        assert_eq!(
            pair.sim.on(pair.server).kind(got.reply),
            Ok(port_type::SEND_ONCE)
        );
        let to_second = Request::send(got.reply)
            .disposed(disposition::MOVE_SEND_ONCE)
            .id(108);
        assert_eq!(
            pair.sim.on(pair.server).message(&to_second).code,
            Code::Success
        );
        assert_eq!(pair.sim.on(other).finish_message().id, 108);
        assert_eq!(
            pair.sim
                .on(pair.server)
                .message(&Request::reply().id(107))
                .code,
            Code::Success
        );
        assert_eq!(pair.answer().id, 107);
    });
}

// covers: M-38
#[test]
fn a_reply_right_can_be_kept_and_handed_on() {
    both(|mut pair| {
        assert_eq!(pair.call(), None);
        pair.take();
        let kept = pair.sim.on(pair.server).take_slot().unwrap();
        assert_eq!(
            pair.sim.on(pair.server).kind(kept),
            Ok(port_type::SEND_ONCE)
        );
        assert!(pair.sim.on(pair.server).take_slot().is_err());
        let helper = pair.sim.add_task();
        let held = pair
            .sim
            .give(pair.server, kept, disposition::MOVE_SEND_ONCE, helper);
        let reply = Request::send(held)
            .disposed(disposition::MOVE_SEND_ONCE)
            .id(107);
        assert_eq!(pair.sim.on(helper).message(&reply).code, Code::Success);
        assert_eq!(pair.answer().id, 107);
    });
}

// covers: M-32 N-03
#[test]
fn a_caller_that_gave_up_leaves_a_dead_name() {
    both(|mut pair| {
        let call = Request::call(pair.service)
            .with(options::RECEIVE_TIMEOUT)
            .until(pair.sim.now() + 1_000_000_000);
        assert_eq!(pair.sim.on(pair.client).start_message(&call), None);
        pair.take();
        let notes = pair.sim.on(pair.server).port();
        let kept = pair.sim.on(pair.server).take_slot().unwrap();
        let armed = pair
            .sim
            .on(pair.server)
            .request(kept, notify::DEAD_NAME, 0, notes);
        assert_eq!(armed, Ok(Name::NULL));
        pair.sim.pass_time(2_000_000_000);
        assert_eq!(pair.answer().code, Code::ReceiveTimedOut);
        let mut server = pair.sim.on(pair.server);
        assert_eq!(server.kind(kept), Ok(port_type::DEAD_NAME));
        assert_eq!(server.poll(notes).id, notify::DEAD_NAME);
        let late = Request::send(kept).disposed(disposition::MOVE_SEND_ONCE);
        assert_eq!(
            server.message(&late).code,
            Code::SendInvalidDest,
            "a late reply goes nowhere"
        );
        assert_eq!(pair.call(), None, "the next call is a new one");
        pair.take();
        pair.sim.on(pair.server).message(&Request::reply().id(2));
        assert_eq!(pair.answer().id, 2);
    });
}

// covers: N-07
#[test]
fn a_reply_right_that_is_dropped_answers_the_caller() {
    both(|mut pair| {
        for way in 0..3 {
            assert_eq!(pair.call(), None);
            pair.take();
            let mut server = pair.sim.on(pair.server);
            match way {
                0 => {
                    let kept = server.take_slot().unwrap();
                    server.deallocate(kept).unwrap();
                }
                1 => {
                    let kept = server.take_slot().unwrap();
                    let queue = server.port();
                    let carried = Request::send(queue).port(kept, disposition::MOVE_SEND_ONCE);
                    server.message(&carried);
                    server.destroy(queue).unwrap();
                }
                _ => {
                    let kept = server.take_slot().unwrap();
                    server.mod_refs(kept, right::SEND_ONCE, -1).unwrap();
                }
            }
            assert_eq!(pair.answer().id, notify::SEND_ONCE, "way {way}");
        }
    });
}

// covers: N-07 M-06
#[test]
fn a_service_port_that_dies_answers_its_queued_callers() {
    both(|mut pair| {
        assert_eq!(pair.call(), None);
        pair.sim.on(pair.server).destroy(pair.port).unwrap();
        assert_eq!(pair.answer().id, notify::SEND_ONCE);
        assert_eq!(
            pair.sim.on(pair.client).kind(pair.service),
            Ok(port_type::DEAD_NAME)
        );
        let dead = pair.call().map(|reply| reply.code);
        assert_eq!(dead, Some(Code::SendInvalidDest));
    });
}

// covers: N-02 P-03
#[test]
fn the_server_learns_that_its_last_client_is_gone() {
    both(|mut pair| {
        let mut server = pair.sim.on(pair.server);
        let notes = server.port();
        server.deallocate(pair.port).unwrap();
        let made = server
            .attribute(pair.port, attribute::MAKE_SEND_COUNT)
            .unwrap();
        server
            .request(pair.port, notify::NO_SENDERS, made, notes)
            .unwrap();
        assert_eq!(server.attribute(pair.port, attribute::SEND_RIGHTS), Ok(1));
        pair.sim.on(pair.client).deallocate(pair.service).unwrap();
        assert_eq!(pair.sim.on(pair.server).poll(notes).id, notify::NO_SENDERS);
        let gone = pair.sim.on(pair.client).kind(pair.service);
        assert_eq!(gone, Err(KernReturn::InvalidName));
    });
}

// covers: M-31 P-38
#[test]
fn a_message_says_who_sent_it() {
    both(|mut pair| {
        pair.sim
            .on(pair.client)
            .message(&Request::send(pair.service));
        let one = pair.take().identity;
        let send = Request::send(pair.port);
        pair.sim.on(pair.server).message(&send);
        let two = pair.take().identity;
        assert_ne!(one, two, "two tasks, two tokens");
    });
}

// covers: M-09 P-30
#[test]
fn senders_wait_for_room_and_get_it_in_order() {
    both(|mut pair| {
        let (server, client) = (pair.server, pair.client);
        pair.sim
            .on(server)
            .set_attribute(pair.port, attribute::QUEUE_LIMIT, 1)
            .unwrap();
        let mut senders = vec![client];
        senders.extend([(); 3].map(|()| pair.sim.add_thread(client)));
        for (n, sender) in senders.iter().enumerate() {
            let sent = pair
                .sim
                .on(*sender)
                .start_message(&Request::send(pair.service).id(n as i32));
            assert_eq!(sent.is_some(), n == 0, "sender {n}");
        }
        assert_eq!(pair.take().id, 0);
        assert_eq!(pair.sim.on(senders[1]).finish_message().code, Code::Success);
        let waiting = |sim: &Sim| {
            senders[2..]
                .iter()
                .filter(|sender| !sim.is_in_user_mode(**sender))
                .count()
        };
        assert_eq!(waiting(&pair.sim), 2, "one place, one sender");
        pair.sim
            .on(server)
            .set_attribute(pair.port, attribute::QUEUE_LIMIT, 2)
            .unwrap();
        assert_eq!(pair.sim.on(senders[2]).finish_message().code, Code::Success);
        assert_eq!(waiting(&pair.sim), 1, "one place more, one sender more");
        for id in 1..=3 {
            assert_eq!(pair.take().id, id);
        }
        assert_eq!(pair.sim.on(senders[3]).finish_message().code, Code::Success);
    });
}

// covers: M-06 M-09
#[test]
fn a_waiting_sender_succeeds_when_its_destination_dies() {
    both(|mut pair| {
        let carried = pair.sim.on(pair.client).port();
        pair.sim
            .on(pair.server)
            .set_attribute(pair.port, attribute::QUEUE_LIMIT, 1)
            .unwrap();
        pair.sim
            .on(pair.client)
            .message(&Request::send(pair.service));
        let waits = Request::send(pair.service).replying(carried, disposition::MAKE_SEND_ONCE);
        assert_eq!(pair.sim.on(pair.client).start_message(&waits), None);
        pair.sim.on(pair.server).destroy(pair.port).unwrap();
        let mut client = pair.sim.on(pair.client);
        assert_eq!(client.finish_message().code, Code::Success);
        assert_eq!(
            client.poll(carried).id,
            notify::SEND_ONCE,
            "the message was destroyed"
        );
    });
}

// covers: P-36 M-25
#[test]
fn a_receiver_learns_that_its_port_went_away() {
    both(|mut pair| {
        for way in 0..4 {
            let server = pair.server;
            let helper = pair.sim.add_thread(server);
            let mut user = pair.sim.on(server);
            let (port, set) = (user.port(), user.allocate(right::PORT_SET).unwrap());
            let from = if way == 3 { set } else { port };
            assert_eq!(user.start_message(&Request::receive(from)), None);
            let mut helper = pair.sim.on(helper);
            match way {
                0 => helper.destroy(port).unwrap(),
                1 => helper.mod_refs(port, right::RECEIVE, -1).unwrap(),
                2 => {
                    let queue = helper.port();
                    helper.message(&Request::send(queue).port(port, disposition::MOVE_RECEIVE));
                }
                _ => helper.destroy(set).unwrap(),
            }
            let ended = pair.sim.on(server).finish_message();
            assert_eq!(ended.code, Code::ReceivePortChanged, "way {way}");
        }
    });
}

// covers: P-34 F-01
#[test]
fn a_message_finds_a_waiter_on_the_port_and_one_on_the_set() {
    both(|mut pair| {
        let direct = pair.sim.add_thread(pair.server);
        let set = pair.sim.on(pair.server).allocate(right::PORT_SET).unwrap();
        pair.sim
            .on(pair.server)
            .insert_member(pair.port, set)
            .unwrap();
        assert_eq!(
            pair.sim
                .on(pair.server)
                .start_message(&Request::receive(set)),
            None
        );
        assert_eq!(
            pair.sim
                .on(direct)
                .start_message(&Request::receive(pair.port)),
            None
        );
        let mut got = Vec::new();
        for id in 1..=2 {
            pair.sim
                .on(pair.client)
                .message(&Request::send(pair.service).id(id));
        }
        for thread in [direct, pair.server] {
            let reply = pair.sim.on(thread).finish_message();
            assert_eq!((reply.code, reply.local), (Code::Success, pair.port));
            got.push(reply.id);
        }
        got.sort();
        assert_eq!(got, [1, 2]);
    });
}

// covers: M-32
#[test]
fn a_wait_ends_at_its_deadline_and_not_before() {
    both(|mut pair| {
        let waits = Request::receive(pair.port)
            .with(options::RECEIVE_TIMEOUT)
            .until(pair.sim.now() + 5_000_000_000);
        assert_eq!(pair.sim.on(pair.server).start_message(&waits), None);
        pair.sim.pass_time(4_000_000_000);
        assert!(!pair.sim.is_in_user_mode(pair.server));
        pair.sim.pass_time(2_000_000_000);
        assert_eq!(
            pair.sim.on(pair.server).finish_message().code,
            Code::ReceiveTimedOut
        );
        let waits = waits.until(1 << 60);
        assert_eq!(pair.sim.on(pair.server).start_message(&waits), None);
        pair.sim
            .on(pair.client)
            .message(&Request::send(pair.service).id(3));
        assert_eq!(pair.sim.on(pair.server).finish_message().id, 3);
    });
}

// covers: M-25 M-26
#[test]
fn a_message_that_takes_its_own_port_away_finds_no_receiver() {
    both(|mut pair| {
        let waiting = pair.sim.add_thread(pair.server);
        let receive = Request::receive(pair.port);
        assert_eq!(pair.sim.on(waiting).start_message(&receive), None);
        let before = pair.sim.kernel.census();
        let request = Request::send(pair.port)
            .disposed(disposition::MAKE_SEND)
            .port(pair.port, disposition::MOVE_RECEIVE);
        assert_eq!(
            pair.sim.on(pair.server).message(&request).code,
            Code::Success
        );
        let told = pair.sim.on(waiting).finish_message();
        assert_eq!(told.code, Code::ReceivePortChanged);
        let after = pair.sim.kernel.census();
        assert_eq!(after.messages, before.messages, "the message was destroyed");
        assert_eq!(after.ports, before.ports - 1, "and the port with it");
    });
}

// covers: M-32
#[test]
fn a_call_that_does_not_wait_leaves_a_dead_reply_right_to_a_receiver_that_waited() {
    both(|mut pair| {
        let receive = Request::receive(pair.port);
        assert_eq!(pair.sim.on(pair.server).start_message(&receive), None);
        let call = Request::call(pair.service).until(0);
        let call = call.with(options::RECEIVE_TIMEOUT);
        let told = pair.sim.on(pair.client).message(&call);
        assert_eq!(told.code, Code::ReceiveTimedOut);
        let got = pair.sim.on(pair.server).finish_message();
        assert_eq!((got.code, got.kind), (Code::Success, ReplyKind::Dead));
        assert_eq!(got.reply, Name::DEAD);
    });
}

// covers: M-08 G-03
#[test]
fn a_call_whose_body_is_refused_leaves_nothing_for_the_next_one() {
    for path in [Path::Fast, Path::Slow] {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::default()
        });
        let first = sim.first();
        let mut me = sim.on(first);
        me.register_buffer();
        let own = Name(me.trap(trap::TASK_SELF, &[]).unwrap() as u32);
        let timer = Name(me.trap(trap::MK_TIMER_CREATE, &[]).unwrap() as u32);
        let plain = me.port();
        // So many that it takes steps to come to the one that is none.
        let mut names = [plain; 200];
        names[199] = Name::new(7000, 1);
        let names = me.poke_names(&names);
        let refused = [own, plain].map(|to| {
            let call = Request::call(to);
            [
                call.clone().port(timer, disposition::MOVE_RECEIVE),
                call.array(names, 200, disposition::COPY_SEND),
            ]
        });
        for call in refused.as_flattened() {
            assert_eq!(me.message(call).code, Code::SendInvalidRight);
            let answered = me.message(&Request::call(own).id(1));
            assert_eq!((answered.code, answered.id), (Code::Success, 101));
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}
