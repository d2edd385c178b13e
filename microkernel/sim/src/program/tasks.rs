//! Tasks that programs make, and what they ask of tasks and threads.

use abi::names::Name;
use interfaces::task::{FIRST_THREAD, Task};
use interfaces::thread::Thread;

use super::World;
use super::generate::Names;
use crate::message::Request;
use crate::model::{LITTLE, Op, Seen, Share, Subject, TaskOp, ThreadId};

/// Tasks without threads that there may be at once: all live on what their makers have.
const MOST: usize = 4;

/// A number that no thread has.
const NO_THREAD: u32 = 9999;

impl Names<'_> {
    /// A call to a task, or for a thread's numbers.
    pub(super) fn task(&mut self) -> Op {
        let subjects = self.model.subjects(self.task);
        let (name, subject) = self.rng.pick(&subjects);
        let Subject::Task(of) = subject else {
            return Op::Task(name, subject, TaskOp::Info);
        };
        // Who has little cannot share it.
        let room = self.model.idle_tasks() < MOST && !self.model.threads_of(of).is_empty();
        let share = match room && !self.rng.one_in(4) {
            true => Share::Small,
            false => Share::TooMuch,
        };
        let threads = self.rng.below(10);
        let op = match self.rng.below(8) {
            0..3 => TaskOp::Create(share, self.rng.word(), self.rng.pick(&[0, 0, 0, 0, 2])),
            3 => TaskOp::Threads,
            4 | 5 => TaskOp::ThreadOf((threads < self.model.threads()).then_some(threads)),
            6 => TaskOp::SetName(b'a' + threads as u8),
            _ => TaskOp::Info,
        };
        Op::Task(name, subject, op)
    }
}

impl World {
    pub(super) fn task_call(
        &mut self,
        thread: ThreadId,
        (name, subject, op): (Name, Subject, TaskOp),
    ) -> Seen {
        let call = |id: i32, word: u32| {
            Request::call(name)
                .id(id)
                .words([word.into(), 0, 0, 0, 0, 0])
        };
        let request = match op {
            TaskOp::Create(share, identity, inherit) => {
                let limits = match share {
                    Share::Small => LITTLE,
                    Share::TooMuch => [1 << 30; 5],
                };
                let words = limits.into_iter().chain([identity, inherit.into()]);
                let data: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
                Request::call(name).id(<dyn Task>::CREATE.id).data(&data)
            }
            TaskOp::Info => {
                let id = match subject {
                    Subject::Task(_) => <dyn Task>::INFO.id,
                    Subject::Thread(_) => <dyn Thread>::INFO.id,
                };
                return self.telling_call(thread, &call(id, 0));
            }
            TaskOp::Threads => {
                let request = call(<dyn Task>::THREADS.id, FIRST_THREAD);
                return match self.telling_call(thread, &request) {
                    Seen::Told(words) => Seen::Told(self.numbered(&words[1..])),
                    seen => seen,
                };
            }
            TaskOp::ThreadOf(of) => {
                let number = of.map_or(NO_THREAD, |of| self.threads[of].0);
                call(<dyn Task>::THREAD.id, number)
            }
            TaskOp::SetName(letter) => {
                let data: Vec<u8> = [1, letter.into()]
                    .into_iter()
                    .flat_map(u64::to_le_bytes)
                    .collect();
                Request::call(name).id(<dyn Task>::SET_NAME.id).data(&data)
            }
        };
        self.plain_call(thread, &request)
    }

    /// Threads of the program, by the kernel's numbers.
    fn numbered(&self, numbers: &[u64]) -> Vec<u64> {
        let known = |number: &u64| self.thread_of(*number).map(|at| at as u64);
        numbers
            .iter()
            .map(|number| known(number).unwrap_or(u64::MAX))
            .collect()
    }

    /// A thread of the program, by the kernel's number.
    pub(super) fn thread_of(&self, number: u64) -> Option<ThreadId> {
        let threads = self.threads.iter();
        let mut known = threads.rev().zip((0..self.threads.len()).rev());
        known
            .find(|((frame, _), _)| u64::from(*frame) == number)
            .map(|(_, thread)| thread)
    }
}
