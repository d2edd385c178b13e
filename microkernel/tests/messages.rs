//! Messages that one thread sends to itself: dispositions, what failures consume, rights that travel.

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::registers::{ReplyKind, options};
use abi::transport::REPLY_OFFSET;
use abi::trap::attribute;
use sim::{Path, Request, Sim, User};

fn pass(me: &mut User<'_>, name: Name, how: u8) -> Name {
    let port = me.port();
    me.message(&Request::send(port).port(name, how));
    let right = me.poll(port).right();
    assert_eq!(me.destroy(port), Ok(()));
    Name(right.name)
}

// covers: M-14 M-31
#[test]
fn a_port_gives_its_messages_in_the_order_in_which_they_came() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    for id in 1..=5 {
        let n = id as u64;
        let sent = me.message(
            &Request::send(port)
                .id(id)
                .words([n, n + 1, n + 2, 0, !0, n << 60]),
        );
        assert_eq!(sent.code, Code::Success);
    }
    for id in 1..=5 {
        let n = id as u64;
        let got = me.poll(port);
        assert_eq!((got.code, got.id, got.local), (Code::Success, id, port));
        assert_eq!(got.words, [n, n + 1, n + 2, 0, !0, n << 60]);
        assert_eq!((got.kind, got.reply), (ReplyKind::None, Name::NULL));
    }
}

// covers: M-02
#[test]
fn dispositions_that_make_no_header_change_nothing() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let bad = [
        Request::send(port).disposed(disposition::NONE),
        Request::send(port).disposed(disposition::MOVE_RECEIVE),
        Request::send(port).disposed(22),
        Request::send(port).replying(port, disposition::MOVE_RECEIVE),
        Request::send(port).replying(port, 31),
        Request::send(port).replying(port, disposition::NONE),
        // The dispositions are judged before the names.
        Request::send(Name(0x77)).replying(port, 31),
        Request::send(Name(0x77)).replying(port, disposition::NONE),
        Request::send(Name::NULL).replying(Name(0x78), disposition::MOVE_RECEIVE),
    ];
    for request in bad {
        assert_eq!(
            me.message(&request).code,
            Code::SendInvalidHeader,
            "{request:?}"
        );
    }
    assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(0));
    assert_eq!(me.refs(port, right::SEND), Ok(1));
}

// covers: M-03
#[test]
fn a_disposition_needs_the_right_that_it_takes() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let receive = me.allocate(right::RECEIVE).unwrap();
    for how in [
        disposition::MOVE_SEND,
        disposition::COPY_SEND,
        disposition::MOVE_SEND_ONCE,
    ] {
        let sent = me.message(&Request::send(receive).disposed(how));
        assert_eq!(sent.code, Code::SendInvalidDest, "{how} of a receive right");
    }
    for (how, made) in [
        (disposition::MAKE_SEND, 1),
        (disposition::MAKE_SEND_ONCE, 1),
    ] {
        assert_eq!(
            me.message(&Request::send(receive).disposed(how)).code,
            Code::Success
        );
        assert_eq!(me.attribute(receive, attribute::MAKE_SEND_COUNT), Ok(made));
    }
    let once = pass(&mut me, receive, disposition::MAKE_SEND_ONCE);
    for how in [
        disposition::MOVE_SEND,
        disposition::COPY_SEND,
        disposition::MAKE_SEND,
    ] {
        let sent = me.message(&Request::send(once).disposed(how));
        assert_eq!(
            sent.code,
            Code::SendInvalidDest,
            "{how} of a send-once right"
        );
    }
    let used = Request::send(once).disposed(disposition::MOVE_SEND_ONCE);
    assert_eq!(me.message(&used).code, Code::Success);
    assert_eq!(
        me.message(&used).code,
        Code::SendInvalidDest,
        "once is once"
    );
}

