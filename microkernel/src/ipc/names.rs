//! Name tables: from a task's port name to an [`Entry`], and from a port to the name that holds it.
//!
//! A table grows by chunks of 64 entries. The first chunk hangs on the space itself, so that the names
//! a task uses most are one step away; the others lie behind small directories. Entries of send and
//! receive rights are also ordered by their port, which is how rights coalesce under one name (P-03).
//!
//! Invariants: index 0 is never handed out ([`Name::NULL`], [`Name::REPLY_SLOT`]); an entry is free
//! exactly when its rights are empty; the tree holds exactly the entries that are indexed, until the space is closed.

use abi::names::Name;
use arena::{Arena, Id};

use super::entry::{Entry, Rights};
use crate::base::Shortage;
use crate::base::ids::{ChunkId, ChunkKind, NoticeId, PortId, SpaceId, SpaceKind};
use crate::base::ledger::LedgerId;
use crate::base::tree::{Links, NIL, Nodes, Tree};
use crate::base::usage::Usage;
use crate::machine::Machine;
use crate::vm::MapId;

const CHUNK: u32 = 64;
const DIRECTORY: u32 = 64;
const DIRECTORIES: u32 = 32;

/// The most names that a space holds, index 0 included.
pub const MAX_NAMES: u32 = CHUNK * DIRECTORY * DIRECTORIES;

/// Chosen names that [`Names::insert`] passes over in one call.
const SKIP: u32 = 64;

/// 64 entries.
pub struct Chunk([Entry; CHUNK as usize]);

/// 64 chunks.
pub struct Directory([Option<ChunkId>; DIRECTORY as usize]);

/// The names of one task.
pub struct Space {
    /// The names from 0 to 63.
    pub first: ChunkId,
    directories: [Option<Id<Directory>>; DIRECTORIES as usize],
    /// Free entries, chained through `links`: `left` is the next one, `right` the one before.
    free: u32,
    /// Free entries below are in that chain; those from here on are not, and names there were chosen.
    chained: u32,
    /// One past the highest index that was ever in use.
    used: u32,
    /// Names in use.
    count: u32,
    by_port: Tree,
    /// The name that a trap for one of the kernel's ports last answered with: most ask for the same again.
    pub(super) last_kernel_name: Name,
    /// The task's names-used request.
    pub(super) watch: Option<NoticeId>,
    /// Traps of its threads on the general path that sent no message.
    pub traps: u64,
    /// Pays for names, ports and messages.
    pub ledger: LedgerId,
    /// The memory that messages to this space's threads carry data to.
    pub map: MapId,
}

/// All spaces.
pub struct Names {
    spaces: Arena<Space, SpaceKind>,
    chunks: Arena<Chunk, ChunkKind>,
    directories: Arena<Directory>,
}

impl Names {
    pub(super) fn new<M: Machine>(machine: &mut M) -> Self {
        Self {
            spaces: Arena::new(machine.reserve(16 << 20)),
            chunks: Arena::new(machine.reserve(1 << 30)),
            directories: Arena::new(machine.reserve(64 << 20)),
        }
    }

    /// A space without names.
    ///
    /// # Errors
    /// [`Shortage`]: no memory.
    pub fn create(&mut self, ledger: LedgerId, map: MapId) -> Result<SpaceId, Shortage> {
        let first = self.chunks.insert(Chunk([Entry::FREE; CHUNK as usize]))?;
        let space = Space {
            first,
            directories: [None; DIRECTORIES as usize],
            free: NIL,
            chained: 1,
            used: 1,
            count: 0,
            by_port: Tree::new(),
            last_kernel_name: Name::NULL,
            watch: None,
            traps: 0,
            ledger,
            map,
        };
        self.spaces.insert(space).map_err(|full| {
            self.chunks.remove(first);
            full.into()
        })
    }

    /// Forgets by which name the space holds a port: in one that ends nobody asks any more, and each name ends without
    /// a search.
    pub fn close(&mut self, id: SpaceId) {
        if let Some(space) = self.spaces.get_mut(id) {
            space.by_port = Tree::new();
        }
    }

    /// Gives back a part of the memory of a space that holds no names, and at last the space; whether it is gone.
    #[must_use]
    pub fn destroy_step(&mut self, id: SpaceId) -> bool {
        let Some(space) = self.spaces.get_mut(id) else {
            return true;
        };
        debug_assert_eq!(space.count, 0, "rights would be lost");
        let directory = space.directories.iter_mut().find_map(Option::take);
        let Some(directory) = directory else {
            self.chunks.discard(space.first);
            self.spaces.discard(id);
            return true;
        };
        if let Some(chunks) = self.directories.get(directory) {
            for chunk in chunks.0.into_iter().flatten() {
                self.chunks.discard(chunk);
            }
        }
        self.directories.discard(directory);
        false
    }

