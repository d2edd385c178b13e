//! Virtual memory: maps, objects, faults, copies, memory entries, message buffers.
//!
//! A *map* is an address space: a tree of *entries*, each a range of addresses with protections and a
//! window into an *object*. An object holds pages: anonymous ones, made as they are touched, or a physical
//! range, or those that a *pager*, a task, supplies when it is asked (`pager.rs`, `supply.rs`) and gets back when they
//! were written (`order.rs`). A copy of anonymous
//! memory is *symmetric*: it shares the object, both sides are marked `needs_copy`, and who writes first puts a *shadow*
//! object in front of it (`shadow.rs`); chains of shadows are collapsed as soon as one reference is left (`settle.rs`).
//! A copy of a pager's memory is *asymmetric*: only the copy is a shadow, and it gets what is about to change (`preserve.rs`).
//!
//! Neighbours: [`Machine`] has the page tables and the pages' contents, [`Ledgers`] the accounts. This layer
//! sends no messages and wakes nobody: what it cannot do itself it returns as an effect.
//!
//! Invariants (checked by [`Vm::check`]):
//! 1. A hardware mapping never allows more than its entry does, and maps the page that the entry's
//!    object shows at that place.
//! 2. A page of an object that is not *shared* is reached by at most one entry that does not need a copy;
//!    so such an entry may write, free or move it without asking anybody.
//! 3. References to an object = entries + shadows + pieces of copies + memory entries + buffers.
//! 4. Each anonymous page is charged once, to its object's ledger, with the nodes that it is kept in; page tables to
//!    their map's.
//! 5. An entry that shows a pager's object, itself or behind shadows, is in the list of those that do (`mappers.rs`).
//! 6. A page of an object is in memory or in the store (`store.rs`), and an idle one is mapped nowhere (`reclaim.rs`).
//!
//! Work that is proportional to what users choose runs in steps of at most [`STEP`] items: such a function
//! returns [`Progress::More`] with all invariants holding, and is called again with the same
//! arguments.
//!
//! Deliberately absent: a list from pages to their mappings: who must be told of a changed page is one map, by invariant 2,
//! or those of the entries that show a pager's object.

mod access;
mod advise;
mod ahead;
mod allocate;
mod buffer;
mod cache;
mod check;
mod copy;
mod deliver;
mod effect;
mod entry;
mod fault;
mod filling;
mod fork;
mod gather;
mod hold;
mod large;
mod leaving;
mod map;
mod mappers;
mod marks;
mod memory_entry;
mod object;
mod order;
mod overwrite;
mod pager;
mod pages;
mod preserve;
mod protect;
mod reclaim;
mod region;
mod remap;
mod replace;
mod request;
mod resident;
mod settle;
mod shadow;
mod share;
mod snapshot;
mod store;
mod supply;
mod sync;
mod traits;
mod transfer;
mod tree;
mod wire;

#[cfg(test)]
mod test_machine;
#[cfg(test)]
mod tests;

use abi::PAGE_SIZE;
use arena::{Arena, Id};

use crate::base::KernResult;
use crate::base::ids::BufferKind;
use crate::base::ledger::{LedgerId, Ledgers, Resource};
use crate::base::tree::Tree;
use crate::base::usage::Usage;
use crate::machine::Machine;
use abi::kern_return::KernReturn;

pub use access::FutexKey;
pub use advise::{Aside, Contents, SizeLimit};
pub use ahead::AHEAD;
pub use allocate::{MapRequest, Source};
pub use buffer::{BUFFER_PAGES, Buffer};
pub use check::Broken;
pub use copy::{AWAITED_PAGES, After, COPY_PAGES, Copied, Piece};
pub use effect::Effect;
pub use entry::Entry;
pub use fault::FaultOutcome;
pub use map::Map;
pub use memory_entry::{MemoryEntry, check_window};
pub use object::Object;
pub use order::{Cursor, Flush, Order, OrderStep, Returned, Returns};
pub use pager::{Pager, PagerAttributes, PagerPorts, PagerState};
pub use protect::Which;
pub use reclaim::{RESERVE, ReclaimStep, Room, Victim};
pub use region::{RegionInfo, Sharing};
pub use remap::Remap;
pub use request::{Ask, Await, Question, Request, STALLED, WaitKey};
pub use resident::Node;
pub use store::Slot;
pub use supply::{SUPPLY_PAGES, Supplied, Terms};
pub use sync::{PagedPart, Sync};

/// Reaches a map.
pub type MapId = Id<Map>;
/// Reaches memory that is on its way from one map to another one.
pub type CopyId = Id<Copied>;
/// Reaches a memory entry.
pub type MemoryEntryId = Id<MemoryEntry>;
/// Reaches a memory object whose pages a task supplies.
pub type PagerId = Id<Pager>;
/// Reaches what a pager was asked.
pub type RequestId = Id<Request>;
/// Reaches a registered message buffer.
pub use crate::base::ids::BufferId;

type EntryId = Id<Entry>;
type ObjectId = Id<Object>;
type PieceId = Id<Piece>;

/// Pages that one step of long work looks at.
pub const STEP: u64 = 64;

/// As how many pages an entry counts that a step changes, makes or removes: the tree is searched, and brought up to date,
/// several times, which takes some 3,000 instructions in a large map.
const ENTRY: u64 = 8;

/// Pages that one step copies or fills: each takes about 700 instructions, and interrupts wait for all of a step.
pub const COPY_STEP: u64 = 32;

/// The most entries a map has. Checks that must precede any change walk over the entries of a range.
pub const MAX_ENTRIES: u32 = 16_384;

