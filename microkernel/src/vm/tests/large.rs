//! Large pages: mapped by one entry, split where a part of them changes.

use super::*;
use crate::machine::{Caching, LARGE, Machine};
use crate::vm::Which;
use crate::vm::test_machine::PHYSICAL;
use abi::vm::{LARGE_PAGE_SIZE, MAX_ADDRESS, map_flags};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Where they are put.
const HERE: u64 = 16 * LARGE_PAGE_SIZE;

impl Rig {
    fn large_pages(&self, map: MapId) -> u64 {
        self.machine.large_pages(self.vm.root(map).unwrap())
    }

    /// A memory entry of device memory, `skip` pages behind one that begins a large page.
    fn device(&mut self, skip: u32, count: u64) -> MemoryEntryId {
        let first = Page(PHYSICAL + skip);
        let range = first..Page(first.0 + count as u32);
        self.with(|vm, context| vm.make_physical(context, range, Caching::Uncached, RW, None))
            .unwrap()
    }

    fn map_device(&mut self, map: MapId, entry: MemoryEntryId, flags: u64) -> u64 {
        let (size, _) = self.vm.memory_entry(entry).unwrap();
        let request = MapRequest {
            address: HERE,
            size,
            flags,
            inheritance: inherit::SHARE,
            maximum: RW,
            ..self.request(Source::Entry(entry, 0), 0, 1)
        };
        self.do_map(map, request).unwrap()
    }

    fn deallocate_at(&mut self, map: MapId, address: u64, size: u64) -> u32 {
        self.finish(|vm, context| vm.deallocate(context, map, address, size))
            .unwrap()
    }

    fn release_entry(&mut self, entry: MemoryEntryId) {
        self.with(|vm, context| vm.release_memory_entry(context, entry));
        self.settle();
    }
}

// covers: V-06 V-02 V-03
#[test]
fn device_memory_is_mapped_by_large_pages_until_a_part_changes() {
    let mut rig = Rig::new();
    let map = rig.map();
    let entry = rig.device(0, 3 * LARGE);
    assert_eq!(rig.map_device(map, entry, 0), HERE);
    let page = |n: u64| HERE + n * PAGE_SIZE;
    for (n, large) in [(5, 1), (LARGE - 1, 1), (3 * LARGE - 1, 2), (LARGE, 3)] {
        rig.touch(map, page(n), Access::Write).unwrap();
        rig.verify();
        assert_eq!(rig.large_pages(map), large, "{n}");
    }
    let tables = rig
        .ledgers
        .used(rig.vm.ledger(map).unwrap(), Resource::Pages);
    assert_eq!(tables, 6, "one a level, and one for each large page");
    // As a whole it stays one, and what is taken away is.
    let protect = |rig: &mut Rig, from: u64, count: u64, rights: u32| {
        let range = (page(from), count * PAGE_SIZE);
        rig.finish(|vm, context| vm.protect(context, map, range, Which::Current, rights))
            .unwrap();
    };
    protect(&mut rig, LARGE, LARGE, protection::READ);
    assert_eq!(rig.large_pages(map), 3);
    let denied = rig.touch(map, page(LARGE + 7), Access::Write);
    assert_eq!(denied, Err(KernReturn::ProtectionFailure));
    // In part, it is split, and the rest needs no fault.
    protect(&mut rig, 2, 1, protection::READ);
    rig.deallocate_at(map, page(3 * LARGE - 1), PAGE_SIZE);
    assert_eq!(rig.large_pages(map), 1);
    let root = rig.vm.root(map).unwrap();
    for (n, right, mapped) in [
        (1, protection::WRITE, true),
        (2, protection::WRITE, false),
        (2, protection::READ, true),
        (3, protection::WRITE, true),
        (2 * LARGE, protection::WRITE, true),
        (3 * LARGE - 1, protection::READ, false),
    ] {
        let found = rig.machine.translate(root, page(n), right);
        let expected = mapped.then_some(Page(PHYSICAL + n as u32));
        assert_eq!(found, expected, "{n}");
    }
    // Nothing that a region does not show as a whole becomes one again.
    protect(&mut rig, 2, 1, RW);
    rig.touch(map, page(2), Access::Write).unwrap();
    assert_eq!(rig.large_pages(map), 2, "whole again");
    protect(&mut rig, LARGE + 1, 1, RW);
    rig.touch(map, page(LARGE + 1), Access::Write).unwrap();
    assert_eq!(rig.large_pages(map), 1);
    rig.deallocate_at(map, HERE, 3 * LARGE_PAGE_SIZE);
    assert_eq!(rig.large_pages(map), 0);
    assert_eq!(
        tables,
        rig.ledgers
            .used(rig.vm.ledger(map).unwrap(), Resource::Pages)
    );
    rig.release_entry(entry);
    rig.assert_empty();
}

