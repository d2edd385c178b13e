//! Queues of threads, linked through their control blocks: every operation takes constant time.
//!
//! A thread is in at most one queue. Whoever removes it must name the queue that it is in; which one
//! follows from the thread's [`State`](super::State) and [`Wait`](super::Wait).

use crate::base::ids::ThreadId;

use super::Threads;
use super::thread::{Link, Thread};

/// First in, first out.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadQueue {
    head: Option<ThreadId>,
    /// Means nothing while nobody is in it; and so does the previous one in the link of the first thread. Whoever takes
    /// out the first one need not write either.
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

    /// Whether a thread is the first or the last one.
    pub fn ends_with(&self, id: ThreadId) -> bool {
        !self.is_empty() && (self.head == Some(id) || self.tail == Some(id))
    }

    /// Adds a thread at the end.
    pub fn push(&mut self, threads: &mut Threads, id: ThreadId) {
        let Some(thread) = threads.get_mut(id) else {
            return;
        };
        if let Some(last) = self.append(id, &mut thread.link) {
            Self::learn_next(threads.get_mut(last), id);
        }
    }

    /// Adds all of another queue at the end.
    pub fn join(&mut self, threads: &mut Threads, other: Self) {
        let Some(first) = other.head else {
            return;
        };
        match self.tail.filter(|_| !self.is_empty()) {
            Some(before) => {
                Self::learn_next(threads.get_mut(before), first);
                if let Some(first) = threads.get_mut(first) {
                    first.link.previous = Some(before);
                }
            }
            None => self.head = Some(first),
        }
        self.tail = other.tail;
    }

    /// Takes the first thread out.
    pub fn pop(&mut self, threads: &mut Threads) -> Option<ThreadId> {
        let id = self.head?;
        self.advance(&threads.get(id)?.link);
        Some(id)
    }

    /// Takes out the first thread, at hand with its link.
    #[inline(always)]
    pub fn advance(&mut self, first: &Link) {
        self.head = first.next;
    }

    /// Adds a thread at the end, at hand with its link; answers who was last before, whose own link then
    /// still has to [learn](Self::learn_next) of it.
    #[inline(always)]
    pub fn append(&mut self, id: ThreadId, link: &mut Link) -> Option<ThreadId> {
        let last = self.tail;
        self.tail = Some(id);
        link.next = None;
        if self.is_empty() {
            self.head = Some(id);
            return None;
        }
        link.previous = last;
        last
    }

    /// The second part of [`append`](Self::append).
    #[inline(always)]
    pub fn learn_next(previous: Option<&mut Thread>, next: ThreadId) {
        if let Some(thread) = previous {
            thread.link.next = Some(next);
        }
    }

    /// Takes a thread out, wherever it is in this queue.
    pub fn remove(&mut self, threads: &mut Threads, id: ThreadId) {
        let Some(thread) = threads.get_mut(id) else {
            return;
        };
        let Link { previous, next } = thread.link;
        if self.head == Some(id) {
            self.head = next;
            return;
        }
        if let Some(previous) = previous.and_then(|previous| threads.get_mut(previous)) {
            previous.link.next = next;
        }
        if self.tail == Some(id) && !self.is_empty() {
            self.tail = previous;
        } else if let Some(next) = next.and_then(|next| threads.get_mut(next)) {
            next.link.previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::vec::Vec;

    use arena::{Arena, Id, Region};

    use super::*;

    const THREADS: usize = 8;

    fn id<K>() -> Id<K> {
        let mut arena: Arena<(), K> = Arena::new(Region::on_heap(4096));
        arena.insert(()).expect("there is room")
    }

    /// Who is in a queue, first to last, by the links.
    fn listed(queue: &ThreadQueue, threads: &Threads) -> Vec<ThreadId> {
        let next = |id: &ThreadId| threads.get(*id).and_then(|thread| thread.link.next);
        core::iter::successors(queue.first(), next).collect()
    }

    #[test]
    fn queues_keep_their_order_whoever_comes_and_goes() {
        let mut threads = Threads::new(Region::on_heap(4096));
        let ids: [ThreadId; THREADS] = core::array::from_fn(|_| {
            let thread = Thread::new(id(), (id(), id()), id(), 0);
            threads.insert(thread).expect("there is room")
        });
        let mut queues = [ThreadQueue::EMPTY; 2];
        let mut expected: [VecDeque<ThreadId>; 2] = Default::default();
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let (id, which) = (
                ids[(random >> 33) as usize % THREADS],
                (random >> 40) as usize % 2,
            );
            let waits = expected.iter().position(|order| order.contains(&id));
            let (queue, order) = (&mut queues[which], &mut expected[which]);
            match ((random >> 50) % 5, waits) {
                (0 | 1, None) => {
                    queue.push(&mut threads, id);
                    order.push_back(id);
                }
                (2, _) => assert_eq!(queue.pop(&mut threads), order.pop_front()),
                (3, Some(there)) => {
                    queues[there].remove(&mut threads, id);
                    expected[there].retain(|other| *other != id);
                }
                (4, _) if which == 0 => {
                    let other = core::mem::take(&mut queues[1]);
                    queues[0].join(&mut threads, other);
                    let [first, second] = &mut expected;
                    first.append(second);
                }
                _ => {}
            }
            for (queue, order) in queues.iter().zip(&expected) {
                assert_eq!(
                    listed(queue, &threads),
                    order.iter().copied().collect::<Vec<_>>()
                );
                assert_eq!(
                    queue.only(),
                    order.front().copied().filter(|_| order.len() == 1)
                );
                for id in ids {
                    let ends = order.front() == Some(&id) || order.back() == Some(&id);
                    assert_eq!(queue.ends_with(id), ends);
                }
            }
        }
    }

    /// Between two others a thread is in two queues alike, as far as these know (see `give_up_receiving`).
    #[test]
    fn who_is_between_two_others_can_be_taken_out_by_way_of_an_empty_queue() {
        let mut threads = Threads::new(Region::on_heap(4096));
        let ids: [ThreadId; 3] = core::array::from_fn(|_| {
            let thread = Thread::new(id(), (id(), id()), id(), 0);
            threads.insert(thread).expect("there is room")
        });
        let (mut queue, mut emptied) = (ThreadQueue::EMPTY, ThreadQueue::EMPTY);
        emptied.push(&mut threads, ids[1]);
        assert_eq!(emptied.pop(&mut threads), Some(ids[1]));
        for id in ids {
            queue.push(&mut threads, id);
        }
        emptied.remove(&mut threads, ids[1]);
        assert_eq!(listed(&queue, &threads), [ids[0], ids[2]]);
        queue.remove(&mut threads, ids[2]);
        assert_eq!(listed(&queue, &threads), [ids[0]]);
        assert_eq!(queue.only(), Some(ids[0]));
        assert!(emptied.is_empty());
    }
}
