//! [`Lock`]: a ticket lock.
//!
//! Uncontended, taking it is one `lock xadd` and one compare, releasing it one `inc`: about six
//! instructions together. An MCS lock spins on its own cache line but needs a compare-and-swap to
//! release and a node per CPU; with at most 16 CPUs and kernel sections of a few hundred
//! instructions the ticket lock is the cheaper one.

use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::atomic::{AtomicU32, Ordering, pause};

/// A value that one CPU at a time may use.
pub struct Lock<T> {
    /// The ticket that the next comer takes.
    next: AtomicU32,
    /// The ticket whose holder owns the value.
    serving: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, and one guard exists at a time; so the lock moves
// the value between CPUs (`T: Send`) and never shares it.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// A free lock.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; calls `relax` again and again while others hold it.
    ///
    /// `relax` is where a waiting CPU answers what others wait for it to do.
    #[inline(always)]
    pub fn lock_with(&self, relax: impl FnMut()) -> Guard<'_, T> {
        // Relaxed: the ticket orders nothing, the load of `serving` below does.
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        if self.serving.load(Ordering::Acquire) != ticket {
            self.wait(ticket, relax);
        }
        Guard { lock: self }
    }

    /// Takes the lock.
    #[inline(always)]
    pub fn lock(&self) -> Guard<'_, T> {
        self.lock_with(|| {})
    }

    /// The value, whoever holds the lock.
    ///
    /// For a CPU that ends the run: all others are stopped, one of them perhaps inside the lock.
    pub fn as_ptr(&self) -> *mut T {
        self.value.get()
    }

    #[cold]
    #[inline(never)]
    fn wait(&self, ticket: u32, mut relax: impl FnMut()) {
        while self.serving.load(Ordering::Acquire) != ticket {
            relax();
            pause();
        }
    }
}

/// The lock is held as long as this lives.
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Guard<'_, T> {
    /// Releases the lock from a function that does not return.
    #[inline(always)]
    pub fn unlock(self) {
        ManuallyDrop::new(self).release();
    }

    #[inline(always)]
    fn release(&self) {
        let serving = &self.lock.serving;
        // Only the holder writes `serving`, so load and store need not be one operation. Release:
        // what the holder wrote is seen by the next one.
        let next = serving.load(Ordering::Relaxed).wrapping_add(1);
        serving.store(next, Ordering::Release);
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.release();
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the guard owns the lock, so no other reference to the value exists.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `&mut self` makes the reference unique.
        unsafe { &mut *self.lock.value.get() }
    }
}
