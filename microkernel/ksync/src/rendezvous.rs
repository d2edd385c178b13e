//! [`Rendezvous`]: a CPU asks others to do something, and waits until all have done it.
//!
//! Each CPU has a [`Member`] with an *inbox* (who wants something of me) and a *pending* set (who has not
//! yet done what I want). What is wanted is written by the asking CPU before [`ask`](Rendezvous::ask) and
//! stays unchanged until [`is_done`](Rendezvous::is_done). Whoever waits answers others meanwhile, so two
//! CPUs that ask each other both get their answer.

use crate::atomic::{AtomicU32, Ordering};

/// One CPU's part. Sets of CPUs are bit masks: bit n is CPU n.
pub struct Member {
    inbox: AtomicU32,
    pending: AtomicU32,
}

impl Member {
    /// Nothing asked, nothing pending.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            inbox: AtomicU32::new(0),
            pending: AtomicU32::new(0),
        }
    }

    /// Nothing asked, nothing pending.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            inbox: AtomicU32::new(0),
            pending: AtomicU32::new(0),
        }
    }
}

impl Default for Member {
    fn default() -> Self {
        Self::new()
    }
}

/// The members, numbered as the CPUs are.
pub struct Rendezvous<const CPUS: usize> {
    members: [Member; CPUS],
}

impl<const CPUS: usize> Rendezvous<CPUS> {
    /// A rendezvous of these members; at most 32.
    pub const fn new(members: [Member; CPUS]) -> Self {
        const { assert!(CPUS <= 32) };
        Self { members }
    }

    /// Asks every CPU of `targets`. The caller then interrupts them.
    ///
    /// A CPU asks for one thing at a time: the previous one is done.
    pub fn ask(&self, me: usize, targets: u32) {
        // Relaxed: published by the inbox below.
        self.members[me].pending.store(targets, Ordering::Relaxed);
        for (number, member) in self.members.iter().enumerate() {
            if targets & 1 << number != 0 {
                // Release: who finds the bit sees what is wanted.
                member.inbox.fetch_or(1 << me, Ordering::Release);
            }
        }
    }

    /// Whether everybody whom this CPU asked has answered.
    pub fn is_done(&self, me: usize) -> bool {
        // Acquire: what the others did happened before.
        self.members[me].pending.load(Ordering::Acquire) == 0
    }

    /// Does what others want of this CPU: `serve(asker)` for each, then tells it so.
    pub fn answer(&self, me: usize, mut serve: impl FnMut(usize)) {
        if self.members[me].inbox.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut askers = self.members[me].inbox.swap(0, Ordering::Acquire);
        while askers != 0 {
            let asker = askers.trailing_zeros() as usize;
            askers &= askers - 1;
            serve(asker);
            // Release: what was done is seen by who finds the bit clear.
            self.members[asker]
                .pending
                .fetch_and(!(1 << me), Ordering::Release);
        }
    }
}
