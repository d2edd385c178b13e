//! All interleavings, with `RUSTFLAGS="--cfg loom" cargo test -p ksync --release --test loom`.
#![cfg(loom)]

use ksync::{Lock, Member, Rendezvous};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};

/// Tries instead of waiting: a wait is nothing but tries, and has endless interleavings.
#[test]
fn one_at_a_time_holds_the_lock() {
    loom::model(|| {
        let lock = Arc::new(Lock::new(0u32));
        let inside = Arc::new(AtomicU32::new(0));
        let work = |lock: &Lock<u32>, inside: &AtomicU32| {
            (0..2)
                .filter(|_| {
                    let Some(mut guard) = lock.try_lock() else {
                        return false;
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    *guard += 1;
                    inside.fetch_sub(1, Ordering::Relaxed);
                    true
                })
                .count()
        };
        let other = {
            let (lock, inside) = (lock.clone(), inside.clone());
            loom::thread::spawn(move || work(&lock, &inside))
        };
        let here = work(&lock, &inside);
        let there = other.join().expect("the thread ran to its end");
        assert_eq!(*lock.lock() as usize, here + there);
        assert!(here + there >= 2);
    });
}

#[test]
fn who_is_done_sees_what_the_other_did() {
    loom::model(|| {
        let rendezvous = Arc::new(Rendezvous::new([Member::new(), Member::new()]));
        let wanted = Arc::new(AtomicU32::new(0));
        let done = Arc::new(AtomicU32::new(0));
        let other = {
            let (rendezvous, wanted, done) = (rendezvous.clone(), wanted.clone(), done.clone());
            loom::thread::spawn(move || {
                while done.load(Ordering::Relaxed) == 0 {
                    rendezvous.answer(1, |asker| {
                        assert_eq!(asker, 0);
                        assert_eq!(wanted.load(Ordering::Relaxed), 7);
                        done.store(1, Ordering::Relaxed);
                    });
                    loom::thread::yield_now();
                }
            })
        };
        wanted.store(7, Ordering::Relaxed);
        rendezvous.ask(0, 0b10);
        while !rendezvous.is_done(0) {
            rendezvous.answer(0, |_| unreachable!("nobody asks CPU 0"));
            loom::thread::yield_now();
        }
        assert_eq!(done.load(Ordering::Relaxed), 1);
        other.join().expect("the thread ran to its end");
    });
}
