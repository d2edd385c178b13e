//! Names, entries, rights, user references: one task, one thread.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::Descriptor;
use abi::names::{MAX_UREFS, Name, disposition, port_type, right};
use abi::notify;
use abi::trap::{attribute, construct};
use sim::{Request, Sim, User};

/// Sends a right to oneself and receives it; answers the name under which it came.
fn pass(me: &mut User<'_>, name: Name, how: u8) -> Name {
    let port = me.port();
    me.message(&Request::send(port).port(name, how));
    let right: Descriptor = me.poll(port).right();
    assert_eq!(me.destroy(port), Ok(()));
    Name(right.name)
}

/// A send-once right to `port`, under a name.
fn send_once(me: &mut User<'_>, port: Name) -> Name {
    pass(me, port, disposition::MAKE_SEND_ONCE)
}

// covers: P-01 F-04
#[test]
fn a_name_that_was_freed_never_reaches_the_next_right() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let mut seen = Vec::new();
    for _ in 0..40 {
        let name = me.allocate(right::RECEIVE).unwrap();
        assert!(!seen.contains(&name), "{name:x?} was another port's name");
        me.destroy(name).unwrap();
        assert_eq!(me.kind(name), Err(KernReturn::InvalidName));
        seen.push(name);
    }
    let again = seen
        .iter()
        .filter(|name| name.index() == seen[0].index())
        .count();
    assert!(again > 1, "an index is used again");
    for stale in seen {
        assert_eq!(me.deallocate(stale), Err(KernReturn::InvalidName));
        let sent = me.message(&Request::send(stale));
        assert_eq!(sent.code, MessageReturn::SendInvalidDest);
    }
}

// covers: P-03
#[test]
fn names_that_died_hide_no_others() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let ports: Vec<Name> = (0..40).map(|_| me.port()).collect();
    let (dying, staying): (Vec<_>, Vec<_>) = ports.iter().partition(|name| name.index() % 3 != 0);
    for port in &dying {
        assert_eq!(me.mod_refs(*port, right::RECEIVE, -1), Ok(()));
        assert_eq!(me.kind(*port), Ok(port_type::DEAD_NAME));
    }
    for port in &staying {
        assert_eq!(pass(&mut me, *port, disposition::MAKE_SEND), *port);
        assert_eq!(me.refs(*port, right::SEND), Ok(2));
    }
    for port in dying {
        assert_eq!(me.deallocate(port), Ok(()));
    }
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: P-01
#[test]
fn chosen_names_leave_the_free_ones_free() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let freed: Vec<Name> = (0..9)
        .map(|_| me.allocate(right::RECEIVE).unwrap())
        .collect();
    for name in &freed {
        assert_eq!(me.destroy(*name), Ok(()));
    }
    // Neighbours in the chain of free names, out of its middle, and its end.
    let mut taken = Vec::new();
    for at in [4, 3, 5, 8, 0] {
        let name = Name::new(freed[at].index(), 200);
        assert_eq!(me.allocate_name(right::RECEIVE, name), Ok(name));
        taken.push(name);
    }
    taken.extend((0..20).map(|_| me.allocate(right::RECEIVE).unwrap()));
    let mut places: Vec<u32> = taken.iter().map(|name| name.index()).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), taken.len(), "one place, two names: {taken:?}");
    for name in taken {
        assert_eq!(me.kind(name), Ok(port_type::RECEIVE));
    }
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: P-02 P-06 P-31
#[test]
fn each_kind_of_right_says_what_it_is() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let receive = me.allocate(right::RECEIVE).unwrap();
    let set = me.allocate(right::PORT_SET).unwrap();
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(me.kind(receive), Ok(port_type::RECEIVE));
    assert_eq!(me.kind(set), Ok(port_type::PORT_SET));
    assert_eq!(me.kind(dead), Ok(port_type::DEAD_NAME));
    assert_eq!(me.attribute(receive, attribute::QUEUE_LIMIT), Ok(5));
    assert_eq!(me.attribute(receive, attribute::SEND_RIGHTS), Ok(0));
    assert_eq!(me.refs(dead, right::DEAD_NAME), Ok(1));
    for other in [right::SEND, right::SEND_ONCE, right::NUMBER, 77] {
        assert_eq!(me.allocate(other), Err(KernReturn::InvalidValue));
    }
    me.insert_right(receive, receive, disposition::MAKE_SEND)
        .unwrap();
    assert_eq!(me.kind(receive), Ok(port_type::RECEIVE | port_type::SEND));
    let once = send_once(&mut me, receive);
    assert_eq!(me.kind(once), Ok(port_type::SEND_ONCE));
    me.request(receive, notify::DEAD_NAME, 0, receive).unwrap();
    let armed = port_type::RECEIVE | port_type::SEND | port_type::DEAD_NAME_REQUEST;
    assert_eq!(me.kind(receive), Ok(armed));
}

