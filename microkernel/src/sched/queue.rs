//! Queues of threads, linked through their control blocks: every operation takes constant time.
//!
//! A thread is in at most one queue. Whoever removes it must name the queue that it is in; which one
//! follows from the thread's [`State`](super::State) and [`Wait`](super::Wait).

use crate::base::ids::ThreadId;

use super::Threads;
use super::thread::Link;

/// First in, first out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ThreadQueue {
    head: Option<ThreadId>,
    tail: Option<ThreadId>,
}

impl ThreadQueue {
    /// Whether nobody is in it.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Who came first.
    #[inline(always)]
    pub fn first(&self) -> Option<ThreadId> {
        self.head
    }

    /// Adds a thread at the end.
    #[inline(always)]
    pub fn push(&mut self, threads: &mut Threads, id: ThreadId) {
        let previous = self.tail;
        let Some(thread) = threads.get_mut(id) else {
            return;
        };
        thread.link = Link {
            previous,
            next: None,
        };
        self.tail = Some(id);
        match previous.and_then(|previous| threads.get_mut(previous)) {
            Some(previous) => previous.link.next = Some(id),
            None => self.head = Some(id),
        }
    }

    /// Takes the first thread out.
    pub fn pop(&mut self, threads: &mut Threads) -> Option<ThreadId> {
        let id = self.head?;
        self.remove(threads, id);
        Some(id)
    }

    /// Takes a thread out, wherever it is in this queue.
    #[inline(always)]
    pub fn remove(&mut self, threads: &mut Threads, id: ThreadId) {
        let Some(thread) = threads.get_mut(id) else {
            return;
        };
        let Link { previous, next } = core::mem::take(&mut thread.link);
        match previous.and_then(|previous| threads.get_mut(previous)) {
            Some(previous) => previous.link.next = next,
            None => self.head = next,
        }
        match next.and_then(|next| threads.get_mut(next)) {
            Some(next) => next.link.previous = previous,
            None => self.tail = previous,
        }
    }
}
