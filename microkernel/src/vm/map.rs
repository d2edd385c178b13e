//! [`Map`]: an address space.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::vm::MIN_ADDRESS;
use arena::Arena;

use super::entry::{entry_at, entry_from};
use super::tree::{Tree, node, node_mut};
use super::{Context, ENTRY, Entry, EntryId, MAX_ENTRIES, MapId, Progress, STEP, Vm, cost};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Machine, Root};

use super::advise::SizeLimit;
use super::filling::Fillings;
use super::fork::Fork;
use super::snapshot::Snapshots;

/// An address space.
pub struct Map {
    /// `None` once its page tables are gone.
    pub(super) root: Option<Root>,
    pub(super) ledger: LedgerId,
    pub(super) entries: Tree<Entry>,
    /// With those that were replaced and are not taken apart yet.
    pub(super) count: u32,
    /// The entry that was used last, if it is still there: mostly the one that is looked for next.
    pub(super) hint: Option<EntryId>,
    /// Page-table pages that are charged.
    pub(super) tables: u64,
    /// Which last-level table was used last: a mapping there needs no new one.
    pub(super) covered: u64,
    /// Memory may be writable and executable.
    pub(super) jit: bool,
    /// How large it may become.
    pub(super) size_limit: SizeLimit,
    /// Objects of large pages on their way into this map.
    pub(super) fillings: Fillings,
    /// Copies of shared memory on their way into this map.
    pub(super) snapshots: Snapshots,
    /// The map that this one is being copied from.
    pub(super) fork: Option<Fork>,
}

