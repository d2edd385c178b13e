//! Copies of memory that a pager supplies: what they keep, and who pays. The pager is played by the test.

use super::orders::{CLEAN, FLUSH};
use super::*;
use crate::base::ids::{MessageKind, PortKind};
use crate::vm::{Await, Effect, Order, PagerAttributes, PagerId, PagerPorts, STALLED, Terms};
use abi::vm::{copy_strategy, map_flags};
use arena::Arena;

/// An object's content as its pager has it.
pub(super) fn content(page: u64) -> u8 {
    (page % 100) as u8 + 100
}

impl Rig {
    /// A memory object whose pager is ready.
    pub(super) fn pager(&mut self, strategy: u32) -> PagerId {
        let pager = self.unmapped_pager(strategy);
        // A mapping that nobody uses keeps it.
        let keeper = self.map();
        let request = self.request(Source::Pager(pager, pages(1 << 20)), 0, 1);
        self.with(|vm, context| {
            assert!(vm.map(context, keeper, request).is_ok());
            vm.drop_pager(pager);
        });
        self.pagers.push((pager, keeper));
        pager
    }

    /// The same, with a reference that is the caller's.
    pub(super) fn unmapped_pager(&mut self, strategy: u32) -> PagerId {
        let mut ports: Arena<(), PortKind> = Arena::new(Region::on_heap(4096));
        let mut messages: Arena<(), MessageKind> = Arena::new(Region::on_heap(4096));
        for _ in 0..self.pagers.len() {
            ports.insert(()).unwrap();
        }
        let port = ports.insert(()).unwrap();
        let ports = PagerPorts {
            object: port,
            control: port,
            name: port,
            farewell: messages.insert(()).unwrap(),
        };
        let account = self.account(4096);
        let pager = self
            .with(|vm, context| vm.create_pager(context, ports, account))
            .unwrap();
        let attributes = PagerAttributes {
            may_cache: false,
            copy_strategy: strategy,
        };
        self.vm.set_pager_attributes(pager, attributes).unwrap();
        pager
    }

    /// Answers what the last access asked for, if it asked for anything.
    pub(super) fn serve(&mut self, pager: PagerId, map: MapId) -> KernResult<()> {
        let asked = self.with(|vm, context| vm.await_page(context, map, None))?;
        if let Some(Await { ask: Some(ask), .. }) = asked {
            let page = ask.offset / PAGE_SIZE;
            if self.is_store(ask.port) {
                self.bring_back(page);
                self.perform();
                self.verify();
                return Ok(());
            }
            let content = self.content_of(page);
            let (root, terms) = (
                self.root,
                Terms {
                    lock: 0,
                    precious: false,
                },
            );
            self.with(|vm, context| {
                let copy = vm.copy_create(context, root, PAGE_SIZE).unwrap();
                vm.copy_write(context, copy, 0, &content).unwrap();
                let supplied = vm.supply(context, pager, (ask.offset, copy), terms);
                assert_eq!(supplied.unwrap().result, KernReturn::Success);
                vm.copy_discard(context, copy);
            });
        }
        self.perform();
        self.verify();
        Ok(())
    }

    /// Does what follows from answers.
    pub(super) fn perform(&mut self) {
        while let Some(effect) = self.vm.next_effect() {
            match effect {
                Effect::Reclaim => self.reclaim(),
                Effect::Discard => self.forget_discards(),
                _ => {}
            }
            self.with(|vm, context| match effect {
                Effect::Wake { .. } => vm.all_woken(context),
                Effect::Close(pager) => {
                    if let Some(cursor) = vm.close_step(context, pager) {
                        let copy = vm.collect(context, pager, cursor).unwrap().copy;
                        vm.copy_discard(context, copy);
                    }
                }
                Effect::Terminate(pager) => vm.remove_pager(context, pager),
                Effect::Ask(_) | Effect::Nothing | Effect::Reclaim | Effect::Discard => {}
            });
        }
    }

