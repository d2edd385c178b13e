//! Calls on a map that take steps: wiring, copying, remapping, sharing, discarding.

use abi::vm::map_flags;

use super::*;
use crate::vm::{Contents, Sharing, Which};

/// Objects behind one that hides all that the last copy changed: what it was copied from first.
const SHORT_CHAIN: u32 = 2;

/// A map with pages that hold their numbers, from 1.
fn filled(count: u64) -> (Rig, MapId) {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, count);
    for page in 0..count {
        rig.store(map, page, page as u8 + 1).unwrap();
    }
    (rig, map)
}

fn remap(source: MapId, (page, count): (u64, u64), flags: u64) -> Remap {
    Remap {
        source,
        source_address: at(page),
        size: pages(count),
        address: at(0),
        mask: 0,
        flags,
        inheritance: inherit::COPY,
    }
}

// covers: V-12
#[test]
fn wired_memory_is_copied_at_once_and_never_loses_its_page() {
    let (mut rig, map) = filled(4);
    rig.wire(map, (at(1), pages(2)), RW).unwrap();
    let page = rig.touch(map, at(1), Access::Write).unwrap();
    let before = rig.machine.copies;
    let child = rig.fork(map);
    assert_eq!(rig.machine.copies - before, 2, "the wired pages alone");
    let root = rig.vm.root(map).unwrap();
    let still = rig.machine.translate(root, at(1), protection::WRITE);
    assert_eq!(still, Some(page), "no write has to wait");
    assert_eq!(rig.machine.translate(root, at(0), protection::WRITE), None);
    let copy = rig.copy_out(map, (at(0), pages(4)), After::Keep).unwrap();
    let still = rig.machine.translate(root, at(1), protection::WRITE);
    assert_eq!(still, Some(page));
    rig.discard(copy);
    rig.store(map, 1, 9).unwrap();
    assert_eq!((rig.load(child, 1), rig.load(child, 2)), (Ok(2), Ok(3)));
    assert_eq!(rig.vm.region(child, at(1)).unwrap().wires, 0);
    // What is removed is not wired when it comes back.
    rig.deallocate(map, 1, 2).unwrap();
    rig.allocate(map, 1, 2);
    assert_eq!(rig.vm.region(map, at(1)).unwrap().wires, 0);
    let gone = rig.unwire(map, (at(1), pages(2)));
    assert_eq!(gone, Err(KernReturn::InvalidArgument));
    rig.assert_empty();
}

// covers: V-12
#[test]
fn wiring_makes_what_was_copied_late_ones_own() {
    let (mut rig, map) = filled(3);
    let child = rig.fork(map);
    rig.wire(child, (at(0), pages(3)), RW).unwrap();
    let root = rig.vm.root(child).unwrap();
    for page in 0..3 {
        assert!(
            rig.machine
                .translate(root, at(page), protection::WRITE)
                .is_some()
        );
    }
    rig.store(map, 0, 9).unwrap();
    assert_eq!(rig.load(child, 0), Ok(1));
    for _ in 0..2 {
        rig.wire(child, (at(1), pages(1)), protection::READ)
            .unwrap();
    }
    rig.unwire(child, (at(0), pages(3))).unwrap();
    assert_eq!(rig.vm.region(child, at(1)).unwrap().wires, 2);
    rig.assert_empty();
}