    /// The space's own record.
    #[inline(always)]
    pub fn space(&self, id: SpaceId) -> Option<&Space> {
        self.spaces.get(id)
    }

    /// As [`space`](Self::space).
    pub fn space_mut(&mut self, id: SpaceId) -> Option<&mut Space> {
        self.spaces.get_mut(id)
    }

    /// Counts a trap that sends no message.
    pub fn count_trap(&mut self, id: SpaceId) {
        if let Some(space) = self.spaces.get_mut(id) {
            space.traps = space.traps.wrapping_add(1);
        }
    }

    /// What a name denotes; `None` for a name that denotes nothing (any more).
    #[inline(always)]
    pub fn get(&self, space: SpaceId, name: Name) -> Option<&Entry> {
        let entry = self.at(space, name.index())?;
        let valid = entry.generation == name.generation() && !entry.rights.is_empty();
        valid.then_some(entry)
    }

    /// The entry that a name denotes, perhaps without any rights: with the space's first chunk at hand, one
    /// step less for the names that a task made first. The caller tests the rights that it needs.
    #[inline(always)]
    pub fn get_near(&self, names: (SpaceId, ChunkId), name: Name) -> Option<&Entry> {
        self.get_alone(names, name.0.into())
    }

    /// As [`get_near`](Self::get_near), of a word whose lower half is the name and whose upper half must be null, which
    /// takes no test of its own for those names.
    #[inline(always)]
    pub fn get_alone(&self, (space, first): (SpaceId, ChunkId), word: u64) -> Option<&Entry> {
        let name = Name(word as u32);
        let entry = if word < Name::new(CHUNK, 0).0.into() {
            &self.chunks.get(first)?.0[(name.index() % CHUNK) as usize]
        } else if word >> 32 == 0 {
            self.at(space, name.index())?
        } else {
            return None;
        };
        (entry.generation == name.generation()).then_some(entry)
    }

    /// As [`get_near`](Self::get_near).
    #[inline(always)]
    pub fn get_near_mut(
        &mut self,
        (space, first): (SpaceId, ChunkId),
        name: Name,
    ) -> Option<&mut Entry> {
        if name.index() >= CHUNK {
            return self.get_mut(space, name);
        }
        let entry = &mut self.chunks.get_mut(first)?.0[(name.index() % CHUNK) as usize];
        (entry.generation == name.generation()).then_some(entry)
    }

    /// As [`get`](Self::get).
    pub fn get_mut(&mut self, space: SpaceId, name: Name) -> Option<&mut Entry> {
        let entry = self.at_mut(space, name.index())?;
        let valid = entry.generation == name.generation() && !entry.rights.is_empty();
        valid.then_some(entry)
    }

    /// The name of the `SEND` and `RECEIVE` rights that a space holds for a port.
    pub fn name_of(&mut self, space: SpaceId, port: PortId) -> Option<Name> {
        let tree = self.spaces.get(space)?.by_port;
        let index = tree.find(&ByPort { names: self, space }, port.to_bits())?;
        Some(Name::new(index, self.at(space, index)?.generation))
    }

    /// Makes an entry with a new name.
    ///
    /// # Errors
    /// [`Shortage`]: the table is full or there is no memory.
    pub fn insert(&mut self, space: SpaceId, entry: Entry) -> Result<Name, Shortage> {
        let record = self.spaces.get(space).ok_or(Shortage)?;
        let (index, fresh) = (record.free, record.free == NIL);
        let index = if fresh { self.grow(space)? } else { index };
        let slot = self.at_mut(space, index).ok_or(Shortage)?;
        let next_free = slot.links.left();
        // Generation 0 is skipped at index 0 only, which is never handed out.
        let generation = slot.generation.wrapping_add(1);
        *slot = Entry {
            generation,
            links: Links::LEAF,
            ..entry
        };
        let indexed = slot.is_indexed();
        let record = self.spaces.get_mut(space).ok_or(Shortage)?;
        record.count += 1;
        if !fresh {
            record.free = next_free;
            self.set_before(space, next_free, NIL);
        }
        if indexed {
            self.index(space, index);
        }
        Ok(Name::new(index, generation))
    }

