//! A run queue: 128 levels, first in first out within each, the highest found in two instructions.

use crate::base::ids::ThreadId;

use super::queue::ThreadQueue;
use super::thread::MAX_PRIORITY;
use super::{State, Thread, Threads};
use crate::machine::Cpu;

const LEVELS: usize = MAX_PRIORITY as usize + 1;

/// Threads that could run, by effective priority.
#[derive(Debug)]
pub struct RunQueue {
    levels: [ThreadQueue; LEVELS],
    /// Bit n: level n has threads.
    occupied: u128,
    /// The highest occupied level; −1 when there is none.
    highest: i16,
    /// How many threads there are.
    count: u32,
}

impl RunQueue {
    /// Nobody wants to run.
    pub const EMPTY: Self = Self {
        levels: [ThreadQueue::EMPTY; LEVELS],
        occupied: 0,
        highest: -1,
        count: 0,
    };

    /// The highest priority that waits here; −1 when nobody does.
    #[inline(always)]
    pub fn highest(&self) -> i16 {
        self.highest
    }

    /// How many wait here.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The threads that wait at this priority. Whoever takes one out of some puts one in.
    #[inline(always)]
    pub fn level(&mut self, priority: u8) -> Option<&mut ThreadQueue> {
        self.levels.get_mut(usize::from(priority))
    }

    /// Who should run next.
    pub fn first(&self) -> Option<ThreadId> {
        let priority = usize::try_from(self.highest).ok()?;
        self.levels.get(priority)?.first()
    }

    /// Adds a thread, at hand, at the end of its priority's level; answers who was last there before, and still has to
    /// [learn](ThreadQueue::learn_next) of it.
    #[inline(always)]
    pub fn append(&mut self, id: ThreadId, thread: &mut Thread) -> Option<ThreadId> {
        let priority = thread.priority;
        let level = self.levels.get_mut(usize::from(priority))?;
        self.count += 1;
        let last = level.append(id, &mut thread.link);
        if last.is_none() {
            self.occupied |= 1 << priority;
            self.highest = self.highest.max(priority.into());
        }
        last
    }

    /// Takes out a thread that was pushed at this priority.
    pub fn remove(&mut self, threads: &mut Threads, id: ThreadId, priority: u8) {
        if let Some(level) = self.levels.get_mut(usize::from(priority)) {
            level.remove(threads, id);
            self.count -= 1;
            if level.is_empty() {
                self.occupied &= !(1 << priority);
                self.highest = 127 - self.occupied.leading_zeros() as i16;
            }
        }
    }

    /// Whether who waits here knows it, and the summaries are right.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&self, threads: &Threads, cpu: Cpu) -> Result<(), &'static str> {
        let mut count = 0;
        for (priority, level) in self.levels.iter().enumerate() {
            if level.is_empty() != (self.occupied & 1 << priority == 0) {
                return Err("a run queue does not know which levels have threads");
            }
            let mut next = level.first();
            while let Some(id) = next {
                let thread = threads.get(id).ok_or("a thread that is gone could run")?;
                let here = (State::Ready, usize::from(thread.priority), thread.cpu);
                if here != (thread.state, priority, cpu) {
                    return Err("a thread is in another run queue than it thinks");
                }
                count += 1;
                next = thread.link.next;
            }
        }
        if count != self.count || self.highest != 127 - self.occupied.leading_zeros() as i16 {
            return Err("a run queue miscounts");
        }
        Ok(())
    }
}