    /// Does something until no page is missing for it.
    pub(super) fn served<R>(
        &mut self,
        (pager, map): (PagerId, MapId),
        mut work: impl FnMut(&mut Self) -> KernResult<R>,
    ) -> KernResult<R> {
        loop {
            match work(self) {
                Err(STALLED) => self.serve(pager, map)?,
                done => return done,
            }
        }
    }

    fn map_pager(&mut self, map: MapId, pager: PagerId, place: (u64, u64), flags: u64) {
        let request = MapRequest {
            flags,
            ..self.request(Source::Pager(pager, 0), place.0, place.1)
        };
        self.served((pager, map), |rig| rig.do_map(map, request))
            .unwrap();
    }

    fn get(&mut self, pager: PagerId, map: MapId, page: u64) -> KernResult<u8> {
        self.served((pager, map), |rig| rig.load(map, page))
    }

    fn put(&mut self, pager: PagerId, map: MapId, page: u64, value: u8) -> KernResult<()> {
        self.served((pager, map), |rig| rig.store(map, page, value))
    }

    /// Nothing is left of anything.
    pub(super) fn end_pagers(&mut self) {
        for map in self.maps.clone() {
            self.destroy(map);
        }
        self.perform();
        self.assert_empty();
    }
}

// covers: V-09 O-06
#[test]
fn a_copy_keeps_what_was_there_when_it_was_made() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 5), 0);
    // Dirty, clean and there, and three that are not there.
    rig.put(pager, writer, 0, 1).unwrap();
    assert_eq!(rig.get(pager, writer, 1), Ok(content(1)));
    rig.map_pager(reader, pager, (0, 5), map_flags::COPY);
    for page in 0..4 {
        rig.put(pager, writer, page, 50).unwrap();
        rig.verify();
    }
    assert_eq!(rig.get(pager, reader, 0), Ok(1));
    for page in 1..5 {
        assert_eq!(rig.get(pager, reader, page), Ok(content(page)), "{page}");
    }
    // Nor does the pager's object see what the copy's owner writes.
    rig.put(pager, reader, 4, 60).unwrap();
    assert_eq!(rig.get(pager, writer, 4), Ok(content(4)));
    // A later copy shows the later content, and the earlier one still its own.
    let later = rig.map();
    rig.map_pager(later, pager, (0, 5), map_flags::COPY);
    rig.put(pager, writer, 0, 51).unwrap();
    assert_eq!(rig.get(pager, later, 0), Ok(50));
    assert_eq!(rig.get(pager, reader, 0), Ok(1));
    rig.end_pagers();
}

// covers: V-09 V-05 V-07
#[test]
fn forks_and_remaps_of_a_pager_s_memory_are_copies_of_their_moment() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::TEMPORARY);
    let (writer, other) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 3), 0);
    rig.put(pager, writer, 0, 1).unwrap();
    let child = rig.fork(writer);
    let remap = Remap {
        source: writer,
        source_address: at(0),
        size: pages(3),
        address: at(8),
        mask: 0,
        flags: map_flags::OVERWRITE | map_flags::COPY,
        inheritance: inherit::COPY,
    };
    rig.remap(other, &remap).unwrap();
    for page in 0..3 {
        rig.put(pager, writer, page, 50).unwrap();
    }
    for page in 0..3 {
        let before = if page == 0 { 1 } else { content(page) };
        assert_eq!(rig.get(pager, child, page), Ok(before));
        assert_eq!(rig.get(pager, other, page + 8), Ok(before));
    }
    // A copy of a copy: what the first one kept, both have.
    let grandchild = rig.fork(child);
    rig.destroy(child);
    rig.put(pager, writer, 1, 51).unwrap();
    assert_eq!(rig.get(pager, grandchild, 1), Ok(content(1)));
    rig.end_pagers();
}

