//! Semaphores, by traps and by their port.

use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::semaphore::policy;
use abi::task::DEFAULT_PRIORITY;
use abi::trap;
use interfaces::semaphore::{Semaphore, SemaphoreClient};
use interfaces::thread::Thread;
use microkernel::machine::{Cpu, FrameIndex};
use sim::Config;

use crate::transport::{Give, Port};
use crate::world::{Child, World, code, copy, moved};

/// A semaphore of the first task's, which the child knows too.
struct Shared {
    right: Give,
    /// Its name in the child.
    name: u64,
}

impl World {
    fn semaphore(&self, child: &Child<'_>, value: u32) -> Shared {
        self.semaphore_of(child, policy::FIFO, value)
    }

    fn semaphore_of(&self, child: &Child<'_>, policy: u32, value: u32) -> Shared {
        let right = self.own().semaphore_create(policy, value).unwrap();
        let name = child.task.insert_send(Name::NULL, right).unwrap();
        Shared {
            right,
            name: name.0.into(),
        }
    }

    fn by_port(&self, semaphore: &Shared) -> SemaphoreClient<Port<'_>> {
        self.client::<dyn Semaphore>(semaphore.right)
    }

    fn starts(&self, thread: FrameIndex, number: i64, arguments: &[u64]) -> Option<u32> {
        let answer = self.sim.borrow_mut().on(thread).start(number, arguments);
        answer.map(|answer| answer.frame.rax as u32)
    }

    fn waits(&self, thread: FrameIndex, semaphore: &Shared) {
        let waits = self.starts(thread, trap::SEMAPHORE_WAIT, &[semaphore.name]);
        assert_eq!(waits, None);
    }

    /// The code that a wait ended with.
    fn ended(&self, thread: FrameIndex) -> K {
        K(self.sim.borrow_mut().on(thread).finish().frame.rax as u32)
    }

    fn still_waits(&self, right: Give) -> bool {
        let state = self.client::<dyn Thread>(right).info().unwrap().state;
        state == abi::trace::wait::SEMAPHORE
    }
}

/// Ends what a test made.
fn clean(world: &World, child: Child<'_>, rights: &[Give]) {
    for right in rights {
        world.release(*right);
    }
    child.end();
    world.at_baseline();
}

// covers: K-03
#[test]
fn signals_are_counted_and_waiters_go_in_the_order_in_which_they_came() {
    for cpus in 1..=4 {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let semaphore = world.semaphore(&child, 1);
        let threads = [(); 3].map(|()| child.thread());
        let [(a, a_right), (b, b_right), (c, c_right)] = threads;
        let at_once = world.starts(a, trap::SEMAPHORE_WAIT, &[semaphore.name]);
        assert_eq!(at_once, Some(0), "one wait was paid for");
        for (thread, _) in threads {
            world.waits(thread, &semaphore);
        }
        let name = semaphore.right.0.0.into();
        world.trap(trap::SEMAPHORE_SIGNAL, &[name]).unwrap();
        assert_eq!(world.ended(a), K::Success);
        assert!(world.still_waits(b_right) && world.still_waits(c_right));
        // One out of turn.
        let client = world.by_port(&semaphore);
        let thread = c_right.0.0.into();
        let signal = [name, thread];
        world.trap(trap::SEMAPHORE_SIGNAL_THREAD, &signal).unwrap();
        assert_eq!(world.ended(c), K::Success);
        assert_eq!(moved(client.signal_thread(c_right)), K::NotWaiting);
        let again = world.trap(trap::SEMAPHORE_SIGNAL_THREAD, &signal);
        assert_eq!(again, Err(K::NotWaiting));
        client.signal().unwrap();
        assert_eq!(world.ended(b), K::Success);
        // All: nobody is left, and nothing is counted.
        for (thread, _) in threads {
            world.waits(thread, &semaphore);
        }
        world.trap(trap::SEMAPHORE_SIGNAL_ALL, &[name]).unwrap();
        for (thread, _) in threads {
            assert_eq!(world.ended(thread), K::Success);
        }
        client.signal_all().unwrap();
        world.waits(a, &semaphore);
        assert!(world.still_waits(a_right));
        clean(&world, child, &[semaphore.right, a_right, b_right, c_right]);
    }
}