// covers: M-04 M-06 M-07
#[test]
fn a_bad_header_leaves_every_right_where_it_was() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, reply) = (me.port(), me.port());
    let once = pass(&mut me, reply, disposition::MAKE_SEND_ONCE);
    let stale = Name::new(port.index(), port.generation().wrapping_add(1));
    let bad_destination = Request::send(stale).replying(once, disposition::MOVE_SEND_ONCE);
    assert_eq!(me.message(&bad_destination).code, Code::SendInvalidDest);
    assert_eq!(
        me.refs(once, right::SEND_ONCE),
        Ok(1),
        "the reply right is still here"
    );
    for how in [disposition::MOVE_SEND, disposition::MAKE_SEND] {
        let bad_reply = Request::send(port)
            .disposed(how)
            .replying(once, disposition::COPY_SEND);
        assert_eq!(me.message(&bad_reply).code, Code::SendInvalidReply);
        assert_eq!(me.refs(port, right::SEND), Ok(1));
        assert_eq!(me.attribute(port, attribute::MAKE_SEND_COUNT), Ok(1));
    }
    for name in [Name::NULL, Name::DEAD] {
        assert_eq!(me.message(&Request::send(name)).code, Code::SendInvalidDest);
    }
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(me.message(&Request::send(dead)).code, Code::SendInvalidDest);
    let with_dead = Request::send(port).replying(dead, disposition::MOVE_SEND_ONCE);
    assert_eq!(me.message(&with_dead).code, Code::Success);
    let got = me.poll(port);
    assert_eq!((got.kind, got.reply), (ReplyKind::Dead, Name::DEAD));
    assert_eq!(me.kind(dead), Err(KernReturn::InvalidName), "it was moved");
}

// covers: M-02 M-07
#[test]
fn a_null_reply_name_is_no_reply_whatever_its_disposition() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let usual = [
        disposition::MOVE_SEND,
        disposition::MOVE_SEND_ONCE,
        disposition::COPY_SEND,
        disposition::MAKE_SEND,
    ];
    for how in usual {
        for remote in [disposition::COPY_SEND, disposition::MAKE_SEND] {
            let request = Request::send(port).disposed(remote);
            let sent = me.message(&request.replying(Name::NULL, how));
            assert_eq!(sent.code, Code::Success);
            let got = me.poll(port);
            assert_eq!((got.kind, got.reply), (ReplyKind::None, Name::NULL));
        }
    }
    // That of the own reply object goes with a receive from there only.
    let own = Request::send(port).replying(Name::NULL, disposition::MAKE_SEND_ONCE);
    assert_eq!(me.message(&own).code, Code::SendInvalidReply);
    for how in [
        disposition::MOVE_RECEIVE,
        disposition::MAKE_SEND_ONCE + 1,
        1,
    ] {
        let bad = Request::send(port).replying(Name::NULL, how);
        assert_eq!(me.message(&bad).code, Code::SendInvalidHeader);
    }
    assert_eq!(me.refs(port, right::SEND), Ok(1));
}

// covers: M-05
#[test]
fn destination_and_reply_under_one_name() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let once = pass(&mut me, port, disposition::MAKE_SEND_ONCE);
    let twice = Request::send(once)
        .disposed(disposition::MOVE_SEND_ONCE)
        .replying(once, disposition::MOVE_SEND_ONCE);
    assert_eq!(me.message(&twice).code, Code::SendInvalidDest);
    assert_eq!(me.refs(once, right::SEND_ONCE), Ok(1));
    let both = Request::send(port)
        .disposed(disposition::MOVE_SEND)
        .replying(port, disposition::MOVE_SEND);
    let refused = me.message(&both).code;
    assert_eq!(refused, Code::SendInvalidDest, "one is not enough");
    assert_eq!(me.refs(port, right::SEND), Ok(1));
    me.mod_refs(port, right::SEND, 1).unwrap();
    assert_eq!(me.message(&both).code, Code::Success);
    assert_eq!(
        me.kind(port),
        Ok(port_type::RECEIVE),
        "both references are on their way"
    );
    let got = me.poll(port);
    assert_eq!((got.kind, got.reply), (ReplyKind::Send, port));
    assert_eq!(me.refs(port, right::SEND), Ok(1));
}

