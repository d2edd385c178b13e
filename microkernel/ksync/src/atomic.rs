//! The atomics, real or loom's, and the cell that holds what a lock protects.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};

/// Sets a word to 1, and acquires what whoever cleared it released; answers whether it was 1 already.
///
/// On the machine it is `lock bts` and a jump. Loom gets another form, for it does not know that nothing
/// comes between the write that a read-modify-write reads and its own: a word that somebody found set could
/// stay so for ever there, after it was cleared.
#[inline(always)]
pub(crate) fn test_and_set(word: &AtomicU32) -> bool {
    #[cfg(not(loom))]
    let set = word.fetch_or(1, Ordering::Acquire) & 1 != 0;
    #[cfg(loom)]
    let set = word
        .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
        .is_err();
    set
}

/// One step of a busy wait.
#[inline(always)]
pub(crate) fn pause() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}
