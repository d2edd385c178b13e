//! [`World`]: kernel and model side by side.

use std::collections::BTreeMap;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, port_type, right};
use abi::start::names::{HOST_PRIVILEGED, INTERRUPT_ROOT, IO_ROOT, MEMORY_ROOT};
use abi::trap;
use microkernel::kernel::Census;
use microkernel::machine::FrameIndex;

use super::bodies::Lent;
use super::generate::{self, Patience};
use super::held::Held;
use super::{Outcome, Run, Step, buffer, calls, futex, objects, tally, tasks, timer, vm};
use crate::image;
use crate::model::{ControlOp, Model, Op, Seen, SelfOp, Subject, TaskOp, ThreadId, Verdict};
use crate::rng::Rng;
use crate::sim::{Answer, Config, Sim};

/// How many steps pass between two comparisons of everything.
const AUDIT: usize = 16;
/// How often hardware may act on its own until a thread that must come back does.
const PATIENCE: u32 = 10_000;

/// What a program runs on.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Kernel and machine.
    pub config: Config,
    /// Tasks.
    pub tasks: usize,
    /// Threads in each of them.
    pub threads: usize,
    /// What its programs do most.
    pub theme: Theme,
}

/// What programs do most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    /// Some of everything.
    Everything,
    /// Calls on memory.
    Memory,
    /// Memory objects, and what their pagers say.
    Pager,
}

/// Kernel and model.
pub struct World {
    /// The kernel, its machine and threads.
    pub sim: Sim,
    /// What must hold.
    pub model: Model,
    /// What came of the program so far.
    pub outcome: Run,
    /// As the transcript, with everything in it.
    pub history: Vec<String>,
    /// By thread: the call in which it waits, or that it made last.
    pub(super) waiting: BTreeMap<ThreadId, String>,
    /// By thread: what it was given since it was stopped.
    pub(super) held: BTreeMap<ThreadId, Held>,
    /// By thread: the memory that it sent its last message with.
    pub(super) lent: BTreeMap<ThreadId, Vec<Option<Lent>>>,
    /// By thread of the model: the kernel's thread, and its task.
    pub(super) threads: Vec<(FrameIndex, usize)>,
    /// By thread of the model: what it knows itself by, which is none of the model's names.
    pub(super) selves: Vec<Selves>,
    /// The first task's name of the privileged host port.
    pub(super) host: Name,
    /// The first task's names of the roots of devices.
    pub(super) roots: Roots,
    /// The first task's names of the others and their threads.
    pub(super) others: Vec<Name>,
    /// By task of the model: the kernel's.
    pub(super) tasks: Vec<microkernel::base::ids::TaskId>,
    /// What there was before the program and the other tasks.
    baseline: Baseline,
    pub(super) setup: Setup,
}

/// Names that the first task has from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roots {
    pub(super) interrupt: Name,
    pub(super) io: Name,
    pub(super) memory: Name,
}

/// Names that a thread has from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Selves {
    pub(super) task: Name,
    pub(super) thread: Name,
}

impl Selves {
    fn of(sim: &mut Sim, frame: FrameIndex) -> Self {
        let mut user = sim.on(frame);
        let mut ask = |number| match user.trap(number, &[]) {
            Ok(name) => Name(name as u32),
            Err(code) => panic!("a thread does not know itself: {code:?}"),
        };
        Self {
            task: ask(trap::TASK_SELF),
            thread: ask(trap::THREAD_SELF),
        }
    }
}

/// What must be the same again when everything has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Baseline {
    census: Census,
    pages: u64,
    spaces: usize,
}

impl Baseline {
    pub(super) fn of(sim: &Sim) -> Self {
        let machine = &sim.machine;
        Self {
            census: sim.kernel.census(),
            pages: machine.memory.in_use(),
            spaces: machine.spaces.len(),
        }
    }
}