// covers: V-06 V-12
#[test]
fn a_place_that_may_be_chosen_suits_large_pages() {
    let mut rig = Rig::new();
    let (map, child) = (rig.map(), rig.map());
    let (whole, shifted) = (rig.device(0, 2 * LARGE), rig.device(1, 2 * LARGE));
    rig.with(|vm, context| allocate_now(vm, context, map, (HERE, PAGE_SIZE), flags::FIXED))
        .unwrap();
    let other = rig.map_device(map, shifted, map_flags::ANYWHERE);
    assert_eq!(other, HERE + PAGE_SIZE, "it does not begin with one");
    let place = rig.map_device(map, whole, map_flags::ANYWHERE);
    assert_eq!(place, HERE + 3 * LARGE_PAGE_SIZE);
    // To wire it takes a few steps, each of which maps a large page at most once.
    rig.wire(map, (place, 2 * LARGE_PAGE_SIZE), RW).unwrap();
    assert_eq!(rig.large_pages(map), 2);
    rig.touch(map, other + LARGE_PAGE_SIZE, Access::Read)
        .unwrap();
    rig.verify();
    assert_eq!(rig.large_pages(map), 3, "its addresses lie as its pages do");
    // Without an account for tables there is none.
    let poor = rig.account(3);
    let limited = rig.map_for(poor);
    rig.map_device(limited, whole, 0);
    let failed = rig.touch(limited, HERE, Access::Read);
    assert_eq!(failed, Err(KernReturn::ResourceShortage));
    rig.verify();
    rig.map_device(child, whole, 0);
    rig.touch(child, HERE, Access::Read).unwrap();
    assert_eq!(rig.large_pages(child), 1);
    for entry in [whole, shifted] {
        rig.release_entry(entry);
    }
    rig.assert_empty();
}

/// Asks for large pages until it has them, or not, with all checks now and then; and how many steps it took.
fn allocate(
    rig: &mut Rig,
    map: MapId,
    (address, size): (u64, u64),
    flags: u64,
) -> (KernResult<u64>, u32) {
    for steps in 1..1000 {
        let done = rig.with(|vm, context| vm.allocate(context, map, (address, size), flags));
        // It takes long, for so many pages.
        if steps % 9 == 4 || done != Ok(Progress::More) {
            rig.settle();
        }
        match done {
            Ok(Progress::More) => {}
            Ok(Progress::Done(address)) => return (Ok(address), steps),
            Err(error) => return (Err(error), steps),
        }
    }
    panic!("never done")
}

const TWO: u64 = 2 * LARGE_PAGE_SIZE;

fn used(rig: &Rig, map: MapId) -> u64 {
    let account = rig.vm.ledger(map).unwrap();
    rig.ledgers.used(account, Resource::Pages)
}

