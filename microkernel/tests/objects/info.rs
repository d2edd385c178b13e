//! What tasks, threads and the host tell by Mach's flavors.

use abi::clock::SECOND;
use abi::host::{info as host_info, processor, statistics};
use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::task::{DEFAULT_PRIORITY, basic, info, thread_info};
use abi::{PAGE_SIZE, start, trap};
use interfaces::bounded::List;
use interfaces::mach_host::{MachHost, MachHostClient};
use interfaces::task::{Task, TaskClient};
use interfaces::thread::{LastMessage, Thread};
use microkernel::machine::FrameIndex;
use sim::{Config, Request, image};

use crate::transport::Port;
use crate::world::{Child, World, code, copy};

const ROOM: u32 = 100;

fn host(world: &World) -> MachHostClient<Port<'_>> {
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    world.client::<dyn MachHost>(copy(host))
}

/// The number that two words are.
fn wide(words: &[u32], at: usize) -> u64 {
    u64::from(words[at]) | u64::from(words[at + 1]) << 32
}

/// Lets a thread run and time pass.
fn pass(world: &World, milliseconds: u32) {
    for _ in 0..milliseconds {
        world.sim.borrow_mut().pass_time(1_000_000);
    }
}

/// That a flavor has this many words, for who has room for them, and that no other flavor is told.
fn check_counts<const N: usize>(
    tell: impl Fn(u32, u32) -> abi::transport::Result<List<u32, N>>,
    flavors: &[(u32, u32)],
    short: K,
) {
    for (flavor, count) in flavors {
        assert_eq!(tell(*flavor, *count).unwrap().len() as u32, *count);
        assert_eq!(tell(*flavor, ROOM).unwrap().len() as u32, *count);
        for room in [0, count - 1] {
            assert_eq!(code(tell(*flavor, room)), short, "flavor {flavor}");
        }
    }
    for flavor in (0..64).chain([u32::MAX]) {
        if flavors.iter().all(|(known, _)| *known != flavor) {
            assert_eq!(code(tell(flavor, ROOM)), K::InvalidArgument, "{flavor}");
        }
    }
}

// covers: T-05
#[test]
fn a_task_tells_each_flavor_to_who_has_room_and_no_other() {
    let world = World::single();
    let child = world.child();
    let flavors = [
        (info::BASIC, info::BASIC_COUNT),
        (info::BASIC_64, info::BASIC_64_COUNT),
        (info::EVENTS, info::EVENTS_COUNT),
        (info::THREAD_TIMES, info::THREAD_TIMES_COUNT),
        (info::SECURITY_TOKEN, info::SECURITY_TOKEN_COUNT),
        (info::AUDIT_TOKEN, info::AUDIT_TOKEN_COUNT),
        (info::VM_INFO, info::VM_INFO_COUNT),
    ];
    let tell = |flavor, count| child.task.info_of(flavor, count);
    check_counts(tell, &flavors, K::InvalidArgument);
    child.end();
    world.at_baseline();
}

fn told(task: &TaskClient<Port<'_>>, flavor: u32) -> Vec<u32> {
    task.info_of(flavor, ROOM).unwrap().to_vec()
}

