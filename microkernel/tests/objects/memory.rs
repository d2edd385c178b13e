//! A task's memory through its control port.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::start::names;
use abi::task::Limits;
use abi::trap;
use abi::vm::{
    MAX_ADDRESS, attribute, behavior, disposition as state, entry, flags, inherit, map_flags,
    protection, region, sync,
};
use interfaces::memory::Entry;
use interfaces::task::{Task, TaskClient};
use interfaces::vm::{Place, Vm, VmClient};

use crate::transport::{Extent, Give, Port};
use crate::world::{Child, LIMITS, PAGE, World, code, copy, moved};

const RW: u32 = protection::READ | protection::WRITE;

const SMALL: Limits = Limits {
    pages: 100,
    kernel_bytes: 1 << 16,
    names: 10,
    messages: 10,
    threads: 1,
};

/// A child with room for long calls, and the memory calls of its port.
fn child(world: &World) -> (Child<'_>, VmClient<Port<'_>>) {
    let limits = Limits {
        pages: 900,
        kernel_bytes: 1 << 20,
        ..LIMITS
    };
    let right = world.own().create(limits, 7, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    let vm = world.client::<dyn Vm>(right);
    (Child { world, right, task }, vm)
}

fn own(world: &World) -> VmClient<Port<'_>> {
    world.root(names::TASK).client::<dyn Vm>()
}

/// Memory of a child, every page with its number, from 1.
fn filled(task: &TaskClient<Port<'_>>, pages: u64) -> u64 {
    let at = task.vm_allocate(0, pages * PAGE, flags::ANYWHERE).unwrap();
    for page in 0..pages {
        task.vm_write(at + page * PAGE, &[page as u8 + 1]).unwrap();
    }
    at
}

fn byte(task: &TaskClient<Port<'_>>, address: u64) -> u8 {
    task.vm_read(address, 1).unwrap()[0]
}

/// Flags of a mapping with these protections.
fn word(flags: u64, current: u32, maximum: u32) -> u64 {
    flags
        | u64::from(current) << map_flags::CURRENT_SHIFT
        | u64::from(maximum) << map_flags::MAXIMUM_SHIFT
        | u64::from(inherit::COPY) << map_flags::INHERIT_SHIFT
}

fn anywhere(size: u64) -> Place {
    Place {
        size,
        ..Place::default()
    }
}

impl World {
    fn peek(&self, address: u64) -> u8 {
        let [byte] = self.sim.borrow_mut().on(self.first).peek(address);
        byte
    }

    /// A right to the host port, without privileges.
    fn host(&self) -> Give {
        let name = self.trap(trap::HOST_SELF, &[]).unwrap();
        copy(Name(name as u32))
    }

    fn poke(&self, address: u64, bytes: &[u8]) {
        self.sim.borrow_mut().on(self.first).poke(address, bytes);
    }

    fn free(&self, extent: Extent) {
        let range = [extent.address, extent.size];
        self.trap(trap::VM_DEALLOCATE, &range).unwrap();
    }
}

// covers: V-04
#[test]
fn read_gives_a_copy_of_another_tasks_memory() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 200);
    for (start, size) in [(at, 0), (at + 10, 1), (at, PAGE), (at + 5, 199 * PAGE)] {
        let got = vm.read(start, size).unwrap();
        assert_eq!(got.size, size);
        if size == 0 {
            continue;
        }
        child.task.vm_write(at, &[99]).unwrap();
        let expected = if start == at { 1 } else { 0 };
        assert_eq!(world.peek(got.address), expected);
        if size > PAGE {
            assert_eq!(world.peek(got.address + 150 * PAGE - 5), 151);
        }
        child.task.vm_write(at, &[1]).unwrap();
        world.free(got);
    }
    let hole = at + 100 * PAGE;
    child.task.vm_deallocate(hole, PAGE).unwrap();
    assert_eq!(code(vm.read(at, 200 * PAGE)), K::InvalidAddress);
    assert_eq!(code(vm.read(at, (1 << 30) + PAGE)), K::ResourceShortage);
    assert_eq!(code(vm.read(at, u64::MAX)), K::InvalidArgument);
    let middle = at + 50 * PAGE;
    child.task.vm_protect(middle, PAGE, 0, 0).unwrap();
    assert_eq!(code(vm.read(at, 60 * PAGE)), K::ProtectionFailure);
    child.end();
    world.at_baseline();
}

