//! Ports that are kept for a task, and what threads do not offer.

use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::task::special;
use abi::{start, trap};
use interfaces::task::Task;
use sim::Request;

use crate::world::{LIMITS, World, code, copy, moved};

// covers: T-06
#[test]
fn a_task_has_its_own_port_and_the_host_s_at_first() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let mailbox = world.sim.borrow_mut().on(world.first).port();
    // What a task has at first.
    assert_eq!(task.special_port(special::KERNEL), Ok(child.right));
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    assert_eq!(task.special_port(special::HOST), Ok(copy(host)));
    for right in [child.right, copy(host)] {
        world.release(right);
    }
    assert_eq!(code(task.special_port(special::BOOTSTRAP)), K::Failure);
    for which in [0, 7, 8, u32::MAX] {
        let set = task.set_special_port(which, copy(mailbox));
        assert_eq!(moved(set), K::InvalidArgument);
        assert_eq!(code(task.special_port(which)), K::InvalidArgument);
        assert_eq!(code(task.clear_special_port(which)), K::InvalidArgument);
    }
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(mailbox)
        .unwrap();
    world.release(copy(host));
    child.end();
    world.at_baseline();
}

// covers: T-06
#[test]
fn ports_are_kept_for_a_task_and_its_children() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    let mailbox = world.sim.borrow_mut().on(world.first).port();
    for which in [special::BOOTSTRAP, special::HOST] {
        let set = task.set_special_port(which, copy(mailbox));
        assert_eq!(moved(set), K::Success);
    }
    for index in 0..3 {
        assert_eq!(code(task.ports_lookup(index)), K::Failure);
        let kept = task.ports_register(index, copy(mailbox));
        assert_eq!(moved(kept), K::Success);
    }
    assert_eq!(
        moved(task.ports_register(3, copy(mailbox))),
        K::InvalidArgument
    );
    assert_eq!(code(task.ports_lookup(3)), K::InvalidArgument);
    let few = abi::task::Limits {
        pages: LIMITS.pages / 4,
        kernel_bytes: LIMITS.kernel_bytes / 4,
        ..abi::task::Limits::default()
    };
    let grandchild = task.create(few, 1, 0).unwrap();
    let young = world.client::<dyn Task>(grandchild);
    assert_eq!(young.special_port(special::KERNEL), Ok(grandchild));
    for which in [special::BOOTSTRAP, special::HOST] {
        assert_eq!(young.special_port(which), Ok(copy(mailbox)));
        world.release(copy(mailbox));
    }
    for index in 0..3 {
        assert_eq!(young.ports_lookup(index), Ok(copy(mailbox)));
        world.release(copy(mailbox));
    }
    world.release(grandchild);
    task.clear_special_port(special::BOOTSTRAP).unwrap();
    assert_eq!(code(task.special_port(special::BOOTSTRAP)), K::Failure);
    // Overwriting and ending release; who sends to a port that died is told so.
    let other = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(moved(task.ports_register(0, copy(other))), K::Success);
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(mailbox)
        .unwrap();
    assert_eq!(code(task.ports_lookup(1)), K::Failure);
    young.terminate().unwrap();
    child.task.terminate().unwrap();
    let call = world.port(child.right.0).raw(&Request::call(child.right.0));
    assert_eq!(call.code, abi::kern_return::MessageReturn::SendInvalidDest);
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(other)
        .unwrap();
    world.release(grandchild);
    world.release(child.right);
    world.at_baseline();
}

// covers: T-06
#[test]
fn what_stands_for_task_and_host_can_be_replaced() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let mailbox = world.sim.borrow_mut().on(world.first).port();
    for (which, number) in [
        (special::KERNEL, trap::TASK_SELF),
        (special::HOST, trap::HOST_SELF),
    ] {
        let set = child.task.set_special_port(which, copy(mailbox));
        assert_eq!(moved(set), K::Success);
        let mut sim = world.sim.borrow_mut();
        let name = sim.on(index).trap(number, &[]).unwrap();
        let hello = Request::send(Name(name as u32)).id(which as i32);
        sim.on(index).message(&hello);
        assert_eq!(sim.on(world.first).poll(mailbox).id, which as i32);
    }
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(mailbox)
        .unwrap();
    assert!(
        world
            .root(start::names::TASK)
            .raw(&Request::call(right.0))
            .id
            != 0
    );
    world.release(right);
    child.end();
    world.at_baseline();
}
