//! Out-of-line memory and message buffers.

use super::*;
use crate::vm::{After, BufferId, COPY_PAGES, Progress, Which};

fn copy_out(rig: &mut Rig, map: MapId, range: (u64, u64), after: After) -> KernResult<CopyId> {
    rig.copy_out(map, range, after)
}

/// Two maps, the first with `count` pages that hold their numbers, from 1.
fn two(count: u64) -> (Rig, MapId, MapId) {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    rig.allocate(a, 0, count);
    for page in 0..count {
        rig.store(a, page, page as u8 + 1).unwrap();
    }
    (rig, a, b)
}

// covers: M-23 V-09
#[test]
fn a_copy_is_a_snapshot_whatever_its_size() {
    for count in [1, 2, 4, 5, 40, 200] {
        let (mut rig, a, b) = two(count);
        let copy = copy_out(&mut rig, a, (at(0), pages(count)), After::Keep).unwrap();
        rig.store(a, 0, 99).unwrap();
        let address = rig.deliver(copy, b);
        rig.store(a, count - 1, 98).unwrap();
        for page in 0..count {
            assert_eq!(
                rig.load_at(b, address + pages(page)),
                Ok(page as u8 + 1),
                "{count}"
            );
        }
        rig.store_at(b, address, 97).unwrap();
        assert_eq!(rig.load(a, 0), Ok(if count == 1 { 98 } else { 99 }));
        rig.verify();
        rig.assert_empty();
    }
}

// covers: V-04
#[test]
fn a_long_copy_takes_steps_and_each_sees_the_map_as_it_is_then() {
    for after in [After::Keep, After::Deallocate] {
        let (mut rig, a, b) = two(200);
        let range = (at(0) + 10, pages(200) - 20);
        let begin = |rig: &mut Rig| {
            let copy = rig.with(|vm, context| vm.copy_out(context, a, range, after));
            rig.verify();
            copy.unwrap()
        };
        let copy = begin(&mut rig);
        let gone = rig.load(a, 31) == Err(KernReturn::InvalidAddress);
        assert_eq!(
            gone,
            after == After::Deallocate,
            "each step removes what it took"
        );
        assert_eq!(rig.load(a, 32), Ok(33));
        let early = rig.with(|vm, context| vm.copy_in(context, b, copy));
        assert_eq!(early, Err(KernReturn::InvalidArgument), "not all of it yet");
        rig.store(a, 150, 7).unwrap();
        assert_eq!(rig.finish_copy(copy), Ok(6));
        rig.store_at(b, BASE, 0).unwrap_err();
        let address = rig.deliver(copy, b);
        for page in 1..199 {
            let expected = if page == 150 { 7 } else { page as u8 + 1 };
            assert_eq!(rig.load_at(b, address - 10 + pages(page)), Ok(expected));
        }
        rig.assert_empty();
    }
}

#[test]
fn a_copy_whose_map_loses_memory_between_two_steps_fails_and_leaves_nothing() {
    for after in [After::Keep, After::Deallocate] {
        let (mut rig, a, _) = two(200);
        let range = (at(0), pages(200));
        let copy = rig.with(|vm, context| vm.copy_out(context, a, range, after));
        let copy = copy.unwrap();
        rig.deallocate(a, 199, 1).unwrap();
        assert_eq!(rig.finish_copy(copy), Err(KernReturn::InvalidAddress));
        rig.destroy(a);
        assert_eq!(rig.finish_copy(copy), Err(KernReturn::InvalidTask));
        rig.discard(copy);
        rig.assert_empty();
    }
}

#[test]
fn a_copy_of_many_regions_arrives_as_few() {
    let (mut rig, a, b) = two(120);
    rig.allocate(a, 120, 80);
    for page in (0..200).step_by(2) {
        let rights = protection::READ;
        rig.finish(|vm, context| vm.protect(context, a, (at(page), 1), Which::Current, rights))
            .unwrap();
    }
    // Each region has an object of its own, so that no two pieces are one.
    for page in 0..200 {
        let range = (at(page), pages(1));
        let copy = copy_out(&mut rig, a, range, After::Keep).unwrap();
        rig.discard(copy);
    }
    rig.fork(a);
    for page in (1..120).step_by(2) {
        rig.store(a, page, page as u8 + 1).unwrap();
    }
    let copy = copy_out(&mut rig, a, (at(0), pages(200)), After::Keep).unwrap();
    let address = rig.deliver(copy, b);
    let regions = rig.vm.map_size(b).unwrap().1;
    assert!((7..=9).contains(&regions), "{regions}");
    for page in 0..200 {
        let expected = if page < 120 { page as u8 + 1 } else { 0 };
        assert_eq!(
            rig.load_at(b, address + pages(page)),
            Ok(expected),
            "{page}"
        );
    }
    rig.assert_empty();
}

