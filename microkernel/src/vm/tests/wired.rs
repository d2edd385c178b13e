//! Wired memory of pagers, and what becomes of wired memory that is copied and shared.

use super::orders::{CLEAN, FLUSH};
use super::*;
use crate::vm::Which;
use abi::vm::{copy_strategy, map_flags};

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

// covers: V-12 V-05
#[test]
fn a_child_gets_a_whole_copy_of_wired_memory_of_a_pager() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let map = rig.map();
    rig.map_shared(map, pager, 100);
    rig.wire(map, (at(0), pages(100)), RW).unwrap();
    rig.order(pager, (0, 100), &CLEAN);
    rig.store(map, 7, 1).unwrap();
    let root = rig.vm.root(map).unwrap();
    let mapped = rig.machine.spaces[&root.0].mapped.clone();
    let child = rig.fork(map);
    assert_eq!(rig.machine.spaces[&root.0].mapped, mapped, "no write waits");
    assert_eq!(rig.vm.map_size(child).unwrap().1, 1, "one region");
    // Nothing of it comes from the pager any more.
    rig.store(map, 7, 2).unwrap();
    let before = rig.machine.copies;
    rig.store(map, 50, 2).unwrap();
    assert_eq!(rig.machine.copies, before, "nobody has to keep a page");
    assert_eq!((rig.load(child, 7), rig.load(child, 50)), (Ok(1), Ok(150)));
    assert_eq!(rig.vm.region(child, at(0)).unwrap().wires, 0);
    // What is made private stays wired, and lets the pager's pages go.
    let own = RW | protection::COPY;
    rig.finish(|vm, context| vm.protect(context, map, (at(0), pages(100)), Which::Current, own))
        .unwrap();
    rig.order(pager, (0, 100), &FLUSH);
    assert_eq!(rig.supplied(pager), 0);
    assert_eq!((rig.load(map, 7), rig.load(map, 99)), (Ok(2), Ok(199)));
    assert_eq!(rig.vm.region(map, at(99)).unwrap().wires, 1);
    rig.end_pagers();
}

/// Whoever wires, copies and shares the same memory, in whatever order: the shared view sees each write, the copy none.
// covers: V-09 V-12
#[test]
fn wired_copied_and_shared_memory_keeps_all_three_promises() {
    const ORDERS: [[u8; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in ORDERS {
        let mut rig = Rig::new();
        let (map, copied, shared) = (rig.map(), rig.map(), rig.map());
        rig.allocate(map, 0, 3);
        for page in 0..3 {
            rig.store(map, page, 1).unwrap();
        }
        for what in order {
            let flags = match what {
                0 => {
                    rig.wire(map, (at(0), pages(3)), RW).unwrap();
                    continue;
                }
                1 => map_flags::COPY,
                _ => 0,
            };
            let to = if what == 1 { copied } else { shared };
            let remap = Remap {
                source: map,
                source_address: at(0),
                size: pages(3),
                address: at(0),
                mask: 0,
                flags,
                inheritance: inherit::COPY,
            };
            rig.remap(to, &remap).unwrap();
        }
        rig.store(map, 0, 2).unwrap();
        rig.store(shared, 1, 3).unwrap();
        let seen = |rig: &mut Rig, map| [0, 1, 2].map(|page| rig.load(map, page).unwrap());
        assert_eq!(seen(&mut rig, map), [2, 3, 1], "{order:?}");
        assert_eq!(seen(&mut rig, shared), [2, 3, 1], "{order:?}");
        assert_eq!(seen(&mut rig, copied), [1, 1, 1], "{order:?}");
        rig.store(copied, 2, 4).unwrap();
        assert_eq!(seen(&mut rig, map), [2, 3, 1], "{order:?}");
        assert_eq!(rig.vm.region(map, at(0)).unwrap().wires, 1, "{order:?}");
        rig.unwire(map, (at(0), pages(3))).unwrap();
        rig.assert_empty();
    }
}

// covers: V-05
#[test]
fn a_copy_of_large_shared_memory_takes_as_many_steps_as_it_has_pages() {
    const GIB: u64 = (1 << 30) / PAGE_SIZE;
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 2 * GIB);
    let touched = [1, GIB, 2 * GIB - 1];
    for page in touched {
        rig.store(map, page, 1).unwrap();
    }
    // What others may map is copied at once.
    rig.make_entry(map, (at(0), pages(2 * GIB)), RW).unwrap();
    let account = rig.account(100);
    let child = rig
        .with(|vm, context| vm.fork_map(context, map, account))
        .unwrap();
    rig.maps.push(child);
    let steps = rig.finish(|vm, context| vm.fork_step(context, child));
    assert!(steps.unwrap() <= 4);
    rig.store(map, GIB, 2).unwrap();
    for page in touched {
        assert_eq!(rig.load(child, page), Ok(1));
    }
    assert_eq!(rig.vm.map_size(child).unwrap().1, 1, "one region");
}

/// A message buffer divides its region: what is before and behind it is copied apart, and the object that they were made
/// from stays for the buffer's sake, with the pages that they have replaced. So there are two of each at most.
// covers: V-10 V-12
#[test]
fn a_region_that_a_message_buffer_divides_stays_at_most_twice_however_often_it_is_forked() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 20);
    // Before it is divided: else each part has an object of its own from the beginning.
    for page in 0..20 {
        rig.store(map, page, 77).unwrap();
    }
    let buffer = rig
        .with(|vm, context| vm.wire_buffer(context, map, at(8), pages(4)))
        .unwrap();
    for round in 0..20 {
        let child = rig.fork(map);
        for page in 0..20 {
            rig.store(map, page, round).unwrap();
        }
        rig.store(child, 3, 99).unwrap();
        rig.destroy(child);
        rig.settle();
        // The four pages of the buffer are never copied on a write.
        assert!(rig.vm.census()[1] <= 20 + 16, "round {round}");
        assert!((0..20).all(|page| rig.load(map, page) == Ok(round)));
    }
    rig.with(|vm, context| vm.unwire_buffer(context, buffer));
    rig.deallocate(map, 8, 4).unwrap();
    assert_eq!(rig.vm.census()[1], 16, "nothing keeps what was replaced");
    rig.assert_empty();
}