impl World {
    /// A fresh boot.
    pub fn boot(setup: &Setup) -> Self {
        let mut sim = Sim::boot(setup.config);
        // The first nanosecond is past, as programs say it is.
        sim.machine.advance(1);
        let first = sim.first();
        sim.on(first).register_buffer();
        let mut threads = vec![(first, 0)];
        for _ in 1..setup.threads {
            threads.push((sim.add_thread(first), 0));
        }
        // Threads touch their buffers once, so that the pages are there before they are counted.
        for (thread, _) in &threads {
            sim.on(*thread).touch_buffer();
            calls::touch(&mut sim, *thread);
        }
        tasks::touch_places(&mut sim, first);
        vm::touch_window(&mut sim, first);
        objects::touch_window(&mut sim, first);
        let mut selves: Vec<_> = threads
            .iter()
            .map(|(thread, _)| Selves::of(&mut sim, *thread))
            .collect();
        let host = sim.on(first).root(HOST_PRIVILEGED);
        let roots = Roots {
            interrupt: sim.on(first).root(INTERRUPT_ROOT),
            io: sim.on(first).root(IO_ROOT),
            memory: sim.on(first).root(MEMORY_ROOT),
        };
        for own in &selves {
            calls::touch_handlers(&mut sim, first, own);
        }
        let entry = futex::make_words(&mut sim, first, selves[0].task);
        let baseline = Baseline::of(&sim);
        for task in 1..setup.tasks {
            let lead = sim.add_task();
            futex::share_words(&mut sim, (first, entry), lead);
            threads.push((lead, task));
            for _ in 1..setup.threads {
                threads.push((sim.add_thread(lead), task));
            }
        }
        for (thread, _) in &threads[selves.len()..] {
            selves.push(Selves::of(&mut sim, *thread));
        }
        let tasks: Vec<_> = threads.iter().map(|(_, task)| *task).collect();
        let leads = threads.iter().step_by(setup.threads);
        let kernel_tasks = leads.map(|(lead, _)| sim.task_of(*lead)).collect();
        let mut world = Self {
            sim,
            model: Model::new(&tasks),
            outcome: Run::default(),
            history: Vec::new(),
            waiting: BTreeMap::new(),
            held: BTreeMap::new(),
            lent: BTreeMap::new(),
            threads,
            selves,
            host,
            roots,
            others: Vec::new(),
            tasks: kernel_tasks,
            baseline,
            setup: *setup,
        };
        world.introduce(setup.tasks);
        world.acquaint(setup.tasks);
        world
    }

    /// The model learns what tasks and threads know themselves by. The first task may end all others.
    fn introduce(&mut self, tasks: usize) {
        let mut known = Vec::new();
        for (n, own) in self.selves.iter().enumerate() {
            let task = self.threads[n].1;
            known.push((n, own.thread, Subject::Thread(n)));
            if self.model.threads_of(task).first() == Some(&n) {
                known.push((n, own.task, Subject::Task(task)));
            }
        }
        for (thread, name, subject) in known {
            let (frame, task) = self.threads[thread];
            let references = match self.sim.on(frame).refs(name, right::SEND) {
                Ok(references) => references as u32,
                Err(code) => panic!("{subject:?} has no name: {code:?}"),
            };
            self.model.introduce(task, (name, references), subject);
            if task > 0 && tasks > 1 {
                let (first, copy) = (self.threads[0].0, disposition::COPY_SEND);
                let name = self.sim.give(frame, name, copy, first);
                self.model.introduce(0, (name, 1), subject);
                self.others.push(name);
            }
        }
    }

    /// Every task gets a port, and a send right to every other task's.
    fn acquaint(&mut self, tasks: usize) {
        let lead = |world: &Self, task| {
            world
                .threads
                .iter()
                .position(|(_, of)| *of == task)
                .unwrap_or_default()
        };
        for from in 0..tasks {
            let thread = lead(self, from);
            let made = self.perform(
                thread,
                &Op::Allocate {
                    right: right::RECEIVE,
                },
            );
            let port = self.model.names(from).0.last().copied();
            let (Ok(()), Some(port)) = (made, port) else {
                panic!("{:?}", self.history)
            };
            for to in (0..tasks).filter(|to| *to != from) {
                let receiver = self.threads[lead(self, to)].0;
                let give = disposition::MAKE_SEND;
                let name = self.sim.give(self.threads[thread].0, port, give, receiver);
                let verdict = self.model.give((thread, port, give), to, name);
                assert_eq!(verdict, Ok(()));
            }
        }
        self.share_semaphore();
    }

