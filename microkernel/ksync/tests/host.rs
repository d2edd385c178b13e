//! The same promises as in `loom.rs`, on real threads.
#![cfg(not(loom))]

use std::sync::atomic::{AtomicU32, Ordering};

use ksync::{Lock, Member, Rendezvous};

#[test]
fn increments_under_the_lock_are_not_lost() {
    let lock = Lock::new(0u64);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    *lock.lock_with(std::thread::yield_now) += 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), 4000);
}

#[test]
fn a_guard_that_is_unlocked_lets_the_next_one_in() {
    let lock = Lock::new(1);
    let mut guard = lock.lock();
    *guard = 2;
    guard.unlock();
    assert_eq!(*lock.lock(), 2);
}

#[test]
fn cpus_that_ask_each_other_are_both_answered() {
    let rendezvous = Rendezvous::new([Member::new(), Member::new()]);
    let served = [AtomicU32::new(0), AtomicU32::new(0)];
    std::thread::scope(|scope| {
        for me in 0..2 {
            let (rendezvous, served) = (&rendezvous, &served);
            scope.spawn(move || {
                let serve = |asker: usize| {
                    served[asker].fetch_add(1, Ordering::Relaxed);
                };
                for round in 1..=1000 {
                    rendezvous.ask(me, 1 << (1 - me));
                    while !rendezvous.is_done(me) {
                        rendezvous.answer(me, serve);
                        std::thread::yield_now();
                    }
                    assert_eq!(served[me].load(Ordering::Relaxed), round);
                }
                // The other one may still wait for answers.
                while served[1 - me].load(Ordering::Relaxed) < 1000 {
                    rendezvous.answer(me, serve);
                    std::thread::yield_now();
                }
            });
        }
    });
}