// covers: M-23
#[test]
fn memory_that_leaves_is_moved_and_not_copied() {
    for (first, count) in [(0, 1), (0, 12), (3, 1), (3, 7)] {
        let (mut rig, a, b) = two(12);
        let (copies, pages_before) = (rig.machine.copies, rig.vm.census()[1]);
        let range = (at(first), pages(count));
        let copy = copy_out(&mut rig, a, range, After::Deallocate).unwrap();
        assert_eq!(rig.load(a, first), Err(KernReturn::InvalidAddress));
        let before = rig.ledgers.used(rig.accounts[1], Resource::Pages);
        let address = rig.deliver(copy, b);
        let after = rig.ledgers.used(rig.accounts[1], Resource::Pages);
        assert!(after >= before + count, "the receiver pays from now on");
        for page in 0..count {
            let got = rig.load_at(b, address + pages(page));
            assert_eq!(got, Ok((first + page) as u8 + 1));
            rig.store_at(b, address + pages(page), 50).unwrap();
        }
        assert_eq!(
            (rig.machine.copies, rig.vm.census()[1]),
            (copies, pages_before)
        );
        rig.verify();
        rig.assert_empty();
    }
}

// covers: M-23
#[test]
fn partial_pages_carry_nothing_but_what_was_sent() {
    let (mut rig, a, b) = two(3);
    let secret = [0x77; 4096];
    for page in 0..3 {
        rig.with(|vm, context| vm.write_bytes(context, a, at(page), &secret))
            .unwrap();
    }
    for (start, size) in [
        (100, 50),
        (100, pages(1)),
        (4090, pages(1) + 20),
        (0, 10),
        (100, 8000),
    ] {
        let copy = copy_out(&mut rig, a, (at(0) + start, size), After::Keep).unwrap();
        assert_eq!(rig.vm.copy_size(copy), Some(size));
        let mut peek = [0; 2];
        rig.with(|vm, context| vm.copy_read(context, copy, size - 2, &mut peek))
            .unwrap();
        assert_eq!(peek, [0x77; 2]);
        let address = rig.deliver(copy, b);
        assert_eq!(address % PAGE_SIZE, start, "the offset in the page stays");
        let region = rig.vm.region(b, address).unwrap();
        let mut all = std::vec![0; region.size as usize];
        rig.with(|vm, context| vm.read_bytes(context, b, region.start, &mut all))
            .unwrap();
        for (n, byte) in all.iter().enumerate() {
            let sent = (start..start + size).contains(&(n as u64));
            assert_eq!(
                *byte,
                if sent { 0x77 } else { 0 },
                "byte {n} of {start}+{size}"
            );
        }
        let range = (region.start, region.size);
        rig.finish(|vm, context| vm.deallocate(context, b, range.0, range.1))
            .unwrap();
    }
    rig.assert_empty();
}

// covers: M-23
#[test]
fn a_bad_range_is_refused_and_changes_nothing() {
    let (mut rig, a, _) = two(4);
    rig.deallocate(a, 2, 1).unwrap();
    rig.allocate(a, 10, 300);
    for after in [After::Keep, After::Deallocate] {
        let mut refuse = |range, error| {
            assert_eq!(copy_out(&mut rig, a, range, after), Err(error), "{range:?}");
        };
        refuse((at(0), pages(3)), KernReturn::InvalidAddress);
        refuse((at(2), 1), KernReturn::InvalidAddress);
        refuse((at(1), u64::MAX), KernReturn::InvalidArgument);
        refuse(
            (at(10), pages(COPY_PAGES + 1)),
            KernReturn::ResourceShortage,
        );
    }
    rig.finish(|vm, context| vm.protect(context, a, (at(1), 1), Which::Current, protection::NONE))
        .unwrap();
    let denied = copy_out(&mut rig, a, (at(0), pages(2)), After::Deallocate);
    assert_eq!(denied, Err(KernReturn::ProtectionFailure));
    assert_eq!(rig.load(a, 0), Ok(1));
    let empty = copy_out(&mut rig, a, (at(2), 0), After::Deallocate).unwrap();
    assert_eq!(rig.deliver(empty, a), 0, "size 0 arrives at address 0");
    rig.assert_empty();
}