    /// Ends all tasks but the first, and everything that the first one got since the start: nothing may
    /// be left.
    ///
    /// # Errors
    /// What is left.
    pub fn end(&mut self) -> Verdict {
        self.stop_nobody()?;
        self.end_made()?;
        self.await_nothing()?;
        self.settle_lent_at_last()?;
        self.leave_window()?;
        self.leave_objects()?;
        self.keep_nothing()?;
        self.handle_nothing()?;
        // A port that is destroyed may come back to who asked for it: until nothing does.
        while let Some(name) = self.model.names(0).0.first().copied() {
            if let Some(guard) = self.model.guard_of(0, name) {
                self.perform(0, &Op::Unguard { name, guard })?;
            }
            self.perform(0, &Op::Destroy { name })?;
            self.settle()?;
        }
        for (task, of_kernel) in self.tasks.iter().enumerate().skip(1) {
            if !self.model.is_over(task) {
                self.sim.end(*of_kernel);
            }
        }
        for name in &self.others {
            let ended = self.sim.on(self.threads[0].0).destroy(*name);
            ended.map_err(|code| format!("{name:x?}: {code:?}"))?;
        }
        while self.sim.deliver() {}
        self.sim.kernel.stage_rest(&mut self.sim.machine);
        self.sim.kernel.check(&self.sim.machine)?;
        self.all_masked()?;
        let mut now = Baseline::of(&self.sim);
        // What the first task wrote while a child had a copy may be there twice: its buffers split its memory, and what
        // lies behind one part stays with the others.
        let twice = self.baseline.pages..=self.baseline.pages + image::DATA_PAGES;
        if self.model.has_had_family(0) && twice.contains(&now.pages) {
            now.pages = self.baseline.pages;
        }
        if now == self.baseline {
            return Ok(());
        }
        Err(format!(
            "at the start {:?}, at the end {now:?}",
            self.baseline
        ))
    }

    /// Runs a program and compares everything now and then.
    ///
    /// # Errors
    /// The rule that the kernel broke.
    pub fn run(&mut self, program: &[Step]) -> Verdict {
        for (n, step) in program.iter().enumerate() {
            self.step(*step)?;
            if n % AUDIT == AUDIT - 1 {
                self.audit()?;
            }
        }
        self.audit()?;
        self.outcome.surface = self.sim.surface.clone();
        match self.ends_first_task() {
            true => self.end_first(),
            false => self.end(),
        }
    }

    fn step(&mut self, step: Step) -> Verdict {
        self.settle_lent()?;
        // Who cannot act leaves the step to the next one that can.
        let count = self.threads.len();
        let mut threads = (0..count).map(|n| (step.thread + n) % count);
        let Some(thread) = threads.find(|thread| self.model.may_act(*thread)) else {
            return Ok(());
        };
        let task = self.threads[thread].1;
        // The first thread of each task never waits: it makes what others wait for.
        let leads = self.threads.iter().position(|(_, of)| *of == task) == Some(thread);
        let patience = if leads {
            Patience::NeverWaits
        } else {
            Patience::MayWait
        };
        let mut op = generate::op(
            &self.model,
            thread,
            (self.setup.theme, patience),
            &mut Rng::new(step.seed),
        );
        if let Op::Raise(trouble, registers) = &mut op {
            *registers = self.before(thread, *trouble);
        }
        if let Op::Object(op) = &mut op {
            self.note_registers(thread, op);
        }
        if self.model.disturbs(thread, &op) {
            return Ok(());
        }
        self.look_before(&mut op);
        let ends = matches!(
            op,
            Op::Raise(..)
                | Op::Exit(_)
                | Op::Terminate { .. }
                | Op::Control(.., ControlOp::Suspend)
        ) || matches!(op, Op::Object(op) if self.model.is_trouble(thread, op));
        let waits = !ends && self.model.clone().step(thread, &op, None).is_ok();
        if waits && (leads || !self.may_wait(task, &op)) {
            return Ok(());
        }
        // The first thread takes everything down at last.
        if thread == 0 && self.model.would_except(thread, &op) {
            return Ok(());
        }
        if let Op::Task(name, Subject::Task(of), TaskOp::CreateThread(_)) = op {
            self.keep_right_to((thread, name), of);
        }
        self.perform(thread, &op)?;
        self.take_back(thread, &op)?;
        self.settle()?;
        self.sim.kernel.check(&self.sim.machine)?;
        Ok(())
    }

