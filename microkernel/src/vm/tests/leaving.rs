//! Page-out of memory that several reach. The default pager is played by the test.

use std::collections::BTreeMap;
use std::vec;

use super::*;
use crate::base::ids::PortId;
use crate::machine::Machine;
use crate::vm::object::Shown;
use crate::vm::reclaim::MEMORY_KEY;
use crate::vm::{Effect, PagerId, RESERVE, ReclaimStep, Room, STALLED, Terms, Which};
use abi::vm::copy_strategy;

/// The default pager.
pub(super) struct Store {
    pub(super) pager: PagerId,
    /// Of its task.
    pub(super) map: MapId,
    /// Pages that it keeps, by their place.
    kept: BTreeMap<u64, Vec<u8>>,
    /// What other pagers got back, by page.
    returned: BTreeMap<u64, Vec<u8>>,
    /// How many pages ever came, and went back.
    came: usize,
    supplied: usize,
}

impl Rig {
    /// From now on so many pages can be put away.
    pub(super) fn begin_store(&mut self, places: u64) {
        let pager = self.unmapped_pager(copy_strategy::NONE);
        self.vm.set_store(pager, places).unwrap();
        let ledger = self.vm.pager_payer(pager).unwrap();
        let map = self.map_for(ledger);
        self.pagers.push((pager, map));
        self.store = Some(Store {
            pager,
            map,
            kept: BTreeMap::new(),
            returned: BTreeMap::new(),
            came: 0,
            supplied: 0,
        });
    }

    pub(super) fn end_store(&mut self) {
        if let Some(store) = self.store.take() {
            self.vm.abandon_pager(store.pager);
            self.settle();
        }
    }

    pub(super) fn is_store(&self, port: PortId) -> bool {
        let store = self.store.as_ref();
        store.is_some_and(|store| self.vm.pager_ports(store.pager).unwrap().object == port)
    }

    /// Pages that are not in memory.
    pub(super) fn stored(&self) -> usize {
        let slots = &self.vm.slots;
        let used = |slot: &u32| slots.at(*slot).is_some_and(|slot| !slot.is_freed());
        (0..slots.end()).filter(used).count()
    }

    /// What another pager has of a page.
    pub(super) fn content_of(&self, page: u64) -> Vec<u8> {
        let returned = self
            .store
            .as_ref()
            .and_then(|store| store.returned.get(&page));
        let first = || vec![paged::content(page); PAGE_SIZE as usize];
        returned.cloned().unwrap_or_else(first)
    }

    /// The first byte that a map shows at an address, wherever it is.
    pub(super) fn peek(&mut self, map: MapId, address: u64) -> Option<u8> {
        let entry = self.vm.entry(self.vm.find_entry(map, address).unwrap());
        if let Some(object) = entry.object
            && let Some(Shown::Stored(stored)) = self.vm.find(object, entry.page_at(address))
        {
            let store = self.store.as_ref().unwrap();
            let place = u64::from(stored.number);
            let object = self.vm.pagers.get(store.pager).unwrap().object;
            return match self.vm.find_in_memory(object, place) {
                Some(found) => Some(self.machine.page(found.page)[0]),
                None => Some(store.kept[&place][0]),
            };
        }
        if let Some((page, _)) = self.vm.shown(map, address) {
            return Some(self.machine.page(page)[0]);
        }
        // A pager has it.
        let (_, _, page) = self
            .vm
            .paged_behind(entry.object?, entry.page_at(address))?;
        Some(self.content_of(page)[0])
    }

    /// Memory is short for so many steps.
    pub(super) fn press(&mut self, steps: u32) {
        if self.store.is_none() {
            return;
        }
        self.vm.set_free_target(1 << 32);
        for _ in 0..steps {
            self.vm.note_reclaimed();
            self.reclaim();
            self.verify();
        }
        self.vm.set_free_target(0);
        while self.vm.reclaim.cursor.is_some() {
            self.reclaim();
        }
        self.perform();
    }

    /// A step of page-out.
    pub(super) fn reclaim(&mut self) {
        let (place, copy) = match self.with(|vm, context| vm.reclaim_step(context, Room::Idle)) {
            ReclaimStep::Done => return,
            ReclaimStep::Return(pager, cursor) => {
                let got = self.with(|vm, context| vm.collect(context, pager, cursor));
                let Ok(returned) = got else { return };
                (returned.offset, returned.copy)
            }
            ReclaimStep::Store(victim) => {
                let got = self.with(|vm, context| vm.put_away(context, victim));
                let Ok(returned) = got else { return };
                let page = self.content(returned.copy, 0);
                let store = self.store.as_mut().unwrap();
                store.came += 1;
                let old = store.kept.insert(returned.offset / PAGE_SIZE, page);
                assert_eq!(old, None, "kept twice");
                return self.with(|vm, context| vm.copy_discard(context, returned.copy));
            }
        };
        let size = self.vm.copy_size(copy).unwrap();
        for offset in (0..size).step_by(PAGE_SIZE as usize) {
            let page = self.content(copy, offset);
            let store = self.store.as_mut().unwrap();
            store.returned.insert((place + offset) / PAGE_SIZE, page);
        }
        self.with(|vm, context| vm.copy_discard(context, copy));
    }

