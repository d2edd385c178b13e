//! Several CPUs and seeded schedules: nothing is lost, nobody runs twice, everybody gets a turn.

use abi::kern_return::MessageReturn as Code;
use abi::names::{Name, disposition, right};
use abi::registers::options;
use abi::task::thread_info;
use abi::{PAGE_SIZE, trap};
use interfaces::thread::Thread;
use microkernel::machine::{Cpu, Event, Machine, NEVER, Next};
use microkernel::sched::SLICE;
use sim::{Actor, Config, Path, Request, Sim, image};

/// A server that answers each call with its words and the first one doubled.
fn server<'a>(port: Name) -> impl FnMut(Option<sim::Reply>) -> Option<Request> + 'a {
    move |got| {
        let Some(got) = got else {
            return Some(Request::receive(port));
        };
        assert_eq!(got.code, Code::Success);
        let mut words = got.words;
        words[0] *= 2;
        Some(Request::reply().words(words).then_receive(port))
    }
}

/// A client that makes calls and checks that each answer is its own.
fn client<'a>(
    service: Name,
    who: u64,
    calls: u64,
) -> impl FnMut(Option<sim::Reply>) -> Option<Request> + 'a {
    let mut made = 0;
    move |got| {
        if let Some(got) = got {
            assert_eq!(got.code, Code::Success);
            assert_eq!(
                (got.words[0], got.words[5]),
                (2 * made, who),
                "somebody else's answer"
            );
        }
        made += 1;
        (made <= calls).then(|| Request::call(service).words([made, 0, 0, 0, 0, who]))
    }
}

// covers: F-02 M-14
#[test]
fn every_call_of_many_clients_is_answered_once() {
    for (cpus, seed) in [
        (1, 1),
        (1, 2),
        (2, 3),
        (2, 4),
        (3, 5),
        (4, 6),
        (4, 7),
        (4, 8),
    ] {
        let path = if seed % 3 == 0 {
            Path::Slow
        } else {
            Path::Fast
        };
        let mut sim = Sim::boot(Config {
            seed,
            path,
            ..Config::with_cpus(cpus)
        });
        let first = sim.first();
        let port = sim.on(first).port();
        let mut actors = Vec::new();
        for who in 0..5 {
            let task = sim.add_task();
            let service = sim.give(first, port, disposition::MAKE_SEND, task);
            actors.push(Actor::new(task, client(service, who, 100)));
        }
        for thread in [first, sim.add_thread(first)] {
            actors.push(Actor::new(thread, server(port)));
        }
        sim.play(actors, 5);
        let handoffs = sim.kernel.counters().handoffs;
        assert_eq!(
            handoffs > 0,
            path == Path::Fast,
            "{handoffs} messages took the fast path"
        );
    }
}

// covers: F-02 M-32
#[test]
fn a_message_and_a_deadline_at_the_same_time_lose_nothing() {
    for seed in 0..20 {
        let mut sim = Sim::boot(Config {
            seed,
            ..Config::with_cpus(2)
        });
        let receiver = sim.first();
        let port = sim.on(receiver).port();
        let sender = sim.add_task();
        let service = sim.give(receiver, port, disposition::MAKE_SEND, sender);
        let mut sent = 0;
        let mut expected = 1;
        let mut deadline = sim.now();
        let actors = vec![
            Actor::new(receiver, |got| {
                if let Some(got) = got {
                    match got.code {
                        Code::Success => {
                            assert_eq!(got.id, expected, "in order, and each once");
                            expected += 1;
                        }
                        code => assert_eq!(code, Code::ReceiveTimedOut),
                    }
                }
                deadline += 30_000;
                let wait = Request::receive(port)
                    .with(options::RECEIVE_TIMEOUT)
                    .until(deadline);
                (expected <= 100).then_some(wait)
            }),
            Actor::new(sender, |_| {
                sent += 1;
                (sent <= 100).then(|| Request::send(service).id(sent))
            }),
        ];
        sim.play(actors, 2);
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut sim = Sim::boot(Config {
            seed,
            ..Config::with_cpus(2)
        });
        let first = sim.first();
        let port = sim.on(first).port();
        let task = sim.add_task();
        let service = sim.give(first, port, disposition::MAKE_SEND, task);
        let mut order = Vec::new();
        let mut calls = client(service, 0, 30);
        let recorded = |got: Option<sim::Reply>| {
            order.push(got.as_ref().map(|got| got.words));
            calls(got)
        };
        let actors = vec![Actor::new(task, recorded), Actor::new(first, server(port))];
        sim.play(actors, 1);
        (order, *sim.kernel.counters())
    };
    assert_eq!(run(4), run(4));
}

