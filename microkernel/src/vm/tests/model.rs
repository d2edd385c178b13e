//! Random programs against a model that knows nothing of objects: per map and page a cell of memory and its rights.

mod calls;

use std::collections::BTreeMap;
use std::vec;

use proptest::prelude::*;

use abi::vm::{MIN_ADDRESS, copy_strategy, map_flags};

use super::*;
use crate::vm::{After, Flush, Which};

/// Maps of a program.
const MAPS: usize = 3;
/// Pages of each map that a program names. Copies arrive elsewhere, too.
const WINDOW: u64 = 12;

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        map: usize,
        page: u64,
        count: u64,
    },
    Deallocate {
        map: usize,
        page: u64,
        count: u64,
    },
    Protect {
        map: usize,
        page: u64,
        count: u64,
        rights: u32,
    },
    Inherit {
        map: usize,
        page: u64,
        count: u64,
        how: u32,
    },
    Store {
        map: usize,
        page: u64,
        value: u8,
    },
    Write {
        map: usize,
        page: u64,
        value: u8,
    },
    Load {
        map: usize,
        page: u64,
    },
    Send {
        from: usize,
        to: usize,
        page: u64,
        count: u64,
        leaves: bool,
    },
    Share {
        from: usize,
        to: usize,
        page: u64,
        count: u64,
    },
    Fork {
        from: usize,
        to: usize,
    },
    Wire {
        map: usize,
        page: u64,
        count: u64,
    },
    Unwire,
    /// `vm_wire`, or with no access its opposite.
    Hold {
        map: usize,
        page: u64,
        count: u64,
        access: u32,
    },
    /// `vm_copy` from one map to another, each with an offset in its page.
    Copy {
        from: (usize, u64),
        to: (usize, u64),
        count: u64,
    },
    /// `vm_remap` over what is there.
    Remap {
        from: (usize, u64),
        to: (usize, u64),
        count: u64,
        /// Nothing, or `COPY`.
        flags: u64,
    },
    /// `vm_protect` with `COPY`.
    Own {
        map: usize,
        page: u64,
        count: u64,
    },
    /// `vm_behavior_set` with `ZERO`.
    Zero {
        map: usize,
        page: u64,
        count: u64,
    },
    /// `vm_map` of a pager's object from a page on, shared or as a copy.
    Supply {
        map: usize,
        page: u64,
        count: u64,
        first: u64,
        flags: u64,
    },
    /// The pager's pages are unmapped, or the clean ones go.
    Order {
        range: (u64, u64),
        flush: Flush,
    },
    /// Memory is short for so many steps of page-out.
    Press(u32),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let map = 0..MAPS;
    let part = (0..MAPS, 0..WINDOW, 1..6u64);
    let place = (0..MAPS, 0..WINDOW);
    // More pages than are copied at once.
    let long = (0..MAPS, 0..WINDOW, 1..10u64);
    prop_oneof![
        4 => part.clone().prop_map(|(map, page, count)| Step::Allocate { map, page, count }),
        3 => part.clone().prop_map(|(map, page, count)| Step::Deallocate { map, page, count }),
        2 => (part.clone(), prop::sample::select(vec![0, 1, RW, RX]))
            .prop_map(|((map, page, count), rights)| Step::Protect { map, page, count, rights }),
        2 => (part.clone(), 0..3u32)
            .prop_map(|((map, page, count), how)| Step::Inherit { map, page, count, how }),
        8 => (map.clone(), 0..WINDOW, any::<u8>())
            .prop_map(|(map, page, value)| Step::Store { map, page, value }),
        4 => (map.clone(), 0..WINDOW, any::<u8>())
            .prop_map(|(map, page, value)| Step::Write { map, page, value }),
        4 => (map.clone(), 0..WINDOW).prop_map(|(map, page)| Step::Load { map, page }),
        5 => (long, map.clone(), any::<bool>()).prop_map(|((from, page, count), to, leaves)| {
            Step::Send { from, to, page, count, leaves }
        }),
        2 => (part.clone(), map.clone())
            .prop_map(|((from, page, count), to)| Step::Share { from, to, page, count }),
        4 => (map.clone(), map).prop_map(|(from, to)| Step::Fork { from, to }),
        1 => part.clone().prop_map(|(map, page, count)| Step::Wire { map, page, count }),
        1 => Just(Step::Unwire),
        2 => (part.clone(), prop::sample::select(vec![0, 1, RW]))
            .prop_map(|((map, page, count), access)| Step::Hold { map, page, count, access }),
        3 => (place.clone(), place.clone(), 1..6u64)
            .prop_map(|(from, to, count)| Step::Copy { from, to, count }),
        3 => (place.clone(), place, 1..6u64, prop::sample::select(vec![0, map_flags::COPY]))
            .prop_map(|(from, to, count, flags)| Step::Remap { from, to, count, flags }),
        2 => part.clone().prop_map(|(map, page, count)| Step::Own { map, page, count }),
        1 => part.clone().prop_map(|(map, page, count)| Step::Zero { map, page, count }),
        4 => (part, 0..WINDOW, prop::sample::select(vec![0, map_flags::COPY])).prop_map(
            |((map, page, count), first, flags)| Step::Supply { map, page, count, first, flags }
        ),
        2 => (0..WINDOW, 1..6u64, prop::sample::select(vec![Flush::Unmap, Flush::Clean]))
            .prop_map(|(first, count, flush)| Step::Order { range: (first, count), flush }),
        8 => (1..40u32).prop_map(Step::Press),
        1 => Just(Step::Settle),
    ]
}