// covers: V-01 V-12
#[test]
fn large_pages_are_there_zeroed_and_wired() {
    let mut rig = Rig::with_pages(5000);
    let map = rig.map();
    let free = rig.machine.free_pages();
    rig.allocate(map, 0, 1);
    let wish = flags::SUPERPAGE_SIZE_2MB | flags::ANYWHERE;
    let (at, steps) = allocate(&mut rig, map, (0, TWO), wish);
    assert_eq!(at, Ok(LARGE_PAGE_SIZE));
    assert!(steps >= 32, "64 pages at most in a step: {steps}");
    let at = at.unwrap();
    let region = rig.vm.region(map, at).unwrap();
    assert_eq!((region.size, region.wires), (TWO, 1));
    assert_eq!(region.resident, 2 * LARGE);
    for n in [3, LARGE + 5] {
        assert_eq!(rig.load_at(map, at + n * PAGE_SIZE), Ok(0));
        rig.store_at(map, at + n * PAGE_SIZE, 7).unwrap();
    }
    rig.verify();
    assert_eq!(rig.large_pages(map), 2);
    // What goes in part goes page by page, as a whole it is there for the next one.
    rig.deallocate_at(map, at + TWO - PAGE_SIZE, PAGE_SIZE);
    assert_eq!(rig.large_pages(map), 1);
    assert_eq!(rig.load_at(map, at + (LARGE + 5) * PAGE_SIZE), Ok(7));
    rig.deallocate_at(map, at, TWO);
    assert_eq!(used(&rig, map), 4 + 1, "the tables");
    assert_eq!(
        rig.machine.free_pages(),
        free,
        "which this machine does not have"
    );
    let (again, _) = allocate(
        &mut rig,
        map,
        (at, LARGE_PAGE_SIZE + 1),
        flags::SUPERPAGE_SIZE_ANY,
    );
    assert_eq!(again, Ok(at));
    assert_eq!(rig.load_at(map, at + 3 * PAGE_SIZE), Ok(0));
    assert_eq!(rig.vm.region(map, at).unwrap().size, TWO);
    // Unwired, it may leave memory page by page.
    rig.unwire(map, (at, TWO)).unwrap();
    rig.touch(map, at + LARGE_PAGE_SIZE, Access::Read).unwrap();
    assert_eq!(rig.large_pages(map), 1);
    rig.assert_empty();
    assert_eq!(rig.machine.free_pages(), free);
}

// covers: V-01
#[test]
fn what_cannot_be_large_is_refused_and_leaves_nothing() {
    let mut rig = Rig::with_pages(5000);
    let map = rig.map();
    let invalid = Err(KernReturn::InvalidArgument);
    let exact = flags::SUPERPAGE_SIZE_2MB;
    for (address, size, wish, expected) in [
        (HERE, PAGE_SIZE, exact, invalid),
        (HERE + PAGE_SIZE, TWO, exact, Err(KernReturn::NoSpace)),
        (HERE, u64::MAX, flags::SUPERPAGE_SIZE_ANY, invalid),
        (HERE, TWO, flags::SUPERPAGE_MASK, invalid),
        (HERE, TWO, exact | 2, invalid),
        (HERE, 0, exact, Ok(0)),
        (
            MAX_ADDRESS / TWO * TWO + TWO,
            TWO,
            exact,
            Err(KernReturn::InvalidAddress),
        ),
        (HERE, 9 * TWO, exact, Err(KernReturn::ResourceShortage)),
    ] {
        let (got, _) = allocate(&mut rig, map, (address, size), wish);
        assert_eq!(got, expected, "{address:#x} {size:#x} {wish:#x}");
        assert_eq!((used(&rig, map), rig.vm.census()[0]), (1, 0));
    }
    let entry = rig.device(0, LARGE);
    let request = MapRequest {
        address: HERE,
        size: LARGE_PAGE_SIZE,
        flags: exact,
        ..rig.request(Source::Entry(entry, 0), 0, 1)
    };
    assert_eq!(rig.do_map(map, request), invalid);
    rig.release_entry(entry);
    // An account that is full in the middle of it.
    let poor = rig.account(LARGE as u32 + 100);
    let limited = rig.map_for(poor);
    let (got, steps) = allocate(&mut rig, limited, (HERE, TWO), exact);
    assert_eq!(got, Err(KernReturn::ResourceShortage));
    assert!(steps > 16);
    assert_eq!((used(&rig, limited), rig.vm.census()[0]), (1, 0));
    // Memory of which no 512 pages lie together.
    let mut rig = Rig::with_pages(1023);
    let map = rig.map();
    rig.store(map, 0, 1).unwrap_err();
    rig.allocate(map, 0, 1);
    rig.store(map, 0, 1).unwrap();
    let (got, _) = allocate(&mut rig, map, (HERE, LARGE_PAGE_SIZE), exact);
    assert_eq!(got, Err(KernReturn::ResourceShortage));
    rig.assert_empty();
}