// covers: M-08 N-07 F-06
#[test]
fn a_bad_body_uses_the_header_up() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, reply, moved) = (me.port(), me.port(), me.port());
    let once = pass(&mut me, reply, disposition::MAKE_SEND_ONCE);
    let request = Request::send(port)
        .disposed(disposition::MOVE_SEND)
        .replying(once, disposition::MOVE_SEND_ONCE)
        .port(moved, disposition::MOVE_SEND)
        .port(Name(0x7f_0001), disposition::COPY_SEND);
    assert_eq!(me.message(&request).code, Code::SendInvalidRight);
    assert_eq!(
        me.kind(port),
        Ok(port_type::RECEIVE),
        "the destination's right is gone"
    );
    assert_eq!(me.kind(once), Err(KernReturn::InvalidName));
    assert_eq!(
        me.kind(moved),
        Ok(port_type::RECEIVE),
        "so is what was taken from the body"
    );
    assert_eq!(me.poll(reply).id, notify::SEND_ONCE);
    for name in [port, moved] {
        assert_eq!(me.attribute(name, attribute::SEND_RIGHTS), Ok(0));
    }
    assert_eq!(me.attribute(reply, attribute::SEND_ONCE_RIGHTS), Ok(0));
}

// covers: M-09
#[test]
fn a_full_queue_refuses_who_will_not_wait() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    for _ in 0..5 {
        assert_eq!(me.message(&Request::send(port)).code, Code::Success);
    }
    let sixth = Request::send(port).with(options::SEND_TIMEOUT);
    assert_eq!(me.message(&sixth).code, Code::SendTimedOut);
    assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(5));
    me.poll(port);
    assert_eq!(me.message(&sixth).code, Code::Success);
}

/// Threads that each wait for room at a full port, and then receive where the next one waits for it: as many as would
/// overflow a stack that took each one's turn within that of the one before.
const CHAIN: usize = 1000;

// covers: M-09
#[test]
fn a_chain_of_senders_that_wait_goes_on_one_by_one() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let ports: Vec<_> = (0..=CHAIN).map(|_| me.port()).collect();
    for port in &ports {
        let limit = me.set_attribute(*port, attribute::QUEUE_LIMIT, 1);
        assert_eq!(limit, Ok(()));
        assert_eq!(me.message(&Request::send(*port)).code, Code::Success);
    }
    let mut threads = Vec::new();
    for pair in ports.windows(2) {
        let thread = sim.add_thread_without_buffer(first);
        let request = Request::send(pair[0]).id(7).then_receive(pair[1]);
        assert_eq!(sim.on(thread).start_message(&request), None);
        threads.push(thread);
    }
    assert_eq!(sim.on(first).poll(ports[0]).code, Code::Success);
    for thread in threads {
        assert_eq!(sim.on(thread).finish_message().code, Code::Success);
    }
    for port in &ports[..CHAIN] {
        assert_eq!(sim.on(first).poll(*port).id, 7);
    }
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: M-21
#[test]
fn every_right_travels_in_a_message_and_arrives_as_moved() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (queue, port) = (me.port(), me.port());
    let request = Request::send(queue)
        .port(port, disposition::COPY_SEND)
        .port(port, disposition::MAKE_SEND_ONCE)
        .port(Name::NULL, disposition::COPY_SEND)
        .port(Name::DEAD, disposition::MOVE_SEND)
        .port(port, disposition::MOVE_RECEIVE)
        .data(b"inline");
    assert_eq!(me.message(&request).code, Code::Success);
    assert_eq!(me.kind(port), Ok(port_type::SEND));
    let got = me.poll(queue);
    assert_eq!(got.code, Code::Success);
    let body = got.body.unwrap();
    assert_eq!(body.data, b"inline");
    let arrived: Vec<_> = body
        .descriptors
        .iter()
        .map(|d| (d.disposition, Name(d.name)))
        .collect();
    let once = arrived[1].1;
    assert_eq!(arrived[0], (disposition::MOVE_SEND, port));
    assert_eq!(arrived[1], (disposition::MOVE_SEND_ONCE, once));
    assert_eq!((arrived[2].1, arrived[3].1), (Name::NULL, Name::DEAD));
    assert_eq!(arrived[4], (disposition::MOVE_RECEIVE, port));
    assert_eq!(me.kind(port), Ok(port_type::SEND | port_type::RECEIVE));
    assert_eq!(me.refs(port, right::SEND), Ok(2));
    assert_eq!(me.kind(once), Ok(port_type::SEND_ONCE));
}

