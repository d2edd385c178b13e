//! Copy-on-write, shadows, forks, memory entries.

use super::*;
use crate::machine::Caching;
use crate::vm::object::MAX_CHAIN;
use crate::vm::test_machine::PHYSICAL;
use crate::vm::{COPY_PAGES, MemoryEntryId, Sharing, Which};
use abi::vm::map_flags;

fn inherit(rig: &mut Rig, map: MapId, page: u64, count: u64, how: u32) {
    let range = (at(page), pages(count));
    rig.finish(|vm, context| vm.inherit(context, map, range, how))
        .unwrap();
}

fn release(rig: &mut Rig, entry: MemoryEntryId) {
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
}

// covers: V-05
#[test]
fn a_child_shares_copies_or_gets_nothing() {
    let mut rig = Rig::new();
    let parent = rig.map();
    rig.allocate(parent, 0, 6);
    for page in 0..6 {
        rig.store(parent, page, 1).unwrap();
    }
    inherit(&mut rig, parent, 0, 2, inherit::SHARE);
    inherit(&mut rig, parent, 4, 2, inherit::NONE);
    let bad = rig.with(|vm, context| vm.inherit(context, parent, (at(0), 1), 3));
    assert_eq!(bad, Err(KernReturn::InvalidArgument));
    let child = rig.fork(parent);
    rig.store(parent, 0, 2).unwrap();
    rig.store(child, 1, 3).unwrap();
    rig.store(parent, 2, 4).unwrap();
    rig.store(child, 3, 5).unwrap();
    rig.verify();
    assert_eq!((rig.load(child, 0), rig.load(parent, 1)), (Ok(2), Ok(3)));
    assert_eq!((rig.load(child, 2), rig.load(parent, 3)), (Ok(1), Ok(1)));
    assert_eq!(rig.load(child, 4), Err(KernReturn::InvalidAddress));
    rig.assert_empty();
}

// covers: V-05
#[test]
fn a_fork_goes_in_steps_and_leaves_no_fragments() {
    let mut rig = Rig::new();
    let parent = rig.map();
    rig.allocate(parent, 0, 500);
    for page in 0..500 {
        rig.store(parent, page, page as u8).unwrap();
    }
    let account = rig.account(4096);
    let child = rig
        .with(|vm, context| vm.fork_map(context, parent, account))
        .unwrap();
    rig.maps.push(child);
    let steps = rig
        .finish(|vm, context| vm.fork_step(context, child))
        .unwrap();
    assert!(steps >= 8, "{steps}");
    assert_eq!(rig.vm.map_size(parent).unwrap().1, 1);
    assert_eq!(rig.vm.map_size(child).unwrap().1, 1);
    assert_eq!(rig.vm.census()[1], 500, "no page was copied");
    for page in [0, 63, 64, 499] {
        rig.store(parent, page, 200).unwrap();
        assert_eq!(rig.load(child, page), Ok(page as u8));
    }
    rig.assert_empty();
}

// covers: V-09
#[test]
fn a_first_read_after_a_copy_leaks_no_later_write() {
    // `vm_test_cow_before_zf_read`: neither side has the page when the copy is made.
    for first in [0, 1] {
        let mut rig = Rig::new();
        let parent = rig.map();
        rig.allocate(parent, 0, 2);
        rig.store(parent, 1, 1).unwrap();
        let child = rig.fork(parent);
        let maps = [parent, child];
        let (one, other) = (maps[first], maps[1 - first]);
        assert_eq!(rig.load(one, 0), Ok(0));
        rig.store(other, 0, 9).unwrap();
        assert_eq!(rig.load(one, 0), Ok(0));
        rig.store(one, 0, 8).unwrap();
        assert_eq!(rig.load(other, 0), Ok(9));
        rig.verify();
        rig.assert_empty();
    }
}

