//! Address spaces and the translation caches (TLBs) of the CPUs.
//!
//! A CPU caches what hardware may cache: every mapping of the space that it runs, from the moment it
//! is there. A cached entry outlives `unmap` and `protect` until a flush; [`Spaces::check`] then finds
//! every entry that says more than the tables do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use abi::PAGE_SIZE;
use abi::vm::{LARGE_PAGE_SIZE, protection};
use microkernel::machine::{Access, Cpu, Page, Root};

/// Where an address leads, and what may be done there.
pub type Mapping = (Page, u32);

/// One address space.
#[derive(Default)]
pub struct Space {
    mappings: BTreeMap<u64, Mapping>,
    /// Pages that hold its tables, by level and by the address bits that choose them.
    tables: BTreeMap<(u32, u64), Page>,
    /// Where large pages lie that no part of was changed.
    large: BTreeSet<u64>,
    /// Tables that were set aside.
    detached: Vec<Page>,
}

/// All of them.
pub struct Spaces {
    spaces: BTreeMap<u64, Space>,
    next_root: u64,
    /// By CPU: the space that it has loaded, and what it has cached of every space.
    loaded: Vec<Option<Root>>,
    cached: Vec<BTreeMap<(u64, u64), Mapping>>,
    /// Whether a mapping was taken away or replaced since the last check.
    reduced: bool,
    /// The spaces that were flushed since the last call of [`Spaces::ask`].
    flushed: BTreeSet<u64>,
}

impl Spaces {
    /// No spaces, and this many CPUs.
    pub fn new(cpus: u32) -> Self {
        Self {
            spaces: BTreeMap::new(),
            next_root: 0x1000,
            loaded: (0..cpus).map(|_| None).collect(),
            cached: (0..cpus).map(|_| BTreeMap::new()).collect(),
            reduced: false,
            flushed: BTreeSet::new(),
        }
    }

    /// An empty space whose topmost table is `table`.
    pub fn create(&mut self, table: Page) -> Root {
        // A root never comes back, so that use of one that is gone shows.
        let root = Root(self.next_root);
        self.next_root += 1;
        let mut space = Space::default();
        space.tables.insert((4, 0), table);
        self.spaces.insert(root.0, space);
        root
    }

    /// Takes up to 64 tables out; `None` after the last: the space is gone.
    pub fn dismantle(&mut self, root: Root) -> Option<Vec<Page>> {
        let space = self.spaces.get_mut(&root.0)?;
        space.mappings.clear();
        for cached in &mut self.cached {
            cached.retain(|(of, _), _| *of != root.0);
        }
        if !space.detached.is_empty() {
            return Some(std::mem::take(&mut space.detached));
        }
        let keys: Vec<_> = space.tables.keys().take(64).copied().collect();
        if keys.is_empty() {
            self.spaces.remove(&root.0);
            return None;
        }
        Some(
            keys.iter()
                .filter_map(|key| space.tables.remove(key))
                .collect(),
        )
    }

    /// Whether the space exists.
    pub fn exists(&self, root: Root) -> bool {
        self.spaces.contains_key(&root.0)
    }

    /// How many spaces there are.
    pub fn len(&self) -> usize {
        self.spaces.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spaces.is_empty()
    }

    /// The tables that a mapping at `address` needs and that are not there.
    pub fn missing_tables(&self, root: Root, address: u64) -> Vec<(u32, u64)> {
        let space = self.space(root);
        (1..4)
            .map(|level| (level, address >> (12 + 9 * level)))
            .filter(|key| !space.tables.contains_key(key))
            .collect()
    }

    /// The table that maps the page at an address, or would if a large page there were split.
    pub fn lowest_table(&self, root: Root, address: u64) -> Option<Page> {
        self.space(root).tables.get(&lowest(address)).copied()
    }

    /// How many large pages a space maps.
    pub fn large_pages(&self, root: Root) -> u64 {
        self.space(root).large.len() as u64
    }

    /// Whether a large page lies at an address.
    pub fn is_large(&self, root: Root, address: u64) -> bool {
        let large = &self.space(root).large;
        large.contains(&(address - address % LARGE_PAGE_SIZE))
    }

    /// The pages at an address are mapped as a large one.
    pub fn set_large(&mut self, root: Root, address: u64) {
        self.space_mut(root).large.insert(address);
    }

    /// Those of which a range has a part only are large no more.
    fn split(&mut self, root: Root, range: &Range<u64>) {
        let touched = |large: u64| large < range.end && range.start < large + LARGE_PAGE_SIZE;
        let whole = |large: u64| range.start <= large && large + LARGE_PAGE_SIZE <= range.end;
        self.space_mut(root)
            .large
            .retain(|large| !touched(*large) || whole(*large));
    }

    /// Adds a table.
    pub fn add_table(&mut self, root: Root, key: (u32, u64), page: Page) {
        self.space_mut(root).tables.insert(key, page);
    }

    /// How many tables a space has.
    pub fn tables(&self, root: Root) -> u64 {
        let space = self.space(root);
        (space.tables.len() + space.detached.len()) as u64
    }

    /// Sets a mapping. CPUs that run the space may cache it at once.
    pub fn map(&mut self, root: Root, address: u64, mapping: Mapping) {
        self.split(root, &(address..address + PAGE_SIZE));
        let old = self.space_mut(root).mappings.insert(address, mapping);
        self.reduced |= old.is_some();
        for (loaded, cached) in self.loaded.iter().zip(&mut self.cached) {
            if *loaded == Some(root) {
                cached.entry((root.0, address)).or_insert(mapping);
            }
        }
    }

