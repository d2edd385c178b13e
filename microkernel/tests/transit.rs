//! Receive rights that travel in messages to ports that travel: chains of any depth.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use abi::kern_return::MessageReturn as Code;
use abi::names::{Name, disposition, right};
use abi::notify;
use microkernel::ipc::transit::MAX_WALK;
use microkernel::machine::FrameIndex;
use sim::{Request, Sim};

/// Deeper than any search goes.
const DEEP: usize = MAX_WALK as usize * 4;

/// Sends `what`'s receive right to a port.
fn send(sim: &mut Sim, thread: FrameIndex, to: Name, what: Name) {
    let letter = Request::send(to).port(what, disposition::MOVE_RECEIVE);
    assert_eq!(sim.on(thread).message(&letter).code, Code::Success);
}

/// Whether a send right under a name is still alive.
fn lives(sim: &mut Sim, thread: FrameIndex, name: Name) -> bool {
    sim.on(thread).refs(name, right::SEND) == Ok(1)
}

/// Ports, each with a send right under the same name.
fn ports(sim: &mut Sim, thread: FrameIndex, count: usize) -> Vec<Name> {
    (0..count).map(|_| sim.on(thread).port()).collect()
}

// covers: M-26 M-27
#[test]
fn a_chain_of_any_depth_is_made_from_either_end_and_ended() {
    for inward in [false, true] {
        let (mut sim, first) = Sim::single();
        let before = sim.kernel.census();
        let chain = ports(&mut sim, first, DEEP);
        // Each port travels in the queue of the one behind it.
        let mut links: Vec<_> = chain.windows(2).map(|pair| (pair[1], pair[0])).collect();
        if inward {
            links.reverse();
        }
        for (carrier, moved) in links {
            send(&mut sim, first, carrier, moved);
        }
        assert!(chain.iter().all(|name| lives(&mut sim, first, *name)));
        let last = *chain.last().unwrap();
        sim.on(first).mod_refs(last, right::RECEIVE, -1).unwrap();
        for name in chain {
            assert!(!lives(&mut sim, first, name));
            sim.on(first).deallocate(name).unwrap();
        }
        assert_eq!(sim.kernel.census(), before);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

// covers: M-25 N-04
#[test]
fn who_waits_gets_what_came_to_a_port_before_it_moved() {
    let (mut sim, first) = Sim::single();
    let waiter = sim.add_thread(first);
    let other = sim.add_task();
    let mut me = sim.on(first);
    me.register_buffer();
    let (port, elsewhere) = (me.port(), me.port());
    let far = sim.on(other).port();
    let far = sim.give(other, far, disposition::MAKE_SEND, first);
    let mut me = sim.on(first);
    me.request(far, notify::DEAD_NAME, 0, port).unwrap();
    sim.until_runs(waiter);
    let waits = sim.on(waiter).start_message(&Request::receive(port));
    assert!(waits.is_none());
    sim.until_runs(first);
    // The first right's end tells the port, which moves with the second one.
    let letter = Request::send(elsewhere)
        .port(far, disposition::MOVE_SEND)
        .port(port, disposition::MOVE_RECEIVE);
    assert_eq!(sim.on(first).message(&letter).code, Code::Success);
    sim.until_runs(waiter);
    let told = sim.on(waiter).finish_message();
    assert_eq!((told.code, told.id), (Code::Success, notify::PORT_DELETED));
}

// covers: M-26
#[test]
fn a_port_that_carries_others_is_searched_for_so_far_and_no_farther() {
    for (depth, arrives) in [(MAX_WALK as usize - 1, true), (DEEP, false)] {
        let (mut sim, first) = Sim::single();
        let before = sim.kernel.census();
        let chain = ports(&mut sim, first, depth);
        for pair in chain.windows(2) {
            send(&mut sim, first, pair[1], pair[0]);
        }
        // It carries a port and goes to the inner end.
        let (outer, inner) = (sim.on(first).port(), sim.on(first).port());
        send(&mut sim, first, outer, inner);
        send(&mut sim, first, chain[0], outer);
        assert_eq!(lives(&mut sim, first, outer), arrives);
        assert_eq!(lives(&mut sim, first, inner), arrives);
        let last = *chain.last().unwrap();
        sim.on(first).mod_refs(last, right::RECEIVE, -1).unwrap();
        for name in chain.into_iter().chain([outer, inner]) {
            sim.on(first).deallocate(name).unwrap();
        }
        assert_eq!(sim.kernel.census(), before);
    }
}
