//! Allocate, deallocate, protect, map, region: what is where, and with which rights.

use std::collections::BTreeSet;

use super::*;
use crate::vm::{RegionInfo, Sharing, Which};
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS, map_flags};
use proptest::prelude::*;

fn allocate(rig: &mut Rig, map: MapId, address: u64, size: u64, flags: u64) -> KernResult<u64> {
    rig.with(|vm, context| allocate_now(vm, context, map, (address, size), flags))
}

// covers: V-01
#[test]
fn allocate_answers_as_mach_does() {
    let mut rig = Rig::new();
    let map = rig.map();
    let cases = [
        (at(0), pages(2), flags::FIXED, Ok(at(0))),
        (at(0), 1, flags::FIXED, Err(KernReturn::NoSpace)),
        (at(1), 1, flags::FIXED, Err(KernReturn::NoSpace)),
        (at(0), pages(1), flags::ANYWHERE, Ok(at(2))),
        (at(7), 0, flags::FIXED, Ok(0)),
        (0, 1, flags::FIXED, Err(KernReturn::InvalidAddress)),
        (0, 1, flags::ANYWHERE, Ok(0x1000)),
        (
            MAX_ADDRESS,
            1,
            flags::FIXED,
            Err(KernReturn::InvalidAddress),
        ),
        (MAX_ADDRESS - 1, 1, flags::FIXED, Ok(MAX_ADDRESS - pages(1))),
        (
            at(9),
            u64::MAX,
            flags::FIXED,
            Err(KernReturn::InvalidArgument),
        ),
        (
            at(9),
            u64::MAX,
            flags::ANYWHERE,
            Err(KernReturn::InvalidArgument),
        ),
        (0, MAX_ADDRESS, flags::ANYWHERE, Err(KernReturn::NoSpace)),
        (u64::MAX, 1, flags::ANYWHERE, Err(KernReturn::NoSpace)),
        (at(9), 1, 2, Err(KernReturn::InvalidArgument)),
        (at(9) + 5, pages(1), flags::FIXED, Ok(at(9))),
    ];
    for (address, size, flags, expected) in cases {
        let got = allocate(&mut rig, map, address, size, flags);
        assert_eq!(got, expected, "{address:#x} {size:#x} {flags}");
        rig.verify();
    }
    let resident = rig.vm.census()[1];
    assert_eq!(resident, 0, "untouched memory takes no pages");
    assert_eq!(
        rig.vm.region(map, at(10)).unwrap().start,
        at(9),
        "unaligned: both pages"
    );
    rig.assert_empty();
}

// covers: V-01
#[test]
fn anywhere_finds_the_first_hole_that_is_large_enough() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 300);
    for (page, count) in [(3, 1), (10, 2), (50, 3), (200, 2)] {
        rig.deallocate(map, page, count).unwrap();
    }
    let first = allocate(&mut rig, map, at(0), pages(2), flags::ANYWHERE);
    assert_eq!(first, Ok(at(10)));
    let after_hint = allocate(&mut rig, map, at(60), pages(2), flags::ANYWHERE);
    assert_eq!(after_hint, Ok(at(200)));
    let inside_hole = allocate(&mut rig, map, at(51), pages(2), flags::ANYWHERE);
    assert_eq!(inside_hole, Ok(at(51)));
    let behind = allocate(&mut rig, map, at(0), pages(3), flags::ANYWHERE);
    assert_eq!(behind, Ok(at(300)));
    rig.assert_empty();
}

// covers: V-02
#[test]
fn deallocate_takes_whole_pages_and_does_not_mind_holes() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 10);
    for page in 0..10 {
        rig.store(map, page, 7).unwrap();
    }
    let unaligned = (at(3) + 100, 50);
    rig.finish(|vm, context| vm.deallocate(context, map, unaligned.0, unaligned.1))
        .unwrap();
    assert_eq!(rig.load(map, 3), Err(KernReturn::InvalidAddress));
    assert_eq!(rig.vm.census()[1], 9, "the page is free at once");
    assert!(rig.deallocate(map, 2, 4).is_ok(), "with a hole");
    assert!(rig.deallocate(map, 2, 4).is_ok(), "twice");
    assert!(rig.deallocate(map, 2, 0).is_ok(), "nothing");
    let wraps = rig.with(|vm, context| vm.deallocate(context, map, at(0), u64::MAX));
    assert_eq!(wraps, Err(KernReturn::InvalidArgument));
    assert_eq!(rig.load(map, 1), Ok(7));
    rig.allocate(map, 3, 1);
    assert_eq!(rig.load(map, 3), Ok(0), "reallocated memory is zero");
    rig.assert_empty();
}

