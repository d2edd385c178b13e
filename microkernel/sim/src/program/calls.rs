//! Operations that are no single trap on names: waits for semaphores, messages to the kernel's own ports, and arrays of
//! names in messages.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::descriptor;
use abi::names::{Name, disposition, right};
use abi::task::special;
use abi::trap;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use microkernel::machine::FrameIndex;

use super::World;
use crate::image;
use crate::message::{Reply, Request};
use crate::model::{Kept, KeptOp, Op, Seen, SemaphoreOp, ThreadId, Verdict};
use crate::sim::{Answer, Sim};

/// The name of the last port of the first task, which programs never choose.
const LAST: Name = Name::new(299, 1);

/// Where a thread's names lie that it sends in arrays.
fn names_address(thread: FrameIndex) -> u64 {
    image::DATA + 0x3_0000 + u64::from(thread % 16) * 0x100
}

/// What a trap that is not `mach_msg` answered.
pub(super) fn seen(answer: &Answer) -> Seen {
    let (code, value) = (answer.frame.rax as u32, answer.frame.rdx);
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

impl World {
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
                return Some(self.call(thread, &request));
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
                timed,
            } => match (signal, timed) {
                (None, false) => (trap::SEMAPHORE_WAIT, vec![word(name)]),
                (None, true) => (trap::SEMAPHORE_TIMED_WAIT, vec![word(name), 0]),
                (Some(signal), false) => {
                    (trap::SEMAPHORE_WAIT_SIGNAL, vec![word(name), word(signal)])
                }
                (Some(signal), true) => {
                    let arguments = vec![word(name), word(signal), 0];
                    (trap::SEMAPHORE_TIMED_WAIT_SIGNAL, arguments)
                }
            },
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
        let request = Request::call(self.selves[thread].task).id(id);
        let request = match right {
            None => request.words([words[0], words[1], 0, 0, 0, 0]),
            Some(name) => {
                let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                request.port(name, disposition::COPY_SEND).data(&data)
            }
        };
        self.call(thread, &request)
    }

    /// A call that the kernel answers at once: the code, and the name of the right that came.
    fn call(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let reply = self.sim.on(self.threads[thread].0).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        let descriptors = reply.body.iter().flat_map(|body| &body.descriptors);
        let name = descriptors.map(|right| right.name).next();
        Seen::Trap(KernReturn(reply.words[0] as u32), name.unwrap_or(0).into())
    }

    /// Writes the names of a message's arrays to memory, and says there where they lie.
    pub(super) fn place_arrays(&mut self, frame: FrameIndex, request: &Request) -> Request {
        let mut request = request.clone();
        let mut at = names_address(frame);
        let descriptors = request
            .body
            .iter_mut()
            .flat_map(|body| &mut body.descriptors);
        let arrays = descriptors.filter(|array| array.kind == descriptor::OUT_OF_LINE_PORTS);
        for (array, names) in arrays.zip(&request.arrays) {
            let bytes: Vec<u8> = names.iter().flat_map(|name| name.0.to_le_bytes()).collect();
            self.sim.on(frame).poke(at, &bytes);
            array.address = at;
            at += bytes.len() as u64;
        }
        request
    }

    /// Takes the names of a message's arrays out of memory.
    pub(super) fn take_arrays(&mut self, frame: FrameIndex, mut reply: Reply) -> Reply {
        for array in reply.body.iter().flat_map(|body| &body.descriptors) {
            if array.kind == descriptor::OUT_OF_LINE_PORTS {
                reply.arrays.push(match array.name {
                    0 => Vec::new(),
                    _ => self.sim.on(frame).take_names(array),
                });
            }
        }
        reply
    }
}