    /// Removes mappings; caches keep them.
    pub fn unmap(&mut self, root: Root, range: Range<u64>) {
        self.reduced = true;
        let space = self.space_mut(root);
        let touched = |large: u64| large < range.end && range.start < large + LARGE_PAGE_SIZE;
        space.large.retain(|large| !touched(*large));
        space.mappings.retain(|address, _| !range.contains(address));
    }

    /// Removes mappings, and sets the tables aside that have no others, with one more; caches keep what they have.
    pub fn detach(&mut self, root: Root, range: &Range<u64>, table: Page) {
        self.unmap(root, range.clone());
        let space = self.space_mut(root);
        let gone = space.tables.extract_if(.., |(level, number), _| {
            let shift = 12 + 9 * *level;
            *level < 4 && *number << shift >= range.start && (*number + 1) << shift <= range.end
        });
        space.detached.extend(gone.map(|(_, page)| page));
        space.detached.push(table);
    }

    /// Takes a few of the tables out that were set aside.
    pub fn take_detached(&mut self, root: Root) -> Vec<Page> {
        let detached = &mut self.space_mut(root).detached;
        detached.split_off(detached.len().saturating_sub(2))
    }

    /// Takes rights away; caches keep them.
    pub fn protect(&mut self, root: Root, range: Range<u64>, allowed: u32) {
        self.reduced = true;
        self.split(root, &range);
        for (_, (_, protection)) in self.space_mut(root).mappings.range_mut(range) {
            *protection &= allowed;
        }
    }

    /// Makes every CPU forget a range.
    pub fn flush(&mut self, root: Root, range: &Range<u64>) {
        self.flushed.insert(root.0);
        for cached in &mut self.cached {
            cached.retain(|(of, address), _| *of != root.0 || !range.contains(address));
        }
    }

    /// How many other CPUs one that leaves the kernel has to interrupt for what was flushed: those that have loaded a
    /// space that was, each once.
    pub fn ask(&mut self, by: Cpu) -> u64 {
        let flushed = std::mem::take(&mut self.flushed);
        let others = (0..).zip(&self.loaded).filter(|(cpu, _)| Cpu(*cpu) != by);
        others
            .filter(|(_, root)| root.is_some_and(|root| flushed.contains(&root.0)))
            .count() as u64
    }

    /// A CPU loads a space, and caches all of it.
    pub fn load(&mut self, cpu: Cpu, root: Option<Root>) {
        let cpu = cpu.0 as usize;
        if self.loaded[cpu] == root {
            return;
        }
        self.loaded[cpu] = root;
        if let Some(root) = root {
            let mappings = &self.spaces[&root.0].mappings;
            let entries = mappings
                .iter()
                .map(|(address, mapping)| ((root.0, *address), *mapping));
            self.cached[cpu].extend(entries);
        }
    }

    /// Where an access of a CPU leads; `None` is a page fault, after which the CPU has forgotten the
    /// entry that forbade it, as hardware does.
    pub fn translate(&mut self, cpu: Cpu, address: u64, access: Access) -> Option<Page> {
        let root = self.loaded[cpu.0 as usize]?;
        let address = address - address % PAGE_SIZE;
        let cached = &mut self.cached[cpu.0 as usize];
        let found = cached.get(&(root.0, address)).copied();
        let (page, allowed) = match found {
            Some(mapping) => mapping,
            None => {
                let mapping = *self.spaces[&root.0].mappings.get(&address)?;
                cached.insert((root.0, address), mapping);
                mapping
            }
        };
        if allowed & needed(access) != 0 {
            return Some(page);
        }
        cached.remove(&(root.0, address));
        None
    }

    /// The mapping that the tables hold.
    pub fn lookup(&self, root: Root, address: u64) -> Option<Mapping> {
        self.spaces
            .get(&root.0)?
            .mappings
            .get(&(address - address % PAGE_SIZE))
            .copied()
    }

    /// Checks that no CPU may use what the tables do not allow (any more).
    ///
    /// # Panics
    /// With the CPU and the mapping, when one may: the kernel returned without a flush.
    pub fn check(&mut self) {
        if !std::mem::take(&mut self.reduced) {
            return;
        }
        for (cpu, cached) in self.cached.iter().enumerate() {
            for ((root, address), (page, allowed)) in cached {
                let table = self
                    .spaces
                    .get(root)
                    .and_then(|space| space.mappings.get(address));
                let stale = table.is_none_or(|(is, may)| is != page || allowed & !may != 0);
                assert!(
                    !stale,
                    "CPU {cpu} still maps {address:#x} of space {root:#x} to {page:?} with rights \
                     {allowed}; the tables say {table:?}: a flush is missing"
                );
            }
        }
    }

    /// What a CPU can reach: address and page of every mapping of the space that it has loaded.
    pub fn reachable(&self, cpu: Cpu) -> impl Iterator<Item = (u64, Page)> + '_ {
        let space = self.loaded[cpu.0 as usize].and_then(|root| self.spaces.get(&root.0));
        space.into_iter().flat_map(|space| {
            space
                .mappings
                .iter()
                .map(|(address, (page, _))| (*address, *page))
        })
    }

    fn space(&self, root: Root) -> &Space {
        match self.spaces.get(&root.0) {
            Some(space) => space,
            None => panic!("{root:?} is no address space"),
        }
    }

    fn space_mut(&mut self, root: Root) -> &mut Space {
        match self.spaces.get_mut(&root.0) {
            Some(space) => space,
            None => panic!("{root:?} is no address space"),
        }
    }
}

/// The key of the table that maps the page at an address.
pub(super) fn lowest(address: u64) -> (u32, u64) {
    (1, address / LARGE_PAGE_SIZE)
}

fn needed(access: Access) -> u32 {
    match access {
        // Whatever x86 maps at all can be read.
        Access::Read => protection::ALL,
        Access::Write => protection::WRITE,
        Access::Execute => protection::EXECUTE,
    }
}