// covers: V-04
#[test]
fn write_and_copy_change_another_tasks_memory_or_nothing() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 200);
    let data: Vec<u8> = (0..100 * PAGE).map(|at| (at / 7) as u8).collect();
    vm.write(at + 9, &data).unwrap();
    let got = vm.read(at + 9, data.len() as u64).unwrap();
    for place in [0, 1, PAGE - 1, 70 * PAGE + 3, 100 * PAGE - 1] {
        assert_eq!(world.peek(got.address + place), data[place as usize]);
    }
    world.free(got);
    // Upward and downward over itself, across pages.
    for (from, to) in [(at + 9, at + 3000), (at + 3000, at + 9)] {
        vm.copy(from, data.len() as u64, to).unwrap();
        for place in [0, 1, 5000, 100 * PAGE - 1] {
            assert_eq!(byte(&child.task, to + place), data[place as usize]);
        }
    }
    vm.write(at, &[]).unwrap();
    vm.copy(at, 0, at).unwrap();
    let last = at + 199 * PAGE;
    child
        .task
        .vm_protect(last, PAGE, 0, protection::READ)
        .unwrap();
    let refused = [
        (
            code(vm.write(last - PAGE, &[7; 4097])),
            K::ProtectionFailure,
        ),
        (
            code(vm.copy(at, 2 * PAGE, last - PAGE)),
            K::ProtectionFailure,
        ),
        (
            code(vm.write(last + PAGE - 1, &[7; 2])),
            K::ProtectionFailure,
        ),
        (code(vm.copy(last, 2 * PAGE, at)), K::InvalidAddress),
        (code(vm.copy(at, PAGE, 0)), K::InvalidAddress),
        (code(vm.copy(at, u64::MAX, at)), K::InvalidArgument),
        (code(vm.write(u64::MAX, &[1, 2])), K::InvalidArgument),
    ];
    for (number, (got, expected)) in refused.into_iter().enumerate() {
        // A range with a hole is that before it is not writable.
        let hole = number == 2;
        assert_eq!(
            got,
            if hole { K::InvalidAddress } else { expected },
            "{number}"
        );
    }
    assert_eq!(byte(&child.task, last - PAGE), 199, "nothing was written");
    child.end();
    world.at_baseline();
}

// covers: V-04
#[test]
fn read_overwrite_copies_into_the_callers_memory() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 130);
    let own = world.trap(trap::VM_ALLOCATE, &[0, 140 * PAGE, 1]).unwrap();
    assert_eq!(vm.read_overwrite(at, 130 * PAGE, own + 8), Ok(130 * PAGE));
    for page in [0, 1, 63, 64, 65, 129] {
        assert_eq!(world.peek(own + page * PAGE + 8), page as u8 + 1);
    }
    world.trap(trap::VM_PROTECT, &[own, PAGE, 0, 1]).unwrap();
    assert_eq!(code(vm.read_overwrite(at, 1, own)), K::ProtectionFailure);
    assert_eq!(code(vm.read_overwrite(0, 1, own + PAGE)), K::InvalidAddress);
    assert_eq!(code(vm.read_overwrite(at, 1, 0)), K::InvalidAddress);
    world.trap(trap::VM_DEALLOCATE, &[own, 140 * PAGE]).unwrap();
    child.end();
    world.at_baseline();
}

// covers: V-03
#[test]
fn a_private_copy_may_be_written_where_the_maximum_forbids_it() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 100);
    let make = vm.make_entry(copy(child.right.0), 100 * PAGE, at, protection::READ);
    let (size, shared) = make.unwrap();
    assert_eq!(size, 100 * PAGE);
    let reading = word(flags::ANYWHERE, protection::READ, protection::READ);
    let view = vm.map(shared, anywhere(size), 0, reading).unwrap();
    let protect = |rights| child.task.vm_protect(view, size, 0, rights);
    assert_eq!(code(protect(RW)), K::ProtectionFailure);
    assert_eq!(
        code(protect(protection::ALL | protection::COPY)),
        K::ProtectionFailure
    );
    protect(RW | protection::COPY).unwrap();
    child.task.vm_write(view + 99 * PAGE, &[7]).unwrap();
    assert_eq!(byte(&child.task, at + 99 * PAGE), 100, "it was a copy");
    child.task.vm_write(at, &[8]).unwrap();
    assert_eq!(byte(&child.task, view), 1, "of the time of the call");
    let gone = child.task.vm_protect(0, PAGE, 0, RW | protection::COPY);
    assert_eq!(code(gone), K::InvalidAddress);
    world.release(shared);
    child.end();
    world.at_baseline();
}