// covers: M-22
#[test]
fn a_right_that_died_on_the_way_arrives_dead() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (queue, port) = (me.port(), me.port());
    let request = Request::send(queue)
        .port(port, disposition::COPY_SEND)
        .replying(port, disposition::MAKE_SEND_ONCE);
    me.message(&request);
    me.destroy(port).unwrap();
    let got = me.poll(queue);
    assert_eq!(Name(got.right().name), Name::DEAD);
    assert_eq!((got.kind, got.reply), (ReplyKind::Dead, Name::DEAD));
}

// covers: M-25
#[test]
fn a_receive_right_takes_its_queue_along() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (queue, port) = (me.port(), me.port());
    me.message(&Request::send(port).id(1));
    me.message(&Request::send(queue).port(port, disposition::MOVE_RECEIVE));
    assert_eq!(me.poll(port).code, Code::ReceiveInvalidName);
    let sent = me.message(&Request::send(port).id(2));
    assert_eq!(
        sent.code,
        Code::Success,
        "senders go on while the right travels"
    );
    assert_eq!(Name(me.poll(queue).right().name), port);
    assert_eq!((me.poll(port).id, me.poll(port).id), (1, 2));
}

// covers: M-26
#[test]
fn a_receive_right_is_not_sent_to_itself() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
    let own = Request::send(port).port(port, disposition::MOVE_RECEIVE);
    assert_eq!(me.message(&own).code, Code::Success);
    assert_eq!(
        me.kind(port),
        Ok(port_type::DEAD_NAME),
        "message and port are destroyed"
    );
    assert_eq!(me.poll(notes).id, notify::DEAD_NAME);
    let (a, b) = (me.port(), me.port());
    me.message(&Request::send(a).port(b, disposition::MOVE_RECEIVE));
    let round = Request::send(b).port(a, disposition::MOVE_RECEIVE);
    assert_eq!(me.message(&round).code, Code::Success);
    assert_eq!(me.kind(a), Ok(port_type::DEAD_NAME));
    assert_eq!(me.kind(b), Ok(port_type::DEAD_NAME));
}

// covers: M-26 M-25
#[test]
fn a_receive_right_that_arrived_is_on_its_way_no_longer() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (a, b) = (me.port(), me.port());
    me.message(&Request::send(a).port(b, disposition::MOVE_RECEIVE));
    assert_eq!(Name(me.poll(a).right().name), b);
    let sent = me.message(&Request::send(b).port(a, disposition::MOVE_RECEIVE));
    assert_eq!(sent.code, Code::Success);
    assert_eq!(Name(me.poll(b).right().name), a);
    assert_eq!(me.kind(a), Ok(port_type::SEND | port_type::RECEIVE));
}

