//! Ledgers: how much of each resource a task holds, and may hold.
//!
//! Ledgers form a tree. A child's limits are carved from its creator's: the creator is charged with
//! them as a whole when the child is made, and gets them back when the child's ledger is empty and its
//! task gone. So no set of tasks together exceeds what the first one was given, and a full ledger is
//! an error for one task alone.
//!
//! A charge stays with the ledger that made it until [`Ledgers::release`]; a dead task's ledger lives
//! until all of it is zero.

use abi::task::Limits;
use arena::{Arena, Id, Region};

use super::Shortage;
use super::usage::Usage;

/// Reaches one task's ledger.
pub type LedgerId = Id<Ledger>;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// Port names in the task's space.
    Names,
    /// Messages that it sent and nobody received yet.
    Messages,
    /// Threads.
    Threads,
    /// Pages of memory: resident, in page tables and in flight.
    Pages,
    /// Bytes of kernel objects.
    KernelBytes,
}

/// How many ledgers lie above each other at the most: the end of the last one may end all of them at once.
pub const MAX_DEPTH: u32 = 256;

/// How many [`Resource`]s there are.
pub(crate) const RESOURCES: usize = 5;

/// One task's account.
#[derive(Clone, Copy, Debug)]
pub struct Ledger {
    /// With what is carved for children.
    used: [u64; RESOURCES],
    /// What is carved for children.
    carved: [u64; RESOURCES],
    limit: [u64; RESOURCES],
    /// Of the pages that are charged, those that were put away.
    away: u64,
    parent: Option<LedgerId>,
    /// How many ledgers are above it.
    depth: u32,
    /// The task is gone: the ledger goes when all of it is released.
    closed: bool,
}

/// All ledgers.
pub struct Ledgers {
    arena: Arena<Ledger>,
    /// How many pages the first one may give out beyond those that there are.
    extension: u64,
}

impl Ledgers {
    /// No ledgers yet.
    pub fn new(region: Region) -> Self {
        Self {
            arena: Arena::new(region),
            extension: 0,
        }
    }

    /// The ledger of the first task, from which all others are carved.
    ///
    /// # Errors
    /// [`Shortage`]: no memory.
    pub fn create_root(&mut self, limits: Limits) -> Result<LedgerId, Shortage> {
        Ok(self.arena.insert(Ledger::new(amounts(limits), None, 0))?)
    }

    /// A ledger for a new task, carved from its creator's.
    ///
    /// # Errors
    /// [`Shortage`]: the creator has not that much left, it is [`MAX_DEPTH`] below the first, or there is no memory.
    /// Nothing changed.
    pub fn create_child(&mut self, parent: LedgerId, limits: Limits) -> Result<LedgerId, Shortage> {
        let amounts = amounts(limits);
        let account = self.arena.get(parent).ok_or(Shortage)?;
        let fits = (0..RESOURCES).all(|n| amounts[n] <= account.limit[n] - account.used[n]);
        let depth = account.depth + 1;
        if !fits || depth > MAX_DEPTH {
            return Err(Shortage);
        }
        let child = self
            .arena
            .insert(Ledger::new(amounts, Some(parent), depth))?;
        if let Some(account) = self.arena.get_mut(parent) {
            for (n, amount) in amounts.into_iter().enumerate() {
                account.used[n] += amount;
                account.carved[n] += amount;
            }
        }
        Ok(child)
    }

    /// Charges `amount` of a resource.
    ///
    /// # Errors
    /// [`Shortage`]: it would exceed the limit. Nothing changed.
    pub fn charge(&mut self, id: LedgerId, what: Resource, amount: u64) -> Result<(), Shortage> {
        let ledger = self.arena.get_mut(id).ok_or(Shortage)?;
        let used = ledger.used[what as usize]
            .checked_add(amount)
            .ok_or(Shortage)?;
        if ledger.closed || used > ledger.limit[what as usize] {
            return Err(Shortage);
        }
        ledger.used[what as usize] = used;
        Ok(())
    }

    /// Whether one more of a resource can be [charged](Self::charge).
    pub fn has_room(&self, id: LedgerId, what: Resource) -> bool {
        let ledger = self.arena.get(id);
        ledger.is_some_and(|ledger| {
            !ledger.closed && ledger.used[what as usize] < ledger.limit[what as usize]
        })
    }

