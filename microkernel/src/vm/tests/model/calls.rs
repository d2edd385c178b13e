//! The model's steps that are long calls: wiring, copying, remapping, private copies, zeros.
//!
//! When there is no memory in the middle of one, the model takes over what can be seen of it.

use super::*;
use crate::vm::{Contents, Order, Returns, Sharing};

impl Program {
    pub(super) fn hold(&mut self, map: usize, page: u64, count: u64, access: u32) {
        let (id, range) = (self.ids[map], (at(page), pages(count)));
        let cells = self.cells(map, page, count);
        let mut expected = self.expect(map, page, count, access);
        let held = |cell: &Cell| access > 0 || cell.wires > 0;
        let bare = expected.is_ok() && !cells.iter().flatten().all(held);
        if bare || self.wired(map, page, count) {
            expected = Err(KernReturn::InvalidArgument);
        }
        let before = self.wires_of(map, page, count);
        let got = if access > 0 {
            self.rig.wire(id, range, access)
        } else {
            self.rig.unwire(id, range)
        };
        if got == Err(KernReturn::ResourceShortage) {
            // What was done stays, for the caller to take back.
            for (number, wires) in before.iter().enumerate() {
                let address = at(page + number as u64);
                let now = self.rig.vm.region(id, address).unwrap().wires;
                let done = if access > 0 { wires + 1 } else { wires - 1 };
                assert!(now == *wires || now == done);
                self.maps[map].get_mut(&address).unwrap().wires = now;
            }
            return;
        }
        assert_eq!(got.err(), expected.err());
        if got.is_ok() {
            for page in page..page + count {
                let cell = self.maps[map].get_mut(&at(page)).unwrap();
                cell.wires = if access > 0 {
                    cell.wires + 1
                } else {
                    cell.wires - 1
                };
            }
        }
    }

    fn wires_of(&self, map: usize, page: u64, count: u64) -> Vec<u32> {
        let cells = self.cells(map, page, count);
        cells.iter().flatten().map(|cell| cell.wires).collect()
    }

    pub(super) fn copy(&mut self, from: (usize, u64), to: (usize, u64), count: u64) {
        // Within one memory under two addresses the order would matter.
        let memories = |program: &Self, place: (usize, u64)| -> Vec<usize> {
            let cells = program.cells(place.0, place.1, count);
            cells.iter().flatten().map(|cell| cell.memory).collect()
        };
        let (source, target) = (memories(self, from), memories(self, to));
        let mut all = target.clone();
        all.sort_unstable();
        all.dedup();
        let aliases = all.len() < target.len() || source.iter().any(|one| target.contains(one));
        if aliases && (from.0 != to.0 || source != target) {
            return;
        }
        let (a, b) = ((self.ids[from.0], at(from.1)), (self.ids[to.0], at(to.1)));
        let got = self.rig.copy(a, b, pages(count));
        if got == Err(KernReturn::ResourceShortage) {
            // Some pages may have been written: the model takes what is there.
            for (number, memory) in target.iter().enumerate() {
                let address = at(to.1 + number as u64);
                let value = self.rig.peek(self.ids[to.0], address).unwrap_or(0);
                self.memory[*memory] = value;
            }
            return;
        }
        let expected = self.expect(from.0, from.1, count, protection::READ);
        let expected = expected.and(self.expect(to.0, to.1, count, protection::WRITE));
        assert_eq!(got.err(), expected.err());
        if got.is_ok() {
            let values: Vec<u8> = source.iter().map(|one| self.memory[*one]).collect();
            for (memory, value) in target.into_iter().zip(values) {
                self.memory[memory] = value;
            }
        }
    }

    pub(super) fn remap(&mut self, from: (usize, u64), to: (usize, u64), count: u64, flags: u64) {
        let copies = flags != 0;
        let remap = Remap {
            source: self.ids[from.0],
            source_address: at(from.1),
            size: pages(count),
            address: at(to.1),
            mask: 0,
            flags: map_flags::OVERWRITE | flags,
            inheritance: inherit::COPY,
        };
        let mut expected = self.expect(from.0, from.1, count, 0);
        let overlap = from.0 == to.0 && from.1.abs_diff(to.1) < count;
        let wired = self.wired(to.0, to.1, count) || (!copies && self.wired(from.0, from.1, count));
        if expected.is_ok() && (overlap || wired) {
            expected = Err(KernReturn::InvalidArgument);
        }
        let got = self.rig.remap(self.ids[to.0], &remap);
        if got == Err(KernReturn::ResourceShortage) {
            // It may be too late to find out, and then all of the place is unmapped; or nothing was changed.
            if !self.mapped(to, count) {
                for page in to.1..to.1 + count {
                    self.maps[to.0].remove(&at(page));
                }
            }
            return;
        }
        assert_eq!(got.err(), expected.err());
        if got.is_err() {
            return;
        }
        for number in 0..count {
            let mut cell = self.maps[from.0][&at(from.1 + number)];
            (cell.wired, cell.wires, cell.inheritance) = (false, 0, inherit::COPY);
            if copies {
                cell.memory = self.fresh(self.memory[cell.memory]);
            }
            self.maps[to.0].insert(at(to.1 + number), cell);
        }
    }