// covers: V-03
#[test]
fn a_private_copy_is_made_of_what_others_see_and_of_nothing_else() {
    let (mut rig, map) = filled(200);
    let other = rig.map();
    let entry = rig
        .make_entry(map, (at(0), pages(200)), protection::READ)
        .unwrap();
    let reading = MapRequest {
        protection: protection::READ,
        ..rig.request(Source::Entry(entry, 0), 0, 200)
    };
    rig.do_map(other, reading).unwrap();
    assert_eq!(rig.load(other, 150), Ok(151));
    let rights = RW | protection::COPY;
    let range = (at(10), pages(180));
    let protect = |rig: &mut Rig, which, rights| {
        rig.finish(|vm, context| vm.protect(context, other, range, which, rights))
    };
    let maximum = protect(&mut rig, Which::Maximum, rights);
    assert_eq!(maximum, Err(KernReturn::InvalidArgument));
    assert!(
        protect(&mut rig, Which::Current, rights).unwrap() >= 3,
        "in steps"
    );
    for page in 0..200 {
        let written = rig.store(other, page, 77);
        assert_eq!(written.is_ok(), (10..190).contains(&page), "{page}");
        assert_eq!(rig.load(map, page), Ok(page as u8 + 1));
    }
    // Private memory stays where it is.
    let copies = rig.machine.copies;
    protect(&mut rig, Which::Current, rights).unwrap();
    assert_eq!(rig.machine.copies, copies);
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

// covers: V-04 V-16
#[test]
fn a_copy_in_steps_checks_again_after_each() {
    for change in 0..3 {
        let (mut rig, map) = filled(200);
        let other = rig.map();
        rig.allocate(other, 0, 201);
        let (from, to, size) = ((map, at(0)), (other, at(0) + 7), pages(200));
        let step = |rig: &mut Rig, done| {
            rig.with(|vm, context| vm.copy_bytes(context, from, to, (size, done)))
        };
        let done = step(&mut rig, 0).unwrap();
        assert!(done > 0 && done <= pages(64), "{done}");
        let late = (at(150), pages(1));
        let expected = match change {
            0 => {
                let rights = protection::READ;
                let protect = |vm: &mut Vm, context: &mut Context<'_, TestMachine>| {
                    vm.protect(context, other, late, Which::Current, rights)
                };
                rig.finish(protect).unwrap();
                KernReturn::ProtectionFailure
            }
            1 => {
                rig.deallocate(other, 150, 1).unwrap();
                KernReturn::InvalidAddress
            }
            _ => {
                rig.deallocate(map, 150, 1).unwrap();
                KernReturn::InvalidAddress
            }
        };
        let before = rig.load_at(other, at(100));
        assert_eq!(step(&mut rig, done), Err(expected));
        assert_eq!(
            rig.load_at(other, at(100)),
            before,
            "nothing more was written"
        );
        assert_eq!(rig.load_at(other, at(0) + 7), Ok(1));
        rig.assert_empty();
    }
}

// covers: V-16
#[test]
fn an_unaligned_copy_writes_what_is_there_when_it_writes() {
    let (mut rig, map) = filled(140);
    let other = rig.map();
    rig.allocate(other, 0, 141);
    let (from, to, size) = ((map, at(0)), (other, at(0) + 100), pages(140));
    let step = |rig: &mut Rig, done| {
        rig.with(|vm, context| vm.copy_bytes(context, from, to, (size, done)))
    };
    let done = step(&mut rig, 0).unwrap();
    // Another object comes to lie under what is still to be written, and a child has what was there.
    let child = rig.fork(other);
    rig.deallocate(other, 100, 41).unwrap();
    rig.allocate(other, 100, 41);
    let mut done = done;
    while done < size {
        done = step(&mut rig, done).unwrap();
        rig.verify();
    }
    assert_eq!(rig.load_at(other, at(139) + 100), Ok(140));
    assert_eq!(
        rig.load_at(child, at(139) + 100),
        Ok(0),
        "the old one is unharmed"
    );
    rig.assert_empty();
}

// covers: V-04
#[test]
fn ranges_that_overlap_are_copied_as_if_they_did_not() {
    for (from, to) in [(0, 3), (3, 0), (0, 5000), (5000, 0), (100, 40)] {
        let mut rig = Rig::new();
        let map = rig.map();
        rig.allocate(map, 0, 70);
        let bytes: Vec<u8> = (0..66 * 4096_u32).map(|n| (n / 3 % 251) as u8).collect();
        let write = |vm: &mut Vm, context: &mut Context<'_, TestMachine>| {
            vm.write_bytes(context, map, at(0) + from, &bytes)
        };
        rig.with(write).unwrap();
        let size = bytes.len() as u64;
        rig.copy((map, at(0) + from), (map, at(0) + to), size)
            .unwrap();
        let mut got = std::vec![0; bytes.len()];
        rig.with(|vm, context| vm.read_bytes(context, map, at(0) + to, &mut got))
            .unwrap();
        assert!(got == bytes, "from {from} to {to}");
        rig.assert_empty();
    }
}

