//! Tasks with many threads: what concerns all of them takes steps, and is complete when the caller goes on.

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::task::Limits;
use abi::trap;
use interfaces::task::{FIRST_THREAD, Task};
use interfaces::thread::Thread;
use sim::{Config, Request};

use crate::world::{LIMITS, World, code, state};

/// So many that some must wait for a third step.
const MANY: u32 = 150;

fn limits() -> Limits {
    Limits {
        threads: MANY,
        kernel_bytes: 1 << 20,
        pages: 1000,
        ..LIMITS
    }
}

// covers: T-03
#[test]
fn a_task_with_many_threads_is_suspended_and_resumed_in_steps() {
    for cpus in [1, 2] {
        let world = World::new(Config::with_cpus(cpus));
        let right = world.own().create(limits(), 77, 0).unwrap();
        let task = world.client::<dyn Task>(right);
        let threads: Vec<_> = (0..MANY)
            .map(|_| task.thread_create(state()).unwrap())
            .collect();
        let count = |n: usize| {
            let thread = world.client::<dyn Thread>(threads[n]);
            thread.info().unwrap().suspend_count
        };
        let mut before = world.sim.borrow().pauses;
        let mut steps = || {
            let now = world.sim.borrow().pauses;
            core::mem::replace(&mut before, now).abs_diff(now)
        };
        task.suspend().unwrap();
        assert!(steps() >= u64::from(MANY / 64));
        assert!((0..MANY as usize).all(|n| count(n) == 2));
        // Twice is not more for the threads, and a new one is held as well.
        task.suspend().unwrap();
        task.resume().unwrap();
        assert!((0..MANY as usize).all(|n| count(n) == 2));
        world.client::<dyn Thread>(threads[3]).resume().unwrap();
        assert_eq!(count(3), 1, "its task still holds it");
        steps();
        task.resume().unwrap();
        assert!(steps() >= u64::from(MANY / 64));
        assert_eq!(count(3), 0);
        assert!((4..MANY as usize).all(|n| count(n) == 1));
        for thread in threads {
            world.release(thread);
        }
        task.terminate().unwrap();
        world.release(right);
        world.at_baseline();
    }
}

#[test]
fn a_task_with_many_threads_ends_in_steps() {
    for cpus in [1, 3] {
        let world = World::new(Config::with_cpus(cpus));
        let right = world.own().create(limits(), 77, 0).unwrap();
        let task = world.client::<dyn Task>(right);
        task.vm_allocate(sim::image::DATA, sim::image::DATA_PAGES * 4096, 0)
            .unwrap();
        let mut indices = Vec::new();
        for _ in 0..MANY {
            let thread = task.thread_create(state()).unwrap();
            let client = world.client::<dyn Thread>(thread);
            client.resume().unwrap();
            indices.push(client.info().unwrap().index);
            world.release(thread);
        }
        world.release(right);
        let before = world.sim.borrow().pauses;
        // One of them ends them all; those that run elsewhere stop, too.
        let mut sim = world.sim.borrow_mut();
        let ended = sim.on(indices[70]).start(trap::TASK_EXIT, &[]);
        assert_eq!(ended, None);
        assert!(sim.pauses - before >= u64::from(MANY / 64));
        drop(sim);
        world.trap(trap::NULL, &[]).unwrap();
        world.at_baseline();
    }
}

