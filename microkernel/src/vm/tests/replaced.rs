//! `map` with `OVERWRITE`: what is there is replaced at once, whatever its size, or stays as it is.

use super::*;
use crate::machine::Machine;
use crate::vm::{Entry, RegionInfo, Which, cost};
use abi::vm::{copy_strategy, map_flags};
use proptest::prelude::*;

impl Rig {
    fn over(&self, page: u64, count: u64) -> MapRequest {
        MapRequest {
            flags: map_flags::OVERWRITE,
            ..self.request(Source::Anonymous, page, count)
        }
    }

    /// A map with pages that are all written.
    fn filled(&mut self, count: u64) -> MapId {
        let map = self.map();
        self.allocate(map, 0, count);
        for page in 0..count {
            self.store(map, page, 7).unwrap();
        }
        map
    }

    /// Overwrites, and does not settle what that leaves.
    fn replace(&mut self, map: MapId, request: MapRequest) {
        loop {
            let got = self.with(|vm, context| vm.map(context, map, request));
            self.verify();
            if got.unwrap() == Progress::Done(request.address) {
                return;
            }
        }
    }

    /// Charges a ledger, so that this much is left of a resource; returns how much it was charged.
    fn use_up(&mut self, ledger: LedgerId, what: Resource, left: u64) -> u64 {
        let spare = self.ledgers.limit(ledger, what) - self.ledgers.used(ledger, what) - left;
        self.ledgers.charge(ledger, what, spare).unwrap();
        spare
    }

    fn regions(&self, map: MapId) -> Vec<RegionInfo> {
        let next = |from| self.vm.region(map, from).ok();
        core::iter::successors(next(0), |region| next(region.start + region.size)).collect()
    }
}

// covers: V-07
#[test]
fn between_two_steps_all_is_old_or_all_is_new() {
    let mut rig = Rig::new();
    let map = rig.filled(300);
    for page in (0..300).step_by(7) {
        let range = (at(page), pages(1));
        rig.finish(|vm, context| vm.protect(context, map, range, Which::Current, protection::READ))
            .unwrap();
    }
    let request = rig.over(10, 280);
    let mut steps = 0;
    loop {
        let got = rig.with(|vm, context| vm.map(context, map, request));
        rig.verify();
        let expected = match got.unwrap() {
            Progress::More => 7,
            Progress::Done(_) => 0,
        };
        for page in 10..290 {
            assert_eq!(rig.load(map, page), Ok(expected), "{page} in step {steps}");
        }
        steps += 1;
        if expected == 0 {
            break;
        }
    }
    assert_eq!(steps, 2, "one makes regions end there");
    // What is written now is not taken away with what was replaced.
    rig.store(map, 100, 9).unwrap();
    rig.store(map, 289, 9).unwrap();
    rig.settle();
    assert_eq!(
        [9, 10, 100, 289, 290].map(|page| rig.load(map, page).unwrap()),
        [7, 0, 9, 9, 7]
    );
    assert_eq!(rig.vm.region(map, at(10)).unwrap().size, pages(280));
    assert_eq!(rig.vm.census()[1], 20 + 280);
    rig.assert_empty();
}

// covers: V-07 V-03
#[test]
fn what_cannot_be_replaced_stays_as_it_is() {
    let mut rig = Rig::new();
    let map = rig.filled(200);
    let (before, ledger) = (rig.regions(map), rig.vm.ledger(map).unwrap());
    let request = rig.over(50, 100);
    let refused = |rig: &mut Rig| rig.with(|vm, context| vm.map(context, map, request));
    let shortage = Err(KernReturn::ResourceShortage);
    // Regions for none, one, and two more: it takes one for each end and itself. Pages for tables.
    let entry = cost::<Entry>();
    for (what, left) in [
        (Resource::KernelBytes, 0),
        (Resource::KernelBytes, entry),
        (Resource::KernelBytes, 2 * entry),
        (Resource::Pages, 4),
    ] {
        let spare = rig.use_up(ledger, what, left);
        let mut got = refused(&mut rig);
        if got == Ok(Progress::More) {
            got = refused(&mut rig);
        }
        assert_eq!(got, shortage, "{left} left");
        rig.ledgers.release(ledger, what, spare);
        rig.verify();
        assert_eq!(rig.regions(map), before, "{left} left");
        for page in 0..200 {
            assert_eq!(rig.load(map, page), Ok(7), "{left} left");
        }
    }
    let all: Vec<Page> = core::iter::from_fn(|| rig.machine.allocate_page()).collect();
    assert_eq!(refused(&mut rig), Ok(Progress::More));
    assert_eq!(refused(&mut rig), shortage, "no memory");
    for page in all {
        rig.machine.free_page(page);
    }
    for page in 0..200 {
        assert_eq!(rig.load(map, page), Ok(7));
    }
    assert_eq!(rig.regions(map), before, "nor is it in parts");
    assert_eq!(rig.do_map(map, request), Ok(at(50)));
    assert_eq!(rig.load(map, 50), Ok(0));
    rig.assert_empty();
}