#[test]
fn a_copy_that_its_sender_cannot_pay_for_leaves_all_as_it_was() {
    let mut rig = Rig::new();
    let account = rig.account(4 + 4 + 1);
    let a = rig.map_for(account);
    rig.allocate(a, 0, 4);
    for page in 0..4 {
        rig.store(a, page, 3).unwrap();
    }
    // Beside four pages and four tables there is room for the first partial page, not for the last.
    let short = copy_out(&mut rig, a, (at(0) + 8, pages(2)), After::Deallocate);
    assert_eq!(short, Err(KernReturn::ResourceShortage));
    rig.settle();
    assert_eq!(rig.vm.census()[1], 4);
    assert_eq!((rig.load(a, 0), rig.load(a, 2)), (Ok(3), Ok(3)));
    rig.assert_empty();
}

// covers: M-23
#[test]
fn a_receiver_without_room_leaves_the_copy_to_try_again() {
    let (mut rig, a, _) = two(8);
    let poor = rig.account(6);
    let b = rig.map_for(poor);
    let copy = copy_out(&mut rig, a, (at(0), pages(8)), After::Deallocate).unwrap();
    let full = rig.with(|vm, context| vm.copy_in(context, b, copy));
    rig.verify();
    assert_eq!(full, Err(KernReturn::ResourceShortage));
    let address = rig.deliver(copy, a);
    assert_eq!(rig.load_at(a, address + pages(7)), Ok(8));
    rig.assert_empty();
}

// covers: M-23
#[test]
fn a_discarded_copy_frees_what_it_held_even_after_its_sender_died() {
    for after in [After::Keep, After::Deallocate] {
        let (mut rig, a, _) = two(150);
        let copy = copy_out(&mut rig, a, (at(0), pages(150)), after).unwrap();
        rig.destroy(a);
        assert_eq!(rig.vm.census()[1], 150);
        rig.discard(copy);
        assert_eq!(rig.vm.census(), [0; 5]);
        rig.assert_empty();
    }
}