// covers: F-13
#[test]
fn a_call_stays_on_its_cpu_and_no_other_takes_either_side() {
    let mut sim = Sim::boot(Config::with_cpus(2));
    let first = sim.first();
    let port = sim.on(first).port();
    let client = sim.add_task();
    let service = sim.give(first, port, disposition::MAKE_SEND, client);
    assert_eq!(sim.on(first).start_message(&Request::receive(port)), None);
    let cpu = sim.until_runs(client);
    let both = [Cpu(0), Cpu(1)];
    let look = |sim: &mut Sim, runs, waits| {
        for idle in both.into_iter().filter(|other| *other != cpu) {
            sim.event(idle, Event::Kick);
        }
        assert_eq!(sim.cpu_of(runs), Some(cpu));
        assert_eq!(sim.cpu_of(waits), None, "it is handed over, not queued");
    };
    for id in 0..20 {
        let call = Request::call(service).id(id);
        assert_eq!(sim.on(client).start_message(&call), None);
        look(&mut sim, first, client);
        let answer = Request::reply().id(id + 100).then_receive(port);
        assert_eq!(sim.on(first).start_message(&answer), None);
        look(&mut sim, client, first);
        assert_eq!(sim.on(client).finish_message().id, id + 100);
    }
}

/// Threads that never wait, one more than CPUs.
fn crowd(cpus: u32, seed: u64) -> (Sim, Vec<u32>) {
    let mut sim = Sim::boot(Config {
        seed,
        ..Config::with_cpus(cpus)
    });
    let first = sim.first();
    let mut threads: Vec<u32> = (0..cpus).map(|_| sim.add_thread(first)).collect();
    threads.push(first);
    (sim, threads)
}

#[test]
fn threads_that_nothing_tells_apart_get_the_same_time_on_any_cpus() {
    for cpus in 1..=4 {
        let (mut sim, threads) = crowd(cpus, cpus.into());
        let mut turns = vec![0_u32; threads.len()];
        // So many slices that each thread has 100, if all have the same.
        for _ in 0..100 * threads.len() / cpus as usize {
            sim.pass_time(SLICE);
            for (turns, thread) in turns.iter_mut().zip(&threads) {
                *turns += u32::from(sim.cpu_of(*thread).is_some());
            }
        }
        let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
        assert!(most - least <= 20, "{cpus} CPUs: {turns:?}");
    }
}

// covers: F-13
#[test]
fn a_thread_that_wakes_runs_where_it_ran_before_if_nothing_is_in_the_way() {
    let mut sim = Sim::boot(Config::with_cpus(4));
    let first = sim.first();
    let sleepers: Vec<u32> = (0..3).map(|_| sim.add_thread(first)).collect();
    let mut homes = Vec::new();
    for sleeper in &sleepers {
        homes.push(sim.until_runs(*sleeper));
    }
    for round in 0..20 {
        let deadline = sim.now() + 1_000_000 * (1 + round % 3);
        for sleeper in &sleepers {
            let wait = sim.on(*sleeper).start(trap::WAIT_UNTIL, &[deadline]);
            assert_eq!(wait, None);
        }
        for (sleeper, home) in sleepers.iter().zip(&homes) {
            assert_eq!(sim.until_runs(*sleeper), *home);
        }
    }
}

#[test]
fn a_cpu_that_has_nothing_to_do_takes_what_waits_for_another_one() {
    for cpus in 2..=4 {
        let (mut sim, threads) = crowd(cpus, 9);
        // One of them waits; whichever CPU is free next runs it.
        let waits = threads.iter().find(|thread| sim.cpu_of(**thread).is_none());
        let waits = *waits.unwrap();
        let gives = threads.iter().rev().find(|thread| **thread != waits);
        let gives = *gives.unwrap();
        let cpu = sim.cpu_of(gives).unwrap();
        assert_eq!(sim.on(gives).start(trap::WAIT_UNTIL, &[NEVER]), None);
        assert_eq!(sim.cpu_of(waits), Some(cpu), "it went over at once");
    }
}

