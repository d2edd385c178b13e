//! Large pages, by each call that gives memory.

use abi::kern_return::KernReturn as K;
use abi::start::names;
use abi::task::Limits;
use abi::trap;
use abi::vm::{LARGE_PAGE_SIZE as LARGE, flags, map_flags, protection, region};
use interfaces::task::Task;
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