#[test]
fn the_kernel_fills_a_copy_itself() {
    let mut rig = Rig::new();
    let map = rig.map();
    let account = rig.accounts[0];
    let copy = rig
        .with(|vm, context| vm.copy_create(context, account, 5000))
        .unwrap();
    rig.with(|vm, context| vm.copy_write(context, copy, 4090, &[1; 12]))
        .unwrap();
    let beyond = rig.with(|vm, context| vm.copy_write(context, copy, 4995, &[1; 6]));
    assert_eq!(beyond, Err(KernReturn::InvalidArgument));
    rig.verify();
    let address = rig.deliver(copy, map);
    let mut got = [0; 14];
    rig.with(|vm, context| vm.read_bytes(context, map, address + 4089, &mut got))
        .unwrap();
    assert_eq!(got, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    rig.assert_empty();
}

// covers: V-12
#[test]
fn a_message_buffer_stays_where_it_is() {
    let (mut rig, a, b) = two(6);
    let buffer = rig
        .with(|vm, context| vm.wire_buffer(context, a, at(1), pages(3)))
        .unwrap();
    rig.verify();
    let pinned: Vec<Page> = rig.vm.buffer_pages(buffer).into();
    assert_eq!(pinned.len(), 3);
    let refused = Err::<u32, _>(KernReturn::InvalidArgument);
    assert_eq!(rig.deallocate(a, 0, 6), refused);
    assert_eq!(rig.load(a, 0), Ok(1), "nothing changed");
    let read = protection::READ;
    let protect =
        rig.finish(|vm, context| vm.protect(context, a, (at(0), pages(3)), Which::Current, read));
    assert_eq!(protect, refused);
    let overwrite = MapRequest {
        flags: abi::vm::map_flags::OVERWRITE,
        ..rig.request(Source::Anonymous, 3, 1)
    };
    assert_eq!(rig.do_map(a, overwrite).err(), refused.err());
    let leave = copy_out(&mut rig, a, (at(2), pages(1)), After::Deallocate);
    assert_eq!(leave.err(), refused.err());
    let twice = rig.with(|vm, context| vm.wire_buffer(context, a, at(1), pages(3)));
    assert_eq!(twice.err(), refused.err());
    // Copies of it are ordinary memory and see no later writes.
    let child = rig.fork(a);
    let copy = copy_out(&mut rig, a, (at(0), pages(6)), After::Keep).unwrap();
    rig.machine.page(pinned[0])[0] = 77;
    let address = rig.deliver(copy, b);
    assert_eq!(
        (rig.load(child, 1), rig.load_at(b, address + pages(1))),
        (Ok(2), Ok(2))
    );
    assert_eq!(rig.load(a, 1), Ok(77));
    rig.with(|vm, context| vm.unwire_buffer(context, buffer));
    rig.verify();
    assert_eq!(rig.vm.buffer_pages(buffer), []);
    assert!(rig.deallocate(a, 0, 6).is_ok());
    rig.assert_empty();
}

#[test]
fn a_buffer_is_private_writable_memory_of_whole_pages() {
    let (mut rig, a, _) = two(40);
    let wire = |rig: &mut Rig, address, size| {
        let wired = rig.with(|vm, context| vm.wire_buffer(context, a, address, size));
        rig.verify();
        wired.err()
    };
    let argument = Some(KernReturn::InvalidArgument);
    for (address, size) in [
        (at(0) + 1, pages(2)),
        (at(0), pages(2) + 1),
        (at(0), pages(1)),
        (at(0), pages(17)),
        (u64::MAX - 4095, pages(2)),
    ] {
        assert_eq!(
            wire(&mut rig, address, size),
            argument,
            "{address:#x} {size:#x}"
        );
    }
    assert_eq!(
        wire(&mut rig, at(39), pages(2)),
        Some(KernReturn::InvalidAddress)
    );
    let read = protection::READ;
    rig.finish(|vm, context| vm.protect(context, a, (at(5), 1), Which::Current, read))
        .unwrap();
    assert_eq!(
        wire(&mut rig, at(4), pages(2)),
        Some(KernReturn::ProtectionFailure)
    );
    let range = (at(10), pages(2));
    let entry = rig.make_entry(a, range, RW).unwrap();
    assert_eq!(wire(&mut rig, at(10), pages(2)), argument, "shared");
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

#[test]
fn a_buffer_that_outlives_its_map_keeps_its_pages() {
    let (mut rig, a, _) = two(2);
    let buffer = rig
        .with(|vm, context| vm.wire_buffer(context, a, at(0), pages(2)))
        .unwrap();
    rig.destroy(a);
    let first = rig.vm.buffer_pages(buffer)[0];
    assert_eq!(rig.machine.page(first)[0], 1);
    rig.with(|vm, context| vm.unwire_buffer(context, buffer));
    assert_eq!(
        rig.finish(|vm, context| Ok::<Progress, _>(vm.settle(context))),
        Ok(1)
    );
    rig.assert_empty();
}

// covers: M-23 V-09
#[test]
fn memory_that_was_copied_before_leaves_without_its_other_owner_noticing() {
    let (mut rig, a, b) = two(6);
    let child = rig.fork(a);
    rig.store(child, 0, 50).unwrap();
    let copy = copy_out(&mut rig, child, (at(0), pages(6)), After::Deallocate).unwrap();
    let address = rig.deliver(copy, b);
    for page in 0..6 {
        let expected = if page == 0 { 50 } else { page as u8 + 1 };
        assert_eq!(rig.load_at(b, address + pages(page)), Ok(expected));
        rig.store_at(b, address + pages(page), 99).unwrap();
        assert_eq!(rig.load(a, page), Ok(page as u8 + 1));
    }
    rig.verify();
    rig.assert_empty();
}

// covers: M-23
#[test]
fn the_receiver_pays_for_what_it_got_and_for_nothing_else() {
    let (mut rig, a, b) = two(10);
    // The first three pages are a region of their own, with the same object as the rest.
    rig.deallocate(a, 3, 1).unwrap();
    let sender = rig.accounts[0];
    let before = rig.ledgers.used(sender, Resource::Pages);
    let copy = copy_out(&mut rig, a, (at(0), pages(3)), After::Deallocate).unwrap();
    assert_eq!(
        rig.ledgers.used(sender, Resource::Pages),
        before,
        "in flight: still the sender's"
    );
    rig.deliver(copy, b);
    assert_eq!(rig.ledgers.used(sender, Resource::Pages), before - 3);
    assert_eq!(rig.ledgers.used(rig.accounts[1], Resource::Pages), 4 + 3);
    rig.assert_empty();
}

// covers: V-10
#[test]
fn memory_that_is_copied_again_and_again_is_at_last_copied_at_once() {
    let (mut rig, a, b) = two(8);
    let mut copies = Vec::new();
    for round in 0..40 {
        let copy = copy_out(&mut rig, a, (at(0), pages(8)), After::Keep).unwrap();
        copies.push(rig.deliver(copy, b));
        rig.store(a, 0, round).unwrap();
        let entry = rig.vm.entry(rig.vm.find_entry(a, at(0)).unwrap());
        assert!(rig.vm.chain(entry.object.unwrap()) <= crate::vm::object::MAX_CHAIN);
    }
    for (round, address) in copies.iter().enumerate() {
        let expected = if round == 0 { 1 } else { round as u8 - 1 };
        assert_eq!(rig.load_at(b, *address), Ok(expected));
        assert_eq!(rig.load_at(b, *address + pages(7)), Ok(8));
    }
    rig.verify();
    rig.assert_empty();
}

#[test]
fn a_receiver_without_kernel_memory_gets_no_part_of_a_copy() {
    let (mut rig, a, _) = two(30);
    rig.allocate(a, 30, 10);
    for page in [10, 20] {
        // Regions of their own, so that the copy has several pieces.
        rig.finish(|vm, context| {
            vm.protect(context, a, (at(page), 1), Which::Current, protection::READ)
        })
        .unwrap();
    }
    rig.fork(a);
    let copy = copy_out(&mut rig, a, (at(0), pages(40)), After::Keep).unwrap();
    let map_bytes = crate::vm::cost::<crate::vm::Map>() + crate::vm::cost::<crate::vm::Entry>();
    let limits = Limits {
        pages: 1000,
        kernel_bytes: map_bytes,
        ..Limits::default()
    };
    let poor = rig.ledgers.create_child(rig.root, limits).unwrap();
    rig.accounts.push(poor);
    let b = rig.map_for(poor);
    let full = rig.with(|vm, context| vm.copy_in(context, b, copy));
    assert_eq!(full, Err(KernReturn::ResourceShortage));
    rig.verify();
    assert_eq!(rig.vm.map_size(b).unwrap().1, 0);
    rig.discard(copy);
    rig.assert_empty();
}

// covers: M-23
#[test]
fn a_copy_of_a_task_that_ended_is_that_task_s_still_when_nobody_can_take_it() {
    let (mut rig, a, c) = two(30);
    rig.allocate(a, 30, 10);
    let (sender, range) = (rig.accounts[0], (at(0), pages(40)));
    // Pages that moved, and then none: two regions.
    let copy = copy_out(&mut rig, a, range, After::Deallocate).unwrap();
    rig.destroy(a);
    rig.ledgers.close(sender);
    let held = rig.ledgers.used(sender, Resource::Pages);
    assert_eq!(held, 30);
    let copied = crate::vm::cost::<crate::vm::Copied>() + crate::vm::cost::<crate::vm::Piece>();
    let moved = rig.ledgers.used(sender, Resource::KernelBytes) - copied;
    let map_bytes = crate::vm::cost::<crate::vm::Map>() + crate::vm::cost::<crate::vm::Entry>();
    let limits = Limits {
        pages: 1000,
        kernel_bytes: map_bytes + moved,
        ..Limits::default()
    };
    let poor = rig.ledgers.create_child(rig.root, limits).unwrap();
    rig.accounts.push(poor);
    let b = rig.map_for(poor);
    for _ in 0..2 {
        let full = rig.with(|vm, context| vm.copy_in(context, b, copy));
        assert_eq!(full, Err(KernReturn::ResourceShortage));
        assert_eq!(rig.ledgers.used(sender, Resource::Pages), held);
        assert!(rig.ledgers.is_closed(sender));
        rig.verify();
    }
    let address = rig.deliver(copy, c);
    assert_eq!(rig.load_at(c, address + pages(29)), Ok(30));
    assert_eq!(rig.ledgers.used(sender, Resource::Pages), 0);
    rig.assert_empty();
}

/// Registers a buffer in place of another one.
fn replace(
    rig: &mut Rig,
    map: MapId,
    (page, count): (u64, u64),
    buffer: &mut Option<BufferId>,
) -> KernResult<()> {
    let replaced =
        rig.with(|vm, context| vm.replace_buffer(context, map, (at(page), pages(count)), buffer));
    rig.verify();
    replaced
}

// covers: V-12
#[test]
fn a_message_buffer_stays_until_another_one_takes_its_place() {
    let (mut rig, a, _) = two(30);
    let read = protection::READ;
    rig.finish(|vm, context| vm.protect(context, a, (at(20), 1), Which::Current, read))
        .unwrap();
    let mut buffer = None;
    replace(&mut rig, a, (4, 4), &mut buffer).unwrap();
    let pinned = |rig: &Rig, buffer: Option<BufferId>| -> Vec<Page> {
        rig.vm.buffer_pages(buffer.unwrap()).into()
    };
    let old = pinned(&rig, buffer);
    let refused = [
        ((29, 2), KernReturn::InvalidAddress),
        ((4, 1), KernReturn::InvalidArgument),
        ((19, 2), KernReturn::ProtectionFailure),
        ((18, 4), KernReturn::ProtectionFailure),
    ];
    for (place, error) in refused {
        assert_eq!(replace(&mut rig, a, place, &mut buffer), Err(error));
        assert_eq!(pinned(&rig, buffer), old, "nothing changed");
        assert!(rig.deallocate(a, 4, 1).is_err(), "it is wired still");
    }
    // A part of it, more than it, and what is beside it.
    for (page, count) in [(5, 2), (3, 6), (3, 6), (9, 2), (2, 7), (11, 2)] {
        replace(&mut rig, a, (page, count), &mut buffer).unwrap();
        assert_eq!(pinned(&rig, buffer).len() as u64, count);
        assert_eq!(rig.load(a, page), Ok(page as u8 + 1));
    }
    assert!(
        rig.deallocate(a, 0, 11).is_ok(),
        "only the last one is left"
    );
    assert!(rig.deallocate(a, 12, 1).is_err());
    let last = buffer.unwrap();
    rig.with(|vm, context| vm.unwire_buffer(context, last));
    rig.assert_empty();
}

/// Whatever of the kernel's memory is missing, a thread has one of the two buffers, and no region is cut without need.
// covers: V-12
#[test]
fn a_message_buffer_stays_when_there_is_no_memory_for_another_one() {
    let mut refused = 0;
    for missing in 0..12 {
        let (mut rig, a, _) = two(40);
        let mut buffer = None;
        replace(&mut rig, a, (0, 4), &mut buffer).unwrap();
        let regions = rig.vm.map_size(a).unwrap().1;
        let account = rig.accounts[0];
        let used = rig.ledgers.used(account, Resource::KernelBytes);
        let limit = rig.ledgers.limit(account, Resource::KernelBytes);
        let left = (crate::vm::cost::<crate::vm::Entry>() / 4) * missing;
        let hog = limit - used - left;
        rig.ledgers
            .charge(account, Resource::KernelBytes, hog)
            .unwrap();
        let wired =
            rig.with(|vm, context| vm.replace_buffer(context, a, (at(2), pages(4)), &mut buffer));
        rig.ledgers.release(account, Resource::KernelBytes, hog);
        rig.verify();
        let count = rig.vm.buffer_pages(buffer.unwrap()).len();
        assert_eq!(count, 4);
        let (here, gone) = if wired.is_ok() { (2, 1) } else { (0, 5) };
        assert!(rig.deallocate(a, here, 4).is_err());
        if wired.is_err() {
            assert_eq!(wired, Err(KernReturn::ResourceShortage));
            assert_eq!(rig.vm.map_size(a).unwrap().1, regions);
            refused += 1;
        }
        assert!(rig.deallocate(a, gone, 1).is_ok());
        let last = buffer.unwrap();
        rig.with(|vm, context| vm.unwire_buffer(context, last));
        rig.assert_empty();
    }
    assert!((1..12).contains(&refused), "{refused}");
}