    /// Maps a pager's object over what is there, if no buffer is.
    pub(super) fn supply(&mut self, to: (usize, u64), count: u64, first: u64, flags: u64) {
        let Some(pager) = self.pager else { return };
        let request = MapRequest {
            flags: flags | map_flags::OVERWRITE,
            ..self
                .rig
                .request(Source::Pager(pager, pages(first)), to.1, count)
        };
        let got = self.rig.do_map(self.ids[to.0], request);
        if self.wired(to.0, to.1, count) {
            assert_eq!(got, Err(KernReturn::InvalidArgument));
            return;
        }
        assert_eq!(got, Ok(at(to.1)));
        for number in 0..count {
            let page = first + number;
            let known = self.supplied.get(&page).copied();
            let shared = known.unwrap_or_else(|| self.fresh(paged::content(page)));
            self.supplied.insert(page, shared);
            let memory = match flags {
                0 => shared,
                _ => self.fresh(self.memory[shared]),
            };
            let cell = Cell {
                origin: Some(page),
                ..Cell::of(memory)
            };
            self.maps[to.0].insert(at(to.1 + number), cell);
        }
    }

    /// Nobody sees a difference: what goes comes back as it was.
    pub(super) fn order(&mut self, range: (u64, u64), flush: Flush) {
        let order = Order {
            returns: Returns::Nothing,
            flush,
            lock: None,
        };
        if let Some(pager) = self.pager {
            self.rig.order(pager, range, &order);
        }
    }

    /// Whether anything is mapped in a range.
    fn mapped(&self, (map, page): (usize, u64), count: u64) -> bool {
        let region = self.rig.vm.region(self.ids[map], at(page));
        region.is_ok_and(|region| region.start < at(page + count))
    }

    pub(super) fn own(&mut self, map: usize, page: u64, count: u64) {
        let (id, range) = (self.ids[map], (at(page), pages(count)));
        let rights = RW | protection::COPY;
        let got = self
            .rig
            .finish(|vm, context| vm.protect(context, id, range, Which::Current, rights));
        let mut expected = self.expect(map, page, count, 0);
        let beyond = |cell: &Cell| RW & !(cell.maximum | protection::WRITE) != 0;
        if expected.is_ok() && self.cells(map, page, count).iter().flatten().any(beyond) {
            expected = Err(KernReturn::ProtectionFailure);
        } else if expected.is_ok() && self.wired(map, page, count) {
            expected = Err(KernReturn::InvalidArgument);
        }
        if got == Err(KernReturn::ResourceShortage) {
            // Some of it may be private already, with what it showed: as it is, nobody can tell but by writing.
            for page in page..page + count {
                let region = self.rig.vm.region(id, at(page)).unwrap();
                let private = region.sharing != Sharing::Shared;
                let cell = self.maps[map][&at(page)];
                if private && self.is_shared(cell.memory) {
                    let memory = self.fresh(self.memory[cell.memory]);
                    self.maps[map].get_mut(&at(page)).unwrap().memory = memory;
                }
            }
            return;
        }
        assert_eq!(got.err(), expected.err());
        if got.is_ok() {
            for page in page..page + count {
                let cell = self.maps[map][&at(page)];
                let memory = self.fresh(self.memory[cell.memory]);
                let cell = self.maps[map].get_mut(&at(page)).unwrap();
                cell.memory = memory;
                cell.rights = RW;
                cell.maximum |= protection::WRITE;
            }
        }
    }

    fn is_shared(&self, memory: usize) -> bool {
        let cells = self.maps.iter().flat_map(BTreeMap::values);
        cells.filter(|cell| cell.memory == memory).count() > 1
    }

    pub(super) fn zero(&mut self, map: usize, page: u64, count: u64) {
        let (id, range) = (self.ids[map], (at(page), pages(count)));
        let got = self
            .rig
            .advance((0, range.0 + range.1), |vm, context, from| {
                vm.discard_step(context, id, range, Contents::Zeros, from)
            });
        let expected = self.expect(map, page, count, protection::WRITE);
        if got == Err(KernReturn::ResourceShortage) {
            for cell in self.cells(map, page, count).into_iter().flatten() {
                // As far as it got: the model takes what is there.
                let address = self.maps[map]
                    .iter()
                    .find(|other| other.1.memory == cell.memory);
                let address = *address.unwrap().0;
                let shown = self.rig.vm.shown(id, address);
                let value = shown.map_or(0, |(page, _)| self.rig.machine.page(page)[0]);
                assert!(value == 0 || value == self.memory[cell.memory]);
                self.memory[cell.memory] = value;
            }
            return;
        }
        assert_eq!(got.err(), expected.err());
        if got.is_ok() {
            for cell in self.cells(map, page, count).into_iter().flatten() {
                self.memory[cell.memory] = 0;
                // It shows zeros whether a page is there or not.
                let cells = self.maps.iter_mut().flat_map(BTreeMap::values_mut);
                for other in cells.filter(|other| other.memory == cell.memory) {
                    other.origin = None;
                }
            }
        }
    }
}