    fn may_wait(&self, task: usize, op: &Op) -> bool {
        match op {
            Op::Message(request) => self.model.is_free_to_wait(task, request.receive),
            Op::Semaphore(_) | Op::Futex(_) | Op::Time(_) => true,
            // The first task's threads would have exceptions if the page cannot be had.
            Op::Object(_) => task != 0,
            _ => false,
        }
    }

    /// Makes a trap in both.
    ///
    /// # Errors
    /// The rule that the kernel broke.
    pub fn perform(&mut self, thread: ThreadId, op: &Op) -> Verdict {
        self.history.push(format!("thread {thread}: {op:x?}"));
        let before = self.sim.kernel.counters().handoffs;
        let mut seen = self.execute(thread, op);
        if self.sim.kernel.counters().handoffs != before {
            if self.model.is_slow() {
                return Err("the fast path is off, and was taken".into());
            }
            self.count_rows(tally::passed(op));
        }
        if seen.is_none() {
            seen = self.excepted(thread, op);
        }
        if seen.is_none() && self.model.clone().step(thread, op, None).is_err() {
            seen = match op {
                _ if self.is_last(thread, op) => Some(Seen::Trap(KernReturn::Success, 0)),
                // Somebody else went first.
                Op::Raise(..) => self.goes_on(thread),
                _ => Some(self.finish(self.threads[thread].0)),
            };
        }
        let unsure = self.is_unsure(op);
        let call = tally::call(op);
        let waits_in = match seen {
            Some(Seen::Excepted(..)) => "RaiseGuard".into(),
            _ => call.clone(),
        };
        self.waiting.insert(thread, waits_in);
        self.count(call, seen.as_ref());
        self.count_rows(tally::parts(op, seen.as_ref()));
        let verdict = self.model.step(thread, op, seen.as_ref());
        if verdict.is_ok() {
            self.learn(thread, op, seen.as_ref());
            self.check_moved(thread)?;
        }
        self.history.push(format!("    {seen:x?}"));
        let seen = seen.filter(|_| !self.model.has_ended(thread) && !unsure);
        self.outcome
            .transcript
            .push(format!("{thread}: {}", outline(seen.as_ref())));
        verdict
    }

    /// What a thread that was made is known by.
    fn learn(&mut self, thread: ThreadId, op: &Op, seen: Option<&Seen>) {
        let (Op::Itself(op), Some(Seen::Trap(KernReturn::Success, name))) = (op, seen) else {
            return;
        };
        match op {
            SelfOp::ThreadSelf => self.selves[thread].thread = Name(*name as u32),
            SelfOp::TaskSelf => self.selves[thread].task = Name(*name as u32),
            _ => {}
        }
    }

    fn count(&mut self, call: String, seen: Option<&Seen>) {
        let code = seen.and_then(tally::code);
        self.outcome
            .codes
            .extend(code.map(|code| (call.clone(), code)));
        // A look brings nothing.
        let brought = seen.filter(|_| !call.ends_with("Peek"));
        let parts = brought.into_iter().flat_map(tally::brought);
        self.count_rows(parts.chain([(call, tally::outcome(seen))]));
    }

    fn count_rows(&mut self, rows: impl IntoIterator<Item = (String, Outcome)>) {
        for row in rows {
            *self.outcome.tally.entry(row).or_default() += 1;
        }
    }

    /// Makes a trap, or what else an operation takes, which counts as done of the kernel's surface.
    fn execute(&mut self, thread: ThreadId, op: &Op) -> Option<Seen> {
        self.sim.surface.watch();
        let seen = self.make(thread, op);
        self.sim.surface.look_away();
        seen
    }

