//! Exceptions that threads raise (MACH.md ): who is asked, what arrives there, and who runs on.
//!
//! The thread's own handler is asked first, then its task's, then the host's. Each is sent a message with a right to answer
//! by; an answer that is a success resumes the thread, any other asks the next level, and behind the last one its task ends.

use abi::exception::{self, NARROW_RAISE, RAISE, WIDE_RAISE, behavior};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::thread_state::FLAVOR;
use abi::transport::REPLY_OFFSET;
use abi::vm::{MAX_ADDRESS, protection};

use super::body::Part;
use super::control::settable;
use super::exceptions::{Form, Handler, Owner};
use super::names::{Answer, accept, refuse};
use super::{
    Carried, Entry, Holder, Message, Model, PortId, Seen, State, TaskId, ThreadId, Verdict,
};

/// Registers in the order of `abi::thread_state::ThreadState`.
pub type Registers = [u64; 20];

/// Where some registers lie in it.
pub(super) mod place {
    pub(in crate::model) const RCX: usize = 2;
    pub(in crate::model) const RSP: usize = 7;
    pub(in crate::model) const R11: usize = 11;
    pub(in crate::model) const RIP: usize = 16;
    pub(in crate::model) const FLAGS: usize = 17;
    pub(in crate::model) const BASES: [usize; 2] = [18, 19];
}

/// What a thread does that it may not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// A read of this address, where nothing is mapped.
    Access(u64),
    /// An access to this page that takes these rights, which it does not give.
    Denied(u64, u32),
    /// An exception of the processor's.
    Vector(u8, u64),
    /// A system call that is not Mach's.
    Syscall(u64),
}

impl Trouble {
    /// Type and codes.
    fn told(self) -> (u32, [u64; 2]) {
        match self {
            Self::Access(address) => {
                let code = Code::InvalidAddress.0;
                (exception::BAD_ACCESS, [code.into(), address])
            }
            Self::Denied(address, _) => {
                let code = Code::ProtectionFailure.0;
                (exception::BAD_ACCESS, [code.into(), address])
            }
            Self::Vector(vector, code) => {
                let kind = match vector {
                    0 => exception::ARITHMETIC,
                    3 => exception::BREAKPOINT,
                    _ => exception::BAD_INSTRUCTION,
                };
                (kind, [vector.into(), code])
            }
            Self::Syscall(number) => (exception::SYSCALL, [number, 0]),
        }
    }
}

/// An exception that is not dealt with yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Raised {
    kind: u32,
    codes: [u64; 2],
    pub(super) registers: Registers,
    level: usize,
    /// Who was asked last.
    asked: Option<(PortId, Form)>,
}

impl Raised {
    /// Whether a thread that goes on raises it again: the instruction has not happened.
    pub(super) fn repeats(&self) -> bool {
        let repeating = [
            exception::BAD_ACCESS,
            exception::BAD_INSTRUCTION,
            exception::ARITHMETIC,
        ];
        repeating.contains(&self.kind)
    }

    /// The registers that the thread goes on with, if an answer deals with the exception.
    fn consented(&self, form: Form, answer: &Message) -> Option<Registers> {
        let plain = answer.local == Carried::Null && answer.parts.is_empty();
        let right = answer.id == id(form) + REPLY_OFFSET && answer.first == 0;
        if !plain || !right {
            return None;
        }
        if !has_state(form) {
            return answer.data.is_none().then_some(self.registers);
        }
        let words = answer.data.as_ref()?.chunks(8);
        let words: Option<Vec<u64>> = words
            .map(|word| word.try_into().ok().map(u64::from_le_bytes))
            .collect();
        settable(words?.try_into().ok()?)
    }
}

fn has_state(form: Form) -> bool {
    form.0 & behavior::STATE != 0
}

/// The message's id.
fn id((told, _): Form) -> i32 {
    let kind = told & !behavior::WIDE_CODES;
    match kind {
        behavior::BRIEF => RAISE,
        _ if told == kind => NARROW_RAISE + kind as i32 - 1,
        _ => WIDE_RAISE + kind as i32 - 1,
    }
}