// covers: K-03
#[test]
fn a_wait_ends_with_its_deadline_an_abort_or_the_semaphore() {
    let world = World::single();
    let child = world.child();
    let semaphore = world.semaphore(&child, 0);
    let (thread, right) = child.thread();
    let timed = trap::SEMAPHORE_TIMED_WAIT;
    let late = K::OperationTimedOut;
    assert_eq!(
        world.starts(thread, timed, &[semaphore.name, 0]),
        Some(late.0)
    );
    let soon = world.sim.borrow_mut().now() + 1_000_000;
    assert_eq!(world.starts(thread, timed, &[semaphore.name, soon]), None);
    world.sim.borrow_mut().pass_time(2_000_000);
    assert_eq!(world.ended(thread), late);
    // A signal in time ends the deadline too.
    let soon = world.sim.borrow_mut().now() + 50_000_000;
    assert_eq!(world.starts(thread, timed, &[semaphore.name, soon]), None);
    world.by_port(&semaphore).signal().unwrap();
    assert_eq!(world.ended(thread), K::Success);
    world.sim.borrow_mut().pass_time(100_000_000);
    world.waits(thread, &semaphore);
    world.client::<dyn Thread>(right).abort().unwrap();
    assert_eq!(world.ended(thread), K::Aborted);
    // Ended by order.
    world.waits(thread, &semaphore);
    world.by_port(&semaphore).destroy().unwrap();
    assert_eq!(world.ended(thread), K::Terminated);
    let gone = world.trap(trap::SEMAPHORE_SIGNAL, &[semaphore.right.0.0.into()]);
    assert!(gone.is_err());
    // By its last right, while a thread waits.
    let other = world.semaphore(&child, 0);
    let (second, second_right) = child.thread();
    world.waits(thread, &other);
    world.release(other.right);
    assert!(world.still_waits(right), "the child has a right");
    let mut sim = world.sim.borrow_mut();
    sim.on(second)
        .trap(trap::PORT_DEALLOCATE, &[other.name])
        .unwrap();
    drop(sim);
    assert_eq!(world.ended(thread), K::Terminated);
    clean(&world, child, &[semaphore.right, right, second_right]);
}

// covers: K-03
#[test]
fn waiters_by_priority_go_the_highest_first() {
    let world = World::single();
    let child = world.child();
    let semaphore = world.semaphore_of(&child, policy::FIXED_PRIORITY, 1);
    world.first_comes_first();
    let threads = [60, 50, 40, 60].map(|priority| {
        let (thread, right) = child.thread();
        let client = world.client::<dyn Thread>(right);
        client.set_priority(priority, 1).unwrap();
        (thread, right)
    });
    let [a, b, c, d] = threads.map(|(thread, _)| thread);
    // The highest come last: they sleep first.
    let end = world.rest(100_000_000);
    for (thread, time) in [(a, 3), (d, 4), (b, 2)] {
        let mut sim = world.sim.borrow_mut();
        assert_eq!(sim.current(Cpu(0)), thread);
        let until = sim.now() + time * 1_000_000;
        assert_eq!(sim.on(thread).start(trap::WAIT_UNTIL, &[until]), None);
    }
    let at_once = world.starts(c, trap::SEMAPHORE_WAIT, &[semaphore.name]);
    assert_eq!(at_once, Some(0), "one wait was paid for");
    world.waits(c, &semaphore);
    for thread in [b, a, d] {
        world.ended(thread);
        world.waits(thread, &semaphore);
    }
    world.wake_first(end);
    for thread in [a, d, b, c] {
        world.by_port(&semaphore).signal().unwrap();
        let end = world.rest(1_000_000);
        assert_eq!(world.ended(thread), K::Success);
        let sleeps = world.starts(thread, trap::WAIT_UNTIL, &[u64::MAX]);
        assert_eq!(sleeps, None);
        world.wake_first(end);
    }
    let rights = threads.map(|(_, right)| right);
    world.release(semaphore.right);
    clean(&world, child, &rights);
}

// covers: K-03
#[test]
fn waiters_by_priority_have_their_places_whatever_becomes_of_others() {
    for cpus in 1..=4 {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let semaphore = world.semaphore_of(&child, policy::FIXED_PRIORITY, 0);
        let threads = [(); 6].map(|()| child.thread());
        let client = world.by_port(&semaphore);
        let set = |(_, right): (FrameIndex, Give), priority| {
            let thread = world.client::<dyn Thread>(right);
            thread.set_priority(priority, 0).unwrap();
        };
        let all_wait = || {
            for thread in threads {
                set(thread, DEFAULT_PRIORITY.into());
                world.waits(thread.0, &semaphore);
            }
            for (thread, priority) in threads.into_iter().zip([5, 20, 10, 20, 30, 10]) {
                set(thread, priority);
            }
        };
        let waiting = || {
            threads
                .iter()
                .filter(|thread| world.still_waits(thread.1))
                .count()
        };
        let goes = |thread: (FrameIndex, Give), how: K| {
            assert!(!world.still_waits(thread.1), "another one was let go");
            set(thread, DEFAULT_PRIORITY.into());
            assert_eq!(world.ended(thread.0), how);
        };
        let [low, a, c, b, high, d] = threads;
        all_wait();
        for (thread, left) in [high, a, b, c, d, low].into_iter().zip((0..6).rev()) {
            client.signal().unwrap();
            assert_eq!(waiting(), left);
            goes(thread, K::Success);
        }
        // Those that leave for another reason leave the others in order.
        all_wait();
        world.client::<dyn Thread>(high.1).abort().unwrap();
        goes(high, K::Aborted);
        assert_eq!(moved(client.signal_thread(a.1)), K::Success);
        goes(a, K::Success);
        // Another priority is another place, behind its equals; the same one is none.
        set(low, 10);
        set(b, 20);
        set(c, 10);
        for thread in [b, c, d, low] {
            client.signal().unwrap();
            goes(thread, K::Success);
        }
        all_wait();
        client.signal_all().unwrap();
        for thread in threads {
            goes(thread, K::Success);
        }
        // Nothing was counted; the end tells all.
        all_wait();
        client.destroy().unwrap();
        for thread in threads {
            goes(thread, K::Terminated);
        }
        world.release(semaphore.right);
        clean(&world, child, &threads.map(|(_, right)| right));
    }
}

