//! The run queue: 128 levels, first in first out within each, the highest found in two instructions.

use crate::base::ids::ThreadId;

use super::Threads;
use super::queue::ThreadQueue;
use super::thread::MAX_PRIORITY;

const LEVELS: usize = MAX_PRIORITY as usize + 1;

/// Threads that could run, by effective priority.
pub struct RunQueue {
    levels: [ThreadQueue; LEVELS],
    /// Bit n: level n has threads.
    occupied: u128,
    /// The highest occupied level; −1 when there is none.
    highest: i16,
}

impl RunQueue {
    /// Nobody wants to run.
    pub fn new() -> Self {
        Self {
            levels: [ThreadQueue::default(); LEVELS],
            occupied: 0,
            highest: -1,
        }
    }

    /// The highest priority that waits here; −1 when nobody does.
    ///
    /// A running thread may go on while this is not above its own.
    #[inline(always)]
    pub fn highest(&self) -> i16 {
        self.highest
    }

    /// The threads that wait at this priority, if there are some, and none at a higher one. Whoever takes
    /// one out puts one in.
    #[inline(always)]
    pub fn highest_level(&mut self, priority: u8) -> Option<&mut ThreadQueue> {
        if self.highest != i16::from(priority) {
            return None;
        }
        self.levels.get_mut(usize::from(priority))
    }

    /// Adds a thread at the end of its priority's level.
    pub fn push(&mut self, threads: &mut Threads, id: ThreadId) {
        let Some(priority) = threads.get(id).map(|thread| thread.priority) else {
            return;
        };
        if let Some(level) = self.levels.get_mut(usize::from(priority)) {
            if level.is_empty() {
                self.occupied |= 1 << priority;
                self.highest = self.highest.max(priority.into());
            }
            level.push(threads, id);
        }
    }

    /// Takes out the thread that should run next.
    pub fn pop(&mut self, threads: &mut Threads) -> Option<ThreadId> {
        let priority = u8::try_from(self.highest).ok()?;
        let id = self.levels.get(usize::from(priority))?.first()?;
        self.remove(threads, id, priority);
        Some(id)
    }

    /// Takes out a thread that was pushed at this priority.
    pub fn remove(&mut self, threads: &mut Threads, id: ThreadId, priority: u8) {
        if let Some(level) = self.levels.get_mut(usize::from(priority)) {
            level.remove(threads, id);
            if level.is_empty() {
                self.occupied &= !(1 << priority);
                self.highest = 127 - self.occupied.leading_zeros() as i16;
            }
        }
    }
}

impl Default for RunQueue {
    fn default() -> Self {
        Self::new()
    }
}
