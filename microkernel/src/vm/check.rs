//! [`Vm::check`]: the invariants of `mod.rs`, for tests. It compares everything with everything: for small systems.

use core::ops::Range;

use abi::PAGE_SIZE;
use abi::vm::{MAX_ADDRESS, MIN_ADDRESS, protection};
use arena::{Arena, Id};

use super::filling::Filling;
use super::marks::{Content, Marks};
use super::object::Kind;
use super::tree::{Node, Tree, height, node};
use super::{Copied, Entry, Map, MapId, ObjectId, Piece, Vm, cost};
use crate::base::ids::PortId;
use crate::base::ledger::LedgerId;
use crate::machine::Page;

/// What is wrong.
pub type Broken = &'static str;

/// A part of an object that somebody reaches.
struct Reach {
    pages: Range<u64>,
    /// It is an entry that may write, free or move what it reaches.
    owns: bool,
}

impl Vm {
    /// Whether all invariants hold.
    ///
    /// # Errors
    /// Which one does not.
    pub fn check(&self) -> Result<(), Broken> {
        if self.settled && (self.unsettled.is_some() || self.replaced.is_some()) {
            return Err("what is to be settled was forgotten");
        }
        if !self.reclaim.forgets_nobody() {
            return Err("who waits for memory was forgotten");
        }
        let mut entries = 0;
        for id in all(&self.maps) {
            let map = node(&self.maps, id);
            let replaced = self.each_replaced().filter(|entry| entry.map == Some(id));
            self.check_map(map, replaced.count() as u32)?;
            entries += map.count;
        }
        if entries != self.entries.len() {
            return Err("an entry is in no map");
        }
        let mut nodes = 0;
        for id in all(&self.objects) {
            self.check_object(id)?;
            nodes += self.object(id).pages.nodes();
        }
        if nodes != self.residents.len() {
            return Err("a node is in no object");
        }
        self.check_pages()?;
        self.check_mappers()?;
        self.check_holds()?;
        self.check_flights()?;
        self.check_store()?;
        self.check_pagers()?;
        self.check_buffers()
    }

