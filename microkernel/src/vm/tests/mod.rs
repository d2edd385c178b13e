//! Tests of the layer on a machine of memory alone.

mod calls;
mod copies;
mod faults;
mod large;
mod leaving;
mod model;
mod orders;
mod paged;
mod ranges;
mod replaced;
mod sharing;
mod wired;

use std::vec::Vec;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::task::Limits;
use abi::vm::{flags, inherit, protection};
use arena::Region;

use super::test_machine::TestMachine;
use super::{
    After, Context, CopyId, MapId, MapRequest, MemoryEntryId, Progress, Remap, STALLED, STEP,
    Source, Vm,
};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Ledgers, Resource};
use crate::machine::{Access, Page};

const RW: u32 = protection::READ | protection::WRITE;
const RX: u32 = protection::READ | protection::EXECUTE;
const BASE: u64 = 0x10_0000;

/// The layer, its machine and ledgers.
struct Rig {
    vm: Vm,
    machine: TestMachine,
    ledgers: Ledgers,
    root: LedgerId,
    accounts: Vec<LedgerId>,
    maps: Vec<MapId>,
    /// Objects whose pages the test supplies, each with a map that keeps it.
    pagers: Vec<(super::PagerId, MapId)>,
    /// What the test keeps as the default pager, if it is that.
    store: Option<leaving::Store>,
}

/// A page's address.
fn at(page: u64) -> u64 {
    BASE + page * PAGE_SIZE
}

/// Bytes in pages.
fn pages(count: u64) -> u64 {
    count * PAGE_SIZE
}

/// Allocates what takes no steps.
fn allocate_now(
    vm: &mut Vm,
    context: &mut Context<'_, TestMachine>,
    map: MapId,
    range: (u64, u64),
    flags: u64,
) -> KernResult<u64> {
    match vm.allocate(context, map, range, flags)? {
        Progress::Done(address) => Ok(address),
        Progress::More => panic!("it takes steps"),
    }
}

impl Rig {
    fn new() -> Self {
        Self::with_pages(4096)
    }

    fn with_pages(pages: u32) -> Self {
        let mut machine = TestMachine::new(pages);
        let mut ledgers = Ledgers::new(Region::on_heap(64 * 1024));
        let everything = Limits {
            names: u32::MAX,
            messages: u32::MAX,
            threads: u32::MAX,
            pages: u32::MAX,
            kernel_bytes: u64::MAX,
        };
        let root = ledgers.create_root(everything).unwrap();
        Self {
            vm: Vm::new(&mut machine),
            machine,
            ledgers,
            root,
            accounts: Vec::new(),
            maps: Vec::new(),
            pagers: Vec::new(),
            store: None,
        }
    }

    fn account(&mut self, pages: u32) -> LedgerId {
        let limits = Limits {
            pages,
            kernel_bytes: 1 << 20,
            ..Limits::default()
        };
        let account = self.ledgers.create_child(self.root, limits).unwrap();
        self.accounts.push(account);
        account
    }

    fn map(&mut self) -> MapId {
        let account = self.account(4096);
        self.map_for(account)
    }

    fn map_for(&mut self, account: LedgerId) -> MapId {
        let map = self
            .with(|vm, context| vm.create_map(context, account))
            .unwrap();
        self.maps.push(map);
        map
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Vm, &mut Context<'_, TestMachine>) -> R) -> R {
        let mut context = Context {
            machine: &mut self.machine,
            ledgers: &mut self.ledgers,
        };
        work(&mut self.vm, &mut context)
    }

