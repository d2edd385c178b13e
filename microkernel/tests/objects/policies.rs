//! Thread policies: what may be set, what is told, and what follows.

use abi::kern_return::KernReturn as K;
use abi::start::names::HOST_PRIVILEGED;
use abi::task::{BACKGROUND_PRIORITY, DEFAULT_PRIORITY, policy};
use abi::trap;
use interfaces::bounded::List;
use interfaces::host::Host;
use interfaces::thread::Thread;
use microkernel::machine::FrameIndex;
use sim::{Config, Sim};

use crate::world::{World, code, copy, moved};

const MS: u64 = 1_000_000;

fn list(words: &[u32]) -> List<u32, 4> {
    let mut list = List::default();
    assert!(words.iter().all(|word| list.push(*word)));
    list
}

// covers: T-10
#[test]
fn policies_are_told_as_they_were_set_and_hold_below_the_task_s_limit() {
    let world = World::single();
    let child = world.child();
    child.task.set_priority_limit(50).unwrap();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.suspend().unwrap();
    let priority = || thread.info().unwrap().priority;
    let set = |flavor, words: &[u32]| code(thread.set_policy(flavor, list(words)));
    let told = |flavor| thread.policy(flavor).unwrap().to_vec();

    assert_eq!(told(policy::STANDARD), [1]);
    assert_eq!(set(policy::STANDARD, &[0]), K::Success);
    assert_eq!(told(policy::STANDARD), [0]);
    assert_eq!(set(policy::STANDARD, &[]), K::Success);
    assert_eq!(told(policy::STANDARD), [1]);

    assert_eq!(set(policy::PRECEDENCE, &[-7_i32 as u32]), K::Success);
    assert_eq!(priority(), u32::from(DEFAULT_PRIORITY) - 7);
    assert_eq!(told(policy::PRECEDENCE), [-7_i32 as u32]);
    assert_eq!(set(policy::PRECEDENCE, &[i32::MAX as u32]), K::Success);
    assert_eq!(priority(), 50);

    // Into the background, and back to what was asked for.
    assert_eq!(
        set(policy::BACKGROUND, &[policy::DARWIN_BACKGROUND]),
        K::Success
    );
    assert_eq!(priority(), BACKGROUND_PRIORITY.into());
    assert_eq!(told(policy::BACKGROUND), [policy::DARWIN_BACKGROUND]);
    assert_eq!(set(policy::BACKGROUND, &[0]), K::Success);
    assert_eq!((priority(), told(policy::BACKGROUND)), (50, vec![0]));

    assert_eq!(set(policy::AFFINITY, &[9]), K::Success);
    assert_eq!(told(policy::AFFINITY), [9]);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-10
#[test]
fn a_lower_limit_holds_and_changes_nothing_of_what_was_asked_for() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.suspend().unwrap();
    let priority = || thread.info().unwrap().priority;
    let set = |flavor, words: &[u32]| code(thread.set_policy(flavor, list(words)));
    let told = |flavor| thread.policy(flavor).unwrap().to_vec();
    thread.set_priority(50, 0).unwrap();
    child.task.set_priority_limit(40).unwrap();
    assert_eq!(priority(), 40);
    assert_eq!(set(policy::AFFINITY, &[9]), K::Success);
    assert_eq!(told(policy::AFFINITY), [9]);
    assert_eq!(set(policy::STANDARD, &[]), K::Success);
    assert_eq!(told(policy::PRECEDENCE), [50 - u32::from(DEFAULT_PRIORITY)]);
    assert_eq!(set(policy::PRECEDENCE, &[i32::MAX as u32]), K::Success);
    assert_eq!(told(policy::PRECEDENCE), [40 - u32::from(DEFAULT_PRIORITY)]);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-10
#[test]
fn a_time_constraint_is_no_way_above_the_limit_and_ends_with_another_policy() {
    let world = World::single();
    let child = world.child();
    child.task.set_priority_limit(50).unwrap();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.suspend().unwrap();
    let priority = || thread.info().unwrap().priority;
    let set = |flavor, words: &[u32]| code(thread.set_policy(flavor, list(words)));
    let told = |flavor| thread.policy(flavor).unwrap().to_vec();
    assert_eq!(code(thread.policy(policy::TIME_CONSTRAINT)), K::Failure);
    let needs = [20_000_000, 5_000_000, 10_000_000, 1];
    assert_eq!(set(policy::TIME_CONSTRAINT, &needs), K::Success);
    assert_eq!(
        (priority(), told(policy::TIME_CONSTRAINT)),
        (50, needs.to_vec())
    );
    child.task.set_priority_limit(40).unwrap();
    assert_eq!(priority(), 40);
    let steer = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    let task = copy(child.right.0);
    assert_eq!(moved(steer.set_priority_limit(task, 60)), K::Success);
    assert_eq!(priority(), 60);
    assert_eq!(set(policy::STANDARD, &[]), K::Success);
    assert_eq!(priority(), DEFAULT_PRIORITY.into());
    assert_eq!(code(thread.policy(policy::TIME_CONSTRAINT)), K::Failure);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-10
#[test]
fn policies_that_make_no_sense_are_refused() {
    let world = World::single();
    let child = world.child();
    let (_, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    let bad: [(u32, &[u32]); 14] = [
        (0, &[]),
        (99, &[1]),
        (policy::STANDARD, &[2]),
        (policy::STANDARD, &[1, 1]),
        (policy::PRECEDENCE, &[]),
        (policy::AFFINITY, &[1, 2]),
        (policy::BACKGROUND, &[1]),
        (policy::TIME_CONSTRAINT, &[10_000_000, 5_000_000, 9_000_000]),
        // More than the period, or than the constraint; too little, too much; a flag that is none.
        (
            policy::TIME_CONSTRAINT,
            &[4_000_000, 5_000_000, 9_000_000, 0],
        ),
        (
            policy::TIME_CONSTRAINT,
            &[10_000_000, 5_000_000, 4_000_000, 0],
        ),
        (policy::TIME_CONSTRAINT, &[0, 49_999, 1_000_000, 0]),
        (policy::TIME_CONSTRAINT, &[0, 50_000_001, 60_000_000, 0]),
        (policy::TIME_CONSTRAINT, &[0, 1_000_000, 1_000_000, 2]),
        (6, &[0]),
    ];
    for (flavor, words) in bad {
        let set = code(thread.set_policy(flavor, list(words)));
        assert_eq!(set, K::InvalidArgument, "{flavor} {words:?}");
    }
    for flavor in [policy::LATENCY_QOS, policy::THROUGHPUT_QOS] {
        let none: &[u32] = &[];
        let last = policy::tier(policy::LAST_TIER);
        for words in [none, &[1], &[last + 1], &[0xff_0000], &[last, 0]] {
            let set = code(thread.set_policy(flavor, list(words)));
            assert_eq!(set, K::InvalidArgument, "{flavor} {words:?}");
        }
        assert_eq!(*thread.policy(flavor).unwrap(), [0], "nothing was set");
    }
    assert_eq!(code(thread.policy(99)), K::InvalidArgument);
    assert_eq!(thread.info().unwrap().priority, DEFAULT_PRIORITY.into());
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-10
#[test]
fn a_thread_that_computes_longer_than_it_said_gives_way_until_its_period_is_over() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    thread.suspend().unwrap();
    let needs = [40_000_000, 5_000_000, 20_000_000, 1];
    let set = thread.set_policy(policy::TIME_CONSTRAINT, list(&needs));
    set.unwrap();
    thread.resume().unwrap();
    let mut sim = world.sim.borrow_mut();
    // By the time that the first thread is back, it has computed too long.
    while sim.cpu_of(index).is_none() {
        sim.pass_time(MS);
    }
    let mut ran = Vec::new();
    for _ in 0..80 {
        ran.push(sim.cpu_of(index).is_some());
        sim.pass_time(MS);
    }
    let share = |part: &[bool]| part.iter().filter(|ran| **ran).count();
    assert!((4..=6).contains(&share(&ran[..40])), "{ran:?}");
    assert!((4..=7).contains(&share(&ran[40..])), "{ran:?}");
    // One that waits in time is never kept from running.
    while sim.cpu_of(index).is_none() {
        sim.pass_time(MS);
    }
    for _ in 0..20 {
        let until = sim.now() + 2 * MS;
        assert_eq!(sim.on(index).start(trap::WAIT_UNTIL, &[until]), None);
        sim.pass_time(2 * MS);
        assert!(sim.cpu_of(index).is_some());
        sim.pass_time(MS);
        assert!(sim.cpu_of(index).is_some());
    }
    drop(sim);
    world
        .sim
        .borrow_mut()
        .on(index)
        .start(trap::WAIT_UNTIL, &[u64::MAX]);
    world.release(right);
    child.end();
    world.at_baseline();
}

/// What a thread does that wants a CPU for itself, each time that it has run for nine tenths of a slice.
type Habit = fn(&mut Sim, FrameIndex);

/// How many slices of a thousand two threads ran, of which the first one has a habit, and the second one computes, at a
/// priority that is so much higher than usual. The first thread of all computes, too.
fn share_with(habit: Habit, precedence: i32) -> (u64, u64) {
    let world = World::single();
    let child = world.child();
    let [keen, meek] = [(); 2].map(|()| child.thread());
    let set = |right, flavor, word| {
        let thread = world.client::<dyn Thread>(right);
        thread.set_policy(flavor, list(&[word])).unwrap();
    };
    set(meek.1, policy::PRECEDENCE, precedence as u32);
    set(keen.1, policy::STANDARD, 0);
    for _ in 0..1_000 {
        let mut sim = world.sim.borrow_mut();
        sim.pass_time(9 * MS);
        if sim.cpu_of(keen.0).is_some() {
            habit(&mut sim, keen.0);
        }
        sim.pass_time(MS);
    }
    let asleep = &[u64::MAX];
    world
        .sim
        .borrow_mut()
        .on(keen.0)
        .start(trap::WAIT_UNTIL, asleep);
    let shares = [keen.1, meek.1].map(|right| {
        let time = world.client::<dyn Thread>(right).info().unwrap().cpu_time;
        world.release(right);
        time / (10 * MS)
    });
    child.end();
    world.at_baseline();
    (shares[0], shares[1])
}

// covers: T-10
#[test]
fn no_thread_of_ordinary_priority_keeps_a_cpu_from_those_that_share_time() {
    let computes: Habit = |_, _| {};
    let naps: Habit = |sim, keen| {
        let soon = sim.now() + 1_000;
        assert_eq!(sim.on(keen).start(trap::WAIT_UNTIL, &[soon]), None);
        sim.pass_time(1_000);
    };
    for habit in [computes, naps] {
        let (keen, meek) = share_with(habit, 0);
        assert!(keen > 800 && meek > 45, "{keen}, {meek}");
        let (keen, meek) = share_with(habit, -1);
        assert!(keen > 800 && meek < 5, "{keen}, {meek}: as it was wished");
    }
}

// covers: T-10
#[test]
fn threads_with_the_same_tag_wake_on_the_same_cpu() {
    let world = World::new(Config::with_cpus(4));
    let child = world.child();
    let threads: Vec<_> = (0..3).map(|_| child.thread()).collect();
    for (_, right) in &threads {
        let thread = world.client::<dyn Thread>(*right);
        thread.set_policy(policy::AFFINITY, list(&[77])).unwrap();
    }
    let mut sim = world.sim.borrow_mut();
    for (index, _) in &threads {
        let asleep = sim.on(*index).start(trap::WAIT_UNTIL, &[u64::MAX]);
        assert_eq!(asleep, None);
    }
    drop(sim);
    let mut cpus = Vec::new();
    for (index, right) in &threads {
        world.client::<dyn Thread>(*right).abort().unwrap();
        let mut sim = world.sim.borrow_mut();
        cpus.push(sim.until_runs(*index));
        sim.on(*index).start(trap::WAIT_UNTIL, &[u64::MAX]);
    }
    assert!(cpus.iter().all(|cpu| *cpu == cpus[0]), "{cpus:?}");
    for (_, right) in threads {
        world.release(right);
    }
    child.end();
    world.at_baseline();
}

// covers: T-10
#[test]
fn tiers_of_quality_are_told_and_a_late_sleeper_wakes_with_others() {
    let world = World::single();
    let child = world.child();
    let (index, right) = child.thread();
    let thread = world.client::<dyn Thread>(right);
    for flavor in [policy::LATENCY_QOS, policy::THROUGHPUT_QOS] {
        for tier in 0..=policy::LAST_TIER {
            let word = policy::tier(tier);
            assert_eq!(thread.set_policy(flavor, list(&[word])), Ok(()));
            assert_eq!(*thread.policy(flavor).unwrap(), [word]);
        }
    }
    // Until when it is to sleep, and when it wakes.
    let sleep = || {
        let mut sim = world.sim.borrow_mut();
        sim.until_runs(index);
        let until = sim.now() + 1_234_567;
        assert_eq!(sim.on(index).start(trap::WAIT_UNTIL, &[until]), None);
        (until, sim.on(index).finish().frame.rdx)
    };
    for (tier, step) in (0..).zip(policy::LATENESS) {
        let word = policy::tier(tier);
        thread
            .set_policy(policy::LATENCY_QOS, list(&[word]))
            .unwrap();
        let (until, woke) = sleep();
        let late = until.next_multiple_of(step);
        assert!(
            (late..late + MS).contains(&woke),
            "tier {tier}: {woke} for {until}"
        );
    }
    thread.set_policy(policy::LATENCY_QOS, list(&[0])).unwrap();
    let (until, woke) = sleep();
    assert!((until..until + MS).contains(&woke), "{woke} for {until}");
    world.release(right);
    child.end();
    world.at_baseline();
}