#[derive(Clone, Copy)]
struct Cell {
    /// Which memory: those that share it have the same.
    memory: usize,
    rights: u32,
    inheritance: u32,
    wired: bool,
    /// The page of the pager's object that it showed first, if it shows one or a copy of one.
    origin: Option<u64>,
    /// How often it is held.
    wires: u32,
    maximum: u32,
}

struct Program {
    rig: Rig,
    ids: [MapId; MAPS],
    maps: [BTreeMap<u64, Cell>; MAPS],
    memory: Vec<u8>,
    buffers: Vec<(crate::vm::BufferId, usize, u64, u64)>,
    pager: Option<crate::vm::PagerId>,
    /// The pages of its object, as they were touched or mapped.
    supplied: BTreeMap<u64, usize>,
}

impl Program {
    fn new(frames: u32, strategy: u32) -> Self {
        let mut rig = Rig::with_pages(frames);
        let ids = [rig.map(), rig.map(), rig.map()];
        // A nearly full machine fails the pager, too, and with it all its clients.
        let pager = (frames > 100).then(|| {
            rig.begin_store(1000);
            rig.pager(strategy)
        });
        Self {
            rig,
            ids,
            maps: Default::default(),
            memory: Vec::new(),
            buffers: Vec::new(),
            pager,
            supplied: BTreeMap::new(),
        }
    }

    fn fresh(&mut self, value: u8) -> usize {
        self.memory.push(value);
        self.memory.len() - 1
    }

    fn cells(&self, map: usize, page: u64, count: u64) -> Vec<Option<Cell>> {
        (page..page + count)
            .map(|page| self.maps[map].get(&at(page)).copied())
            .collect()
    }

    /// What a call that needs a right in all of a range answers.
    fn expect(&self, map: usize, page: u64, count: u64, right: u32) -> KernResult<()> {
        let cells = self.cells(map, page, count);
        if cells.iter().any(Option::is_none) {
            return Err(KernReturn::InvalidAddress);
        }
        if cells
            .iter()
            .flatten()
            .any(|cell| cell.rights & right != right)
        {
            return Err(KernReturn::ProtectionFailure);
        }
        Ok(())
    }

