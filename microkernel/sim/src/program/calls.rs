//! Operations that are no single trap on names: waits for semaphores, messages to the kernel's own ports, and arrays of
//! names in messages.

use abi::exception::MASK_ALL;
use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, right};
use abi::task::special;
use abi::trap;
use abi::vm::protection;
use interfaces::exceptions::ExceptionPorts;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use interfaces::thread::Thread;
use microkernel::machine::{Access, Event, Frame, FrameIndex};

use super::World;
use super::time::deadline;
use super::world::Selves;
use crate::image;
use crate::message::{Reply, Request};
use crate::model::{
    ControlOp, Hand, HandlerOp, HostOp, Kept, KeptOp, Level, Op, Registers, Seen, SemaphoreOp,
    Subject, Taken, ThreadId, Trouble, Verdict, When,
};
use crate::sim::{Answer, Sim};

/// The name of the last port of the first task, which programs never choose.
const LAST: Name = Name::new(299, 1);

/// More than a thread may run while others wait.
const SLICE: u64 = 30_000_000;

/// Where a thread's names lie that it sends in arrays.
pub(super) fn names_address(thread: FrameIndex) -> u64 {
    image::DATA + 0x3_0000 + u64::from(thread % 16) * 0x100
}

/// What a trap that is not `mach_msg` answered; of one that sets the base of FS, that base.
pub(super) fn seen(answer: &Answer) -> Seen {
    match (answer.number, code_and_value(&answer.frame)) {
        (trap::SET_FS_BASE, Seen::Trap(code, 0)) => Seen::Trap(code, answer.frame.fs_base),
        (_, seen) => seen,
    }
}

fn code_and_value(frame: &Frame) -> Seen {
    let (code, value) = (frame.rax as u32, frame.rdx);
    match KernReturn(code) {
        KernReturn::Success => Seen::Trap(KernReturn::Success, value),
        code => Seen::Trap(code, 0),
    }
}

/// Maps the first task's memory for names once, so that its page tables are there before pages are counted.
pub(super) fn touch(sim: &mut Sim, thread: FrameIndex) {
    let mut user = sim.on(thread);
    user.poke(names_address(thread), &[0]);
    let address = user.poke_names(&[Name::NULL]);
    let freed = user.trap(trap::VM_DEALLOCATE, &[address, 1]);
    assert_eq!(freed, Ok(0));
}

/// Has everything there that the first task's threads need for exception ports of their own, before it is counted.
pub(super) fn touch_handlers(sim: &mut Sim, thread: FrameIndex, own: &Selves) {
    let request = clear_handlers(own.thread, MASK_ALL);
    assert_eq!(sim.on(thread).message(&request).words[0], 0);
}

fn clear_handlers(port: Name, mask: u32) -> Request {
    let request = Request::call(port).id(<dyn ExceptionPorts>::CLEAR.id);
    request.words([mask.into(), 0, 0, 0, 0, 0])
}

/// A call with numbers and a copy of a send right.
pub(super) fn with_right(port: Name, (id, right): (i32, Name), words: &[u64]) -> Request {
    with_taken(port, (id, (right, disposition::COPY_SEND)), words)
}

/// A call with numbers and a right that is taken in some way.
pub(super) fn with_taken(port: Name, (id, (right, how)): (i32, Taken), words: &[u64]) -> Request {
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let request = Request::call(port).id(id);
    request.port(right, how).data(&data)
}

fn registers(frame: &Frame) -> Registers {
    let f = frame;
    let [r8, r9, r12, r13, r14, r15] = f.words;
    [
        f.rax, f.rbx, f.rcx, f.rdx, f.rdi, f.rsi, f.rbp, f.rsp, r8, r9, f.r10, f.r11, r12, r13,
        r14, r15, f.rip, f.rflags, f.fs_base, f.gs_base,
    ]
}

impl World {
    /// A thread's registers.
    pub(super) fn registers_of(&mut self, thread: ThreadId) -> Registers {
        registers(self.sim.machine.registers(self.threads[thread].0))
    }

    /// A thread's registers, if it is in user mode.
    pub(super) fn running(&mut self, thread: ThreadId) -> Option<Seen> {
        let frame = self.threads[thread].0;
        let runs = self.sim.is_in_user_mode(frame);
        runs.then(|| Seen::Running(registers(self.sim.machine.registers(frame))))
    }