    /// Gives back what was charged.
    ///
    /// # Panics
    /// When more is released than was charged: a charge was lost, and the ledger no longer tells the truth.
    pub fn release(&mut self, id: LedgerId, what: Resource, amount: u64) {
        let Some(ledger) = self.arena.get_mut(id) else {
            debug_assert!(false, "released to a ledger that is gone");
            return;
        };
        ledger.used[what as usize] -= amount;
        if ledger.closed {
            self.drop_if_done(id);
        }
    }

    /// So many of the pages that are charged were put away.
    pub fn put_away(&mut self, id: LedgerId, pages: u64) {
        if let Some(ledger) = self.arena.get_mut(id) {
            ledger.away += pages;
        }
    }

    /// So many pages that were put away are back in memory, or are about to be released or charged to another ledger.
    ///
    /// # Panics
    /// When more come back than were put away, as [`release`](Self::release) does.
    pub fn bring_back(&mut self, id: LedgerId, pages: u64) {
        if let Some(ledger) = self.arena.get_mut(id) {
            ledger.away -= pages;
        }
    }

    /// So many pages that were put away are charged to another ledger.
    #[cold]
    #[inline(never)]
    pub fn move_away(&mut self, (from, to): (Option<LedgerId>, Option<LedgerId>), pages: u64) {
        if let Some(from) = from {
            self.bring_back(from, pages);
        }
        if let Some(to) = to {
            self.put_away(to, pages);
        }
    }

    /// How many of the pages that are charged were put away.
    pub fn away(&self, id: LedgerId) -> u64 {
        self.arena.get(id).map_or(0, |ledger| ledger.away)
    }

    /// Lets the ledger from which all others are carved give out as many pages more, in all and not again, as can be put away.
    pub fn extend_root(&mut self, any: LedgerId, pages: u64) {
        let mut root = any;
        for _ in 0..=MAX_DEPTH {
            match self.arena.get(root).and_then(|ledger| ledger.parent) {
                Some(parent) => root = parent,
                None => break,
            }
        }
        if let Some(root) = self.arena.get_mut(root) {
            let more = pages.saturating_sub(self.extension);
            let limit = &mut root.limit[Resource::Pages as usize];
            *limit = limit.saturating_add(more);
            self.extension += more;
        }
    }

    /// The task is gone. What it still has charged keeps the ledger alive.
    pub fn close(&mut self, id: LedgerId) {
        if let Some(ledger) = self.arena.get_mut(id) {
            ledger.closed = true;
        }
        self.drop_if_done(id);
    }

    /// Lets a dead task's ledger be charged until it is [closed](Self::close) again; `false`: it was open.
    pub fn reopen(&mut self, id: LedgerId) -> bool {
        let ledger = self.arena.get_mut(id);
        ledger.is_some_and(|ledger| core::mem::take(&mut ledger.closed))
    }

    /// Whether the task is gone, so that nothing can be charged any more.
    pub fn is_closed(&self, id: LedgerId) -> bool {
        self.arena.get(id).is_none_or(|ledger| ledger.closed)
    }

    /// How much of a resource is charged, with what is carved for children.
    pub fn used(&self, id: LedgerId, what: Resource) -> u64 {
        self.arena
            .get(id)
            .map_or(0, |ledger| ledger.used[what as usize])
    }

    /// How much of a resource is charged, without what is carved for children.
    pub fn own(&self, id: LedgerId, what: Resource) -> u64 {
        let what = what as usize;
        self.arena
            .get(id)
            .map_or(0, |ledger| ledger.used[what] - ledger.carved[what])
    }

    /// How much of a resource may be charged.
    pub fn limit(&self, id: LedgerId, what: Resource) -> u64 {
        self.arena
            .get(id)
            .map_or(0, |ledger| ledger.limit[what as usize])
    }