impl Model {
    pub(super) fn raise(
        &mut self,
        thread: ThreadId,
        (trouble, registers): (Trouble, Registers),
        seen: Option<&Seen>,
    ) -> Verdict {
        let entry = self.tasks[self.threads[thread].task].personality;
        if matches!(trouble, Trouble::Syscall(_)) && entry != 0 {
            let mut expected = registers;
            expected[place::RCX] = registers[place::RIP];
            expected[place::R11] = registers[place::FLAGS];
            expected[place::RIP] = entry;
            return match seen {
                Some(Seen::Running(now)) if *now == expected => Ok(()),
                _ => Err(format!("{expected:x?} expected, not {seen:x?}")),
            };
        }
        self.check_trouble(thread, trouble)?;
        if let Some(seen) = seen {
            return Err(format!("it must wait, and came back with {seen:x?}"));
        }
        self.except(thread, trouble.told(), registers);
        Ok(())
    }

    /// V-11: an access is the exception that the page makes it.
    fn check_trouble(&self, thread: ThreadId, trouble: Trouble) -> Verdict {
        let (address, rights, code) = match trouble {
            Trouble::Access(address) => (address, protection::READ, Code::InvalidAddress),
            Trouble::Denied(address, rights) => (address, rights, Code::ProtectionFailure),
            Trouble::Vector(..) | Trouble::Syscall(_) => return Ok(()),
        };
        match self.fault(self.threads[thread].task, address, rights) {
            Some(fault) if fault == code => Ok(()),
            fault => Err(format!("{trouble:x?} is {fault:?}")),
        }
    }

    /// A thread asks the first handler of an exception's type.
    pub(super) fn except(
        &mut self,
        thread: ThreadId,
        (kind, codes): (u32, [u64; 2]),
        registers: Registers,
    ) {
        let raised = Raised {
            kind,
            codes,
            registers,
            level: 0,
            asked: None,
        };
        self.threads[thread].state = State::Asking(Box::new(raised));
    }