    /// The registers with which a thread is about to raise an exception.
    pub(super) fn before(&mut self, thread: ThreadId, trouble: Trouble) -> Registers {
        let frame = self.threads[thread].0;
        let cpu = self.sim.until_runs(frame);
        if let Trouble::Syscall(number) = trouble {
            self.sim.load_trap(cpu, number as i64, &[]);
        }
        registers(self.sim.machine.registers(frame))
    }

    /// Raises an exception; `None`: the thread waits.
    pub(super) fn raise(&mut self, thread: ThreadId, trouble: Trouble) -> Option<Seen> {
        let cpu = self.sim.until_runs(self.threads[thread].0);
        let event = match trouble {
            Trouble::Access(address) => Event::Fault {
                address,
                access: Access::Read,
            },
            Trouble::Denied(address, rights) => Event::Fault {
                address,
                access: match rights {
                    protection::WRITE => Access::Write,
                    _ => Access::Read,
                },
            },
            Trouble::Vector(vector, code) => Event::Exception { vector, code },
            Trouble::Syscall(_) => Event::Trap,
        };
        self.sim.event(cpu, event);
        self.running(thread)
    }

    /// A thread's registers, once its turn has come.
    pub(super) fn goes_on(&mut self, thread: ThreadId) -> Option<Seen> {
        self.sim.until_runs(self.threads[thread].0);
        self.running(thread)
    }

    /// What a trap answered, if its thread has an exception for what it tried with a guard.
    pub(super) fn excepted(&mut self, thread: ThreadId, op: &Op) -> Option<Seen> {
        let frame = self.threads[thread].0;
        let state = *self.sim.machine.registers(frame);
        let answer = match op {
            Op::Message(_) => Seen::Message(Reply::from_frame(&state)),
            Op::Ports(..) => Seen::Trap(KernReturn(Reply::from_frame(&state).words[0] as u32), 0),
            _ => code_and_value(&state),
        };
        let seen = Seen::Excepted(Box::new(answer), registers(&state));
        let mut model = self.model.clone();
        let excepted = model.step(thread, op, Some(&seen)).is_ok() && model.is_excepted(thread);
        if !excepted {
            return None;
        }
        self.sim.expect_other_registers(frame);
        Some(seen)
    }

    /// Ends a task or a thread; `None`: it was the caller or its task.
    pub(super) fn terminate(&mut self, thread: ThreadId, name: Name) -> Option<Seen> {
        let subjects = self.model.subjects(self.threads[thread].1);
        let id = match subjects.iter().find(|(of, _)| *of == name)?.1 {
            Subject::Task(_) => <dyn Task>::TERMINATE.id,
            Subject::Thread(_) => <dyn Thread>::TERMINATE.id,
        };
        let request = Request::call(name).id(id);
        if self.model.ends_itself(thread, name) {
            let frame = self.threads[thread].0;
            let back = self.sim.on(frame).start_message(&request);
            return back.map(Seen::Message);
        }
        Some(self.plain_call(thread, &request))
    }

    /// Gives everybody time enough to go on in the kernel.
    pub(super) fn rest(&mut self) {
        for cpu in self.sim.machine.cpus() {
            self.sim.event(cpu, Event::Kick);
        }
        // Whoever is to end may have to wait until others have used up what callers lent them.
        for _ in 0..=4 * self.threads.len() {
            self.sim.pass_time(SLICE);
        }
    }

