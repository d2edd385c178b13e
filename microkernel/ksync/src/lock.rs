//! [`Lock`]: a spin lock.
//!
//! Uncontended, taking it is one locked bit test and one jump, releasing it one store: three instructions
//! together.
//!
//! It is not fair, and that is a decision (2026-11): with tickets, a virtual CPU that holds the next ticket
//! and is not running at the moment stops all others. On a loaded host, with two virtual CPUs, killing and
//! restarting a server took some 110 ms, both CPUs being found in the lock's wait in 107 of 120 samples; the
//! two loads were not the same, but beside two busy loops the whole guest suite now takes 8 s. Who waits is one
//! of at most 16 CPUs, sections are short, and a CPU that releases the lock leaves for user mode or idles
//! before it comes back.

use core::cell::UnsafeCell;
use core::mem::{ManuallyDrop, offset_of};
use core::ops::{Deref, DerefMut};

use crate::atomic::{AtomicU32, Ordering, pause, test_and_set};

/// A value that one CPU at a time may use.
pub struct Lock<T> {
    /// 1 while somebody owns the value.
    taken: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through a guard only, and one guard exists at a time; so the lock moves
// the value between CPUs (`T: Send`) and never shares it.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// Where the word lies that a store of 0 releases the lock by: for assembly that ends with a [`Guard::keep`].
    pub const WORD: usize = offset_of!(Self, taken);

    /// A free lock.
    #[cfg(not(loom))]
    pub const fn new(value: T) -> Self {
        Self {
            taken: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// A free lock.
    #[cfg(loom)]
    pub fn new(value: T) -> Self {
        Self {
            taken: AtomicU32::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; calls `relax` again and again while others hold it.
    ///
    /// `relax` is where a waiting CPU answers what others wait for it to do.
    #[inline(always)]
    pub fn lock_with(&self, relax: impl FnMut()) -> Guard<'_, T> {
        if !self.take() {
            self.wait(relax);
        }
        Guard { lock: self }
    }

    /// Takes the lock if nobody holds it.
    #[inline(always)]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.take().then(|| Guard { lock: self })
    }

    #[inline(always)]
    fn take(&self) -> bool {
        !test_and_set(&self.taken)
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
    fn wait(&self, mut relax: impl FnMut()) {
        loop {
            relax();
            pause();
            // Looking leaves the cache line shared; only a lock that seems free is worth a try.
            if self.taken.load(Ordering::Relaxed) == 0 && self.take() {
                return;
            }
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

    /// Leaves the lock taken, for assembly that releases it by [`Lock::WORD`].
    #[inline(always)]
    pub fn keep(self) {
        core::mem::forget(self);
    }

    #[inline(always)]
    fn release(&self) {
        // Release: what the holder wrote is seen by the next one.
        self.lock.taken.store(0, Ordering::Release);
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
