//! Registers by flavor, and threads that others stop while they run somewhere.

use abi::kern_return::KernReturn as K;
use abi::thread_state::{
    AVX_FLAVOR, AVX_SIZE, DEBUG_FLAVOR, FLAVOR, FLOAT_FLAVOR, FLOAT_SIZE, ThreadState,
};
use interfaces::thread::Thread;
use microkernel::machine::Vectors;
use sim::Config;

use crate::world::{World, code, state};

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

// covers: T-08
#[test]
fn a_thread_s_registers_are_had_and_set_by_flavor() {
    let world = World::single();
    let child = world.child();
    let right = child.task.thread_create(state()).unwrap();
    let thread = world.client::<dyn Thread>(right);
    // General: the same as by the method for them.
    let general = thread.get_state_of(FLAVOR).unwrap();
    assert_eq!(general.len(), size_of::<ThreadState>());
    assert_eq!(general[4 * 8..5 * 8], state().rdi.to_le_bytes());
    let mut changed = general.to_vec();
    changed[8..16].copy_from_slice(&77_u64.to_le_bytes());
    thread.set_state_of(FLAVOR, &changed).unwrap();
    assert_eq!(thread.get_state().unwrap().rbx, 77);
    // Vectors: clean at first. A shorter flavor leaves what is behind it.
    assert_eq!(*thread.get_state_of(AVX_FLAVOR).unwrap(), Vectors::CLEAN.0);
    let all: Vec<u8> = (0..AVX_SIZE).map(|n| n as u8).collect();
    thread.set_state_of(AVX_FLAVOR, &all).unwrap();
    thread.set_state_of(FLOAT_FLAVOR, &[3; FLOAT_SIZE]).unwrap();
    let both = thread.get_state_of(AVX_FLAVOR).unwrap();
    assert_eq!((both[0], &both[FLOAT_SIZE..]), (3, &all[FLOAT_SIZE..]));
    assert_eq!(both[26..28], [0; 2], "control bits that there are none of");
    assert_eq!(thread.get_state_of(FLOAT_FLAVOR).unwrap().len(), FLOAT_SIZE);
    // Debug registers.
    let watch = [
        0x1000,
        0x2000,
        0,
        0x7000_0000_0000,
        5,
        5,
        u64::MAX,
        0xf | 1 << 16,
    ];
    thread.set_state_of(DEBUG_FLAVOR, &bytes(&watch)).unwrap();
    let watches = [
        0x1000,
        0x2000,
        0,
        0x7000_0000_0000,
        0,
        0,
        0xe00f,
        0x40f | 1 << 16,
    ];
    assert_eq!(*thread.get_state_of(DEBUG_FLAVOR).unwrap(), bytes(&watches));
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: T-08
#[test]
fn registers_that_no_thread_may_have_are_refused() {
    let world = World::single();
    let child = world.child();
    let right = child.task.thread_create(state()).unwrap();
    let thread = world.client::<dyn Thread>(right);
    let mut foreign = thread.get_state_of(FLAVOR).unwrap().to_vec();
    foreign[18 * 8..19 * 8].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    let bad: [(u32, Vec<u8>); 10] = [
        (FLAVOR, foreign),
        (FLAVOR, vec![0; size_of::<ThreadState>() - 8]),
        (FLAVOR, vec![0; size_of::<ThreadState>() + 1]),
        (FLOAT_FLAVOR, vec![0; FLOAT_SIZE - 1]),
        (AVX_FLAVOR, vec![0; FLOAT_SIZE]),
        (DEBUG_FLAVOR, bytes(&[0; 7])),
        (DEBUG_FLAVOR, bytes(&[0, 0, 1 << 63, 0, 0, 0, 0, 0])),
        (DEBUG_FLAVOR, bytes(&[0, 0, 0, 0, 0, 0, 0, 1 << 13])),
        (DEBUG_FLAVOR, bytes(&[0, 0, 0, 0, 0, 0, 0, 2 << 28])),
        (6, vec![0; FLOAT_SIZE]),
    ];
    for (flavor, state) in bad {
        let set = code(thread.set_state_of(flavor, &state));
        assert_eq!(set, K::InvalidArgument, "flavor {flavor}");
    }
    assert_eq!(code(thread.get_state_of(6)), K::InvalidArgument);
    assert_eq!(*thread.get_state_of(AVX_FLAVOR).unwrap(), Vectors::CLEAN.0);
    thread.resume().unwrap();
    for flavor in [FLAVOR, FLOAT_FLAVOR, DEBUG_FLAVOR] {
        let runs = code(thread.get_state_of(flavor));
        assert_eq!(runs, K::Failure, "nothing stops it");
    }
    world.release(right);
    child.end();
    world.at_baseline();
}

/// Threads of a task run on all CPUs; another task's thread stops, looks at, changes, resumes and ends them in an order
/// that a seed gives.
// covers: T-07 T-08
#[test]
fn threads_are_stopped_wherever_they_run() {
    for seed in 0..24 {
        let world = World::new(Config {
            seed,
            ..Config::with_cpus(2 + (seed % 3) as u32)
        });
        let child = world.child();
        let mut threads: Vec<_> = (0..4).map(|_| child.thread()).collect();
        let below = |bound| world.sim.borrow_mut().rng.below(bound);
        for round in 0..40_u64 {
            let pause = below(15_000_000) as u64;
            world.sim.borrow_mut().pass_time(pause);
            let (index, right) = threads[below(threads.len())];
            let thread = world.client::<dyn Thread>(right);
            thread.suspend().unwrap();
            let mut state = thread.get_state().unwrap();
            assert_eq!(world.sim.borrow().cpu_of(index), None, "seed {seed}");
            state.rbx = round;
            thread.set_state(state).unwrap();
            thread
                .set_state_of(FLOAT_FLAVOR, &[round as u8; FLOAT_SIZE])
                .unwrap();
            world.sim.borrow_mut().registers_were_set(index);
            world.sim.borrow_mut().pass_time(pause);
            assert_eq!(world.sim.borrow().cpu_of(index), None, "it stays stopped");
            assert_eq!(thread.get_state().unwrap().rbx, round);
            assert_eq!(thread.get_state_of(FLOAT_FLAVOR).unwrap()[0], round as u8);
            if round % 16 == 15 {
                thread.terminate().unwrap();
                world.release(right);
                threads.retain(|(other, _)| *other != index);
                threads.push(child.thread());
            } else {
                thread.resume().unwrap();
            }
        }
        for (_, right) in threads {
            // Some run at this moment.
            world.client::<dyn Thread>(right).terminate().unwrap();
            world.release(right);
        }
        world.sim.borrow_mut().pass_time(50_000_000);
        child.end();
        world.at_baseline();
    }
}
