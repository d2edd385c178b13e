//! What pagers say of memory objects, right and wrong.

use abi::PAGE_SIZE;
use abi::message::descriptor;
use abi::trap;
use interfaces::memory_object::MemoryControl;

use super::World;
use super::generate::Names;
use crate::message::Request;
use crate::model::{Bytes, Known, LARGEST, Op, PagerOp, Seen, Supply, ThreadId};

/// What no object has.
const ODD: [Bytes; 6] = [
    (1, PAGE_SIZE),
    (0, 100),
    (u64::MAX - 4095, PAGE_SIZE),
    (0, 65 * PAGE_SIZE),
    (PAGE_SIZE / 2, PAGE_SIZE / 2),
    (1 << 63, PAGE_SIZE),
];

impl Names<'_> {
    /// Something that a pager says, if the task has a memory object to speak of.
    pub(super) fn pager(&mut self) -> Option<Op> {
        let mut known = self.model.known_objects(self.task);
        let other = self.rng.one_in(10);
        known.retain(|of| of.is_control != other);
        let asked: Vec<&Known> = known.iter().filter(|of| !of.asked.is_empty()).collect();
        let of = match asked.is_empty() || self.rng.one_in(4) {
            true if known.is_empty() => return None,
            true => &known[self.rng.below(known.len())],
            false => self.rng.pick(&asked),
        };
        if !of.is_ready && !self.rng.one_in(6) {
            let strategy = self.rng.pick(&[0, 2, 2, 3, 1, 4]);
            let stays = self.rng.pick(&[0, 0, 0, 0, 1, 2]);
            return Some(Op::Pager(of.name, PagerOp::SetAttributes(stays, strategy)));
        }
        let is_odd = self.rng.one_in(6);
        let (range, kind) = match is_odd {
            true => (self.rng.pick(&ODD), self.rng.pick(&[3, 6, 9, 14])),
            false => (self.page_range(of), self.rng.below(24)),
        };
        let op = match kind {
            0 | 1 => PagerOp::Attributes,
            2 => PagerOp::SetAttributes(self.rng.below(2) as u32, 2),
            3..6 => PagerOp::Unavailable(range),
            6..8 => PagerOp::Error(range),
            8 if self.rng.one_in(2) => PagerOp::Destroy,
            9..14 => PagerOp::Lock(range, self.order()),
            // Messages carry so much.
            _ => PagerOp::Supply(Supply {
                range,
                number: self.rng.word() >> 8,
                lock: self.rng.pick(&[0, 0, 0, 0, 0, 2, 2, 3, 7, 8]),
                precious: self.rng.pick(&[0, 0, 0, 0, 0, 0, 1, 1, 1, 2]),
            }),
        };
        Some(Op::Pager(of.name, op))
    }

    /// What is to be done with pages: which come back, whether all go, and the lock.
    fn order(&mut self) -> [u32; 3] {
        let back = self.rng.pick(&[0, 0, 1, 1, 1, 2, 2, 2, 2, 3]);
        let flush = self.rng.pick(&[0, 0, 0, 0, 1, 1, 1, 2]);
        [back, flush, self.rng.pick(&[0, 0, 0, 2, 3, 7, 8, 8, 9])]
    }

    /// Pages of a memory object, mostly some that its pager was asked for.
    fn page_range(&mut self, of: &Known) -> Bytes {
        let first = match of.asked.is_empty() || self.rng.one_in(3) {
            true => self.rng.below(LARGEST as usize) as u64,
            false => self.rng.pick(&of.asked),
        };
        let count = 1 + self.rng.below(3) as u64;
        (first * PAGE_SIZE, count * PAGE_SIZE)
    }
}

impl World {
    pub(super) fn pager_call(
        &mut self,
        thread: ThreadId,
        (name, op): (abi::names::Name, PagerOp),
    ) -> Seen {
        let call = |id: i32, words: [u64; 3]| {
            let [a, b, c] = words;
            Request::call(name).id(id).words([a, b, c, 0, 0, 0])
        };
        match op {
            PagerOp::SetAttributes(stays, strategy) => {
                let words = [stays.into(), strategy.into(), 0];
                self.plain_call(thread, &call(<dyn MemoryControl>::SET_ATTRIBUTES.id, words))
            }
            PagerOp::Attributes => {
                self.telling_call(thread, &call(<dyn MemoryControl>::ATTRIBUTES.id, [0; 3]))
            }
            PagerOp::Supply(supply) => {
                let words = [supply.range.0, supply.lock.into(), supply.precious.into()];
                let request = call(<dyn MemoryControl>::DATA_SUPPLY.id, words);
                self.data_supply(thread, request, &supply)
            }
            PagerOp::Unavailable((at, size)) => {
                let id = <dyn MemoryControl>::DATA_UNAVAILABLE.id;
                self.plain_call(thread, &call(id, [at, size, 0]))
            }
            PagerOp::Error((at, size)) => {
                let id = <dyn MemoryControl>::DATA_ERROR.id;
                self.plain_call(thread, &call(id, [at, size, 5]))
            }
            PagerOp::Lock((at, size), [back, flush, lock]) => {
                let words = [at, size, back.into(), flush.into(), lock.into(), 0];
                let request = Request::call(name).id(<dyn MemoryControl>::LOCK_REQUEST.id);
                self.plain_call(thread, &request.words(words))
            }
            PagerOp::Destroy => {
                self.plain_call(thread, &call(<dyn MemoryControl>::DESTROY.id, [0; 3]))
            }
        }
    }

    /// Supplies pages with a number at the start of each. What moves is gone, what does not stays as it was.
    fn data_supply(&mut self, thread: ThreadId, request: Request, supply: &Supply) -> Seen {
        let frame = self.threads[thread].0;
        let size = supply.range.1;
        let at = self.fresh_memory(frame, size);
        for (page, number) in (at..at + size)
            .step_by(PAGE_SIZE as usize)
            .zip(supply.number..)
        {
            self.sim.on(frame).poke(page, &number.to_le_bytes());
        }
        let mut request = request.memory(at, size);
        let moves = supply.number.is_multiple_of(2);
        let parts = request
            .body
            .iter_mut()
            .flat_map(|body| &mut body.descriptors);
        for part in parts.filter(|_| moves) {
            part.flags = descriptor::DEALLOCATE;
        }
        let seen = self.telling_call(thread, &request);
        if !moves {
            // What was supplied does not show this.
            self.sim.on(frame).poke(at, &[0xa5]);
            let freed = self.sim.on(frame).trap(trap::VM_DEALLOCATE, &[at, size]);
            assert_eq!(freed, Ok(0), "what was supplied stays the pager's");
        }
        seen
    }
}