// covers: K-03
#[test]
fn what_timesharing_took_does_not_set_a_waiter_back() {
    let world = World::single();
    let child = world.child();
    let semaphore = world.semaphore_of(&child, policy::FIXED_PRIORITY, 0);
    let [(busy, busy_right), (steady, steady_right)] = [(); 2].map(|()| child.thread());
    let steady_client = world.client::<dyn Thread>(steady_right);
    world.waits(steady, &semaphore);
    let base = steady_client.info().unwrap().priority;
    steady_client.set_priority(base - 1, 1).unwrap();
    // It computes for many slices, and comes down by as many steps.
    let mut sim = world.sim.borrow_mut();
    let until = sim.now() + 200_000_000;
    let rests = sim.on(world.first).start(trap::WAIT_UNTIL, &[until]);
    assert_eq!(rests, None);
    sim.until_runs(busy);
    sim.pass_time(150_000_000);
    drop(sim);
    world.waits(busy, &semaphore);
    world.sim.borrow_mut().pass_time(100_000_000);
    world.ended(world.first);
    world.by_port(&semaphore).signal().unwrap();
    assert_eq!(world.ended(busy), K::Success);
    assert!(world.still_waits(steady_right));
    clean(&world, child, &[semaphore.right, busy_right, steady_right]);
}

// covers: K-03
#[test]
fn a_signal_and_a_wait_in_one_hand_the_cpu_over() {
    let world = World::single();
    let child = world.child();
    let [ping, pong] = [(); 2].map(|()| world.semaphore(&child, 0));
    let [(a, a_right), (b, b_right)] = [(); 2].map(|()| child.thread());
    world.waits(a, &ping);
    // Only the two are awake.
    let mut sim = world.sim.borrow_mut();
    let until = sim.now() + 1_000_000_000;
    let rests = sim.on(world.first).start(trap::WAIT_UNTIL, &[until]);
    assert_eq!(rests, None);
    drop(sim);
    let both = trap::SEMAPHORE_WAIT_SIGNAL;
    assert_eq!(world.starts(b, both, &[pong.name, ping.name]), None);
    assert_eq!(world.sim.borrow().current(Cpu(0)), a);
    assert_eq!(world.ended(a), K::Success);
    let timed = trap::SEMAPHORE_TIMED_WAIT_SIGNAL;
    let arguments = [ping.name, pong.name, until - 1];
    assert_eq!(world.starts(a, timed, &arguments), None);
    assert_eq!(world.sim.borrow().current(Cpu(0)), b);
    assert_eq!(world.ended(b), K::Success);
    // A bad name of either changes nothing.
    let bad = world.starts(b, both, &[0, ping.name]).unwrap();
    assert_ne!(K(bad), K::Success);
    let bad = world.starts(b, both, &[ping.name, 0]).unwrap();
    assert_ne!(K(bad), K::Success);
    assert!(world.sim.borrow_mut().take_answer(a).is_none());
    world.sim.borrow_mut().pass_time(2_000_000_000);
    assert_eq!(world.ended(a), K::OperationTimedOut);
    world.ended(world.first);
    clean(&world, child, &[ping.right, pong.right, a_right, b_right]);
}

// covers: K-03
#[test]
fn what_no_semaphore_has_is_refused() {
    let world = World::single();
    let own = world.own();
    for policy in [2, 7, u32::MAX] {
        assert_eq!(code(own.semaphore_create(policy, 0)), K::InvalidArgument);
    }
    let too_much = own.semaphore_create(policy::FIXED_PRIORITY, 1 << 31);
    assert_eq!(code(too_much), K::InvalidArgument);
    assert_eq!(code(own.semaphore_create(0, 1 << 31)), K::InvalidArgument);
    let full = own.semaphore_create(0, i32::MAX as u32).unwrap();
    let client = world.client::<dyn Semaphore>(full);
    assert_eq!(code(client.signal()), K::Failure);
    let name: u64 = full.0.0.into();
    assert_eq!(world.trap(trap::SEMAPHORE_SIGNAL, &[name]), Err(K::Failure));
    world.trap(trap::SEMAPHORE_WAIT, &[name]).unwrap();
    world.trap(trap::SEMAPHORE_SIGNAL, &[name]).unwrap();
    // Other objects are no semaphores, and semaphores no threads.
    let task = world.trap(trap::TASK_SELF, &[]).unwrap();
    assert_eq!(
        world.trap(trap::SEMAPHORE_WAIT, &[task]),
        Err(K::InvalidRight)
    );
    assert_eq!(
        world.trap(trap::SEMAPHORE_SIGNAL_THREAD, &[name, task]),
        Err(K::InvalidRight)
    );
    world.release(copy(Name(task as u32)));
    world.release(full);
    world.at_baseline();
}