// covers: T-04
#[test]
fn threads_are_listed_in_parts() {
    let world = World::single();
    let right = world.own().create(limits(), 77, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    let mut made: Vec<_> = (0..MANY)
        .map(|_| {
            let thread = task.thread_create(state()).unwrap();
            let index = world.client::<dyn Thread>(thread).info().unwrap().index;
            world.release(thread);
            index
        })
        .collect();
    let (mut found, mut after, mut calls) = (Vec::new(), FIRST_THREAD, 0);
    loop {
        let part = task.threads(after).unwrap();
        let Some(last) = part.last() else { break };
        after = *last;
        calls += 1;
        found.extend(part.iter().copied());
    }
    assert_eq!(calls, MANY.div_ceil(64));
    found.sort_unstable();
    made.sort_unstable();
    assert_eq!(found, made);
    let unknown = task.threads(world.first);
    assert_eq!(code(unknown), abi::kern_return::KernReturn::InvalidArgument);
    task.terminate().unwrap();
    world.release(right);
    world.at_baseline();
}

// covers: T-04 M-24
#[test]
fn the_rights_to_all_threads_come_in_one_array() {
    let world = World::single();
    let right = world.own().create(limits(), 77, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    for count in [0, 1, 3, MANY] {
        let mut made = Vec::new();
        for _ in 0..count {
            made.push(task.thread_create(state()).unwrap());
        }
        let array = task.thread_rights().unwrap();
        assert_eq!(array.count, count);
        let names = world.take_array(array);
        // The newest comes first, under the name that its maker has.
        let expected: Vec<_> = made.iter().rev().map(|made| made.0).collect();
        assert_eq!(names, expected);
        for thread in made {
            world.client::<dyn Thread>(thread).terminate().unwrap();
            // One reference by the call, one by the array.
            world.release(thread);
            world.release(thread);
        }
    }
    task.terminate().unwrap();
    world.release(right);
    world.at_baseline();
}

// covers: T-04
#[test]
fn the_own_threads_are_counted_as_they_come_and_go() {
    let world = World::single();
    let own = world.own();
    let count = || {
        let array = own.thread_rights().unwrap();
        let names = world.take_array(array);
        for name in &names {
            world.trap(trap::PORT_DEALLOCATE, &[name.0.into()]).unwrap();
        }
        names.len()
    };
    assert_eq!(count(), 1);
    let two = [(); 2].map(|()| own.thread_create(state()).unwrap());
    assert_eq!(count(), 3);
    for thread in two {
        world.client::<dyn Thread>(thread).terminate().unwrap();
        world.release(thread);
    }
    assert_eq!(count(), 1);
    world.at_baseline();
}

// covers: P-16
#[test]
fn all_names_are_listed_with_what_they_denote() {
    use abi::names::{port_type, right};
    let world = World::single();
    let own = world.own();
    let list = || {
        let (memory, count) = own.port_names().unwrap();
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(world.first);
        let mut word = |at| u32::from_le_bytes(me.peek(memory.address + at));
        let found: Vec<_> = (0..u64::from(count))
            .map(|n| (Name(word(n * 4)), word(memory.size / 2 + n * 4)))
            .collect();
        let range = [memory.address, memory.size];
        me.trap(trap::VM_DEALLOCATE, &range).unwrap();
        found
    };
    let before = list();
    assert!(before.iter().all(|(name, _)| name.is_valid()));
    let mut made = Vec::new();
    {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(world.first);
        for n in 0..300 {
            made.push(match n % 4 {
                0 => (me.port(), port_type::SEND | port_type::RECEIVE),
                1 => (me.allocate(right::PORT_SET).unwrap(), port_type::PORT_SET),
                2 => (me.allocate(right::DEAD_NAME).unwrap(), port_type::DEAD_NAME),
                _ => {
                    let name = me.port();
                    me.mod_refs(name, right::RECEIVE, -1).unwrap();
                    (name, port_type::DEAD_NAME)
                }
            });
        }
    }
    let mut found = list();
    for old in &before {
        let place = found.iter().position(|new| new == old).unwrap();
        found.remove(place);
    }
    found.sort_by_key(|(name, _)| name.0);
    made.sort_by_key(|(name, _)| name.0);
    assert_eq!(found, made);
    let mut sim = world.sim.borrow_mut();
    for (name, _) in made {
        sim.on(world.first).destroy(name).unwrap();
    }
    drop(sim);
    world.at_baseline();
}

// covers: M-25 P-36
#[test]
fn the_many_who_waited_on_a_port_that_moved_are_told_in_steps() {
    let world = World::single();
    let right = world.own().create(limits(), 77, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    task.vm_allocate(sim::image::DATA, sim::image::DATA_PAGES * 4096, 0)
        .unwrap();
    let mut threads: Vec<_> = (0..MANY)
        .map(|_| {
            let thread = task.thread_create(state()).unwrap();
            let client = world.client::<dyn Thread>(thread);
            client.resume().unwrap();
            let index = client.info().unwrap().index;
            world.release(thread);
            index
        })
        .collect();
    let mover = threads.pop().unwrap();
    let mut sim = world.sim.borrow_mut();
    sim.on(mover).register_buffer();
    let (port, away) = (sim.on(mover).port(), sim.on(mover).port());
    for waiter in &threads {
        let wait = Request::receive(port);
        assert_eq!(sim.on(*waiter).start_message(&wait), None);
    }
    let before = sim.pauses;
    let letter = Request::send(away).port(port, disposition::MOVE_RECEIVE);
    sim.on(mover).message(&letter);
    assert!(sim.pauses - before >= u64::from(MANY / 64));
    // Nobody who waited gets what comes after the move.
    sim.on(mover).message(&Request::send(port).id(5));
    for waiter in threads {
        let told = sim.on(waiter).finish_message();
        assert_eq!(told.code, MessageReturn::ReceivePortChanged);
    }
    let moved = sim.on(mover).poll(away).body.unwrap().descriptors[0].name;
    assert_eq!(Name(moved), port, "it joins the send right");
    assert_eq!(sim.on(mover).poll(port).id, 5);
    drop(sim);
    task.terminate().unwrap();
    world.release(right);
    world.at_baseline();
}
