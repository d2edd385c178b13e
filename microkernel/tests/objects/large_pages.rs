//! Large pages, by each call that gives memory.

use abi::kern_return::KernReturn as K;
use abi::start::names;
use abi::task::Limits;
use abi::trap;
use abi::vm::{LARGE_PAGE_SIZE as LARGE, MAX_ADDRESS, flags, map_flags, protection, region};
use interfaces::memory::MemoryRoot;
use interfaces::task::{LARGE_PLACES, Task};
use interfaces::vm::{Place, Vm};

use crate::world::{Child, LIMITS, World, code};

const RW: u64 = (protection::READ | protection::WRITE) as u64;
const WISH: u64 = flags::ANYWHERE | flags::SUPERPAGE_SIZE_2MB;
const WORD: u64 = map_flags::ANYWHERE
    | RW << map_flags::CURRENT_SHIFT
    | RW << map_flags::MAXIMUM_SHIFT
    | 2 << map_flags::SUPERPAGE_SHIFT;

// covers: V-01 V-06
#[test]
fn every_call_that_gives_memory_gives_large_pages() {
    let world = World::single();
    let vm = world.root(names::TASK).client::<dyn Vm>();
    let start = vm.statistics().unwrap();
    let place = Place {
        size: LARGE,
        ..Place::default()
    };
    let calls: [&dyn Fn() -> u64; 4] = [
        &|| world.own().vm_allocate(0, LARGE, WISH).unwrap(),
        &|| vm.map_anonymous(place, WORD).unwrap(),
        &|| world.trap(trap::VM_ALLOCATE, &[0, LARGE, WISH]).unwrap(),
        &|| world.trap(trap::VM_MAP, &[0, 0, LARGE, 0, WORD]).unwrap(),
    ];
    for (number, call) in calls.into_iter().enumerate() {
        let before = vm.statistics().unwrap();
        let at = call();
        let mut sim = world.sim.borrow_mut();
        let cpu = sim.until_runs(world.first);
        sim.write(cpu, at + LARGE - 1, &[7]).unwrap();
        let mut bytes = [1; 2];
        sim.read(cpu, at + LARGE - 2, &mut bytes).unwrap();
        drop(sim);
        assert_eq!(bytes, [0, 7], "{number}");
        let info = vm.region(at, region::BASIC_INFO_64, 9).unwrap();
        assert_eq!((info.size, info.info[8]), (LARGE, 1), "{number}");
        let after = vm.statistics().unwrap();
        assert_eq!(after.large, before.large + 1, "{number}");
        let small = LARGE / abi::PAGE_SIZE;
        let paid = |now: interfaces::vm::Statistics| now.charged - now.tables;
        assert_eq!(paid(after), paid(before) + small, "{number}");
        let listed = || world.own().regions(at).unwrap()[0];
        assert_eq!((listed().size, listed().large), (LARGE, 1), "{number}");
        let readable = protection::READ.into();
        world
            .trap(trap::VM_PROTECT, &[at, abi::PAGE_SIZE, 0, readable])
            .unwrap();
        assert_eq!((listed().size, listed().large), (abi::PAGE_SIZE, 0));
        world.trap(trap::VM_DEALLOCATE, &[at, LARGE]).unwrap();
    }
    let none = world.own().vm_allocate(0, LARGE, flags::SUPERPAGE_MASK | 1);
    assert_eq!(code(none), K::InvalidArgument);
    // A table stays, and is paid for.
    let end = vm.statistics().unwrap();
    assert_eq!(end.charged - end.tables, start.charged - start.tables);
    assert_eq!((end.large, end.regions), (start.large, start.regions));
    let sim = world.sim.borrow();
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: V-01
#[test]
fn a_task_that_ends_gives_its_large_pages_back() {
    let world = World::single();
    let limits = Limits {
        pages: 1200,
        kernel_bytes: 1 << 20,
        ..LIMITS
    };
    let free = world.sim.borrow().machine.memory.available();
    for _ in 0..3 {
        let right = world.own().create(limits, 7, 0).unwrap();
        let task = world.client::<dyn Task>(right);
        let child = Child {
            world: &world,
            right,
            task,
        };
        let at = child.task.vm_allocate(0, 2 * LARGE, WISH).unwrap();
        child.task.vm_write(at + LARGE + 9, b"here").unwrap();
        assert_eq!(
            child.task.vm_read(at + LARGE + 8, 6).unwrap()[..],
            *b"\0here\0"
        );
        let more = child.task.vm_allocate(0, LARGE, WISH);
        assert_eq!(code(more), K::ResourceShortage, "its account is full");
        child.end();
    }
    world.at_baseline();
    assert!(world.sim.borrow().machine.memory.available() + 64 > free);
}

#[test]
fn a_list_of_regions_looks_at_few_places_for_large_pages() {
    let world = World::single();
    let size = (u64::from(LARGE_PLACES) - 1) * LARGE;
    let root = world.root(names::MEMORY_ROOT).client::<dyn MemoryRoot>();
    let window = root.window(1 << 40, 3 * size, 0).unwrap();
    let read = u64::from(protection::READ);
    let word = |rights| rights << map_flags::CURRENT_SHIFT | RW << map_flags::MAXIMUM_SHIFT;
    let place = MAX_ADDRESS / 2 / LARGE * LARGE;
    // The second one, by another protection, is none with the first.
    for (offset, size, rights) in [(0, size, RW), (size, 2 * size, read)] {
        let name = window.0.0.into();
        let mapped = [name, place + offset, size, offset, word(rights)];
        world.trap(trap::VM_MAP, &mapped).unwrap();
    }
    let list = |at: u64| {
        let regions = world.own().regions(at).unwrap();
        let sizes = regions.iter().map(|region| region.size);
        sizes.collect::<Vec<_>>()
    };
    assert_eq!(list(place), [size], "the next one would be too many places");
    assert_eq!(list(place + size)[0], 2 * size, "however many it has");
    world.trap(trap::VM_DEALLOCATE, &[place, 3 * size]).unwrap();
    world.release(window);
    world.at_baseline();
}