    fn wired(&self, map: usize, page: u64, count: u64) -> bool {
        self.cells(map, page, count)
            .iter()
            .flatten()
            .any(|cell| cell.wired)
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Allocate { map, page, count } => self.allocate(map, page, count),
            Step::Deallocate { map, page, count } => self.deallocate(map, page, count),
            Step::Protect {
                map,
                page,
                count,
                rights,
            } => self.protect(map, page, count, rights),
            Step::Inherit {
                map,
                page,
                count,
                how,
            } => self.inherit(map, page, count, how),
            Step::Store { map, page, value } => self.store(map, page, value),
            Step::Write { map, page, value } => self.write(map, page, value),
            Step::Load { map, page } => self.load(map, page),
            Step::Send {
                from,
                to,
                page,
                count,
                leaves,
            } => {
                let after = if leaves {
                    After::Deallocate
                } else {
                    After::Keep
                };
                self.send((from, to), page, count, after);
            }
            Step::Share {
                from,
                to,
                page,
                count,
            } => self.share((from, to), page, count),
            Step::Fork { from, to } => self.fork(from, to),
            Step::Wire { map, page, count } => self.wire(map, page, count),
            Step::Unwire => self.unwire(),
            Step::Hold {
                map,
                page,
                count,
                access,
            } => self.hold(map, page, count, access),
            Step::Copy { from, to, count } => self.copy(from, to, count),
            Step::Remap {
                from,
                to,
                count,
                flags,
            } => self.remap(from, to, count, flags),
            Step::Own { map, page, count } => self.own(map, page, count),
            Step::Zero { map, page, count } => self.zero(map, page, count),
            Step::Supply {
                map,
                page,
                count,
                first,
                flags,
            } => self.supply((map, page), count, first, flags),
            Step::Order { range, flush } => self.order(range, flush),
            Step::Press(steps) => self.rig.press(steps),
            Step::Settle => self.rig.settle(),
        }
        self.compare();
    }

    /// Every page of every map is where, what and as the model says; looking changes nothing.
    fn compare(&mut self) {
        self.rig.verify();
        for (map, id) in self.ids.into_iter().enumerate() {
            let mut total = 0;
            let mut from = 0;
            while let Ok(region) = self.rig.vm.region(id, from) {
                total += region.size / PAGE_SIZE;
                from = region.start + region.size;
            }
            assert_eq!(total, self.maps[map].len() as u64, "pages of map {map}");
            for (address, cell) in &self.maps[map] {
                let region = self.rig.vm.region(id, *address).unwrap();
                assert!(
                    region.start <= *address,
                    "{address:#x} is missing in map {map}"
                );
                assert_eq!(region.protection, cell.rights, "{address:#x} of map {map}");
                assert_eq!(region.maximum, cell.maximum, "{address:#x} of map {map}");
                assert_eq!(
                    region.inheritance, cell.inheritance,
                    "{address:#x} of map {map}"
                );
                assert_eq!(region.wired, cell.wired, "{address:#x} of map {map}");
                assert_eq!(region.wires, cell.wires, "{address:#x} of map {map}");
                let shown = self.rig.peek(id, *address);
                let first = cell.origin.map_or(0, paged::content);
                let value = shown.unwrap_or(first);
                assert_eq!(value, self.memory[cell.memory], "{address:#x} of map {map}");
            }
        }
    }

    fn allocate(&mut self, map: usize, page: u64, count: u64) {
        let id = self.ids[map];
        let got = self.rig.with(|vm, context| {
            allocate_now(vm, context, id, (at(page), pages(count)), flags::FIXED)
        });
        if self.cells(map, page, count).iter().any(Option::is_some) {
            assert_eq!(got, Err(KernReturn::NoSpace));
            return;
        }
        assert_eq!(got, Ok(at(page)));
        for page in page..page + count {
            let memory = self.fresh(0);
            self.maps[map].insert(at(page), Cell::of(memory));
        }
    }

    fn deallocate(&mut self, map: usize, page: u64, count: u64) {
        let got = self.rig.deallocate(self.ids[map], page, count);
        if self.wired(map, page, count) {
            assert_eq!(got, Err(KernReturn::InvalidArgument));
            return;
        }
        got.unwrap();
        for page in page..page + count {
            self.maps[map].remove(&at(page));
        }
    }

    fn protect(&mut self, map: usize, page: u64, count: u64, rights: u32) {
        let (id, range) = (self.ids[map], (at(page), pages(count)));
        let got = self
            .rig
            .finish(|vm, context| vm.protect(context, id, range, Which::Current, rights));
        let mut expected = self.expect(map, page, count, 0);
        let cells = self.cells(map, page, count);
        if expected.is_ok()
            && cells
                .iter()
                .flatten()
                .any(|cell| rights & !cell.maximum != 0)
        {
            expected = Err(KernReturn::ProtectionFailure);
        } else if expected.is_ok() && self.wired(map, page, count) {
            expected = Err(KernReturn::InvalidArgument);
        }
        if expected.is_err() {
            assert_eq!(got.err(), expected.err());
            return;
        }
        got.unwrap();
        for page in page..page + count {
            self.maps[map].get_mut(&at(page)).unwrap().rights = rights;
        }
    }

    fn inherit(&mut self, map: usize, page: u64, count: u64, how: u32) {
        let (id, range) = (self.ids[map], (at(page), pages(count)));
        let got = self
            .rig
            .finish(|vm, context| vm.inherit(context, id, range, how));
        let expected = self.expect(map, page, count, 0);
        if expected.is_err() || self.wired(map, page, count) {
            assert_eq!(
                got.err(),
                expected.err().or(Some(KernReturn::InvalidArgument))
            );
            return;
        }
        got.unwrap();
        for page in page..page + count {
            self.maps[map].get_mut(&at(page)).unwrap().inheritance = how;
        }
    }

    fn store(&mut self, map: usize, page: u64, value: u8) {
        let got = self.rig.store(self.ids[map], page, value);
        self.stored(got, map, page, value);
    }

    fn write(&mut self, map: usize, page: u64, value: u8) {
        let id = self.ids[map];
        let got = self
            .rig
            .attempt(|vm, context| vm.write_bytes(context, id, at(page), &[value]));
        self.stored(got, map, page, value);
    }

    fn stored(&mut self, got: KernResult<()>, map: usize, page: u64, value: u8) {
        if got == Err(KernReturn::ResourceShortage) {
            return;
        }
        assert_eq!(got, self.expect(map, page, 1, protection::WRITE));
        if got.is_ok() {
            let cell = self.maps[map][&at(page)];
            self.memory[cell.memory] = value;
        }
    }

    fn load(&mut self, map: usize, page: u64) {
        let got = self.rig.load(self.ids[map], page);
        if got == Err(KernReturn::ResourceShortage) {
            return;
        }
        let expected = self.expect(map, page, 1, protection::READ);
        let value = expected.map(|()| self.memory[self.maps[map][&at(page)].memory]);
        assert_eq!(got, value);
    }

    fn send(&mut self, (from, to): (usize, usize), page: u64, count: u64, after: After) {
        let (id, range) = (self.ids[from], (at(page), pages(count)));
        let got = self.rig.copy_out(id, range, after);
        if got == Err(KernReturn::ResourceShortage) {
            return;
        }
        let mut expected = self.expect(from, page, count, protection::READ);
        if expected.is_ok() && after == After::Deallocate && self.wired(from, page, count) {
            expected = Err(KernReturn::InvalidArgument);
        }
        assert_eq!(got.err(), expected.err());
        let Ok(copy) = got else { return };
        let values: Vec<(u8, Option<u64>)> = self
            .cells(from, page, count)
            .iter()
            .flatten()
            .map(|cell| (self.memory[cell.memory], cell.origin))
            .collect();
        if after == After::Deallocate {
            for page in page..page + count {
                self.maps[from].remove(&at(page));
            }
        }
        let id = self.ids[to];
        let Ok(address) = self.rig.with(|vm, context| vm.copy_in(context, id, copy)) else {
            self.rig.discard(copy);
            return;
        };
        assert_eq!(address, self.lowest_hole(to, count), "not the first fit");
        for (number, (value, origin)) in values.into_iter().enumerate() {
            let memory = self.fresh(value);
            let cell = Cell {
                origin,
                ..Cell::of(memory)
            };
            let old = self.maps[to].insert(address + pages(number as u64), cell);
            assert!(old.is_none(), "memory arrived where memory was");
        }
    }

    /// The lowest address at which that many pages are free.
    fn lowest_hole(&self, map: usize, count: u64) -> u64 {
        self.maps[map].keys().fold(MIN_ADDRESS, |lowest, taken| {
            if lowest + pages(count) <= *taken {
                lowest
            } else {
                taken + pages(1)
            }
        })
    }

    fn share(&mut self, (from, to): (usize, usize), page: u64, count: u64) {
        let (id, range) = (self.ids[from], (at(page), pages(count)));
        let Ok(entry) = self.rig.make_entry(id, range, RW) else {
            return;
        };
        let request = MapRequest {
            flags: flags::ANYWHERE,
            ..self.rig.request(Source::Entry(entry, 0), 0, count)
        };
        let id = self.ids[to];
        let got = self.rig.do_map(id, request);
        self.rig
            .with(|vm, context| vm.release_memory_entry(context, entry));
        let Ok(address) = got else { return };
        for number in 0..count {
            let mut cell = self.maps[from][&at(page + number)];
            cell.rights = RW;
            cell.maximum = RW;
            cell.wired = false;
            cell.wires = 0;
            cell.inheritance = inherit::COPY;
            self.maps[to].insert(address + pages(number), cell);
        }
    }

    /// The map `to` dies, and its place takes a child of `from`.
    fn fork(&mut self, from: usize, to: usize) {
        let account = self.rig.account(4096);
        let parent = self.ids[from];
        let child = self
            .rig
            .with(|vm, context| vm.fork_map(context, parent, account))
            .unwrap();
        self.rig.maps.push(child);
        let got = self.rig.finish(|vm, context| vm.fork_step(context, child));
        if let Err(error) = got {
            assert_eq!(error, KernReturn::ResourceShortage);
            self.rig.destroy(child);
            return;
        }
        let mut inherited = BTreeMap::new();
        for (address, mut cell) in self.maps[from].clone() {
            let wired = core::mem::take(&mut cell.wired);
            cell.wires = 0;
            match cell.inheritance {
                inherit::NONE => continue,
                inherit::SHARE if !wired => {}
                _ => {
                    cell.memory = self.fresh(self.memory[cell.memory]);
                }
            }
            inherited.insert(address, cell);
        }
        let old = core::mem::replace(&mut self.ids[to], child);
        self.rig.destroy(old);
        self.maps[to] = inherited;
        // Buffers of the dead map are dropped by their threads, here after it.
        let (dead, alive) = self.buffers.drain(..).partition(|buffer| buffer.1 == to);
        self.buffers = alive;
        let dead: Vec<_> = dead;
        for (buffer, ..) in dead {
            self.rig
                .with(|vm, context| vm.unwire_buffer(context, buffer));
        }
    }

    fn wire(&mut self, map: usize, page: u64, count: u64) {
        let id = self.ids[map];
        let got = self
            .rig
            .with(|vm, context| vm.wire_buffer(context, id, at(page), pages(count)));
        let Ok(buffer) = got else {
            // It may be refused for more reasons than the model knows; then nothing changed.
            return;
        };
        assert_eq!(self.expect(map, page, count, RW), Ok(()));
        assert!(count >= 2 && !self.wired(map, page, count));
        for page in page..page + count {
            self.maps[map].get_mut(&at(page)).unwrap().wired = true;
        }
        self.buffers.push((buffer, map, page, count));
    }

    fn unwire(&mut self) {
        let Some((buffer, map, page, count)) = self.buffers.pop() else {
            return;
        };
        self.rig
            .with(|vm, context| vm.unwire_buffer(context, buffer));
        for page in page..page + count {
            self.maps[map].get_mut(&at(page)).unwrap().wired = false;
        }
    }

    fn end(mut self) {
        while !self.buffers.is_empty() {
            self.unwire();
        }
        self.rig.assert_empty();
    }
}