    /// Starts a trap or a call on a semaphore; `None`: it waits.
    pub(super) fn semaphore(&mut self, thread: ThreadId, op: &SemaphoreOp) -> Option<Seen> {
        let word = |name: Name| u64::from(name.0);
        let (number, arguments) = match *op {
            SemaphoreOp::Create { policy, value } => {
                let words = [policy.into(), value.into()];
                return Some(self.call_task(thread, <dyn Task>::SEMAPHORE_CREATE.id, words, None));
            }
            SemaphoreOp::Destroy { name } => {
                let request = Request::call(name).id(<dyn Semaphore>::DESTROY.id);
                return Some(self.plain_call(thread, &request));
            }
            SemaphoreOp::CallSignal { name } => {
                let request = Request::call(name).id(<dyn Semaphore>::SIGNAL.id);
                return Some(self.plain_call(thread, &request));
            }
            SemaphoreOp::CallSignalAll { name } => {
                let request = Request::call(name).id(<dyn Semaphore>::SIGNAL_ALL.id);
                return Some(self.plain_call(thread, &request));
            }
            SemaphoreOp::CallSignalThread { name, thread: of } => {
                let right = (<dyn Semaphore>::SIGNAL_THREAD.id, self.selves[of].thread);
                return Some(self.plain_call(thread, &with_right(name, right, &[])));
            }
            SemaphoreOp::Signal { name } => (trap::SEMAPHORE_SIGNAL, vec![word(name)]),
            SemaphoreOp::SignalAll { name } => (trap::SEMAPHORE_SIGNAL_ALL, vec![word(name)]),
            SemaphoreOp::SignalThread { name, thread } => {
                let thread = word(self.selves[thread].thread);
                (trap::SEMAPHORE_SIGNAL_THREAD, vec![word(name), thread])
            }
            SemaphoreOp::Wait {
                name,
                signal,
                until,
            } => {
                let deadline = deadline(&self.model, until);
                match (signal, until) {
                    (None, When::Never) => (trap::SEMAPHORE_WAIT, vec![word(name)]),
                    (None, _) => (trap::SEMAPHORE_TIMED_WAIT, vec![word(name), deadline]),
                    (Some(signal), When::Never) => {
                        (trap::SEMAPHORE_WAIT_SIGNAL, vec![word(name), word(signal)])
                    }
                    (Some(signal), _) => {
                        let arguments = vec![word(name), word(signal), deadline];
                        (trap::SEMAPHORE_TIMED_WAIT_SIGNAL, arguments)
                    }
                }
            }
        };
        let mut user = self.sim.on(self.threads[thread].0);
        let mut answer = user.start(number, &arguments);
        // Only a wait may take longer than others let the thread run.
        if answer.is_none() && !matches!(op, SemaphoreOp::Wait { .. }) {
            answer = Some(user.finish());
        }
        answer.as_ref().map(seen)
    }

    /// The first task makes a semaphore, and every other task gets a right to it.
    pub(super) fn share_semaphore(&mut self) {
        let before = self.model.names(0).0;
        let (policy, value) = (0, 0);
        let made = self.perform(0, &Op::Semaphore(SemaphoreOp::Create { policy, value }));
        let mut names = self.model.names(0).0.into_iter();
        let (Ok(()), Some(name)) = (made, names.find(|name| !before.contains(name))) else {
            panic!("{:?}", self.history)
        };
        let how = disposition::COPY_SEND;
        for (thread, (frame, task)) in self.threads.clone().into_iter().enumerate() {
            if task == 0 || self.threads[..thread].iter().any(|(_, of)| *of == task) {
                continue;
            }
            let got = self.sim.give(self.threads[0].0, name, how, frame);
            let verdict = self.model.give((0, name, how), task, got);
            assert_eq!(verdict, Ok(()));
        }
    }

    /// A call of the task's own port.
    pub(super) fn kept(&mut self, thread: ThreadId, op: &KeptOp) -> Seen {
        let methods = |which| match which {
            Kept::Special(which) => (
                <dyn Task>::SET_SPECIAL_PORT.id,
                <dyn Task>::SPECIAL_PORT.id,
                which,
            ),
            Kept::Registered(index) => (
                <dyn Task>::PORTS_REGISTER.id,
                <dyn Task>::PORTS_LOOKUP.id,
                index,
            ),
        };
        match *op {
            KeptOp::Set { which, name } => {
                let (id, _, which) = methods(which);
                self.call_task(thread, id, [which.into(), 0], Some(name))
            }
            KeptOp::Get { which } => {
                let (_, id, which) = methods(which);
                self.call_task(thread, id, [which.into(), 0], None)
            }
            KeptOp::Clear { which } => {
                let id = <dyn Task>::CLEAR_SPECIAL_PORT.id;
                self.call_task(thread, id, [which.into(), 0], None)
            }
        }
    }

    pub(super) fn personality(&mut self, thread: ThreadId, entry: u64) -> Seen {
        self.call_task(thread, <dyn Task>::SET_PERSONALITY.id, [entry, 0], None)
    }

    /// A call of a port that has exception ports.
    pub(super) fn handler(&mut self, thread: ThreadId, level: Level, op: &HandlerOp) -> Seen {
        let port = match level {
            Level::Thread(of) => self.selves[of].thread,
            Level::Task => self.selves[thread].task,
            Level::Host => self.host,
        };
        let request = match *op {
            HandlerOp::Set { mask, name, form } | HandlerOp::Swap { mask, name, form } => {
                let id = match op {
                    HandlerOp::Set { .. } => <dyn ExceptionPorts>::SET.id,
                    _ => <dyn ExceptionPorts>::SWAP.id,
                };
                with_right(
                    port,
                    (id, name),
                    &[mask.into(), form.0.into(), form.1.into()],
                )
            }
            HandlerOp::SetFatal { name } => {
                with_right(port, (<dyn Task>::SET_EXCEPTION_PORT.id, name), &[])
            }
            HandlerOp::Clear { mask } => clear_handlers(port, mask),
            HandlerOp::Get { mask, index } => Request::call(port)
                .id(<dyn ExceptionPorts>::GET.id)
                .words([mask.into(), index.into(), 0, 0, 0, 0]),
        };
        let (code, name, told) = self.call(thread, &request);
        match (op, code) {
            (HandlerOp::Get { .. } | HandlerOp::Swap { .. }, KernReturn::Success) => {
                let [mask, behavior, flavor] = told;
                Seen::Handler {
                    mask,
                    form: (behavior, flavor),
                    name,
                }
            }
            _ => Seen::Trap(code, 0),
        }
    }