    fn make(&mut self, thread: ThreadId, op: &Op) -> Option<Seen> {
        let frame = self.threads[thread].0;
        match op {
            Op::Message(request) => {
                let request = self.place_body(thread, request);
                let reply = self.sim.on(frame).start_message(&request)?;
                return Some(Seen::Message(self.take_body(frame, reply)));
            }
            Op::Futex(op) => return self.futex(thread, *op),
            Op::Time(op) => return self.time(thread, *op),
            Op::Itself(op) => return self.itself(thread, *op),
            Op::Vm(op) => return Some(self.vm(thread, op)),
            Op::Object(op) => return self.object(thread, *op),
            Op::Pager(name, op) => return Some(self.pager_call(thread, (*name, *op))),
            Op::VmCall(name, _, op) => return Some(self.vm_call(thread, (*name, *op))),
            Op::Entry(op) => return Some(self.entry(thread, *op)),
            Op::Semaphore(op) => return self.semaphore(thread, op),
            Op::Host(hand, op) => return Some(self.host_call(thread, (*hand, *op))),
            Op::Clock(name, op) => return Some(self.clock_call(thread, (*name, *op))),
            Op::Policy(name, subject, op) => {
                return Some(self.policy_call(thread, (*name, *subject, op)));
            }
            Op::Ports(name, of, op) => return self.ports(thread, (*name, *of, op)),
            Op::Task(name, subject, op) => {
                return Some(self.task_call(thread, (*name, *subject, *op)));
            }
            Op::Machine(hand, op) => return Some(self.machine_call(thread, (*hand, *op))),
            Op::Processor(name, op) => return Some(self.processor_call(thread, (*name, *op))),
            Op::Line(op) => return Some(self.line(thread, *op)),
            Op::Range(op) => return Some(self.range(thread, *op)),
            Op::Ask(name, subject, op) => return Some(self.ask(thread, (*name, *subject, *op))),
            Op::State(name, of, op) => return Some(self.state_call(thread, (*name, *of, *op))),
            Op::Kept(op) => return Some(self.kept(thread, op)),
            Op::Handler(level, op) => return Some(self.handler(thread, *level, op)),
            Op::Personality { entry } => return Some(self.personality(thread, *entry)),
            Op::Raise(trouble, _) => return self.raise(thread, *trouble),
            Op::Terminate { name } => return self.terminate(thread, *name),
            Op::Control(name, subject, op) => return self.control(thread, (*name, *subject, op)),
            _ => {}
        }
        let (number, arguments) = match op {
            Op::Exit(Subject::Task(_)) => (trap::TASK_EXIT, Vec::new()),
            Op::Exit(Subject::Thread(_)) => (trap::THREAD_EXIT, Vec::new()),
            Op::Timer(op) => timer::registers(*op),
            Op::Buffer(op) => buffer::registers(frame, *op),
            op => registers(op),
        };
        let answer = self.sim.on(frame).start(number, &arguments)?;
        Some(calls::seen(&answer))
    }

    /// Whether a trap that is done may be its thread's end.
    pub(super) fn is_last(&self, thread: ThreadId, op: &Op) -> bool {
        let mut model = self.model.clone();
        let done = Seen::Trap(KernReturn::Success, 0);
        model.step(thread, op, Some(&done)).is_ok() && model.has_ended(thread)
    }

    /// Waits for a trap of a thread.
    fn finish(&mut self, frame: FrameIndex) -> Seen {
        let answer = self.sim.on(frame).finish();
        self.seen(frame, &answer)
    }

    fn seen(&mut self, frame: FrameIndex, answer: &Answer) -> Seen {
        if answer.number != trap::MACH_MSG {
            return calls::seen(answer);
        }
        let reply = self.sim.on(frame).reply(answer);
        Seen::Message(self.take_body(frame, reply))
    }

    /// Lets every thread come back that must, and sees that no other does.
    pub(super) fn settle(&mut self) -> Verdict {
        let mut lines = Vec::new();
        let verdict = self.pump(&mut lines);
        // Whether a thread comes back before its task ends, and who of several does first, is the scheduler's business.
        lines.retain(|(thread, _)| !self.model.has_ended(*thread));
        let mut lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
        lines.sort();
        self.outcome.transcript.append(&mut lines);
        verdict
    }

