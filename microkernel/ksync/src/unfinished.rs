//! [`Unfinished`]: which CPUs have changed something that others do not know of yet, and waiting until they do.
//!
//! A change is made while the kernel lock is held, and told to the others after its release. Who holds the lock meanwhile
//! sees the change, and may draw conclusions: that a page is free, for nothing maps it any more. Such a
//! conclusion [notes](Unfinished::note) who is still telling, and waits for that before it is acted on.
//!
//! Nobody waits for another before its own change is told, and who waits answers others meanwhile: there is no circle.

use crate::atomic::{AtomicU32, Ordering};

/// One CPU's part: how often it began, and how often it has ended.
pub struct Changes {
    begun: AtomicU32,
    ended: AtomicU32,
}

impl Changes {
    /// None.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }

    /// None.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

/// Whose changes are to be waited for.
#[derive(Debug)]
pub struct Noted<const CPUS: usize> {
    /// A set of CPUs: bit n is CPU n.
    cpus: u32,
    /// How often each of them will have ended.
    ended: [u32; CPUS],
}

impl<const CPUS: usize> Noted<CPUS> {
    /// Nobody's.
    pub const fn new() -> Self {
        const { assert!(CPUS <= 32) };
        Self {
            cpus: 0,
            ended: [0; CPUS],
        }
    }
}

impl<const CPUS: usize> Default for Noted<CPUS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The CPUs' changes, numbered as the CPUs are.
pub struct Unfinished<const CPUS: usize> {
    /// CPUs that have begun and not ended: a set.
    open: AtomicU32,
    changes: [Changes; CPUS],
}

impl<const CPUS: usize> Unfinished<CPUS> {
    /// No changes.
    #[cfg(not(loom))]
    pub const fn new(changes: [Changes; CPUS]) -> Self {
        Self {
            open: AtomicU32::new(0),
            changes,
        }
    }

    /// No changes.
    #[cfg(loom)]
    pub fn new(changes: [Changes; CPUS]) -> Self {
        Self {
            open: AtomicU32::new(0),
            changes,
        }
    }

    /// This CPU, which holds the lock and has ended what it began before, changes something.
    pub fn begin(&self, me: usize) {
        let begun = &self.changes[me].begun;
        // Relaxed: published by the lock's release.
        begun.store(
            begun.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
        self.open.fetch_or(1 << me, Ordering::Relaxed);
    }

    /// All others know of this CPU's changes.
    pub fn end(&self, me: usize) {
        let Changes { begun, ended } = &self.changes[me];
        // Release, both: who sees one of them sees what the others did.
        ended.store(begun.load(Ordering::Relaxed), Ordering::Release);
        self.open.fetch_and(!(1 << me), Ordering::Release);
    }

    /// Notes the changes of others that are not ended now. The caller holds the lock.
    #[inline(always)]
    pub fn note(&self, me: usize, noted: &mut Noted<CPUS>) {
        // Acquire: what is not open any more has been told.
        let others = self.open.load(Ordering::Acquire) & !(1 << me);
        if others != 0 {
            self.note_each(others, noted);
        }
    }

    #[cold]
    fn note_each(&self, others: u32, noted: &mut Noted<CPUS>) {
        for (cpu, changes) in self.changes.iter().enumerate() {
            if others & 1 << cpu != 0 {
                noted.ended[cpu] = changes.begun.load(Ordering::Relaxed);
            }
        }
        noted.cpus |= others;
    }

    /// Whether all that was noted has ended. It is forgotten as it ends.
    #[inline(always)]
    pub fn is_over(&self, noted: &mut Noted<CPUS>) -> bool {
        noted.cpus == 0 || self.has_ended(noted)
    }

    #[cold]
    fn has_ended(&self, noted: &mut Noted<CPUS>) -> bool {
        for (cpu, changes) in self.changes.iter().enumerate() {
            let left = |ended: u32| noted.ended[cpu].wrapping_sub(ended).cast_signed() > 0;
            if noted.cpus & 1 << cpu != 0 && !left(changes.ended.load(Ordering::Acquire)) {
                noted.cpus &= !(1 << cpu);
            }
        }
        noted.cpus == 0
    }
}