// covers: T-05
#[test]
fn sizes_suspensions_and_tokens_are_those_of_the_task() {
    let world = World::single();
    let child = world.child();
    let task = &child.task;
    task.suspend().unwrap();
    let before = told(task, info::BASIC_64);
    assert_eq!(before[0], 1, "suspended once");
    assert_eq!(before[9], basic::TIMESHARE);
    let mapped = wide(&before, 1);
    assert_eq!(mapped, image::DATA_PAGES * PAGE_SIZE);
    let at = task
        .vm_allocate(0, 3 * PAGE_SIZE, abi::vm::flags::ANYWHERE)
        .unwrap();
    for page in 0..2 {
        task.vm_write(at + page * PAGE_SIZE, &[1]).unwrap();
    }
    let after = told(task, info::BASIC_64);
    assert_eq!(wide(&after, 1), mapped + 3 * PAGE_SIZE);
    assert_eq!(
        wide(&after, 3),
        wide(&before, 3) + 2 * PAGE_SIZE,
        "what was touched"
    );
    let narrow = told(task, info::BASIC);
    assert_eq!(narrow[..3], [1, after[1], after[3]]);
    let memory = told(task, info::VM_INFO);
    assert_eq!(wide(&memory, 0), mapped + 3 * PAGE_SIZE);
    assert_eq!(memory[2..4], [2, PAGE_SIZE as u32], "regions");
    assert_eq!(wide(&memory, 4), wide(&after, 3));
    assert_eq!(
        wide(&memory, 12),
        wide(&after, 3),
        "all of it without a pager"
    );
    // 77 is what the creator said.
    assert_eq!(told(task, info::SECURITY_TOKEN), [77, 0]);
    assert_eq!(told(task, info::AUDIT_TOKEN), [77, 0, 0, 0, 0, 0, 0, 0]);
    child.end();
    world.at_baseline();
}

// covers: T-05 T-10
#[test]
fn times_are_those_of_threads_that_live_and_of_threads_that_ended() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    pass(&world, 2500);
    let live = told(&child.task, info::THREAD_TIMES);
    assert!(
        (1..=2).contains(&live[0]) && live[1] < 1_000_000,
        "{live:?}"
    );
    assert_eq!(live[2..], [0, 0], "no time is told apart as the system's");
    assert_eq!(told(&child.task, info::BASIC)[3..5], [0, 0]);
    let client = world.client::<dyn Thread>(right);
    let own = client.info_of(thread_info::BASIC, ROOM).unwrap();
    assert_eq!(own[..2], live[..2]);
    assert_eq!(own[5..9], [basic::TIMESHARE, thread_info::RUNNING, 0, 0]);
    // It shares the processor with the first task's thread.
    assert!((400..=700).contains(&own[4]), "{}", own[4]);
    let extended = client.info_of(thread_info::EXTENDED, ROOM).unwrap();
    let time = wide(&extended, 0);
    assert_eq!(
        [time / SECOND, time % SECOND / 1000],
        [live[0], live[1]].map(u64::from)
    );
    assert_eq!(time, client.info().unwrap().cpu_time);
    assert_eq!(extended[10], DEFAULT_PRIORITY.into());
    let limit = child.task.info().unwrap().priority_limit;
    assert_eq!(extended[11], limit);
    let started = world
        .sim
        .borrow_mut()
        .on(thread)
        .start(trap::THREAD_EXIT, &[]);
    assert_eq!(started, None);
    assert_eq!(told(&child.task, info::THREAD_TIMES), [0; 4]);
    let ended = told(&child.task, info::BASIC_64);
    assert!(ended[5..7] >= live[..2], "{ended:?}");
    world.release(right);
    child.end();
    world.at_baseline();
}

/// Ten calls are received and answered by a thread, one message goes to itself, one trap sends nothing; then it
/// touches three pages.
fn busy(world: &World, thread: FrameIndex, (port, send): (Name, Name)) {
    let mut sim = world.sim.borrow_mut();
    for _ in 0..10 {
        let started = sim.on(thread).start_message(&Request::receive(port));
        assert_eq!(started, None);
        let called = sim.on(world.first).start_message(&Request::call(send));
        assert_eq!(called, None);
        sim.on(thread).finish_message();
        sim.on(thread).message(&Request::reply());
        sim.on(world.first).finish_message();
    }
    sim.on(thread).message(&Request::send(port));
    sim.on(thread).poll(port);
    let typed = sim.on(thread).trap(trap::PORT_TYPE, &[port.0.into()]);
    typed.unwrap();
    let cpu = sim.until_runs(thread);
    for page in 3..6 {
        sim.write(cpu, image::DATA + page * PAGE_SIZE, &[1])
            .unwrap();
    }
}

