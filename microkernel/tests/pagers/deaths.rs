//! Pagers that die, and the tasks that map their objects.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::vm::{protection, returns};
use microkernel::machine::Access;
use sim::Config;

use crate::fixture::{Fixture, PAGE, Told};

// covers: O-08
#[test]
fn a_dead_pager_s_pages_stay_and_what_is_missing_fails() {
    for cpus in 1..=4 {
        let mut f = Fixture::with(Config::with_cpus(cpus));
        let (at, control) = f.ready(4);
        assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
        assert_eq!(f.start_wake(at + PAGE), None);
        assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
        f.sim.end_task(f.pager);
        f.check();
        assert_eq!(f.finish(), Err(K::MemoryError), "who waited is told");
        assert_eq!(f.wake(at + 2 * PAGE), Err(K::MemoryError));
        assert_eq!(f.load(f.client, at), Some(1), "what is there stays");
        f.sim.on(f.client).poke(at, &[2]);
        assert_eq!(f.load(f.client, at), Some(2));
        f.unmap(at, 4);
        let who = (f.client, f.given);
        assert_eq!(f.try_map(who, (0, 1), 0), Err(K::InvalidRight));
        f.check();
    }
}

// covers: O-08
#[test]
fn a_pager_that_ends_its_object_before_it_is_ready_is_dead() {
    let mut f = Fixture::new();
    let at = f.map(1);
    assert_eq!(f.start_wake(at), None);
    f.sim.on(f.pager).destroy(f.object).unwrap();
    f.check();
    assert_eq!(f.finish(), Err(K::MemoryError));
    f.unmap(at, 1);
}

// covers: O-08
#[test]
fn a_pager_that_does_not_answer_holds_up_those_who_need_it_alone() {
    let mut f = Fixture::new();
    let (at, _) = f.ready(2);
    assert_eq!(f.load(f.client, at), None);
    let other = f.sim.add_task();
    for _ in 0..20 {
        f.sim.turn();
        let clock = f.sim.on(other).trap(abi::trap::CLOCK, &[]);
        assert!(clock.is_ok());
    }
    assert!(f.waits(f.client));
    f.sim.end_task(f.client);
    f.check();
}

/// A client has written the first pages of an object whose pager has handed its ports on, and has ended: where they are
/// mapped, and the control port.
fn handed_on(pages: u64) -> (Fixture, u64, Name) {
    let mut f = Fixture::new();
    let (at, control) = f.ready(pages);
    let content: Vec<u8> = (0..pages as u8).collect();
    assert_eq!(f.supply(control, 0, &content).0, K::Success);
    for page in 0..pages {
        f.sim
            .on(f.client)
            .poke(at + page * PAGE, &[100 + page as u8]);
    }
    let heir = f.sim.add_task();
    let control = f.sim.give(f.pager, control, disposition::MOVE_SEND, heir);
    let object = f.object;
    f.object = f.sim.give(f.pager, object, disposition::MOVE_RECEIVE, heir);
    f.sim.end_task(f.pager);
    f.pager = heir;
    f.check();
    (f, at, control)
}

// covers: O-04 O-08
#[test]
fn what_was_written_comes_back_when_who_pays_for_the_object_has_ended() {
    let (mut f, at, _) = handed_on(3);
    let ledgers = f.sim.kernel.census().ledgers;
    f.unmap(at, 3);
    let back = Told::Return {
        page: 0,
        content: vec![100, 101, 102],
        dirty: true,
        kept: false,
    };
    assert_eq!(f.told(), Some(back));
    match f.told() {
        Some(Told::Terminate { control, name }) => f.bury([control, name]),
        other => panic!("no terminate but {other:?}"),
    }
    // The port itself is the last that it is charged with.
    f.sim.on(f.pager).destroy(f.object).unwrap();
    f.check();
    let left = f.sim.kernel.census().ledgers;
    assert_eq!(left, ledgers - 1, "with its last charge a ledger goes");
}

// covers: O-05 O-08
#[test]
fn pages_come_back_by_order_when_who_pays_for_the_object_has_ended() {
    for flush in [0, 1] {
        let (mut f, at, control) = handed_on(2);
        let order = (returns::DIRTY, flush, protection::NO_CHANGE);
        assert_eq!(f.lock(control, (0, 2), order), K::Success);
        let back = Told::Return {
            page: 0,
            content: vec![100, 101],
            dirty: true,
            kept: flush == 0,
        };
        assert_eq!(f.told(), Some(back));
        if flush == 0 {
            assert_eq!(f.touch(f.client, at, Access::Read), Some(100));
        }
        f.check();
    }
}
