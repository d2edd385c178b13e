//! Port sets.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, right};
use abi::trap::attribute;
use sim::{Request, Sim, User};

fn set(me: &mut User<'_>) -> Name {
    match me.allocate(right::PORT_SET) {
        Ok(name) => name,
        Err(code) => panic!("no set: {code:?}"),
    }
}

// covers: P-33 M-31
#[test]
fn a_message_through_a_set_names_the_member() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (set, a, b) = (set(&mut me), me.port(), me.port());
    me.move_member(a, set).unwrap();
    me.insert_member(b, set).unwrap();
    me.set_attribute(b, attribute::LABEL, 99).unwrap();
    me.message(&Request::send(b).id(1));
    let got = me.poll(set);
    assert_eq!(
        (got.code, got.local, got.label),
        (MessageReturn::Success, b, 99)
    );
    assert_eq!(me.poll(set).code, MessageReturn::ReceiveTimedOut);
}

// covers: P-33
#[test]
fn a_port_is_in_many_sets_until_it_is_moved() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (one, two, three, port) = (set(&mut me), set(&mut me), set(&mut me), me.port());
    me.insert_member(port, one).unwrap();
    me.insert_member(port, two).unwrap();
    let again = me.insert_member(port, one);
    assert_eq!(again, Err(KernReturn::AlreadyInSet));
    assert_eq!(me.attribute(port, attribute::PORT_SETS), Ok(2));
    me.message(&Request::send(port).id(1));
    assert_eq!(me.poll(two).id, 1);
    me.message(&Request::send(port).id(2));
    assert_eq!(me.poll(one).id, 2);
    me.move_member(port, three).unwrap();
    assert_eq!(me.attribute(port, attribute::PORT_SETS), Ok(1));
    assert_eq!(me.extract_member(port, one), Err(KernReturn::NotInSet));
    me.message(&Request::send(port).id(3));
    assert_eq!(me.poll(one).code, MessageReturn::ReceiveTimedOut);
    assert_eq!(me.poll(three).id, 3);
    me.move_member(port, Name::NULL).unwrap();
    assert_eq!(me.move_member(port, Name::NULL), Err(KernReturn::NotInSet));
    me.message(&Request::send(port).id(4));
    assert_eq!(me.poll(three).code, MessageReturn::ReceiveTimedOut);
}

// covers: P-33
#[test]
fn only_receive_rights_are_members_and_only_of_sets() {
    use KernReturn::{self as K};
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (set, port) = (set(&mut me), me.port());
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(me.insert_member(dead, set), Err(K::InvalidRight));
    assert_eq!(me.insert_member(port, port), Err(K::InvalidRight));
    assert_eq!(me.insert_member(set, set), Err(K::InvalidRight));
    assert_eq!(me.insert_member(Name(0x77_0001), set), Err(K::InvalidName));
    assert_eq!(me.move_member(port, Name(0x77_0001)), Err(K::InvalidName));
    assert_eq!(me.move_member(dead, Name::NULL), Err(K::InvalidRight));
}

// covers: P-34 F-01
#[test]
fn a_member_can_be_received_from_directly() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (set, port) = (set(&mut me), me.port());
    me.message(&Request::send(port).id(1));
    me.insert_member(port, set).unwrap();
    me.message(&Request::send(port).id(2));
    assert_eq!(me.poll(port).id, 1);
    assert_eq!(me.poll(set).id, 2);
}

// covers: P-35
#[test]
fn a_busy_member_does_not_starve_the_others() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let set = set(&mut me);
    let ports = [(); 4].map(|()| me.port());
    for port in ports {
        me.insert_member(port, set).unwrap();
        me.message(&Request::send(port));
        me.message(&Request::send(port));
    }
    let mut got = Vec::new();
    for _ in 0..4 {
        let from = me.poll(set).local;
        got.push(from);
        me.message(&Request::send(from));
    }
    got.sort();
    let mut all = ports.to_vec();
    all.sort();
    assert_eq!(
        got, all,
        "each member once in four receives, though each stays busy"
    );
}

// covers: P-36
#[test]
fn members_outlive_their_set() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (set, port) = (set(&mut me), me.port());
    me.insert_member(port, set).unwrap();
    me.message(&Request::send(port).id(5));
    me.destroy(set).unwrap();
    assert_eq!(me.poll(set).code, MessageReturn::ReceiveInvalidName);
    assert_eq!(me.poll(port).id, 5);
}

// covers: P-33 M-25
#[test]
fn a_right_that_moves_leaves_its_sets() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (set, port, queue) = (set(&mut me), me.port(), me.port());
    me.insert_member(port, set).unwrap();
    me.message(&Request::send(port).id(1));
    me.message(&Request::send(queue).port(port, disposition::MOVE_RECEIVE));
    assert_eq!(me.poll(set).code, MessageReturn::ReceiveTimedOut);
    assert_eq!(Name(me.poll(queue).right().name), port);
    assert_eq!(me.attribute(port, attribute::PORT_SETS), Ok(0));
    assert_eq!(me.poll(port).id, 1, "the queue came along");
}
