//! Hostile traps: the attackers, their lives and deaths, and what must hold meanwhile.

mod powers;
mod witness;

use std::collections::BTreeMap;

use abi::message::MIN_BUFFER;
use abi::names::disposition::{COPY_SEND, MAKE_SEND};
use abi::names::port_type;
use abi::transport::{Interface, REPLY_OFFSET};
use abi::trap::WAIT_UNTIL;
use fuzz::{Answer, BODY_SIZE, Care, Generator, Step, Terrain};
use interfaces::echo::Echo;
use interfaces::thread::Thread;
use microkernel::base::ids::TaskId;
use microkernel::kernel::Census;
use microkernel::machine::{Cpu, Event, FrameIndex, NEVER};

use crate::image;
use crate::sim::{Config, Sim};
use crate::user::buffer_address;
use powers::Powers;
use witness::Witness;

/// How many tasks attack at a time.
const ATTACKERS: usize = 3;
/// After so many traps a task is ended, whatever it does.
const LIFE: u64 = 2_000;
/// So many traps pass between two checks of the whole kernel.
const AUDIT: u64 = 256;
/// So many events without a trap mean that everybody waits for ever.
const PATIENCE: u32 = 200;

/// What came of a campaign.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// By trap number: how often it succeeded and failed.
    pub answers: BTreeMap<i64, (u64, u64)>,
    /// By request id: how often a call was answered with success, and with a code.
    pub calls: BTreeMap<i32, (u64, u64)>,
    /// Calls that the witness made.
    pub witnessed: u64,
    /// Tasks that lived and died.
    pub lives: u64,
    /// Tasks without threads that only a message to themselves led to.
    pub circles: u64,
}

impl Report {
    /// Adds another campaign's.
    pub fn add(&mut self, other: &Self) {
        let tally = |sum: &mut (u64, u64), more: &(u64, u64)| {
            sum.0 += more.0;
            sum.1 += more.1;
        };
        for (number, more) in &other.answers {
            tally(self.answers.entry(*number).or_default(), more);
        }
        for (id, more) in &other.calls {
            tally(self.calls.entry(*id).or_default(), more);
        }
        self.witnessed += other.witnessed;
        self.lives += other.lives;
        self.circles += other.circles;
    }
}

/// One thread that attacks.
struct Attacker {
    thread: FrameIndex,
    task: TaskId,
    generator: Generator,
    pending: Option<Step>,
    age: u64,
}

/// A machine under attack.
pub struct Campaign {
    sim: Sim,
    witness: Witness,
    attackers: Vec<Attacker>,
    report: Report,
    seed: u64,
    made: u64,
    /// The tasks that are there without attackers.
    natives: Vec<TaskId>,
    powers: Powers,
    baseline: Baseline,
}

/// What must be the same again when all attackers are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Baseline {
    census: Census,
    pages: u64,
    spaces: usize,
}

impl Baseline {
    fn of(sim: &Sim) -> Self {
        Self {
            census: sim.kernel.census(),
            pages: sim.machine.memory.in_use(),
            spaces: sim.machine.spaces.len(),
        }
    }
}

impl Campaign {
    /// A machine with a witness, not yet under attack.
    ///
    /// # Panics
    /// When the kernel breaks a rule; so for all functions here.
    pub fn boot(config: Config) -> Self {
        let mut sim = Sim::boot(config);
        let first = sim.first();
        let mut witness = Witness::new(&mut sim);
        // The first thread sleeps: it is nobody's business here.
        let cpu = sim.until_runs(first);
        let powers = Powers::of(&mut sim, cpu);
        sim.trap(cpu, WAIT_UNTIL, &[NEVER]);
        witness.rest(&mut sim);
        Self {
            natives: sim.kernel.task_ids().collect(),
            baseline: Baseline::of(&sim),
            powers,
            sim,
            witness,
            attackers: Vec::new(),
            report: Report::default(),
            seed: config.seed,
            made: 0,
        }
    }

    /// Makes so many hostile traps.
    pub fn run(&mut self, traps: u64) {
        let mut idle = 0;
        let mut audited = 0;
        while self.made < traps {
            self.populate();
            let before = self.made;
            self.turn();
            idle = if self.made == before { idle + 1 } else { 0 };
            if idle > PATIENCE {
                // All who attack wait for ever: they are ended, as a supervisor would.
                self.end_attackers();
                idle = 0;
            }
            if self.made - audited >= AUDIT {
                audited = self.made;
                self.audit();
            }
        }
    }