// covers: V-09
#[test]
fn reading_a_private_mapping_takes_no_page_until_the_memory_changes() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 4), 0);
    rig.map_pager(reader, pager, (0, 4), map_flags::COPY);
    for page in 0..4 {
        assert_eq!(rig.get(pager, reader, page), Ok(content(page)));
    }
    let child = rig.fork(reader);
    assert_eq!(rig.get(pager, child, 2), Ok(content(2)));
    assert_eq!((rig.vm.census()[1], rig.machine.copies), (4, 0));
    // The same page, which nobody may write there.
    let shared = rig.touch(writer, at(1), Access::Read);
    assert_eq!(rig.touch(reader, at(1), Access::Read), shared);
    let root = rig.vm.root(reader).unwrap();
    let may = rig.machine.translate(root, at(1), protection::WRITE);
    assert_eq!(may, None);
    // Another one's write takes it away from the readers, their own does from nobody.
    rig.put(pager, writer, 1, 50).unwrap();
    assert_eq!(rig.machine.copies, 1, "one for both readers");
    let mapped = rig.machine.translate(root, at(1), protection::READ);
    assert_eq!(mapped, None);
    assert_eq!(rig.get(pager, reader, 1), Ok(content(1)));
    rig.put(pager, reader, 2, 60).unwrap();
    assert_eq!(rig.get(pager, writer, 2), Ok(content(2)));
    assert_eq!(rig.get(pager, child, 2), Ok(content(2)));
    // What the pager takes back, or locks, nobody reads.
    rig.order(pager, (3, 1), &FLUSH);
    assert_eq!(rig.machine.translate(root, at(3), protection::READ), None);
    assert_eq!(rig.get(pager, reader, 3), Ok(content(3)));
    let lock = Order {
        lock: Some(protection::READ),
        ..CLEAN
    };
    rig.order(pager, (3, 1), &lock);
    let locked = rig.with(|vm, context| vm.fault(context, reader, at(3), Access::Read));
    assert_eq!(locked, Err(STALLED));
    rig.end_pagers();
}

// covers: V-09 V-12
#[test]
fn wiring_a_private_mapping_gives_it_pages_of_its_own() {
    for rights in [protection::READ, RW] {
        let mut rig = Rig::new();
        let pager = rig.pager(copy_strategy::DELAY);
        let reader = rig.map();
        let request = MapRequest {
            flags: map_flags::COPY,
            protection: rights,
            ..rig.request(Source::Pager(pager, 0), 0, 40)
        };
        rig.do_map(reader, request).unwrap();
        assert_eq!(rig.get(pager, reader, 3), Ok(content(3)));
        let read = protection::READ;
        rig.wire(reader, (at(0), pages(40)), read).unwrap();
        rig.order(pager, (0, 40), &FLUSH);
        assert_eq!(rig.supplied(pager), 0);
        for page in 0..40 {
            assert_eq!(rig.load(reader, page), Ok(content(page)));
        }
        assert_eq!(rig.supplied(pager), 0, "the pager is asked for nothing");
        rig.end_pagers();
    }
}

// covers: V-09
#[test]
fn more_copies_than_a_step_reaches_all_keep_a_page() {
    const COPIES: u64 = 3 * STEP + 5;
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 2), 0);
    assert_eq!(rig.get(pager, writer, 1), Ok(content(1)));
    for copy in 0..COPIES {
        rig.map_pager(reader, pager, (copy, 1), map_flags::COPY);
    }
    let both = rig.map();
    rig.map_pager(both, pager, (0, 2), map_flags::COPY);
    let mut steps = 0;
    while rig.with(|vm, context| vm.fault(context, writer, at(0), Access::Write)) == Err(STALLED) {
        let before = rig.machine.copies;
        rig.serve(pager, writer).unwrap();
        assert!(rig.machine.copies - before <= STEP, "too long a step");
        steps += 1;
        if steps == 2 {
            // One goes and one comes in the middle, and another page is wanted.
            rig.deallocate(reader, 0, 1).unwrap();
            rig.deallocate(reader, STEP + 10, 1).unwrap();
            rig.map_pager(reader, pager, (0, 1), map_flags::COPY);
            rig.put(pager, writer, 1, 51).unwrap();
        }
    }
    assert!(steps >= 2, "{steps}");
    rig.put(pager, writer, 0, 50).unwrap();
    for copy in (0..COPIES).filter(|copy| *copy != STEP + 10) {
        assert_eq!(rig.get(pager, reader, copy), Ok(content(0)), "{copy}");
    }
    assert_eq!(rig.get(pager, both, 0), Ok(content(0)));
    assert_eq!(rig.get(pager, both, 1), Ok(content(1)));
    rig.end_pagers();
}