// covers: P-03
#[test]
fn send_rights_to_one_port_share_one_name() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    for urefs in 2..6 {
        assert_eq!(pass(&mut me, port, disposition::COPY_SEND), port);
        assert_eq!(me.refs(port, right::SEND), Ok(urefs));
    }
    assert_eq!(
        me.attribute(port, attribute::SEND_RIGHTS),
        Ok(1),
        "one name is one right"
    );
}

// covers: P-04
#[test]
fn send_once_rights_never_share_a_name() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let (a, b) = (send_once(&mut me, port), send_once(&mut me, port));
    assert!(a != b && a != port && b != port);
    assert_eq!(me.refs(a, right::SEND_ONCE), Ok(1));
    assert_eq!(me.attribute(port, attribute::SEND_ONCE_RIGHTS), Ok(2));
}

// covers: P-05 F-06
#[test]
fn a_count_that_reached_its_end_stays_there() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let max = u64::from(MAX_UREFS);
    let port = me.port();
    me.mod_refs(port, right::SEND, 65533).unwrap();
    assert_eq!(me.refs(port, right::SEND), Ok(65534), "not yet");
    me.mod_refs(port, right::SEND, -1).unwrap();
    me.mod_refs(port, right::SEND, 20).unwrap();
    assert_eq!(
        me.refs(port, right::SEND),
        Ok(max),
        "the overflow succeeds and pegs"
    );
    me.mod_refs(port, right::SEND, -1).unwrap();
    me.mod_refs(port, right::SEND, 1).unwrap();
    me.deallocate(port).unwrap();
    assert_eq!(me.refs(port, right::SEND), Ok(max));
    assert_eq!(pass(&mut me, port, disposition::MOVE_SEND), port);
    assert_eq!(me.refs(port, right::SEND), Ok(max));
    assert_eq!(
        me.mod_refs(port, right::SEND, -65536),
        Err(KernReturn::InvalidValue)
    );
    me.mod_refs(port, right::SEND, -65535).unwrap();
    assert_eq!(me.kind(port), Ok(port_type::RECEIVE));
}

// covers: P-08
#[test]
fn deallocate_drops_one_reference_of_what_can_be_dropped() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    me.mod_refs(port, right::SEND, 1).unwrap();
    me.deallocate(port).unwrap();
    assert_eq!(me.refs(port, right::SEND), Ok(1));
    me.deallocate(port).unwrap();
    assert_eq!(
        me.kind(port),
        Ok(port_type::RECEIVE),
        "the receive right stays"
    );
    assert_eq!(me.deallocate(port), Err(KernReturn::InvalidRight));
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    me.deallocate(dead).unwrap();
    assert_eq!(me.kind(dead), Err(KernReturn::InvalidName));
    let set = me.allocate(right::PORT_SET).unwrap();
    me.insert_member(port, set).unwrap();
    me.deallocate(set).unwrap();
    assert_eq!(me.kind(set), Err(KernReturn::InvalidName));
    assert_eq!(me.attribute(port, attribute::PORT_SETS), Ok(0));
}

// covers: P-09 N-07
#[test]
fn a_send_once_right_that_is_dropped_says_so() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.allocate(right::RECEIVE).unwrap();
    for drop in 0..3 {
        let once = send_once(&mut me, port);
        match drop {
            0 => me.deallocate(once).unwrap(),
            1 => me.destroy(once).unwrap(),
            _ => me.mod_refs(once, right::SEND_ONCE, -1).unwrap(),
        }
        assert_eq!(
            me.attribute(port, attribute::MESSAGE_COUNT),
            Ok(1),
            "exactly one message"
        );
        assert_eq!(me.poll(port).id, notify::SEND_ONCE);
        assert_eq!(me.attribute(port, attribute::SEND_ONCE_RIGHTS), Ok(0));
    }
}