// covers: V-01 V-06
#[test]
fn a_mapping_keeps_to_its_mask_and_overflows_are_refused() {
    let world = World::single();
    let (child, vm) = child(&world);
    let mask = (1 << 21) - 1;
    let rights = word(flags::ANYWHERE, RW, protection::ALL);
    let place = Place {
        address: 0,
        size: 3 * PAGE,
        mask,
    };
    let first = vm.map_anonymous(place, rights).unwrap();
    let second = vm.map_anonymous(place, rights).unwrap();
    assert_eq!((first & mask, second), (0, first + mask + 1));
    let fixed = |address| Place { address, ..place };
    let exactly = word(flags::FIXED, RW, protection::ALL);
    assert_eq!(
        code(vm.map_anonymous(fixed(second + mask + 1 + PAGE), exactly)),
        K::NoSpace
    );
    let (_, memory) = vm
        .make_entry(copy(child.right.0), 2 * PAGE, first, RW)
        .unwrap();
    let rights = word(flags::ANYWHERE, RW, RW);
    let sizes = [
        (0, 0, K::InvalidArgument),
        (u64::MAX, 0, K::InvalidArgument),
        (u64::MAX - PAGE + 2, 0, K::InvalidArgument),
        (PAGE, u64::MAX - PAGE + 1, K::InvalidArgument),
        (u64::MAX - PAGE + 1, PAGE, K::InvalidArgument),
        (PAGE, PAGE, K::Success),
        (2 * PAGE, PAGE, K::InvalidArgument),
    ];
    for (size, offset, expected) in sizes {
        let got = moved(vm.map(memory, anywhere(size), offset, rights));
        assert_eq!(got, expected, "{size:#x} from {offset:#x} on");
    }
    for (size, expected) in [
        (u64::MAX, K::InvalidArgument),
        (u64::MAX - 2 * PAGE, K::NoSpace),
        (0, K::InvalidArgument),
    ] {
        assert_eq!(code(vm.map_anonymous(anywhere(size), rights)), expected);
    }
    let wraps = Place {
        address: u64::MAX - PAGE + 1,
        size: 2 * PAGE,
        mask: 0,
    };
    assert_eq!(code(vm.map_anonymous(wraps, exactly)), K::InvalidArgument);
    world.release(memory);
    child.end();
    world.at_baseline();
}

// covers: V-07
#[test]
fn remap_shares_or_copies_another_tasks_memory() {
    let world = World::single();
    let (child, _) = child(&world);
    let at = filled(&child.task, 150);
    let third = at + 2 * PAGE;
    child
        .task
        .vm_protect(third, PAGE, 1, protection::READ)
        .unwrap();
    let source = copy(child.right.0);
    let mine = own(&world);
    let inherits = u64::from(inherit::NONE) << map_flags::INHERIT_SHIFT;
    let far = flags::ANYWHERE | inherits;
    let size = 150 * PAGE;
    let copied = mine.remap(source, anywhere(size), at, far | map_flags::COPY);
    let copied = copied.unwrap();
    let shared = mine.remap(source, anywhere(size), at, far).unwrap();
    for got in [copied, shared] {
        assert_eq!(
            (got.protection, got.maximum),
            (protection::READ, protection::READ)
        );
    }
    child.task.vm_write(at + 149 * PAGE, &[9]).unwrap();
    assert_eq!(world.peek(shared.address + 149 * PAGE), 9);
    assert_eq!(world.peek(copied.address + 149 * PAGE), 150);
    world.poke(shared.address, &[10]);
    world.poke(copied.address, &[11]);
    assert_eq!(byte(&child.task, at), 10);
    let gain = [shared.address + 2 * PAGE, PAGE, 0, u64::from(RW)];
    assert_eq!(
        world.trap(trap::VM_PROTECT, &gain),
        Err(K::ProtectionFailure)
    );
    let info = mine
        .region(shared.address, region::BASIC_INFO_64, 9)
        .unwrap();
    assert_eq!(info.info[2], inherit::NONE);
    for got in [copied, shared] {
        let range = [got.address, size];
        world.trap(trap::VM_DEALLOCATE, &range).unwrap();
    }
    child.end();
    world.at_baseline();
}

