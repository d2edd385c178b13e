//! Tables that are mostly free: what searches them takes steps, and chosen names cost no more than others.

use std::collections::BTreeSet;

use abi::kern_return::KernReturn;
use abi::names::{Name, right};
use abi::start::names::HOST_PRIVILEGED;
use abi::task::Limits;
use abi::trap;
use interfaces::host::Host;
use interfaces::task::Task;
use sim::Config;

use crate::world::{LIMITS, World, state};

/// Names that one step looks at, in round figures.
const STEP: u64 = 512;

/// The steps that something takes.
fn steps<T>(world: &World, run: impl FnOnce() -> T) -> (u64, T) {
    let before = world.sim.borrow().pauses;
    let result = run();
    (world.sim.borrow().pauses - before, result)
}

// covers: P-14
#[test]
fn a_right_far_behind_free_names_is_found_in_steps() {
    let world = World::single();
    let child = world.child();
    let far = Name::new(7000, 5);
    let made = child.task.port_allocate_name(right::RECEIVE, far);
    assert_eq!(made, Ok(far));
    let (taken, list) = steps(&world, || child.task.rights(Name::new(3, 0)).unwrap());
    assert_eq!(
        list.iter().map(|right| right.name).collect::<Vec<_>>(),
        [far]
    );
    assert!(taken >= 7000 / STEP - 1, "{taken} steps");
    let (_, list) = steps(&world, || child.task.rights(far).unwrap());
    assert!(list.is_empty());
    let (taken, ()) = steps(&world, || child.end());
    assert!(
        taken >= 2 * (7000 / STEP - 1),
        "two rounds in {taken} steps"
    );
    world.at_baseline();
}

// covers: P-14
#[test]
fn names_of_the_kernels_choice_pass_over_chosen_ones() {
    let world = World::single();
    let child = world.child();
    let chosen: BTreeSet<u32> = (5..400).chain([7000]).collect();
    for index in &chosen {
        let name = Name::new(*index, 3);
        assert_eq!(
            child.task.port_allocate_name(right::DEAD_NAME, name),
            Ok(name)
        );
    }
    let fresh: BTreeSet<u32> = (0..900)
        .map(|_| child.task.port_allocate(right::DEAD_NAME).unwrap().index())
        .collect();
    assert_eq!(fresh.len(), 900);
    assert!(fresh.is_disjoint(&chosen));
    // What is below them all is used in the end, too.
    assert!((400..900).all(|index| fresh.contains(&index)));
    child.end();
    world.at_baseline();
}

// covers: T-03
#[test]
fn threads_far_behind_free_places_are_found_in_steps() {
    const MANY: u32 = 1500;
    let world = World::new(Config::default());
    let limits = Limits {
        threads: MANY,
        kernel_bytes: 4 << 20,
        pages: 1000,
        ..LIMITS
    };
    let right = world.own().create(limits, 77, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    for _ in 0..MANY {
        world.release(task.thread_create(state()).unwrap());
    }
    task.terminate().unwrap();
    world.release(right);
    let host = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    let (taken, list) = steps(&world, || host.threads(3).unwrap());
    assert!(list.is_empty());
    assert!(taken >= 2, "{taken} steps");
    let (taken, done) = steps(&world, || host.set_fast_path(0));
    assert_eq!(done, Ok(()));
    assert!(taken >= 2, "{taken} steps");
    host.set_fast_path(1).unwrap();
    world.at_baseline();
}

// covers: P-33
#[test]
fn a_set_with_many_members_ends_in_steps() {
    let world = World::single();
    let set = world
        .trap(trap::PORT_ALLOCATE, &[right::PORT_SET.into()])
        .unwrap();
    let ports: Vec<u64> = (0..300)
        .map(|_| {
            let port = world
                .trap(trap::PORT_ALLOCATE, &[right::RECEIVE.into()])
                .unwrap();
            world.trap(trap::PORT_INSERT_MEMBER, &[port, set]).unwrap();
            port
        })
        .collect();
    let (taken, ended) = steps(&world, || world.trap(trap::PORT_DESTROY, &[set]));
    assert_eq!(ended, Ok(0));
    assert!(taken >= 300 / 64, "{taken} steps");
    for port in ports {
        let alone = world.trap(trap::PORT_EXTRACT_MEMBER, &[port, set]);
        assert_eq!(alone, Err(KernReturn::InvalidName));
        let sets = world.trap(
            trap::PORT_GET_ATTRIBUTE,
            &[port, trap::attribute::PORT_SETS],
        );
        assert_eq!(sets, Ok(0));
        world.trap(trap::PORT_DESTROY, &[port]).unwrap();
    }
    world.at_baseline();
}