// covers: V-04
#[test]
fn a_copy_out_of_line_is_written_over_memory_in_steps() {
    let (mut rig, map) = filled(100);
    let other = rig.map();
    // Two pages of the copy were never touched, and one is not whole.
    rig.deallocate(map, 50, 2).unwrap();
    rig.allocate(map, 50, 2);
    let copy = rig
        .copy_out(map, (at(0) + 5, pages(100) - 5), After::Keep)
        .unwrap();
    rig.allocate(other, 0, 101);
    for page in 0..101 {
        rig.store(other, page, 200).unwrap();
    }
    let size = pages(100) - 5;
    let steps = rig.advance((0, size), |vm, context, done| {
        vm.overwrite(context, copy, (other, at(0) + 9), done)
    });
    assert!(steps.unwrap() >= 3);
    for page in [1, 49, 50, 51, 52, 99] {
        let expected = if (50..52).contains(&page) {
            0
        } else {
            page as u8 + 1
        };
        assert_eq!(rig.load_at(other, at(page) + 4), Ok(expected), "{page}");
    }
    assert_eq!(rig.load_at(other, at(0)), Ok(200));
    rig.discard(copy);
    rig.assert_empty();
}

// covers: V-07
#[test]
fn each_page_of_a_remapped_range_is_old_or_new_at_any_time() {
    for copies in [0, map_flags::COPY] {
        let (mut rig, map) = filled(200);
        let other = rig.map();
        rig.allocate(other, 0, 200);
        for page in 0..200 {
            rig.store(other, page, 250).unwrap();
        }
        let remap = remap(map, (0, 200), map_flags::OVERWRITE | copies);
        let begin = rig.with(|vm, context| vm.remap_begin(context, other, &remap));
        assert_eq!(begin, Ok(at(0)));
        let mut done = 0;
        let mut steps = 0;
        while done < pages(200) {
            let step = |vm: &mut Vm, context: &mut Context<'_, TestMachine>| {
                vm.remap_step(context, other, &remap, (at(0), done))
            };
            done = rig.with(step).unwrap();
            rig.verify();
            for page in 0..200 {
                let expected = if pages(page) < done {
                    page as u8 + 1
                } else {
                    250
                };
                assert_eq!(
                    rig.load(other, page),
                    Ok(expected),
                    "{page} after {done:#x}"
                );
            }
            steps += 1;
        }
        assert!(steps >= 3);
        rig.store(other, 0, 99).unwrap();
        let seen = if copies == 0 { 99 } else { 1 };
        assert_eq!(rig.load(map, 0), Ok(seen));
        rig.assert_empty();
    }
}

// covers: V-07
#[test]
fn a_remapping_takes_as_many_pages_as_its_source_has_wherever_in_a_page_it_is_to_be() {
    for flags in [0, map_flags::OVERWRITE] {
        let (mut rig, map) = filled(2);
        let other = rig.map();
        rig.allocate(other, 6, 1);
        let remap = Remap {
            address: at(4) + 8,
            ..remap(map, (0, 2), flags)
        };
        assert_eq!(rig.remap(other, &remap), Ok(at(4)));
        assert_eq!(rig.load(other, 5), Ok(2));
        rig.deallocate(other, 4, 2).unwrap();
        let next = rig.vm.region(other, 0).unwrap();
        assert_eq!((next.start, next.size), (at(6), pages(1)));
        rig.assert_empty();
    }
}