/// Threads that wake each other, wait, yield and are done, as a seed says: what the scheduler promises is looked at
/// after each event.
#[test]
fn no_cpu_idles_while_a_thread_could_run_whatever_threads_do() {
    for seed in 0..30 {
        let (mut sim, threads) = crowd(1 + (seed % 4) as u32, seed);
        let word = |thread: usize| image::DATA + 64 + 8 * thread as u64;
        let mut asleep = vec![false; threads.len()];
        for _ in 0..400 {
            let who = sim.rng.below(threads.len());
            let thread = threads[who];
            if sim.cpu_of(thread).is_none() {
                sim.deliver();
                continue;
            }
            asleep[who] = false;
            match sim.rng.below(5) {
                0 => {
                    asleep[who] = sim
                        .on(thread)
                        .start(trap::FUTEX_WAIT, &[word(who), 0, NEVER])
                        .is_none();
                    // Somebody has to be there to wake the others.
                    if asleep.iter().all(|asleep| *asleep) {
                        break;
                    }
                }
                1 => {
                    let until = sim.now() + sim.rng.below(3_000_000) as u64;
                    sim.on(thread).start(trap::WAIT_UNTIL, &[until]);
                }
                2 => {
                    sim.on(thread).start(trap::THREAD_SWITCH, &[0, 0, 0]);
                }
                _ => {
                    let whom = sim.rng.below(threads.len());
                    sim.on(thread).start(trap::FUTEX_WAKE, &[word(whom), 1]);
                }
            }
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()), "seed {seed}");
    }
}

/// A thread touches and unmaps many pages: how many CPUs were interrupted for it, and in how many steps.
/// Whether a thread runs, as its basic information says.
fn run_state(sim: &mut Sim, caller: u32, thread: Name) -> u32 {
    let asks = [thread_info::BASIC.into(), thread_info::BASIC_COUNT.into()];
    let request = Request::call(thread).id(<dyn Thread>::INFO_OF.id);
    let told = sim
        .on(caller)
        .message(&request.words([asks[0], asks[1], 0, 0, 0, 0]));
    let data = told.body.expect("words").data;
    // The number of words, two times of two words each, usage and policy come before it.
    u32::from_le_bytes([data[56], data[57], data[58], data[59]])
}

// covers: T-09
#[test]
fn a_thread_that_loses_its_cpu_before_it_is_stopped_stands_still() {
    let mut sim = Sim::boot(Config::with_cpus(2));
    let caller = sim.first();
    sim.on(caller).register_buffer();
    let threads = [(); 2].map(|()| sim.add_thread(caller));
    let names = threads.map(|thread| sim.on(thread).trap(trap::THREAD_SELF, &[]).unwrap());
    let here = sim.on(caller).cpu();
    let there = Cpu(1 - here.0);
    let stopped = sim.current(there);
    let known = threads.iter().position(|thread| *thread == stopped);
    let name = Name(names[known.expect("a thread")] as u32);
    let call = |id| Request::call(name).id(id);
    // The caller waits until the other CPU has let go of the thread.
    sim.on(caller)
        .message_steps(&call(<dyn Thread>::SUSPEND.id), 1);
    assert_eq!(sim.current(there), stopped, "it has not noticed yet");
    sim.machine.advance(2 * SLICE);
    assert!(sim.machine.take_due_timer(there));
    sim.event(there, Event::Timer);
    assert_ne!(sim.current(there), stopped, "its turn is over");
    assert_eq!(sim.event(here, Event::Continue), Next::Run(caller));
    assert_eq!(sim.on(caller).finish_message().words[0], 0);
    assert_eq!(run_state(&mut sim, caller, name), thread_info::STOPPED);
    let state = sim.on(caller).message(&call(<dyn Thread>::GET_STATE.id));
    assert_eq!(state.words[0], 0, "it stands still");
    let resumed = sim.on(caller).message(&call(<dyn Thread>::RESUME.id));
    assert_eq!(resumed.words[0], 0);
    sim.until_runs(stopped);
}