    /// The ports of all memory objects that have not ended.
    pub fn memory_objects(&self) -> impl Iterator<Item = PortId> + '_ {
        let pagers = all(&self.pagers).filter_map(|id| self.pager_ports(id));
        pagers.map(|ports| ports.object)
    }

    /// The entries that were replaced and are not taken apart yet.
    fn each_replaced(&self) -> impl Iterator<Item = &Entry> + '_ {
        let first = self.replaced.map(|id| self.entry(id));
        core::iter::successors(first, |entry| entry.next.map(|id| self.entry(id)))
    }

    fn check_map(&self, map: &Map, replaced: u32) -> Result<(), Broken> {
        let (mut count, mut end, mut from) = (0, MIN_ADDRESS, 0);
        let mut previous = None;
        while let Some(id) = map.entries.ceiling(&self.entries, from) {
            let entry = self.entry(id);
            if entry.start < end || entry.start >= entry.end || entry.end > MAX_ADDRESS {
                return Err("entries overlap, are empty, or lie outside");
            }
            if !(entry.start | entry.end).is_multiple_of(PAGE_SIZE) {
                return Err("an entry is not of whole pages");
            }
            if entry.attributes.protection & !entry.attributes.maximum != 0 {
                return Err("a protection exceeds its maximum");
            }
            let both = protection::WRITE | protection::EXECUTE;
            if entry.attributes.protection & both == both && !map.jit {
                return Err("memory is writable and executable");
            }
            if entry.object.is_none() && (entry.index != 0 || entry.needs_copy || entry.wired > 0) {
                return Err("an entry without an object says something of it");
            }
            if entry.shows != self.shows(entry) || entry.traits != entry.made_of() {
                return Err("an entry does not know what it shows");
            }
            if entry.previous != previous || entry.hole != entry.start - end {
                return Err("an entry does not know what is before it");
            }
            let next = map.entries.ceiling(&self.entries, entry.start + 1);
            if entry.next != next {
                return Err("an entry does not know what is behind it");
            }
            previous = Some(id);
            count += 1;
            end = entry.end;
            from = entry.start + 1;
        }
        if let Some(hint) = map.hint.filter(|hint| self.entries.get(*hint).is_some())
            && map.entries.find(&self.entries, self.entry(hint).start) != Some(hint)
        {
            return Err("a map's hint is another map's entry");
        }
        if count + replaced != map.count {
            return Err("a map's count of entries is wrong");
        }
        check_tree(&self.entries, &map.entries)
    }

    fn check_object(&self, id: ObjectId) -> Result<(), Broken> {
        let object = self.object(id);
        let (mut count, mut stored) = (0, 0);
        for (index, content) in self.each_page(id) {
            if index >= object.size {
                return Err("a page lies beyond its object's end");
            }
            count += 1;
            stored += u64::from(content.is_stored());
            if self.stored_below(id, index + 1) != stored {
                return Err("a node's count of pages that were put away is wrong");
            }
            if self.resident_below(id, index + 1) != count {
                return Err("a node's count of pages is wrong");
            }
        }
        if count != object.pages.len() {
            return Err("an object's count of pages is wrong");
        }
        self.check_shadows(id)?;
        let mut references = 0;
        self.each_reach(id, |_| references += 1);
        references += all(&self.buffers)
            .filter(|buffer| node(&self.buffers, *buffer).object == id)
            .count() as u32;
        references += all(&self.copies)
            .filter(|copy| node(&self.copies, *copy).own == Some(id))
            .count() as u32;
        references += all(&self.maps)
            .flat_map(|map| &node(&self.maps, map).snapshots)
            .filter(|snapshot| snapshot.to == id)
            .count() as u32;
        references += all(&self.maps)
            .flat_map(|map| &node(&self.maps, map).fillings)
            .filter(|filling| filling.to == id)
            .count() as u32;
        let store = self.store().and_then(|store| self.pagers.get(store));
        references += u32::from(store.is_some_and(|pager| pager.object == id));
        if references != object.references {
            return Err("an object's count of references is wrong");
        }
        let cached = match object.kind {
            Kind::Paged(pager) => self.is_left(pager),
            _ => false,
        };
        if references == 0 && !object.listed && !cached {
            return Err("an object was forgotten");
        }
        self.check_owners(id)
    }

    /// An object knows its shadows, and none of them shows a page that was written.
    fn check_shadows(&self, id: ObjectId) -> Result<(), Broken> {
        let object = self.object(id);
        let behind = |other: &ObjectId| {
            let backing = self.object(*other).backing;
            backing.is_some_and(|backing| backing.object == id)
        };
        let (mut count, mut previous) = (0, None);
        let mut next = object.shadows.first;
        while let Some(shadow) = next.filter(behind) {
            let here = self.object(shadow);
            if here.siblings.previous != previous {
                return Err("a shadow does not know which one is before it");
            }
            self.check_preserved(id, shadow)?;
            count += 1;
            previous = next;
            next = here.siblings.next;
        }
        let all = all(&self.objects).filter(behind).count();
        if next.is_some()
            || previous != object.shadows.last
            || (count, all) != (object.shadows.count as usize, count)
        {
            return Err("an object does not know its shadows");
        }
        Ok(())
    }

    fn check_preserved(&self, id: ObjectId, shadow: ObjectId) -> Result<(), Broken> {
        let here = self.object(shadow);
        let mut snapshots = all(&self.maps).flat_map(|map| &node(&self.maps, map).snapshots);
        // One that is being made, freed, or merged with its only shadow, which has the pages.
        let unfinished = snapshots.any(|snapshot| snapshot.to == shadow)
            || here.references == 0
            || self.only_shadow(shadow).is_some();
        let window = here.backing.map_or(0, |backing| backing.index);
        for (index, _) in self.each_page(id) {
            let marks = self.object(id).pages.marks(&self.residents, index);
            let mut reached = false;
            self.each_reach(shadow, |reach| {
                reached |= index >= window && reach.pages.contains(&(index - window));
            });
            let shows = reached
                && index - window < here.size
                && here.pages.get(&self.residents, index - window).is_none();
            if marks.contains(Marks::DIRTY) && shows && !here.lost && !unfinished {
                return Err("a copy shows what was written after it was made");
            }
        }
        Ok(())
    }

    /// Invariant 2: who owns a part of a private object is the only one to reach it.
    fn check_owners(&self, id: ObjectId) -> Result<(), Broken> {
        if !self.object(id).is_private() {
            return Ok(());
        }
        let (mut number, mut broken) = (0, false);
        self.each_reach(id, |one| {
            let mut other_number = 0;
            self.each_reach(id, |other| {
                let overlap =
                    one.pages.start < other.pages.end && other.pages.start < one.pages.end;
                broken |= other_number != number && overlap && one.owns;
                other_number += 1;
            });
            number += 1;
        });
        if broken {
            return Err("a private page is reached by two");
        }
        Ok(())
    }

    /// Everything that reaches an object's pages and holds a reference for it.
    fn each_reach(&self, id: ObjectId, mut visit: impl FnMut(Reach)) {
        for entry in all(&self.entries).map(|entry| self.entry(entry)) {
            if entry.object == Some(id) {
                visit(Reach {
                    pages: entry.index..entry.index + entry.size(),
                    owns: !entry.needs_copy,
                });
            }
        }
        for piece in all(&self.copies).flat_map(|copy| self.each_piece(node(&self.copies, copy))) {
            if piece.object == Some(id) {
                visit(Reach {
                    pages: piece.index..piece.index + piece.pages,
                    owns: !piece.needs_copy,
                });
            }
        }
        for entry in all(&self.memory_entries).map(|entry| node(&self.memory_entries, entry)) {
            if entry.object == id {
                visit(Reach {
                    pages: entry.index..entry.index + entry.pages,
                    owns: false,
                });
            }
        }
        for object in all(&self.objects).map(|object| self.object(object)) {
            if let Some(backing) = object.backing.filter(|backing| backing.object == id) {
                visit(Reach {
                    pages: backing.index..backing.index + object.size,
                    owns: false,
                });
            }
        }
    }

    fn each_piece<'a>(&'a self, copy: &'a Copied) -> impl Iterator<Item = &'a Piece> + 'a {
        core::iter::successors(copy.head.as_ref(), |piece| {
            piece.next.map(|id| node(&self.pieces, id))
        })
    }

    fn check_pages(&self) -> Result<(), Broken> {
        for a in all(&self.objects).flat_map(|id| self.each_page(id)) {
            let same = all(&self.objects).flat_map(|id| self.each_page(id));
            if same.filter(|b| b.1 == a.1).count() != 1 {
                return Err("a page is in two objects");
            }
        }
        Ok(())
    }

    /// What is on its way stays in memory.
    fn check_flights(&self) -> Result<(), Broken> {
        for piece in all(&self.copies).flat_map(|copy| self.each_piece(node(&self.copies, copy))) {
            let mut next = piece.object;
            while let Some(object) = next.map(|id| self.object(id)) {
                if !object.in_flight {
                    return Err("what is on its way may be put away");
                }
                next = object.backing.map(|backing| backing.object);
            }
        }
        Ok(())
    }

    /// A place in the store is one page's (no two pages are the same), or is to be forgotten.
    fn check_store(&self) -> Result<(), Broken> {
        let slots = all(&self.slots).map(|slot| node(&self.slots, slot));
        let used = slots.filter(|slot| !slot.is_freed()).count();
        let mut stored = 0;
        for (_, content) in all(&self.objects).flat_map(|id| self.each_page(id)) {
            let Content::Stored(number) = content else {
                continue;
            };
            if self.slots.at(number).is_none_or(super::Slot::is_freed) {
                return Err("a page is nowhere");
            }
            stored += 1;
        }
        if stored != used {
            return Err("a place in the store is not a page's");
        }
        Ok(())
    }

    /// Whoever shows a pager's object is known to do so.
    fn check_mappers(&self) -> Result<(), Broken> {
        for id in all(&self.entries) {
            let entry = self.entry(id);
            let paged = entry
                .object
                .is_some_and(|object| self.paged_behind(object, entry.index).is_some());
            if paged != entry.mapper.is_some() {
                return Err("an entry is not known to show a memory object, or wrongly so");
            }
            if entry.map.is_none_or(|map| self.maps.get(map).is_none()) {
                return Err("an entry does not know its map");
            }
        }
        Ok(())
    }

    /// Each page of a pager's counts the wired entries that show it.
    fn check_holds(&self) -> Result<(), Broken> {
        let mut shown = 0;
        for entry in all(&self.entries).map(|id| self.entry(id)) {
            let Some(object) = self.holdable(entry).filter(|_| entry.wires > 0) else {
                continue;
            };
            let mut pages = entry.index..entry.page_at(entry.end);
            if pages.any(|page| !self.is_held(object, page)) {
                return Err("a wired page is not held");
            }
            shown += entry.size();
        }
        let pages = |id| self.each_page(id).map(move |(page, _)| (id, page));
        let held = all(&self.objects).flat_map(pages);
        let held = held.map(|(id, page)| self.object(id).pages.holds(&self.residents, page));
        if held.sum::<u64>() != shown {
            return Err("a page is held by nobody");
        }
        Ok(())
    }

    /// An object's own pages, each with its index.
    fn each_page(&self, id: ObjectId) -> impl Iterator<Item = (u64, Content)> + '_ {
        let pages = &self.object(id).pages;
        let mut from = 0;
        core::iter::from_fn(move || {
            let (index, content) = pages.next(&self.residents, from)?;
            from = index + 1;
            Some((index, content))
        })
    }

    fn check_buffers(&self) -> Result<(), Broken> {
        for id in all(&self.buffers) {
            let buffer = node(&self.buffers, id);
            let Ok(entry) = self.find_entry(buffer.map, buffer.start) else {
                continue;
            };
            let entry = self.entry(entry);
            let pages = self.buffer_pages(id);
            if entry.wired != 1
                || entry.start != buffer.start
                || entry.size() != pages.len() as u64
                || entry.object != Some(buffer.object)
                || entry.needs_copy
            {
                return Err("a buffer's entry is not as it was wired");
            }
            for (number, page) in pages.iter().enumerate() {
                let found = self.find_in_memory(buffer.object, entry.index + number as u64);
                if found.is_none_or(|found| found.page != *page || found.depth > 0) {
                    return Err("a buffer's page changed");
                }
            }
        }
        Ok(())
    }

    /// What a map shows at an address, and what the hardware may at most allow there: what a test compares the
    /// page tables with.
    pub fn shown(&self, map: MapId, address: u64) -> Option<(Page, u32)> {
        let entry = self.entry(self.find_entry(map, address).ok()?);
        let (object, index) = (entry.object?, entry.page_at(address));
        let Some(found) = self.find_in_memory(object, index) else {
            return self.shown_before(entry, (object, index));
        };
        let own = found.depth == 0 && !entry.needs_copy;
        let mut rights = entry.attributes.protection;
        let (holder, place) = found.holder;
        if self.marks(holder, place).contains(Marks::IDLE) {
            rights = protection::NONE;
        }
        if let Some((_, object, index)) = entry
            .object
            .and_then(|object| self.paged_behind(object, entry.page_at(address)))
            .filter(|_| found.paged)
        {
            let marks = self.object(object).pages.marks(&self.residents, index);
            rights &= !marks.lock();
            if !marks.contains(Marks::DIRTY) {
                rights &= !protection::WRITE;
            }
        }
        Some((
            found.page,
            if own {
                rights
            } else {
                rights & !protection::WRITE
            },
        ))
    }

    /// The same where what lies behind an object was lost: mappings of pages that have not changed since may be there still.
    fn shown_before(&self, entry: &Entry, (object, index): (ObjectId, u64)) -> Option<(Page, u32)> {
        let (_, behind, page) = self.paged_behind(object, index)?;
        let (content, marks) = self.object(behind).pages.look(&self.residents, page)?;
        let rights = match marks.intersects(Marks::IDLE | Marks::DIRTY) || !self.is_lost(object) {
            true => protection::NONE,
            false => entry.attributes.protection & !protection::WRITE & !marks.lock(),
        };
        Some((content.page()?, rights))
    }

    /// Pages and bytes that this layer has charged to a ledger.
    pub fn charged(&self, ledger: LedgerId) -> (u64, u64) {
        let (mut pages, mut bytes) = (0, 0);
        for map in all(&self.maps).map(|map| node(&self.maps, map)) {
            if map.ledger == ledger {
                pages += map.tables + map.fillings.iter().map(Filling::unfilled).sum::<u64>();
                bytes += cost::<Map>() + u64::from(map.count) * cost::<Entry>();
            }
        }
        for object in all(&self.objects).map(|object| self.object(object)) {
            if object.ledger == Some(ledger) {
                pages += object.pages.len();
                bytes += object.bytes();
            }
        }
        for copy in all(&self.copies).map(|copy| node(&self.copies, copy)) {
            if copy.ledger == ledger {
                bytes += cost::<Copied>();
                // The first one lies in the copy.
                bytes += self.each_piece(copy).skip(1).count() as u64 * cost::<Piece>();
            }
        }
        for entry in all(&self.memory_entries).map(|entry| node(&self.memory_entries, entry)) {
            if entry.ledger == Some(ledger) {
                bytes += cost::<super::MemoryEntry>();
            }
        }
        bytes += self.request_bytes(ledger);
        for buffer in all(&self.buffers).map(|buffer| node(&self.buffers, buffer)) {
            if buffer.ledger == ledger {
                bytes += cost::<super::Buffer>();
            }
        }
        (pages, bytes)
    }

    /// Pages that a ledger pays for and that were put away.
    pub fn away(&self, ledger: LedgerId) -> u64 {
        let objects = all(&self.objects).map(|id| self.object(id));
        let paid = objects.filter(|object| object.ledger == Some(ledger));
        paid.map(|object| object.pages.stored()).sum()
    }

    fn resident(&self) -> u64 {
        let objects = all(&self.objects).map(|id| self.object(id));
        objects.map(|object| object.pages.len()).sum()
    }

    /// Pages that will be in an object of large pages.
    fn unfilled(&self) -> u64 {
        let maps = all(&self.maps).map(|id| node(&self.maps, id));
        maps.flat_map(|map| &map.fillings)
            .map(Filling::unfilled)
            .sum()
    }

    /// Objects, pages, copies, memory entries and buffers that exist: a test's leak detector.
    pub fn census(&self) -> [u32; 5] {
        [
            self.objects.len(),
            (self.resident() + self.unfilled()) as u32,
            self.copies.len() + self.pieces.len(),
            self.memory_entries.len(),
            self.buffers.len(),
        ]
    }
}

