//! Threads that are stopped, called back from their waits, and looked at (MACH.md T-03, T-07, T-08, T-09).
//!
//! A stopped thread still gets what it waited for, and what it answers lies in its registers; it comes back when it runs
//! again. Registers that are set then are what it goes on with, whatever the answer was.

use abi::kern_return::{KernReturn as Code, MessageReturn};
use abi::thread_state::{FIXED_FLAGS, FLAVOR, USER_FLAGS};
use abi::vm::MAX_ADDRESS;

use super::message::is_call;
use super::names::{Answer, accept, refuse};
use super::raise::place;
use super::{Message, Model, Registers, Seen, Source, State, Subject, ThreadId, Verdict};

/// What one step of the kernel's work brings, as parts of messages weigh.
const STEP: usize = 64;

/// What is done with a task or a thread, by a message to its port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlOp {
    /// `task_suspend`, `thread_suspend`.
    Suspend,
    /// `task_resume`, `thread_resume`.
    Resume,
    /// `thread_abort`.
    Abort,
    /// `thread_abort_safely`.
    AbortSafely,
    /// `thread_get_state`, with the registers at that moment.
    GetState(u32, Registers),
    /// `thread_set_state`, with so many words of the registers.
    SetState(u32, Registers, usize),
}

/// What a wait answers that ends before what it waits for has come.
pub(super) struct EarlyEnd {
    receive: MessageReturn,
    send: MessageReturn,
    trap: Code,
}

/// Somebody ended it.
const ABORTED: EarlyEnd = EarlyEnd {
    receive: MessageReturn::ReceiveInterrupted,
    send: MessageReturn::SendInterrupted,
    trap: Code::Aborted,
};

/// Its deadline came.
pub(super) const TIMED_OUT: EarlyEnd = EarlyEnd {
    receive: MessageReturn::ReceiveTimedOut,
    send: MessageReturn::SendTimedOut,
    trap: Code::OperationTimedOut,
};

impl Model {
    /// How often a task or a thread was stopped.
    pub fn stops(&self, subject: Subject) -> u32 {
        match subject {
            Subject::Task(task) => self.tasks[task].stops,
            Subject::Thread(thread) => self.threads[thread].stops,
        }
    }

    /// Whether a thread does not run, for itself or with its task.
    pub fn is_stopped(&self, thread: ThreadId) -> bool {
        let task = Subject::Task(self.threads[thread].task);
        self.stops(task) > 0 || self.stops(Subject::Thread(thread)) > 0
    }

    /// Whether a thread can make a trap.
    pub fn may_act(&self, thread: ThreadId) -> bool {
        self.is_in_user_mode(thread) && !self.is_stopped(thread) && !self.is_depressed(thread)
    }

    /// Whether a thread waits for something that may not come.
    pub fn waits(&self, thread: ThreadId) -> bool {
        matches!(
            self.threads[thread].state,
            State::Sending(_) | State::Receiving { .. } | State::Waiting | State::Excepted(_)
        ) || self.is_short(thread)
    }

    /// Whether a thread that is stopped has its answer as soon as there is one. Who stopped its own task learns of that when
    /// all its threads stand still, which may be when they run again.
    pub fn is_answered_stopped(&self, thread: ThreadId) -> bool {
        self.is_stopped(thread) && self.threads[thread].state != State::Stopping
    }

    /// Whether a thread does not run as soon as it stops this.
    pub fn stops_itself(&self, thread: ThreadId, subject: Subject) -> bool {
        let task = Subject::Task(self.threads[thread].task);
        [task, Subject::Thread(thread)].contains(&subject)
    }

    /// Whether a thread must run to get what it waited for, all the rights and memory of a message: it may have to if it is not much less.
    pub fn comes_in_steps(&self, thread: ThreadId) -> bool {
        let many = |message: &Message| message.weight() > STEP;
        match &self.threads[thread].state {
            State::Unsent(message, _) => many(message),
            State::Receiving { source, .. } => {
                self.ports.iter().enumerate().any(|(port, state)| {
                    self.covers(*source, port) && state.claims.iter().any(many)
                })
            }
            _ => false,
        }
    }

    pub(super) fn control(
        &mut self,
        thread: ThreadId,
        (subject, op): (Subject, &ControlOp),
        seen: Option<&Seen>,
    ) -> Verdict {
        if *op == ControlOp::Suspend && self.stops_itself(thread, subject) {
            if let Some(seen) = seen {
                return Err(format!("it must stop, and came back with {seen:?}"));
            }
            *self.stops_of(subject) += 1;
            self.threads[thread].state = State::Stopping;
            return Ok(());
        }
        let seen = seen.ok_or("it waits, and must not")?;
        let of = match (subject, op) {
            (_, ControlOp::Suspend) => {
                accept(answer(seen)?)?;
                *self.stops_of(subject) += 1;
                return Ok(());
            }
            (_, ControlOp::Resume) => return self.resume(subject, answer(seen)?),
            (Subject::Thread(of), _) => of,
            (Subject::Task(_), _) => return Err("tasks do not wait and have no registers".into()),
        };
        match *op {
            ControlOp::Abort => {
                accept(answer(seen)?)?;
                self.abort(of);
                Ok(())
            }
            ControlOp::AbortSafely => self.abort_safely(of, answer(seen)?),
            ControlOp::GetState(flavor, registers) => {
                let code = match flavor {
                    _ if !self.stands_still(of) => Code::Failure,
                    FLAVOR => return told(seen, &registers),
                    _ => Code::InvalidArgument,
                };
                refuse(answer(seen)?, &[code])
            }
            ControlOp::SetState(flavor, registers, words) => {
                let settable = settable(registers).filter(|_| flavor == FLAVOR);
                let settable = settable.filter(|_| words == registers.len());
                self.set_state(of, settable, answer(seen)?)
            }
            ControlOp::Suspend | ControlOp::Resume => Ok(()),
        }
    }