// covers: V-07
#[test]
fn remap_replaces_page_by_page_and_refuses_what_cannot_be() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 150);
    let target = filled(&child.task, 150);
    let source = copy(child.right.0);
    let fixed = |address, size| Place {
        address,
        size,
        mask: 0,
    };
    let place = fixed(target, 150 * PAGE);
    let over = map_flags::OVERWRITE;
    child.task.vm_write(at + 70 * PAGE, &[77]).unwrap();
    let done = vm.remap(source, place, at, over).unwrap();
    assert_eq!((done.address, done.protection), (target, RW));
    for page in [0, 70, 149] {
        let expected = byte(&child.task, at + page * PAGE);
        assert_eq!(byte(&child.task, target + page * PAGE), expected);
    }
    child.task.vm_write(target, &[5]).unwrap();
    assert_eq!(byte(&child.task, at), 5, "it is shared");
    let refused = [
        (place, at, 0, K::NoSpace),
        (
            fixed(target, 9 * PAGE),
            target + PAGE,
            over,
            K::InvalidArgument,
        ),
        (fixed(target, PAGE), 0, over, K::InvalidAddress),
        (fixed(MAX_ADDRESS, PAGE), at, 0, K::InvalidAddress),
        (fixed(target, 0), at, over, K::InvalidArgument),
        (fixed(target, u64::MAX), at, over, K::InvalidArgument),
        (fixed(target, PAGE), at, 1 << 9, K::InvalidArgument),
        (fixed(target, PAGE), at, over | 1 << 16, K::InvalidArgument),
        (fixed(target, PAGE), at, over | 1 << 40, K::InvalidArgument),
    ];
    for (number, (place, from, flags, expected)) in refused.into_iter().enumerate() {
        let got = moved(vm.remap(source, place, from, flags));
        assert_eq!(got, expected, "{number}");
    }
    assert_eq!(byte(&child.task, target + PAGE), 2, "nothing was replaced");
    let host = world.host();
    assert_eq!(moved(vm.remap(host, place, at, over)), K::InvalidRight);
    world.release(host);
    child.end();
    world.at_baseline();
}

// covers: V-08
#[test]
fn regions_have_flavours_and_counts() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 4);
    child
        .task
        .vm_protect(at + PAGE, PAGE, 0, protection::READ)
        .unwrap();
    let basic = |at| vm.region(at, region::BASIC_INFO_64, 9);
    let first = basic(0).unwrap();
    assert_eq!((first.address, first.size), (at, PAGE));
    let second = basic(at + PAGE + 5).unwrap();
    assert_eq!((second.address, second.size), (at + PAGE, PAGE));
    assert_eq!(
        &*second.info,
        &[
            protection::READ,
            7,
            inherit::COPY,
            0,
            0,
            PAGE as u32,
            0,
            0,
            0
        ]
    );
    assert_eq!(code(basic(at + 4 * PAGE)), K::InvalidAddress);
    let extended = vm.region(at, region::EXTENDED_INFO, 20).unwrap();
    assert_eq!(
        (extended.info.len(), extended.info[2], extended.info[6]),
        (9, 1, 3)
    );
    assert_eq!(extended.info[7] >> 24, region::share_mode::PRIVATE);
    let top = vm.region(at + 2 * PAGE, region::TOP_INFO, 5).unwrap();
    assert_eq!(&top.info[1..], &[3, 2, 0, region::share_mode::PRIVATE]);
    let recursive = vm.region_recurse(at, 3, 19).unwrap();
    assert_eq!(
        (recursive.info.len(), recursive.info[0], recursive.info[6]),
        (19, RW, 1)
    );
    assert_eq!(recursive.info[14], top.info[0], "one object");
    for (flavor, count) in [
        (region::BASIC_INFO_64, 8),
        (region::EXTENDED_INFO, 8),
        (region::TOP_INFO, 4),
        (99, 20),
    ] {
        assert_eq!(code(vm.region(at, flavor, count)), K::InvalidArgument);
    }
    assert_eq!(code(vm.region_recurse(at, 0, 18)), K::InvalidArgument);
    child.end();
    world.at_baseline();
}

// covers: V-08
#[test]
fn a_region_says_whether_a_pager_supplies_it() {
    let world = World::single();
    let (child, vm) = child(&world);
    let object = world.sim.borrow_mut().on(world.first).port();
    let right = Give(object, disposition::MAKE_SEND);
    let rights = word(flags::ANYWHERE, protection::READ, protection::READ);
    let shown = vm.map(right, anywhere(PAGE), 0, rights).unwrap();
    let copied = vm.map(right, anywhere(PAGE), 0, rights | map_flags::COPY);
    let own = filled(&child.task, 1);
    for (at, paged) in [(shown, 1), (copied.unwrap(), 1), (own, 0)] {
        let extended = vm.region(at, region::EXTENDED_INFO, 9).unwrap();
        assert_eq!(extended.info[7] >> 16 & 0xff, paged);
        let submap = vm.region_recurse(at, 0, 19).unwrap();
        assert_eq!(submap.info[11], extended.info[7]);
    }
    child.end();
}