/// All live objects of an arena.
fn all<T, K>(arena: &Arena<T, K>) -> impl Iterator<Item = Id<K>> + '_ {
    (0..arena.end()).filter_map(|index| arena.id_at(index))
}

/// Whether a tree is balanced: every node, found by its key, is one higher than its higher child.
fn check_tree<T: Node>(arena: &Arena<T>, tree: &Tree<T>) -> Result<(), Broken> {
    let mut from = 0;
    while let Some(id) = tree.ceiling(arena, from) {
        let here = node(arena, id);
        let (left, right) = (here.links().left, here.links().right);
        let (low, high) = (height(arena, left), height(arena, right));
        if low.abs_diff(high) > 1 || height(arena, Some(id)) != 1 + low.max(high) {
            return Err("a tree is out of balance");
        }
        let of = |id: Option<Id<T>>| id.map_or(T::NOTHING, |id| node(arena, id).summary());
        if here.summary() != here.summarize(of(left), of(right)) {
            return Err("a summary is out of date");
        }
        if tree.find(arena, here.key()) != Some(id) {
            return Err("a tree is out of order");
        }
        for child in [left, right].into_iter().flatten() {
            if node(arena, child).links().parent != Some(id) {
                return Err("a node does not know its parent");
            }
        }
        from = here.key() + 1;
    }
    Ok(())
}