    pub(super) fn set_personality(&mut self, task: TaskId, entry: u64, seen: Answer) -> Verdict {
        if entry >= MAX_ADDRESS {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        self.tasks[task].personality = entry;
        accept(seen)
    }

    /// Whether what a thread does need not be its task's end: somebody would be asked, or it goes to the personality.
    pub fn has_handler(&self, thread: ThreadId, trouble: Trouble) -> bool {
        let personality = self.tasks[self.threads[thread].task].personality != 0;
        if personality && matches!(trouble, Trouble::Syscall(_)) {
            return true;
        }
        self.would_be_asked(thread, trouble.told().0)
    }

    /// Whether somebody would be asked about an exception of a type.
    pub(super) fn would_be_asked(&self, thread: ThreadId, kind: u32) -> bool {
        let mut levels = self.levels(thread).into_iter();
        levels.any(|owner| self.handler_of(owner, kind).is_some())
    }

    fn levels(&self, thread: ThreadId) -> [Owner; 3] {
        let task = self.threads[thread].task;
        [Owner::Thread(thread), Owner::Task(task), Owner::Host]
    }

    /// A level's handler, if somebody can be asked there: the kernel handles no exceptions.
    fn handler_of(&self, owner: Owner, kind: u32) -> Option<Handler> {
        let handler = self.handlers.get(&(owner, kind)).copied()?;
        let state = &self.ports[handler.port];
        (!matches!(state.holder, Holder::Nobody | Holder::Kernel)).then_some(handler)
    }

    /// What threads whose exception nobody deals with do at last: they ask the next handler, or their task ends.
    pub(super) fn ask_on(&mut self) {
        loop {
            // One that is stopped does so when it runs again.
            let asks = |thread: &ThreadId| {
                matches!(self.threads[*thread].state, State::Asking(_)) && !self.is_stopped(*thread)
            };
            let Some(thread) = (0..self.threads.len()).find(asks) else {
                return;
            };
            self.unsettled = true;
            let State::Asking(raised) = self.threads[thread].state.clone() else {
                return;
            };
            self.ask_next(thread, *raised);
        }
    }

    fn ask_next(&mut self, thread: ThreadId, mut raised: Raised) {
        let Some(owner) = self.levels(thread).get(raised.level).copied() else {
            // nobody ends for it.
            if raised.kind == exception::GUARD {
                self.threads[thread].state = State::Resumed(Box::new(raised.registers));
                return;
            }
            return self.end_task(self.threads[thread].task);
        };
        raised.level += 1;
        let handler = self.handler_of(owner, raised.kind);
        let Some(handler) = handler else {
            self.threads[thread].state = State::Asking(Box::new(raised));
            return;
        };
        raised.asked = Some((handler.port, handler.form));
        let message = self.report(thread, &raised, (handler.port, handler.form));
        self.threads[thread].state = State::Excepted(Box::new(raised));
        self.push(handler.port, message);
    }

    ///
    fn report(&self, thread: ThreadId, raised: &Raised, (to, form): (PortId, Form)) -> Message {
        let kind = form.0 & !behavior::WIDE_CODES;
        let brief = kind == behavior::BRIEF;
        let wide = brief || form.0 & behavior::WIDE_CODES != 0;
        let [code, subcode] = raised.codes.map(|code| match wide {
            true => code,
            false => code & u64::from(u32::MAX),
        });
        let mut words = vec![raised.kind.into(), code, subcode];
        let mut data = (!brief).then(Vec::new);
        if brief {
            words.extend([raised.registers[place::RIP], raised.registers[place::RSP]]);
        } else if has_state(form) {
            words.push(FLAVOR.into());
            words.extend(raised.registers);
            let bytes = words.iter().flat_map(|word| word.to_le_bytes());
            data = Some(bytes.collect());
            words = Vec::new();
        }
        let identity = [behavior::DEFAULT, behavior::STATE_IDENTITY].contains(&kind);
        let ports = [
            self.threads[thread].port,
            self.tasks[self.threads[thread].task].port,
        ];
        let rights: Vec<Carried> = ports
            .into_iter()
            .filter(|_| identity)
            .map(Carried::Send)
            .collect();
        Message {
            batch: self.batch,
            from_kernel: false,
            id: id(form),
            first: words.first().copied().unwrap_or(0),
            words,
            data,
            remote: Carried::Send(to),
            local: Carried::SendOnce(self.threads[thread].reply),
            parts: vec![Part::Right; rights.len()],
            rights,
        }
    }

    /// The thread that waits at a reply object for what becomes of its exception.
    pub(super) fn excepted_at(&self, reply: PortId) -> Option<ThreadId> {
        self.threads
            .iter()
            .position(|thread| thread.reply == reply && matches!(thread.state, State::Excepted(_)))
    }

    /// An answer came, or word that there will be none.
    pub(super) fn answered(&mut self, thread: ThreadId, message: Message) {
        let State::Excepted(raised) = self.threads[thread].state.clone() else {
            return;
        };
        let goes_on = match raised.asked {
            // Its handler died, and not just the right to answer.
            Some((port, _)) if message.from_kernel => {
                let dead = !self.is_alive(port);
                (dead && raised.repeats()).then_some(raised.registers)
            }
            Some((_, form)) => raised.consented(form, &message),
            None => None,
        };
        self.unsettled = true;
        self.threads[thread].state = match goes_on {
            Some(registers) => State::Resumed(Box::new(registers)),
            None => State::Asking(raised),
        };
        self.discard_message(message);
    }

    /// The form that an answer by this right must have, with the registers that the exception was raised with.
    fn form_of(&self, right: Option<Carried>) -> Option<(Form, Registers)> {
        let Some(Carried::SendOnce(reply)) = right else {
            return None;
        };
        match &self.threads[self.excepted_at(reply)?].state {
            State::Excepted(raised) => Some((raised.asked?.1, raised.registers)),
            _ => None,
        }
    }

    /// What would answer the exception that a thread's reply slot is of: id and data.
    pub fn answer_by_slot(&self, thread: ThreadId) -> Option<(i32, Option<Registers>)> {
        let (form, registers) = self.form_of(self.threads[thread].slot)?;
        Some((
            id(form) + REPLY_OFFSET,
            has_state(form).then_some(registers),
        ))
    }

    /// The same, of a name.
    pub fn answer_by_name(&self, task: TaskId, name: Name) -> Option<(i32, Option<Registers>)> {
        let Some(Entry::SendOnce { port, .. }) = self.entry(task, name) else {
            return None;
        };
        let (form, registers) = self.form_of(Some(Carried::SendOnce(port)))?;
        Some((
            id(form) + REPLY_OFFSET,
            has_state(form).then_some(registers),
        ))
    }
}