// covers: V-10 F-08
#[test]
fn many_forks_leave_a_bounded_chain_and_no_pages() {
    let mut rig = Rig::new();
    let parent = rig.map();
    rig.allocate(parent, 0, 4);
    for page in 0..4 {
        rig.store(parent, page, 1).unwrap();
    }
    let account = rig.account(100);
    for round in 0..10_000u32 {
        let child = rig.fork_for(parent, account);
        rig.store(parent, u64::from(round % 4), round as u8)
            .unwrap();
        if round % 2 == 0 {
            rig.store(child, u64::from((round + 1) % 4), 99).unwrap();
        }
        let entry = rig.vm.entry(rig.vm.find_entry(parent, at(0)).unwrap());
        assert!(rig.vm.chain(entry.object.unwrap()) <= 1, "round {round}");
        rig.destroy(child);
        let [objects, pages, ..] = rig.vm.census();
        assert!(
            objects <= 2 && pages <= 4,
            "round {round}: {objects} objects, {pages} pages"
        );
    }
    rig.assert_empty();
}

// covers: V-10
#[test]
fn generations_of_children_do_not_make_a_chain_longer_than_its_limit() {
    let mut rig = Rig::new();
    let mut youngest = rig.map();
    rig.allocate(youngest, 0, 3);
    rig.store(youngest, 0, 1).unwrap();
    rig.store(youngest, 1, 100).unwrap();
    for generation in 0..2 * MAX_CHAIN {
        youngest = rig.fork(youngest);
        rig.store(youngest, 0, generation as u8).unwrap();
        let entry = rig.vm.entry(rig.vm.find_entry(youngest, at(0)).unwrap());
        assert!(rig.vm.chain(entry.object.unwrap()) <= MAX_CHAIN);
    }
    let maps = rig.maps.clone();
    for (generation, map) in maps.iter().enumerate().skip(1) {
        assert_eq!(rig.load(*map, 0), Ok(generation as u8 - 1));
        assert_eq!(rig.load(*map, 1), Ok(100));
    }
    rig.verify();
    // In the order of their birth, so that the chain shrinks from its far end.
    for map in maps {
        rig.destroy(map);
    }
    rig.assert_empty();
}

#[test]
fn a_dead_parents_memory_becomes_its_childs() {
    let mut rig = Rig::new();
    let parent = rig.map();
    rig.allocate(parent, 0, 2);
    rig.store(parent, 0, 1).unwrap();
    let child = rig.fork(parent);
    rig.destroy(parent);
    rig.ledgers.close(rig.accounts[0]);
    rig.accounts.remove(0);
    assert_eq!(
        rig.load(child, 1),
        Ok(0),
        "a new page is not the dead parent's to pay"
    );
    rig.store(child, 0, 2).unwrap();
    rig.verify();
    rig.settle();
    assert_eq!(rig.ledgers.len(), 2, "the parent's ledger is gone");
    rig.assert_empty();
}

// covers: V-06 V-14
#[test]
fn a_mapping_inside_of_a_page_shows_nothing_behind_its_memory_entry() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    rig.allocate(a, 0, 2);
    rig.store(a, 1, 77).unwrap();
    let whole = rig.make_entry(a, (at(0), pages(2)), RW).unwrap();
    let part = rig
        .with(|vm, context| vm.attenuate(context, whole, (0, pages(1)), RW, None))
        .unwrap();
    for flags in [0, map_flags::OVERWRITE, map_flags::COPY] {
        let request = MapRequest {
            address: at(4) + 8,
            flags,
            ..rig.request(Source::Entry(part, 0), 0, 1)
        };
        // It would take two pages.
        assert_eq!(rig.do_map(b, request), Err(KernReturn::InvalidArgument));
        let size = pages(1) - 8;
        assert_eq!(rig.do_map(b, MapRequest { size, ..request }), Ok(at(4)));
        assert_eq!(rig.vm.region(b, 0).unwrap().size, pages(1));
        rig.deallocate(b, 4, 1).unwrap();
    }
    for entry in [whole, part] {
        rig.with(|vm, context| vm.release_memory_entry(context, entry));
    }
    rig.assert_empty();
}

