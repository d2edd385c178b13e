//! Threads that wait for a word in memory to change.
//!
//! A word is known by the object that it lies in and its offset there, so that tasks which share memory
//! meet. The first thread that waits for a word *leads* those that came after it: it lies in a tree ordered by words, they
//! are linked to it. So nobody walks over threads that wait for other words, however many there are.
//!
//! The links are those of a queue, but for the leader's: the one before it is the last that waits; none, when it is
//! alone.

use super::thread::Link;
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
        let leader = self.leader(key);
        let leads = leader.and_then(|leader| self.threads.get_mut(leader));
        // Alone, a leader is the last one itself.
        let before = leads.and_then(|thread| thread.link.previous.replace(id).or(leader));
        if let Some(before) = before {
            ThreadQueue::learn_next(self.threads.get_mut(before), id);
        }
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.wait = wait;
        thread.operands = key;
        thread.link = Link {
            previous: before,
            next: None,
        };
        if before.is_none() {
            let nodes = &mut ByWord(&mut self.threads);
            self.words.insert(nodes, id.index());
        }
    }

    /// Wakes the first thread that waits for this word, and answers which.
    pub fn wake_futex(&mut self, key: Key) -> Option<ThreadId> {
        let leader = self.leader(key)?;
        self.leave_word(leader);
        self.wake(leader);
        Some(leader)
    }

    /// The first thread that waits for a word waits for another one, behind those that do. Whether there was one.
    pub fn move_waiter(&mut self, from: Key, to: Key) -> bool {
        let leader = self.leader(from);
        if let Some(leader) = leader {
            self.leave_word(leader);
            self.wait_word(leader, to, Wait::Futex);
        }
        leader.is_some()
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

    /// Takes a thread away from those that wait for its word.
    fn leave_word(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        let (key, Link { previous, next }) = (thread.operands, core::mem::take(&mut thread.link));
        let Some(leader) = self.leader(key) else {
            return;
        };
        if leader == id {
            return self.lead(key, next, previous);
        }
        if let Some(before) = previous.and_then(|before| self.threads.get_mut(before)) {
            before.link.next = next;
        }
        match next {
            Some(next) => self.set_previous(next, previous),
            // It was the last one.
            None => self.set_previous(leader, previous.filter(|last| *last != leader)),
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
