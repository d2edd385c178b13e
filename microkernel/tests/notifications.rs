//! Notifications: when each fires, what it carries, and what never gets lost.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::trap::attribute;
use sim::{Reply, Request, Sim, User};

/// Sends a right to oneself and receives it; answers the name under which it came.
fn pass(me: &mut User<'_>, name: Name, how: u8) -> Name {
    let port = me.port();
    me.message(&Request::send(port).port(name, how));
    let right = me.poll(port).right();
    assert_eq!(me.destroy(port), Ok(()));
    Name(right.name)
}

/// A port for notifications.
fn notes(me: &mut User<'_>) -> Name {
    match me.allocate(right::RECEIVE) {
        Ok(name) => name,
        Err(code) => panic!("no port: {code:?}"),
    }
}

/// The one notification that is there.
fn only(me: &mut User<'_>, notes: Name) -> Reply {
    let first = me.poll(notes);
    assert_eq!(first.code, MessageReturn::Success, "no notification came");
    none(me, notes);
    first
}

fn none(me: &mut User<'_>, notes: Name) {
    assert_eq!(
        me.poll(notes).code,
        MessageReturn::ReceiveTimedOut,
        "a notification too many"
    );
}

// covers: N-01
#[test]
fn a_request_that_makes_no_sense_is_refused_and_arms_nothing() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), notes(&mut me));
    for id in [0, 0o100, 0o103, 0o107, -1, i32::MAX] {
        assert_eq!(
            me.request(port, id, 0, notes),
            Err(K::InvalidValue),
            "id {id:o}"
        );
    }
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    let to_dead = me.request(port, notify::DEAD_NAME, 0, dead);
    assert_eq!(to_dead, Err(K::InvalidCapability));
    let stale = me.request(Name(0x7fff_0001), notify::DEAD_NAME, 0, notes);
    assert_eq!(stale, Err(K::InvalidName));
    let set = me.allocate(right::PORT_SET).unwrap();
    assert_eq!(
        me.request(set, notify::DEAD_NAME, 0, notes),
        Err(K::InvalidRight)
    );
    assert_eq!(
        me.request(set, notify::NO_SENDERS, 0, notes),
        Err(K::InvalidRight)
    );
    assert_eq!(
        me.request(dead, notify::PORT_DESTROYED, 0, notes),
        Err(K::InvalidRight)
    );
    assert_eq!(
        me.request(port, notify::PORT_DESTROYED, 1, notes),
        Err(K::InvalidValue)
    );
    assert_eq!(me.attribute(notes, attribute::SEND_ONCE_RIGHTS), Ok(0));
}

// covers: N-02
#[test]
fn no_senders_fires_once_with_the_last_send_right() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), notes(&mut me));
    me.mod_refs(port, right::SEND, 2).unwrap();
    assert_eq!(
        me.request(port, notify::NO_SENDERS, 0, notes),
        Ok(Name::NULL)
    );
    me.mod_refs(port, right::SEND, -2).unwrap();
    none(&mut me, notes);
    me.deallocate(port).unwrap();
    let note = only(&mut me, notes);
    assert_eq!(
        (note.id, note.words[0]),
        (notify::NO_SENDERS, 1),
        "id and make-send count"
    );
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    me.deallocate(port).unwrap();
    none(&mut me, notes);
}

// covers: N-02
#[test]
fn no_senders_fires_at_once_when_there_are_none() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), notes(&mut me));
    me.deallocate(port).unwrap();
    assert_eq!(
        me.request(port, notify::NO_SENDERS, 1, notes),
        Ok(Name::NULL)
    );
    assert_eq!(only(&mut me, notes).words[0], 1);
    assert_eq!(
        me.attribute(notes, attribute::SEND_ONCE_RIGHTS),
        Ok(0),
        "nothing stays armed"
    );
    // The server has not yet seen the client's second right being made: it is told only after that.
    assert_eq!(
        me.request(port, notify::NO_SENDERS, 2, notes),
        Ok(Name::NULL)
    );
    none(&mut me, notes);
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    me.deallocate(port).unwrap();
    assert_eq!(only(&mut me, notes).words[0], 2);
}