    fn content(&mut self, copy: CopyId, offset: u64) -> Vec<u8> {
        let mut page = vec![0; PAGE_SIZE as usize];
        self.with(|vm, context| vm.copy_read(context, copy, offset, &mut page))
            .unwrap();
        page
    }

    /// The default pager supplies a page.
    pub(super) fn bring_back(&mut self, place: u64) {
        let store = self.store.as_mut().unwrap();
        let precious = place.is_multiple_of(2);
        let page = match precious {
            true => store.kept.remove(&place),
            false => store.kept.get(&place).cloned(),
        };
        store.supplied += 1;
        let (pager, root) = (store.pager, self.root);
        self.with(|vm, context| {
            let copy = vm.copy_create(context, root, PAGE_SIZE).unwrap();
            vm.copy_write(context, copy, 0, &page.unwrap()).unwrap();
            let terms = Terms { lock: 0, precious };
            let supplied = vm.supply(context, pager, (place * PAGE_SIZE, copy), terms);
            assert_eq!(supplied.unwrap().result, KernReturn::Success);
            vm.copy_discard(context, copy);
        });
    }

    pub(super) fn forget_discards(&mut self) {
        let gone = self.with(|vm, context| vm.take_discards(context));
        let Some((offset, size)) = gone else { return };
        for place in offset / PAGE_SIZE..(offset + size) / PAGE_SIZE {
            self.store.as_mut().unwrap().kept.remove(&place);
        }
    }
}

/// So many steps that all that can go is gone.
const LONG: u32 = 200;

/// A rig with a store, and a map with pages 0 to 9 written, each with its number and one.
fn with_ten_pages() -> (Rig, MapId) {
    let mut rig = Rig::new();
    rig.begin_store(1000);
    let map = rig.map();
    rig.allocate(map, 0, 10);
    for page in 0..10 {
        rig.store(map, page, page as u8 + 1).unwrap();
    }
    (rig, map)
}

fn stores(rig: &Rig) -> (usize, usize) {
    let store = rig.store.as_ref().unwrap();
    (store.came, store.supplied)
}

// covers: O-08 V-05
#[test]
fn what_a_fork_left_shared_is_put_away_once_and_each_side_keeps_its_own() {
    let (mut rig, parent) = with_ten_pages();
    let child = rig.fork(parent);
    rig.press(LONG);
    assert_eq!((rig.stored(), stores(&rig)), (10, (10, 0)));
    // Who reads first brings it back for both.
    for page in 0..5 {
        assert_eq!(rig.load(child, page), Ok(page as u8 + 1));
        assert_eq!(rig.load(parent, page), Ok(page as u8 + 1));
    }
    assert_eq!(stores(&rig), (10, 5));
    // A write copies, also of what is away.
    rig.store(child, 4, 54).unwrap();
    rig.store(child, 7, 57).unwrap();
    rig.store(parent, 8, 68).unwrap();
    let found = |rig: &mut Rig, map| [4, 7, 8].map(|page| rig.load(map, page).unwrap());
    assert_eq!(found(&mut rig, parent), [5, 8, 68]);
    assert_eq!(found(&mut rig, child), [54, 57, 9]);
    rig.press(LONG);
    assert_eq!(found(&mut rig, parent), [5, 8, 68]);
    assert_eq!(found(&mut rig, child), [54, 57, 9]);
    // What is left to one of them is its own, in memory or not.
    rig.press(LONG);
    rig.destroy(parent);
    rig.settle();
    for page in 0..10 {
        let own = if [4, 7].contains(&page) { 50 } else { 1 };
        assert_eq!(rig.load(child, page), Ok(page as u8 + own));
    }
    rig.assert_empty();
}

