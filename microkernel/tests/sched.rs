//! Turns on the CPU, waits that end by themselves, futexes.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition, port_type};
use abi::notify::{self, pending};
use abi::trap;
use microkernel::machine::FrameIndex;
use microkernel::sched::Wait;
use sim::{Config, Request, Rng, Sim, image};

/// A word that all threads of a task see.
const WORD: u64 = image::DATA + 64;

#[test]
fn threads_that_never_wait_all_get_their_turn() {
    for cpus in 1..=2 {
        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        let others: Vec<_> = (0..4).map(|_| sim.add_thread(first)).collect();
        for thread in others.into_iter().chain([first]) {
            sim.until_runs(thread);
            assert_eq!(sim.on(thread).trap(trap::NULL, &[]), Ok(0));
        }
    }
}

// covers: K-01
#[test]
fn a_thread_sleeps_until_its_deadline() {
    let (mut sim, first) = Sim::single();
    let wake = sim.now() + 3_000_000_000;
    assert_eq!(sim.on(first).start(trap::WAIT_UNTIL, &[wake]), None);
    sim.pass_time(2_000_000_000);
    assert!(!sim.is_in_user_mode(first));
    let answer = sim.on(first).finish();
    assert_eq!(answer.frame.rax, 0);
    assert!(sim.now() >= wake);
    let asked = sim.now();
    let over = sim.on(first).trap(trap::WAIT_UNTIL, &[0]).unwrap();
    assert!(over >= asked, "the past is over at once");
    let clock = sim.on(first).trap(trap::CLOCK, &[]).unwrap();
    assert!(clock >= wake);
}

// covers: K-05
#[test]
fn a_futex_wakes_whom_it_should() {
    let (mut sim, first) = Sim::single();
    let sleepers: Vec<_> = (0..3).map(|_| sim.add_thread(first)).collect();
    sim.on(first).poke(WORD, &7_u32.to_le_bytes());
    let other = sim.on(first).trap(trap::FUTEX_WAIT, &[WORD, 8, u64::MAX]);
    assert_eq!(other, Err(K::Failure), "another value");
    let odd = sim
        .on(first)
        .trap(trap::FUTEX_WAIT, &[WORD + 2, 7, u64::MAX]);
    assert_eq!(odd, Err(K::InvalidArgument));
    let nowhere = sim
        .on(first)
        .trap(trap::FUTEX_WAIT, &[0x10_0000, 7, u64::MAX]);
    assert_eq!(nowhere, Err(K::InvalidAddress));
    for sleeper in &sleepers {
        assert_eq!(
            sim.on(*sleeper)
                .start(trap::FUTEX_WAIT, &[WORD, 7, u64::MAX]),
            None
        );
    }
    assert_eq!(sim.on(first).trap(trap::FUTEX_WAKE, &[WORD, 1]), Ok(1));
    assert_eq!(
        sim.on(sleepers[0]).finish().frame.rax,
        0,
        "first come, first woken"
    );
    assert_eq!(sim.on(first).trap(trap::FUTEX_WAKE, &[WORD, 10]), Ok(2));
    assert_eq!(sim.on(first).trap(trap::FUTEX_WAKE, &[WORD, 10]), Ok(0));
    let deadline = sim.now() + 1_000_000_000;
    let late = sim.on(first).trap(trap::FUTEX_WAIT, &[WORD, 7, deadline]);
    assert_eq!(late, Err(K::OperationTimedOut));
}