    /// All ledgers.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LedgerId> {
        (0..self.arena.end()).filter_map(|index| self.arena.id_at(index))
    }

    /// Whether what is carved from a ledger is what the ledgers below it may use.
    pub(crate) fn carves_what_children_have(&self, id: LedgerId) -> bool {
        let ledgers = self.ids().filter_map(|id| self.arena.get(id));
        let mut limits = [0; RESOURCES];
        for child in ledgers.filter(|ledger| ledger.parent == Some(id)) {
            for (sum, limit) in limits.iter_mut().zip(child.limit) {
                *sum += limit;
            }
        }
        self.arena
            .get(id)
            .is_some_and(|ledger| ledger.carved == limits)
    }

    /// What they take.
    pub fn usage(&self) -> Usage {
        Usage::of("ledgers", &self.arena)
    }

    /// How many ledgers there are.
    pub fn len(&self) -> u32 {
        self.arena.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arena.is_empty()
    }

    /// Removes a closed, empty ledger and gives its limits back to the parent, which may then be done too.
    /// [`MAX_DEPTH`] bounds the steps; a task's creator outlives it as a ledger.
    fn drop_if_done(&mut self, id: LedgerId) {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(ledger) = self.arena.get(id) else {
                return;
            };
            if !ledger.closed || ledger.used.iter().any(|used| *used != 0) {
                return;
            }
            let (limit, parent) = (ledger.limit, ledger.parent);
            self.arena.remove(id);
            if let Some(account) = parent.and_then(|parent| self.arena.get_mut(parent)) {
                for (n, amount) in limit.into_iter().enumerate() {
                    account.used[n] -= amount;
                    account.carved[n] -= amount;
                }
            }
            next = parent;
        }
    }
}

impl Ledger {
    fn new(limit: [u64; RESOURCES], parent: Option<LedgerId>, depth: u32) -> Self {
        Self {
            used: [0; RESOURCES],
            carved: [0; RESOURCES],
            limit,
            away: 0,
            parent,
            depth,
            closed: false,
        }
    }
}

fn amounts(limits: Limits) -> [u64; RESOURCES] {
    [
        limits.names.into(),
        limits.messages.into(),
        limits.threads.into(),
        limits.pages.into(),
        limits.kernel_bytes,
    ]
}

#[cfg(test)]
mod tests {
    use super::{Ledgers, Limits, MAX_DEPTH, Resource};
    use crate::base::Shortage;
    use arena::Region;

    const TEN: Limits = Limits {
        names: 10,
        messages: 10,
        threads: 10,
        pages: 10,
        kernel_bytes: 10,
    };

    #[test]
    fn a_full_ledger_is_an_error_for_its_task_alone() {
        let mut ledgers = Ledgers::new(Region::on_heap(4096));
        let root = ledgers.create_root(Limits { pages: 25, ..TEN }).unwrap();
        let small = Limits {
            pages: 10,
            ..Limits::default()
        };
        let a = ledgers.create_child(root, small).unwrap();
        let b = ledgers.create_child(root, small).unwrap();
        assert_eq!(
            ledgers.create_child(root, small),
            Err(Shortage),
            "5 pages are left"
        );
        ledgers.charge(a, Resource::Pages, 10).unwrap();
        assert_eq!(ledgers.charge(a, Resource::Pages, 1), Err(Shortage));
        ledgers.charge(b, Resource::Pages, 10).unwrap();
        ledgers.charge(root, Resource::Pages, 5).unwrap();
    }

    #[test]
    fn ledgers_are_nested_so_deep_and_no_deeper() {
        let mut ledgers = Ledgers::new(Region::on_heap(1 << 16));
        let mut last = ledgers.create_root(TEN).unwrap();
        for _ in 0..MAX_DEPTH {
            last = ledgers.create_child(last, Limits::default()).unwrap();
        }
        let deeper = ledgers.create_child(last, Limits::default());
        assert_eq!(deeper, Err(Shortage));
    }

    #[test]
    fn limits_return_to_the_creator_when_the_last_charge_is_gone() {
        let mut ledgers = Ledgers::new(Region::on_heap(4096));
        let root = ledgers.create_root(TEN).unwrap();
        let child = ledgers.create_child(root, TEN).unwrap();
        ledgers.charge(child, Resource::Messages, 1).unwrap();
        assert_eq!(ledgers.own(root, Resource::Messages), 0);
        assert_eq!(ledgers.used(root, Resource::Messages), 10);
        ledgers.close(child);
        assert_eq!(
            ledgers.used(root, Resource::Pages),
            10,
            "a message is still in flight"
        );
        assert!(ledgers.is_closed(child) && !ledgers.is_closed(root));
        assert_eq!(ledgers.charge(child, Resource::Messages, 1), Err(Shortage));
        ledgers.release(child, Resource::Messages, 1);
        assert_eq!(ledgers.used(root, Resource::Pages), 0);
        assert_eq!(ledgers.own(root, Resource::Pages), 0);
        assert_eq!(ledgers.len(), 1);
    }
}
