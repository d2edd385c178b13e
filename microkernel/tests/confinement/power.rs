//! Priorities, time, and the state of a thread.

use abi::kern_return::KernReturn as K;
use abi::task::{DEFAULT_PRIORITY, MAX_PRIORITY, policy};
use abi::thread_state::ThreadState;
use abi::trap::{MK_TIMER_ARM, MK_TIMER_CREATE, TASK_SELF, THREAD_SELF, WAIT_UNTIL};
use interfaces::task::Task;
use interfaces::thread::Thread;
use sim::Request;

use crate::scene::attack;

const MS: u64 = 1_000_000;

// covers: T-10
#[test]
fn no_priority_above_the_limit_is_had_and_at_it_nobody_starves() {
    attack(|scene| {
        let (task, thread) = (scene.own(TASK_SELF), scene.own(THREAD_SELF));
        let limit = <dyn Task>::SET_PRIORITY_LIMIT.id;
        let set = <dyn Thread>::SET_PRIORITY.id;
        for priority in [DEFAULT_PRIORITY + 1, MAX_PRIORITY] {
            let words = [priority.into(), 1, 0, 0, 0, 0];
            assert_eq!(scene.call(task, limit, words), Err(K::NoAccess));
            assert_eq!(scene.call(thread, set, words), Err(K::NoAccess));
        }
        let words = [DEFAULT_PRIORITY.into(), 1, 0, 0, 0, 0];
        assert!(scene.call(thread, set, words).is_ok());
        let other = scene.sim.add_thread(scene.attacker);
        let own = scene.sim.on(other).trap(THREAD_SELF, &[]).unwrap() as u32;
        assert!(scene.call(abi::names::Name(own), set, words).is_ok());
        // They compute for ten seconds, and then the victim is looked at.
        for _ in 0..1_000 {
            scene.sim.pass_time(10 * MS);
        }
    });
}

// covers: T-10
#[test]
fn a_time_constraint_is_no_way_to_a_cpu_of_ones_own() {
    attack(|scene| {
        let thread = scene.own(THREAD_SELF);
        let bytes = [
            u64::from(policy::TIME_CONSTRAINT),
            4,
            0,
            50 * MS,
            50 * MS,
            1,
        ];
        let bytes: Vec<u8> = bytes.iter().flat_map(|word| word.to_le_bytes()).collect();
        let request = Request::call(thread)
            .id(<dyn Thread>::SET_POLICY.id)
            .data(&bytes);
        let reply = scene.sim.on(scene.attacker).message(&request);
        assert_eq!(K(reply.words[0] as u32), K::Success);
        for _ in 0..1_000 {
            scene.sim.pass_time(10 * MS);
        }
    });
}

// covers: K-01 K-02
#[test]
fn a_storm_of_timers_costs_the_attacker_its_own_turns() {
    attack(|scene| {
        let timers: Vec<u64> = (0..200)
            .map(|_| scene.trap(MK_TIMER_CREATE, &[]).unwrap())
            .collect();
        for round in 0..20 {
            let soon = scene.sim.now() + 1_000;
            for timer in &timers {
                scene.trap(MK_TIMER_ARM, &[*timer, soon + *timer]).unwrap();
            }
            let past = scene
                .sim
                .on(scene.attacker)
                .start(WAIT_UNTIL, &[soon + 500]);
            if past.is_none() {
                scene.sim.on(scene.attacker).finish();
            }
            if round % 5 == 0 {
                scene.probe();
            }
        }
    });
}

// covers: T-08
#[test]
fn a_state_of_the_kernels_is_not_set() {
    attack(|scene| {
        let task = scene.own(TASK_SELF);
        let good = ThreadState {
            rip: sim::image::CODE,
            rsp: sim::image::DATA + 0x1000,
            rflags: 1 << 1,
            ..ThreadState::default()
        };
        let bad = |change: fn(&mut ThreadState)| {
            let mut state = good;
            change(&mut state);
            state
        };
        for (state, expected) in [
            (
                bad(|state| state.rip = 0xffff_8000_0000_0000),
                K::InvalidArgument,
            ),
            (bad(|state| state.rip = 1 << 47), K::InvalidArgument),
            (bad(|state| state.fs_base = 1 << 63), K::InvalidArgument),
            (
                bad(|state| state.gs_base = 0xffff_ffff_8000_0000),
                K::InvalidArgument,
            ),
            (good, K::Success),
        ] {
            let words = state.named().map(|(_, word)| word);
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let request = Request::call(task)
                .id(<dyn Task>::THREAD_CREATE.id)
                .data(&bytes);
            let reply = scene.sim.on(scene.attacker).message(&request);
            assert_eq!(K(reply.words[0] as u32), expected, "{state:?}");
        }
    });
}