// covers: V-14
#[test]
fn a_memory_entry_gives_its_range_with_at_most_its_rights() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    rig.allocate(a, 0, 8);
    rig.store(a, 2, 5).unwrap();
    let make = |rig: &mut Rig, range, rights| {
        let made = rig.make_entry(a, range, rights);
        rig.verify();
        made
    };
    for (range, error) in [
        ((at(2), 0), KernReturn::InvalidArgument),
        ((at(2) + 1, pages(1)), KernReturn::InvalidArgument),
        ((at(2), 5), KernReturn::InvalidArgument),
        ((at(7), pages(2)), KernReturn::InvalidAddress),
    ] {
        assert_eq!(make(&mut rig, range, RW), Err(error), "{range:?}");
    }
    let entry = make(&mut rig, (at(2), pages(3)), RW).unwrap();
    assert_eq!(rig.vm.memory_entry(entry), Some((pages(3), RW)));
    let attenuate = |rig: &mut Rig, range, rights| {
        rig.with(|vm, context| vm.attenuate(context, entry, range, rights, None))
    };
    let more = attenuate(&mut rig, (0, pages(1)), protection::ALL);
    assert_eq!(more, Err(KernReturn::ProtectionFailure));
    let outside = attenuate(&mut rig, (pages(2), pages(2)), RW);
    assert_eq!(outside, Err(KernReturn::InvalidArgument));
    let read_only = attenuate(&mut rig, (0, pages(2)), protection::READ).unwrap();
    let writable = rig.request(Source::Entry(read_only, 0), 0, 2);
    assert_eq!(rig.do_map(b, writable), Err(KernReturn::InvalidRight));
    let reading = MapRequest {
        protection: protection::READ,
        ..writable
    };
    assert_eq!(rig.do_map(b, reading), Ok(at(0)));
    assert_eq!(rig.vm.region(b, at(0)).unwrap().maximum, protection::READ);
    rig.do_map(b, rig.request(Source::Entry(entry, pages(1)), 4, 2))
        .unwrap();
    rig.store(b, 4, 6).unwrap();
    assert_eq!(
        (rig.load(a, 3), rig.load(b, 1), rig.load(b, 0)),
        (Ok(6), Ok(6), Ok(5))
    );
    // The memory outlives both entries and the map it came from.
    release(&mut rig, entry);
    release(&mut rig, read_only);
    rig.destroy(a);
    assert_eq!((rig.load(b, 0), rig.load(b, 4)), (Ok(5), Ok(6)));
    rig.assert_empty();
}

// covers: V-09 V-14
#[test]
fn memory_that_was_copied_before_is_shared_without_its_past_showing() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    rig.allocate(a, 0, 4);
    for page in 0..4 {
        rig.store(a, page, 1).unwrap();
    }
    let child = rig.fork(a);
    rig.store(a, 0, 2).unwrap();
    // The child and `a` read pages that lie behind `a`'s shadow.
    assert_eq!((rig.load(a, 1), rig.load(a, 2)), (Ok(1), Ok(1)));
    let range = (at(0), pages(3));
    let entry = rig.make_entry(a, range, RW).unwrap();
    rig.verify();
    rig.do_map(b, rig.request(Source::Entry(entry, 0), 0, 3))
        .unwrap();
    assert_eq!(rig.load(a, 1), Ok(1));
    rig.store(b, 1, 7).unwrap();
    assert_eq!((rig.load(a, 1), rig.load(child, 1)), (Ok(7), Ok(1)));
    rig.store(a, 2, 8).unwrap();
    assert_eq!((rig.load(b, 2), rig.load(child, 2)), (Ok(8), Ok(1)));
    rig.verify();
    release(&mut rig, entry);
    rig.assert_empty();
}