// covers: N-02
#[test]
fn a_send_right_in_a_message_is_a_sender() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes, queue) = (me.port(), notes(&mut me), me.port());
    me.request(port, notify::NO_SENDERS, 0, notes).unwrap();
    me.message(&Request::send(queue).port(port, disposition::MOVE_SEND));
    assert_eq!(me.kind(port), Ok(port_type::RECEIVE));
    none(&mut me, notes);
    me.destroy(queue).unwrap();
    assert_eq!(
        only(&mut me, notes).id,
        notify::NO_SENDERS,
        "with the message the right went"
    );
    // A message that is sent with the last send right keeps it until it is received.
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    me.request(port, notify::NO_SENDERS, 0, notes).unwrap();
    me.message(&Request::send(port).disposed(disposition::MOVE_SEND));
    none(&mut me, notes);
    me.poll(port);
    assert_eq!(only(&mut me, notes).id, notify::NO_SENDERS);
}

/// The port has no receiver any more when its send rights end, so that nobody gets the notification.
// covers: N-02 P-18 P-36
#[test]
fn a_port_that_tells_itself_of_no_senders_dies_untold() {
    let (mut sim, first) = Sim::single();
    let waiter = sim.add_thread(first);
    let mut me = sim.on(first);
    let port = me.port();
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    me.request(port, notify::NO_SENDERS, 0, port).unwrap();
    let waits = Request::receive(port);
    assert_eq!(sim.on(waiter).start_message(&waits), None);
    assert_eq!(sim.on(first).destruct(port, -1), Ok(()));
    let reply = sim.on(waiter).finish_message();
    assert_eq!(reply.code, MessageReturn::ReceivePortChanged);
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: N-02 N-01
#[test]
fn arming_again_gives_the_right_that_was_armed_before() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, a, b) = (me.port(), notes(&mut me), notes(&mut me));
    for id in [notify::NO_SENDERS, notify::DEAD_NAME] {
        assert_eq!(me.request(port, id, 0, a), Ok(Name::NULL));
        let old = me.request(port, id, 0, b).unwrap();
        assert_eq!(me.kind(old), Ok(port_type::SEND_ONCE));
        me.message(
            &Request::send(old)
                .disposed(disposition::MOVE_SEND_ONCE)
                .id(77),
        );
        assert_eq!(
            only(&mut me, a).id,
            77,
            "it was the right to the first port"
        );
        let old = me.request(port, id, 0, Name::NULL).unwrap();
        assert_eq!(me.kind(old), Ok(port_type::SEND_ONCE));
        me.deallocate(old).unwrap();
        assert_eq!(only(&mut me, b).id, notify::SEND_ONCE);
        assert_eq!(me.request(port, id, 0, Name::NULL), Ok(Name::NULL));
    }
    me.destroy(port).unwrap();
    none(&mut me, a);
    none(&mut me, b);
}

// covers: N-03
#[test]
fn a_dead_name_notification_carries_the_name_and_a_reference() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), notes(&mut me));
    me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
    me.mod_refs(port, right::RECEIVE, -1).unwrap();
    let note = only(&mut me, notes);
    assert_eq!((note.id, note.words[0]), (notify::DEAD_NAME, port.0.into()));
    assert_eq!(me.refs(port, right::DEAD_NAME), Ok(2));
    assert_eq!(
        me.kind(port),
        Ok(port_type::DEAD_NAME),
        "and is armed no longer"
    );
}

// covers: N-03
#[test]
fn a_name_that_is_dead_already_fires_when_asked_to() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (dead, notes) = (me.allocate(right::DEAD_NAME).unwrap(), notes(&mut me));
    let later = me.request(dead, notify::DEAD_NAME, 0, notes);
    assert_eq!(later, Err(KernReturn::InvalidArgument));
    none(&mut me, notes);
    assert_eq!(
        me.request(dead, notify::DEAD_NAME, 1, notes),
        Ok(Name::NULL)
    );
    let note = only(&mut me, notes);
    assert_eq!((note.id, note.words[0]), (notify::DEAD_NAME, dead.0.into()));
    assert_eq!(me.refs(dead, right::DEAD_NAME), Ok(2));
}

// covers: N-04
#[test]
fn a_right_that_leaves_with_an_armed_request_says_port_deleted() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let notes = notes(&mut me);
    for way in 0..4 {
        let port = me.port();
        let once = pass(&mut me, port, disposition::MAKE_SEND_ONCE);
        me.request(once, notify::DEAD_NAME, 0, notes).unwrap();
        match way {
            0 => me.deallocate(once).unwrap(),
            1 => me.destroy(once).unwrap(),
            2 => {
                me.message(&Request::send(once).disposed(disposition::MOVE_SEND_ONCE));
            }
            _ => {
                me.message(&Request::send(port).port(once, disposition::MOVE_SEND_ONCE));
            }
        }
        let note = only(&mut me, notes);
        assert_eq!(
            (note.id, note.words[0]),
            (notify::PORT_DELETED, once.0.into()),
            "way {way}"
        );
    }
}

