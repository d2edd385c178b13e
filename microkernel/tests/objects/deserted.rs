//! Tasks that nobody can reach: they end by themselves, and their creator gets its share back.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::trap;
use interfaces::task::{Task, TaskClient};
use interfaces::thread::Thread;
use sim::{Request, image};

use crate::transport::{Give, Port};
use crate::world::{LIMITS, World, copy, moved, state};

/// A child that nobody has touched yet.
fn child(world: &World) -> (Give, TaskClient<Port<'_>>) {
    let right = world.own().create(LIMITS, 77, 0).unwrap();
    (right, world.client::<dyn Task>(right))
}

#[test]
fn a_task_without_threads_ends_with_the_last_right_to_it() {
    let world = World::single();
    let before = world.own().ledger().unwrap();
    for inherit in [0, 1] {
        let right = world.own().create(LIMITS, 77, inherit).unwrap();
        let task = world.client::<dyn Task>(right);
        task.vm_allocate(image::DATA + (1 << 30), 1 << 16, 0)
            .unwrap();
        task.port_allocate(abi::names::right::RECEIVE).unwrap();
        world.release(right);
        world.at_baseline();
        assert_eq!(world.own().ledger().unwrap(), before);
    }
}

#[test]
fn its_own_rights_to_itself_do_not_keep_a_task() {
    let world = World::single();
    let before = world.own().ledger().unwrap();
    let (right, task) = child(&world);
    assert_eq!(
        moved(task.insert_send(Name::NULL, copy(right.0))),
        K::Success
    );
    assert_eq!(moved(task.set_exception_port(copy(right.0))), K::Success);
    world.release(right);
    world.at_baseline();
    assert_eq!(world.own().ledger().unwrap(), before);
}

/// Nobody lets go of the last right: it goes where it counts for nothing.
#[test]
fn the_last_right_to_a_task_may_move_into_the_task_itself() {
    for way in 0..4 {
        let world = World::single();
        let before = world.own().ledger().unwrap();
        let (right, task) = child(&world);
        let last = Give(right.0, disposition::MOVE_SEND);
        let code = match way {
            0 => moved(task.insert_send(Name::NULL, last)),
            1 => moved(task.insert_send(Name::new(9, 0), last)),
            2 => moved(task.set_exception_port(last)),
            _ => {
                assert_eq!(
                    moved(task.insert_send(Name::NULL, copy(right.0))),
                    K::Success
                );
                moved(task.insert_send(Name::NULL, last))
            }
        };
        // The task may be gone before it can be said.
        assert!(
            matches!(code, K::Success | K::Terminated),
            "way {way}: {code:?}"
        );
        world.at_baseline();
        assert_eq!(world.own().ledger().unwrap(), before, "way {way}");
    }
}

#[test]
fn a_right_that_another_task_or_a_message_holds_keeps_a_task() {
    let world = World::single();
    let (friend, others) = child(&world);
    let (right, _) = child(&world);
    let kept = others.insert_send(Name::NULL, copy(right.0)).unwrap();
    world.release(right);
    assert_eq!(world.sim.borrow().kernel.census().tasks, 3);
    // Back it comes, into a message to the first task itself.
    let again = others.extract_send(kept, disposition::MOVE_SEND).unwrap();
    let mut sim = world.sim.borrow_mut();
    let mailbox = sim.on(world.first).port();
    let letter = Request::send(mailbox).port(again.0, disposition::MOVE_SEND);
    sim.on(world.first).message(&letter);
    assert_eq!(sim.kernel.census().tasks, 3);
    // The message ends with its port, the task with the message.
    sim.on(world.first).destroy(mailbox).unwrap();
    assert_eq!(sim.kernel.census().tasks, 2);
    drop(sim);
    world.release(friend);
    world.at_baseline();
}

#[test]
fn a_thread_that_can_never_run_keeps_nothing() {
    for task_first in [false, true] {
        let world = World::single();
        let before = world.own().ledger().unwrap();
        let (right, task) = child(&world);
        let thread = task.thread_create(state()).unwrap();
        let (one, other) = if task_first {
            (right, thread)
        } else {
            (thread, right)
        };
        world.release(one);
        assert_eq!(world.sim.borrow().kernel.census().tasks, 2);
        world.release(other);
        world.at_baseline();
        assert_eq!(world.own().ledger().unwrap(), before);
    }
}

/// Its port was the last way to the task.
#[test]
fn a_thread_that_is_ended_before_it_ever_ran_keeps_nothing() {
    let world = World::single();
    let before = world.own().ledger().unwrap();
    let (right, task) = child(&world);
    let thread = task.thread_create(state()).unwrap();
    world.release(right);
    world.client::<dyn Thread>(thread).terminate().unwrap();
    assert_eq!(world.sim.borrow().kernel.census().tasks, 1);
    world.release(thread);
    world.at_baseline();
    assert_eq!(world.own().ledger().unwrap(), before);
}

#[test]
fn a_task_that_runs_needs_no_right_to_it_until_its_last_thread_ends() {
    for by_suspension in [false, true] {
        let world = World::single();
        let before = world.own().ledger().unwrap();
        let child = world.child();
        let (thread, right) = child.thread();
        if by_suspension {
            world.release(child.right);
            world.sim.borrow_mut().pass_time(100_000_000);
            assert_eq!(world.sim.borrow().kernel.census().tasks, 2);
            let client = world.client::<dyn Thread>(right);
            client.suspend().unwrap();
            world.release(right);
        } else {
            world.release(right);
            world.release(child.right);
            let mut sim = world.sim.borrow_mut();
            assert_eq!(sim.kernel.census().tasks, 2);
            assert_eq!(sim.on(thread).start(trap::THREAD_EXIT, &[]), None);
        }
        world.at_baseline();
        assert_eq!(world.own().ledger().unwrap(), before);
    }
}

#[test]
fn the_children_of_a_dead_task_end_one_after_the_other() {
    let world = World::single();
    let before = world.own().ledger().unwrap();
    let (right, _) = child(&world);
    // Each task is reached from the one before alone.
    let mut last = right;
    for depth in 1..=20 {
        let limits = abi::task::Limits {
            names: LIMITS.names - depth * 10,
            messages: LIMITS.messages - depth,
            threads: 1,
            pages: LIMITS.pages - depth * 4,
            kernel_bytes: LIMITS.kernel_bytes - u64::from(depth) * 4096,
        };
        let parent = world.client::<dyn Task>(last);
        let next = parent.create(limits, 77, 0).unwrap();
        parent.insert_send(Name::NULL, copy(next.0)).unwrap();
        if last != right {
            world.release(last);
        }
        last = next;
    }
    world.release(last);
    assert_eq!(world.sim.borrow().kernel.census().tasks, 22);
    world.release(right);
    world.at_baseline();
    assert_eq!(world.own().ledger().unwrap(), before);
}