/// A port of a thread's, which has a right to send to it too, and such a right for the first task.
fn service(world: &World, child: &Child<'_>, thread: FrameIndex) -> (Name, Name) {
    let mut sim = world.sim.borrow_mut();
    sim.on(thread).register_buffer();
    let port = sim.on(thread).port();
    let names = [port.0.into(), port.0.into(), disposition::MAKE_SEND.into()];
    sim.on(thread)
        .trap(trap::PORT_INSERT_RIGHT, &names)
        .unwrap();
    drop(sim);
    let send = child.task.extract_send(port, disposition::MAKE_SEND);
    (port, send.unwrap().0)
}

/// Both ways that a message can take.
const PATHS: [sim::Path; 2] = [sim::Path::Fast, sim::Path::Slow];

fn with(path: sim::Path) -> World {
    World::new(Config {
        path,
        ..Config::default()
    })
}

#[test]
fn a_thread_tells_what_it_received_last_and_whom_it_owes_an_answer() {
    for path in PATHS {
        let world = with(path);
        let child = world.child();
        let (thread, right) = child.thread();
        let (port, send) = service(&world, &child, thread);
        // While the first task's thread waits for an answer, another one asks.
        let (asker, other) = child.thread();
        let mut sim = world.sim.borrow_mut();
        sim.on(asker).register_buffer();
        let name = sim.on(thread).trap(trap::THREAD_SELF, &[]).unwrap();
        drop(sim);
        let own = Port {
            sim: &world.sim,
            thread: asker,
            name: Name(name as u32),
        };
        let tell = || {
            let thread = own.client::<dyn Thread>();
            assert_eq!(code(thread.last_message()), K::Failure, "it runs");
            thread.suspend().unwrap();
            let told = thread.last_message().unwrap();
            thread.resume().unwrap();
            told
        };
        assert_eq!(tell(), LastMessage::default());
        let mut sim = world.sim.borrow_mut();
        assert_eq!(sim.on(thread).start_message(&Request::receive(port)), None);
        let call = Request::call(send).id(7);
        assert_eq!(sim.on(world.first).start_message(&call), None);
        sim.on(thread).finish_message();
        drop(sim);
        let owing = LastMessage {
            id: 7,
            client: world.first + 1,
            client_task: 0,
        };
        assert_eq!(tell(), owing, "{path:?}");
        let mut sim = world.sim.borrow_mut();
        sim.on(thread).message(&Request::reply().id(107));
        assert_eq!(sim.on(world.first).finish_message().id, 107);
        drop(sim);
        let free = LastMessage {
            id: 7,
            ..LastMessage::default()
        };
        assert_eq!(tell(), free, "{path:?}");
        world.release(right);
        world.release(other);
        child.end();
        world.trap(trap::PORT_DEALLOCATE, &[send.0.into()]).unwrap();
        world.at_baseline();
    }
}

// covers: T-05
#[test]
fn events_are_counted_that_take_the_general_path() {
    for path in PATHS {
        let world = with(path);
        let child = world.child();
        let (thread, right) = child.thread();
        let (port, send) = service(&world, &child, thread);
        let events = || told(&child.task, info::EVENTS);
        let before = events();
        busy(&world, thread, (port, send));
        let after = events();
        let more: Vec<u32> = after
            .iter()
            .zip(&before)
            .map(|(new, old)| new - old)
            .collect();
        assert_eq!(more[..3], [3, 0, 0], "faults, pages of pagers, copies");
        // Eleven that sent, ten that waited for a call, one that polled, one that asked for a type. On the fast path
        // the ten calls came straight to the thread.
        let received = if path == sim::Path::Slow { 11 } else { 1 };
        assert_eq!(more[3..7], [11, received, 23, 0], "{path:?}");
        assert!((1..100).contains(&more[7]), "{} switches", more[7]);
        // What an ended thread counted is kept.
        let ended = world
            .sim
            .borrow_mut()
            .on(thread)
            .start(trap::THREAD_EXIT, &[]);
        assert_eq!(ended, None);
        let end = events();
        assert_eq!((end[3], end[4], end[5]), (after[3], after[4], after[5] + 1));
        world.release(right);
        child.end();
        world.trap(trap::PORT_DEALLOCATE, &[send.0.into()]).unwrap();
        world.at_baseline();
    }
}