    /// Makes an entry under a free name of the caller's choice.
    ///
    /// # Errors
    /// [`Shortage`]: no memory, or there can be no such index.
    pub fn insert_at(&mut self, space: SpaceId, name: Name, entry: Entry) -> Result<(), Shortage> {
        let index = name.index();
        self.make_place(space, index)?;
        if index < self.spaces.get(space).ok_or(Shortage)?.chained {
            self.take_free(space, index)?;
        }
        let slot = self.at_mut(space, index).ok_or(Shortage)?;
        *slot = Entry {
            generation: name.generation(),
            links: Links::LEAF,
            ..entry
        };
        let indexed = slot.is_indexed();
        if let Some(record) = self.spaces.get_mut(space) {
            record.count += 1;
            record.used = record.used.max(index + 1);
        }
        if indexed {
            self.index(space, index);
        }
        Ok(())
    }

    fn push_free(&mut self, space: SpaceId, index: u32) {
        let Some(record) = self.spaces.get_mut(space) else {
            return;
        };
        let next = core::mem::replace(&mut record.free, index);
        if let Some(entry) = self.at_mut(space, index) {
            entry.links = Links::new(next, NIL);
        }
        self.set_before(space, next, index);
    }

    /// Says of a free entry, if there is one, which is before it in the chain.
    fn set_before(&mut self, space: SpaceId, index: u32, before: u32) {
        if index != NIL
            && let Some(entry) = self.at_mut(space, index)
        {
            entry.links = Links::new(entry.links.left(), before);
        }
    }

    /// Takes an entry out of the chain of free ones.
    fn take_free(&mut self, space: SpaceId, index: u32) -> Result<(), Shortage> {
        let entry = self.at(space, index).ok_or(Shortage)?;
        debug_assert!(entry.rights.is_empty(), "a name in use");
        let (left, right) = (entry.links.left(), entry.links.right());
        match right {
            NIL => self.spaces.get_mut(space).ok_or(Shortage)?.free = left,
            before => {
                let entry = self.at_mut(space, before).ok_or(Shortage)?;
                entry.links = Links::new(left, entry.links.right());
            }
        }
        self.set_before(space, left, right);
        Ok(())
    }

    /// Frees a name.
    pub fn remove(&mut self, space: SpaceId, name: Name) {
        self.unindex(space, name);
        let Some(record) = self.spaces.get_mut(space) else {
            return;
        };
        record.count -= 1;
        let chained = record.chained;
        if let Some(entry) = self.at_mut(space, name.index()) {
            let generation = entry.generation;
            *entry = Entry {
                generation,
                ..Entry::FREE
            };
        }
        if name.index() < chained {
            self.push_free(space, name.index());
        }
    }

    /// Turns what a name holds into a dead name, with the same user references.
    pub fn make_dead(&mut self, space: SpaceId, name: Name) {
        self.unindex(space, name);
        if let Some(entry) = self.get_mut(space, name) {
            entry.rights = Rights::DEAD;
            entry.port = None;
        }
    }

    /// Whether an index is taken, by a name of any generation.
    pub fn is_used(&self, space: SpaceId, index: u32) -> bool {
        self.at(space, index)
            .is_some_and(|entry| !entry.rights.is_empty())
    }

    /// How many names a space holds.
    pub fn count(&self, space: SpaceId) -> u32 {
        self.spaces.get(space).map_or(0, |space| space.count)
    }

    /// One past the highest index that was ever in use: where a search for names ends.
    pub fn end(&self, space: SpaceId) -> u32 {
        self.spaces.get(space).map_or(0, |space| space.used)
    }

    /// The name at an index, if there is one: for listing and destruction.
    pub fn name_at(&self, space: SpaceId, index: u32) -> Option<Name> {
        let entry = self.at(space, index)?;
        (!entry.rights.is_empty()).then(|| Name::new(index, entry.generation))
    }

    /// What the tables take.
    pub fn usage(&self) -> [Usage; 3] {
        [
            Usage::of("spaces", &self.spaces),
            Usage::of("name chunks", &self.chunks),
            Usage::of("directories", &self.directories),
        ]
    }

    /// How many spaces there are.
    pub fn spaces(&self) -> u32 {
        self.spaces.len()
    }

    /// All spaces, for checks.
    pub fn space_ids(&self) -> impl Iterator<Item = SpaceId> {
        (0..self.spaces.end()).filter_map(|index| self.spaces.id_at(index))
    }

    fn index(&mut self, space: SpaceId, index: u32) {
        let Some(mut tree) = self.spaces.get(space).map(|space| space.by_port) else {
            return;
        };
        tree.insert(&mut ByPort { names: self, space }, index);
        if let Some(space) = self.spaces.get_mut(space) {
            space.by_port = tree;
        }
    }

