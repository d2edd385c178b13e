//! [`Kernel`]: all state of the kernel, and the one function that changes it.
//!
//! An event comes in, its first consequences happen in the layer that it belongs to, what follows from
//! those is worked off in bounded steps, and last it is decided which thread runs. A trap that the message
//! fast path takes skips all but the first.

mod balance;
mod boot;
mod brief;
mod census;
mod exceptions;
mod kernel_call;
mod paging;
mod staging;
mod variables;

pub use boot::{Boot, BootError};
pub use census::{Broken, Census};
pub use variables::Variables;

use abi::exception;
use abi::kern_return::KernReturn;
use abi::registers::Shape;
use abi::trace::{self, Kind as TraceKind};

use crate::base::counters::Counters;
use crate::base::ids::{TaskId, ThreadId};
use crate::base::ledger::Ledgers;
use crate::base::log::Log;
use crate::base::trace::{Detail, Trace};
use crate::ipc::Letter;
use crate::ipc::agenda::Progress;
use crate::ipc::fast::{Hands, Passed, Refused};
use crate::ipc::receive::End;
use crate::ipc::{self, Ipc};
use crate::kobj::Scratch;
use crate::machine::{Cpu, Direct, Event, Frame, Machine, Next, Request, Resume, Time};
use crate::sched::{Flags, Sched, View, Wait};
use crate::task::{Exception, Layers, Task, Tasks};
use crate::trap::{self, Caller, Outcome, Trap};
use crate::vm::{self, Vm};

/// Items of follow-up work that one step does.
const STEP: u32 = 64;
/// Threads' deadlines that one interrupt sees to, and as many of ports and alarms; it comes again at once for the others.
/// One takes some 2,500 instructions when very many wait.
const DEADLINES: u32 = 8;

/// The whole kernel.
pub struct Kernel {
    pub(crate) sched: Sched,
    pub(crate) ipc: Ipc,
    pub(crate) vm: Vm,
    pub(crate) tasks: Tasks,
    pub(crate) ledgers: Ledgers,
    pub(crate) counters: Counters,
    /// The last lines of the kernel's own log.
    pub(crate) log: Log,
    scratch: Scratch,
    /// Pages that the machine had to give when the kernel started.
    memory: u64,
}

