//! Words of memory that threads wait for (MACH.md K-05): a task's own, and those of memory that all tasks share.

use abi::kern_return::KernReturn as Code;

use super::made::{COPIED, Sees, copied};
use super::names::{Answer, refuse, value};
use super::{Model, Seen, State, TaskId, ThreadId, Verdict, When};

/// Threads that one trap wakes or moves at the most.
const MOST: u64 = 64;

/// Where a word lies, as a thread says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Word {
    /// A word of its task.
    Own(u32),
    /// A word that all tasks see.
    Shared(u32),
    /// Between two words.
    Crooked,
    /// Where nothing is mapped.
    Nowhere,
}

/// What is done with a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the traps' arguments under their own names")]
pub enum FutexOp {
    /// The program writes it.
    Store { word: Word, value: u32 },
    /// Until a deadline.
    Wait {
        word: Word,
        expected: u32,
        until: When,
    },
    /// As many threads as `count`.
    Wake { word: Word, count: u64 },
    /// As many threads as `wakes`, and `moves` others go to another word.
    Requeue {
        words: [Word; 2],
        expected: u32,
        wakes: u64,
        moves: u64,
    },
}

/// What a word is known by: a task has its own.
pub(super) type Key = (Option<TaskId>, u32);

/// A word's value, and who waits for it, in the order in which they came.
#[derive(Clone, Default, Debug)]
pub(super) struct Cell {
    value: u32,
    waiters: Vec<ThreadId>,
}

impl Cell {
    /// The word elsewhere, where nobody waits for it.
    pub(super) fn copy(&self) -> Self {
        Self {
            value: self.value,
            waiters: Vec::new(),
        }
    }
}

impl Model {
    pub(super) fn futex_op(
        &mut self,
        thread: ThreadId,
        op: FutexOp,
        seen: Option<Answer>,
    ) -> Verdict {
        let task = self.threads[thread].task;
        if let FutexOp::Wait {
            word,
            expected,
            until,
        } = op
        {
            return self.wait_for_word(thread, (word, expected, until), seen);
        }
        let seen = seen.ok_or("it waits, and must not")?;
        let result = match op {
            FutexOp::Store { word, value } => self.key(task, word).map(|key| {
                self.words.entry(key).or_default().value = value;
                0
            }),
            FutexOp::Wake { word, count } => self
                .key(task, word)
                .map(|key| self.wake_some(key, count).len() as u64),
            FutexOp::Requeue {
                words,
                expected,
                wakes,
                moves,
            } => self.requeue(task, words, (expected, wakes, moves)),
            FutexOp::Wait { .. } => Ok(0),
        };
        match result {
            Ok(expected) => value(seen, expected),
            Err(code) => refuse(seen, &[code]),
        }
    }

    fn wait_for_word(
        &mut self,
        thread: ThreadId,
        (word, expected, until): (Word, u32, When),
        seen: Option<Answer>,
    ) -> Verdict {
        let code = match self.key(self.threads[thread].task, word) {
            Err(code) => code,
            Ok(key) if self.words.entry(key).or_default().value != expected => Code::Failure,
            Ok(_) if until == When::Past => Code::OperationTimedOut,
            Ok(key) => {
                self.words.entry(key).or_default().waiters.push(thread);
                self.wait_until(thread, until);
                return match seen {
                    None => Ok(()),
                    Some(seen) => Err(format!("it must wait, and came back with {seen:?}")),
                };
            }
        };
        refuse(seen.ok_or("it waits, and must not")?, &[code])
    }

    /// Wakes those who came first, and answers whom.
    fn wake_some(&mut self, key: Key, count: u64) -> Vec<ThreadId> {
        let woken = self.take_waiters(key, count);
        for thread in &woken {
            self.threads[*thread].state = State::DueTrap(Code::Success);
        }
        woken
    }

    fn take_waiters(&mut self, key: Key, count: u64) -> Vec<ThreadId> {
        let waiters = &mut self.words.entry(key).or_default().waiters;
        let count = count.min(MOST).min(waiters.len() as u64);
        waiters.drain(..count as usize).collect()
    }

    fn requeue(
        &mut self,
        task: TaskId,
        [from, to]: [Word; 2],
        (expected, wakes, moves): (u32, u64, u64),
    ) -> Result<u64, Code> {
        let (from, to) = (self.key(task, from)?, self.key(task, to)?);
        if from == to {
            return Err(Code::InvalidArgument);
        }
        if self.words.entry(from).or_default().value != expected {
            return Err(Code::Failure);
        }
        let woken = self.wake_some(from, wakes).len() as u64;
        let moved = self.take_waiters(from, moves.min(MOST - woken));
        let answer = woken | (moved.len() as u64) << 32;
        self.words.entry(to).or_default().waiters.extend(moved);
        Ok(answer)
    }

    /// Words that a task sees, and how many threads wait for each.
    pub fn words(&self, task: TaskId) -> Vec<(Word, u32, usize)> {
        let known = self.words.iter().filter_map(|((owner, at), cell)| {
            let word = match owner {
                None if self.tasks[task].sees == Sees::Same => Word::Shared(*at),
                Some(owner) if *owner == task && *at >= COPIED => Word::Shared(*at - COPIED),
                Some(owner) if *owner == task => Word::Own(*at),
                _ => return None,
            };
            Some((word, cell.value, cell.waiters.len()))
        });
        known.collect()
    }

    /// Whether a task has something where all share words.
    pub fn sees_shared(&self, task: TaskId) -> bool {
        self.tasks[task].sees != Sees::Nothing
    }

    fn key(&self, task: TaskId, word: Word) -> Result<Key, Code> {
        match (word, self.tasks[task].sees) {
            (Word::Own(at), _) => Ok((Some(task), at)),
            (Word::Shared(at), Sees::Same) => Ok((None, at)),
            (Word::Shared(at), Sees::Copy) => Ok(copied(task, at)),
            (Word::Crooked, _) => Err(Code::InvalidArgument),
            (Word::Nowhere, _) | (Word::Shared(_), Sees::Nothing) => Err(Code::InvalidAddress),
        }
    }

    /// A thread waits for no word any more.
    pub(super) fn leave_words(&mut self, thread: ThreadId) {
        for cell in self.words.values_mut() {
            cell.waiters.retain(|waiter| *waiter != thread);
        }
    }
}

/// The answer of an ordinary trap, if there is one.
pub(super) fn trap_answer(seen: Option<&Seen>) -> Result<Option<Answer>, String> {
    match seen {
        Some(Seen::Trap(code, value)) => Ok(Some((*code, *value))),
        Some(other) => Err(format!("a trap answered {other:?}")),
        None => Ok(None),
    }
}