// covers: O-08 V-10
#[test]
fn shared_memory_is_put_away_and_a_memory_entry_keeps_it_there() {
    let (mut rig, map) = with_ten_pages();
    let other = rig.map();
    let entry = rig.make_entry(map, (at(0), pages(10)), RW).unwrap();
    let request = rig.request(Source::Entry(entry, 0), 20, 10);
    rig.do_map(other, request).unwrap();
    for page in 0..10 {
        assert_eq!(rig.load(other, 20 + page), Ok(page as u8 + 1));
    }
    rig.press(LONG);
    assert_eq!((rig.stored(), stores(&rig)), (10, (10, 0)));
    rig.store(map, 3, 99).unwrap();
    assert_eq!(rig.load(other, 23), Ok(99));
    assert_eq!(stores(&rig), (10, 1), "one page, once");
    rig.press(LONG);
    rig.destroy(map);
    rig.destroy(other);
    assert_eq!(rig.stored(), 10);
    let later = rig.map();
    let request = rig.request(Source::Entry(entry, 0), 0, 10);
    rig.do_map(later, request).unwrap();
    assert_eq!(rig.load(later, 3), Ok(99));
    assert_eq!(rig.load(later, 4), Ok(5));
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

// covers: O-08
#[test]
fn what_is_used_while_others_are_unmapped_stays() {
    let (mut rig, parent) = with_ten_pages();
    let child = rig.fork(parent);
    for steps in 1..LONG {
        rig.press(1);
        assert_eq!(rig.load(parent, 2), Ok(3));
        assert_eq!(rig.load(child, 2), Ok(3));
        assert!(steps < LONG - 1 || rig.stored() == 9, "{}", rig.stored());
    }
    assert_eq!(stores(&rig), (9, 0), "it was never put away");
    rig.assert_empty();
}

// covers: O-08 V-12
#[test]
fn a_page_that_one_of_its_sharers_has_wired_stays() {
    let (mut rig, map) = with_ten_pages();
    let other = rig.map();
    let entry = rig.make_entry(map, (at(0), pages(10)), RW).unwrap();
    let request = rig.request(Source::Entry(entry, 0), 0, 10);
    rig.do_map(other, request).unwrap();
    rig.wire(other, (at(2), pages(3)), RW).unwrap();
    rig.press(LONG);
    assert_eq!(rig.stored(), 7);
    rig.unwire(other, (at(2), pages(3))).unwrap();
    rig.press(LONG);
    assert_eq!(rig.stored(), 10);
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

// covers: O-08 M-23
#[test]
fn what_is_in_a_message_stays_until_it_arrives() {
    let (mut rig, map) = with_ten_pages();
    let copy = rig.copy_out(map, (at(0), pages(10)), After::Keep).unwrap();
    rig.press(LONG);
    assert_eq!(rig.stored(), 0);
    let receiver = rig.map();
    let address = rig.deliver(copy, receiver);
    rig.press(LONG);
    assert_eq!(rig.stored(), 10);
    for page in 0..10 {
        assert_eq!(
            rig.load_at(receiver, address + pages(page)),
            Ok(page as u8 + 1)
        );
    }
    rig.assert_empty();
}

// covers: O-08
#[test]
fn what_the_default_pager_maps_stays() {
    let (mut rig, map) = with_ten_pages();
    let own = rig.store.as_ref().unwrap().map;
    let entry = rig.make_entry(map, (at(0), pages(10)), RW).unwrap();
    let request = rig.request(Source::Entry(entry, 0), 0, 4);
    rig.do_map(own, request).unwrap();
    for page in 0..4 {
        assert_eq!(rig.load(own, page), Ok(page as u8 + 1));
    }
    rig.press(LONG);
    assert_eq!(rig.stored(), 6);
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

/// A region that is split, and joined again, while others are looked at: its parts lie at places where the hand has been.
// covers: O-08
#[test]
fn a_region_that_is_split_meanwhile_is_not_forgotten() {
    for before in 0..40 {
        let (mut rig, parent) = with_ten_pages();
        // Places that are free by the time of the split, and more regions than one step looks at.
        let filler = rig.map();
        for page in 0..150 {
            rig.allocate(filler, 2 * page, 1);
        }
        let children = [rig.fork(parent), rig.fork(parent)];
        for page in 0..80 {
            rig.deallocate(filler, 2 * page, 1).unwrap();
        }
        for (map, page) in children
            .into_iter()
            .flat_map(|map| (0..10).map(move |p| (map, p)))
        {
            assert_eq!(rig.load(map, page), Ok(page as u8 + 1));
        }
        rig.press(before);
        for part in [2, 5, 8] {
            let (map, range) = (children[part % 2], (at(part as u64), pages(1)));
            let which = Which::Current;
            for rights in [protection::READ, RW] {
                rig.finish(|vm, context| vm.protect(context, map, range, which, rights))
                    .unwrap();
                // What is idle is mapped nowhere.
                rig.press(1);
            }
        }
        rig.press(LONG);
        assert_eq!(rig.stored(), 10, "after {before} steps");
        rig.assert_empty();
    }
}

// covers: O-08 F-09
#[test]
fn what_was_shared_and_put_away_is_lost_to_all_when_the_default_pager_dies() {
    let (mut rig, parent) = with_ten_pages();
    let child = rig.fork(parent);
    rig.press(LONG);
    assert_eq!(rig.load(parent, 1), Ok(2));
    let store = rig.store.as_ref().unwrap().pager;
    rig.vm.abandon_pager(store);
    rig.perform();
    for map in [parent, child] {
        assert_eq!(rig.load(map, 1), Ok(2));
        assert_eq!(rig.load(map, 0), Err(KernReturn::MemoryError));
    }
    assert_eq!(rig.store(child, 3, 1), Err(KernReturn::MemoryError));
    rig.destroy(parent);
    rig.settle();
    assert_eq!(rig.load(child, 1), Ok(2));
    assert_eq!(rig.load(child, 5), Err(KernReturn::MemoryError));
    rig.assert_empty();
}

// covers: V-08
#[test]
fn a_region_tells_what_is_in_memory_and_what_was_put_away() {
    let (mut rig, map) = with_ten_pages();
    // Far pages, so that the object's tree has several nodes.
    rig.allocate(map, 10, 6000);
    for page in [70, 4999, 5000] {
        rig.store(map, page, 1).unwrap();
    }
    let told = |rig: &Rig, page| {
        let region = rig.vm.region(map, at(page)).unwrap();
        (region.resident, region.swapped)
    };
    assert_eq!((told(&rig, 0), told(&rig, 10)), ((10, 0), (3, 0)));
    rig.press(LONG);
    assert_eq!((told(&rig, 0), told(&rig, 10)), ((0, 10), (0, 3)));
    for page in [2, 3, 5000] {
        rig.load(map, page).unwrap();
    }
    assert_eq!((told(&rig, 0), told(&rig, 10)), ((2, 8), (1, 2)));
    // Each part tells its own.
    rig.finish(|vm, context| {
        let range = (at(3), pages(4));
        vm.protect(context, map, range, Which::Current, protection::READ)
    })
    .unwrap();
    let parts = [0, 3, 7].map(|page| told(&rig, page));
    assert_eq!(parts, [(1, 2), (1, 3), (0, 3)]);
    rig.deallocate(map, 0, 2).unwrap();
    assert_eq!(told(&rig, 2), (1, 0));
    rig.assert_empty();
}

// covers: H-01
#[test]
fn idle_pages_that_are_used_again_are_counted() {
    let (mut rig, map) = with_ten_pages();
    assert_eq!(rig.vm.reactivated(), 0);
    rig.with(|vm, context| {
        let id = vm.find_entry(map, at(0)).unwrap();
        assert_eq!(vm.idle_front(context, id, at(0)..at(10)), at(10));
    });
    rig.settle();
    for _ in 0..2 {
        rig.load(map, 3).unwrap();
        rig.store(map, 7, 1).unwrap();
        assert_eq!(rig.vm.reactivated(), 2);
    }
    // One that was put away was not idle any more.
    rig.press(LONG);
    assert_eq!(stores(&rig), (10, 0));
    rig.load(map, 3).unwrap();
    assert_eq!(rig.vm.reactivated(), 2);
    rig.assert_empty();
}

// covers: O-08
#[test]
fn who_waits_for_memory_hears_of_frames_that_came_free_between_two_events() {
    let next = |rig: &mut Rig| {
        let effects = core::iter::from_fn(|| rig.vm.next_effect());
        let mut effects = effects.take(9);
        effects.find(|effect| *effect != Effect::Nothing)
    };
    // All that others had, or so few that page-out goes on, to no avail here.
    for left in [0, RESERVE + 1] {
        let (mut rig, map) = with_ten_pages();
        let mut taken = Vec::new();
        while rig.machine.free_pages() > RESERVE {
            taken.push(rig.machine.allocate_page().unwrap());
        }
        let full = KernReturn::ResourceShortage;
        let waits = rig.with(|vm, context| vm.wait_for_memory(context, map, full));
        assert_eq!(waits, STALLED);
        assert_eq!(next(&mut rig), Some(Effect::Reclaim));
        // Nobody enters the kernel after this: only the step that goes on can see it.
        while !taken.is_empty() && (left == 0 || rig.machine.free_pages() < left) {
            rig.machine.free_page(taken.pop().unwrap());
        }
        rig.reclaim();
        let woken = Effect::Wake {
            key: MEMORY_KEY,
            failed: false,
        };
        assert_eq!(next(&mut rig), Some(woken), "{left}");
        rig.with(|vm, context| vm.all_woken(context));
        for page in taken {
            rig.machine.free_page(page);
        }
        rig.reclaim();
        assert_eq!(next(&mut rig), None, "{left}");
        rig.assert_empty();
    }
}