// covers: V-11
#[test]
fn a_guard_page_is_there_and_never_to_be_reached() {
    let world = World::single();
    let (child, vm) = child(&world);
    let guarded = vm
        .map_anonymous(anywhere(4 * PAGE), word(1, RW, RW))
        .unwrap();
    let place = Place {
        address: guarded,
        size: PAGE,
        mask: 0,
    };
    let guard = word(map_flags::OVERWRITE, 0, 0);
    vm.map_anonymous(place, guard).unwrap();
    assert_eq!(
        code(child.task.vm_write(guarded, b"no")),
        K::ProtectionFailure
    );
    assert_eq!(code(child.task.vm_read(guarded, 1)), K::ProtectionFailure);
    let raise = child.task.vm_protect(guarded, PAGE, 0, protection::READ);
    assert_eq!(code(raise), K::ProtectionFailure);
    child.task.vm_write(guarded + PAGE, b"yes").unwrap();
    let over = child.task.vm_write(guarded + PAGE - 1, b"both");
    assert_eq!(code(over), K::ProtectionFailure);
    assert_eq!(byte(&child.task, guarded + PAGE), b'y');
    child.end();
    world.at_baseline();
}

// covers: V-12
#[test]
fn wiring_nests_and_a_failure_takes_it_back() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = child.task.vm_allocate(0, 150 * PAGE, 1).unwrap();
    let wires = |at| vm.region(at, region::BASIC_INFO_64, 9).unwrap().info[8];
    let used = child.task.ledger().unwrap().used.pages;
    vm.wire(at, 150 * PAGE, RW).unwrap();
    let wired = child.task.ledger().unwrap().used.pages;
    assert!(wired >= used + 150, "{used} before, {wired} after");
    vm.wire(at + PAGE, PAGE, protection::READ).unwrap();
    assert_eq!(
        (wires(at), wires(at + PAGE), wires(at + 2 * PAGE)),
        (1, 2, 1)
    );
    vm.wire(at, 150 * PAGE, 0).unwrap();
    assert_eq!((wires(at), wires(at + PAGE)), (0, 1));
    assert_eq!(code(vm.wire(at, 2 * PAGE, 0)), K::InvalidArgument);
    assert_eq!(wires(at + PAGE), 1, "nothing was unwired");
    child
        .task
        .vm_protect(at, 150 * PAGE, 0, protection::READ)
        .unwrap();
    assert_eq!(wires(at + PAGE), 1, "it survives a protection");
    assert_eq!(code(vm.wire(at, PAGE, RW)), K::ProtectionFailure);
    // The end is an address, its page's end is none.
    let last = u64::MAX - 10;
    assert_eq!(code(vm.wire(last, 5, RW)), K::InvalidArgument);
    assert_eq!(code(vm.wire(last, 5, 0)), K::InvalidArgument);
    assert_eq!(
        code(vm.wire(at, 151 * PAGE, protection::READ)),
        K::InvalidAddress
    );
    assert_eq!(code(vm.wire(at, PAGE, 8)), K::InvalidArgument);
    assert_eq!(code(vm.wire(at, u64::MAX, 1)), K::InvalidArgument);
    child.task.vm_deallocate(at, 150 * PAGE).unwrap();
    // More than its account: what was wired before the shortage is not.
    let at = child.task.vm_allocate(0, 2000 * PAGE, 1).unwrap();
    assert_eq!(code(vm.wire(at, 2000 * PAGE, RW)), K::ResourceShortage);
    let first = vm.region(at, region::BASIC_INFO_64, 9).unwrap();
    assert_eq!((first.info[8], first.size), (0, 2000 * PAGE));
    child.end();
    world.at_baseline();
}

