//! Threads that wait for a word in memory to change.
//!
//! A word is known by the object that it lies in and its offset there, so that tasks which share memory
//! meet. Waiters lie in one of a fixed number of queues; a wake looks at one queue.

use super::{Sched, ThreadQueue, Wait};
use crate::base::ids::ThreadId;
use crate::base::tree::scatter;

/// What a word is known by.
pub type Key = [u64; 2];

const BUCKETS: usize = 256;

/// All waiters.
pub struct Futexes {
    buckets: [ThreadQueue; BUCKETS],
}

impl Futexes {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self {
            buckets: [ThreadQueue::default(); BUCKETS],
        }
    }
}

fn bucket(key: Key) -> u32 {
    (scatter(key[0] ^ scatter(key[1])) % BUCKETS as u64) as u32
}

impl Sched {
    /// The thread waits for a wake of this word. The caller blocks it.
    pub fn wait_futex(&mut self, id: ThreadId, key: Key) {
        let bucket = bucket(key);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.wait = Wait::Futex(bucket);
            thread.operands = key;
        }
        if let Some(queue) = self.futexes.buckets.get_mut(bucket as usize) {
            queue.push(&mut self.threads, id);
        }
    }

    /// The thread waits for a page with this key, which is no futex word's. The caller blocks it.
    pub fn wait_page(&mut self, id: ThreadId, key: Key) {
        self.wait_futex(id, key);
        if let Some(thread) = self.threads.get_mut(id) {
            thread.wait = Wait::Page(bucket(key));
        }
    }

    /// Wakes the first thread that waits for this word, and answers which.
    pub fn wake_futex(&mut self, key: Key) -> Option<ThreadId> {
        let queue = self.futexes.buckets.get_mut(bucket(key) as usize)?;
        let mut next = queue.first();
        while let Some(id) = next {
            let thread = self.threads.get(id)?;
            if thread.operands == key {
                queue.remove(&mut self.threads, id);
                self.wake(id);
                return Some(id);
            }
            next = thread.link.next;
        }
        None
    }

    /// Takes a thread out of the queue of a wait that is this layer's own. The caller wakes it.
    pub fn leave_wait(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get(id) else {
            return;
        };
        if let Wait::Semaphore(semaphore) = thread.wait {
            self.leave_semaphore(id, semaphore);
        } else if let Wait::Futex(bucket) | Wait::Page(bucket) = thread.wait
            && let Some(queue) = self.futexes.buckets.get_mut(bucket as usize)
        {
            queue.remove(&mut self.threads, id);
        }
    }
}