    fn stops_of(&mut self, subject: Subject) -> &mut u32 {
        match subject {
            Subject::Task(task) => &mut self.tasks[task].stops,
            Subject::Thread(thread) => &mut self.threads[thread].stops,
        }
    }

    fn resume(&mut self, subject: Subject, seen: Answer) -> Verdict {
        let stops = self.stops_of(subject);
        if *stops == 0 {
            return refuse(seen, &[Code::Failure]);
        }
        *stops -= 1;
        accept(seen)
    }

    /// A wait for an answer, or for what a handler decides, cannot be begun again.
    fn abort_safely(&mut self, thread: ThreadId, seen: Answer) -> Verdict {
        let lost = match self.threads[thread].state {
            State::Receiving { source, .. } => matches!(source, Source::Reply(_)),
            State::Excepted(_) => true,
            _ => false,
        };
        if lost && !self.is_there(thread) {
            return refuse(seen, &[Code::Failure]);
        }
        accept(seen)?;
        self.abort(thread);
        Ok(())
    }

    /// Whether a stopped thread has been given a message already.
    pub(super) fn is_there(&self, thread: ThreadId) -> bool {
        matches!(
            self.threads[thread].state,
            State::Receiving { claimed: true, .. }
        )
    }

    /// T-09: what the thread waits for, it waits for no more.
    fn abort(&mut self, thread: ThreadId) {
        if let State::Excepted(raised) = self.threads[thread].state.clone() {
            self.threads[thread].state = State::Resumed(Box::new(raised.registers));
            self.end_epoch(thread);
        } else if let State::Paging(paging) = &mut self.threads[thread].state {
            paging.go_on();
        } else {
            self.end_wait(thread, &ABORTED);
        }
    }

    /// A thread's wait ends before what it waits for has come.
    pub(super) fn end_wait(&mut self, thread: ThreadId, codes: &EarlyEnd) {
        match self.threads[thread].state.clone() {
            State::Receiving {
                source,
                claimed: false,
                ..
            } => {
                self.threads[thread].state = State::Due(codes.receive);
                if let Source::Reply(_) = source {
                    self.end_epoch(thread);
                }
            }
            State::Sending(request) => {
                let Some(message) = self.take_unsent(thread) else {
                    return;
                };
                if is_call(&request) {
                    self.end_epoch(thread);
                }
                let how = (codes.send, request.options);
                self.threads[thread].state = State::Unsent(Box::new(message), how);
            }
            State::Waiting => {
                self.leave_wait(thread);
                self.threads[thread].state = State::DueTrap(codes.trap);
            }
            _ => {}
        }
    }

    /// The thread waits for no semaphore, word or time any more.
    pub(super) fn leave_wait(&mut self, thread: ThreadId) {
        self.leave_semaphores(thread);
        self.leave_words(thread);
        self.leave_sleep(thread);
    }

    /// Takes the message back that a thread waits to send.
    pub(super) fn take_unsent(&mut self, thread: ThreadId) -> Option<Message> {
        for port in &mut self.ports {
            let at = port
                .senders
                .iter()
                .position(|(sender, _)| *sender == thread);
            if let Some((_, message)) = at.and_then(|at| port.senders.remove(at)) {
                return Some(message);
            }
        }
        None
    }

    /// T-08: whether the registers of a thread can be looked at.
    pub(super) fn stands_still(&self, thread: ThreadId) -> bool {
        self.is_stopped(thread) || self.waits(thread)
    }

    pub(super) fn set_state(
        &mut self,
        of: ThreadId,
        new: Option<Registers>,
        seen: Answer,
    ) -> Verdict {
        let Some(new) = new else {
            return refuse(seen, &[Code::InvalidArgument]);
        };
        let thread = &self.threads[of];
        let waits = match thread.state {
            State::Receiving { claimed, .. } => !claimed,
            State::Sending(_) | State::Waiting => true,
            _ => false,
        };
        if waits || !self.stands_still(of) {
            return refuse(seen, &[Code::Failure]);
        }
        accept(seen)?;
        match &mut self.threads[of].state {
            State::Excepted(raised) | State::Asking(raised) => raised.registers = new,
            state => *state = State::Resumed(Box::new(new)),
        }
        Ok(())
    }
}

/// The registers that a thread has when these are set, if it may have them.
pub(super) fn settable(mut new: Registers) -> Option<Registers> {
    let [fs, gs] = place::BASES;
    let addresses = [place::RIP, fs, gs];
    if addresses.iter().any(|at| new[*at] >= MAX_ADDRESS) {
        return None;
    }
    new[place::FLAGS] = new[place::FLAGS] & USER_FLAGS | FIXED_FLAGS;
    Some(new)
}

pub(super) fn answer(seen: &Seen) -> Result<Answer, String> {
    match *seen {
        Seen::Trap(code, value) => Ok((code, value)),
        _ => Err(format!("a code expected, not {seen:?}")),
    }
}

/// The bytes of these words, and before them how many they are.
fn told(seen: &Seen, registers: &Registers) -> Verdict {
    let size = [size_of_val(registers) as u64];
    match seen {
        Seen::Told(words) if words.iter().eq(size.iter().chain(registers)) => Ok(()),
        _ => Err(format!("{registers:x?} expected, not {seen:x?}")),
    }
}