// covers: V-09
#[test]
fn many_written_pages_are_copied_in_steps() {
    const PAGES: u64 = 5 * STEP;
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, PAGES), 0);
    for page in 0..PAGES {
        rig.put(pager, writer, page, page as u8).unwrap();
    }
    let request = MapRequest {
        flags: map_flags::COPY,
        ..rig.request(Source::Pager(pager, 0), 0, PAGES)
    };
    let mut steps = 0;
    loop {
        let before = rig.machine.copies;
        let got = rig.with(|vm, context| vm.map(context, reader, request));
        assert!(rig.machine.copies - before <= STEP, "too long a step");
        rig.verify();
        steps += 1;
        if got.unwrap() != Progress::More {
            break;
        }
    }
    assert!(steps >= 5, "{steps}");
    for page in 0..PAGES {
        rig.put(pager, writer, page, 255).unwrap();
        assert_eq!(rig.get(pager, reader, page), Ok(page as u8));
    }
    rig.end_pagers();
}

// covers: V-09
#[test]
fn who_cannot_pay_for_a_copy_loses_it_alone() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let poor = rig.account(8);
    let (writer, reader, rich) = (rig.map(), rig.map_for(poor), rig.map());
    rig.map_pager(writer, pager, (0, 3), 0);
    rig.map_pager(reader, pager, (0, 3), map_flags::COPY);
    rig.map_pager(rich, pager, (0, 3), map_flags::COPY);
    rig.put(pager, reader, 2, 60).unwrap();
    rig.allocate(reader, 8, 8);
    let full = (8..16).find(|page| rig.store(reader, *page, 1).is_err());
    assert!(full.is_some());
    rig.put(pager, writer, 0, 50).unwrap();
    rig.verify();
    assert_eq!(rig.get(pager, writer, 0), Ok(50));
    assert_eq!(rig.get(pager, rich, 0), Ok(content(0)));
    assert_eq!(rig.get(pager, reader, 2), Ok(60), "it has that one");
    let lost = Err(KernReturn::MemoryError);
    assert_eq!(rig.get(pager, reader, 0), lost);
    assert_eq!(rig.get(pager, reader, 1), lost);
    // What is copied from it is as lost.
    let mut bytes = [0; 4];
    let read = rig.with(|vm, context| vm.read_bytes(context, reader, at(1), &mut bytes));
    assert_eq!(read, Err(KernReturn::MemoryError));
    let copied = rig.copy_out(reader, (at(0), pages(1)), After::Keep);
    assert_eq!(copied, Err(KernReturn::MemoryError));
    rig.deallocate(reader, 8, 8).unwrap();
    let child = rig.fork(reader);
    rig.put(pager, child, 2, 70).unwrap();
    rig.deallocate(reader, 0, 3).unwrap();
    assert_eq!(rig.get(pager, child, 0), lost);
    assert_eq!(rig.get(pager, child, 2), Ok(70));
    rig.end_pagers();
}

// covers: V-09
#[test]
fn what_a_dead_task_left_keeps_its_moment_too() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let account = rig.account(20);
    let (writer, parent) = (rig.map(), rig.map_for(account));
    rig.map_pager(writer, pager, (0, 2), 0);
    rig.map_pager(parent, pager, (0, 2), map_flags::COPY);
    let child = rig.fork(parent);
    rig.destroy(parent);
    rig.ledgers.close(account);
    rig.put(pager, writer, 0, 50).unwrap();
    assert!(rig.ledgers.is_closed(account));
    assert_eq!(rig.get(pager, child, 0), Ok(content(0)));
    rig.end_pagers();
}

