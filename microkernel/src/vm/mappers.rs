//! Which entries show a pager's object: those whose mappings change when one of its pages does.
//!
//! They lie in one tree, by object and by their own place in the arena, so that who goes through those of an object can
//! stop after any of them, whatever comes and goes meanwhile.

use core::ops::Range;

use arena::{Arena, Id};

use super::pages::Withdraw;
use super::tree::{node, node_mut};
use super::{Context, Entry, EntryId, ObjectId, STEP, Vm};
use crate::base::tree::{Links, Nodes};
use crate::machine::Machine;

struct ByObject<'a>(&'a mut Arena<Entry>);

impl Nodes for ByObject<'_> {
    type Key = (u32, u32);

    fn key(&self, node: u32) -> Self::Key {
        let object = self.0.at(node).and_then(|entry| entry.object);
        (object.map_or(u32::MAX, Id::index), node)
    }

    fn links(&self, node: u32) -> Links {
        let entry = self.0.at(node);
        entry.and_then(|entry| entry.mapper).unwrap_or(Links::LEAF)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(entry) = self.0.at_mut(node) {
            entry.mapper = Some(links);
        }
    }
}

impl Vm {
    /// An entry is in its map now, with its object.
    pub(super) fn list_mapper(&mut self, id: EntryId) {
        let object = node(&self.entries, id).object;
        if object.is_some_and(|object| self.object(object).is_paged()) {
            let entries = &mut ByObject(&mut self.entries);
            entries.set_links(id.index(), Links::LEAF);
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

    /// The same for one entry; how many pages it shows of them.
    fn withdraw_part<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        id: EntryId,
        pages: &Range<u64>,
        what: Withdraw,
    ) -> u64 {
        let entry = self.entry(id);
        let first = pages.start.max(entry.index);
        let last = pages.end.min(entry.index + entry.size());
        let Some(map) = entry.map.filter(|_| first < last) else {
            return 0;
        };
        let range = entry.address_of(first)..entry.address_of(last);
        self.withdraw_all(context, (map, id), range, what);
        last - first
    }
}
