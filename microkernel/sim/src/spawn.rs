//! More tasks and threads, through the kernel's staging calls.

use abi::names::{Name, disposition};
use abi::task::Limits;
use abi::thread_state::ThreadState;
use abi::trap::VM_ALLOCATE;
use microkernel::base::ids::TaskId;
use microkernel::machine::{Cpu, Event, FrameIndex};

use crate::image;
use crate::sim::Sim;

/// What a test's task may hold.
pub(crate) const LIMITS: Limits = Limits {
    names: 10_000,
    messages: 10_000,
    threads: 128,
    pages: 256,
    kernel_bytes: 1 << 19,
};

impl Sim {
    /// A task with a thread that has its message buffer; memory lies where the first task has its data.
    ///
    /// # Panics
    /// When the kernel refuses; so for all functions here.
    pub fn add_task(&mut self) -> FrameIndex {
        let identity = 100 + self.rng.word() % 1_000_000;
        let task = match self.kernel.stage_task(&mut self.machine, identity, LIMITS) {
            Ok(task) => task,
            Err(code) => panic!("no task: {code:?}"),
        };
        let thread = self.add_thread_to(task);
        let memory = [image::DATA, image::DATA_PAGES * abi::PAGE_SIZE, 0];
        let made = self.on(thread).trap(VM_ALLOCATE, &memory);
        assert_eq!(made, Ok(image::DATA));
        self.on(thread).register_buffer();
        thread
    }

    /// A server in a task of its own for a client: its thread, its name for its port, and the client's name for a send
    /// right to that.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add_server(&mut self, client: FrameIndex) -> (FrameIndex, Name, Name) {
        let server = self.add_task();
        let port = self.on(server).port();
        let service = self.give(server, port, disposition::MAKE_SEND, client);
        (server, port, service)
    }

    /// Another thread of `beside`'s task, with its message buffer.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add_thread(&mut self, beside: FrameIndex) -> FrameIndex {
        let thread = self.add_thread_to(self.task_of(beside));
        self.on(thread).register_buffer();
        thread
    }

    /// As [`add_thread`](Self::add_thread), without a message buffer.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add_thread_without_buffer(&mut self, beside: FrameIndex) -> FrameIndex {
        self.add_thread_to(self.task_of(beside))
    }

    /// Gives `to` a right that `from` has under `name`; answers its name there.
    ///
    /// # Panics
    /// When `from` has no such right.
    pub fn give(&mut self, from: FrameIndex, name: Name, disposition: u8, to: FrameIndex) -> Name {
        let right = (self.task_of(from), name, disposition);
        let to = self.task_of(to);
        match self.kernel.stage_right(&mut self.machine, right, to) {
            Ok(name) => name,
            Err(code) => panic!("the right cannot be given: {code:?}"),
        }
    }

    /// Ends the task of a thread, and lets the kernel finish that.
    pub fn end_task(&mut self, thread: FrameIndex) {
        self.end(self.task_of(thread));
    }

    /// As [`end_task`](Self::end_task), of a task.
    pub fn end(&mut self, task: TaskId) {
        self.kernel.stage_termination(&mut self.machine, task);
        for cpu in self.machine.cpus() {
            self.event(cpu, Event::Kick);
        }
        while self.deliver() {}
    }

    /// The task of a thread.
    ///
    /// # Panics
    /// When it is none that was made here.
    pub fn task_of(&self, thread: FrameIndex) -> TaskId {
        match (self.tasks.get(&thread), self.kernel.first_task()) {
            (Some(task), _) => *task,
            (None, Some(first)) => first,
            (None, None) => panic!("thread {thread} has no task"),
        }
    }

    fn add_thread_to(&mut self, task: TaskId) -> FrameIndex {
        let state = ThreadState {
            rip: image::CODE,
            rsp: image::DATA,
            ..ThreadState::default()
        };
        let thread = match self.kernel.stage_thread(&mut self.machine, task, state) {
            Ok(thread) => thread.index(),
            Err(code) => panic!("no thread: {code:?}"),
        };
        self.tasks.insert(thread, task);
        self.event(Cpu(0), Event::Kick);
        thread
    }
}