    fn unindex(&mut self, space: SpaceId, name: Name) {
        let Some(entry) = self.get(space, name) else {
            return;
        };
        let (true, Some(port)) = (entry.is_indexed(), entry.port) else {
            return;
        };
        let Some(mut tree) = self.spaces.get(space).map(|space| space.by_port) else {
            return;
        };
        tree.remove(&mut ByPort { names: self, space }, port.to_bits());
        if let Some(space) = self.spaces.get_mut(space) {
            space.by_port = tree;
        }
    }

    /// Whether a name can be made where there is a place for it already, so that making it cannot fail.
    pub(super) fn has_free_name(&self, id: SpaceId) -> bool {
        self.spaces.get(id).is_some_and(|space| {
            let next = space.chained;
            space.free != NIL || self.at(id, next).is_some() && !self.is_used(id, next)
        })
    }

    /// A free index that is in no chain, with a chunk behind it.
    fn grow(&mut self, id: SpaceId) -> Result<u32, Shortage> {
        for _ in 0..SKIP {
            let index = self.spaces.get(id).ok_or(Shortage)?.chained;
            self.make_place(id, index)?;
            let chosen = self.is_used(id, index);
            let space = self.spaces.get_mut(id).ok_or(Shortage)?;
            space.chained = index + 1;
            if !chosen {
                space.used = space.used.max(index + 1);
                return Ok(index);
            }
        }
        // Many chosen names follow each other: beyond them all, until later calls have passed over them.
        let index = self.spaces.get(id).ok_or(Shortage)?.used;
        self.make_place(id, index)?;
        self.spaces.get_mut(id).ok_or(Shortage)?.used = index + 1;
        Ok(index)
    }

    /// Sees to it that a chunk is behind an index.
    fn make_place(&mut self, id: SpaceId, index: u32) -> Result<(), Shortage> {
        if index >= MAX_NAMES {
            return Err(Shortage);
        }
        if self.at(id, index).is_some() {
            return Ok(());
        }
        self.add_chunk(id, index)
    }

    fn add_chunk(&mut self, id: SpaceId, index: u32) -> Result<(), Shortage> {
        let space = self.spaces.get_mut(id).ok_or(Shortage)?;
        let slot = space
            .directories
            .get_mut((index / (CHUNK * DIRECTORY)) as usize);
        let slot = slot.ok_or(Shortage)?;
        let directory = match *slot {
            Some(directory) => directory,
            None => {
                let new = self
                    .directories
                    .insert(Directory([None; DIRECTORY as usize]))?;
                *slot = Some(new);
                new
            }
        };
        let chunk = self.chunks.insert(Chunk([Entry::FREE; CHUNK as usize]))?;
        let directory = self.directories.get_mut(directory).ok_or(Shortage)?;
        directory.0[(index / CHUNK % DIRECTORY) as usize] = Some(chunk);
        Ok(())
    }

    #[inline(always)]
    fn chunk_of(&self, space: &Space, index: u32) -> Option<ChunkId> {
        if index < CHUNK {
            Some(space.first)
        } else {
            self.far_chunk(space, index)
        }
    }

    fn far_chunk(&self, space: &Space, index: u32) -> Option<ChunkId> {
        let directory = *space
            .directories
            .get((index / (CHUNK * DIRECTORY)) as usize)?;
        self.directories.get(directory?)?.0[(index / CHUNK % DIRECTORY) as usize]
    }

    #[inline(always)]
    fn at(&self, space: SpaceId, index: u32) -> Option<&Entry> {
        let chunk = self.chunk_of(self.spaces.get(space)?, index)?;
        Some(&self.chunks.get(chunk)?.0[(index % CHUNK) as usize])
    }

    fn at_mut(&mut self, space: SpaceId, index: u32) -> Option<&mut Entry> {
        let chunk = self.chunk_of(self.spaces.get(space)?, index)?;
        Some(&mut self.chunks.get_mut(chunk)?.0[(index % CHUNK) as usize])
    }
}

/// The tree's view of one space's entries: ordered by port.
struct ByPort<'a> {
    names: &'a mut Names,
    space: SpaceId,
}

impl Nodes for ByPort<'_> {
    type Key = u64;

    fn key(&self, node: u32) -> u64 {
        self.names
            .at(self.space, node)
            .and_then(|entry| entry.port)
            .map_or(0, PortId::to_bits)
    }

    fn links(&self, node: u32) -> Links {
        self.names
            .at(self.space, node)
            .map_or(Links::LEAF, |entry| entry.links)
    }

    fn key_and_links(&self, node: u32) -> (u64, Links) {
        let entry = self.names.at(self.space, node);
        entry.map_or((0, Links::LEAF), |entry| {
            (entry.port.map_or(0, PortId::to_bits), entry.links)
        })
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(entry) = self.names.at_mut(self.space, node) {
            entry.links = links;
        }
    }
}
