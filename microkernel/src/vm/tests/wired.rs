//! Wired memory of pagers, and what becomes of wired memory that is copied and shared.

use super::orders::FLUSH;
use super::*;
use abi::vm::copy_strategy;

// covers: V-12 O-05
#[test]
fn a_wired_page_of_a_pager_stays_until_the_last_one_lets_it_go() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (a, b) = (rig.map(), rig.map());
    for map in [a, b] {
        rig.map_shared(map, pager, 100);
        rig.wire(map, (at(10), pages(80)), RW).unwrap();
    }
    assert_eq!(rig.supplied(pager), 80);
    rig.store(a, 10, 1).unwrap();
    assert_eq!(rig.order(pager, (0, 100), &FLUSH), 80, "all were dirty");
    assert_eq!(rig.supplied(pager), 80, "and none goes");
    assert_eq!(rig.load(b, 10), Ok(1));
    rig.store(b, 10, 2).unwrap();
    assert_eq!(rig.order(pager, (0, 100), &FLUSH), 1, "a write is noticed");
    // One lets go by steps, the other by its end.
    assert_eq!(rig.unwire(a, (at(10), pages(80))).unwrap(), 2);
    rig.order(pager, (0, 100), &FLUSH);
    assert_eq!(rig.supplied(pager), 80);
    rig.deallocate(b, 60, 10).unwrap();
    rig.order(pager, (0, 100), &FLUSH);
    assert_eq!(rig.supplied(pager), 70);
    assert!(rig.destroy(b) >= 3, "70 pages in one step");
    rig.order(pager, (0, 100), &FLUSH);
    assert_eq!(rig.supplied(pager), 0);
    rig.end_pagers();
}

// covers: V-12
#[test]
fn wiring_to_read_does_not_write() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let map = rig.map();
    rig.map_shared(map, pager, 4);
    rig.wire(map, (at(0), pages(4)), protection::READ).unwrap();
    assert_eq!(rig.order(pager, (0, 4), &FLUSH), 0, "they are clean");
    assert_eq!(rig.supplied(pager), 4);
    // The same memory, wired by other regions and often.
    rig.wire(map, (at(1), pages(2)), RW).unwrap();
    rig.unwire(map, (at(0), pages(4))).unwrap();
    assert_eq!(rig.order(pager, (0, 4), &FLUSH), 2);
    assert_eq!(rig.supplied(pager), 2);
    rig.unwire(map, (at(1), pages(2))).unwrap();
    rig.order(pager, (0, 4), &FLUSH);
    assert_eq!(rig.supplied(pager), 0);
    rig.end_pagers();
}
