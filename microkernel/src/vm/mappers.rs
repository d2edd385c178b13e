//! Which entries show a pager's object, itself or behind shadows: those whose mappings change when one of its pages does.
//!
//! What lies at the end of an entry's chain stays the same while the entry is in its map, whatever shadows come and go in front of
//! it; only [`Vm::leave_shared`](super::Vm::leave_shared) gives an entry another one. They lie in one tree, by object and by their own place in the arena, so that who goes through those of an object can
//! stop after any of them, whatever comes and goes meanwhile.

use core::ops::Range;

use abi::PAGE_SIZE;
use arena::Arena;

use super::pages::Withdraw;
use super::tree::{node, node_mut};
use super::{Context, Entry, EntryId, ObjectId, STEP, Vm};
use crate::base::tree::{Links, Nodes};
use crate::machine::Machine;

/// An entry's place among those that show a pager's object.
#[derive(Clone, Copy)]
pub(super) struct Mapper {
    object: ObjectId,
    links: Links,
}

struct ByObject<'a>(&'a mut Arena<Entry>);

impl Nodes for ByObject<'_> {
    type Key = (u32, u32);

    fn key(&self, node: u32) -> Self::Key {
        let mapper = self.0.at(node).and_then(|entry| entry.mapper);
        (
            mapper.map_or(u32::MAX, |mapper| mapper.object.index()),
            node,
        )
    }

    fn links(&self, node: u32) -> Links {
        let mapper = self.0.at(node).and_then(|entry| entry.mapper);
        mapper.map_or(Links::LEAF, |mapper| mapper.links)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        let entry = self.0.at_mut(node);
        if let Some(mapper) = entry.and_then(|entry| entry.mapper.as_mut()) {
            mapper.links = links;
        }
    }
}

impl Vm {
    /// An entry is in its map now, with its object.
    pub(super) fn list_mapper(&mut self, id: EntryId) {
        let entry = node(&self.entries, id);
        let end = entry
            .object
            .and_then(|object| self.paged_behind(object, entry.index));
        if let Some((_, object, _)) = end {
            let links = Links::LEAF;
            node_mut(&mut self.entries, id).mapper = Some(Mapper { object, links });
            let entries = &mut ByObject(&mut self.entries);
            self.mappers.insert(entries, id.index());
        }
    }

    /// An entry is about to leave its map, or to get another object.
    pub(super) fn unlist_mapper(&mut self, id: EntryId) {
        if node(&self.entries, id).mapper.is_some() {
            let entries = &mut ByObject(&mut self.entries);
            let key = entries.key(id.index());
            let removed = self.mappers.remove(entries, key);
            debug_assert!(removed.is_some(), "an entry was not listed");
            node_mut(&mut self.entries, id).mapper = None;
        }
    }

    /// The first entry at or after a place in the arena that shows an object of a pager.
    pub(super) fn next_mapper(&mut self, object: ObjectId, from: u32) -> Option<EntryId> {
        let entries = &ByObject(&mut self.entries);
        let found = self.mappers.ceiling(entries, (object.index(), from))?;
        (entries.key(found).0 == object.index()).then_some(found)?;
        self.entries.id_at(found)
    }

    /// Takes mappings of up to [`STEP`] pages of a pager's object, or rights of theirs, away in all maps, beginning with the
    /// entry at or after `from`. Returns with which it goes on; `None`: that was all.
    pub(super) fn withdraw_everywhere<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, pages): (ObjectId, &Range<u64>),
        what: Withdraw,
        from: u32,
    ) -> Option<u32> {
        let (mut budget, mut from) = (STEP, from);
        while let Some(id) = self.next_mapper(object, from) {
            if budget < pages.end - pages.start {
                return Some(id.index());
            }
            let done = self.withdraw_part(context, id, pages, what);
            budget -= done.max(1);
            from = id.index() + 1;
        }
        None
    }

    /// Takes mappings of a page of a pager's object away where it shows behind shadows, as far as a step goes: beginning with the entry
    /// at or after `from`. Returns with which it goes on; `None`: that was all.
    pub(super) fn withdraw_behind<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, page): (ObjectId, u64),
        from: u32,
    ) -> Option<u32> {
        let mut from = from;
        for _ in 0..STEP {
            let id = self.next_mapper(object, from)?;
            if self.entry(id).object != Some(object) {
                self.withdraw_part(context, id, &(page..page + 1), Withdraw::All);
            }
            from = id.index() + 1;
        }
        Some(from)
    }

    /// The same for one entry; how many pages it shows of them.
    fn withdraw_part<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        pages: &Range<u64>,
        what: Withdraw,
    ) -> u64 {
        let entry = self.entry(id);
        // The page that the entry's first one is of the pager's object.
        let end = entry
            .object
            .and_then(|object| self.paged_behind(object, entry.index));
        let Some((_, _, index)) = end else { return 0 };
        let first = pages.start.max(index);
        let last = pages.end.min(index + entry.size());
        let Some(map) = entry.map.filter(|_| first < last) else {
            return 0;
        };
        // Also where there is a page in front: the one behind it may be mapped still, until `preserve` is done.
        let address = |page: u64| entry.start + (page - index) * PAGE_SIZE;
        let range = address(first)..address(last);
        self.withdraw_all(context, (map, id), range, what);
        last - first
    }
}
