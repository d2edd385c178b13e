//! Threads that wait for a word in memory to change.
//!
//! A word is known by the object that it lies in and its offset there, so that tasks which share memory
//! meet. The first thread that waits for a word *leads* those that came after it: it lies in a tree ordered by words, they
//! are linked to it. So nobody walks over threads that wait for other words, however many there are.
//!
//! The links are those of a queue, but for the leader's: the one before it is the last that waits; none, when it is
//! alone.

use super::thread::{Link, Thread};
use super::{Sched, ThreadQueue, Threads, Wait};
use crate::base::ids::ThreadId;
use crate::base::tree::{Links, Nodes};

/// What a word is known by.
pub type Key = [u64; 2];

/// The tree's view of the threads: ordered by the word that they wait for, or what stands in its place.
pub(super) struct ByWord<'a>(pub(super) &'a mut Threads);

impl Nodes for ByWord<'_> {
    type Key = Key;

    fn key(&self, node: u32) -> Key {
        self.0
            .at(node)
            .map_or(Key::default(), |thread| thread.operands)
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |thread| thread.leads)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(thread) = self.0.at_mut(node) {
            thread.leads = links;
        }
    }
}

/// Threads that waited for the same word, linked in the order in which they came; the last one's link leads nowhere.
struct Part {
    first: ThreadId,
    last: ThreadId,
    count: u32,
}

impl Sched {
    /// The thread waits for a wake of this word. The caller blocks it.
    pub fn wait_futex(&mut self, id: ThreadId, key: Key) {
        self.wait_word(id, key, Wait::Futex);
    }

    /// The thread waits for a page with this key, which is no futex word's. The caller blocks it.
    pub fn wait_page(&mut self, id: ThreadId, key: Key) {
        self.wait_word(id, key, Wait::Page);
    }

    fn wait_word(&mut self, id: ThreadId, key: Key, wait: Wait) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.wait = wait;
            thread.operands = key;
            thread.link = Link::default();
            self.join(key, (id, id));
        }
    }

    /// Threads that are linked, from a first to a last one, and know their word already, wait for it behind those that do.
    fn join(&mut self, key: Key, (first, last): (ThreadId, ThreadId)) {
        let leader = self.leader(key);
        let leads = leader.and_then(|leader| self.threads.get_mut(leader));
        // Alone, a leader is the last one itself.
        let before = leads.and_then(|thread| thread.link.previous.replace(last).or(leader));
        if let Some(before) = before {
            ThreadQueue::learn_next(self.threads.get_mut(before), first);
            self.set_previous(first, Some(before));
        } else {
            self.set_previous(first, Some(last).filter(|last| *last != first));
            let nodes = &mut ByWord(&mut self.threads);
            self.words.insert(nodes, first.index());
        }
    }

    /// Wakes up to `most` threads that wait for this word, the first ones, each of which is handed out before; how many it
    /// were.
    pub fn wake_word(
        &mut self,
        key: Key,
        most: u32,
        mut each: impl FnMut(ThreadId, &mut Thread),
    ) -> u32 {
        let Some(part) = self.leave_first(key, most) else {
            return 0;
        };
        let mut next = Some(part.first);
        while let Some(id) = next
            && let Some(thread) = self.threads.get_mut(id)
        {
            next = core::mem::take(&mut thread.link).next;
            each(id, thread);
            self.wake(id);
        }
        part.count
    }

    /// Up to `most` threads that wait for a word, the first ones, wait for another one, behind those that do. How many it
    /// were.
    pub fn move_waiters(&mut self, from: Key, to: Key, most: u32) -> u32 {
        let Some(part) = self.leave_first(from, most) else {
            return 0;
        };
        let mut next = Some(part.first);
        while let Some(thread) = next.and_then(|id| self.threads.get_mut(id)) {
            thread.operands = to;
            next = thread.link.next;
        }
        self.join(to, (part.first, part.last));
        part.count
    }

    /// Takes a thread out of the queue of a wait that is this layer's own. The caller wakes it.
    pub fn leave_wait(&mut self, id: ThreadId) {
        let wait = self.threads.get(id).map(|thread| thread.wait);
        match wait {
            Some(Wait::Semaphore(semaphore)) => self.leave_semaphore(id, semaphore),
            Some(Wait::Futex | Wait::Page) => self.leave_word(id),
            _ => {}
        }
    }

    /// Takes up to `most` threads away from those that wait for a word, the first ones: the tree is searched once for all.
    fn leave_first(&mut self, key: Key, most: u32) -> Option<Part> {
        let first = self.leader(key).filter(|_| most > 0)?;
        let end = self.threads.get(first)?.link.previous;
        let (mut last, mut count) = (first, 1);
        while count < most
            && let Some(next) = self.threads.get(last)?.link.next
        {
            (last, count) = (next, count + 1);
        }
        let rest = self.threads.get_mut(last)?.link.next.take();
        self.lead(key, rest, end);
        Some(Part { first, last, count })
    }

    /// Takes a thread away from those that wait for its word.
    fn leave_word(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        let (key, Link { previous, next }) = (thread.operands, core::mem::take(&mut thread.link));
        // The one before a leader is the last one, if any.
        let before = previous.and_then(|before| self.threads.get_mut(before));
        let Some(before) = before.filter(|before| before.link.next == Some(id)) else {
            return self.lead(key, next, previous);
        };
        before.link.next = next;
        if let Some(next) = next {
            self.set_previous(next, previous);
        } else if let Some(leader) = self.leader(key) {
            // It was the last one.
            self.set_previous(leader, previous.filter(|last| *last != leader));
        }
    }

    /// The leader of those that wait for a word has left; `next` leads the others, if there are any, up to `last`.
    fn lead(&mut self, key: Key, next: Option<ThreadId>, last: Option<ThreadId>) {
        let nodes = &mut ByWord(&mut self.threads);
        self.words.remove(nodes, key);
        let Some(next) = next else { return };
        self.words.insert(nodes, next.index());
        self.set_previous(next, last.filter(|last| *last != next));
    }

    /// Who came first of those that wait for a word.
    fn leader(&mut self, key: Key) -> Option<ThreadId> {
        let index = self.words.find(&ByWord(&mut self.threads), key)?;
        self.threads.id_at(index)
    }

    fn set_previous(&mut self, id: ThreadId, previous: Option<ThreadId>) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.link.previous = previous;
        }
    }
}