impl Kernel {
    /// Takes an event of a CPU; answers what that CPU does now.
    pub fn handle<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, event: Event) -> Next {
        match event {
            Event::Trap => {}
            Event::Exception { vector, code } => {
                return self.exception(machine, cpu, vector, code);
            }
            _ => return self.handle_generally(machine, cpu, event),
        }
        let current = self.sched.current(cpu);
        let message = current.and_then(|current| Request::of(machine.frame(current.index())));
        let Some(request) = message else {
            return match self.null_trap(machine, cpu) {
                Some(next) => next,
                None => self.trap(machine, cpu),
            };
        };
        let passed = match request.shape.descriptors() {
            1 => self.pass_with_right(machine, cpu, request),
            _ => self.pass(machine, cpu, request),
        };
        match passed {
            Ok(Passed::Resumed(thread)) => Next::Run(thread),
            Ok(Passed::Message(delivery)) => {
                delivery.write(machine.frame(delivery.thread));
                if current.map(ThreadId::index) == Some(delivery.thread) {
                    return Next::Run(delivery.thread);
                }
                Next::Pass(delivery.thread)
            }
            Err(Refused::ToKernel(port)) if request.shape == Shape::SHORT => {
                self.call(machine, cpu, port)
            }
            Err(_) => self.handle_generally(machine, cpu, event),
        }
    }

    /// [`Event::Trap`], once it is known that no message can be [passed](Self::pass), and that it is not the
    /// [null trap](Self::null_trap).
    #[inline(always)]
    pub fn trap<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Next {
        match self.brief(machine, cpu) {
            Some(next) => next,
            None => self.handle_generally(machine, cpu, Event::Trap),
        }
    }

    /// The trace ring, for panics and tools.
    pub fn trace(&self) -> &Trace {
        &self.sched.trace
    }

    /// Who runs on each CPU, for reports.
    pub fn running(&self) -> impl Iterator<Item = (Cpu, Option<ThreadId>)> {
        self.sched.running()
    }

    /// All threads and the names of their tasks, for reports.
    pub fn threads(&self) -> impl Iterator<Item = (View, &str)> {
        let name = |view: &View| self.tasks.get(view.task).map_or("", Task::name);
        self.sched.views().map(move |view| (view, name(&view)))
    }

    /// Sets how much the trace ring takes.
    pub fn set_trace_detail(&mut self, detail: Detail) {
        self.sched.set_trace_detail(detail);
    }

    /// What happened since boot.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The message fast path: the current thread's message goes to a thread that waits for it, which runs
    /// now.
    ///
    /// # Errors
    /// [`Refused`]: nothing has changed, and the trap goes on with [`call`](Self::call) or
    /// [`handle_generally`](Self::handle_generally).
    ///
    /// A machine whose entry code has the registers at hand calls this first; [`handle`](Self::handle) does it for
    /// the others. Inlined where parts of the request are constants, it shrinks to that one case.
    #[inline(always)]
    pub fn pass<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        request: Request,
    ) -> Result<Passed, Refused> {
        self.pass_enclosing(machine, cpu, request, 0)
    }

    /// As [`pass`](Self::pass), of a message that carries one right.
    ///
    /// # Errors
    /// As there.
    #[inline(never)]
    pub fn pass_with_right<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        request: Request,
    ) -> Result<Passed, Refused> {
        let sender = self.sched.current(cpu).ok_or(Refused::Special)?;
        let (_, Layers { ipc, mut cx }) = self.layers(machine, cpu);
        let enclosure = ipc.find_enclosure(&mut cx, sender, request);
        let enclosure = enclosure.ok_or(Refused::Special)?;
        let passed = self.pass_enclosing(machine, cpu, request, 1)?;
        let (_, Layers { ipc, mut cx }) = self.layers(machine, cpu);
        ipc.hand_over(&mut cx, &enclosure);
        Ok(passed)
    }

    /// As [`pass`](Self::pass), of a message in the buffer with so many descriptors, which it copies as they are.
    #[inline(always)]
    fn pass_enclosing<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        request: Request,
        rights: u32,
    ) -> Result<Passed, Refused> {
        let special = Refused::Special;
        let current = self.sched.current(cpu);
        let (current, _) = self.sched.threads.find_known(current).ok_or(special)?;
        let letter = if request.shape.is_buffered() {
            Some(Letter::new(&self.vm, request.shape, rights).ok_or(special)?)
        } else if request.shape == Shape::SHORT {
            None
        } else {
            return Err(special);
        };
        let mut hands = Hands {
            sched: &mut self.sched,
            machine,
            cpu,
        };
        let ipc = &mut self.ipc;
        let message = Passed::Message;
        let passed = match request.direct {
            Direct::Call => Some(message(
                ipc.fast_call(&mut hands, current, request, letter)?,
            )),
            Direct::Reply => ipc.fast_reply(&mut hands, current, request, letter),
            Direct::Send | Direct::Exchange if letter.is_some() => None,
            Direct::Send => ipc.fast_send(&mut hands, current, request).map(message),
            Direct::Exchange => ipc.fast_exchange(&mut hands, current, request).map(message),
        };
        let passed = passed.ok_or(special)?;
        if request.direct != Direct::Exchange {
            self.counters.handoffs = self.counters.handoffs.wrapping_add(1);
        }
        Ok(passed)
    }

    /// A trap while the ring takes what happens on the message path. Whether that was all: a message was passed.
    #[cold]
    #[inline(never)]
    fn trace_trap<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) -> bool {
        let frame = *machine.frame(thread.index());
        let told = (cpu, Some(thread));
        let what = (frame.rax, frame.rdi);
        self.sched.record(machine, told, TraceKind::Trap, what);
        // The ring tells more of the others on the general way.
        let calls = |request: &Request| matches!(request.direct, Direct::Call | Direct::Reply);
        let request = Request::of(&frame).filter(calls);
        let passed = request.map(|request| self.pass(machine, cpu, request));
        let Some(Ok(Passed::Message(delivery))) = passed else {
            return false;
        };
        let receiver = machine.frame(delivery.thread);
        delivery.write(receiver);
        receiver.words = frame.words;
        let what = (delivery.thread.into(), (delivery.reply as u32).into());
        self.sched.record(machine, told, TraceKind::Handoff, what);
        true
    }

    /// Any event, by the general way.
    #[inline(always)]
    pub fn handle_generally<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        event: Event,
    ) -> Next {
        if self.sched.trace.is_detailed() {
            return self.handle_traced(machine, cpu, event);
        }
        self.handle_event(machine, cpu, event)
    }

    /// An event while the ring takes what happens on the message path.
    #[cold]
    #[inline(never)]
    fn handle_traced<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, event: Event) -> Next {
        let current = self.sched.current(cpu);
        self.sched.forget_traced(cpu);
        let trap = current.filter(|_| matches!(event, Event::Trap));
        let next = if trap.is_some_and(|thread| self.trace_trap(machine, cpu, thread)) {
            self.leave(machine, cpu, current)
        } else {
            self.handle_event(machine, cpu, event)
        };
        self.sched.mark_traced(cpu);
        next
    }

    #[inline(never)]
    fn handle_event<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, event: Event) -> Next {
        let current = self.sched.current(cpu);
        match (event, current) {
            (Event::Trap, Some(thread)) => self.perform(machine, cpu, thread),
            (Event::Fault { address, access }, Some(thread)) => {
                self.fault(machine, cpu, thread, (address, access));
            }
            (Event::Exception { vector, code }, Some(thread)) => {
                let exception = exceptions::exception_of(vector, code);
                self.raise(machine, cpu, thread, exception);
            }
            (Event::Interrupt { line }, _) => self.interrupt(machine, cpu, line),
            (Event::Timer, _) => self.timer(machine, cpu),
            (Event::Online, _) => self.sched.online(cpu),
            (Event::Kick, _) => self.sched.cpu(cpu).reschedule = true,
            (Event::Continue, Some(thread)) => self.go_on(machine, cpu, thread),
            (
                Event::Trap | Event::Fault { .. } | Event::Exception { .. } | Event::Continue,
                None,
            ) => {}
        }
        self.leave(machine, cpu, current)
    }

    /// A trap, by the general path.
    #[inline(always)]
    fn perform<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        self.counters.traps += 1;
        let Some(task) = self.sched.threads.get(thread).map(|thread| thread.task) else {
            return;
        };
        let caller = Caller { thread, task };
        let (tasks, mut layers) = self.layers(machine, cpu);
        let frame = layers.cx.machine.frame(thread.index());
        let mut outcome = if frame.rax == abi::trap::MACH_MSG as u64 {
            trap::mach_msg(&mut layers, caller)
        } else {
            let trap = Trap::decode(frame);
            trap::perform(tasks, &mut layers, caller, trap)
        };
        if let Outcome::KernelCall(object, message) = outcome {
            outcome = self.kernel_call(machine, cpu, caller, (object, message));
        }
        self.conclude(machine, cpu, caller, outcome);
    }

    /// Does what a trap's outcome says.
    #[inline(always)]
    fn conclude<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        caller: Caller,
        outcome: Outcome,
    ) {
        let frame = machine.frame(caller.thread.index());
        match outcome {
            Outcome::Return(Ok(value)) => {
                frame.rax = KernReturn::Success.0.into();
                frame.rdx = value;
            }
            Outcome::Return(Err(vm::STALLED)) => self.stall_trap(machine, cpu, caller.thread),
            Outcome::Message(code) if code.0 == vm::STALLED.0 => {
                self.stall_trap(machine, cpu, caller.thread);
            }
            Outcome::Return(Err(code)) => {
                frame.rax = code.0.into();
                frame.rdx = 0;
            }
            Outcome::Message(code) => frame.rax = code.0.into(),
            Outcome::Received | Outcome::Passed(None) => {}
            Outcome::Yielded(next) => {
                frame.rax = KernReturn::Success.0.into();
                if let Some(next) = next {
                    self.switched(machine, cpu, next);
                }
            }
            Outcome::Passed(Some(next)) => self.switched(machine, cpu, next),
            Outcome::Blocked => self.block(machine, cpu, caller.thread),
            Outcome::Again => self.set_flag(caller.thread, Flags::RETRY),
            Outcome::ThreadEnds => self.set_flag(caller.thread, Flags::TERMINATE),
            Outcome::TaskEnds => self.terminate_task(machine, cpu, caller.task),
            Outcome::KernelCall(..) => debug_assert!(false, "the kernel calls itself"),
            Outcome::Unknown => self.no_such_trap(machine, cpu, caller),
        }
    }

    /// A number that is no trap's: the personality's to deal with, or an exception.
    fn no_such_trap<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, caller: Caller) {
        let frame = machine.frame(caller.thread.index());
        let number = frame.rax;
        let task = self.tasks.get(caller.task);
        let entry = task.map_or(0, |task| task.personality);
        if (number as i64) >= 0 && entry != 0 {
            return enter_personality(frame, entry);
        }
        let kind = if (number as i64) < 0 {
            exception::MACH_SYSCALL
        } else {
            exception::SYSCALL
        };
        let exception = Exception {
            kind,
            code: number,
            subcode: 0,
        };
        self.raise(machine, cpu, caller.thread, exception);
    }

    /// The current thread waits: its wait is set.
    #[inline(always)]
    fn block<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        if self.sched.trace.is_detailed() {
            self.trace_block(machine, cpu, thread);
        }
        self.sched.block(cpu);
    }

    #[cold]
    #[inline(never)]
    fn trace_block<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        let thread = self.sched.threads.get(thread);
        let wait = thread.map_or(Wait::None, |thread| thread.wait);
        let at = wait.object().map_or(trace::NONE, u64::from);
        let what = (wait.code().into(), at);
        self.sched.note(machine, cpu, TraceKind::Block, what);
    }

    fn interrupt<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, line: u32) {
        self.counters.interrupts += 1;
        let port = self.ipc.lines.bound(line);
        let told = port.map_or(trace::NONE, |port| port.index().into());
        let what = (line.into(), told);
        self.sched.note(machine, cpu, TraceKind::Interrupt, what);
        let delivered = port.is_some_and(|port| self.ipc.interrupt(port).is_ok());
        if !delivered {
            // Nobody to acknowledge it: the line stays masked.
            machine.mask_interrupt(line);
        }
    }

    /// Deadlines that have come, then the slice.
    fn timer<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) {
        let now = machine.now();
        for _ in 0..DEADLINES {
            let Some(thread) = self.sched.expired(now) else {
                break;
            };
            let what = (thread.index().into(), 0);
            self.sched.note(machine, cpu, TraceKind::Timer, what);
            self.time_out(machine, cpu, thread);
        }
        let what = (trace::NONE, 0);
        self.sched.note(machine, cpu, TraceKind::Timer, what);
        self.sched.count_waiting(cpu, now);
        self.sched.age(machine, cpu, now);
        let next = self.ipc.fire_timers(now, DEADLINES);
        self.sched.set_port_deadline(machine, cpu, next);
        self.sched.end_slice(machine, cpu);
    }

    /// A thread's deadline has come.
    fn time_out<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, id: ThreadId) {
        if self.sched.end_depression(machine, cpu, id) {
            return;
        }
        self.sched.disarm(id);
        let Some(thread) = self.sched.threads.get(id) else {
            return;
        };
        let (code, result) = match thread.wait {
            Wait::Deadline => (KernReturn::Success, machine.now()),
            Wait::Futex | Wait::Semaphore(_) => (KernReturn::OperationTimedOut, 0),
            _ => {
                let (_, mut layers) = self.layers(machine, cpu);
                return layers.ipc.end_wait(&mut layers.cx, id, End::TimedOut);
            }
        };
        self.sched.leave_wait(id);
        let frame = machine.frame(id.index());
        frame.rax = code.0.into();
        frame.rdx = result;
        self.sched.wake(id);
    }

    /// The next step of a trap that goes on, or of work that is left.
    fn go_on<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        let Some(record) = self.sched.threads.get_mut(thread) else {
            return;
        };
        if record.flags.contains(Flags::RETRY) && !record.flags.contains(Flags::TERMINATE) {
            record.flags -= Flags::RETRY;
            if record.parked.is_some() {
                self.resume_parked(machine, cpu, thread);
            } else {
                self.perform(machine, cpu, thread);
            }
            self.forget_failure(thread);
        }
    }

    /// The next step with the message that a thread keeps: a request to the kernel, or one with many rights.
    fn resume_parked<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) {
        let Some(task) = self.sched.threads.get(thread).map(|thread| thread.task) else {
            return;
        };
        let caller = Caller { thread, task };
        let (_, mut layers) = self.layers(machine, cpu);
        let outcome = match trap::resume_mach_msg(&mut layers, caller) {
            None => return self.resume_call(machine, cpu, thread),
            Some(Outcome::KernelCall(object, message)) => {
                self.kernel_call(machine, cpu, caller, (object, message))
            }
            Some(outcome) => outcome,
        };
        self.conclude(machine, cpu, caller, outcome);
    }

    /// As [`leave`](Self::leave), after what most often has no consequences: then its thread just goes on.
    #[inline(always)]
    fn go_back<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) -> Next {
        self.notice_memory(machine);
        let stays = thread.is(self.sched.current(cpu)) && !self.sched.cpu(cpu).reschedule;
        let flags = self.sched.threads.get(thread).map(|thread| thread.flags);
        let quiet = flags.is_some_and(|flags| (flags - Flags::SLOT_FULL).is_empty());
        if stays && quiet && self.sched.woken.is_empty() && self.is_settled() {
            Next::Run(thread.index())
        } else {
            self.leave_slowly(machine, cpu, thread)
        }
    }

    /// Threads that wait for free memory go on when there is some.
    #[inline(always)]
    fn notice_memory<M: Machine>(&mut self, machine: &M) {
        if self.vm.waits_for_memory() {
            self.vm.notice_free(machine.free_pages());
        }
    }

    #[cold]
    #[inline(never)]
    fn leave_slowly<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, thread: ThreadId) -> Next {
        self.leave(machine, cpu, Some(thread))
    }

    /// Works off what follows, settles who is awake, and decides who runs after the thread that ran until the event.
    #[inline(always)]
    fn leave<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, ran: Option<ThreadId>) -> Next {
        self.notice_memory(machine);
        let mut progress = self.work_off(machine, cpu);
        if let Some(next) = self.sched.hand_over(machine, cpu) {
            self.switched(machine, cpu, next);
        }
        loop {
            let current = match self.sched.current(cpu) {
                Some(current) if !self.sched.cpu(cpu).reschedule => Some(current),
                _ => self.switch(machine, cpu, ran),
            };
            let Some(current) = current else {
                return if progress == Progress::More {
                    Next::Continue
                } else {
                    Next::Idle
                };
            };
            let flags = self
                .sched
                .threads
                .get(current)
                .map_or(Flags::TERMINATE, |t| t.flags);
            if flags.intersects(Flags::TERMINATE | Flags::SUSPENDED | Flags::UNHANDLED) {
                self.stop(machine, cpu, current, flags);
                // What the thread held may have messages to send: without this they would lie until
                // the next event, which may never come.
                if !self.is_settled() {
                    progress = Progress::More;
                }
                self.sched.settle(machine, cpu);
                continue;
            }
            if progress == Progress::More || flags.contains(Flags::RETRY) {
                return Next::Continue;
            }
            return Next::Run(current.index());
        }
    }

    fn switch<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        ran: Option<ThreadId>,
    ) -> Option<ThreadId> {
        let before = self.sched.current(cpu);
        let next = self.sched.dispatch(machine, cpu);
        let time = self.sched.account(cpu, ran);
        self.charge_time(time);
        if let Some(next) = next
            && Some(next) != before
        {
            self.switched(machine, cpu, next);
        }
        next
    }

    #[inline(always)]
    fn switched<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, next: ThreadId) {
        self.counters.switches += 1;
        let what = (next.index().into(), 0);
        self.sched.note(machine, cpu, TraceKind::Switch, what);
    }

    /// A task gets the time that one of its threads ran.
    fn charge_time(&mut self, ran: Option<(TaskId, Time)>) {
        if let Some((task, time)) = ran
            && let Some(task) = self.tasks.arena.get_mut(task)
        {
            task.cpu_time = task.cpu_time.wrapping_add(time);
            task.events.switches = task.events.switches.wrapping_add(1);
        }
    }

    /// The current thread may not go on as it is.
    fn stop<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, id: ThreadId, flags: Flags) {
        if flags.contains(Flags::TERMINATE) {
            // After its end nobody could get what it ran.
            let time = self.sched.account_until(cpu, Some(id), machine.now());
            self.charge_time(time);
            self.sched.hold(id);
            let (tasks, mut layers) = self.layers(machine, cpu);
            tasks.reap_thread(&mut layers, id);
        } else if flags.contains(Flags::UNHANDLED) {
            self.raise_on(machine, cpu, id);
        } else {
            self.sched.hold(id);
        }
    }

    /// Begins the end of a task.
    pub(crate) fn terminate_task<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, task: TaskId) {
        let (tasks, mut layers) = self.layers(machine, cpu);
        if tasks.terminate(&mut layers, task).is_ok() {
            self.counters.tasks_terminated += 1;
        }
    }

    /// One bounded step of what follows from earlier changes.
    fn work_off<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Progress {
        if self.is_settled() {
            return Progress::Done;
        }
        let (tasks, mut layers) = self.layers(machine, cpu);
        if !layers.ipc.is_settled() && layers.ipc.work_off(&mut layers.cx, STEP) == Progress::More {
            if let Some(task) = layers.ipc.take_deserted() {
                tasks.end_if_deserted(&mut layers, task);
            }
            return Progress::More;
        }
        if !tasks.is_settled() && tasks.work_off(&mut layers) == Progress::More {
            return Progress::More;
        }
        let (vm, mut context) = layers.vm();
        let settled = vm.settle(&mut context) == vm::Progress::Done(());
        self.perform_effects(machine, cpu);
        if settled && self.is_settled() {
            Progress::Done
        } else {
            Progress::More
        }
    }

    #[inline(always)]
    fn is_settled(&self) -> bool {
        self.ipc.is_settled()
            && self.tasks.is_settled()
            && self.vm.is_settled()
            && !self.vm.has_effects()
    }

    pub(crate) fn layers<'a, M: Machine>(
        &'a mut self,
        machine: &'a mut M,
        cpu: Cpu,
    ) -> (&'a mut Tasks, Layers<'a, M>) {
        let cx = ipc::Context {
            machine,
            sched: &mut self.sched,
            ledgers: &mut self.ledgers,
            vm: &mut self.vm,
            cpu,
        };
        (
            &mut self.tasks,
            Layers {
                ipc: &mut self.ipc,
                cx,
            },
        )
    }

    /// A line of the kernel's log, for whoever watches the machine and for `dmesg`.
    fn report<M: Machine>(&mut self, machine: &mut M, text: core::fmt::Arguments<'_>) {
        self.log.line(machine.now(), text);
        machine.log(text);
    }

    fn set_flag(&mut self, id: ThreadId, flag: Flags) {
        if let Some(thread) = self.sched.threads.get_mut(id) {
            thread.flags |= flag;
        }
    }
}

/// A `syscall` that is not Mach's goes on at the personality's entry: `rcx` and `r11` say where it came from.
fn enter_personality(frame: &mut Frame, entry: u64) {
    frame.rcx = frame.rip;
    frame.r11 = frame.rflags;
    frame.rip = entry;
    frame.resume = Resume::Full;
}