    /// Does something; while a page of a pager is missing for it, that is supplied.
    fn attempt<R>(
        &mut self,
        mut work: impl FnMut(&mut Vm, &mut Context<'_, TestMachine>) -> KernResult<R>,
    ) -> KernResult<R> {
        for _ in 0..1000 {
            match self.with(&mut work) {
                Err(STALLED) => {
                    self.settle();
                    let (pager, map) = *self.pagers.last().unwrap();
                    self.serve(pager, map)?;
                }
                done => return done,
            }
        }
        panic!("it waits for ever: {:?}", self.vm.stalled)
    }

    /// Calls until it is done, with all checks after each step; returns how many steps it took.
    fn finish(
        &mut self,
        mut step: impl FnMut(&mut Vm, &mut Context<'_, TestMachine>) -> KernResult<Progress>,
    ) -> KernResult<u32> {
        for steps in 1..10_000 {
            let done = self.attempt(&mut step);
            self.verify();
            if done? == Progress::Done(()) {
                return Ok(steps);
            }
        }
        panic!("never done")
    }

    fn allocate(&mut self, map: MapId, page: u64, count: u64) {
        let (address, size) = (at(page), pages(count));
        let got =
            self.with(|vm, context| allocate_now(vm, context, map, (address, size), flags::FIXED));
        assert_eq!(got, Ok(address));
    }

    fn deallocate(&mut self, map: MapId, page: u64, count: u64) -> KernResult<u32> {
        self.finish(|vm, context| vm.deallocate(context, map, at(page), pages(count)))
    }

    fn destroy(&mut self, map: MapId) -> u32 {
        let steps = self.finish(|vm, context| Ok(vm.destroy_step(context, map)));
        self.maps.retain(|other| *other != map);
        steps.unwrap()
    }

    fn settle(&mut self) {
        self.finish(|vm, context| Ok(vm.settle(context))).unwrap();
    }

    fn fork(&mut self, parent: MapId) -> MapId {
        let account = self.account(4096);
        self.fork_for(parent, account)
    }

    fn fork_for(&mut self, parent: MapId, account: LedgerId) -> MapId {
        let child = self
            .with(|vm, context| vm.fork_map(context, parent, account))
            .unwrap();
        self.maps.push(child);
        self.finish(|vm, context| vm.fork_step(context, child))
            .unwrap();
        child
    }

    fn request(&self, source: Source, page: u64, count: u64) -> MapRequest {
        MapRequest {
            address: at(page),
            size: pages(count),
            mask: 0,
            flags: 0,
            source,
            protection: RW,
            maximum: protection::ALL,
            inheritance: inherit::COPY,
        }
    }

    /// Calls with how far it got until that is `end`, with all checks after each step, none of which copies much.
    fn advance(
        &mut self,
        (from, end): (u64, u64),
        mut step: impl FnMut(&mut Vm, &mut Context<'_, TestMachine>, u64) -> KernResult<u64>,
    ) -> KernResult<u32> {
        let mut at = from;
        for steps in 1..10_000 {
            let before = self.machine.copies;
            let done = self.attempt(|vm, context| step(vm, context, at));
            self.verify();
            // A piece may have to copy the page that it writes to.
            assert!(self.machine.copies - before <= 2 * STEP, "too long a step");
            at = done?;
            if at == end {
                return Ok(steps);
            }
        }
        panic!("never done")
    }

    fn wire(&mut self, map: MapId, range: (u64, u64), access: u32) -> KernResult<u32> {
        self.advance((0, range.0 + range.1), |vm, context, at| {
            vm.wire_step(context, map, range, access, at)
        })
    }

    fn unwire(&mut self, map: MapId, range: (u64, u64)) -> KernResult<u32> {
        self.advance((u64::MAX, range.0), |vm, context, at| {
            vm.unwire_step(context, map, range, at)
        })
    }

    fn copy(&mut self, from: (MapId, u64), to: (MapId, u64), size: u64) -> KernResult<u32> {
        self.advance((0, size), |vm, context, done| {
            vm.copy_bytes(context, from, to, (size, done))
        })
    }

    fn remap(&mut self, map: MapId, remap: &Remap) -> KernResult<u64> {
        let address = self.with(|vm, context| vm.remap_begin(context, map, remap))?;
        self.verify();
        let done = self.advance((0, remap.size), |vm, context, done| {
            vm.remap_step(context, map, remap, (address, done))
        });
        if done.is_err() {
            let size = remap.size;
            self.finish(|vm, context| vm.deallocate(context, map, address, size))?;
        }
        done.map(|_| address)
    }

    /// A memory entry, with all checks after each step.
    fn make_entry(
        &mut self,
        map: MapId,
        range: (u64, u64),
        maximum: u32,
    ) -> KernResult<MemoryEntryId> {
        for _ in 0..10_000 {
            let before = self.machine.copies;
            let got = self.attempt(|vm, context| vm.make_entry(context, map, range, maximum));
            self.verify();
            assert!(self.machine.copies - before <= STEP, "too long a step");
            if let Progress::Done(entry) = got? {
                return Ok(entry);
            }
        }
        panic!("never done")
    }

    fn do_map(&mut self, map: MapId, request: MapRequest) -> KernResult<u64> {
        loop {
            let got = self.attempt(|vm, context| vm.map(context, map, request));
            self.verify();
            if let Progress::Done(address) = got? {
                // A trap does not return before.
                self.settle();
                return Ok(address);
            }
        }
    }

    /// A whole copy, with all checks after each step.
    fn copy_out(&mut self, map: MapId, range: (u64, u64), after: After) -> KernResult<CopyId> {
        let before = self.machine.copies;
        let begun = self.attempt(|vm, context| vm.copy_out(context, map, range, after));
        self.verify();
        assert!(self.machine.copies - before <= STEP, "too long a step");
        let copy = begun?;
        match self.finish_copy(copy) {
            Ok(_) => Ok(copy),
            Err(error) => {
                self.discard(copy);
                Err(error)
            }
        }
    }

    /// Takes what a copy lacks; returns how many steps that took.
    fn finish_copy(&mut self, copy: CopyId) -> KernResult<u32> {
        let mut before = self.machine.copies;
        self.finish(|vm, context| {
            let done = vm.copy_more(context, copy);
            assert!(context.machine.copies - before <= STEP, "too long a step");
            before = context.machine.copies;
            done
        })
    }

    fn deliver(&mut self, copy: CopyId, map: MapId) -> u64 {
        let got = self.with(|vm, context| vm.copy_in(context, map, copy));
        self.verify();
        got.unwrap()
    }

    fn discard(&mut self, copy: CopyId) {
        self.with(|vm, context| vm.copy_discard(context, copy));
        self.settle();
    }

    /// What a thread's access does: the hardware translates it, or it faults and tries again.
    fn touch(&mut self, map: MapId, address: u64, access: Access) -> KernResult<Page> {
        let right = match access {
            Access::Read => protection::READ,
            Access::Write => protection::WRITE,
            Access::Execute => protection::EXECUTE,
        };
        for _ in 0..2 {
            let root = self.vm.root(map).unwrap();
            if let Some(page) = self.machine.translate(root, address, right) {
                return Ok(page);
            }
            self.attempt(|vm, context| vm.fault(context, map, address, access))?;
        }
        panic!("the fault was answered, and the access still fails")
    }

    fn store(&mut self, map: MapId, page: u64, value: u8) -> KernResult<()> {
        self.store_at(map, at(page), value)
    }

    fn store_at(&mut self, map: MapId, address: u64, value: u8) -> KernResult<()> {
        let page = self.touch(map, address, Access::Write)?;
        self.machine.page(page)[(address % PAGE_SIZE) as usize] = value;
        Ok(())
    }

    fn load(&mut self, map: MapId, page: u64) -> KernResult<u8> {
        self.load_at(map, at(page))
    }

    fn load_at(&mut self, map: MapId, address: u64) -> KernResult<u8> {
        let page = self.touch(map, address, Access::Read)?;
        Ok(self.machine.page(page)[(address % PAGE_SIZE) as usize])
    }

    /// All that must hold at any time.
    fn verify(&self) {
        assert_eq!(self.vm.check(), Ok(()));
        self.machine.assert_flushed();
        assert_eq!(
            self.machine.allocated() + self.stored(),
            self.vm.census()[1] as usize,
            "pages that nobody has"
        );
        for account in &self.accounts {
            let used = (
                self.ledgers.used(*account, Resource::Pages),
                self.ledgers.used(*account, Resource::KernelBytes),
            );
            assert_eq!(
                used,
                self.vm.charged(*account),
                "pages and bytes of a ledger"
            );
            let away = self.ledgers.away(*account);
            assert_eq!(away, self.vm.away(*account), "pages put away");
        }
        for map in &self.maps {
            let Some(root) = self.vm.root(*map) else {
                continue;
            };
            for (address, (page, rights, _)) in &self.machine.spaces[&root.0].mapped {
                let (shown, allowed) = self
                    .vm
                    .shown(*map, *address)
                    .expect("mapped, but not there");
                assert_eq!(shown, *page, "another page is mapped at {address:#x}");
                assert_eq!(rights & !allowed, 0, "too much is allowed at {address:#x}");
            }
        }
    }

    /// Nothing is left of anything.
    fn assert_empty(&mut self) {
        for map in self.maps.clone() {
            self.destroy(map);
        }
        self.settle();
        self.end_store();
        self.perform();
        self.settle();
        self.verify();
        assert_eq!((self.vm.map_count(), self.vm.census()), (0, [0; 5]));
        assert!(self.machine.spaces.is_empty());
    }
}

#[test]
fn a_map_that_cannot_be_paid_for_is_not_made() {
    let mut rig = Rig::new();
    let account = rig.account(0);
    let made = rig.with(|vm, context| vm.create_map(context, account));
    assert_eq!(made, Err(KernReturn::ResourceShortage));
    rig.verify();
    rig.assert_empty();
}