// covers: P-10 F-03
#[test]
fn mod_refs_answers_as_its_matrix_says() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.allocate(right::RECEIVE).unwrap();
    let set = me.allocate(right::PORT_SET).unwrap();
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    let once = send_once(&mut me, port);
    let cases = [
        (port, right::NUMBER, 0, Err(K::InvalidValue)),
        (port, right::SEND, 1, Err(K::InvalidRight)),
        (port, right::DEAD_NAME, 1, Err(K::InvalidRight)),
        (port, right::RECEIVE, 0, Ok(())),
        (port, right::RECEIVE, 1, Err(K::InvalidValue)),
        (port, right::RECEIVE, -2, Err(K::InvalidValue)),
        (set, right::PORT_SET, 0, Ok(())),
        (set, right::PORT_SET, 1, Err(K::InvalidValue)),
        (set, right::RECEIVE, -1, Err(K::InvalidRight)),
        (once, right::SEND_ONCE, 0, Ok(())),
        (once, right::SEND_ONCE, 1, Err(K::InvalidValue)),
        (once, right::SEND, -1, Err(K::InvalidRight)),
        (dead, right::DEAD_NAME, 3, Ok(())),
        (dead, right::DEAD_NAME, -5, Err(K::InvalidValue)),
        (dead, right::DEAD_NAME, -4, Ok(())),
        (dead, right::DEAD_NAME, 0, Err(K::InvalidName)),
        (Name::NULL, right::SEND, -1, Ok(())),
        (Name::DEAD, right::SEND_ONCE, 1, Ok(())),
        (Name::NULL, right::RECEIVE, -1, Err(K::InvalidName)),
        (Name::DEAD, right::DEAD_NAME, -1, Err(K::InvalidName)),
    ];
    for (name, kind, delta, expected) in cases {
        let got = me.mod_refs(name, kind, delta);
        assert_eq!(got, expected, "mod_refs({name:x?}, {kind}, {delta})");
    }
    me.mod_refs(set, right::PORT_SET, -1).unwrap();
    me.mod_refs(port, right::RECEIVE, -1).unwrap();
    assert_eq!(me.kind(set), Err(K::InvalidName));
    assert_eq!(me.kind(port), Err(K::InvalidName));
    assert_eq!(me.kind(once), Ok(port_type::DEAD_NAME), "its port is dead");
}

// covers: P-11 N-03
#[test]
fn a_send_right_beside_a_dying_receive_right_turns_dead_with_its_references() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let notes = me.allocate(right::RECEIVE).unwrap();
    for armed in [0, 1] {
        let port = me.port();
        me.mod_refs(port, right::SEND, 2).unwrap();
        if armed == 1 {
            me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
        }
        me.mod_refs(port, right::RECEIVE, -1).unwrap();
        assert_eq!(me.kind(port), Ok(port_type::DEAD_NAME));
        assert_eq!(me.refs(port, right::DEAD_NAME), Ok(3 + armed));
        assert_eq!(me.attribute(notes, attribute::MESSAGE_COUNT), Ok(armed));
    }
}

// covers: P-12
#[test]
fn destroy_drops_everything_under_a_name() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    me.mod_refs(port, right::SEND, 7).unwrap();
    me.destroy(port).unwrap();
    assert_eq!(me.kind(port), Err(KernReturn::InvalidName));
    assert_eq!(me.destroy(port), Err(KernReturn::InvalidName));
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    me.mod_refs(dead, right::DEAD_NAME, 7).unwrap();
    me.destroy(dead).unwrap();
    assert_eq!(me.kind(dead), Err(KernReturn::InvalidName));
}

// covers: P-13
#[test]
fn get_refs_counts_the_right_that_is_asked_for() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    me.mod_refs(port, right::SEND, 2).unwrap();
    let expected = [Ok(3), Ok(1), Ok(0), Ok(0), Ok(0), Err(K::InvalidValue)];
    for (kind, expected) in (0..).zip(expected) {
        assert_eq!(me.refs(port, kind), expected, "right {kind}");
    }
    let stale = Name::new(port.index(), port.generation().wrapping_add(1));
    assert_eq!(me.refs(stale, right::SEND), Err(K::InvalidName));
    for name in [Name::NULL, Name::DEAD] {
        assert_eq!(me.refs(name, right::SEND), Ok(1));
        assert_eq!(me.refs(name, right::SEND_ONCE), Ok(1));
        assert_eq!(me.refs(name, right::RECEIVE), Err(K::InvalidName));
    }
}