// covers: V-02
#[test]
fn large_work_goes_in_steps_of_64_pages_and_untouched_memory_costs_none() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 1 << 30);
    assert_eq!(rig.deallocate(map, 0, 1 << 30), Ok(1));
    rig.allocate(map, 0, 200);
    for page in 0..200 {
        rig.store(map, page, 1).unwrap();
    }
    let flushes = rig.machine.flushes;
    let steps = rig.deallocate(map, 0, 200).unwrap();
    assert!((4..=6).contains(&steps), "{steps}");
    assert!(rig.machine.flushes - flushes <= 4, "one flush for a batch");
    rig.assert_empty();
}

fn protect(
    rig: &mut Rig,
    map: MapId,
    range: (u64, u64),
    which: Which,
    rights: u32,
) -> KernResult<u32> {
    rig.finish(|vm, context| vm.protect(context, map, range, which, rights))
}

// covers: V-03
#[test]
fn protect_changes_all_of_a_range_or_nothing() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 4);
    rig.allocate(map, 5, 4);
    rig.store(map, 1, 1).unwrap();
    let read = protection::READ;
    let hole = protect(&mut rig, map, (at(0), pages(9)), Which::Current, read);
    assert_eq!(hole, Err(KernReturn::InvalidAddress));
    assert_eq!(rig.store(map, 0, 1), Ok(()), "nothing changed");
    assert!(protect(&mut rig, map, (at(1), pages(2)), Which::Current, read).is_ok());
    assert_eq!(rig.store(map, 1, 2), Err(KernReturn::ProtectionFailure));
    assert_eq!((rig.load(map, 1), rig.store(map, 3, 2)), (Ok(1), Ok(())));
    assert!(protect(&mut rig, map, (at(1), pages(2)), Which::Current, RW).is_ok());
    assert_eq!(rig.store(map, 1, 2), Ok(()));
    assert_eq!(
        protect(&mut rig, map, (at(4), 0), Which::Current, read),
        Ok(1),
        "size 0"
    );
    let wraps = protect(&mut rig, map, (at(4), u64::MAX), Which::Current, read);
    assert_eq!(wraps, Err(KernReturn::InvalidArgument));
    let bits = protect(&mut rig, map, (at(0), 1), Which::Current, 8);
    assert_eq!(bits, Err(KernReturn::InvalidArgument));
    rig.assert_empty();
}

// covers: V-03
#[test]
fn a_maximum_only_falls_and_takes_the_current_protection_with_it() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 2);
    rig.store(map, 0, 1).unwrap();
    let range = (at(0), pages(1));
    assert!(protect(&mut rig, map, range, Which::Maximum, protection::READ).is_ok());
    assert_eq!(rig.store(map, 0, 1), Err(KernReturn::ProtectionFailure));
    for which in [Which::Current, Which::Maximum] {
        let raised = protect(&mut rig, map, (at(0), pages(2)), which, RW);
        assert_eq!(raised, Err(KernReturn::ProtectionFailure));
    }
    assert_eq!(rig.store(map, 1, 1), Ok(()));
    rig.assert_empty();
}

// covers: V-03
#[test]
fn memory_is_writable_or_executable_and_never_both_at_once() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 1);
    rig.store(map, 0, 9).unwrap();
    let range = (at(0), pages(1));
    let both = protect(&mut rig, map, range, Which::Current, protection::ALL);
    assert_eq!(both, Err(KernReturn::ProtectionFailure));
    assert!(protect(&mut rig, map, range, Which::Current, RX).is_ok());
    assert!(rig.touch(map, at(0), Access::Execute).is_ok());
    assert_eq!(rig.store(map, 0, 1), Err(KernReturn::ProtectionFailure));
    // A map that may have both gets them in turns: the machine asserts that.
    rig.vm.allow_jit(map);
    assert!(protect(&mut rig, map, range, Which::Current, protection::ALL).is_ok());
    for _ in 0..2 {
        rig.store(map, 0, 1).unwrap();
        rig.machine.assert_flushed();
        rig.touch(map, at(0), Access::Execute).unwrap();
        rig.machine.assert_flushed();
    }
    rig.assert_empty();
}

// covers: V-06
#[test]
fn map_checks_every_argument() {
    let mut rig = Rig::new();
    let map = rig.map();
    let account = rig.accounts[0];
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(4), protection::ALL, account))
        .unwrap();
    let good = rig.request(Source::Entry(entry, 0), 0, 4);
    let part = |offset| Source::Entry(entry, offset);
    let bad = [
        MapRequest { size: 0, ..good },
        MapRequest {
            size: u64::MAX,
            ..good
        },
        MapRequest {
            source: part(pages(1)),
            ..good
        },
        MapRequest {
            source: part(u64::MAX - 4095),
            ..good
        },
        MapRequest {
            source: part(1),
            size: 1,
            ..good
        },
        MapRequest {
            source: part(pages(1)),
            size: u64::MAX - 4095,
            ..good
        },
        MapRequest {
            protection: RW,
            maximum: protection::READ,
            ..good
        },
        MapRequest {
            protection: 8,
            ..good
        },
        MapRequest {
            inheritance: 3,
            ..good
        },
        MapRequest { flags: 8, ..good },
    ];
    for request in bad {
        assert_eq!(
            rig.do_map(map, request),
            Err(KernReturn::InvalidArgument),
            "{request:?}"
        );
    }
    let both = MapRequest {
        protection: protection::ALL,
        ..good
    };
    assert_eq!(rig.do_map(map, both), Err(KernReturn::ProtectionFailure));
    assert_eq!(rig.do_map(map, good), Ok(at(0)));
    assert_eq!(rig.do_map(map, good), Err(KernReturn::NoSpace));
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    let dead = rig.do_map(map, rig.request(Source::Entry(entry, 0), 9, 1));
    assert_eq!(dead, Err(KernReturn::InvalidCapability));
    rig.assert_empty();
}