// covers: V-07
#[test]
fn a_remapping_whose_source_goes_leaves_nothing() {
    let (mut rig, map) = filled(200);
    let other = rig.map();
    let remap = remap(map, (0, 200), map_flags::ANYWHERE | map_flags::COPY);
    let address = rig
        .with(|vm, context| vm.remap_begin(context, other, &remap))
        .unwrap();
    assert_eq!(
        rig.vm.region(other, 0).unwrap().size,
        pages(200),
        "the place is taken"
    );
    let begun = |vm: &mut Vm, context: &mut Context<'_, TestMachine>| {
        vm.remap_step(context, other, &remap, (address, 0))
    };
    let done = rig.with(begun).unwrap();
    assert!(done > 0 && done < pages(200));
    rig.deallocate(map, 199, 1).unwrap();
    let failed = |vm: &mut Vm, context: &mut Context<'_, TestMachine>| {
        vm.remap_step(context, other, &remap, (address, done))
    };
    assert_eq!(rig.with(failed), Err(KernReturn::InvalidAddress));
    let whole = pages(200);
    rig.finish(|vm, context| vm.deallocate(context, other, address, whole))
        .unwrap();
    assert_eq!(rig.vm.map_size(other).unwrap().1, 0);
    rig.assert_empty();
}

// covers: V-09 V-14
#[test]
fn memory_with_a_past_is_shared_in_steps() {
    let (mut rig, map) = filled(200);
    let other = rig.map();
    let child = rig.fork(map);
    for page in (0..200).step_by(3) {
        rig.store(map, page, 9).unwrap();
    }
    // Between two steps all is as before; then both see one memory, and the child its own.
    let range = (at(0), pages(200));
    let begun = rig.with(|vm, context| vm.make_entry(context, map, range, RW));
    assert_eq!(begun, Ok(Progress::More));
    for page in 0..200 {
        let expected = if page % 3 == 0 { 9 } else { page as u8 + 1 };
        assert_eq!(rig.load(map, page), Ok(expected));
    }
    rig.store(map, 1, 8).unwrap();
    rig.store(map, 199, 8).unwrap();
    let entry = rig.make_entry(map, range, RW).unwrap();
    rig.do_map(other, rig.request(Source::Entry(entry, 0), 0, 200))
        .unwrap();
    for page in [1, 199] {
        assert_eq!(rig.load(other, page), Ok(8));
        assert_eq!(rig.load(child, page), Ok(page as u8 + 1));
    }
    rig.store(other, 150, 7).unwrap();
    assert_eq!((rig.load(map, 150), rig.load(child, 150)), (Ok(7), Ok(151)));
    assert_eq!(rig.vm.map_size(map).unwrap().1, 1, "one region");
    assert_eq!(rig.vm.region(map, at(0)).unwrap().sharing, Sharing::Shared);
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

// covers: V-14
#[test]
fn sharing_takes_as_many_steps_as_there_are_pages_whatever_lies_between() {
    const GIB: u64 = (1 << 30) / PAGE_SIZE;
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 2 * GIB);
    let touched = [0, 5, GIB / 2, GIB, GIB + 1, 2 * GIB - 1];
    for page in touched {
        rig.store(map, page, 1).unwrap();
    }
    // With a child that has seen it, all of it has to move to another object.
    let child = rig.fork(map);
    rig.store(map, GIB, 2).unwrap();
    let range = (at(0), pages(2 * GIB));
    let mut steps = 1;
    while rig.with(|vm, context| vm.make_entry(context, map, range, RW)) == Ok(Progress::More) {
        rig.verify();
        steps += 1;
    }
    assert!(steps <= 4, "{steps} steps for {} pages", touched.len());
    for page in touched {
        let written = if page == GIB { 2 } else { 1 };
        assert_eq!(rig.load(map, page), Ok(written));
        assert_eq!(rig.load(child, page), Ok(1));
    }
    assert_eq!(rig.load(map, GIB + 2), Ok(0));
    assert_eq!(rig.vm.map_size(map).unwrap().1, 1, "one region");
    assert_eq!(rig.vm.region(map, at(0)).unwrap().sharing, Sharing::Shared);
}

