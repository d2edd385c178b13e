//! Words of memory that threads wait for, and the memory that the tasks of a program share for that.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use abi::trap;
use abi::vm::{inherit, map_flags, protection};
use interfaces::task::Task;
use microkernel::machine::FrameIndex;

use super::World;
use super::generate::{NOWHERE, Names, Patience};
use super::time::deadline;
use crate::image;
use crate::message::Request;
use crate::model::{FutexOp, Op, Seen, ThreadId, When, Word};
use crate::sim::Sim;

/// Where a task's own words lie, in memory that it has anyway.
const OWN: u64 = image::DATA + 0x3_8000;
/// Where all tasks have the shared words.
const SHARED: u64 = 0x60_0000;
/// Words of each kind.
const WORDS: usize = 2;
/// Their values.
const VALUES: usize = 3;
/// What memory may be used for.
const ACCESS: u64 = (protection::READ | protection::WRITE) as u64;

/// The first task makes the shared words; the answer is its name of the memory, which it keeps.
pub(super) fn make_words(sim: &mut Sim, thread: FrameIndex, task: Name) -> Name {
    let mut user = sim.on(thread);
    assert_eq!(
        user.trap(trap::VM_ALLOCATE, &[SHARED, PAGE_SIZE, 0]),
        Ok(SHARED)
    );
    user.poke(SHARED, &[0]);
    let words = [SHARED, PAGE_SIZE, ACCESS, 0, 0, 0];
    let request = Request::call(task).id(<dyn Task>::MAKE_ENTRY.id);
    let reply = user.message(&request.words(words));
    let entry = Name(reply.right().name);
    user.poke(SHARED, &[0]);
    user.poke(OWN, &[0]);
    entry
}

/// Another task sees the shared words.
pub(super) fn share_words(sim: &mut Sim, (first, entry): (FrameIndex, Name), lead: FrameIndex) {
    let name = sim.give(first, entry, disposition::COPY_SEND, lead);
    let flags = ACCESS << map_flags::CURRENT_SHIFT
        | ACCESS << map_flags::MAXIMUM_SHIFT
        | u64::from(inherit::NONE) << map_flags::INHERIT_SHIFT;
    let arguments = [name.0.into(), SHARED, PAGE_SIZE, 0, flags];
    let mut user = sim.on(lead);
    assert_eq!(user.trap(trap::VM_MAP, &arguments), Ok(SHARED));
    assert_eq!(user.deallocate(name), Ok(()));
    user.poke(SHARED, &[0]);
    user.poke(OWN, &[0]);
}

fn address(word: Word) -> u64 {
    match word {
        Word::Own(at) => OWN + u64::from(at) * 4,
        Word::Shared(at) => SHARED + u64::from(at) * 4,
        Word::Crooked => OWN + 2,
        Word::Nowhere => NOWHERE,
    }
}

/// A trap's number and arguments.
fn registers(op: FutexOp, deadline: impl Fn(When) -> u64) -> (i64, Vec<u64>) {
    match op {
        FutexOp::Store { word, value } => (0, vec![address(word), value.into()]),
        FutexOp::Wait {
            word,
            expected,
            until,
        } => {
            let arguments = vec![address(word), expected.into(), deadline(until)];
            (trap::FUTEX_WAIT, arguments)
        }
        FutexOp::Wake { word, count } => (trap::FUTEX_WAKE, vec![address(word), count]),
        FutexOp::Requeue {
            words: [from, to],
            expected,
            wakes,
            moves,
        } => {
            let arguments = vec![address(from), expected.into(), wakes, address(to), moves];
            (trap::FUTEX_REQUEUE, arguments)
        }
    }
}

impl World {
    /// A store, or a trap; `None`: the thread waits.
    pub(super) fn futex(&mut self, thread: ThreadId, op: FutexOp) -> Option<Seen> {
        let (number, arguments) = registers(op, |until| deadline(&self.model, until));
        let mut user = self.sim.on(self.threads[thread].0);
        if let FutexOp::Store { word, value } = op {
            user.poke(address(word), &value.to_le_bytes());
            return Some(Seen::Trap(KernReturn::Success, 0));
        }
        let answer = user.start(number, &arguments)?;
        Some(super::calls::seen(&answer))
    }
}

impl Names<'_> {
    /// Something with a word.
    pub(super) fn futex(&mut self, patience: Patience) -> Op {
        let waited = self.model.words(self.task);
        let waited: Vec<_> = waited
            .into_iter()
            .filter(|(.., threads)| *threads > 0)
            .collect();
        let some = self.word();
        // Where somebody waits there is somebody to wake.
        let busy = match waited.is_empty() || self.rng.one_in(4) {
            true => some,
            false => self.rng.pick(&waited).0,
        };
        let value = self.rng.below(VALUES) as u32;
        let known = self.model.words(self.task);
        let value_of = |word| {
            known
                .iter()
                .find(|(of, ..)| *of == word)
                .map_or(0, |of| of.1)
        };
        let count = |rng: &mut crate::rng::Rng| rng.pick(&[0, 1, 1, 2, u64::MAX]);
        Op::Futex(match self.rng.below(10) {
            0 => match some {
                Word::Shared(_) if !self.model.sees_shared(self.task) => FutexOp::Wake {
                    word: some,
                    count: 1,
                },
                Word::Own(_) | Word::Shared(_) => FutexOp::Store { word: some, value },
                word => FutexOp::Wake { word, count: 1 },
            },
            1..6 => FutexOp::Wait {
                word: some,
                expected: if self.rng.one_in(4) {
                    value
                } else {
                    value_of(some)
                },
                until: self.until(patience),
            },
            6..8 => FutexOp::Wake {
                word: busy,
                count: count(self.rng),
            },
            _ => FutexOp::Requeue {
                words: [busy, some],
                expected: if self.rng.one_in(4) {
                    value
                } else {
                    value_of(busy)
                },
                wakes: count(self.rng),
                moves: count(self.rng),
            },
        })
    }

    fn word(&mut self) -> Word {
        let at = self.rng.below(WORDS) as u32;
        match self.rng.below(16) {
            0 => Word::Crooked,
            1 => Word::Nowhere,
            2..9 => Word::Own(at),
            _ => Word::Shared(at),
        }
    }
}