// covers: T-05
#[test]
fn events_of_many_threads_are_gathered_in_steps() {
    let world = World::single();
    let limits = abi::task::Limits {
        threads: 300,
        kernel_bytes: 1 << 20,
        ..crate::world::LIMITS
    };
    let right = world.own().create(limits, 1, 0).unwrap();
    let task = world.client::<dyn Task>(right);
    for _ in 0..300 {
        world.release(task.thread_create(crate::world::state()).unwrap());
    }
    let before = world.sim.borrow().pauses;
    assert_eq!(told(&task, info::EVENTS), [0; 8]);
    assert!(world.sim.borrow().pauses - before >= 300 / 64);
    task.terminate().unwrap();
    world.release(right);
    world.at_baseline();
}

// covers: T-10
#[test]
fn a_thread_tells_each_flavor_to_who_has_room_and_no_other() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    let flavors = [
        (thread_info::BASIC, thread_info::BASIC_COUNT),
        (thread_info::IDENTIFIER, thread_info::IDENTIFIER_COUNT),
        (thread_info::EXTENDED, thread_info::EXTENDED_COUNT),
    ];
    let tell = |flavor, count| thread.info_of(flavor, count);
    check_counts(tell, &flavors, K::InvalidArgument);
    let id = |thread: &interfaces::thread::ThreadClient<Port<'_>>| {
        wide(&thread.info_of(thread_info::IDENTIFIER, ROOM).unwrap(), 0)
    };
    let (_, other) = child.thread();
    assert_ne!(id(&thread), id(&world.client::<dyn Thread>(other)));
    let state = || thread.info_of(thread_info::BASIC, ROOM).unwrap()[6..9].to_vec();
    assert_eq!(state(), [thread_info::RUNNING, 0, 0]);
    thread.suspend().unwrap();
    assert_eq!(state(), [thread_info::STOPPED, 0, 1]);
    // Its task's suspension is not one of its own.
    child.task.suspend().unwrap();
    assert_eq!(state(), [thread_info::STOPPED, 0, 1]);
    thread.resume().unwrap();
    assert_eq!(state(), [thread_info::STOPPED, 0, 0]);
    child.task.resume().unwrap();
    let started = world
        .sim
        .borrow_mut()
        .on(index)
        .start(trap::WAIT_UNTIL, &[u64::MAX]);
    assert_eq!(started, None);
    assert_eq!(state(), [thread_info::WAITING, 0, 0]);
    // It used all there was while the other one had not come, and nothing since.
    let usage = || thread.info_of(thread_info::BASIC, ROOM).unwrap()[4];
    let before = usage();
    pass(&world, 5000);
    assert!(usage() < before / 2 + 1, "{before}, then {}", usage());
    for right in [right, other] {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: H-01
#[test]
fn the_host_tells_each_flavor_to_who_has_room_and_no_other() {
    let world = World::new(Config::with_cpus(3));
    let host = host(&world);
    let flavors = [
        (host_info::BASIC, host_info::BASIC_COUNT),
        (host_info::SCHED, host_info::SCHED_COUNT),
        (host_info::PRIORITY, host_info::PRIORITY_COUNT),
    ];
    check_counts(
        |flavor, count| host.info(flavor, count),
        &flavors,
        K::Failure,
    );
    let flavors = [
        (statistics::LOAD, statistics::LOAD_COUNT),
        (statistics::VM64, statistics::VM64_COUNT),
        (statistics::CPU_LOAD, statistics::CPU_LOAD_COUNT),
    ];
    check_counts(
        |flavor, count| host.statistics(flavor, count),
        &flavors,
        K::Failure,
    );
    let basic = host.info(host_info::BASIC, ROOM).unwrap();
    assert_eq!(basic[1], 3);
    assert_eq!(basic[3], host_info::CPU_TYPE);
    assert_eq!(basic[6..10], [3, 16, 3, 16]);
    let ordinary = world.root(start::names::HOST_PRIVILEGED);
    let told = ordinary
        .client::<dyn interfaces::host::Host>()
        .info()
        .unwrap();
    assert_eq!(wide(&basic, 10), told.pages * PAGE_SIZE);
    assert_eq!(host.info(host_info::SCHED, ROOM).unwrap()[1], 10, "ms");
    let priorities = host.info(host_info::PRIORITY, ROOM).unwrap();
    assert_eq!(priorities[3], DEFAULT_PRIORITY.into());
    assert_eq!(host.page_size(), Ok(PAGE_SIZE));
    assert_eq!(host.kernel_version().unwrap(), told.version);
    world.at_baseline();
}

// covers: H-01
#[test]
fn pages_and_faults_are_counted() {
    let world = World::single();
    let host = host(&world);
    let tell = || host.statistics(statistics::VM64, ROOM).unwrap().to_vec();
    let before = tell();
    let at = world
        .trap(trap::VM_ALLOCATE, &[0, 4 * PAGE_SIZE, 1])
        .unwrap();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(world.first);
    for page in 0..4 {
        sim.write(cpu, at + page * PAGE_SIZE, &[1]).unwrap();
    }
    drop(sim);
    let after = tell();
    assert!(before[0] - after[0] >= 4, "free pages");
    assert!(after[1] - before[1] >= 4, "used pages");
    assert_eq!(wide(&after, 4) - wide(&before, 4), 4, "zero-filled pages");
    assert_eq!(wide(&after, 12) - wide(&before, 12), 4, "faults");
    world
        .trap(trap::VM_DEALLOCATE, &[at, 4 * PAGE_SIZE])
        .unwrap();
    world.at_baseline();
}

// covers: H-01
#[test]
fn processors_tell_their_ticks_and_the_host_their_sum() {
    let world = World::new(Config::with_cpus(2));
    let host = host(&world);
    assert_eq!(code(host.processor_info(3)), K::InvalidArgument);
    let (count, basic) = host.processor_info(processor::BASIC).unwrap();
    assert_eq!(count, 2);
    let [first, second] = [&basic[..5], &basic[5..]];
    assert_eq!(
        (first[2..].to_vec(), second[2..].to_vec()),
        (vec![1, 0, 1], vec![1, 1, 0])
    );
    // One thread runs; the other processor has nothing to do.
    pass(&world, 3000);
    let all = host.statistics(statistics::CPU_LOAD, ROOM).unwrap();
    let (_, each) = host.processor_info(processor::CPU_LOAD).unwrap();
    for (index, sum) in all.iter().enumerate() {
        assert!(
            sum.abs_diff(each[index] + each[4 + index]) <= 2,
            "{all:?} of {each:?}"
        );
    }
    let now = (world.sim.borrow_mut().now() / statistics::TICK) as u32;
    assert!((all[0] + all[2]).abs_diff(2 * now) <= 4, "{all:?} of {now}");
    assert!(all[0].abs_diff(now) < now / 10, "{all:?} of {now}");
    world.at_baseline();
}

// covers: H-01
#[test]
fn the_load_is_how_many_threads_want_to_run() {
    let world = World::single();
    let child = world.child();
    let rights: Vec<_> = (0..3).map(|_| child.thread().1).collect();
    pass(&world, 15_000);
    let load = host(&world).statistics(statistics::LOAD, ROOM).unwrap();
    // The three and the first task's own.
    assert!((3500..=4100).contains(&load[0]), "{load:?}");
    assert!(
        load[0] > load[1] && load[1] > load[2] && load[2] > 500,
        "{load:?}"
    );
    assert!((180..=500).contains(&load[3]), "{load:?}");
    for right in rights {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}