// covers: P-14
#[test]
fn insert_right_refuses_what_would_give_a_port_two_names() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    let other = me.port();
    assert_eq!(me.insert_right(port, port, disposition::COPY_SEND), Ok(()));
    assert_eq!(me.refs(port, right::SEND), Ok(2));
    assert_eq!(
        me.attribute(port, attribute::MAKE_SEND_COUNT),
        Ok(1),
        "a copy is not made"
    );
    assert_eq!(me.insert_right(port, port, disposition::MAKE_SEND), Ok(()));
    assert_eq!(me.attribute(port, attribute::MAKE_SEND_COUNT), Ok(2));
    let into_other = me.insert_right(other, port, disposition::MAKE_SEND);
    assert_eq!(into_other, Err(K::NameExists));
    let free = Name::new(40, 9);
    for how in [disposition::COPY_SEND, disposition::MOVE_RECEIVE] {
        assert_eq!(me.insert_right(free, port, how), Err(K::RightExists));
    }
    let stale = Name::new(other.index(), other.generation() ^ 1);
    let taken = me.insert_right(stale, port, disposition::COPY_SEND);
    assert_eq!(taken, Err(K::NameExists));
    let null = me.insert_right(port, Name::NULL, disposition::COPY_SEND);
    assert_eq!(null, Err(K::InvalidCapability));
    let set = me.allocate(right::PORT_SET).unwrap();
    assert_eq!(
        me.insert_right(set, set, disposition::MAKE_SEND),
        Err(K::InvalidRight)
    );
    let once = me.insert_right(port, port, disposition::MAKE_SEND_ONCE);
    assert_eq!(once, Err(K::NameExists));
    assert_eq!(
        me.refs(port, right::SEND),
        Ok(3),
        "failures changed nothing"
    );
    assert_eq!(me.attribute(port, attribute::SEND_ONCE_RIGHTS), Ok(0));
}

// covers: P-14 N-04
#[test]
fn a_right_that_is_moved_into_its_own_name_keeps_it() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let mut me = sim.on(first);
    let port = me.allocate(right::RECEIVE).unwrap();
    me.set_attribute(port, attribute::SEQUENCE, 5).unwrap();
    let moved = me.insert_right(port, port, disposition::MOVE_RECEIVE);
    assert_eq!(moved, Ok(()));
    assert_eq!(me.kind(port), Ok(port_type::RECEIVE));
    assert_eq!(me.attribute(port, attribute::SEQUENCE), Ok(0), "it left");
    let child = sim.add_task();
    let send = sim.give(first, port, disposition::MAKE_SEND, child);
    let mut other = sim.on(child);
    let moved = other.insert_right(send, send, disposition::MOVE_SEND);
    assert_eq!(moved, Ok(()));
    assert_eq!(other.refs(send, right::SEND), Ok(1));
}

// covers: P-14 P-04
#[test]
fn a_right_to_send_once_gets_any_name_that_is_free() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.allocate(right::RECEIVE).unwrap();
    let [one, two, used] = [Name::new(40, 9), Name::new(41, 0), Name::new(40, 8)];
    let once = disposition::MAKE_SEND_ONCE;
    assert_eq!(me.insert_right(one, port, once), Ok(()));
    assert_eq!(me.insert_right(used, port, once), Err(K::NameExists));
    assert_eq!(me.insert_right(port, port, once), Err(K::NameExists));
    for none in [Name::NULL, Name::DEAD] {
        assert_eq!(me.insert_right(none, port, once), Err(K::InvalidValue));
    }
    assert_eq!(me.attribute(port, attribute::SEND_ONCE_RIGHTS), Ok(1));
    assert_eq!(
        me.insert_right(two, one, disposition::MOVE_SEND_ONCE),
        Ok(())
    );
    assert_eq!(me.kind(one), Err(K::InvalidName));
    assert_eq!(me.kind(two), Ok(port_type::SEND_ONCE));
    let send = Request::send(two).disposed(disposition::MOVE_SEND_ONCE);
    me.message(&send.id(5));
    assert_eq!(me.poll(port).id, 5);
    assert_eq!(me.attribute(port, attribute::SEND_ONCE_RIGHTS), Ok(0));
    assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(0));
}