// covers: V-07 V-02
#[test]
fn pages_that_are_to_be_freed_are_no_shortage() {
    let mut rig = Rig::new();
    let account = rig.account(230);
    let map = rig.map_for(account);
    rig.allocate(map, 0, 200);
    for page in 0..200 {
        rig.store(map, page, 7).unwrap();
    }
    let request = rig.over(0, 200);
    rig.replace(map, request);
    assert!(!rig.vm.is_settled());
    let fault = |rig: &mut Rig, page| {
        rig.with(|vm, context| vm.fault(context, map, at(page), Access::Write))
    };
    let first = (0..200)
        .find(|page| fault(&mut rig, *page).is_err())
        .unwrap();
    assert_eq!(fault(&mut rig, first), Err(STALLED), "it is tried again");
    let again = rig.with(|vm, context| vm.await_page(context, map, None));
    assert_eq!(again, Ok(None), "at once");
    rig.settle();
    for page in 0..200 {
        rig.store(map, page, 8).unwrap();
    }
    rig.assert_empty();
}

// covers: V-07 T-02
#[test]
fn a_map_that_ends_takes_what_it_replaced_along() {
    for settled in 0..6 {
        let mut rig = Rig::new();
        let map = rig.filled(300);
        for (page, count) in [(20, 200), (10, 150), (0, 40)] {
            let request = rig.over(page, count);
            rig.replace(map, request);
            rig.store(map, page, 1).unwrap();
        }
        for _ in 0..settled {
            let progress = rig.with(|vm, context| vm.settle(context));
            assert_eq!(progress, Progress::More);
            rig.verify();
        }
        rig.destroy(map);
        rig.assert_empty();
    }
}

// covers: V-07 V-12 O-07
#[test]
fn wired_memory_of_a_pager_is_let_go_and_its_end_is_told() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (a, b) = (rig.map(), rig.map());
    for map in [a, b] {
        rig.map_shared(map, pager, 150);
        rig.wire(map, (at(0), pages(150)), RW).unwrap();
    }
    let request = rig.over(0, 150);
    rig.replace(a, request);
    // An order meets what was replaced, still wired, in the list of those that show the object.
    rig.store(b, 3, 1).unwrap();
    rig.order(pager, (0, 150), &orders::FLUSH);
    assert_eq!(rig.supplied(pager), 150, "b holds them");
    assert_eq!(rig.load(a, 3), Ok(0));
    rig.settle();
    rig.replace(b, request);
    rig.settle();
    rig.order(pager, (0, 150), &orders::FLUSH);
    assert_eq!(rig.supplied(pager), 0, "nobody holds them");
    rig.end_pagers();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    /// Overwriting, writing and forking at random, with what was replaced settled now and then.
    #[test]
    fn random_replacements_agree_with_a_list(
        steps in prop::collection::vec((0..6u8, 0..140u64, 1..130u64), 1..30),
    ) {
        let mut rig = Rig::new();
        let map = rig.filled(140);
        let mut model = std::vec![7; 140];
        let mut children = Vec::new();
        for (value, (step, page, count)) in (10..).zip(steps) {
            let count = count.min(140 - page);
            match step {
                0..=2 => {
                    let request = rig.over(page, count);
                    rig.replace(map, request);
                    model[page as usize..(page + count) as usize].fill(0);
                }
                3 => for page in (page..page + count).step_by(9) {
                    rig.store(map, page, value).unwrap();
                    model[page as usize] = value;
                }
                4 => children.push((rig.fork(map), model.clone())),
                _ => {
                    let _progress = rig.with(|vm, context| vm.settle(context));
                    rig.verify();
                }
            }
        }
        children.push((map, model));
        for (map, model) in children {
            for (page, value) in (0..).zip(model) {
                prop_assert_eq!(rig.load(map, page), Ok(value));
            }
        }
        rig.assert_empty();
    }
}
