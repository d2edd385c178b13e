//! Message-waiting notifications: who looks after many things at once is told that a message is there.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::{KernReturn, MessageReturn as Code};
use abi::names::{Name, disposition, right};
use abi::notify;
use sim::{Request, Sim, User};

fn none(me: &mut User<'_>, notes: Name) {
    assert_eq!(me.poll(notes).code, Code::ReceiveTimedOut);
}

/// The one notification that is there.
fn one(me: &mut User<'_>, notes: Name) -> (i32, u64) {
    let note = me.poll(notes);
    assert_eq!(note.code, Code::Success, "no notification came");
    none(me, notes);
    (note.id, note.words[0])
}

fn watch(me: &mut User<'_>, name: Name, notes: Name) -> Result<Name, KernReturn> {
    me.request(name, notify::MESSAGE_WAITING, 0, notes)
}

// covers: M-39
#[test]
fn it_fires_once_after_the_request_or_at_once_where_a_message_waits() {
    let (mut sim, first) = Sim::single();
    let before = sim.kernel.census();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    assert_eq!(watch(&mut me, port, notes), Ok(Name::NULL));
    none(&mut me, notes);
    me.message(&Request::send(port));
    let waits = (notify::MESSAGE_WAITING, port.0.into());
    assert_eq!(one(&mut me, notes), waits);
    // Once is once; the message is still there, and a new request hears of it at once.
    me.message(&Request::send(port));
    none(&mut me, notes);
    watch(&mut me, port, notes).unwrap();
    assert_eq!(one(&mut me, notes), waits);
    for _ in 0..2 {
        assert_eq!(me.poll(port).code, Code::Success);
    }
    watch(&mut me, port, notes).unwrap();
    none(&mut me, notes);
    // Notifications count as messages do.
    let once = Request::send(notes).port(port, disposition::MAKE_SEND_ONCE);
    me.message(&once);
    let once = Name(me.poll(notes).right().name);
    me.deallocate(once).unwrap();
    assert_eq!(one(&mut me, notes), waits);
    for name in [port, notes] {
        me.destroy(name).unwrap();
    }
    assert_eq!(sim.kernel.census(), before);
}

// covers: M-39
#[test]
fn a_set_is_watched_as_a_whole() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    let set = me.allocate(right::PORT_SET).unwrap();
    watch(&mut me, set, notes).unwrap();
    me.message(&Request::send(port));
    none(&mut me, notes);
    me.insert_member(port, set).unwrap();
    let waits = (notify::MESSAGE_WAITING, set.0.into());
    assert_eq!(one(&mut me, notes), waits, "the member came with a message");
    watch(&mut me, set, notes).unwrap();
    assert_eq!(one(&mut me, notes), waits);
    assert_eq!(me.poll(set).code, Code::Success);
    watch(&mut me, set, notes).unwrap();
    none(&mut me, notes);
    me.message(&Request::send(port));
    assert_eq!(one(&mut me, notes), waits);
}

// covers: M-39 N-04
#[test]
fn who_watches_what_goes_is_told_so_once() {
    let (mut sim, first) = Sim::single();
    let before = sim.kernel.census();
    let mut me = sim.on(first);
    let notes = me.port();
    let receive = me.allocate(right::RECEIVE).unwrap();
    let set = me.allocate(right::PORT_SET).unwrap();
    for name in [receive, set] {
        watch(&mut me, name, notes).unwrap();
        me.destroy(name).unwrap();
        assert_eq!(one(&mut me, notes), (notify::PORT_DELETED, name.0.into()));
    }
    // The right moves away, and the name stays for the send right.
    let (moved, to) = (me.port(), me.port());
    watch(&mut me, moved, notes).unwrap();
    let letter = Request::send(to).port(moved, disposition::MOVE_RECEIVE);
    assert_eq!(me.message(&letter).code, Code::Success);
    assert_eq!(one(&mut me, notes), (notify::PORT_DELETED, moved.0.into()));
    // It dies, and the name becomes a dead one.
    let dies = me.port();
    watch(&mut me, dies, notes).unwrap();
    me.mod_refs(dies, right::RECEIVE, -1).unwrap();
    assert_eq!(one(&mut me, notes), (notify::DEAD_NAME, dies.0.into()));
    assert_eq!(me.refs(dies, right::DEAD_NAME), Ok(2));
    for name in [to, moved, dies, notes] {
        me.destroy(name).unwrap();
    }
    assert_eq!(sim.kernel.census(), before);
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: M-39 N-01
#[test]
fn it_needs_a_receive_right_or_a_set_and_gives_way_to_the_next_request() {
    let (mut sim, first) = Sim::single();
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    let dead = me.allocate(right::DEAD_NAME).unwrap();
    assert_eq!(watch(&mut me, dead, notes), Err(KernReturn::InvalidRight));
    assert_eq!(
        watch(&mut me, Name(0x7777_0001), notes),
        Err(KernReturn::InvalidName)
    );
    assert_eq!(
        watch(&mut me, port, dead),
        Err(KernReturn::InvalidCapability)
    );
    watch(&mut me, port, notes).unwrap();
    let previous = watch(&mut me, port, Name::NULL).unwrap();
    assert_eq!(me.refs(previous, right::SEND_ONCE), Ok(1));
    me.message(&Request::send(port));
    none(&mut me, notes);
    watch(&mut me, port, notes).unwrap();
    assert_eq!(one(&mut me, notes).0, notify::MESSAGE_WAITING);
}

// covers: M-39
#[test]
fn what_goes_straight_to_a_thread_that_waits_is_not_told() {
    let (mut sim, first) = Sim::single();
    let waiter = sim.add_thread(first);
    let mut me = sim.on(first);
    let (port, notes) = (me.port(), me.port());
    watch(&mut me, port, notes).unwrap();
    sim.until_runs(waiter);
    assert!(
        sim.on(waiter)
            .start_message(&Request::receive(port))
            .is_none()
    );
    sim.until_runs(first);
    let mut me = sim.on(first);
    assert_eq!(me.message(&Request::send(port)).code, Code::Success);
    none(&mut me, notes);
    assert_eq!(me.message(&Request::send(port)).code, Code::Success);
    assert_eq!(one(&mut me, notes).0, notify::MESSAGE_WAITING);
}