    fn pump(&mut self, lines: &mut Vec<(ThreadId, String)>) -> Verdict {
        for _ in 0..PATIENCE {
            if self.model.take_unsettled() {
                self.rest();
            }
            let mut back = Vec::new();
            for thread in 0..self.threads.len() {
                let quiet = self.model.is_in_user_mode(thread) || self.model.has_ended(thread);
                if quiet || self.model.is_depressed(thread) {
                    continue;
                }
                let seen = match self.model.is_answered_stopped(thread) {
                    _ if self.model.is_paging(thread) => self.tries_again(thread, &mut back),
                    true => self.held_answer(thread),
                    false => self.comes_back(thread),
                };
                let Some(seen) = seen else {
                    continue;
                };
                if let Some(call) = self.waiting.remove(&thread) {
                    self.count_rows(tally::late(&call, &seen));
                    self.count(call, Some(&seen));
                }
                self.history
                    .push(format!("thread {thread} comes back: {seen:x?}"));
                lines.push((thread, format!("{thread}: {}", outline(Some(&seen)))));
                back.push((thread, seen));
            }
            self.complete(back)?;
            self.release_held()?;
            if self.model.is_unsettled() {
                continue;
            }
            if self.model.due().is_none() && !self.is_coming() {
                return Ok(());
            }
            if !self.sim.turn() {
                break;
            }
        }
        Err(format!(
            "thread {:?} waits, though what it waits for is there",
            self.model.due()
        ))
    }

    fn comes_back(&mut self, thread: ThreadId) -> Option<Seen> {
        if self.model.is_excepted(thread) {
            return self.running(thread);
        }
        let frame = self.threads[thread].0;
        let answer = self.sim.take_answer(frame)?;
        Some(self.seen(frame, &answer))
    }

    /// Threads came back. Which of them was first does not show: what one got may follow from what another one did.
    fn complete(&mut self, mut back: Vec<(ThreadId, Seen)>) -> Verdict {
        self.complete_some(&mut back)
    }

    /// The same, of those whose turn it may have been: the others stay, and why the first of them has to.
    pub(super) fn complete_some(&mut self, back: &mut Vec<(ThreadId, Seen)>) -> Verdict {
        while !back.is_empty() {
            let mut refused = Ok(());
            let next = back.iter().position(|(thread, seen)| {
                let mut model = self.model.clone();
                match model.complete(*thread, seen) {
                    Ok(()) => {
                        self.model = model;
                        true
                    }
                    Err(why) => {
                        refused = refused.clone().and(Err(why));
                        false
                    }
                }
            });
            match next {
                Some(next) => drop(back.remove(next)),
                None => return refused,
            }
        }
        Ok(())
    }

    /// Compares all names, counts and attributes.
    pub(super) fn audit(&mut self) -> Verdict {
        for thread in 0..self.threads.len() {
            let task = self.threads[thread].1;
            if !self.model.may_act(thread) {
                continue;
            }
            let (live, past) = self.model.names(task);
            let live_receive: Vec<Name> = live
                .iter()
                .copied()
                .filter(|name| self.model.bits(task, *name) & port_type::RECEIVE != 0)
                .collect();
            let spared = self.model.spared(task);
            for name in live.iter().chain(&past).chain(&spared) {
                self.perform(thread, &Op::Type { name: *name })?;
            }
            for name in live.into_iter().chain(spared) {
                for right in 0..right::NUMBER {
                    self.perform(thread, &Op::Refs { name, right })?;
                }
            }
            for name in live_receive {
                for attribute in trap::attribute::QUEUE_LIMIT..=trap::attribute::LABEL {
                    self.perform(thread, &Op::Attribute { name, attribute })?;
                }
            }
            self.audit_window(thread)?;
            self.audit_objects(thread)?;
        }
        Ok(())
    }
}