#[test]
fn a_snapshot_has_a_bound() {
    let mut rig = Rig::new();
    let (map, account) = (rig.map(), rig.accounts[0]);
    let size = pages(COPY_PAGES + 1);
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, size, protection::ALL, account))
        .unwrap();
    let shared = rig.request(Source::Entry(entry, 0), 0, COPY_PAGES + 1);
    let copy = MapRequest {
        flags: map_flags::COPY,
        ..shared
    };
    assert_eq!(rig.do_map(map, copy), Err(KernReturn::NotSupported));
    rig.do_map(map, shared).unwrap();
    release(&mut rig, entry);
    rig.assert_empty();
}

// covers: V-06
#[test]
fn a_private_mapping_of_shared_memory_is_a_snapshot() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    let account = rig.accounts[0];
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(300), protection::ALL, account))
        .unwrap();
    rig.do_map(a, rig.request(Source::Entry(entry, 0), 0, 300))
        .unwrap();
    rig.store(a, 0, 1).unwrap();
    let copy = MapRequest {
        flags: map_flags::COPY,
        ..rig.request(Source::Entry(entry, 0), 0, 2)
    };
    rig.do_map(b, copy).unwrap();
    rig.store(a, 0, 2).unwrap();
    rig.store(b, 1, 3).unwrap();
    assert_eq!((rig.load(b, 0), rig.load(a, 1)), (Ok(1), Ok(0)));
    // What one step cannot copy is copied in several, whoever else does the same.
    let part = |page, count| MapRequest {
        address: at(page),
        size: pages(count),
        ..copy
    };
    for page in 0..200 {
        rig.store(a, page, page as u8).unwrap();
    }
    let (one, other) = (part(10, 200), part(300, 130));
    let step = |rig: &mut Rig, request| {
        let before = rig.machine.copies;
        let got = rig.with(|vm, context| vm.map(context, b, request));
        rig.verify();
        assert!(rig.machine.copies - before <= STEP, "too long a step");
        got.unwrap()
    };
    assert_eq!(step(&mut rig, one), Progress::More);
    let mut left = std::vec![other, one];
    for turn in 0..40 {
        let request = left[turn % left.len()];
        if step(&mut rig, request) != Progress::More {
            left.retain(|other| *other != request);
        }
        if left.is_empty() {
            break;
        }
    }
    assert!(left.is_empty(), "they keep each other from being done");
    rig.store(a, 150, 1).unwrap();
    assert_eq!(
        (rig.load(b, 10 + 150), rig.load(b, 300 + 129)),
        (Ok(150), Ok(129))
    );
    // One that is never fetched ends with its map.
    assert_eq!(step(&mut rig, part(600, 200)), Progress::More);
    release(&mut rig, entry);
    rig.assert_empty();
}

#[test]
fn the_archive_is_read_in_place_and_copied_as_it_is_written() {
    let mut rig = Rig::new();
    let (map, child_rights) = (rig.map(), protection::READ | protection::EXECUTE);
    for page in 0..4 {
        rig.machine.page(Page(PHYSICAL + page)).fill(page as u8 + 1);
    }
    let range = Page(PHYSICAL)..Page(PHYSICAL + 4);
    let back = Caching::WriteBack;
    let archive = rig
        .with(|vm, context| vm.make_physical(context, range, back, child_rights, None))
        .unwrap();
    let shared = MapRequest {
        protection: protection::READ,
        ..rig.request(Source::Entry(archive, 0), 0, 4)
    };
    rig.do_map(map, shared).unwrap();
    let copy = MapRequest {
        flags: map_flags::COPY,
        ..rig.request(Source::Entry(archive, pages(1)), 8, 3)
    };
    rig.do_map(map, copy).unwrap();
    assert_eq!((rig.load(map, 3), rig.load(map, 8)), (Ok(4), Ok(2)));
    assert_eq!(rig.vm.census()[1], 0, "reading takes no pages");
    rig.store(map, 8, 50).unwrap();
    assert_eq!((rig.load(map, 8), rig.load(map, 1)), (Ok(50), Ok(2)));
    assert_eq!(
        rig.vm.region(map, at(0)).unwrap().sharing,
        Sharing::Physical
    );
    let child = rig.fork(map);
    rig.store(child, 9, 60).unwrap();
    assert_eq!(
        (rig.load(map, 9), rig.load(child, 8), rig.load(child, 0)),
        (Ok(3), Ok(50), Ok(1))
    );
    release(&mut rig, archive);
    rig.verify();
    rig.assert_empty();
}

