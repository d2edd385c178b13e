//! Pagers that die, and the tasks that map their objects.

use abi::kern_return::KernReturn as K;
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