    /// Ends all attackers: nothing of them may be left.
    pub fn end(mut self) -> Report {
        self.end_attackers();
        self.report.witnessed = self.witness.calls;
        self.report
    }

    fn audit(&mut self) {
        if let Err(broken) = self.sim.kernel.check(&self.sim.machine) {
            panic!("after {} traps: {broken}", self.made);
        }
    }

    /// Replaces attackers that are gone.
    fn populate(&mut self) {
        let alive: Vec<TaskId> = self.sim.kernel.task_ids().collect();
        self.attackers
            .retain(|attacker| alive.contains(&attacker.task));
        // What the dead have sent to the living is still theirs, and their ledgers with it.
        let ledgers = self.sim.kernel.census().ledgers - self.baseline.census.ledgers;
        if ledgers as usize > 2 * ATTACKERS {
            self.end_attackers();
        }
        while self.attackers.len() < 2 * ATTACKERS {
            let thread = self.sim.add_task();
            let second = self.sim.add_thread(thread);
            self.enlist(thread);
            self.enlist(second);
        }
    }

    fn enlist(&mut self, thread: FrameIndex) {
        self.report.lives += 1;
        let seed = (self.seed << 32) + self.report.lives;
        let terrain = Terrain {
            buffer: buffer_address(thread),
            stack: image::DATA + 0x1000,
            code: image::CODE,
            read_only: image::DATA + 0x3_0000,
            unmapped: 0x7000_0000_0000,
        };
        let mut generator = Generator::new(seed, terrain, Care::None);
        let service = self.witness.right_for(&mut self.sim, thread);
        let Generator { pool, rng, .. } = &mut generator;
        pool.add_service(service, <dyn Echo>::NAME, rng);
        let task = self.sim.task_of(thread);
        if self.sim.rng.one_in(3) {
            self.powers.give_one(&mut self.sim, task, &mut generator);
        }
        let Generator { pool, rng, .. } = &mut generator;
        for other in &self.attackers {
            let name = other.generator.pool.name(u32::MAX, rng);
            pool.add_foreign(name, rng);
            // And a right to what it has, if it can be: they bother each other.
            let from = (other.task, name, rng.pick(&[COPY_SEND, MAKE_SEND]));
            let given = self
                .sim
                .kernel
                .stage_right(&mut self.sim.machine, from, task);
            pool.add(given.unwrap_or_default(), port_type::SEND, rng);
        }
        generator.open(self.sim.on(thread).port());
        self.attackers.push(Attacker {
            thread,
            task,
            generator,
            pending: None,
            age: 0,
        });
        let last = self.attackers.len() - 1;
        for other in 0..last {
            self.introduce(last, other);
            self.introduce(other, last);
        }
    }

    /// One attacker may call another one.
    fn introduce(&mut self, caller: usize, called: usize) {
        let Attacker {
            task, generator, ..
        } = &self.attackers[called];
        let right = (*task, generator.door(), MAKE_SEND);
        let to = self.attackers[caller].task;
        let Sim {
            kernel, machine, ..
        } = &mut self.sim;
        // Its port may be gone.
        if let Ok(name) = kernel.stage_right(machine, right, to) {
            self.attackers[caller].generator.know(name);
        }
    }

    /// One event of the machine, or one trap of a thread.
    fn turn(&mut self) {
        let mut busy: Vec<Cpu> = self.sim.machine.cpus().collect();
        busy.retain(|cpu| self.sim.machine.running(*cpu).is_some());
        if busy.is_empty() || self.sim.rng.one_in(8) {
            let pause = self.sim.rng.below(30_000) as u64;
            self.sim.machine.advance(pause);
            if !self.sim.deliver() && busy.is_empty() {
                self.sim.turn();
            }
            return;
        }
        let cpu = self.sim.rng.pick(&busy);
        let thread = self.sim.current(cpu);
        if self.witness.has(thread) {
            return self.witness.step(&mut self.sim, thread);
        }
        match self.attackers.iter().position(|own| own.thread == thread) {
            Some(n) => self.attack(cpu, n),
            // A thread that an attacker made.
            None => drop(self.sim.trap(cpu, WAIT_UNTIL, &[NEVER])),
        }
    }