// covers: K-05
#[test]
fn who_waits_for_a_word_is_moved_to_another_one_in_turn() {
    /// Threads that one trap takes.
    const MOST: u64 = 32;
    const MANY: usize = 70;
    /// The first of those that are not moved.
    const MOVED: usize = 6 + MOST as usize - 2;
    const OTHER: u64 = WORD + 8;
    for cpus in 1..=3 {
        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        let threads: Vec<_> = (0..MANY)
            .map(|_| sim.add_thread_without_buffer(first))
            .collect();
        sim.on(first)
            .poke(WORD, &[7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        let far = sim.now() + 3_600_000_000_000;
        let wait = |sim: &mut Sim, thread, word, value| {
            let waits = sim.on(thread).start(trap::FUTEX_WAIT, &[word, value, far]);
            assert_eq!(waits, None);
        };
        wait(&mut sim, threads[0], OTHER, 9);
        for thread in &threads[1..] {
            wait(&mut sim, *thread, WORD, 7);
        }
        let requeue = |sim: &mut Sim, from, expected, [wakes, to, moves]: [u64; 3]| {
            let arguments = [from, expected, wakes, to, moves];
            sim.on(first).trap(trap::FUTEX_REQUEUE, &arguments)
        };
        for (from, expected, to, code) in [
            (WORD, 8, OTHER, K::Failure),
            (WORD, 7, WORD, K::InvalidArgument),
            (WORD + 2, 7, OTHER, K::InvalidArgument),
            (WORD, 7, OTHER + 1, K::InvalidArgument),
            (0x10_0000, 7, OTHER, K::InvalidAddress),
            (WORD, 7, 0x10_0000, K::InvalidAddress),
        ] {
            assert_eq!(requeue(&mut sim, from, expected, [9, to, 9]), Err(code));
        }
        // One goes on, two are moved; and then as many as one trap may.
        let done = requeue(&mut sim, WORD, 7, [1, OTHER, 2]);
        assert_eq!(done, Ok(1 | 2 << 32));
        assert_eq!(sim.on(threads[1]).finish().frame.rax, 0);
        let done = requeue(&mut sim, WORD, 7, [2, OTHER, u64::MAX]);
        assert_eq!(done, Ok(2 | (MOST - 2) << 32));
        for thread in &threads[4..6] {
            assert_eq!(sim.on(*thread).finish().frame.rax, 0);
        }
        let wake = |_| sim.on(first).trap(trap::FUTEX_WAKE, &[WORD, u64::MAX]);
        assert_eq!([0; 3].map(wake), [MOST, 2, 0].map(Ok));
        for thread in &threads[MOVED..] {
            assert_eq!(sim.on(*thread).finish().frame.rax, 0);
        }
        let nobody = requeue(&mut sim, WORD, 7, [1, OTHER, 1]);
        assert_eq!(nobody, Ok(0));
        // They stand where they are now, in the order in which they came, behind who was there.
        let order = [0, 2, 3].into_iter().chain(6..MOVED);
        for thread in order.clone().take(20) {
            let woken = sim.on(first).trap(trap::FUTEX_WAKE, &[OTHER, 1]);
            assert_eq!(woken, Ok(1));
            assert_eq!(sim.on(threads[thread]).finish().frame.rax, 0);
        }
        // Their deadlines hold on.
        sim.pass_time(3_700_000_000_000);
        for thread in order.skip(20) {
            let code = sim.on(threads[thread]).finish().frame.rax;
            assert_eq!(code, u64::from(K::OperationTimedOut.0));
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

#[test]
fn one_interrupt_sees_to_some_of_the_deadlines_that_have_come() {
    /// As many as one interrupt takes.
    const MOST: usize = 8;
    for cpus in 1..=2 {
        let mut sim = Sim::boot(Config::with_cpus(cpus));
        let first = sim.first();
        sim.on(first).poke(WORD, &[7, 0, 0, 0]);
        let deadline = sim.now() + 3_600_000_000_000;
        let threads: Vec<_> = (0..3 * MOST)
            .map(|_| sim.add_thread_without_buffer(first))
            .collect();
        for thread in &threads {
            let waits = sim
                .on(*thread)
                .start(trap::FUTEX_WAIT, &[WORD, 7, deadline]);
            assert_eq!(waits, None);
        }
        let waiting = |sim: &Sim| {
            let threads = sim.kernel.threads();
            threads.filter(|(view, _)| view.wait == Wait::Futex).count()
        };
        sim.machine.advance(deadline);
        let mut before = waiting(&sim);
        while sim.deliver() {
            let now = waiting(&sim);
            assert!(before - now <= MOST, "{before} waited, {now} do now");
            before = now;
        }
        assert_eq!(before, 0);
        for thread in threads {
            let code = sim.on(thread).finish().frame.rax;
            assert_eq!(code, u64::from(K::OperationTimedOut.0));
        }
    }
}

#[test]
fn whoever_waits_for_other_words_is_not_in_the_way() {
    const WORDS: usize = 7;
    const HOUR: u64 = 3_600_000_000_000;
    let word = |number: usize| WORD + 4 * number as u64;
    let (mut sim, first) = Sim::single();
    let mut idle: Vec<_> = (0..40)
        .map(|_| sim.add_thread_without_buffer(first))
        .collect();
    sim.on(first).poke(WORD, &[0; 4 * WORDS]);
    let mut waiting = [const { Vec::new() }; WORDS];
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        let number = rng.below(WORDS);
        let waiters = &mut waiting[number];
        if rng.one_in(40) {
            // All with a deadline leave their places, wherever these are.
            sim.pass_time(2 * HOUR);
            for waiters in &mut waiting {
                let (late, others) = waiters.drain(..).partition(|(_, timed)| *timed);
                *waiters = others;
                for (thread, _) in Vec::into_iter(late) {
                    let code = sim.on(thread).finish().frame.rax;
                    assert_eq!(code, u64::from(K::OperationTimedOut.0));
                    idle.push(thread);
                }
            }
        } else if rng.one_in(3) {
            let count = 1 + rng.below(4);
            let woken = waiters.len().min(count);
            let told = sim
                .on(first)
                .trap(trap::FUTEX_WAKE, &[word(number), count as u64]);
            assert_eq!(told, Ok(woken as u64));
            for (thread, _) in waiters.drain(..woken) {
                assert_eq!(
                    sim.on(thread).finish().frame.rax,
                    0,
                    "first come, first woken"
                );
                idle.push(thread);
            }
        } else if let Some(thread) = idle.pop() {
            let timed = rng.one_in(4);
            let deadline = if timed { sim.now() + HOUR } else { u64::MAX };
            let wait = sim
                .on(thread)
                .start(trap::FUTEX_WAIT, &[word(number), 0, deadline]);
            assert_eq!(wait, None);
            waiters.push((thread, timed));
        }
    }
}

// covers: T-14
#[test]
fn threads_that_sleep_take_no_pages() {
    let mut sim = Sim::boot(Config::default());
    let first = sim.first();
    let before = sim.machine.memory.in_use();
    for _ in 0..200 {
        let thread = sim.add_thread_without_buffer(first);
        let never = microkernel::machine::NEVER;
        assert_eq!(sim.on(thread).start(trap::WAIT_UNTIL, &[never]), None);
    }
    assert_eq!(sim.machine.memory.in_use(), before);
}

// covers: K-02
#[test]
fn a_port_s_timer_becomes_a_message_at_its_deadline() {
    let (mut sim, first) = Sim::single();
    for delay in [0, 1_000, 3_000_000_000] {
        let port = sim.on(first).port();
        let deadline = sim.now() + delay;
        let armed = sim
            .on(first)
            .trap(trap::TIMER_ARM, &[port.0.into(), deadline]);
        assert_eq!(armed, Ok(0));
        let limit = deadline + 9_000_000_000;
        let reply = sim.on(first).message(&Request::poll(port).until(limit));
        assert_eq!(
            (reply.code, reply.id),
            (MessageReturn::Success, pending::TIMER)
        );
        assert_eq!(reply.words[0], deadline);
        let now = sim.now();
        assert!((deadline..limit).contains(&now), "{now} for {deadline}");
        sim.on(first).destroy(port).unwrap();
    }
}

fn timed(sim: &mut Sim, first: FrameIndex, timer: u64, deadline: u64) {
    let armed = sim.on(first).trap(trap::MK_TIMER_ARM, &[timer, deadline]);
    assert_eq!(armed, Ok(0));
}

// covers: K-02
#[test]
fn a_timer_is_armed_cancelled_and_destroyed_and_has_one_message_at_a_time() {
    let (mut sim, first) = Sim::single();
    let timer = sim.on(first).trap(trap::MK_TIMER_CREATE, &[]).unwrap();
    let port = Name(timer as u32);
    assert_eq!(sim.on(first).kind(port), Ok(port_type::RECEIVE));
    assert_eq!(sim.on(first).trap(trap::MK_TIMER_CANCEL, &[timer]), Ok(0));
    let (soon, later) = (sim.now() + 1_000_000, sim.now() + 30_000_000);
    timed(&mut sim, first, timer, soon);
    let cancelled = sim.on(first).trap(trap::MK_TIMER_CANCEL, &[timer]);
    assert_eq!(cancelled, Ok(soon));
    sim.pass_time(2_000_000);
    assert_eq!(
        sim.on(first).poll(port).code,
        MessageReturn::ReceiveTimedOut
    );
    // Another deadline takes the place of the first; what has passed comes at once, and is told once.
    timed(&mut sim, first, timer, u64::MAX - 1);
    timed(&mut sim, first, timer, later);
    let limit = later + 9_000_000;
    let reply = sim.on(first).message(&Request::poll(port).until(limit));
    assert_eq!((reply.id, reply.words[0]), (pending::TIMER, later));
    for deadline in [1, 2, 3] {
        timed(&mut sim, first, timer, deadline);
        sim.pass_time(1_000_000);
    }
    let reply = sim.on(first).poll(port);
    assert_eq!((reply.id, reply.words[0]), (pending::TIMER, 3), "the last");
    assert_eq!(
        sim.on(first).poll(port).code,
        MessageReturn::ReceiveTimedOut
    );
    timed(&mut sim, first, timer, later + 1_000_000_000);
    assert_eq!(sim.on(first).trap(trap::MK_TIMER_DESTROY, &[timer]), Ok(0));
    assert_eq!(sim.on(first).kind(port), Err(K::InvalidName));
    for number in [
        trap::MK_TIMER_ARM,
        trap::MK_TIMER_CANCEL,
        trap::MK_TIMER_DESTROY,
    ] {
        assert_eq!(sim.on(first).trap(number, &[timer, 1]), Err(K::InvalidName));
        let plain = sim.on(first).port();
        let other = sim.on(first).trap(number, &[plain.0.into(), 1]);
        assert_eq!(other, Err(K::InvalidArgument), "no timer");
        sim.on(first).destroy(plain).unwrap();
    }
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

// covers: K-02
#[test]
fn a_timer_stays_where_it_is_and_nobody_gets_it_in_place_of_its_end() {
    let (mut sim, first) = Sim::single();
    let timer = sim.on(first).trap(trap::MK_TIMER_CREATE, &[]).unwrap();
    let (timer, notes) = (Name(timer as u32), sim.on(first).port());
    let mut me = sim.on(first);
    for disposition in [disposition::MAKE_SEND, disposition::MAKE_SEND_ONCE] {
        let to = Request::send(notes).disposed(disposition::MAKE_SEND);
        let moves = to.clone().port(timer, disposition::MOVE_RECEIVE);
        assert_eq!(me.message(&moves).code, MessageReturn::SendInvalidRight);
        let gives = me.message(&to.port(timer, disposition));
        assert_eq!(gives.code, MessageReturn::Success, "rights to send do move");
        let found = me.poll(notes).body.unwrap().descriptors[0].name;
        me.deallocate(Name(found)).unwrap();
    }
    me.poll(timer);
    let destroyed = me.request(timer, notify::PORT_DESTROYED, 0, notes);
    assert_eq!(destroyed, Err(K::InvalidRight));
    let senders = me.request(timer, notify::NO_SENDERS, 0, notes);
    assert_eq!(senders, Ok(Name::NULL), "another notice may be had");
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}
