//! Tasks that programs make, and what they ask of tasks and threads.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::message::MIN_BUFFER;
use abi::names::{Name, disposition};
use interfaces::task::{FIRST_THREAD, Task};
use interfaces::thread::Thread;
use microkernel::machine::FrameIndex;

use super::World;
use super::generate::Names;
use super::world::Selves;
use crate::message::Request;
use crate::model::{
    ControlOp, FAMILY, LITTLE, Op, Seen, Share, Subject, TaskId, TaskOp, ThreadId, Verdict,
};
use crate::sim::Sim;
use crate::user::buffer_address;

/// Tasks without threads that there may be at once: all live on what their makers have.
const MOST: usize = 4;

/// Threads that there may be at once: each has a place of its own in its task's memory.
const MOST_THREADS: usize = 12;

/// Places in a task's memory for its threads.
const PLACES: FrameIndex = 16;

/// A number that no thread has.
const NO_THREAD: u32 = 9999;

/// Has the first task's memory there that threads use which are made later, before pages are counted.
pub(super) fn touch_places(sim: &mut Sim, first: FrameIndex) {
    for place in 0..PLACES {
        let buffer = buffer_address(place);
        for page in (buffer..buffer + MIN_BUFFER).step_by(PAGE_SIZE as usize) {
            sim.on(first).poke(page, &[0]);
        }
    }
}

impl Names<'_> {
    /// A call to a task, or for a thread's numbers.
    pub(super) fn task(&mut self) -> Op {
        let mut subjects = self.model.subjects(self.task);
        let is_family = |subject: Subject| match subject {
            Subject::Task(of) => self.model.was_made(of) && self.model.has_memory(of),
            Subject::Thread(_) => false,
        };
        let families: Vec<_> = subjects.iter().filter(|of| is_family(of.1)).collect();
        if !families.is_empty() && self.rng.one_in(4) {
            subjects = families.into_iter().copied().collect();
            let (name, subject) = self.rng.pick(&subjects);
            if self.model.living_threads() < MOST_THREADS {
                let op = TaskOp::CreateThread(self.new_registers());
                return Op::Task(name, subject, op);
            }
        }
        let (name, subject) = self.rng.pick(&subjects);
        let Subject::Task(of) = subject else {
            return Op::Task(name, subject, TaskOp::Info);
        };
        // Who has little cannot share it.
        let room = self.model.idle_tasks() < MOST && !self.model.threads_of(of).is_empty();
        let room = room && !self.model.was_made(of);
        let family = room && !self.model.has_family(of) && self.rng.one_in(2);
        let (share, inherit) = match room && !self.rng.one_in(4) {
            true if family => (Share::Family, 1),
            true => (Share::Small, 0),
            false => (Share::TooMuch, 0),
        };
        let threads = self.rng.below(10);
        let op = match self.rng.below(10) {
            0..3 => {
                let inherit = if self.rng.one_in(5) { 2 } else { inherit };
                TaskOp::Create(share, self.rng.word(), inherit)
            }
            7.. if self.model.has_memory(of) && self.model.living_threads() < MOST_THREADS => {
                TaskOp::CreateThread(self.new_registers())
            }
            3 if self.rng.one_in(2) => TaskOp::Info,
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
                    Share::Family => FAMILY,
                    Share::TooMuch => [1 << 30; 5],
                };
                let words = limits.into_iter().chain([identity, inherit.into()]);
                let data: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
                Request::call(name).id(<dyn Task>::CREATE.id).data(&data)
            }
            TaskOp::CreateThread(registers) => {
                let data: Vec<u8> = registers
                    .iter()
                    .flat_map(|word| word.to_le_bytes())
                    .collect();
                Request::call(name)
                    .id(<dyn Task>::THREAD_CREATE.id)
                    .data(&data)
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
                // The number of one that has ended may be another one's.
                let frame = |of: ThreadId| self.threads[of].0;
                let own = of.filter(|of| self.thread_of(frame(*of).into()) == Some(*of));
                let number = own.map_or(NO_THREAD, frame);
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
        let before: Vec<_> = self.sim.kernel.task_ids().collect();
        let seen = self.plain_call(thread, &request);
        if let (Subject::Task(of), Seen::Trap(KernReturn::Success, right)) = (subject, &seen) {
            match op {
                TaskOp::Create(..) => {
                    let mut tasks = self.sim.kernel.task_ids();
                    let made = tasks.find(|task| !before.contains(task));
                    self.tasks.extend(made);
                }
                TaskOp::CreateThread(_) => self.meet(thread, Name(*right as u32), of),
                _ => {}
            }
        }
        seen
    }

    /// A thread of a task was made, to which another thread has a right.
    fn meet(&mut self, by: ThreadId, right: Name, of: TaskId) {
        let info = self.telling_call(by, &Request::call(right).id(<dyn Thread>::INFO.id));
        let Seen::Told(words) = info else {
            panic!("a new thread is {info:?}");
        };
        let frame = words[0] as FrameIndex;
        self.sim.tasks.insert(frame, self.tasks[of]);
        // Its task may know itself by a name already.
        let others = self.threads.iter().zip(&self.selves);
        let tasks = others
            .filter(|((_, task), _)| *task == of)
            .map(|(_, own)| own.task);
        let task = tasks.max_by_key(|name| name.0).unwrap_or(Name::NULL);
        self.threads.push((frame, of));
        let thread = Name::NULL;
        self.selves.push(Selves { task, thread });
    }

    /// The first task keeps a right to a task of which somebody makes a thread, so that it lasts.
    pub(super) fn keep_right_to(&mut self, (by, name): (ThreadId, Name), of: TaskId) {
        let subject = Subject::Task(of);
        if self.model.is_known(0, subject) {
            return;
        }
        let known = self.model.subjects(0);
        let name = match known.iter().find(|known| known.1 == subject) {
            Some((name, _)) => *name,
            None => {
                let (from, to) = (self.threads[by].0, self.threads[0].0);
                let name = self.sim.give(from, name, disposition::COPY_SEND, to);
                self.model.introduce(0, (name, 1), subject);
                name
            }
        };
        self.model.spare(0, name);
        self.others.push(name);
    }

    /// Threads that programs made of the first task, whose end has not come.
    pub(super) fn end_made(&mut self) -> Verdict {
        let threads = self.model.threads_of(0).into_iter();
        for made in threads
            .filter(|thread| self.model.is_made(*thread))
            .collect::<Vec<_>>()
        {
            let task = self.selves[0].task;
            let subject = Subject::Task(0);
            self.perform(0, &Op::Task(task, subject, TaskOp::ThreadOf(Some(made))))?;
            let known = self.model.subjects(0);
            let name = known.iter().find(|known| known.1 == Subject::Thread(made));
            let name = name.map_or(Name::NULL, |known| known.0);
            // What it could not send comes back to it first.
            self.perform(
                0,
                &Op::Control(name, Subject::Thread(made), ControlOp::Abort),
            )?;
            self.settle()?;
            self.perform(0, &Op::Terminate { name })?;
            self.settle()?;
        }
        Ok(())
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
