//! Processors and the one set that they, all tasks and all threads are in.

use abi::host::{processor, processor_set};
use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::start::names::HOST_PRIVILEGED;
use abi::task::{Limits, basic};
use abi::trap;
use interfaces::mach_host::{MachHost, MachHostClient};
use interfaces::processor::{Processor, ProcessorSet};
use interfaces::task::Task;
use interfaces::thread::Thread;
use sim::Config;

use crate::transport::{Give, Port};
use crate::world::{LIMITS, World, code, copy, moved, state};

const ROOM: u32 = 100;

fn everybody(world: &World) -> MachHostClient<Port<'_>> {
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    world.client::<dyn MachHost>(copy(host))
}

fn privileged(world: &World) -> MachHostClient<Port<'_>> {
    world.root(HOST_PRIVILEGED).client::<dyn MachHost>()
}

/// Rights to ask the default set and to steer it.
fn rights(world: &World) -> (Give, Give) {
    let asks = everybody(world).processor_set_default().unwrap();
    let steers = privileged(world)
        .processor_set_control(copy(asks.0))
        .unwrap();
    (asks, steers)
}

// covers: T-12
#[test]
fn there_is_one_set_and_only_the_privileged_port_gives_it_out_for_steering() {
    let world = World::single();
    let host = everybody(&world);
    assert_eq!(code(host.processor_sets()), K::NoAccess);
    let (asks, steers) = rights(&world);
    assert_eq!(moved(host.processor_set_control(copy(asks.0))), K::NoAccess);
    let no_set = privileged(&world).processor_set_control(copy(world.root(HOST_PRIVILEGED).name));
    assert_eq!(moved(no_set), K::InvalidArgument);
    assert_ne!(asks.0, steers.0);
    let sets = world.take_array(privileged(&world).processor_sets().unwrap());
    assert_eq!(sets, [asks.0], "to be asked");
    for right in [asks, asks, steers] {
        world.release(right);
    }
    world.at_baseline();
}

// covers: T-12
#[test]
fn the_set_tells_how_much_is_in_it() {
    let world = World::new(Config::with_cpus(2));
    let (asks, steers) = rights(&world);
    for right in [asks, steers] {
        let set = world.client::<dyn ProcessorSet>(right);
        let count = processor_set::BASIC_COUNT;
        let told = set.info(processor_set::BASIC, count).unwrap();
        assert_eq!(*told, [2, basic::TIMESHARE]);
        assert_eq!(code(set.info(processor_set::BASIC, count - 1)), K::Failure);
        assert_eq!(
            code(set.info(processor_set::LOAD, ROOM)),
            K::InvalidArgument
        );
        let child = world.child();
        let (_, thread) = child.thread();
        let count = processor_set::LOAD_COUNT;
        let told = set.statistics(processor_set::LOAD, count).unwrap();
        assert_eq!((told.len(), &told[..2]), (4, &[2, 2][..]), "tasks, threads");
        assert_eq!(
            code(set.statistics(processor_set::LOAD, count - 1)),
            K::Failure
        );
        let other = set.statistics(processor_set::BASIC, ROOM);
        assert_eq!(code(other), K::InvalidArgument);
        world.release(thread);
        child.end();
        world.release(right);
    }
    world.at_baseline();
}

// covers: T-12
#[test]
fn all_tasks_and_threads_are_in_it() {
    const MANY: u32 = 150;
    let world = World::single();
    let (asks, steers) = rights(&world);
    let asked = world.client::<dyn ProcessorSet>(asks);
    assert_eq!(code(asked.tasks()), K::NoAccess);
    assert_eq!(code(asked.threads()), K::NoAccess);
    let set = world.client::<dyn ProcessorSet>(steers);
    let limits = Limits {
        threads: MANY,
        kernel_bytes: 1 << 20,
        ..LIMITS
    };
    let right = world.own().create(limits, 5, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    let mut threads: Vec<Name> = (0..MANY)
        .map(|_| task.thread_create(state()).unwrap().0)
        .collect();
    let own = Name(world.trap(trap::THREAD_SELF, &[]).unwrap() as u32);
    threads.push(own);
    let mut tasks = world.take_array(set.tasks().unwrap());
    let steps = world.sim.borrow().pauses;
    let mut found = world.take_array(set.threads().unwrap());
    assert!(world.sim.borrow().pauses - steps >= u64::from(MANY / 64));
    let mut expected = vec![world.root(abi::start::names::TASK).name, right.0];
    for list in [&mut tasks, &mut expected, &mut found, &mut threads] {
        list.sort();
    }
    assert_eq!((&tasks, &found), (&expected, &threads));
    for name in tasks.iter().chain(&found).chain(&threads) {
        world.release(copy(*name));
    }
    task.terminate().unwrap();
    for right in [right, asks, steers] {
        world.release(right);
    }
    world.at_baseline();
}

// covers: T-12
#[test]
fn processors_tell_and_are_assigned_to_it_and_to_nothing_else() {
    let world = World::new(Config::with_cpus(2));
    let (asks, steers) = rights(&world);
    assert_eq!(code(everybody(&world).processors()), K::NoAccess);
    let processors = world.take_array(privileged(&world).processors().unwrap());
    assert_eq!(processors.len(), 2);
    for (index, name) in processors.iter().enumerate() {
        let processor = world.client::<dyn Processor>(copy(*name));
        let told = processor
            .info(processor::BASIC, processor::BASIC_COUNT)
            .unwrap();
        assert_eq!(told[3], index as u32);
        let short = processor.info(processor::BASIC, processor::BASIC_COUNT - 1);
        assert_eq!(code(short), K::Failure);
        assert_eq!(code(processor.info(9, ROOM)), K::InvalidArgument);
        let load = processor.info(processor::CPU_LOAD, ROOM).unwrap();
        assert_eq!(load.len() as u32, processor::CPU_LOAD_COUNT);
        assert_eq!(processor.assignment(), Ok(asks));
        world.release(asks);
        assert_eq!(moved(processor.assign(copy(steers.0))), K::Success);
        assert_eq!(moved(processor.assign(copy(asks.0))), K::InvalidArgument);
    }
    for name in processors {
        world.release(copy(name));
    }
    for right in [asks, steers] {
        world.release(right);
    }
    world.at_baseline();
}

// covers: T-12
#[test]
fn tasks_and_threads_are_assigned_to_it_and_to_nothing_else() {
    let world = World::single();
    let (asks, steers) = rights(&world);
    let child = world.child();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    for threads in [0, 1] {
        assert_eq!(
            moved(child.task.assign(copy(steers.0), threads)),
            K::Success
        );
        assert_eq!(code(child.task.assign_default(threads)), K::Success);
    }
    assert_eq!(code(child.task.assign_default(2)), K::InvalidArgument);
    assert_eq!(moved(thread.assign(copy(steers.0))), K::Success);
    assert_eq!(code(thread.assign_default()), K::Success);
    for wrong in [asks, right, child.right] {
        let refused = child.task.assign(copy(wrong.0), 0);
        assert_eq!(moved(refused), K::InvalidArgument);
        assert_eq!(moved(thread.assign(copy(wrong.0))), K::InvalidArgument);
    }
    assert_eq!(child.task.assignment(), Ok(asks));
    assert_eq!(thread.assignment(), Ok(asks));
    for right in [asks, asks, asks, steers, right] {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}