// covers: V-05 V-09 V-12
#[test]
fn a_copy_of_large_pages_is_made_at_once_and_what_is_shared_stays_large() {
    let mut rig = Rig::with_pages(5000);
    let map = rig.map();
    let wish = flags::SUPERPAGE_SIZE_2MB;
    let (at, _) = allocate(&mut rig, map, (HERE, LARGE_PAGE_SIZE), wish);
    assert_eq!(at, Ok(HERE));
    rig.store_at(map, HERE, 5).unwrap();
    let account = rig.account(4096);
    let child = rig.fork_for(map, account);
    rig.store_at(map, HERE, 6).unwrap();
    assert_eq!(
        (rig.load_at(child, HERE), rig.load_at(map, HERE)),
        (Ok(5), Ok(6))
    );
    assert_eq!((rig.large_pages(map), rig.large_pages(child)), (1, 0));
    assert_eq!(rig.vm.region(child, HERE).unwrap().wires, 0);
    rig.store_at(child, HERE + PAGE_SIZE, 8).unwrap();
    assert_eq!(rig.load_at(map, HERE + PAGE_SIZE), Ok(0));
    rig.destroy(child);
    let entry = rig.make_entry(map, (HERE, LARGE_PAGE_SIZE), RW).unwrap();
    let other = rig.map();
    rig.map_device(other, entry, 0);
    assert_eq!(rig.load_at(other, HERE), Ok(6));
    rig.store_at(other, HERE + 9 * PAGE_SIZE, 9).unwrap();
    assert_eq!(rig.load_at(map, HERE + 9 * PAGE_SIZE), Ok(9));
    assert_eq!((rig.large_pages(map), rig.large_pages(other)), (1, 1));
    rig.destroy(map);
    assert_eq!(rig.load_at(other, HERE), Ok(6));
    rig.release_entry(entry);
    rig.assert_empty();
}

// covers: O-08 V-12
#[test]
fn what_page_out_split_and_did_not_take_is_large_again_when_it_is_used() {
    let mut rig = Rig::with_pages(5000);
    rig.begin_store(1000);
    let map = rig.map();
    let wish = flags::SUPERPAGE_SIZE_2MB;
    let (at, _) = allocate(&mut rig, map, (HERE, LARGE_PAGE_SIZE), wish);
    assert_eq!(at, Ok(HERE));
    let entry = rig.make_entry(map, (HERE, LARGE_PAGE_SIZE), RW).unwrap();
    let other = rig.map();
    rig.map_device(other, entry, 0);
    // With it goes what has them wired.
    rig.destroy(map);
    rig.store_at(other, HERE, 1).unwrap();
    assert_eq!(rig.large_pages(other), 1);
    let (root, last) = (rig.vm.root(other).unwrap(), HERE + LARGE_PAGE_SIZE - 1);
    // The last page is unmapped last.
    rig.vm.set_free_target(1 << 32);
    for _ in 0..1000 {
        if rig.machine.translate(root, last, RW).is_some() {
            rig.reclaim();
        }
    }
    rig.vm.set_free_target(0);
    rig.verify();
    assert_eq!((rig.large_pages(other), rig.stored()), (0, 0));
    for page in (0..LARGE).rev() {
        assert_eq!(rig.large_pages(other), 0, "{page}");
        let expected = u8::from(page == 0);
        assert_eq!(rig.load_at(other, HERE + page * PAGE_SIZE), Ok(expected));
    }
    assert_eq!(rig.large_pages(other), 1);
    rig.release_entry(entry);
    rig.assert_empty();
}

// covers: V-01
#[test]
fn large_pages_that_are_not_finished_go_with_their_map() {
    let mut rig = Rig::with_pages(5000);
    let free = rig.machine.free_pages();
    let map = rig.map();
    let wish = flags::SUPERPAGE_SIZE_2MB;
    let some = |rig: &mut Rig, size: u64, steps: u32| {
        for _ in 0..steps {
            let done = rig.with(|vm, context| vm.allocate(context, map, (HERE, size), wish));
            assert_eq!(done, Ok(Progress::More));
        }
        rig.verify();
    };
    some(&mut rig, TWO, 20);
    assert_eq!(used(&rig, map), 1 + 2 * LARGE);
    // Another one is filled beside it.
    some(&mut rig, LARGE_PAGE_SIZE, 12);
    assert_eq!(used(&rig, map), 1 + 3 * LARGE);
    // A third one helps the oldest first, and throws away what nobody came for.
    some(&mut rig, TWO + LARGE_PAGE_SIZE, 12);
    assert_eq!(used(&rig, map), 1 + 3 * LARGE);
    some(&mut rig, TWO + LARGE_PAGE_SIZE, 1);
    rig.settle();
    assert_eq!(used(&rig, map), 1 + 2 * LARGE);
    let (at, steps) = allocate(&mut rig, map, (HERE, LARGE_PAGE_SIZE), wish);
    assert_eq!((at, steps), (Ok(HERE), 4), "it was not thrown away");
    let next = HERE + LARGE_PAGE_SIZE;
    let done = rig.with(|vm, context| vm.allocate(context, map, (next, TWO), wish));
    assert_eq!(done, Ok(Progress::More));
    assert_eq!(used(&rig, map), 1 + 3 * LARGE);
    rig.assert_empty();
    assert_eq!(rig.machine.free_pages(), free);
}

