//! Guards on receive rights, and names of the caller's choice.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition, port_type, right};
use abi::notify;
use abi::trap::construct;
use sim::{Request, Sim, User};

use KernReturn as K;

const GUARD: u64 = 0x5eed;

/// Sends a port descriptor of this kind to oneself; what came of it.
fn send_as(me: &mut User<'_>, kind: u8, port: Name, guard: u64) -> MessageReturn {
    let to = me.port();
    let mut request = Request::send(to).port(port, disposition::MOVE_RECEIVE);
    let sent: &mut Descriptor = &mut request.body.get_or_insert_default().descriptors[0];
    (sent.kind, sent.address) = (kind, guard);
    let code = me.message(&request).code;
    if code == MessageReturn::Success {
        let got = me.poll(to).right();
        assert_eq!((got.kind, got.address), (descriptor::PORT, 0));
        assert_eq!(me.kind(Name(got.name)), Ok(port_type::RECEIVE));
        assert_eq!(
            me.unguard(Name(got.name), guard),
            Err(K::InvalidArgument),
            "a guard does not travel"
        );
        assert_eq!(me.destroy(Name(got.name)), Ok(()));
    }
    assert_eq!(me.destroy(to), Ok(()));
    code
}

// covers: P-19
#[test]
fn a_guarded_receive_right_goes_with_its_guard_only() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    assert_eq!(me.guard(port, GUARD, 2), Err(K::InvalidArgument));
    assert_eq!(me.guard(port, GUARD, 0), Ok(()));
    assert_eq!(
        me.guard(port, GUARD, 0),
        Err(K::InvalidArgument),
        "it has one"
    );
    assert_eq!(me.mod_refs(port, right::RECEIVE, -1), Err(K::InvalidRight));
    assert_eq!(me.destroy(port), Err(K::InvalidRight));
    assert_eq!(
        me.destruct_guarded(port, GUARD + 1),
        Err(K::InvalidArgument)
    );
    assert_eq!(me.unguard(port, GUARD + 1), Err(K::InvalidArgument));
    assert_eq!(me.swap_guard(port, GUARD + 1, 7), Err(K::InvalidArgument));
    assert_eq!(me.mod_refs(port, right::RECEIVE, 0), Ok(()));
    let all = port_type::SEND | port_type::RECEIVE;
    assert_eq!(me.kind(port), Ok(all), "nothing changed");
}

// covers: P-19
#[test]
fn a_guard_is_swapped_and_taken_away_by_who_knows_it() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let port = me.port();
    assert_eq!(me.guard(port, GUARD, 0), Ok(()));
    assert_eq!(me.swap_guard(port, GUARD, 7), Ok(()));
    assert_eq!(me.unguard(port, GUARD), Err(K::InvalidArgument));
    assert_eq!(me.unguard(port, 7), Ok(()));
    assert_eq!(me.unguard(port, 7), Err(K::InvalidArgument), "none is left");
    assert_eq!(me.swap_guard(port, 7, 8), Err(K::InvalidArgument));
    assert_eq!(me.guard(port, 9, 1), Ok(()));
    assert_eq!(
        me.deallocate(port),
        Ok(()),
        "a send right beside it is free to go"
    );
    assert_eq!(me.destruct_guarded(port, 9), Ok(()));
    assert_eq!(me.kind(port), Err(K::InvalidName));
    let set = me.allocate(right::PORT_SET).unwrap();
    assert_eq!(me.guard(set, GUARD, 0), Err(K::InvalidRight));
    assert_eq!(me.guard(port, GUARD, 0), Err(K::InvalidName));
}

// covers: P-19 M-25
#[test]
fn a_strict_guard_keeps_a_right_where_it_is() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let loose = me.allocate(right::RECEIVE).unwrap();
    assert_eq!(me.guard(loose, GUARD, 0), Ok(()));
    let sent = send_as(&mut me, descriptor::PORT, loose, 0);
    assert_eq!(
        sent,
        MessageReturn::Success,
        "a loose one goes, and its guard ends"
    );

    let strict = me.allocate(right::RECEIVE).unwrap();
    assert_eq!(me.guard(strict, GUARD, 1), Ok(()));
    let refused = MessageReturn::SendInvalidRight;
    assert_eq!(send_as(&mut me, descriptor::PORT, strict, GUARD), refused);
    assert_eq!(
        send_as(&mut me, descriptor::GUARDED_PORT, strict, 1),
        refused
    );
    assert_eq!(me.kind(strict), Ok(port_type::RECEIVE));
    let sent = send_as(&mut me, descriptor::GUARDED_PORT, strict, GUARD);
    assert_eq!(sent, MessageReturn::Success);
    assert_eq!(me.kind(strict), Err(K::InvalidName));
}

