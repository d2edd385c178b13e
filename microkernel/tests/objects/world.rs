//! The first task and what it can reach, and a baseline to come back to.

use std::cell::RefCell;

use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use abi::start;
use abi::task::Limits;
use abi::thread_state::ThreadState;
use abi::transport::{Error, Interface, Refused};
use abi::trap;
use interfaces::task::{Task, TaskClient};
use interfaces::thread::Thread;
use microkernel::kernel::Census;
use microkernel::machine::FrameIndex;
use sim::{Config, Sim, image};

use crate::transport::{Array, Give, Port};

pub(crate) const PAGE: u64 = abi::PAGE_SIZE;

/// What a child of these tests may hold.
pub(crate) const LIMITS: Limits = Limits {
    names: 8000,
    messages: 100,
    threads: 8,
    pages: 128,
    kernel_bytes: 1 << 18,
};

/// The machine and the first task's thread.
pub(crate) struct World {
    pub(crate) sim: RefCell<Sim>,
    pub(crate) first: FrameIndex,
    baseline: Census,
    pages: u64,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let mut sim = Sim::boot(config);
        let first = sim.first();
        sim.on(first).register_buffer();
        for number in [trap::TASK_SELF, trap::THREAD_SELF, trap::HOST_SELF] {
            sim.on(first).trap(number, &[]).unwrap();
        }
        // What is mapped at the first touch, page tables too, is there at the baseline.
        let mut me = sim.on(first);
        me.peek::<8>(start::ADDRESS);
        let at = me.trap(trap::VM_ALLOCATE, &[0, PAGE, 1]).unwrap();
        me.poke(at, &[1]);
        me.trap(trap::VM_DEALLOCATE, &[at, PAGE]).unwrap();
        let (baseline, pages) = (sim.kernel.census(), sim.machine.memory.in_use());
        Self {
            sim: RefCell::new(sim),
            first,
            baseline,
            pages,
        }
    }

    pub(crate) fn single() -> Self {
        Self::new(Config::default())
    }

    /// A right from the first task's start page.
    pub(crate) fn root(&self, name: &str) -> Port<'_> {
        let name = self.sim.borrow_mut().on(self.first).root(name);
        self.port(name)
    }

    pub(crate) fn port(&self, name: Name) -> Port<'_> {
        Port {
            sim: &self.sim,
            thread: self.first,
            name,
        }
    }

    pub(crate) fn client<I: ?Sized + Interface>(&self, right: Give) -> I::Client<Port<'_>> {
        self.port(right.0).client::<I>()
    }

    /// The first task's own port.
    pub(crate) fn own(&self) -> TaskClient<Port<'_>> {
        self.root(start::names::TASK).client::<dyn Task>()
    }

    /// A child, with memory where the first task has its data.
    pub(crate) fn child(&self) -> Child<'_> {
        self.child_within(LIMITS)
    }

    /// The same with other limits.
    pub(crate) fn child_within(&self, limits: Limits) -> Child<'_> {
        let right = self.own().create(limits, 77, 0).unwrap();
        let task = self.client::<dyn Task>(right);
        let memory = task.vm_allocate(image::DATA, image::DATA_PAGES * PAGE, 0);
        assert_eq!(memory, Ok(image::DATA));
        Child {
            world: self,
            right,
            task,
        }
    }

    /// A trap of the first task's thread.
    pub(crate) fn trap(&self, number: i64, arguments: &[u64]) -> Result<u64, KernReturn> {
        self.sim.borrow_mut().on(self.first).trap(number, arguments)
    }

    pub(crate) fn release(&self, right: Give) {
        self.trap(trap::PORT_DEALLOCATE, &[right.0.0.into()])
            .unwrap();
    }

    /// The names of an array that came; its memory is freed.
    pub(crate) fn take_array(&self, array: Array) -> Vec<Name> {
        let mut sim = self.sim.borrow_mut();
        let mut me = sim.on(self.first);
        let names = (0..u64::from(array.count))
            .map(|n| Name(u32::from_le_bytes(me.peek(array.address + n * 4))))
            .collect();
        let range = [array.address, u64::from(array.count) * 4];
        me.trap(trap::VM_DEALLOCATE, &range).unwrap();
        names
    }

    /// Everything agrees, and as much is there as at the start.
    pub(crate) fn at_baseline(&self) {
        let sim = self.sim.borrow();
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
        assert_eq!(sim.kernel.census(), self.baseline);
        let in_use = sim.machine.memory.in_use();
        assert!(
            in_use <= self.pages,
            "{in_use} pages, {} at the start",
            self.pages
        );
    }
}

/// A task that the first one made.
pub(crate) struct Child<'w> {
    pub(crate) world: &'w World,
    pub(crate) right: Give,
    pub(crate) task: TaskClient<Port<'w>>,
}

impl Child<'_> {
    /// A thread that runs; how to play it, and the right to it.
    pub(crate) fn thread(&self) -> (FrameIndex, Give) {
        let right = self.task.thread_create(state()).unwrap();
        let thread = self.world.client::<dyn Thread>(right);
        thread.resume().unwrap();
        (thread.info().unwrap().index, right)
    }

    /// Ends the task and forgets it.
    pub(crate) fn end(self) {
        self.task.terminate().unwrap();
        self.world.release(self.right);
    }
}

pub(crate) fn state() -> ThreadState {
    ThreadState {
        rip: image::CODE,
        rsp: image::DATA + 0x1000,
        rdi: 5,
        ..ThreadState::default()
    }
}

/// The code that a call failed with.
pub(crate) fn code<T>(result: Result<T, Error>) -> KernReturn {
    match result.err() {
        Some(Error::Code(code)) => code,
        Some(error) => panic!("{error:?}"),
        None => KernReturn::Success,
    }
}

/// The same of a call that moves rights.
pub(crate) fn moved<T, B>(result: Result<T, Refused<B>>) -> KernReturn {
    code(result.map_err(|refused| refused.error))
}

pub(crate) fn copy(name: Name) -> Give {
    Give(name, disposition::COPY_SEND)
}