#[test]
fn a_device_is_mapped_and_never_copied() {
    let mut rig = Rig::new();
    let map = rig.map();
    let range = Page(PHYSICAL)..Page(PHYSICAL + 2);
    let account = rig.accounts[0];
    let window = rig
        .with(|vm, context| vm.make_physical(context, range, Caching::Uncached, RW, Some(account)))
        .unwrap();
    let request = rig.request(Source::Entry(window, 0), 0, 2);
    rig.do_map(map, request).unwrap();
    let page = rig.touch(map, at(1), Access::Write).unwrap();
    assert_eq!(page, Page(PHYSICAL + 1));
    let root = rig.vm.root(map).unwrap();
    let (.., caching) = rig.machine.spaces[&root.0].mapped[&at(1)];
    assert_eq!(caching, Caching::Uncached);
    let copy = MapRequest {
        flags: map_flags::COPY,
        address: at(5),
        ..request
    };
    assert_eq!(rig.do_map(map, copy), Err(KernReturn::InvalidArgument));
    let sent = rig.with(|vm, context| vm.copy_out(context, map, (at(0), pages(1)), After::Keep));
    assert_eq!(sent, Err(KernReturn::InvalidArgument));
    let read = rig.with(|vm, context| vm.read_bytes(context, map, at(0), &mut [0; 4]));
    assert_eq!(read, Err(KernReturn::ProtectionFailure));
    let child = rig.fork(map);
    assert_eq!(rig.load(child, 0), Err(KernReturn::InvalidAddress));
    release(&mut rig, window);
    rig.assert_empty();
}

// covers: V-03
#[test]
fn where_the_archive_is_to_be_written_a_private_copy_is() {
    let mut rig = Rig::new();
    let map = rig.map();
    for page in 0..3 {
        rig.machine.page(Page(PHYSICAL + page)).fill(page as u8 + 1);
    }
    let range = Page(PHYSICAL)..Page(PHYSICAL + 3);
    let (back, read) = (Caching::WriteBack, protection::READ);
    let archive = rig
        .with(|vm, context| vm.make_physical(context, range, back, read, None))
        .unwrap();
    let shared = MapRequest {
        protection: read,
        ..rig.request(Source::Entry(archive, 0), 0, 3)
    };
    rig.do_map(map, shared).unwrap();
    assert_eq!(rig.load(map, 1), Ok(2));
    let (middle, rights) = ((at(1), pages(1)), RW | protection::COPY);
    let steps = rig.finish(|vm, context| vm.protect(context, map, middle, Which::Current, rights));
    assert!(steps.is_ok_and(|steps| steps < 4), "{steps:?}");
    for page in 0..3 {
        assert_eq!(rig.store(map, page.into(), 50).is_ok(), page == 1);
        assert_eq!(rig.machine.page(Page(PHYSICAL + page))[0], page as u8 + 1);
    }
    assert_eq!(rig.load(map, 1), Ok(50));
    release(&mut rig, archive);
    rig.verify();
    rig.assert_empty();
}

