//! Stopping threads, calling them back, and looking at their registers: what programs make of it, and how it is done.

use abi::kern_return::KernReturn;
use abi::thread_state::FLAVOR;
use interfaces::task::Task;
use interfaces::thread::Thread;

use super::World;
use super::generate::{ENTRY, Names};
use crate::image;
use crate::message::Request;
use crate::model::{ControlOp, Op, Registers, Seen, Subject, ThreadId};

/// A flavor of registers that there is none of.
const NO_FLAVOR: u32 = 99;

/// Where a register lies in [`Registers`].
const RSP: usize = 7;
const RIP: usize = 16;
const FS_BASE: usize = 18;

impl Names<'_> {
    /// Something done with a task or a thread: mostly what makes a difference.
    pub(super) fn control(&mut self) -> Op {
        let kind = self.rng.below(16);
        let mut subjects = self.model.subjects(self.task);
        // Nobody would end the program if its first thread were stopped.
        subjects.retain(|(_, subject)| match (kind, subject) {
            (0..7, _) => ![Subject::Task(0), Subject::Thread(0)].contains(subject),
            (_, Subject::Thread(thread)) => !self.model.comes_in_steps(*thread),
            (_, Subject::Task(_)) => false,
        });
        let telling = |subject: &Subject| match (kind, *subject) {
            (0 | 1, _) => true,
            (2..7, subject) => self.model.stops(subject) > 0,
            (12.., Subject::Thread(thread)) if self.model.is_stopped(thread) => true,
            (_, Subject::Thread(thread)) => self.model.waits(thread),
            (_, Subject::Task(_)) => false,
        };
        let better: Vec<_> = subjects.iter().filter(|(_, of)| telling(of)).collect();
        let better: Vec<_> = better.into_iter().copied().collect();
        if !better.is_empty() && !self.rng.one_in(8) {
            subjects = better;
        }
        if subjects.is_empty() {
            return self.look();
        }
        let (name, subject) = self.rng.pick(&subjects);
        let flavor = self.rng.pick(&[FLAVOR, FLAVOR, FLAVOR, NO_FLAVOR]);
        let op = match kind {
            0 | 1 => ControlOp::Suspend,
            2..7 => ControlOp::Resume,
            7 | 8 => ControlOp::Abort,
            9..12 => ControlOp::AbortSafely,
            12 | 13 => ControlOp::GetState(flavor, [0; 20]),
            _ => {
                let words = self.rng.pick(&[20, 20, 20, 19]);
                ControlOp::SetState(flavor, self.new_registers(), words)
            }
        };
        Op::Control(name, subject, op)
    }

    /// Registers that a thread may have: mostly.
    pub(super) fn new_registers(&mut self) -> Registers {
        let mut registers = [(); 20].map(|()| self.rng.word());
        registers[RSP] = image::DATA;
        registers[RIP] = ENTRY;
        registers[FS_BASE..].fill(0);
        if self.rng.one_in(3) {
            registers[RIP + self.rng.below(4)] = self.rng.pick(&[ENTRY, 1 << 47, u64::MAX]);
        }
        registers
    }
}

impl World {
    /// The registers of a thread, if that is what an operation asks for.
    pub(super) fn look_before(&mut self, op: &mut Op) {
        if let Some((of, registers)) = Self::registers_told(op) {
            *registers = self.registers_of(of);
        }
    }

    /// Calls a task or a thread; `None`: the caller has stopped itself.
    pub(super) fn control(
        &mut self,
        thread: ThreadId,
        (name, subject, op): (abi::names::Name, Subject, &ControlOp),
    ) -> Option<Seen> {
        let call = |id: i32| Request::call(name).id(id);
        let is_task = matches!(subject, Subject::Task(_));
        let request = match *op {
            ControlOp::Suspend if is_task => call(<dyn Task>::SUSPEND.id),
            ControlOp::Suspend => call(<dyn Thread>::SUSPEND.id),
            ControlOp::Resume if is_task => call(<dyn Task>::RESUME.id),
            ControlOp::Resume => call(<dyn Thread>::RESUME.id),
            ControlOp::Abort => call(<dyn Thread>::ABORT.id),
            ControlOp::AbortSafely => call(<dyn Thread>::ABORT_SAFELY.id),
            ControlOp::GetState(flavor, _) => {
                let call = call(<dyn Thread>::GET_STATE_OF.id);
                return Some(
                    self.telling_call(thread, &call.words([flavor.into(), 0, 0, 0, 0, 0])),
                );
            }
            ControlOp::SetState(flavor, registers, words) => {
                let data = state_bytes(flavor, &registers[..words]);
                call(<dyn Thread>::SET_STATE_OF.id).data(&data)
            }
        };
        if *op == ControlOp::Suspend && self.model.stops_itself(thread, subject) {
            let frame = self.threads[thread].0;
            return self
                .sim
                .on(frame)
                .start_message(&request)
                .map(Seen::Message);
        }
        // One that goes on may find nobody left to ask about its exception, and end the task.
        let resumes = || Op::Control(name, subject, ControlOp::Resume);
        if *op == ControlOp::Resume && self.is_last(thread, &resumes()) {
            let back = self.sim.on(self.threads[thread].0).start_message(&request);
            return back.map(|reply| Seen::Trap(KernReturn(reply.words[0] as u32), 0));
        }
        let seen = self.plain_call(thread, &request);
        if let (ControlOp::SetState(..), Subject::Thread(of), Seen::Trap(code, _)) =
            (op, subject, &seen)
            && code.0 == 0
        {
            self.sim.registers_were_set(self.threads[of].0);
        }
        Some(seen)
    }
}

/// The words of `set_state_of`.
pub(super) fn state_bytes(flavor: u32, registers: &[u64]) -> Vec<u8> {
    let before = [flavor.into(), size_of_val(registers) as u64];
    let words = before.iter().chain(registers);
    words.flat_map(|word| word.to_le_bytes()).collect()
}