/// How far long work is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "work that is not done must be continued"]
pub enum Progress<T = ()> {
    /// All of it is done.
    Done(T),
    /// A step is done. Call again, with the same arguments.
    More,
}

/// What the layer works with beside its own objects.
pub struct Context<'a, M> {
    /// The machine.
    pub machine: &'a mut M,
    /// Who pays.
    pub ledgers: &'a mut Ledgers,
}

impl<M: Machine> Context<'_, M> {
    fn charge(&mut self, ledger: LedgerId, what: Resource, amount: u64) -> KernResult<()> {
        Ok(self.ledgers.charge(ledger, what, amount)?)
    }

    fn release(&mut self, ledger: LedgerId, what: Resource, amount: u64) {
        self.ledgers.release(ledger, what, amount);
    }

    /// Lets a ledger pay, within its limits, even if its task is gone: for what others have inherited from it.
    fn for_heirs<R>(&mut self, ledger: LedgerId, work: impl FnOnce(&mut Self) -> R) -> R {
        let closed = self.ledgers.reopen(ledger);
        let result = work(self);
        if closed {
            self.ledgers.close(ledger);
        }
        result
    }
}

/// All objects of the layer.
pub struct Vm {
    maps: Arena<Map>,
    entries: Arena<Entry>,
    objects: Arena<Object>,
    /// Where objects keep which pages they have.
    residents: resident::Nodes,
    copies: Arena<Copied>,
    pieces: Arena<Piece>,
    memory_entries: Arena<MemoryEntry>,
    buffers: Arena<Buffer, BufferKind>,
    pagers: Arena<Pager>,
    pagers_by_port: Tree,
    requests: Arena<Request>,
    requests_by_page: Tree,
    /// Requests that were answered and whose threads are to be told, linked by [`Request`].
    answered: Option<RequestId>,
    /// Pagers with something to be told or to tell, linked by [`Pager`].
    busy_pagers: Option<PagerId>,
    /// How many pagers wait to be able to take a message.
    held_pagers: u32,
    /// Memory objects that stay although nobody maps them.
    cache: cache::Cache,
    /// Entries that show memory objects.
    mappers: Tree,
    /// Where anonymous memory goes when there is too little.
    store: Option<store::Store>,
    /// Places in it, by number.
    slots: Arena<Slot>,
    /// Those that the store's pager is to forget, linked by [`Slot`].
    discards: Option<Id<Slot>>,
    /// It cannot be told now.
    discards_held: bool,
    reclaim: reclaim::Reclaim,
    /// What the access that ended last with [`STALLED`] waits for.
    stalled: Option<request::Stalled>,
    /// Entries that were replaced and are to be taken apart, linked by [`Entry::next`].
    replaced: Option<EntryId>,
    /// Objects that are to be freed or collapsed, linked by [`Object::next`].
    unsettled: Option<ObjectId>,
    /// [`settle`](Self::settle) found nothing in these two lists, and nothing came since.
    settled: bool,
}

const MIB: usize = 1024 * 1024;

impl Vm {
    /// No maps and no memory.
    pub fn new(machine: &mut impl Machine) -> Self {
        Self {
            maps: Arena::new(machine.reserve(8 * MIB)),
            entries: Arena::new(machine.reserve(256 * MIB)),
            objects: Arena::new(machine.reserve(256 * MIB)),
            residents: Arena::new(machine.reserve(1024 * MIB)),
            copies: Arena::new(machine.reserve(32 * MIB)),
            pieces: Arena::new(machine.reserve(64 * MIB)),
            memory_entries: Arena::new(machine.reserve(32 * MIB)),
            buffers: Arena::new(machine.reserve(32 * MIB)),
            pagers: Arena::new(machine.reserve(32 * MIB)),
            pagers_by_port: Tree::new(),
            requests: Arena::new(machine.reserve(32 * MIB)),
            requests_by_page: Tree::new(),
            answered: None,
            busy_pagers: None,
            held_pagers: 0,
            cache: cache::Cache::default(),
            mappers: Tree::new(),
            store: None,
            slots: Arena::new(machine.reserve(64 * MIB)),
            discards: None,
            discards_held: false,
            reclaim: reclaim::Reclaim::default(),
            stalled: None,
            replaced: None,
            unsettled: None,
            settled: true,
        }
    }

    /// What the layer's records take.
    pub fn usage(&self) -> [Usage; 11] {
        [
            Usage::of("maps", &self.maps),
            Usage::of("entries", &self.entries),
            Usage::of("objects", &self.objects),
            Usage::of("residents", &self.residents),
            Usage::of("copies", &self.copies),
            Usage::of("pieces", &self.pieces),
            Usage::of("memory entries", &self.memory_entries),
            Usage::of("buffers", &self.buffers),
            Usage::of("pagers", &self.pagers),
            Usage::of("requests", &self.requests),
            Usage::of("slots", &self.slots),
        ]
    }

    fn map_ref(&self, map: MapId) -> KernResult<&Map> {
        self.maps.get(map).ok_or(KernReturn::InvalidTask)
    }
}

/// The bytes that an object of this type costs its ledger.
const fn cost<T>() -> u64 {
    size_of::<T>() as u64
}

/// The whole pages that hold `size` bytes from `address` on.
///
/// # Errors
/// `InvalidArgument`: the end lies beyond 2^64.
pub fn whole_pages(address: u64, size: u64) -> KernResult<core::ops::Range<u64>> {
    let end = address
        .checked_add(size)
        .ok_or(KernReturn::InvalidArgument)?;
    let end = end
        .checked_next_multiple_of(PAGE_SIZE)
        .ok_or(KernReturn::InvalidArgument)?;
    Ok(address - address % PAGE_SIZE..end)
}