// covers: N-04
#[test]
fn a_request_stays_with_its_name_and_goes_with_it() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (notes, queue) = (notes(&mut me), me.port());
    for way in 0..3 {
        let port = me.port();
        me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
        me.deallocate(port).unwrap();
        let armed = port_type::RECEIVE | port_type::DEAD_NAME_REQUEST;
        assert_eq!(me.kind(port), Ok(armed), "the receive right is still here");
        none(&mut me, notes);
        match way {
            0 => me.destroy(port).unwrap(),
            1 => me.mod_refs(port, right::RECEIVE, -1).unwrap(),
            _ => {
                me.message(&Request::send(queue).port(port, disposition::MOVE_RECEIVE));
            }
        }
        let note = only(&mut me, notes);
        let expected = (notify::PORT_DELETED, port.0.into());
        assert_eq!((note.id, note.words[0]), expected, "way {way}");
    }
}

// covers: N-05 P-32
#[test]
fn a_receive_right_survives_into_the_hands_of_who_asked_for_it() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), notes(&mut me));
    assert_eq!(
        me.request(port, notify::PORT_DESTROYED, 0, notes),
        Ok(Name::NULL)
    );
    let again = me.request(port, notify::PORT_DESTROYED, 0, notes);
    assert_eq!(again, Err(KernReturn::Failure));
    me.message(&Request::send(port).id(11));
    me.message(&Request::send(port).id(12));
    me.poll(port);
    me.destroy(port).unwrap();
    assert_eq!(me.kind(port), Err(KernReturn::InvalidName));
    let note = only(&mut me, notes);
    assert_eq!(note.id, notify::PORT_DESTROYED);
    let right = note.right();
    assert_eq!(right.disposition, disposition::MOVE_RECEIVE);
    let back = Name(right.name);
    assert_eq!(me.kind(back), Ok(port_type::RECEIVE));
    assert_eq!(me.attribute(back, attribute::SEQUENCE), Ok(0));
    assert_eq!(me.attribute(back, attribute::MAKE_SEND_COUNT), Ok(0));
    assert_eq!(me.poll(back).id, 12, "what was queued is queued still");
    me.destroy(back).unwrap();
    none(&mut me, notes);
}

// covers: N-05 N-07
#[test]
fn a_supervisor_that_is_gone_lets_the_port_die() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, supervisor, notes) = (me.port(), notes(&mut me), notes(&mut me));
    me.request(port, notify::PORT_DESTROYED, 0, supervisor)
        .unwrap();
    me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
    me.destroy(supervisor).unwrap();
    none(&mut me, notes);
    me.mod_refs(port, right::RECEIVE, -1).unwrap();
    assert_eq!(only(&mut me, notes).id, notify::DEAD_NAME);
}

// covers: N-07
#[test]
fn every_way_to_lose_a_send_once_right_sends_one_notification() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let notes = notes(&mut me);
    for way in 0..4 {
        let queue = me.port();
        let carrier = Request::send(queue);
        match way {
            0 => {
                me.message(&carrier.port(notes, disposition::MAKE_SEND_ONCE));
            }
            1 => {
                me.message(&carrier.replying(notes, disposition::MAKE_SEND_ONCE));
            }
            2 => {
                me.request(queue, notify::NO_SENDERS, 0, notes).unwrap();
            }
            _ => {
                let once = pass(&mut me, notes, disposition::MAKE_SEND_ONCE);
                me.message(&carrier.port(once, disposition::MOVE_SEND_ONCE));
            }
        }
        none(&mut me, notes);
        me.mod_refs(queue, right::RECEIVE, -1).unwrap();
        assert_eq!(only(&mut me, notes).id, notify::SEND_ONCE, "way {way}");
        assert_eq!(me.attribute(notes, attribute::SEND_ONCE_RIGHTS), Ok(0));
    }
}

// covers: N-08 M-12
#[test]
fn notifications_need_no_room_in_the_queue() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let notes = notes(&mut me);
    me.set_attribute(notes, attribute::QUEUE_LIMIT, 1).unwrap();
    for _ in 0..20 {
        let once = pass(&mut me, notes, disposition::MAKE_SEND_ONCE);
        me.deallocate(once).unwrap();
    }
    for _ in 0..20 {
        let once = pass(&mut me, notes, disposition::MAKE_SEND_ONCE);
        let sent = me.message(&Request::send(once).disposed(disposition::MOVE_SEND_ONCE));
        assert_eq!(sent.code, MessageReturn::Success);
    }
    assert_eq!(me.attribute(notes, attribute::MESSAGE_COUNT), Ok(40));
}