// covers: V-06 V-07
#[test]
fn overwrite_replaces_what_is_there() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 100);
    for page in 0..100 {
        rig.store(map, page, 5).unwrap();
    }
    let request = MapRequest {
        flags: map_flags::OVERWRITE,
        ..rig.request(Source::Anonymous, 10, 80)
    };
    assert_eq!(rig.do_map(map, request), Ok(at(10)));
    assert_eq!((rig.load(map, 9), rig.load(map, 10)), (Ok(5), Ok(0)));
    assert_eq!((rig.load(map, 89), rig.load(map, 90)), (Ok(0), Ok(5)));
    rig.assert_empty();
}

// covers: V-08
#[test]
fn region_tells_what_is_at_or_above_an_address() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 2, 6);
    rig.store(map, 3, 1).unwrap();
    rig.store(map, 6, 1).unwrap();
    assert!(
        protect(
            &mut rig,
            map,
            (at(6), pages(2)),
            Which::Current,
            protection::READ
        )
        .is_ok()
    );
    let expected = RegionInfo {
        start: at(2),
        size: pages(4),
        protection: RW,
        maximum: protection::ALL,
        inheritance: inherit::COPY,
        sharing: Sharing::Private,
        wired: false,
        resident: 1,
        swapped: 0,
        wires: 0,
        behavior: abi::vm::behavior::DEFAULT,
        offset: 0,
        references: 2,
        depth: 0,
        paged: false,
        object: rig.vm.region(map, 0).unwrap().object,
        large: false,
    };
    assert_ne!(expected.object, 0);
    assert_eq!(rig.vm.region(map, 0), Ok(expected));
    assert_eq!(rig.vm.region(map, at(5)), Ok(expected));
    let second = rig.vm.region(map, at(6)).unwrap();
    assert_eq!(
        (second.start, second.protection, second.resident),
        (at(6), protection::READ, 1)
    );
    assert_eq!(second.object, expected.object, "one object, two regions");
    assert_eq!(rig.vm.region(map, at(8)), Err(KernReturn::InvalidAddress));
    rig.assert_empty();
}

#[test]
fn neighbours_that_are_alike_become_one_region() {
    let mut rig = Rig::new();
    let map = rig.map();
    for page in [0, 2, 1] {
        rig.allocate(map, page, 1);
    }
    assert_eq!(rig.vm.map_size(map).unwrap().1, 1);
    rig.store(map, 1, 1).unwrap();
    let middle = (at(1), pages(1));
    assert!(protect(&mut rig, map, middle, Which::Current, protection::READ).is_ok());
    assert_eq!(rig.vm.map_size(map).unwrap().1, 3);
    assert!(protect(&mut rig, map, middle, Which::Current, RW).is_ok());
    assert_eq!(rig.vm.map_size(map).unwrap().1, 1);
    rig.assert_empty();
}

proptest! {
    // covers: V-01
    #[test]
    fn memory_anywhere_comes_at_the_first_place_from_the_hint_on(
        steps in prop::collection::vec((0..3_u8, 0..80_u64, 1..6_u64), 1..60),
    ) {
        let mut rig = Rig::new();
        let map = rig.map();
        // All below the window is taken.
        let below = BASE - MIN_ADDRESS;
        rig.with(|vm, context| allocate_now(vm, context, map, (MIN_ADDRESS, below), flags::FIXED)).unwrap();
        let mut taken = BTreeSet::new();
        for (step, page, count) in steps {
            let wanted = page..page + count;
            match step {
                0 => {
                    rig.deallocate(map, page, count).unwrap();
                    taken.retain(|page| !wanted.contains(page));
                }
                1 if taken.range(wanted.clone()).next().is_none() => {
                    rig.allocate(map, page, count);
                    // So that neighbours stay two regions.
                    rig.store(map, page, 1).unwrap();
                    taken.extend(wanted);
                }
                _ => {
                    let free = (page..).find(|at| taken.range(*at..at + count).next().is_none());
                    let free = free.unwrap();
                    let got = rig.with(|vm, context| {
                        allocate_now(vm, context, map, (at(page), pages(count)), flags::ANYWHERE)
                    });
                    prop_assert_eq!(got, Ok(at(free)));
                    taken.extend(free..free + count);
                }
            }
            rig.verify();
        }
        rig.assert_empty();
    }
}