// covers: P-19 K-02
#[test]
fn a_guard_does_not_let_a_timer_move() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let timer = me.trap(abi::trap::MK_TIMER_CREATE, &[]).unwrap();
    let timer = Name(timer as u32);
    assert_eq!(me.guard(timer, GUARD, 0), Ok(()));
    let sent = send_as(&mut me, descriptor::GUARDED_PORT, timer, GUARD);
    assert_eq!(sent, MessageReturn::SendInvalidRight);
    assert_eq!(me.kind(timer), Ok(port_type::RECEIVE));
    assert_eq!(me.unguard(timer, GUARD), Ok(()), "nothing changed");
}

// covers: P-19 N-05
#[test]
fn a_mailed_receive_right_comes_without_guard() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    me.register_buffer();
    let (port, notes) = (me.port(), me.port());
    assert_eq!(me.guard(port, GUARD, 1), Ok(()));
    me.request(port, notify::PORT_DESTROYED, 0, notes).unwrap();
    assert_eq!(me.destruct_guarded(port, GUARD), Ok(()));
    let back = Name(me.poll(notes).right().name);
    assert_eq!(back, port, "the send right kept the name");
    assert_eq!(me.destroy(back), Ok(()));
}

// covers: P-18 P-19
#[test]
fn construct_guards_and_destruct_asks_for_the_guard() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let flags = construct::INSERT_SEND | construct::GUARD | construct::STRICT;
    let construct = abi::trap::PORT_CONSTRUCT;
    let port = me.trap(construct, &[flags, 0, 0, GUARD]).unwrap();
    let port = Name(port as u32);
    assert_eq!(me.destroy(port), Err(K::InvalidRight));
    assert_eq!(me.destruct_guarded(port, 0), Err(K::InvalidArgument));
    assert_eq!(me.destruct_guarded(port, GUARD), Ok(()));
    assert_eq!(me.kind(port), Ok(port_type::DEAD_NAME));
    let alone = me.trap(construct, &[construct::STRICT, 0, 0, GUARD]);
    assert_eq!(alone, Err(K::InvalidValue));
    let free = me.port();
    assert_eq!(
        me.destruct_guarded(free, GUARD),
        Ok(()),
        "no guard, none is asked for"
    );
}

// covers: P-19
#[test]
fn a_task_that_ends_takes_its_guarded_ports_with_it() {
    let mut sim = Sim::boot(sim::Config::default());
    let first = sim.first();
    let child = sim.add_task();
    let before = sim.kernel.census();
    let ports = before.ports;
    let port = sim.on(child).port();
    assert_eq!(sim.on(child).guard(port, GUARD, 1), Ok(()));
    sim.end_task(child);
    while sim.deliver() {}
    sim.on(first).trap(abi::trap::NULL, &[]).unwrap();
    let after = sim.kernel.census();
    assert!(
        after.ports <= ports && after.tasks == before.tasks - 1,
        "{after:?}"
    );
}

// covers: P-07
#[test]
fn a_right_is_allocated_under_a_name_of_the_callers_choice() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    for (index, kind) in [
        (50, right::RECEIVE),
        (51, right::PORT_SET),
        (300, right::DEAD_NAME),
    ] {
        let name = Name::new(index, 0x42);
        assert_eq!(me.allocate_name(kind, name), Ok(name));
        assert_eq!(me.kind(name), Ok(1 << (kind + 16)));
        assert_eq!(me.allocate_name(kind, name), Err(K::NameExists));
        let other = Name::new(index, 0x43);
        assert_eq!(
            me.allocate_name(kind, other),
            Err(K::NameExists),
            "the index is taken"
        );
        assert_eq!(me.destroy(name), Ok(()));
        assert_eq!(me.allocate_name(kind, other), Ok(other));
    }
    let port = Name::new(50, 0x43);
    me.insert_right(port, port, disposition::MAKE_SEND).unwrap();
    assert_eq!(
        me.message(&Request::send(port).id(5)).code,
        MessageReturn::Success
    );
    let got = me.poll(port);
    assert_eq!((got.id, got.local, got.label), (5, port, port.0.into()));
    for illegal in [Name::NULL, Name::DEAD, Name::REPLY_SLOT, Name(0xff)] {
        let made = me.allocate_name(right::RECEIVE, illegal);
        assert_eq!(made, Err(K::InvalidValue), "{illegal:x?}");
    }
    let free = Name::new(60, 1);
    for kind in [right::SEND, right::SEND_ONCE, right::NUMBER] {
        assert_eq!(me.allocate_name(kind, free), Err(K::InvalidValue));
    }
    assert_eq!(me.kind(free), Err(K::InvalidName));
    let far = Name(0xffff_ff01);
    assert_eq!(
        me.allocate_name(right::RECEIVE, far),
        Err(K::ResourceShortage)
    );
}
