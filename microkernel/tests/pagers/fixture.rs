//! A pager, its object, and tasks that map it; all of them are played by the test.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};
use abi::trap;
use abi::vm::{copy_strategy, inherit, map_flags, protection};
use interfaces::memory_object::{MemoryControl, MemoryObject};
use interfaces::thread::Thread;
use interfaces::vm::Vm;
use microkernel::kernel::Census;
use microkernel::machine::{Access, FrameIndex};
use microkernel::sched::Wait;
use sim::message::Body;
use sim::{Answer, Config, Reply, Request, Sim};

pub(crate) const PAGE: u64 = abi::PAGE_SIZE;
pub(crate) const RW: u32 = protection::READ | protection::WRITE;

/// What a pager was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Init {
        control: Name,
        name: Name,
    },
    Terminate {
        control: Name,
        name: Name,
    },
    Request {
        page: u64,
        access: u32,
    },
    Unlock {
        page: u64,
        access: u32,
    },
    Discard {
        page: u64,
        pages: u64,
    },
    /// Pages from `page` on, by the first byte of each.
    Return {
        page: u64,
        content: Vec<u8>,
        dirty: bool,
        kept: bool,
    },
}

pub(crate) struct Fixture {
    pub(crate) sim: Sim,
    /// Whether everything is compared with everything after each step: for small systems.
    pub(crate) is_small: bool,
    /// The first task's thread.
    pub(crate) first: FrameIndex,
    pub(crate) pager: FrameIndex,
    pub(crate) client: FrameIndex,
    /// The memory object: the pager's receive right, and the client's send right.
    pub(crate) object: Name,
    pub(crate) given: Name,
    baseline: Census,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let mut sim = Sim::boot(config);
        let first = sim.first();
        sim.on(first).register_buffer();
        let (pager, client) = (sim.add_task(), sim.add_task());
        for thread in [pager, client] {
            let at = sim.on(thread).trap(trap::VM_ALLOCATE, &[0, PAGE, 1]);
            let at = at.unwrap();
            sim.on(thread).poke(at, &[1]);
            sim.on(thread)
                .trap(trap::VM_DEALLOCATE, &[at, PAGE])
                .unwrap();
        }
        let object = sim.on(pager).port();
        let given = sim.give(pager, object, disposition::MAKE_SEND, client);
        let baseline = sim.kernel.census();
        Self {
            sim,
            is_small: true,
            first,
            pager,
            client,
            object,
            given,
            baseline,
        }
    }

    /// Maps `pages` of the object for a task that knows it by `name`, from page `first` on.
    pub(crate) fn try_map(
        &mut self,
        who: (FrameIndex, Name),
        pages: (u64, u64),
        flags: u64,
    ) -> Result<u64, KernReturn> {
        self.map_with(who, pages, flags, RW)
    }

    /// The same with another protection.
    pub(crate) fn map_with(
        &mut self,
        who: (FrameIndex, Name),
        pages: (u64, u64),
        flags: u64,
        rights: u32,
    ) -> Result<u64, KernReturn> {
        let started = self.start_map(who, pages, (flags, rights));
        let answer = started.unwrap_or_else(|| self.sim.on(who.0).finish());
        self.check();
        result(&answer)
    }

    /// The same, which may have to wait; what it answers if it does not.
    pub(crate) fn start_map(
        &mut self,
        (thread, name): (FrameIndex, Name),
        (first, pages): (u64, u64),
        (flags, rights): (u64, u32),
    ) -> Option<Answer> {
        let word = map_flags::ANYWHERE
            | flags
            | u64::from(rights) << map_flags::CURRENT_SHIFT
            | u64::from(protection::ALL) << map_flags::MAXIMUM_SHIFT
            | u64::from(inherit::SHARE) << map_flags::INHERIT_SHIFT;
        let arguments = [name.0.into(), 0, pages * PAGE, first * PAGE, word];
        let started = self.sim.on(thread).start(trap::VM_MAP, &arguments);
        self.check();
        started
    }

    /// `vm_copy` within the client's memory.
    pub(crate) fn copy(&mut self, from: u64, size: u64, to: u64) -> KernReturn {
        let task = self.sim.on(self.client).trap(trap::TASK_SELF, &[]).unwrap();
        let request = Request::call(Name(task as u32))
            .id(<dyn Vm>::COPY.id)
            .words([from, size, to, 0, 0, 0]);
        let reply = self.sim.on(self.client).message(&request);
        let mut client = self.sim.on(self.client);
        client.trap(trap::PORT_DEALLOCATE, &[task]).unwrap();
        self.check();
        code(&reply)
    }

    /// The client maps the first pages of the object.
    pub(crate) fn map(&mut self, pages: u64) -> u64 {
        let who = (self.client, self.given);
        self.try_map(who, (0, pages), 0).unwrap()
    }

    pub(crate) fn unmap(&mut self, at: u64, pages: u64) {
        let size = pages * PAGE;
        let mut client = self.sim.on(self.client);
        client.trap(trap::VM_DEALLOCATE, &[at, size]).unwrap();
        self.check();
    }

    /// A map of the first pages, and a pager that is ready.
    pub(crate) fn ready(&mut self, pages: u64) -> (u64, Name) {
        let at = self.map(pages);
        let control = self.init();
        assert_eq!(self.attributes(control, 0), KernReturn::Success);
        (at, control)
    }

    /// The pager is told of its object; the control port.
    pub(crate) fn init(&mut self) -> Name {
        match self.told() {
            Some(Told::Init { control, .. }) => control,
            other => panic!("no init but {other:?}"),
        }
    }

    /// What waits at the memory object's port.
    pub(crate) fn told(&mut self) -> Option<Told> {
        let got = self.sim.on(self.pager).poll(self.object);
        if got.code == MessageReturn::ReceiveTimedOut {
            return None;
        }
        assert_eq!(got.code, MessageReturn::Success);
        self.check();
        let rights = || match &got.body {
            Some(body) => [body.descriptors[0], body.descriptors[1]].map(|d| Name(d.name)),
            None => panic!("no rights: {got:?}"),
        };
        let (page, access) = (got.words[0] / PAGE, got.words[2] as u32);
        Some(match got.id {
            id if id == <dyn MemoryObject>::INIT.id => {
                assert_eq!(got.words[0], PAGE);
                let [control, name] = rights();
                Told::Init { control, name }
            }
            id if id == <dyn MemoryObject>::TERMINATE.id => {
                let [control, name] = rights();
                Told::Terminate { control, name }
            }
            id if id == <dyn MemoryObject>::DATA_REQUEST.id => {
                assert_eq!(got.words[1], PAGE);
                Told::Request { page, access }
            }
            id if id == <dyn MemoryObject>::DATA_UNLOCK.id => Told::Unlock { page, access },
            id if id == <dyn MemoryObject>::DISCARD_REQUEST.id => Told::Discard {
                page,
                pages: got.words[1] / PAGE,
            },
            id if id == <dyn MemoryObject>::DATA_RETURN.id => {
                let memory = got.right();
                Told::Return {
                    page,
                    content: self.take_content(memory.address, memory.size),
                    dirty: got.words[1] == 1,
                    kept: got.words[2] == 1,
                }
            }
            other => panic!("unknown message {other}"),
        })
    }

    /// The first byte of each page that the pager got, and that it then gives up.
    fn take_content(&mut self, address: u64, size: u64) -> Vec<u8> {
        let mut pager = self.sim.on(self.pager);
        let mut first = |page: u64| pager.peek::<1>(address + page * PAGE)[0];
        let content = (0..size / PAGE).map(&mut first).collect();
        let mut pager = self.sim.on(self.pager);
        pager.trap(trap::VM_DEALLOCATE, &[address, size]).unwrap();
        self.check();
        content
    }

    /// `lock_request` for pages from `page` on: which come back, whether all go, and the new lock.
    pub(crate) fn lock(
        &mut self,
        control: Name,
        (page, pages): (u64, u64),
        (returns, flush, lock): (u32, u64, u32),
    ) -> KernReturn {
        let id = <dyn MemoryControl>::LOCK_REQUEST.id;
        let words = [
            page * PAGE,
            pages * PAGE,
            returns.into(),
            flush,
            lock.into(),
            0,
        ];
        code(&self.call(control, Request::call(control).id(id).words(words)))
    }

    /// What is left to be told, up to the end of the object.
    pub(crate) fn all_told(&mut self) -> Vec<Told> {
        std::iter::from_fn(|| self.told()).collect()
    }

    /// A call of the pager's to a control port.
    pub(crate) fn call(&mut self, control: Name, request: Request) -> Reply {
        let request = Request {
            remote: (control, disposition::COPY_SEND),
            ..request
        };
        let reply = self.sim.on(self.pager).message(&request);
        self.check();
        reply
    }

    pub(crate) fn attributes(&mut self, control: Name, may_cache: u64) -> KernReturn {
        self.attributes_with(control, may_cache, copy_strategy::DELAY)
    }

    pub(crate) fn attributes_with(
        &mut self,
        control: Name,
        may_cache: u64,
        strategy: u32,
    ) -> KernReturn {
        let id = <dyn MemoryControl>::SET_ATTRIBUTES.id;
        let words = [may_cache, strategy.into(), 0, 0, 0, 0];
        code(&self.call(control, Request::call(control).id(id).words(words)))
    }

    /// Supplies pages from `page` on, each full of its byte; code, result and the page where it stopped.
    pub(crate) fn supply(
        &mut self,
        control: Name,
        page: u64,
        content: &[u8],
    ) -> (KernReturn, KernReturn, u64) {
        self.supply_at(control, page * PAGE, content, (0, 0))
    }

    pub(crate) fn supply_at(
        &mut self,
        control: Name,
        offset: u64,
        content: &[u8],
        (lock, precious): (u64, u64),
    ) -> (KernReturn, KernReturn, u64) {
        let size = content.len() as u64 * PAGE;
        let mut pager = self.sim.on(self.pager);
        let at = pager.trap(trap::VM_ALLOCATE, &[0, size, 1]).unwrap();
        for (index, byte) in content.iter().enumerate() {
            pager.poke(at + index as u64 * PAGE, &[*byte; PAGE as usize]);
        }
        let id = <dyn MemoryControl>::DATA_SUPPLY.id;
        let mut request = Request::call(control).id(id);
        request.words = [offset, lock, precious, 0, 0, 0];
        request.body = Some(Body {
            descriptors: vec![moving(at, size)],
            data: Vec::new(),
        });
        let reply = self.call(control, request);
        let result = KernReturn(reply.words[1] as u32);
        (code(&reply), result, reply.words[2] / PAGE)
    }

    /// `data_unavailable` or `data_error`, by its id.
    pub(crate) fn refuse(&mut self, control: Name, id: i32, page: u64, pages: u64) -> KernReturn {
        let words = [page * PAGE, pages * PAGE, 5, 0, 0, 0];
        code(&self.call(control, Request::call(control).id(id).words(words)))
    }

    /// A thread's access: the byte, or `None` when it waits or is gone.
    pub(crate) fn load(&mut self, thread: FrameIndex, address: u64) -> Option<u8> {
        self.touch(thread, address, Access::Read)
    }

    pub(crate) fn touch(&mut self, thread: FrameIndex, address: u64, access: Access) -> Option<u8> {
        let cpu = self.sim.until_runs(thread);
        let page = self.sim.reach(cpu, address, access);
        self.check();
        let page = page.ok()?;
        let content = self.sim.machine.memory.content(page);
        Some(content[(address % PAGE) as usize])
    }

    /// The client's look at a word by a trap, which answers an error code where an access would be an exception;
    /// `None`: it waits.
    pub(crate) fn start_wake(&mut self, address: u64) -> Option<Answer> {
        let arguments = [address, 1];
        let started = self.sim.on(self.client).start(trap::FUTEX_WAKE, &arguments);
        self.check();
        started
    }

    /// What the client's trap answers that was started.
    pub(crate) fn finish(&mut self) -> Result<u64, KernReturn> {
        let answer = self.sim.on(self.client).finish();
        self.check();
        result(&answer)
    }

    /// The same, when nobody has to be asked.
    pub(crate) fn wake(&mut self, address: u64) -> Result<u64, KernReturn> {
        self.sim
            .on(self.client)
            .trap(trap::FUTEX_WAKE, &[address, 1])
    }

    /// A call of a task's to its own port.
    pub(crate) fn call_task(&mut self, thread: FrameIndex, request: Request) -> Reply {
        let task = self.sim.on(thread).trap(trap::TASK_SELF, &[]).unwrap();
        let request = Request {
            remote: (Name(task as u32), disposition::COPY_SEND),
            ..request
        };
        let reply = self.sim.on(thread).message(&request);
        self.sim.on(thread).deallocate(request.remote.0).unwrap();
        self.check();
        reply
    }

    /// A right to the client's thread.
    pub(crate) fn thread_port(&mut self) -> Name {
        let name = self.sim.on(self.client).trap(trap::THREAD_SELF, &[]);
        Name(name.unwrap() as u32)
    }

    /// `thread_abort`, by another thread of the client's task.
    pub(crate) fn abort(&mut self, by: FrameIndex, thread: Name) {
        let aborted = self.order(by, thread, <dyn Thread>::ABORT.id);
        assert_eq!(aborted, KernReturn::Success);
    }

    /// A call without arguments to a thread, by another one of the client's task.
    pub(crate) fn order(&mut self, by: FrameIndex, thread: Name, id: i32) -> KernReturn {
        let reply = self.sim.on(by).message(&Request::call(thread).id(id));
        self.check();
        code(&reply)
    }

    pub(crate) fn alive(&self, thread: FrameIndex) -> bool {
        let mut threads = self.sim.kernel.threads();
        threads.any(|(view, _)| view.id.index() == thread)
    }

    /// Whether a thread waits for a page.
    pub(crate) fn waits(&self, thread: FrameIndex) -> bool {
        let mut threads = self.sim.kernel.threads();
        let found = threads.find(|(view, _)| view.id.index() == thread);
        found.is_some_and(|(view, _)| matches!(view.wait, Wait::Page))
    }

    pub(crate) fn check(&self) {
        if self.is_small {
            self.check_all();
        }
    }

    pub(crate) fn check_all(&self) {
        assert_eq!(self.sim.kernel.check(&self.sim.machine), Ok(()));
    }

    /// As many objects as before anything was mapped.
    pub(crate) fn at_baseline(&mut self) {
        while self.sim.deliver() {}
        self.check();
        assert_eq!(self.sim.kernel.census(), self.baseline);
    }

    /// The pager gives up what a `terminate` brought.
    pub(crate) fn bury(&mut self, ports: [Name; 2]) {
        for port in ports {
            self.sim.on(self.pager).destroy(port).unwrap();
        }
    }

    /// The pages from `page` on come back that were written, in one message; then the object ends.
    pub(crate) fn written_and_terminated(&mut self, page: u64) {
        match self.told() {
            Some(Told::Return {
                page: first,
                dirty: true,
                ..
            }) => assert_eq!(first, page),
            other => panic!("nothing comes back but {other:?}"),
        }
        self.terminated();
    }

    /// The object ends: its ports come back, and all is as before.
    pub(crate) fn terminated(&mut self) {
        match self.told() {
            Some(Told::Terminate { control, name }) => self.bury([control, name]),
            other => panic!("no terminate but {other:?}"),
        }
        self.at_baseline();
    }
}

fn result(answer: &Answer) -> Result<u64, KernReturn> {
    match KernReturn(answer.frame.rax as u32) {
        KernReturn::Success => Ok(answer.frame.rdx),
        error => Err(error),
    }
}

/// Memory that leaves the sender.
pub(crate) fn moving(address: u64, size: u64) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: descriptor::DEALLOCATE,
        address,
        size,
        ..Descriptor::default()
    }
}

pub(crate) fn code(reply: &Reply) -> KernReturn {
    assert_eq!(reply.code, MessageReturn::Success);
    KernReturn(reply.words[0] as u32)
}
