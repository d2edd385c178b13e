//! Send-possible notifications: a sender that does not wait is told when there is room.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::registers::options;
use abi::trap::attribute;
use sim::{Request, Sim, User};

/// A port whose queue holds one message and is full, and one for notifications.
fn full(me: &mut User<'_>) -> (Name, Name) {
    let (port, notes) = (me.port(), me.port());
    let limit = me.set_attribute(port, attribute::QUEUE_LIMIT, 1);
    assert_eq!(limit, Ok(()));
    assert_eq!(
        me.message(&Request::send(port)).code,
        MessageReturn::Success
    );
    (port, notes)
}

/// A send that does not wait, and asks to be told of room.
fn send_or_arm(me: &mut User<'_>, port: Name) -> MessageReturn {
    let options = options::SEND_TIMEOUT | options::SEND_NOTIFY;
    me.message(&Request::send(port).with(options)).code
}

fn none(me: &mut User<'_>, notes: Name) {
    assert_eq!(me.poll(notes).code, MessageReturn::ReceiveTimedOut);
}

fn one(me: &mut User<'_>, notes: Name) -> (i32, u64) {
    let note = me.poll(notes);
    assert_eq!(note.code, MessageReturn::Success, "no notification came");
    none(me, notes);
    (note.id, note.words[0])
}

// covers: N-06 P-02
#[test]
fn a_send_that_found_no_room_is_told_when_there_is_some() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = full(&mut me);
    me.request(port, notify::SEND_POSSIBLE, 0, notes).unwrap();
    let bits = port_type::SEND | port_type::RECEIVE | port_type::SEND_POSSIBLE_REQUEST;
    assert_eq!(me.kind(port), Ok(bits));

    // Not armed: room alone says nothing.
    me.poll(port);
    me.message(&Request::send(port));
    none(&mut me, notes);

    assert_eq!(send_or_arm(&mut me, port), MessageReturn::SendTimedOut);
    none(&mut me, notes);
    let references = me.refs(port, right::SEND);
    me.poll(port);
    let expected = (notify::SEND_POSSIBLE, port.0.into());
    assert_eq!(one(&mut me, notes), expected);
    assert_eq!(me.refs(port, right::SEND), references, "it carries none");
    assert_eq!(me.kind(port), Ok(port_type::SEND | port_type::RECEIVE));

    // It fires once.
    assert_eq!(send_or_arm(&mut me, port), MessageReturn::Success);
    assert_eq!(send_or_arm(&mut me, port), MessageReturn::SendTimedOut);
    me.poll(port);
    none(&mut me, notes);
    assert_eq!(me.attribute(notes, attribute::SEND_ONCE_RIGHTS), Ok(0));
}

// covers: N-06
#[test]
fn room_that_a_blocked_sender_takes_is_no_room() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let other = sim.add_thread(first);
    let (port, notes) = full(&mut sim.on(first));
    sim.on(first)
        .request(port, notify::SEND_POSSIBLE, 0, notes)
        .unwrap();
    assert_eq!(
        send_or_arm(&mut sim.on(first), port),
        MessageReturn::SendTimedOut
    );
    assert_eq!(
        sim.on(other).start_message(&Request::send(port).id(9)),
        None
    );
    sim.on(first).poll(port);
    assert_eq!(sim.on(other).finish_message().code, MessageReturn::Success);
    none(&mut sim.on(first), notes);
    assert_eq!(sim.on(first).poll(port).id, 9);
    assert_eq!(one(&mut sim.on(first), notes).0, notify::SEND_POSSIBLE);
}

// covers: N-06
#[test]
fn everybody_who_asked_is_told_of_the_same_room() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let (port, _) = full(&mut sim.on(first));
    let mut others = Vec::new();
    for _ in 0..3 {
        let other = sim.add_task();
        let send = sim.give(first, port, disposition::COPY_SEND, other);
        let notes = sim.on(other).port();
        let mut user = sim.on(other);
        user.request(send, notify::SEND_POSSIBLE, 0, notes).unwrap();
        assert_eq!(send_or_arm(&mut user, send), MessageReturn::SendTimedOut);
        others.push((other, send, notes));
    }
    sim.on(first)
        .set_attribute(port, attribute::QUEUE_LIMIT, 2)
        .unwrap();
    for (other, send, notes) in others {
        let expected = (notify::SEND_POSSIBLE, send.0.into());
        assert_eq!(one(&mut sim.on(other), notes), expected);
    }
}

