//! CPU time: nothing is lost, nothing is counted twice, and each gets its share.

use abi::names::disposition;
use abi::trap;
use interfaces::host::Host;
use interfaces::thread::Thread;
use microkernel::machine::FrameIndex;
use sim::{Config, Request, Sim};

use crate::world::World;

const MS: u64 = 1_000_000;
/// What is not accounted yet: the present slice.
const SLICE: u64 = 10 * MS;

/// CPU time of all tasks, as `ps` shows it.
fn total(world: &World) -> u64 {
    let host = world
        .root(abi::start::names::HOST_PRIVILEGED)
        .client::<dyn Host>();
    host.tasks(0)
        .unwrap()
        .iter()
        .map(|task| task.cpu_time)
        .sum()
}

fn now(world: &World) -> u64 {
    world.trap(trap::CLOCK, &[]).unwrap()
}

/// Milliseconds pass, one by one.
fn pass(world: &World, count: u32) {
    for _ in 0..count {
        world.sim.borrow_mut().pass_time(MS);
    }
}

// covers: T-05 T-10
#[test]
fn threads_that_run_get_all_the_time_there_is_and_sleepers_none() {
    for cpus in [1, 2] {
        let world = World::new(Config::with_cpus(cpus));
        let child = world.child();
        let (thread, right) = child.thread();
        let (before, begin) = (total(&world), now(&world));
        pass(&world, 400);
        let spent = total(&world) - before;
        let busy = u64::from(cpus) * (now(&world) - begin);
        let known = u64::from(cpus) * SLICE;
        assert!(
            spent <= busy + known && spent + known >= busy,
            "{spent} of {busy}"
        );
        let its = world.client::<dyn Thread>(right).info().unwrap().cpu_time;
        let share = busy / 2;
        assert!(its.abs_diff(share) < share / 4, "{its} of {busy}");
        assert_eq!(child.task.info().unwrap().cpu_time, its);

        // Asleep, it gets nothing more.
        let mut sim = world.sim.borrow_mut();
        assert_eq!(sim.on(thread).start(trap::WAIT_UNTIL, &[u64::MAX]), None);
        drop(sim);
        now(&world);
        let slept = world.client::<dyn Thread>(right).info().unwrap().cpu_time;
        pass(&world, 100);
        let client = world.client::<dyn Thread>(right);
        assert_eq!(client.info().unwrap().cpu_time, slept);
        world.release(right);
        child.end();
        world.at_baseline();
    }
}

#[test]
fn nobody_gets_the_time_that_is_spent_idle() {
    let world = World::single();
    let before = total(&world);
    let later = now(&world) + 500 * MS;
    let mut sim = world.sim.borrow_mut();
    assert_eq!(sim.on(world.first).start(trap::WAIT_UNTIL, &[later]), None);
    sim.on(world.first).finish();
    drop(sim);
    assert!(now(&world) >= later);
    assert!(total(&world) - before < SLICE);
}

#[test]
fn a_task_keeps_the_time_of_threads_that_have_ended() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    sim.until_runs(thread);
    // Less than a slice, and no switch before its end.
    sim.machine.advance(3 * MS);
    assert_eq!(sim.on(thread).start(trap::THREAD_EXIT, &[]), None);
    drop(sim);
    let spent = child.task.info().unwrap().cpu_time;
    assert!((3 * MS..4 * MS).contains(&spent), "{spent}");
    world.release(right);
    child.end();
    world.at_baseline();
}

/// A thread works for so many times 50 us, more or less.
fn work(sim: &mut Sim, thread: FrameIndex, steps: u32) {
    for _ in 0..steps {
        let time = 25_000 + sim.rng.below(50_000) as u64;
        sim.pass_time(time);
        sim.until_runs(thread);
    }
}

#[test]
fn a_server_that_works_for_longer_than_a_slice_gets_its_share() {
    let world = World::single();
    let child = world.child();
    let (server, right) = child.thread();
    let port = world.sim.borrow_mut().on(server).port();
    let service = child.task.extract_send(port, disposition::MAKE_SEND);
    let service = service.unwrap().0;
    let mut sim = world.sim.borrow_mut();
    assert_eq!(
        sim.on(server).start_message(&Request::receive(port)),
        None,
        "it waits"
    );
    // In each round the client works for about 1 ms and the server for 3 ms.
    for _ in 0..500 {
        work(&mut sim, world.first, 20);
        let call = Request::call(service);
        assert_eq!(sim.on(world.first).start_message(&call), None);
        work(&mut sim, server, 60);
        let answer = Request::reply().then_receive(port);
        assert_eq!(sim.on(server).start_message(&answer), None);
        sim.on(world.first).finish_message();
    }
    let handed_over = match Config::default().path {
        sim::Path::Fast => 1000,
        sim::Path::Slow => 0,
    };
    assert_eq!(sim.kernel.counters().handoffs, handed_over);
    drop(sim);
    let its = world.client::<dyn Thread>(right).info().unwrap().cpu_time;
    let own = world.own().info().unwrap().cpu_time;
    let all = its + own;
    assert!(its.abs_diff(all / 4 * 3) < all / 8, "{its} of {all}");
    assert!(all >= 500 * 4 * MS - SLICE);
    world.release(right);
}
