//! Large pages: mapped by one entry, split where a part of them changes.

use super::*;
use crate::machine::{Caching, LARGE, Machine};
use crate::vm::Which;
use crate::vm::test_machine::PHYSICAL;
use abi::vm::{LARGE_PAGE_SIZE, map_flags};

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
    rig.with(|vm, context| vm.allocate(context, map, HERE, PAGE_SIZE, flags::FIXED))
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
