//! Registers of threads that are stopped or wait, beside those of `control`.

use abi::names::Name;
use abi::thread_state::{AVX_FLAVOR, AVX_SIZE, DEBUG_FLAVOR, FLOAT_FLAVOR, FLOAT_SIZE};
use interfaces::thread::Thread;

use super::World;
use super::control::state_bytes;
use super::generate::{NOWHERE, Names};
use crate::message::Request;
use crate::model::{ControlOp, Op, Registers, Seen, StateOp, Subject, ThreadId, vectors};

impl Names<'_> {
    /// Something with a thread's registers: mostly of one that stands still.
    pub(super) fn state(&mut self) -> Op {
        let mut subjects = self.model.subjects(self.task);
        subjects.retain(|(_, subject)| match *subject {
            Subject::Thread(thread) => !self.model.comes_in_steps(thread),
            Subject::Task(_) => false,
        });
        let stands = |subject: Subject| match subject {
            Subject::Thread(of) => self.model.is_stopped(of) || self.model.waits(of),
            Subject::Task(_) => false,
        };
        let mut still = subjects.clone();
        still.retain(|(_, subject)| stands(*subject));
        if !still.is_empty() && !self.rng.one_in(8) {
            subjects = still;
        }
        if subjects.is_empty() {
            return self.look();
        }
        let (name, subject) = self.rng.pick(&subjects);
        let Subject::Thread(of) = subject else {
            return self.look();
        };
        let (flavor, size) = self
            .rng
            .pick(&[(FLOAT_FLAVOR, FLOAT_SIZE), (AVX_FLAVOR, AVX_SIZE)]);
        let op = match self.rng.below(8) {
            0 => StateOp::GetPlain([0; 20]),
            1 => StateOp::SetPlain(self.new_registers()),
            2 | 3 => StateOp::GetDebug,
            4 => StateOp::SetDebug(self.watches(), self.rng.pick(&[8, 8, 8, 7])),
            5 | 6 => StateOp::GetVectors(self.rng.pick(&[flavor, flavor, flavor, 99])),
            _ => {
                let count = self.rng.pick(&[size, size, size, size - 8]);
                StateOp::SetVectors(flavor, self.rng.word() as u8, count)
            }
        };
        Op::State(name, of, op)
    }

    /// Debug registers: mostly those that a thread may have.
    fn watches(&mut self) -> [u64; 8] {
        let mut words = [(); 8].map(|()| self.rng.word());
        for address in &mut words[..4] {
            *address = NOWHERE + (*address & 0xfff);
        }
        // Bit 0 of each kind: no I/O ports.
        words[7] = words[7] & !(1 << 13) | 0x1111_0000;
        match self.rng.below(8) {
            0 => words[1] = 1 << 47,
            1 => words[7] |= 1 << 13,
            2 => words[7] = words[7] & !(3 << 20) | 2 << 20,
            _ => {}
        }
        words
    }
}

impl World {
    pub(super) fn state_call(
        &mut self,
        thread: ThreadId,
        (name, of, op): (Name, ThreadId, StateOp),
    ) -> Seen {
        let call = |id: i32| Request::call(name).id(id);
        let flavored = |flavor: u32, words: &[u64]| {
            call(<dyn Thread>::SET_STATE_OF.id).data(&state_bytes(flavor, words))
        };
        let (request, registers_too) = match op {
            StateOp::GetPlain(_) => {
                return self.telling_call(thread, &call(<dyn Thread>::GET_STATE.id));
            }
            StateOp::GetDebug => return self.get_state_of(thread, name, DEBUG_FLAVOR),
            StateOp::GetVectors(flavor) => return self.get_state_of(thread, name, flavor),
            StateOp::SetPlain(registers) => {
                let data: Vec<u8> = registers
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                (call(<dyn Thread>::SET_STATE.id).data(&data), true)
            }
            StateOp::SetDebug(words, count) => (flavored(DEBUG_FLAVOR, &words[..count]), false),
            StateOp::SetVectors(flavor, seed, count) => {
                let bytes = vectors(seed);
                let words = bytes[..count].as_chunks().0.iter().copied();
                let words: Vec<u64> = words.map(u64::from_le_bytes).collect();
                (flavored(flavor, &words), false)
            }
        };
        let seen = self.plain_call(thread, &request);
        if registers_too && matches!(seen, Seen::Trap(code, _) if code.0 == 0) {
            self.sim.registers_were_set(self.threads[of].0);
        }
        seen
    }

    fn get_state_of(&mut self, thread: ThreadId, name: Name, flavor: u32) -> Seen {
        let request = Request::call(name).id(<dyn Thread>::GET_STATE_OF.id);
        self.telling_call(thread, &request.words([flavor.into(), 0, 0, 0, 0, 0]))
    }

    /// The registers of a thread, if that is what an operation is told.
    pub(super) fn registers_told(op: &mut Op) -> Option<(ThreadId, &mut Registers)> {
        match op {
            Op::State(_, of, StateOp::GetPlain(registers))
            | Op::Control(_, Subject::Thread(of), ControlOp::GetState(_, registers)) => {
                Some((*of, registers))
            }
            _ => None,
        }
    }
}