    fn attack(&mut self, cpu: Cpu, n: usize) {
        let thread = self.attackers[n].thread;
        self.harvest(cpu, n);
        if self.sim.machine.running(cpu) != Some(thread) {
            return;
        }
        if self.attackers[n].age > LIFE {
            return self.end_attackers();
        }
        let now = self.sim.now();
        let generator = &mut self.attackers[n].generator;
        generator.tell_time(now);
        let step = generator.step();
        if let (Some(body), Some(buffer)) = (&step.body, generator.buffer()) {
            let mut bytes = [0; BODY_SIZE];
            let size = body.write(&mut bytes);
            let written = self.sim.write(cpu, buffer, &bytes[..size]);
            // The memory may be gone: then the task is too, or the thread waits for its handler.
            if written.is_err() {
                return;
            }
        }
        self.beware(&step);
        let frame = self.sim.machine.registers(thread);
        frame.rax = step.registers.number as u64;
        [frame.rdi, frame.rsi, frame.rdx, frame.r10] = step.registers.arguments;
        frame.words = step.registers.words;
        self.made += 1;
        let attacker = &mut self.attackers[n];
        attacker.age += 1;
        attacker.pending = Some(step);
        self.sim.event(cpu, Event::Trap);
    }

    /// What a request may do to other threads' registers.
    fn beware(&mut self, step: &Step) {
        let id = (step.registers.arguments[2] >> 32) as i32;
        if !step.is_message() || id != <dyn Thread>::SET_STATE.id {
            return;
        }
        for attacker in &self.attackers {
            if self.sim.cpu_of(attacker.thread).is_none() {
                self.sim.expect_other_registers(attacker.thread);
            }
        }
    }

    /// Takes in what the last trap of an attacker, which runs again, gave.
    fn harvest(&mut self, cpu: Cpu, n: usize) {
        let thread = self.attackers[n].thread;
        let Some(step) = self.attackers[n].pending.take() else {
            return;
        };
        let Some(answer) = self.sim.take_answer(thread) else {
            return;
        };
        let frame = answer.frame;
        let answer = Answer {
            code: frame.rax as u32,
            results: [frame.rdi, frame.rsi, frame.rdx, frame.r10],
        };
        let tally = self
            .report
            .answers
            .entry(step.registers.number)
            .or_default();
        match answer.code {
            0 => tally.0 += 1,
            _ => tally.1 += 1,
        }
        self.note_call(&step, &answer, frame.words[0]);
        let mut buffer = vec![0; MIN_BUFFER as usize];
        let generator = &mut self.attackers[n].generator;
        if let Some(at) = generator.buffer()
            && step.is_message()
            && self.sim.read(cpu, at, &mut buffer).is_err()
        {
            return;
        }
        generator.learn(&step, &answer, &buffer);
    }

    /// Counts a request that was answered; `word` is the reply's code.
    fn note_call(&mut self, step: &Step, answer: &Answer, word: u64) {
        let asked = (step.registers.arguments[2] >> 32) as i32;
        let answered = answer.results[2] as i32;
        if step.is_message() && answer.code == 0 && answered == asked.wrapping_add(REPLY_OFFSET) {
            let tally = self.report.calls.entry(asked).or_default();
            match word {
                0 => tally.0 += 1,
                _ => tally.1 += 1,
            }
        }
    }

    /// Ends the attackers' tasks, and those of their children that have threads; the others end by themselves.
    /// Compares what is left with what there was.
    fn end_attackers(&mut self) {
        let attackers: Vec<TaskId> = self.attackers.drain(..).map(|own| own.task).collect();
        self.end_tasks(&attackers);
        let mut runners = self.strangers();
        runners.retain(|task| self.sim.kernel.awake_threads(*task) > 0);
        self.end_tasks(&runners);
        // Who is left holds a right to itself in a message that nobody will receive.
        let circles = self.strangers();
        self.report.circles += circles.len() as u64;
        self.end_tasks(&circles);
        self.audit();
        let now = Baseline::of(&self.sim);
        assert_eq!(
            now, self.baseline,
            "after {} traps: now, and at the start",
            self.made
        );
    }

    /// The tasks that came with the attackers.
    fn strangers(&self) -> Vec<TaskId> {
        let mut tasks: Vec<TaskId> = self.sim.kernel.task_ids().collect();
        tasks.retain(|task| !self.natives.contains(task));
        tasks
    }

    fn end_tasks(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            self.sim
                .kernel
                .stage_termination(&mut self.sim.machine, *task);
        }
        for cpu in self.sim.machine.cpus() {
            self.sim.event(cpu, Event::Kick);
        }
        self.witness.rest(&mut self.sim);
    }
}