/// A trap's number and arguments.
fn registers(op: &Op) -> (i64, Vec<u64>) {
    let name = |name: &Name| u64::from(name.0);
    match op {
        Op::Allocate { right } => (trap::PORT_ALLOCATE, vec![(*right).into()]),
        Op::Construct {
            flags,
            limit,
            label,
            guard,
        } => (trap::PORT_CONSTRUCT, vec![*flags, *limit, *label, *guard]),
        Op::AllocateName { right, name: of } => {
            (trap::PORT_ALLOCATE_NAME, vec![(*right).into(), name(of)])
        }
        Op::Destruct {
            name: of,
            delta,
            guard,
        } => (trap::PORT_DESTRUCT, vec![name(of), *delta as u64, *guard]),
        Op::Destroy { name: of } => (trap::PORT_DESTROY, vec![name(of)]),
        Op::Deallocate { name: of } => (trap::PORT_DEALLOCATE, vec![name(of)]),
        Op::ModRefs {
            name: of,
            right,
            delta,
        } => (
            trap::PORT_MOD_REFS,
            vec![name(of), (*right).into(), *delta as u64],
        ),
        Op::Refs { name: of, right } => (trap::PORT_GET_REFS, vec![name(of), (*right).into()]),
        Op::Type { name: of } => (trap::PORT_TYPE, vec![name(of)]),
        Op::InsertRight {
            name: of,
            right,
            disposition,
        } => (
            trap::PORT_INSERT_RIGHT,
            vec![name(of), name(right), (*disposition).into()],
        ),
        Op::Attribute {
            name: of,
            attribute,
        } => (trap::PORT_GET_ATTRIBUTE, vec![name(of), *attribute]),
        Op::SetAttribute {
            name: of,
            attribute,
            value,
        } => (trap::PORT_SET_ATTRIBUTE, vec![name(of), *attribute, *value]),
        Op::SetLabel { name: of, label } => (trap::PORT_SET_LABEL, vec![name(of), *label]),
        Op::Notify {
            name: of,
            id,
            sync,
            to,
        } => (
            trap::PORT_REQUEST_NOTIFICATION,
            vec![name(of), *id as u64, *sync, name(to)],
        ),
        Op::TakeSlot => (trap::REPLY_SLOT_TAKE, Vec::new()),
        Op::Guard { .. } | Op::Unguard { .. } | Op::SwapGuard { .. } => guard_registers(op),
        Op::MoveMember { member, set }
        | Op::InsertMember { member, set }
        | Op::ExtractMember { member, set } => (member_trap(op), vec![name(member), name(set)]),
        op => unreachable!("no trap on names: {op:?}"),
    }
}

fn member_trap(op: &Op) -> i64 {
    match op {
        Op::MoveMember { .. } => trap::PORT_MOVE_MEMBER,
        Op::InsertMember { .. } => trap::PORT_INSERT_MEMBER,
        _ => trap::PORT_EXTRACT_MEMBER,
    }
}

fn guard_registers(op: &Op) -> (i64, Vec<u64>) {
    let name = |name: &Name| u64::from(name.0);
    match op {
        Op::Guard {
            name: of,
            guard,
            strict,
        } => (trap::PORT_GUARD, vec![name(of), *guard, *strict]),
        Op::Unguard { name: of, guard } => (trap::PORT_UNGUARD, vec![name(of), *guard]),
        Op::SwapGuard { name: of, old, new } => (trap::PORT_SWAP_GUARD, vec![name(of), *old, *new]),
        _ => unreachable!("no operation on a guard: {op:?}"),
    }
}

/// What was seen, without names: those may differ between two runs of one program.
fn outline(seen: Option<&Seen>) -> String {
    match seen {
        None => "waits".into(),
        Some(Seen::Running(_)) => "runs".into(),
        Some(Seen::Told(words)) => format!("{} words", words.len()),
        Some(Seen::Excepted(answer, _)) => format!("excepted behind {}", outline(Some(answer))),
        Some(Seen::Trap(code, _)) => format!("{code:?}"),
        Some(Seen::Handler { mask, form, .. }) => format!("{mask:#x} {form:x?}"),
        Some(Seen::Message(reply)) => {
            let shape = (reply.shape.size(), reply.shape.descriptors());
            // Where a failure leaves what was asked for, a name may be in the id's place.
            let id = Some(reply.id).filter(|_| reply.code == MessageReturn::Success);
            format!("{:?} {id:?} {shape:?} {:?}", reply.code, reply.kind)
        }
    }
}
