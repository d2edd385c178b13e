//! Threads through their ports.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition, right};
use abi::start::names::HOST_PRIVILEGED;
use abi::task::{DEFAULT_PRIORITY, Limits};
use abi::thread_state::ThreadState;
use abi::trap;
use interfaces::host::Host;
use interfaces::task::Task;
use interfaces::thread::Thread;
use microkernel::machine::Event;
use sim::{Config, Request, image};

use crate::world::{World, code, copy, moved, state};

// covers: T-07 T-08
#[test]
fn a_thread_begins_with_the_registers_that_it_was_given_and_can_be_given_others() {
    let world = World::single();
    let child = world.child();
    let right = child.task.thread_create(state()).unwrap();
    let thread = world.client::<dyn Thread>(right);
    let suspended = thread.info().unwrap();
    assert_eq!((suspended.suspend_count, suspended.state), (1, 0));
    let mut given = state();
    given.rflags = 0x202;
    assert_eq!(thread.get_state(), Ok(given));
    given.rax = 7;
    given.r15 = 8;
    given.fs_base = 0x1234_5678_9000;
    given.gs_base = 0x7000_0000_0008;
    thread.set_state(given).unwrap();
    thread.resume().unwrap();
    assert_eq!(code(thread.resume()), K::Failure);
    let index = thread.info().unwrap().index;
    let mut sim = world.sim.borrow_mut();
    sim.until_runs(index);
    let frame = *sim.machine.registers(index);
    assert_eq!((frame.rax, frame.words[5], frame.rip), (7, 8, image::CODE));
    let bases = (frame.fs_base, frame.gs_base);
    assert_eq!(bases, (given.fs_base, given.gs_base));
    drop(sim);
    let kernel_flags = ThreadState {
        rflags: u64::MAX,
        ..given
    };
    thread.suspend().unwrap();
    thread.set_state(kernel_flags).unwrap();
    let set = thread.get_state().unwrap();
    assert_eq!(set.rflags & 0x3000, 0, "no I/O privilege");
    assert_ne!(set.rflags & 0x200, 0, "interrupts stay on");
    let hole = 0x8000_0000_0000;
    let bad = [
        ThreadState { rip: hole, ..given },
        ThreadState {
            fs_base: hole,
            ..given
        },
        ThreadState {
            gs_base: hole,
            ..given
        },
    ];
    for state in bad {
        assert_eq!(code(thread.set_state(state)), K::InvalidArgument);
    }
    assert_eq!(thread.get_state(), Ok(set), "and nothing has changed");
    world.release(right);
    child.end();
    world.at_baseline();
}

#[test]
fn registers_of_a_thread_that_nothing_stops_are_not_to_be_had() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    assert_eq!(code(thread.get_state()), K::Failure);
    assert_eq!(code(thread.set_state(state())), K::Failure);
    // A thread that waits stands still; but the end of its wait would write the registers.
    let mut sim = world.sim.borrow_mut();
    let mailbox = sim.on(index).port();
    assert_eq!(
        sim.on(index).start_message(&Request::receive(mailbox)),
        None
    );
    drop(sim);
    assert_eq!(thread.info().unwrap().state, 2);
    assert_eq!(thread.get_state().unwrap().rsp, state().rsp);
    assert_eq!(code(thread.set_state(state())), K::Failure);
    thread.abort().unwrap();
    let answer = world.sim.borrow_mut().on(index).finish_message();
    assert_eq!(answer.code, MessageReturn::ReceiveInterrupted);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-09