// covers: V-13
#[test]
fn cache_and_sync_calls_check_what_they_are_asked() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 4);
    child.task.vm_deallocate(at + 2 * PAGE, PAGE).unwrap();
    let sync = |size, flags| code(vm.msync(at, size, flags));
    let both = sync::SYNCHRONOUS | sync::ASYNCHRONOUS;
    assert_eq!(sync(PAGE, both), K::InvalidArgument);
    assert_eq!(sync(4 * PAGE, sync::SYNCHRONOUS), K::Success);
    let contiguous = sync::CONTIGUOUS | sync::ASYNCHRONOUS;
    assert_eq!(sync(2 * PAGE, contiguous), K::Success);
    assert_eq!(sync(4 * PAGE, contiguous), K::InvalidAddress);
    assert_eq!(sync(2 * PAGE, sync::INVALIDATE), K::Success);
    assert_eq!(byte(&child.task, at), 1, "no page of it is clean");
    assert_eq!(sync(u64::MAX, 0), K::InvalidArgument);
    assert_eq!(sync(PAGE, 0x100), K::InvalidArgument);
    let cache = |size, what, value| vm.machine_attribute(at, size, what, value);
    for value in [attribute::FLUSH, attribute::DATA_FLUSH, attribute::SYNC] {
        assert_eq!(cache(2 * PAGE, attribute::CACHE, value), Ok(value));
    }
    let hole = cache(3 * PAGE, attribute::CACHE, attribute::FLUSH);
    assert_eq!(code(hole), K::InvalidAddress);
    assert_eq!(code(cache(PAGE, attribute::MIGRATE, 1)), K::NotSupported);
    assert_eq!(code(cache(PAGE, 99, 1)), K::InvalidArgument);
    child.end();
    world.at_baseline();
}