#[test]
fn sharing_that_nobody_can_pay_for_changes_nothing() {
    let mut rig = Rig::new();
    let account = rig.account(330);
    let map = rig.map_for(account);
    rig.allocate(map, 0, 200);
    for page in 0..200 {
        rig.store(map, page, page as u8).unwrap();
    }
    rig.fork(map);
    let range = (at(0), pages(200));
    let shared = rig.make_entry(map, range, RW);
    assert_eq!(shared, Err(KernReturn::ResourceShortage));
    for page in 0..200 {
        assert_eq!(rig.load(map, page), Ok(page as u8));
    }
    rig.assert_empty();
}

// covers: V-10
#[test]
fn children_that_stay_do_not_lengthen_the_chain() {
    let (mut rig, map) = filled(4);
    let mut children = Vec::new();
    for round in 0..40 {
        children.push(rig.fork(map));
        for page in 0..2 {
            rig.store(map, page, 100 + round).unwrap();
        }
        rig.settle();
        let depth = rig.vm.region(map, at(0)).unwrap().depth;
        assert!(
            depth <= SHORT_CHAIN,
            "{depth} objects behind in round {round}"
        );
    }
    for (round, child) in children.iter().enumerate() {
        let expected = if round == 0 { 1 } else { 99 + round as u8 };
        assert_eq!(rig.load(*child, 0), Ok(expected));
        assert_eq!(rig.load(*child, 3), Ok(4));
    }
    // Each round's two pages, the first four, and no others.
    assert_eq!(rig.vm.census()[1], 4 + 40 * 2);
    rig.assert_empty();
}

// covers: V-15
#[test]
fn discarding_frees_private_pages_and_zeros_others() {
    let (mut rig, map) = filled(150);
    let discard = |rig: &mut Rig, map, range: (u64, u64), contents| {
        rig.advance((0, range.0 + range.1), |vm, context, from| {
            vm.discard_step(context, map, range, contents, from)
        })
    };
    let before = rig.vm.census()[1];
    assert!(discard(&mut rig, map, (at(0), pages(140)), Contents::Unneeded).unwrap() >= 3);
    assert_eq!(rig.vm.census()[1], before - 140);
    assert_eq!((rig.load(map, 0), rig.load(map, 140)), (Ok(0), Ok(141)));
    // What a child sees as well is not lost to it; zeros are zeros.
    let child = rig.fork(map);
    discard(&mut rig, map, (at(140), pages(10)), Contents::Unneeded).unwrap();
    assert_eq!(rig.load(child, 141), Ok(142));
    discard(&mut rig, map, (at(140), pages(10)), Contents::Zeros).unwrap();
    assert_eq!((rig.load(map, 141), rig.load(child, 141)), (Ok(0), Ok(142)));
    rig.wire(map, (at(149), pages(1)), RW).unwrap();
    rig.store(map, 149, 3).unwrap();
    discard(&mut rig, map, (at(149), pages(1)), Contents::Unneeded).unwrap();
    assert_eq!(rig.load(map, 149), Ok(3), "a wired page stays");
    rig.assert_empty();
}

#[test]
fn what_the_kernel_fills_gets_pages_as_it_is_written() {
    let mut rig = Rig::new();
    let map = rig.map();
    let account = rig.accounts[0];
    let copy = rig
        .with(|vm, context| vm.copy_create(context, account, pages(200)))
        .unwrap();
    assert_eq!(rig.vm.census()[1], 0);
    let bytes = [7; 100];
    rig.with(|vm, context| vm.copy_write(context, copy, pages(150) - 50, &bytes))
        .unwrap();
    assert_eq!(rig.vm.census()[1], 2);
    let address = rig.deliver(copy, map);
    assert_eq!(rig.load_at(map, address + pages(150) + 49), Ok(7));
    assert_eq!(rig.load_at(map, address + pages(150) + 50), Ok(0));
    assert_eq!(rig.load_at(map, address), Ok(0));
    rig.assert_empty();
}