// covers: V-09 O-06
#[test]
fn a_pager_may_want_copies_to_be_made_at_once() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::NONE);
    let (writer, reader, other) = (rig.map(), rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 4), 0);
    rig.put(pager, writer, 1, 1).unwrap();
    rig.map_pager(reader, pager, (0, 4), map_flags::COPY);
    // All of it was asked for, and is the reader's own.
    let region = rig.vm.region(reader, at(0)).unwrap();
    assert_eq!((region.resident, region.depth), (4, 0));
    for page in 0..4 {
        rig.put(pager, writer, page, 50).unwrap();
    }
    assert_eq!(rig.get(pager, reader, 1), Ok(1));
    assert_eq!(rig.get(pager, reader, 3), Ok(content(3)));
    let remap = Remap {
        source: writer,
        source_address: at(0),
        size: pages(4),
        address: at(0),
        mask: 0,
        flags: map_flags::OVERWRITE | map_flags::COPY,
        inheritance: inherit::COPY,
    };
    rig.remap(other, &remap).unwrap();
    assert_eq!(rig.vm.region(other, at(0)).unwrap().resident, 4);
    rig.end_pagers();
}

// covers: V-09 V-04
#[test]
fn the_kernel_s_own_writes_leave_copies_as_they_were() {
    // `vm_direct_write_cow`.
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 2), 0);
    rig.map_pager(reader, pager, (0, 2), map_flags::COPY);
    rig.served((pager, writer), |rig| {
        rig.with(|vm, context| vm.write_bytes(context, writer, at(0), &[50]))
    })
    .unwrap();
    rig.allocate(writer, 8, 1);
    rig.store(writer, 8, 51).unwrap();
    rig.served((pager, writer), |rig| {
        rig.copy((writer, at(8)), (writer, at(1)), pages(1))
    })
    .unwrap();
    for page in 0..2 {
        assert_eq!(rig.get(pager, writer, page), Ok(50 + page as u8));
        assert_eq!(rig.get(pager, reader, page), Ok(content(page)));
    }
    rig.end_pagers();
}

// covers: V-03 V-09
#[test]
fn leave_to_write_a_pager_s_memory_by_a_copy_is_a_copy_of_its_moment() {
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, reader) = (rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, 2), 0);
    rig.map_pager(reader, pager, (0, 2), 0);
    rig.put(pager, writer, 0, 1).unwrap();
    let (range, rights) = ((at(0), pages(2)), RW | protection::COPY);
    rig.finish(|vm, context| vm.protect(context, reader, range, crate::vm::Which::Current, rights))
        .unwrap();
    for page in 0..2 {
        rig.put(pager, writer, page, 50).unwrap();
    }
    assert_eq!(rig.get(pager, reader, 0), Ok(1));
    assert_eq!(rig.get(pager, reader, 1), Ok(content(1)));
    rig.end_pagers();
}