fn unmap_many(sim: &mut Sim, thread: u32) -> (u64, u64) {
    const PAGES: u64 = 300;
    let mut me = sim.on(thread);
    let size = PAGES * PAGE_SIZE;
    let at = me.trap(trap::VM_ALLOCATE, &[0, size, 1]).expect("room");
    for page in 0..PAGES {
        me.poke(at + page * PAGE_SIZE, &[1]);
    }
    let before = (sim.machine.shootdowns(), sim.pauses);
    let gone = sim.on(thread).trap(trap::VM_DEALLOCATE, &[at, size]);
    assert_eq!(gone, Ok(0));
    let asked = sim.machine.shootdowns() - before.0;
    (asked, sim.pauses - before.1 + 1)
}

// covers: F-12
#[test]
fn an_unmapping_interrupts_only_cpus_that_run_the_task_and_each_once_a_step() {
    for cpus in [2, 4] {
        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        let others: Vec<_> = (1..cpus).map(|_| sim.add_task()).collect();
        for other in &others {
            sim.until_runs(*other);
        }
        let (asked, steps) = unmap_many(&mut sim, first);
        assert_eq!(asked, 0, "other CPUs run other tasks");
        assert!(steps < 10, "{steps} steps for 300 pages");

        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        let siblings: Vec<_> = (1..cpus).map(|_| sim.add_thread(first)).collect();
        for sibling in &siblings {
            sim.until_runs(*sibling);
        }
        let (asked, steps) = unmap_many(&mut sim, first);
        assert!(asked > 0, "other CPUs run the same task");
        let most = steps * u64::from(cpus - 1);
        assert!(asked <= most, "{asked} interrupts in {steps} steps");
    }
}

// covers: M-14
#[test]
fn a_call_does_not_overtake_what_another_cpu_is_still_to_bring_to_the_receiver() {
    const MANY: u32 = 500;
    for path in [Path::Fast, Path::Slow] {
        let mut sim = Sim::boot(Config {
            path,
            ..Config::with_cpus(3)
        });
        let caller = sim.first();
        let [ender, inserter, receiver] = [(); 3].map(|()| sim.add_thread(caller));
        let mut me = sim.on(caller);
        let (full, port) = (me.port(), me.port());
        let set = me.allocate(right::PORT_SET).unwrap();
        me.set_attribute(full, trap::attribute::QUEUE_LIMIT, MANY.into())
            .unwrap();
        for _ in 0..MANY {
            me.message(&Request::send(full));
        }
        me.message(&Request::send(port).id(1));
        assert_eq!(sim.on(receiver).start_message(&Request::receive(set)), None);
        let threads = [caller, ender, inserter];
        for thread in threads {
            sim.until_runs(thread);
        }
        // Nothing calls the other CPUs meanwhile.
        while sim.deliver() {}
        let cpus = threads.map(|thread| sim.cpu_of(thread).expect("a CPU of its own"));
        let mut begin = |cpu, number, arguments: &[u64]| {
            sim.load_trap(cpu, number, arguments);
            assert_eq!(sim.event_steps(cpu, Event::Trap, 1), Next::Continue);
        };
        // What follows from the one port's place in the set comes behind the end of the other one, which takes long.
        begin(cpus[1], trap::PORT_DESTROY, &[full.0.into()]);
        let member = [port, set].map(|name| name.0.into());
        begin(cpus[2], trap::PORT_INSERT_MEMBER, &member);
        assert_eq!(
            sim.on(caller).start_message(&Request::call(port).id(2)),
            None
        );
        for cpu in &cpus[1..] {
            sim.event(*cpu, Event::Continue);
        }
        assert_eq!(sim.on(receiver).finish_message().id, 1, "it came first");
        let second = sim.on(receiver).message(&Request::receive(set));
        assert_eq!(second.id, 2);
        sim.on(receiver).message(&Request::reply());
        assert_eq!(sim.on(caller).finish_message().code, Code::Success);
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}