impl Cell {
    fn of(memory: usize) -> Self {
        Self {
            memory,
            rights: RW,
            inheritance: inherit::COPY,
            wired: false,
            origin: None,
            wires: 0,
            maximum: protection::ALL,
        }
    }
}

fn play(steps: &[Step], frames: u32, strategy: u32) {
    let mut program = Program::new(frames, strategy);
    for step in steps {
        program.run(step);
    }
    program.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    // covers: V-01 V-02 V-03 V-04 V-05 V-06 V-07 V-09 V-10 V-11 V-12 V-15 M-23
    #[test]
    fn random_programs_agree_with_the_model(
        steps in prop::collection::vec(step(), 1..90),
        strategy in prop::sample::select(vec![copy_strategy::DELAY, copy_strategy::NONE]),
    ) {
        play(&steps, 4096, strategy);
    }

    #[test]
    fn random_programs_survive_a_machine_that_is_nearly_full(steps in prop::collection::vec(step(), 1..90)) {
        play(&steps, 9, copy_strategy::DELAY);
    }
}

#[test]
fn memory_that_is_shared_already_is_not_copied_to_be_shared_with_its_neighbour() {
    let share = |page, count| Step::Share {
        from: 1,
        to: 0,
        page,
        count,
    };
    let steps = [
        Step::Allocate {
            map: 1,
            page: 3,
            count: 5,
        },
        Step::Write {
            map: 1,
            page: 3,
            value: 0,
        },
        share(4, 4),
        share(3, 5),
        Step::Store {
            map: 0,
            page: 0,
            value: 1,
        },
    ];
    play(&steps, 9, copy_strategy::DELAY);
}