// covers: M-26 N-05
#[test]
fn a_port_is_not_mailed_into_its_own_queue() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, supervisor) = (me.port(), me.port());
    me.request(port, notify::PORT_DESTROYED, 0, supervisor)
        .unwrap();
    me.message(&Request::send(port).port(supervisor, disposition::MOVE_RECEIVE));
    me.mod_refs(port, right::RECEIVE, -1).unwrap();
    assert_eq!(me.kind(port), Ok(port_type::DEAD_NAME));
    assert_eq!(me.kind(supervisor), Ok(port_type::DEAD_NAME));
    // The same by a message that would close the circle later.
    let (port, supervisor) = (me.port(), me.port());
    me.request(port, notify::PORT_DESTROYED, 0, supervisor)
        .unwrap();
    me.mod_refs(port, right::RECEIVE, -1).unwrap();
    me.message(&Request::send(port).port(supervisor, disposition::MOVE_RECEIVE));
    assert_eq!(me.kind(supervisor), Ok(port_type::DEAD_NAME));
    assert_eq!(me.kind(port), Ok(port_type::DEAD_NAME));
}

// covers: M-27 F-07
#[test]
fn a_deep_nest_of_receive_rights_is_taken_apart() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let notes = me.port();
    let mut inner = me.port();
    let deepest = Request::send(inner).port(notes, disposition::MAKE_SEND_ONCE);
    assert_eq!(me.message(&deepest).code, Code::Success);
    for _ in 0..200 {
        let outer = me.port();
        let sent = me.message(&Request::send(outer).port(inner, disposition::MOVE_RECEIVE));
        assert_eq!(sent.code, Code::Success);
        me.deallocate(inner).unwrap();
        inner = outer;
    }
    assert_eq!(me.poll(notes).code, Code::ReceiveTimedOut);
    me.destroy(inner).unwrap();
    assert_eq!(
        me.poll(notes).id,
        notify::SEND_ONCE,
        "the innermost message is gone too"
    );
}

// covers: M-30
#[test]
fn a_null_receive_name_is_the_own_reply_object_of_a_call_and_nothing_else() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, reply) = (me.port(), me.port());
    let with_reply = Request::send(port).replying(reply, disposition::MAKE_SEND_ONCE);
    for request in [Request::send(port), with_reply, Request::default()] {
        let request = request.with(options::RECEIVE | options::RECEIVE_TIMEOUT);
        assert_eq!(me.message(&request).code, Code::ReceiveInvalidName);
    }
    assert_eq!(
        me.attribute(port, attribute::MESSAGE_COUNT),
        Ok(2),
        "they were sent"
    );
}

// covers: M-30 M-32
#[test]
fn receiving_needs_a_receive_right_and_polls_when_told_to() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let once = pass(&mut me, port, disposition::MAKE_SEND_ONCE);
    for name in [once, Name::DEAD, Name(0x7f_0001)] {
        assert_eq!(me.poll(name).code, Code::ReceiveInvalidName, "{name:x?}");
    }
    assert_eq!(me.poll(port).code, Code::ReceiveTimedOut);
    let failed = Request::send(Name(0x7f_0001)).then_receive(port);
    assert_eq!(
        me.message(&failed).code,
        Code::SendInvalidDest,
        "and no receive"
    );
    let sent = Request::send(port).id(9).then_receive(Name(0x7f_0001));
    assert_eq!(me.message(&sent).code, Code::ReceiveInvalidName);
    assert_eq!(me.poll(port).id, 9, "a bad receive does not stop the send");
    let both = Request::send(port).id(10).then_receive(port);
    assert_eq!(me.message(&both).id, 10);
}

// covers: M-33
#[test]
fn a_message_that_is_too_large_stays_or_goes_as_asked() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let mut me = sim.on(first);
    let port = me.port();
    me.register_buffer();
    me.message(&Request::send(port).data(b"some bytes").id(4));
    me.message(&Request::send(port).id(5));
    let none = me.trap(abi::trap::MESSAGE_BUFFER, &[0, 0]);
    assert_eq!(none, Ok(0), "the buffer is given up");
    let kept = me.message(&Request::poll(port).with(options::RECEIVE_LARGE));
    assert_eq!(kept.code, Code::ReceiveTooLarge);
    assert_eq!(kept.shape.size(), 10, "what it would take");
    assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(2));
    assert_eq!(me.poll(port).code, Code::ReceiveTooLarge);
    assert_eq!(me.poll(port).id, 5, "the large one is gone");
}