impl Vm {
    /// An empty address space. `ledger` pays for what is put into it.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub fn create_map<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ledger: LedgerId,
    ) -> KernResult<MapId> {
        context.charge(ledger, Resource::KernelBytes, cost::<Map>())?;
        let made = self.create_charged(context, ledger);
        if made.is_err() {
            context.release(ledger, Resource::KernelBytes, cost::<Map>());
        }
        made
    }

    fn create_charged<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ledger: LedgerId,
    ) -> KernResult<MapId> {
        let map = Map {
            root: None,
            ledger,
            entries: Tree::new(),
            count: 0,
            hint: None,
            tables: 0,
            covered: u64::MAX,
            jit: false,
            size_limit: SizeLimit::NONE,
            fillings: Fillings::new(),
            snapshots: Snapshots::new(),
            fork: None,
        };
        let id = self
            .maps
            .insert(map)
            .map_err(|_| KernReturn::ResourceShortage)?;
        let Ok(root) = context.machine.create_space() else {
            self.maps.remove(id);
            return Err(KernReturn::ResourceShortage);
        };
        let tables = context.machine.table_pages(root);
        if let Err(shortage) = context.charge(ledger, Resource::Pages, tables) {
            while !context.machine.destroy_space(root) {}
            self.maps.remove(id);
            return Err(shortage);
        }
        let map = node_mut(&mut self.maps, id);
        map.root = Some(root);
        map.tables = tables;
        Ok(id)
    }

    /// Lets a map's memory be writable and executable at once. Its task's manifest said so.
    pub fn allow_jit(&mut self, map: MapId) {
        if let Some(map) = self.maps.get_mut(map) {
            map.jit = true;
        }
    }

    /// The address space that the hardware runs in. `None` when the map is gone, or going.
    #[inline]
    pub fn root(&self, map: MapId) -> Option<Root> {
        self.maps.get(map)?.root
    }

    /// Who pays for a map.
    pub fn ledger(&self, map: MapId) -> Option<LedgerId> {
        Some(self.maps.get(map)?.ledger)
    }

    /// How many maps there are.
    pub fn map_count(&self) -> u32 {
        self.maps.len()
    }

    /// Destroys a map, in which no thread runs, by a step. `Done`: the map and all that only it held are gone.
    pub fn destroy_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
    ) -> Progress {
        let Some(here) = self.maps.get_mut(map) else {
            return self.settle(context);
        };
        if let Some(root) = here.root {
            // The tables go first: no page is freed while one maps it.
            if !context.machine.destroy_space(root) {
                return Progress::More;
            }
            here.root = None;
            let (tables, ledger) = (core::mem::take(&mut here.tables), here.ledger);
            context.release(ledger, Resource::Pages, tables);
            return Progress::More;
        }
        self.abandon_fork(map);
        self.drop_snapshots(map);
        self.drop_fillings(context, map);
        let mut budget = STEP;
        while budget > 0 {
            let here = node(&self.maps, map);
            let Some(id) = here.entries.ceiling(&self.entries, 0) else {
                if here.count > 0 {
                    // Entries that were replaced are its own still.
                    self.take_apart(context, &mut budget);
                    return Progress::More;
                }
                let ledger = here.ledger;
                self.maps.remove(map);
                context.release(ledger, Resource::KernelBytes, cost::<Map>());
                return Progress::More;
            };
            let entry = self.entry(id);
            let few = entry.start.saturating_add(budget * PAGE_SIZE);
            let part = entry.start..entry.end.min(few);
            let released = self.release(id, &part);
            let end = match released {
                0 => self.entry(id).end,
                _ => part.end,
            };
            budget = budget.saturating_sub(released.max(ENTRY));
            self.cut_front(context, map, id, end);
        }
        Progress::More
    }

    /// The entry that holds an address.
    pub(super) fn find_entry(&self, map: MapId, address: u64) -> KernResult<EntryId> {
        let map = self.map_ref(map)?;
        if let Some(entry) = self.entries.find(map.hint)
            && entry.start <= address
            && address < entry.end
            && let Some(hint) = map.hint
        {
            return Ok(hint);
        }
        entry_at(&map.entries, &self.entries, address).ok_or(KernReturn::InvalidAddress)
    }

    /// The first entry of which a part lies in a range.
    pub(super) fn first_in(&self, map: MapId, range: &core::ops::Range<u64>) -> Option<EntryId> {
        if let Ok(id) = self.find_entry(map, range.start) {
            return Some(id);
        }
        let map = self.maps.get(map)?;
        let id = entry_from(&map.entries, &self.entries, range.start)?;
        (self.entry(id).start < range.end).then_some(id)
    }

    pub(super) fn entry(&self, id: EntryId) -> &Entry {
        node(&self.entries, id)
    }

    pub(super) fn entry_mut(&mut self, id: EntryId) -> &mut Entry {
        node_mut(&mut self.entries, id)
    }

    /// Puts an entry into a map. Its reference to the object, if any, is the caller's to make.
    pub(super) fn add_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        entry: Entry,
    ) -> KernResult<EntryId> {
        let start = entry.start;
        let id = self.create_entry(context, map, entry)?;
        let here = node_mut(&mut self.maps, map);
        let place = here.entries.place(&self.entries, start);
        link_between(&mut self.entries, id, place.previous, place.next);
        here.entries.insert(&mut self.entries, &place, id);
        here.hint = Some(id);
        self.list_mapper(id);
        Ok(id)
    }

    /// Makes an entry of a map, which counts and pays for it, and which it is to be put into.
    #[inline(always)]
    pub(super) fn create_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        entry: Entry,
    ) -> KernResult<EntryId> {
        let here = self.map_ref(map)?;
        if here.count >= MAX_ENTRIES {
            return Err(KernReturn::ResourceShortage);
        }
        let ledger = here.ledger;
        context.charge(ledger, Resource::KernelBytes, cost::<Entry>())?;
        let mut entry = entry;
        entry.map = Some(map);
        entry.shows = self.shows(&entry);
        entry.note_traits();
        let Ok(id) = self.entries.insert(entry) else {
            context.release(ledger, Resource::KernelBytes, cost::<Entry>());
            return Err(KernReturn::ResourceShortage);
        };
        node_mut(&mut self.maps, map).count += 1;
        Ok(id)
    }

    /// Frees an entry that is in no tree.
    #[inline(always)]
    pub(super) fn free_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) {
        let here = node_mut(&mut self.maps, map);
        here.count -= 1;
        let ledger = here.ledger;
        self.entries.remove(id);
        context.release(ledger, Resource::KernelBytes, cost::<Entry>());
    }

    /// Takes an entry out of its map; its reference to the object becomes the caller's.
    pub(super) fn take_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) {
        self.unlist_mapper(id);
        let entry = node(&self.entries, id);
        let (previous, next) = (entry.previous, entry.next);
        let mut before = MIN_ADDRESS;
        if let Some(previous) = previous {
            let previous = node_mut(&mut self.entries, previous);
            previous.next = next;
            before = previous.end;
        }
        if let Some(next) = next {
            let next = node_mut(&mut self.entries, next);
            next.previous = previous;
            next.hole = next.start - before;
        }
        let here = node_mut(&mut self.maps, map);
        here.entries.remove(&mut self.entries, id, next);
        self.free_entry(context, map, id);
    }

    /// Takes an entry out of its map, with its reference. Nothing of it is mapped any more.
    pub(super) fn remove_entry<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) {
        let object = self.entry(id).object;
        self.take_entry(context, map, id);
        if let Some(object) = object {
            self.dereference(object);
        }
    }

    /// Brings the map's tree up to date after an entry changed in place.
    pub(super) fn refresh_entry(&mut self, map: MapId, id: EntryId) {
        self.entry_mut(id).note_traits();
        let here = node_mut(&mut self.maps, map);
        here.entries.refresh(&mut self.entries, id);
    }

    /// Splits an entry so that one begins at `at`, which lies inside; returns that one.
    pub(super) fn split<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        at: u64,
    ) -> KernResult<EntryId> {
        let here = self.entry(id);
        debug_assert!(here.start < at && at < here.end && here.wired == 0);
        let (tail, end, object) = (here.tail(at), here.end, here.object);
        self.entry_mut(id).end = at;
        // The tail's place in the tree is below this entry, whose summary is so brought up to date.
        let added = self.add_entry(context, map, tail);
        match (&added, object) {
            (Ok(_), Some(object)) => {
                self.reference(object);
                self.move_mappings(object);
            }
            (Ok(_), None) => {}
            (Err(_), _) => self.entry_mut(id).end = end,
        }
        added
    }

    /// Splits an entry so that one is exactly the part that lies in a range; returns that one.
    pub(super) fn clip<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
        range: &core::ops::Range<u64>,
    ) -> KernResult<EntryId> {
        let mut id = id;
        if self.entry(id).start < range.start {
            id = self.split(context, map, id, range.start)?;
        }
        if range.end < self.entry(id).end {
            self.split(context, map, id, range.end)?;
        }
        Ok(id)
    }

    /// Makes one entry of those that meet at an address, if they only continue each other.
    pub(super) fn join<M: Machine>(&mut self, context: &mut Context<'_, M>, map: MapId, at: u64) {
        if let Ok(next) = self.find_entry(map, at)
            && self.entry(next).start == at
        {
            self.join_previous(context, map, next);
        }
    }

    /// Makes one entry of this one and the one before it, if they only continue each other.
    pub(super) fn join_previous<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        id: EntryId,
    ) {
        let Some(previous) = self.entry(id).previous else {
            return;
        };
        if self.entry(previous).continues_in(self.entry(id)) {
            // At once what it will be, so that the hole behind it is right.
            self.entry_mut(previous).end = self.entry(id).end;
            if let Some(object) = self.entry(id).object {
                self.move_mappings(object);
            }
            self.remove_entry(context, map, id);
            self.refresh_entry(map, previous);
        }
    }
}

/// Lets an entry, and those that will be beside it, know of each other.
#[inline(always)]
pub(super) fn link_between(
    entries: &mut Arena<Entry>,
    id: EntryId,
    previous: Option<EntryId>,
    next: Option<EntryId>,
) {
    let mut before = MIN_ADDRESS;
    if let Some(previous) = previous {
        let previous = node_mut(entries, previous);
        previous.next = Some(id);
        before = previous.end;
    }
    let new = node_mut(entries, id);
    (new.previous, new.next) = (previous, next);
    new.hole = new.start - before;
    let end = new.end;
    if let Some(next) = next {
        let next = node_mut(entries, next);
        next.previous = Some(id);
        next.hole = next.start - end;
    }
}
