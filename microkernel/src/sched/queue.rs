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
    /// Nobody is in it.
    pub const EMPTY: Self = Self {
        head: None,
        tail: None,
    };

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

    /// The one thread in it; `None`: nobody is, or more are.
    #[inline(always)]
    pub fn only(&self) -> Option<ThreadId> {
        self.head.filter(|_| self.head == self.tail)
    }

    /// Adds a thread at the end.
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

    /// Adds all of another queue at the end.
    pub fn join(&mut self, threads: &mut Threads, other: Self) {
        let (Some(first), Some(last)) = (other.head, other.tail) else {
            return;
        };
        match self.tail.replace(last) {
            Some(before) => {
                Self::learn_next(threads, before, first);
                if let Some(first) = threads.get_mut(first) {
                    first.link.previous = Some(before);
                }
            }
            None => self.head = Some(first),
        }
    }

    /// Whether a thread is the first or the last one.
    pub fn ends_with(&self, id: ThreadId) -> bool {
        self.head == Some(id) || self.tail == Some(id)
    }

    /// Takes the first thread out.
    pub fn pop(&mut self, threads: &mut Threads) -> Option<ThreadId> {
        let id = self.head?;
        self.remove(threads, id);
        Some(id)
    }

    /// Takes out the first thread, at hand with its link; answers the new first one, whose own link then
    /// still has to [forget](Self::forget_previous) it.
    #[inline(always)]
    pub fn advance(&mut self, first: &Link) -> Option<ThreadId> {
        let next = first.next;
        self.head = next;
        if next.is_none() {
            self.tail = None;
        }
        next
    }

    /// The second part of [`advance`](Self::advance).
    pub fn forget_previous(threads: &mut Threads, id: ThreadId) {
        if let Some(thread) = threads.get_mut(id) {
            thread.link.previous = None;
        }
    }

    /// Adds a thread at the end, at hand with its link; answers who was last before, whose own link then
    /// still has to [learn](Self::learn_next) of it.
    #[inline(always)]
    pub fn append(&mut self, id: ThreadId, link: &mut Link) -> Option<ThreadId> {
        let previous = self.tail.replace(id);
        *link = Link {
            previous,
            next: None,
        };
        if previous.is_none() {
            self.head = Some(id);
        }
        previous
    }

    /// The second part of [`append`](Self::append).
    pub fn learn_next(threads: &mut Threads, id: ThreadId, next: ThreadId) {
        if let Some(thread) = threads.get_mut(id) {
            thread.link.next = Some(next);
        }
    }

    /// Takes a thread out, wherever it is in this queue.
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
