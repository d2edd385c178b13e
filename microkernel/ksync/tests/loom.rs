//! All interleavings, with `RUSTFLAGS="--cfg loom" cargo test -p ksync --release --test loom`.
#![cfg(loom)]

use ksync::{Changes, Lock, Member, Noted, Rendezvous, Unfinished};
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

/// CPU 0 takes a mapping away and tells CPU 2 so (here: by a word); CPU 1, which finds the page without mappings, gives
/// it to another only then.
#[test]
fn what_is_noted_is_over_when_the_others_know() {
    loom::model(|| {
        let unfinished = Arc::new(Unfinished::new([Changes::new(), Changes::new()]));
        let mapped = Arc::new(Lock::new(true));
        let told = Arc::new(AtomicU32::new(0));
        let other = {
            let (unfinished, mapped, told) = (unfinished.clone(), mapped.clone(), told.clone());
            loom::thread::spawn(move || {
                if let Some(mut mapped) = mapped.try_lock() {
                    unfinished.begin(0);
                    *mapped = false;
                    drop(mapped);
                    told.store(1, Ordering::Relaxed);
                    unfinished.end(0);
                }
            })
        };
        let mut noted = Noted::new();
        let free = mapped.try_lock().is_some_and(|mapped| {
            unfinished.note(1, &mut noted);
            !*mapped
        });
        while !unfinished.is_over(&mut noted) {
            loom::thread::yield_now();
        }
        assert!(!free || told.load(Ordering::Relaxed) == 1);
        other.join().expect("the thread ran to its end");
    });
}