    /// Lets all threads of the first task run.
    pub(super) fn stop_nobody(&mut self) -> Verdict {
        for (name, subject) in self.model.subjects(0) {
            let own = matches!(subject, Subject::Thread(thread) if self.threads[thread].1 == 0);
            while own && self.model.stops(subject) > 0 {
                self.perform(0, &Op::Control(name, subject, ControlOp::Resume))?;
            }
        }
        self.settle()
    }

    /// Takes the exception ports away that the first task, its threads and the host have.
    pub(super) fn handle_nothing(&mut self) -> Verdict {
        let threads = self.model.threads_of(0).into_iter().map(Level::Thread);
        for level in threads.chain([Level::Task, Level::Host]) {
            let mask = MASK_ALL;
            self.perform(0, &Op::Handler(level, HandlerOp::Clear { mask }))?;
        }
        self.settle()
    }

    /// Lets the first task's control port keep no port any more, but rights to one that is about to die: registered ports
    /// can be overwritten only.
    pub(super) fn keep_nothing(&mut self) -> Verdict {
        let name = LAST;
        let right = right::RECEIVE;
        self.perform(0, &Op::AllocateName { right, name })?;
        let insert = Op::InsertRight {
            name,
            right: name,
            disposition: disposition::MAKE_SEND,
        };
        self.perform(0, &insert)?;
        for index in 0..special::REGISTERED {
            let which = Kept::Registered(index);
            self.perform(0, &Op::Kept(KeptOp::Set { which, name }))?;
        }
        for which in self.model.specials() {
            let op = HostOp::SetSpecial(which, name);
            self.perform(0, &Op::Host(Hand::Steer, op))?;
        }
        let which = special::BOOTSTRAP;
        self.perform(0, &Op::Kept(KeptOp::Clear { which }))?;
        self.settle()
    }

    fn call_task(
        &mut self,
        thread: ThreadId,
        id: i32,
        words: [u64; 2],
        right: Option<Name>,
    ) -> Seen {
        let task = self.selves[thread].task;
        let request = match right {
            None => Request::call(task)
                .id(id)
                .words([words[0], words[1], 0, 0, 0, 0]),
            Some(name) => with_right(task, (id, name), &words),
        };
        self.plain_call(thread, &request)
    }

    /// A call that the kernel answers at once with a code and words.
    pub(super) fn telling_call(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let reply = self.sim.on(self.threads[thread].0).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => {
                let Some(body) = reply.body else {
                    return Seen::Told(reply.words[1..].to_vec());
                };
                let words = body.data.as_chunks().0.iter().copied();
                Seen::Told(words.map(u64::from_le_bytes).collect())
            }
            code => Seen::Trap(code, 0),
        }
    }

    /// A call that the kernel answers at once with an array of rights: their names.
    pub(super) fn rights_call(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let frame = self.threads[thread].0;
        let reply = self.sim.on(frame).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => {
                let names = self.take_body(frame, reply).arrays.concat();
                Seen::Told(names.iter().map(|name| name.0.into()).collect())
            }
            code => Seen::Trap(code, 0),
        }
    }

    pub(super) fn plain_call(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let (code, name, _) = self.call(thread, request);
        Seen::Trap(code, name.0.into())
    }

    /// A call that the kernel answers at once: the code, the name of the right that came, and three words.
    fn call(&mut self, thread: ThreadId, request: &Request) -> (KernReturn, Name, [u32; 3]) {
        let reply = self.sim.on(self.threads[thread].0).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        let descriptors = reply.body.iter().flat_map(|body| &body.descriptors);
        let name = descriptors.map(|right| Name(right.name)).next();
        let code = KernReturn(reply.words[0] as u32);
        let told = [1, 2, 3].map(|at| reply.words[at] as u32);
        (code, name.unwrap_or(Name::NULL), told)
    }
}