#[test]
fn an_abort_ends_every_wait() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.abort().unwrap();
    let waits: [(i64, &[u64]); 2] = [
        (trap::WAIT_UNTIL, &[u64::MAX]),
        (trap::FUTEX_WAIT, &[image::DATA, 0, u64::MAX]),
    ];
    for (number, arguments) in waits {
        let started = world.sim.borrow_mut().on(index).start(number, arguments);
        assert_eq!(started, None);
        assert_ne!(thread.info().unwrap().state, 0);
        thread.abort().unwrap();
        let answer = world.sim.borrow_mut().on(index).finish();
        assert_eq!(answer.frame.rax, u64::from(K::Aborted.0));
    }
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-07
#[test]
fn a_thread_is_ended_whatever_it_does() {
    let world = World::single();
    let child = world.child();
    // Suspended.
    let right = child.task.thread_create(state()).unwrap();
    world.client::<dyn Thread>(right).terminate().unwrap();
    let call = world.port(right.0).raw(&Request::call(right.0).id(3604));
    assert_eq!(call.code, MessageReturn::SendInvalidDest);
    world.release(right);
    // Ready.
    let (_, right) = child.thread();
    world.client::<dyn Thread>(right).terminate().unwrap();
    world.release(right);
    // Waiting for an answer.
    let service = world.sim.borrow_mut().on(world.first).port();
    child.task.insert_send(Name::NULL, copy(service)).unwrap();
    let (index, right) = child.thread();
    let call = Request::call(Name::new(1, 1));
    assert_eq!(world.sim.borrow_mut().on(index).start_message(&call), None);
    world.client::<dyn Thread>(right).terminate().unwrap();
    world.release(right);
    // Itself.
    let (index, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let own = sim.on(index).trap(trap::THREAD_SELF, &[]).unwrap();
    let goodbye = Request::call(Name(own as u32)).id(<dyn Thread>::TERMINATE.id);
    assert_eq!(sim.on(index).start_message(&goodbye), None);
    sim.on(world.first).destroy(service).unwrap();
    drop(sim);
    world.release(right);
    assert_eq!(child.task.info().unwrap().threads, 0);
    child.end();
    world.at_baseline();
}

#[test]
fn a_thread_suspends_itself_until_another_one_resumes_it() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let own = sim.on(index).trap(trap::THREAD_SELF, &[]).unwrap();
    let suspend = Request::call(Name(own as u32)).id(<dyn Thread>::SUSPEND.id);
    assert_eq!(sim.on(index).start_message(&suspend), None);
    drop(sim);
    world.client::<dyn Thread>(right).resume().unwrap();
    let answer = world.sim.borrow_mut().on(index).finish_message();
    assert_eq!(answer.words[0], 0);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-08
#[test]
fn a_thread_that_is_ending_and_has_not_stopped_yet_is_terminated() {
    // Some schedules stop it before anybody looks; most do not.
    let seen = (0..8).filter(|seed| ends_elsewhere(*seed)).count();
    assert!(seen >= 3, "{seen} of 8");
}

/// Whether a thread of another CPU was still to be asked after its end had begun.
fn ends_elsewhere(seed: u64) -> bool {
    let world = World::new(Config {
        seed,
        ..Config::with_cpus(3)
    });
    let child = world.child();
    let (index, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let asks = sim.add_thread(world.first);
    for thread in [index, asks, world.first] {
        sim.until_runs(thread);
    }
    let call = |method: i32| Request::call(right.0).id(method);
    let ending = sim
        .on(world.first)
        .message_steps(&call(<dyn Thread>::TERMINATE.id), 1);
    let there = sim.cpu_of(index).is_some();
    let mut ask = |method: i32| sim.on(asks).message(&call(method)).words[0];
    let methods = [
        <dyn Thread>::TERMINATE.id,
        <dyn Thread>::SUSPEND.id,
        <dyn Thread>::RESUME.id,
        <dyn Thread>::ABORT.id,
        <dyn Thread>::INFO.id,
        <dyn Thread>::GET_STATE.id,
    ];
    if there {
        let answers = methods.map(&mut ask);
        assert_eq!(answers, [K::Terminated.0.into(); 6]);
    }
    sim.event(ending, Event::Continue);
    assert_eq!(sim.cpu_of(index), None);
    let answer = sim.on(world.first).finish_message();
    assert_eq!((answer.code, answer.words[0]), (MessageReturn::Success, 0));
    assert_eq!(sim.on(asks).start(trap::THREAD_EXIT, &[]), None);
    drop(sim);
    world.release(right);
    child.end();
    there
}

// covers: T-08
#[test]
fn a_thread_on_another_cpu_is_stopped_before_its_registers_are_read() {
    let world = World::new(Config::with_cpus(2));
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    world.sim.borrow_mut().until_runs(index);
    for _ in 0..20 {
        thread.suspend().unwrap();
        assert_eq!(thread.get_state().unwrap().rdi, 5);
        let moved = ThreadState {
            rbx: 9,
            ..thread.get_state().unwrap()
        };
        thread.set_state(moved).unwrap();
        world.sim.borrow_mut().registers_were_set(index);
        assert_eq!(world.sim.borrow().cpu_of(index), None);
        thread.resume().unwrap();
        world.sim.borrow_mut().until_runs(index);
    }
    thread.terminate().unwrap();
    while world.sim.borrow_mut().deliver() {}
    world.release(right);
    child.end();
    world.at_baseline();
}

#[test]
fn a_task_s_limit_of_priority_holds_its_threads_and_its_children() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.suspend().unwrap();
    thread.set_priority(100, 1).unwrap();
    child.task.set_priority_limit(90).unwrap();
    assert_eq!(child.task.info().unwrap().priority_limit, 90);
    assert_eq!(thread.info().unwrap().priority, 90, "it came down");
    assert_eq!(code(thread.set_priority(91, 0)), K::NoAccess);
    thread.set_priority(90, 0).unwrap();

    // Whoever holds the task may lower it, but not take that back.
    child.task.set_priority_limit(20).unwrap();
    assert_eq!(code(child.task.set_priority_limit(21)), K::NoAccess);
    assert_eq!(code(child.task.set_priority_limit(128)), K::InvalidArgument);
    let late = child.task.thread_create(state()).unwrap();
    let begins = world.client::<dyn Thread>(late).info().unwrap().priority;
    assert_eq!(begins, 20, "lower than threads begin elsewhere");
    let few = Limits {
        pages: 16,
        kernel_bytes: 1 << 16,
        ..Limits::default()
    };
    let grandchild = child.task.create(few, 1, 0).unwrap();
    let client = world.client::<dyn Task>(grandchild);
    assert_eq!(client.info().unwrap().priority_limit, 20);

    // The privileged host port raises it, the ordinary one does not.
    let name = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    let ordinary = world.client::<dyn Host>(copy(name));
    let task = copy(child.right.0);
    assert_eq!(moved(ordinary.set_priority_limit(task, 127)), K::NoAccess);
    let steer = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    assert_eq!(
        moved(steer.set_priority_limit(task, 128)),
        K::InvalidArgument
    );
    assert_eq!(
        moved(steer.set_priority_limit(copy(late.0), 127)),
        K::InvalidTask
    );
    assert_eq!(moved(steer.set_priority_limit(task, 127)), K::Success);
    assert_eq!(
        thread.info().unwrap().priority,
        90,
        "what it was given last"
    );
    let begins = world.client::<dyn Thread>(late).info().unwrap().priority;
    assert_eq!(
        begins,
        u32::from(DEFAULT_PRIORITY),
        "as threads begin elsewhere"
    );
    thread.set_priority(127, 1).unwrap();
    assert_eq!(client.info().unwrap().priority_limit, 20);
    for right in [right, late, grandchild] {
        world.release(right);
    }
    world.trap(trap::PORT_DEALLOCATE, &[name.0.into()]).unwrap();
    child.end();
    world.at_baseline();
}

#[test]
fn a_priority_is_one_of_128() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    assert_eq!(code(thread.set_priority(128, 0)), K::InvalidArgument);
    assert_eq!(code(thread.set_priority(1, 2)), K::InvalidArgument);
    thread.suspend().unwrap();
    thread.set_priority(100, 1).unwrap();
    assert_eq!(thread.info().unwrap().priority, 100);
    thread.set_priority(3, 0).unwrap();
    assert_eq!(thread.info().unwrap().priority, 3);
    thread.resume().unwrap();
    assert_eq!(
        world.sim.borrow().cpu_of(index),
        None,
        "the first thread is above it"
    );
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-02 T-07
#[test]
fn tasks_that_run_everywhere_are_ended_at_any_moment() {
    for seed in 0..20 {
        let world = World::new(Config {
            seed,
            ..Config::with_cpus(4)
        });
        let mut rights = Vec::new();
        let mut children = Vec::new();
        for _ in 0..5 {
            let child = world.child();
            for _ in 0..3 {
                rights.push(child.thread().1);
            }
            children.push(child);
        }
        for (n, child) in children.into_iter().enumerate() {
            let pause = world.sim.borrow_mut().rng.below(40_000_000) as u64;
            world.sim.borrow_mut().pass_time(pause);
            let thread = world.client::<dyn Thread>(rights[3 * n]);
            match seed % 4 {
                0 => thread.suspend().unwrap(),
                1 => thread.terminate().unwrap(),
                2 => child.task.suspend().unwrap(),
                _ => {}
            }
            child.end();
        }
        world.sim.borrow_mut().pass_time(100_000_000);
        for right in rights {
            world.release(right);
        }
        world.at_baseline();
    }
}

// covers: M-10
#[test]
fn an_aborted_send_gives_its_rights_back() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    let (queue, once) = (user.port(), user.port());
    user.set_attribute(queue, trap::attribute::QUEUE_LIMIT, 1)
        .unwrap();
    user.message(&Request::send(queue));
    let waits = Request::send(queue)
        .disposed(disposition::MOVE_SEND)
        .replying(once, disposition::MAKE_SEND_ONCE);
    assert_eq!(user.start_message(&waits), None);
    drop(sim);
    thread.abort().unwrap();
    let mut sim = world.sim.borrow_mut();
    let mut user = sim.on(index);
    let back = user.finish_message();
    assert_eq!(back.code, MessageReturn::SendInterrupted);
    assert_eq!(back.local, queue);
    assert_eq!(user.refs(queue, right::SEND), Ok(1));
    assert_eq!(user.refs(back.reply, right::SEND_ONCE), Ok(1));
    drop(sim);
    world.release(right);
    child.end();
    world.at_baseline();
}