// covers: N-06
#[test]
fn a_request_for_now_fires_now_where_there_is_room() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    me.request(port, notify::SEND_POSSIBLE, 1, notes).unwrap();
    let expected = (notify::SEND_POSSIBLE, port.0.into());
    assert_eq!(one(&mut me, notes), expected);
    assert_eq!(me.kind(port), Ok(port_type::SEND | port_type::RECEIVE));
    // A port of the kernel has room always.
    let task = Name(me.trap(abi::trap::TASK_SELF, &[]).unwrap() as u32);
    me.request(task, notify::SEND_POSSIBLE, 1, notes).unwrap();
    assert_eq!(one(&mut me, notes), (notify::SEND_POSSIBLE, task.0.into()));
    // In a full queue it is armed at once.
    let (port, notes) = full(&mut me);
    me.request(port, notify::SEND_POSSIBLE, 1, notes).unwrap();
    none(&mut me, notes);
    me.poll(port);
    assert_eq!(one(&mut me, notes), (notify::SEND_POSSIBLE, port.0.into()));
}

// covers: N-06
#[test]
fn a_send_once_right_is_never_without_room() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let (port, notes) = full(&mut me);
    let carry = me.port();
    me.message(&Request::send(carry).port(port, disposition::MAKE_SEND_ONCE));
    let once = Name(me.poll(carry).right().name);
    me.request(once, notify::SEND_POSSIBLE, 1, notes).unwrap();
    assert_eq!(one(&mut me, notes), (notify::SEND_POSSIBLE, once.0.into()));
}

// covers: N-06 N-03
#[test]
fn a_port_that_dies_answers_as_a_dead_name() {
    for armed in [false, true] {
        let (mut sim, first) = Sim::single();
        let mut me = sim.on(first);
        let (port, notes) = full(&mut me);
        me.request(port, notify::SEND_POSSIBLE, 0, notes).unwrap();
        if armed {
            assert_eq!(send_or_arm(&mut me, port), MessageReturn::SendTimedOut);
        }
        let references = me.refs(port, right::SEND).unwrap();
        me.mod_refs(port, right::RECEIVE, -1).unwrap();
        let expected = (notify::DEAD_NAME, port.0.into());
        assert_eq!(one(&mut me, notes), expected, "armed: {armed}");
        assert_eq!(me.refs(port, right::DEAD_NAME), Ok(references + 1));
        let late = me.request(port, notify::SEND_POSSIBLE, 0, notes);
        assert_eq!(late, Err(KernReturn::InvalidArgument));
    }
}

// covers: N-06 N-04
#[test]
fn a_name_has_one_request_and_it_ends_with_the_name() {
    for armed in [false, true] {
        let (mut sim, first) = Sim::single();
        let mut me = sim.on(first);
        let (port, notes) = full(&mut me);
        me.request(port, notify::SEND_POSSIBLE, 0, notes).unwrap();
        if armed {
            assert_eq!(send_or_arm(&mut me, port), MessageReturn::SendTimedOut);
        }
        let once = me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
        assert_eq!(
            me.kind(once),
            Ok(port_type::SEND_ONCE),
            "the old right is back"
        );
        let once = me.request(port, notify::SEND_POSSIBLE, 0, notes).unwrap();
        assert_eq!(me.kind(once), Ok(port_type::SEND_ONCE));
        let once = me
            .request(port, notify::SEND_POSSIBLE, 0, Name::NULL)
            .unwrap();
        assert_eq!(me.kind(once), Ok(port_type::SEND_ONCE));
        assert_eq!(send_or_arm(&mut me, port), MessageReturn::SendTimedOut);
        me.poll(port);
        none(&mut me, notes);
        me.request(port, notify::SEND_POSSIBLE, u64::from(armed), notes)
            .unwrap();
        if armed {
            one(&mut me, notes);
        } else {
            me.destroy(port).unwrap();
            assert_eq!(one(&mut me, notes), (notify::PORT_DELETED, port.0.into()));
        }
    }
}