/// As [`Rig::finish`], without the checks, which take long for so many pages.
fn until_done(
    rig: &mut Rig,
    mut step: impl FnMut(&mut Vm, &mut Context<'_, TestMachine>) -> KernResult<Progress>,
) {
    while rig.with(&mut step) != Ok(Progress::Done(())) {}
    rig.machine.assert_flushed();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    // covers: V-01 V-02 V-03 V-05
    /// Large and small memory beside each other, in parts gone, read-only and inherited, has the bytes that a plain map has.
    #[test]
    fn large_and_small_memory_agree_with_a_map(
        steps in prop::collection::vec((0..8u8, 0..3 * LARGE, 1..600u64, 1..255u8), 1..40),
    ) {
        let mut rig = Rig::with_pages(8000);
        let map = rig.map();
        let mut model: BTreeMap<u64, (u8, bool)> = BTreeMap::new();
        let place = |page: u64| HERE + page * PAGE_SIZE;
        for (what, page, count, byte) in steps {
            let end = (page + count).min(3 * LARGE);
            let range = (place(page), (end - page) * PAGE_SIZE);
            match what {
                0 | 1 => {
                    let (page, wish) = match what {
                        0 => (page / LARGE * LARGE, flags::SUPERPAGE_SIZE_2MB),
                        _ => (page, flags::FIXED),
                    };
                    let count = if what == 0 { LARGE } else { 1 };
                    let (at, size) = (place(page), count * PAGE_SIZE);
                    let taken = model.range(page..page + count).next().is_some();
                    let got = loop {
                        match rig.with(|vm, context| vm.allocate(context, map, (at, size), wish)) {
                            Ok(Progress::More) => {}
                            Ok(Progress::Done(got)) => break Ok(got),
                            Err(error) => break Err(error),
                        }
                    };
                    prop_assert_eq!(got, if taken { Err(KernReturn::NoSpace) } else { Ok(at) });
                    if !taken {
                        model.extend((page..page + count).map(|page| (page, (0, true))));
                    }
                }
                2 => {
                    until_done(&mut rig, |vm, context| vm.deallocate(context, map, range.0, range.1));
                    model.retain(|at, _| !(page..end).contains(at));
                }
                3 if (page..end).all(|page| model.contains_key(&page)) => {
                    let write = byte % 2 == 0;
                    let rights = if write { RW } else { protection::READ };
                    until_done(&mut rig, |vm, context| {
                        vm.protect(context, map, range, Which::Current, rights)
                    });
                    model.range_mut(page..end).for_each(|(_, (_, may))| *may = write);
                }
                4 if byte % 4 == 0 => {
                    let account = rig.account(4096);
                    let child = rig.with(|vm, context| vm.fork_map(context, map, account)).unwrap();
                    rig.maps.push(child);
                    until_done(&mut rig, |vm, context| vm.fork_step(context, child));
                    for (page, (byte, _)) in model.iter().step_by(97) {
                        prop_assert_eq!(rig.load_at(child, place(*page)), Ok(*byte));
                    }
                    until_done(&mut rig, |vm, context| Ok(vm.destroy_step(context, child)));
                    rig.maps.pop();
                }
                _ => {
                    let expected = match model.get_mut(&page) {
                        None => Err(KernReturn::InvalidAddress),
                        Some((_, false)) => Err(KernReturn::ProtectionFailure),
                        Some((old, true)) => {
                            *old = byte;
                            Ok(())
                        }
                    };
                    prop_assert_eq!(rig.store_at(map, place(page), byte), expected);
                }
            }
            for page in [0, page, end - 1, LARGE, 3 * LARGE - 1] {
                let expected = model.get(&page).map(|(byte, _)| *byte);
                let expected = expected.ok_or(KernReturn::InvalidAddress);
                prop_assert_eq!(rig.load_at(map, place(page)), expected, "{}", page);
            }
        }
        rig.settle();
        rig.assert_empty();
    }
}