#[test]
fn the_last_private_mapping_of_the_archive_does_not_write_it() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.machine.page(Page(PHYSICAL)).fill(1);
    let range = Page(PHYSICAL)..Page(PHYSICAL + 1);
    let (back, read) = (Caching::WriteBack, protection::READ);
    let archive = rig
        .with(|vm, context| vm.make_physical(context, range, back, read, None))
        .unwrap();
    let copy = MapRequest {
        flags: map_flags::COPY,
        ..rig.request(Source::Entry(archive, 0), 0, 1)
    };
    rig.do_map(map, copy).unwrap();
    release(&mut rig, archive);
    rig.store(map, 0, 2).unwrap();
    assert_eq!(
        (rig.load(map, 0), rig.machine.page(Page(PHYSICAL))[0]),
        (Ok(2), 1)
    );
    rig.verify();
    rig.assert_empty();
}

#[test]
fn the_kernels_write_to_a_copied_page_is_seen_through_the_mapping() {
    let mut rig = Rig::new();
    let parent = rig.map();
    rig.allocate(parent, 0, 1);
    rig.store(parent, 0, 1).unwrap();
    let child = rig.fork(parent);
    assert_eq!(rig.load(child, 0), Ok(1));
    rig.with(|vm, context| vm.write_bytes(context, child, at(0), &[2]))
        .unwrap();
    rig.verify();
    assert_eq!((rig.load(child, 0), rig.load(parent, 0)), (Ok(2), Ok(1)));
    rig.assert_empty();
}

// covers: V-10
#[test]
fn what_lies_behind_a_collapsed_window_keeps_its_place() {
    let mut rig = Rig::new();
    let first = rig.map();
    rig.allocate(first, 0, 8);
    for page in 0..8 {
        rig.store(first, page, page as u8).unwrap();
    }
    // Each generation keeps less of the front, so each shadow begins further inside the one behind it.
    let second = rig.fork(first);
    rig.deallocate(second, 0, 2).unwrap();
    rig.store(second, 7, 70).unwrap();
    let third = rig.fork(second);
    rig.deallocate(third, 2, 2).unwrap();
    rig.store(third, 6, 60).unwrap();
    rig.destroy(second);
    for (page, value) in [(4, 4), (5, 5), (6, 60), (7, 70)] {
        assert_eq!(rig.load(third, page), Ok(value));
    }
    let [objects, pages, ..] = rig.vm.census();
    assert_eq!(
        (objects, pages),
        (2, 10),
        "what only the second one had is merged or gone"
    );
    rig.assert_empty();
}

#[test]
fn a_part_that_is_shared_leaves_the_rest_private() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 6);
    for page in 0..6 {
        rig.store(map, page, 1).unwrap();
    }
    let range = (at(2), pages(2));
    let entry = rig.make_entry(map, range, RW).unwrap();
    rig.verify();
    let sharing = |rig: &Rig, page| rig.vm.region(map, at(page)).unwrap().sharing;
    assert_eq!(sharing(&rig, 0), Sharing::Private);
    assert_eq!(sharing(&rig, 2), Sharing::Shared);
    assert_eq!(sharing(&rig, 4), Sharing::Private);
    assert_eq!(rig.load(map, 3), Ok(1));
    release(&mut rig, entry);
    rig.assert_empty();
}

#[test]
fn one_memory_mapped_twice_side_by_side_stays_two_regions() {
    let mut rig = Rig::new();
    let map = rig.map();
    let account = rig.accounts[0];
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(2), protection::ALL, account))
        .unwrap();
    for page in [0, 2] {
        rig.do_map(map, rig.request(Source::Entry(entry, 0), page, 2))
            .unwrap();
    }
    rig.store(map, 3, 9).unwrap();
    assert_eq!((rig.load(map, 1), rig.load(map, 2)), (Ok(9), Ok(0)));
    assert_eq!(rig.vm.map_size(map).unwrap().1, 2);
    release(&mut rig, entry);
    rig.assert_empty();
}