// covers: M-33
#[test]
fn an_answer_that_is_looked_at_ends_with_its_call() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let task = me
        .trap(abi::trap::TASK_SELF, &[])
        .map(|name| Name(name as u32));
    let call = |id| Request::call(task.unwrap()).id(id);
    let looked = me.message(&call(1).with(options::PEEK));
    let seen = (looked.code, looked.id, looked.local);
    assert_eq!(seen, (Code::Success, 1 + REPLY_OFFSET, Name::NULL));
    for id in 2..5 {
        assert_eq!(
            me.message(&call(id)).id,
            id + REPLY_OFFSET,
            "its own answer"
        );
    }
}

// covers: M-33
#[test]
fn an_answer_that_is_too_large_ends_with_its_call() {
    for path in [Path::Fast, Path::Slow] {
        let mut sim = Sim::boot(sim::Config {
            path,
            ..sim::Config::default()
        });
        let first = sim.first();
        let server = sim.add_thread(first);
        sim.on(server).register_buffer();
        let port = sim.on(first).port();
        let call = |id| Request::call(port).id(id);
        let large = call(1).with(options::RECEIVE_LARGE);
        assert!(sim.on(first).start_message(&large).is_none());
        assert_eq!(sim.on(server).poll(port).id, 1);
        let answer = Request::reply().data(b"many words");
        assert_eq!(sim.on(server).message(&answer).code, Code::Success);
        let large = sim.on(first).finish_message();
        assert_eq!(large.code, Code::ReceiveTooLarge);
        assert_eq!(large.shape.size(), 10, "what it would have taken");
        for id in 2..5 {
            assert!(sim.on(first).start_message(&call(id)).is_none());
            assert_eq!(sim.on(server).poll(port).id, id);
            let answer = Request::reply().id(100 + id);
            assert_eq!(sim.on(server).message(&answer).code, Code::Success);
            assert_eq!(sim.on(first).finish_message().id, 100 + id);
        }
    }
}

// covers: F-06
#[test]
fn what_a_task_did_leaves_nothing_behind() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let queue = me.port();
    let mut pages = Vec::new();
    for _ in 0..3 {
        for n in 0..20 {
            let port = me.port();
            me.request(port, notify::DEAD_NAME, 0, queue).unwrap();
            me.message(
                &Request::send(port)
                    .port(port, disposition::MAKE_SEND_ONCE)
                    .data(&[n; 60]),
            );
            me.destroy(port).unwrap();
            me.poll(queue);
        }
        pages.push(me.pages_in_use());
    }
    assert_eq!(pages[1], pages[2], "memory grows with use: {pages:?}");
}

// covers: V-12
#[test]
fn a_message_buffer_that_is_refused_leaves_the_old_one_in_its_place() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    me.register_buffer();
    let place = sim::user::buffer_address(first);
    let refused = [
        [0x7000_0000_0000, 2 * abi::PAGE_SIZE],
        [place + 8, 2 * abi::PAGE_SIZE],
        [place, 0x100],
    ];
    for (id, arguments) in refused.into_iter().enumerate() {
        assert!(me.trap(abi::trap::MESSAGE_BUFFER, &arguments).is_err());
        let sent = me.message(&Request::send(port).data(b"some bytes").id(id as i32));
        assert_eq!(sent.code, Code::Success);
        let got = me.poll(port);
        assert_eq!((got.id, got.shape.size()), (id as i32, 10));
    }
    // The same once more is no error.
    me.register_buffer();
    let none = me.trap(abi::trap::MESSAGE_BUFFER, &[0, 0]);
    assert_eq!(none, Ok(0));
    let sent = me.message(&Request::send(port).data(b"some bytes"));
    assert_ne!(sent.code, Code::Success);
}