// covers: P-18
#[test]
fn construct_makes_and_destruct_takes_in_one_trap() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let all = construct::INSERT_SEND | construct::QUEUE_LIMIT | construct::LABEL;
    let port = me.construct(all, 17, 0xfeed).unwrap();
    assert_eq!(me.kind(port), Ok(port_type::SEND | port_type::RECEIVE));
    assert_eq!(me.attribute(port, attribute::QUEUE_LIMIT), Ok(17));
    assert_eq!(me.attribute(port, attribute::LABEL), Ok(0xfeed));
    assert_eq!(me.attribute(port, attribute::MAKE_SEND_COUNT), Ok(1));
    assert_eq!(
        me.construct(construct::QUEUE_LIMIT, 1025, 0),
        Err(K::InvalidValue)
    );
    let set = me.construct(construct::PORT_SET, 0, 0).unwrap();
    assert_eq!(me.kind(set), Ok(port_type::PORT_SET));
    assert_eq!(me.destruct(set, 0), Err(K::InvalidRight));
    assert_eq!(me.destruct(port, 1), Err(K::InvalidValue));
    assert_eq!(me.destruct(port, -2), Err(K::InvalidValue));
    assert_eq!(me.destruct(port, -1), Ok(()));
    assert_eq!(me.kind(port), Err(K::InvalidName));
    let port = me.port();
    assert_eq!(me.destruct(port, 0), Ok(()));
    assert_eq!(
        me.kind(port),
        Ok(port_type::DEAD_NAME),
        "the send right was left"
    );
}

// covers: P-03 P-31
#[test]
fn a_send_right_that_is_copied_counts_on_its_way_and_where_it_arrives() {
    let (mut sim, first) = Sim::single();
    let other = sim.add_task();
    let mut me = sim.on(first);
    let (port, queue) = (me.port(), me.port());
    for copies in 1..=3 {
        let carries = Request::send(queue).port(port, disposition::COPY_SEND);
        assert_eq!(me.message(&carries).code, MessageReturn::Success);
        assert_eq!(me.attribute(port, attribute::SEND_RIGHTS), Ok(1 + copies));
    }
    for left in (0..3).rev() {
        let right: Descriptor = me.poll(queue).right();
        assert_eq!(right.name, port.0, "it joins its name");
        assert_eq!(me.attribute(port, attribute::SEND_RIGHTS), Ok(1 + left));
    }
    assert_eq!(me.refs(port, right::SEND), Ok(4));
    let theirs = sim.give(first, port, disposition::COPY_SEND, other);
    assert_eq!(sim.on(first).attribute(port, attribute::SEND_RIGHTS), Ok(2));
    assert_eq!(sim.on(other).deallocate(theirs), Ok(()));
    assert_eq!(sim.on(first).attribute(port, attribute::SEND_RIGHTS), Ok(1));
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: P-30 P-31 P-32
#[test]
fn attributes_of_a_receive_right_count_what_there_is() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    assert_eq!(
        me.set_attribute(port, attribute::QUEUE_LIMIT, 1025),
        Err(K::InvalidValue)
    );
    assert_eq!(me.set_attribute(port, attribute::QUEUE_LIMIT, 1024), Ok(()));
    for count in 0..3 {
        assert_eq!(me.attribute(port, attribute::MESSAGE_COUNT), Ok(count));
        me.message(&Request::send(port));
    }
    for sequence in 0..3 {
        assert_eq!(me.attribute(port, attribute::SEQUENCE), Ok(sequence));
        me.poll(port);
    }
    me.set_attribute(port, attribute::SEQUENCE, 41).unwrap();
    me.set_attribute(port, attribute::MAKE_SEND_COUNT, 9)
        .unwrap();
    me.message(&Request::send(port));
    me.poll(port);
    assert_eq!(me.attribute(port, attribute::SEQUENCE), Ok(42));
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    assert_eq!(me.attribute(port, attribute::MAKE_SEND_COUNT), Ok(10));
    assert_eq!(pass(&mut me, port, disposition::MOVE_RECEIVE), port);
    assert_eq!(
        me.attribute(port, attribute::SEQUENCE),
        Ok(0),
        "the right has moved"
    );
    assert_eq!(me.attribute(port, attribute::MAKE_SEND_COUNT), Ok(0));
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(
        me.attribute(dead, attribute::SEQUENCE),
        Err(K::InvalidRight)
    );
    assert_eq!(
        me.set_attribute(port, attribute::SEND_RIGHTS, 1),
        Err(K::InvalidArgument)
    );
}

// covers: P-38
#[test]
fn a_message_carries_the_label_of_the_port_it_came_through() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    me.message(&Request::send(port));
    assert_eq!(
        me.poll(port).label,
        u64::from(port.0),
        "the name, until somebody says otherwise"
    );
    me.message(&Request::send(port));
    me.set_attribute(port, attribute::LABEL, u64::MAX - 3)
        .unwrap();
    assert_eq!(me.poll(port).label, u64::MAX - 3, "read at receive");
    assert_eq!(pass(&mut me, port, disposition::MOVE_RECEIVE), port);
    assert_eq!(
        me.attribute(port, attribute::LABEL),
        Ok(port.0.into()),
        "reset by the move"
    );
}