#[test]
fn who_uses_a_dead_tasks_shared_memory_pays_for_it() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    let (owner, user) = (rig.accounts[0], rig.accounts[1]);
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(4), protection::ALL, owner))
        .unwrap();
    for map in [a, b] {
        rig.do_map(map, rig.request(Source::Entry(entry, 0), 0, 4))
            .unwrap();
    }
    rig.store(a, 0, 1).unwrap();
    rig.store(b, 1, 2).unwrap();
    assert_eq!(
        rig.ledgers.used(owner, Resource::Pages),
        4 + 2,
        "its owner pays for all of it"
    );
    release(&mut rig, entry);
    rig.destroy(a);
    rig.ledgers.close(owner);
    assert_eq!(rig.load(b, 0), Ok(1));
    rig.store(b, 2, 3).unwrap();
    assert_eq!(rig.ledgers.used(user, Resource::Pages), 4 + 3);
    rig.accounts.remove(0);
    assert_eq!(rig.ledgers.len(), 2, "the dead owner's ledger is gone");
    rig.verify();
    rig.assert_empty();
}

// covers: V-14
#[test]
fn an_object_without_pages_is_the_last_that_a_dead_tasks_ledger_pays_for() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    let owner = rig.accounts[0];
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(4), protection::ALL, owner))
        .unwrap();
    rig.do_map(b, rig.request(Source::Entry(entry, 0), 0, 4))
        .unwrap();
    release(&mut rig, entry);
    rig.destroy(a);
    rig.ledgers.close(owner);
    rig.store(b, 2, 3).unwrap();
    rig.accounts.remove(0);
    assert_eq!(rig.ledgers.len(), 2, "the dead owner's ledger is gone");
    rig.verify();
    rig.assert_empty();
}

/// Each goes on until it is one step short of its own copy, and then the other one does.
// covers: V-06
#[test]
fn copies_of_one_task_do_not_take_each_other_away() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    let account = rig.accounts[0];
    let entry = rig
        .with(|vm, context| vm.make_anonymous(context, pages(160), protection::ALL, account))
        .unwrap();
    rig.do_map(a, rig.request(Source::Entry(entry, 0), 0, 160))
        .unwrap();
    for page in 0..160 {
        rig.store(a, page, page as u8).unwrap();
    }
    let whole = MapRequest {
        flags: map_flags::COPY,
        ..rig.request(Source::Entry(entry, 0), 0, 160)
    };
    let part = |place, count| MapRequest {
        address: at(place),
        size: pages(count),
        ..whole
    };
    let wanted = [
        part(0, 110),
        part(1000, 160),
        part(2000, 140),
        part(3000, 130),
    ];
    let step = |rig: &mut Rig, map, request| {
        let got = rig.with(|vm, context| vm.map(context, map, request));
        got.unwrap() != Progress::More
    };
    // How many steps each takes alone.
    let alone = rig.map();
    let needed = wanted.map(|request| (1..).find(|_| step(&mut rig, alone, request)).unwrap());
    assert!(needed.iter().all(|steps| *steps > 3), "{needed:?}");
    let mut left = Vec::from_iter(wanted.iter().zip(needed));
    for round in 0..3 {
        left.retain(|&(request, steps)| {
            // In the first round a step less, then the last one.
            let most = if round == 0 { steps - 1 } else { 1 };
            !(0..most).any(|_| step(&mut rig, b, *request))
        });
        rig.verify();
    }
    assert!(left.is_empty(), "they keep each other from being done");
    for (request, last) in wanted.iter().zip([109, 159, 139, 129]) {
        let got = rig.load_at(b, request.address + pages(last));
        assert_eq!(got, Ok(last as u8));
    }
    // Those that nobody fetches make room when there are too many, and end with their map.
    for count in 100..106 {
        assert!(!step(&mut rig, b, part(5000, count)));
    }
    rig.verify();
    let last = part(5000, 120);
    assert!((0..60).any(|_| step(&mut rig, b, last)));
    release(&mut rig, entry);
    rig.assert_empty();
}