// covers: V-14
#[test]
fn memory_entries_have_flavours() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 100);
    let task = copy(child.right.0);
    let make = |parent: Give, size, offset, flags| vm.make_entry(parent, size, offset, flags);
    let (size, snapshot) = make(task, 100 * PAGE, at, RW | entry::COPY).unwrap();
    assert_eq!(size, 100 * PAGE);
    let (_, shared) = make(task, 100 * PAGE, at, RW | entry::SHARE).unwrap();
    let (size, fresh) = make(task, 5 * PAGE - 1, 0, RW | entry::NAMED_CREATE).unwrap();
    assert_eq!(size, 5 * PAGE);
    child.task.vm_write(at + 99 * PAGE, &[9]).unwrap();
    let map = |right, size| vm.map(right, anywhere(size), 0, word(1, RW, RW)).unwrap();
    let seen = [map(snapshot, 100 * PAGE), map(shared, 100 * PAGE)];
    let last = seen.map(|at| byte(&child.task, at + 99 * PAGE));
    assert_eq!(last, [100, 9]);
    assert_eq!(byte(&child.task, map(fresh, 5 * PAGE)), 0);

    let refused = |parent, size, offset, flags| moved(make(parent, size, offset, flags));
    assert_eq!(refused(snapshot, PAGE, 0, RW), K::InvalidArgument);
    assert_eq!(
        refused(shared, PAGE, 0, protection::ALL),
        K::ProtectionFailure
    );
    assert_eq!(refused(shared, 0, 0, RW), K::InvalidArgument);
    assert_eq!(refused(shared, PAGE, 100 * PAGE, RW), K::InvalidArgument);
    assert_eq!(refused(task, PAGE, 0, RW | entry::SHARE), K::InvalidAddress);
    let two = entry::SHARE | entry::COPY;
    assert_eq!(refused(task, PAGE, at, RW | two), K::InvalidArgument);
    assert_eq!(refused(task, PAGE, at, RW | 0x800), K::InvalidArgument);
    let wraps = refused(task, u64::MAX - PAGE + 1, at, RW | entry::COPY);
    assert_eq!(wraps, K::InvalidArgument);

    let masked = protection::ALL | entry::MASK_PERMISSIONS;
    let (_, part) = make(shared, 2 * PAGE, PAGE, masked).unwrap();
    let bounds = world.client::<dyn Entry>(part).bounds();
    assert_eq!(bounds, Ok((2 * PAGE, RW)));
    let (_, reading) = make(shared, PAGE, 0, protection::READ).unwrap();
    let writing = vm.map(reading, anywhere(PAGE), 0, word(1, RW, RW));
    assert_eq!(moved(writing), K::InvalidRight);
    let reuse = RW | entry::NAMED_REUSE;
    let (_, same) = make(shared, 100 * PAGE, 0, reuse).unwrap();
    assert_eq!(same.0, shared.0, "the same port");
    // What is new is not limited by what lies there, or does not; else all of a range counts.
    let (_, new) = make(task, PAGE, 0, masked | entry::NAMED_CREATE).unwrap();
    let bounds = world.client::<dyn Entry>(new).bounds();
    assert_eq!(bounds, Ok((PAGE, protection::ALL)));
    let limit = protection::READ;
    child.task.vm_protect(at + PAGE, PAGE, 1, limit).unwrap();
    let (_, least) = make(task, 2 * PAGE, at, masked | entry::COPY).unwrap();
    let bounds = world.client::<dyn Entry>(least).bounds();
    assert_eq!(bounds, Ok((2 * PAGE, limit)));
    for right in [snapshot, shared, same, fresh, part, reading, new, least] {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: V-15
#[test]
fn behaviour_contents_queries_and_numbers() {
    let world = World::single();
    let (child, vm) = child(&world);
    let at = filled(&child.task, 100);
    vm.behavior_set(at, PAGE, behavior::SEQUENTIAL).unwrap();
    let of = |at| vm.region(at, region::BASIC_INFO_64, 9).unwrap();
    assert_eq!((of(at).info[7], of(at + PAGE).info[7]), (2, 0));
    vm.behavior_set(at, PAGE, behavior::DEFAULT).unwrap();
    assert_eq!(of(at).size, 100 * PAGE, "one region again");
    for wish in [behavior::WILL_NEED, behavior::DONT_NEED] {
        vm.behavior_set(at, 100 * PAGE, wish).unwrap();
        let past = vm.behavior_set(at, 101 * PAGE, wish);
        assert_eq!(code(past), K::InvalidAddress);
    }
    assert_eq!(byte(&child.task, at + 99 * PAGE), 100);
    assert_eq!(code(vm.behavior_set(at, PAGE, 99)), K::InvalidArgument);
    let before = vm.statistics().unwrap();
    assert_eq!((before.page_size, before.regions), (PAGE, 1));
    vm.behavior_set(at, 90 * PAGE, behavior::FREE).unwrap();
    assert_eq!(vm.statistics().unwrap().charged, before.charged - 90);
    assert_eq!(vm.page_query(at), Ok((0, 1)));
    let there = state::PRESENT | state::DIRTY | state::REFERENCED;
    assert_eq!(vm.page_query(at + 95 * PAGE), Ok((there, 1)));
    assert_eq!(code(vm.page_query(0)), K::InvalidAddress);
    // Zeros, also where others see the memory.
    let (_, shared) = vm
        .make_entry(copy(child.right.0), 100 * PAGE, at, RW)
        .unwrap();
    vm.behavior_set(at, 100 * PAGE, behavior::ZERO).unwrap();
    assert_eq!(byte(&child.task, at + 95 * PAGE), 0);
    child
        .task
        .vm_protect(at, PAGE, 0, protection::READ)
        .unwrap();
    let zero = vm.behavior_set(at, 2 * PAGE, behavior::ZERO);
    assert_eq!(code(zero), K::ProtectionFailure);
    world.release(shared);
    child.end();
    world.at_baseline();
}

// covers: V-15
#[test]
fn a_size_limit_holds_and_only_the_host_raises_it() {
    let world = World::single();
    let (child, vm) = child(&world);
    let (host, power) = (world.host(), world.root(names::HOST_PRIVILEGED).name);
    child.task.vm_allocate(0, 8 * PAGE, 1).unwrap();
    vm.set_size_limit(host, 10 * PAGE, 20 * PAGE).unwrap();
    assert_eq!(vm.size_limit(), Ok((10 * PAGE, 20 * PAGE)));
    assert_eq!(code(child.task.vm_allocate(0, 3 * PAGE, 1)), K::NoSpace);
    child.task.vm_allocate(0, 2 * PAGE, 1).unwrap();
    // What nobody may touch does not count.
    vm.map_anonymous(anywhere(100 * PAGE), word(1, 0, 0))
        .unwrap();
    assert_eq!(code(child.task.vm_allocate(0, PAGE, 1)), K::NoSpace);
    let raise = |host, now, most| moved(vm.set_size_limit(host, now, most));
    assert_eq!(raise(host, 20 * PAGE, 20 * PAGE), K::Success);
    assert_eq!(raise(host, 20 * PAGE, 21 * PAGE), K::NoAccess);
    assert_eq!(raise(host, 20 * PAGE, 19 * PAGE), K::InvalidArgument);
    assert_eq!(raise(copy(power), 21 * PAGE, 21 * PAGE), K::Success);
    child.task.vm_allocate(0, 11 * PAGE, 1).unwrap();
    world.release(host);
    child.end();
    world.at_baseline();
}

// covers: V-15
#[test]
fn a_size_limit_is_for_growth_and_for_children_too() {
    let world = World::single();
    let (child, vm) = child(&world);
    let host = world.host();
    let at = child.task.vm_allocate(0, 8 * PAGE, 1).unwrap();
    // What is there beyond the limit stays, and nothing comes to it.
    vm.set_size_limit(host, 4 * PAGE, 16 * PAGE).unwrap();
    child.task.vm_write(at + 7 * PAGE, &[1]).unwrap();
    assert_eq!(code(child.task.vm_allocate(0, PAGE, 1)), K::NoSpace);
    assert_eq!(
        code(vm.map_anonymous(anywhere(PAGE), word(1, 0, RW))),
        K::NoSpace,
        "what may be touched once it is raised counts"
    );
    child.task.vm_deallocate(at, 5 * PAGE).unwrap();
    assert_eq!(code(child.task.vm_allocate(0, 2 * PAGE, 1)), K::NoSpace);
    child.task.vm_allocate(0, PAGE, 1).unwrap();
    // What is replaced does not count twice, for a mapping or a remapping.
    let place = Place {
        address: at + 5 * PAGE,
        size: 3 * PAGE,
        mask: 0,
    };
    let over = word(map_flags::OVERWRITE, RW, RW);
    vm.map_anonymous(place, over).unwrap();
    let source = copy(child.right.0);
    let (from, shared) = (at + 5 * PAGE, 0);
    let more = vm.remap(source, anywhere(PAGE), from, flags::ANYWHERE | shared);
    assert_eq!(moved(more), K::NoSpace);
    let one = Place {
        size: PAGE,
        address: at + 6 * PAGE,
        mask: 0,
    };
    let within = vm.remap(source, one, from, map_flags::OVERWRITE | map_flags::COPY);
    assert_eq!(moved(within), K::Success);
    for inherits in [0, 1] {
        let right = child.task.create(SMALL, 8, inherits).unwrap();
        let grandchild = world.client::<dyn Vm>(right);
        assert_eq!(grandchild.size_limit(), Ok((4 * PAGE, 16 * PAGE)));
        let task = world.client::<dyn Task>(right);
        assert_eq!(code(task.vm_allocate(0, 5 * PAGE, 1)), K::NoSpace);
        task.terminate().unwrap();
        world.release(right);
    }
    world.release(host);
    child.end();
    world.at_baseline();
}

// covers: V-05
#[test]
fn a_child_gets_what_the_inheritance_says() {
    let world = World::single();
    let mine = own(&world);
    let at = world.trap(trap::VM_ALLOCATE, &[0, 3 * PAGE, 1]).unwrap();
    world.poke(at, &[1]);
    mine.inherit(at, PAGE, inherit::SHARE).unwrap();
    mine.inherit(at + 2 * PAGE, PAGE, inherit::NONE).unwrap();
    assert_eq!(code(mine.inherit(at, PAGE, 3)), K::InvalidArgument);
    let right = world.own().create(LIMITS, 7, 1).unwrap();
    let task = world.client::<dyn Task>(right);
    world.poke(at, &[2]);
    world.poke(at + PAGE, &[2]);
    assert_eq!((byte(&task, at), byte(&task, at + PAGE)), (2, 0));
    assert_eq!(code(task.vm_read(at + 2 * PAGE, 1)), K::InvalidAddress);
    task.terminate().unwrap();
    world.release(right);
    world.trap(trap::VM_DEALLOCATE, &[at, 3 * PAGE]).unwrap();
    world.at_baseline();
}

// covers: V-01
#[test]
fn a_huge_reservation_costs_one_region() {
    let world = World::single();
    let (child, vm) = child(&world);
    let before = child.task.ledger().unwrap().used;
    let at = child.task.vm_allocate(0, 1 << 40, flags::ANYWHERE).unwrap();
    let after = child.task.ledger().unwrap().used;
    assert_eq!(after.pages, before.pages);
    assert!(after.kernel_bytes - before.kernel_bytes < 512);
    assert_eq!(vm.statistics().unwrap().regions, 1);
    child.task.vm_write(at + (1 << 39), b"middle").unwrap();
    child.task.vm_write(at + (1 << 40) - 3, b"end").unwrap();
    assert!(child.task.ledger().unwrap().used.pages < before.pages + 12);
    assert_eq!(byte(&child.task, at + (1 << 39)), b'm');
    child.task.vm_deallocate(at, 1 << 40).unwrap();
    assert_eq!(vm.statistics().unwrap().regions, 0);
    child.end();
    world.at_baseline();
}