// covers: V-05 V-09 V-14
#[test]
fn a_private_copy_of_a_pager_s_memory_can_be_shared() {
    const PAGES: u64 = 100;
    let mut rig = Rig::new();
    let pager = rig.pager(copy_strategy::DELAY);
    let (writer, one, two) = (rig.map(), rig.map(), rig.map());
    rig.map_pager(writer, pager, (0, PAGES), 0);
    rig.map_pager(one, pager, (0, PAGES), map_flags::COPY);
    for page in [20, 60] {
        rig.put(pager, one, page, page as u8).unwrap();
        rig.put(pager, writer, page + 1, 50).unwrap();
    }
    // A part of it, which gets an object of its own in steps, while what is behind it changes.
    let range = (at(10), pages(80));
    let begun = rig.with(|vm, context| vm.make_entry(context, one, range, RW));
    assert_eq!(begun, Ok(Progress::More));
    for page in [12, 62, 82] {
        rig.put(pager, writer, page, 51).unwrap();
    }
    let entry = rig.make_entry(one, range, RW).unwrap();
    let request = rig.request(Source::Entry(entry, 0), 10, 80);
    let request = MapRequest {
        maximum: RW,
        ..request
    };
    assert_eq!(rig.do_map(two, request), Ok(at(10)));
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.put(pager, writer, 83, 51).unwrap();
    rig.put(pager, two, 30, 30).unwrap();
    for page in 10..90 {
        let expected = match page {
            20 | 30 | 60 => page as u8,
            _ => content(page),
        };
        assert_eq!(rig.get(pager, one, page), Ok(expected), "{page}");
        assert_eq!(rig.get(pager, two, page), Ok(expected), "{page}");
    }
    // All of one is shared as it is, with a child.
    let private = rig.map();
    rig.map_pager(private, pager, (0, 3), map_flags::COPY);
    let range = (at(0), pages(3));
    rig.finish(|vm, context| vm.inherit(context, private, range, inherit::SHARE))
        .unwrap();
    let child = rig.fork(private);
    rig.put(pager, writer, 1, 52).unwrap();
    rig.put(pager, child, 2, 53).unwrap();
    assert_eq!(rig.get(pager, private, 1), Ok(content(1)));
    assert_eq!(rig.get(pager, private, 2), Ok(53));
    rig.end_pagers();
}

// covers: H-01 O-06
#[test]
fn who_maps_a_memory_object_again_finds_it_in_use_or_cached() {
    let mut rig = Rig::new();
    let map = rig.map();
    let pager = rig.unmapped_pager(copy_strategy::NONE);
    rig.pagers.push((pager, map));
    let attributes = |may_cache| PagerAttributes {
        may_cache,
        copy_strategy: copy_strategy::NONE,
    };
    rig.vm
        .set_pager_attributes(pager, attributes(true))
        .unwrap();
    assert_eq!(rig.vm.cache_counts(), (0, 0));
    rig.vm.keep_pager(pager);
    assert_eq!(rig.vm.cache_counts(), (1, 0), "it was in use");
    rig.vm.drop_pager(pager);
    rig.vm.drop_pager(pager);
    rig.settle();
    rig.vm.keep_pager(pager);
    assert_eq!(rig.vm.cache_counts(), (2, 1), "it had stayed");
    rig.vm
        .set_pager_attributes(pager, attributes(false))
        .unwrap();
    rig.vm.drop_pager(pager);
    rig.settle();
    rig.end_pagers();
}

// covers: O-02
#[test]
fn a_failure_is_that_of_a_page_of_one_object() {
    let mut rig = Rig::new();
    let (bad, good) = (
        rig.pager(copy_strategy::DELAY),
        rig.pager(copy_strategy::DELAY),
    );
    let map = rig.map();
    rig.map_pager(map, bad, (0, 2), 0);
    rig.map_pager(map, good, (10, 2), 0);
    let wait = |rig: &mut Rig, page, failed| {
        rig.with(|vm, context| {
            let fault = vm.fault(context, map, at(page), Access::Read);
            assert_eq!(fault.err(), Some(STALLED));
            vm.await_page(context, map, failed)
        })
    };
    let asked = wait(&mut rig, 1, None).unwrap().unwrap();
    let joined = wait(&mut rig, 1, None).unwrap().unwrap();
    assert_eq!((joined.key, joined.ask), (asked.key, None));
    rig.vm.fail_request(asked.ask.unwrap().request);
    let told = rig.vm.next_effect();
    assert_eq!(
        told,
        Some(Effect::Wake {
            key: asked.key,
            failed: true
        })
    );
    rig.perform();
    let failed = Some(asked.key);
    assert_eq!(wait(&mut rig, 1, failed), Err(KernReturn::MemoryError));
    let other = wait(&mut rig, 0, failed).unwrap().unwrap();
    let another = wait(&mut rig, 11, failed).unwrap().unwrap();
    assert_ne!(other.key, another.key);
    for await_of in [other, another] {
        rig.vm.fail_request(await_of.ask.unwrap().request);
    }
    rig.perform();
    rig.end_pagers();
}
