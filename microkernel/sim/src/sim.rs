//! [`Sim`]: kernel and machine together, and the threads whose part the test plays.
//!
//! A thread is in user mode when a CPU runs it, or when it was preempted there. It is in a trap from
//! [`Sim::trap`] until the kernel answers with `Next::Run` of that thread, on whatever CPU; its answer
//! then waits in [`Sim::take_answer`]. While a thread is in user mode its registers do not change, and a
//! trap changes none that the trap ABI does not name: both are checked each time a thread resumes.

use std::collections::BTreeMap;

use abi::trap::MACH_MSG;
use abi::vm::MAX_ADDRESS;
use microkernel::base::ids::TaskId;
use microkernel::kernel::{Boot, Kernel, Variables};
use microkernel::machine::{Access, Cpu, Event, Frame, FrameIndex, NEVER, Next, Resume};

use crate::image;
use crate::machine::{SimMachine, Size};
use crate::rng::Rng;
use crate::surface::Surface;

/// How often an access faults before the test gives up: a fault that is repaired happens once, one that
/// is in a copy-on-write page twice, a stale right in a cache adds one.
const MAX_FAULTS: u32 = 8;

/// How many events a wait for something that must happen takes at most, and how many steps a trap.
const PATIENCE: u32 = 10_000;

/// What the first task finds in its environment.
pub const VARIABLE: &str = "machine=simulated";

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The machine.
    pub size: Size,
    /// Whether messages may take the fast path.
    pub path: Path,
    /// Where the schedule comes from.
    pub seed: u64,
}

/// Whether messages may take the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// They may.
    Fast,
    /// They are all queued.
    Slow,
}

impl Path {
    /// That of tests that do not choose one: fast, unless the variable `SIM_PATH` of the environment is `slow`.
    fn chosen() -> Self {
        match std::env::var_os("SIM_PATH") {
            Some(path) if path == "slow" => Self::Slow,
            _ => Self::Fast,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            size: Size::default(),
            path: Path::chosen(),
            seed: 1,
        }
    }
}

impl Config {
    /// The default, with another number of CPUs.
    pub fn with_cpus(cpus: u32) -> Self {
        let size = Size {
            cpus,
            ..Size::default()
        };
        Self {
            size,
            ..Self::default()
        }
    }
}

/// What a trap answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The number of the trap.
    pub number: i64,
    /// All registers after it.
    pub frame: Frame,
}

impl Answer {
    /// Whether a program cannot tell two answers apart.
    pub fn is_as(&self, other: &Self) -> bool {
        self.number == other.number && user_frame(&self.frame) == user_frame(&other.frame)
    }
}

/// An access to user memory that did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faulted {
    /// The address.
    pub address: u64,
}

/// What a thread was doing when it was last seen.
#[derive(Clone, Copy, Debug)]
enum Doing {
    /// In user mode, with these registers when it does not run.
    User(Frame),
    /// In a trap, which it entered with these registers.
    Trap(Frame),
    /// Stopped by a fault or an exception, whose handler may set its registers.
    Stopped,
}

#[derive(Clone, Copy, Debug)]
struct Thread {
    doing: Doing,
    answer: Option<Answer>,
}

/// Kernel and machine.
pub struct Sim {
    /// The machine.
    pub machine: SimMachine,
    /// The kernel.
    pub kernel: Kernel,
    /// Decides the schedule.
    pub rng: Rng,
    /// How often a CPU let the lock go in the middle of its work.
    pub pauses: u64,
    /// What was done of traps and calls.
    pub(crate) surface: Surface,
    threads: BTreeMap<FrameIndex, Thread>,
    /// Threads that were made beside the first one, and their tasks.
    pub(crate) tasks: BTreeMap<FrameIndex, TaskId>,
}

impl Sim {
    /// A machine that has booted: the first task's only thread runs on CPU 0, the others are online.
    ///
    /// # Panics
    /// When the kernel does not start.
    pub fn boot(config: Config) -> Self {
        let mut machine = SimMachine::new(config.size);
        let mut variables = Variables::NONE;
        assert_eq!(variables.push(VARIABLE), Ok(()));
        let boot = Boot {
            image: machine.memory.place(&image::standard()),
            archive: machine.memory.place(b"archive"),
            cpus: config.size.cpus,
            fast_path: config.path == Path::Fast,
            trace_events: 1024,
            variables,
        };
        let kernel = match Kernel::new(&mut machine, &boot) {
            Ok(kernel) => kernel,
            Err(error) => panic!("the kernel does not start: {error:?}"),
        };
        let mut sim = Self {
            machine,
            kernel,
            rng: Rng::new(config.seed),
            pauses: 0,
            surface: Surface::default(),
            threads: BTreeMap::new(),
            tasks: BTreeMap::new(),
        };
        for cpu in sim.machine.cpus() {
            sim.event(cpu, Event::Online);
        }
        assert!(
            sim.machine.running(Cpu(0)).is_some(),
            "nothing runs after the start"
        );
        sim
    }

    /// One CPU, and the first task's thread with its message buffer.
    ///
    /// # Panics
    /// When the kernel does not start.
    pub fn single() -> (Self, FrameIndex) {
        let mut sim = Self::boot(Config::default());
        let first = sim.first();
        sim.on(first).register_buffer();
        (sim, first)
    }

    /// Gives the kernel an event of a CPU and follows its answer.
    ///
    /// # Panics
    /// When a thread resumes with registers that it should not have.
    pub fn event(&mut self, cpu: Cpu, event: Event) -> Next {
        let next = self.event_steps(cpu, event, PATIENCE);
        assert_ne!(
            next,
            Next::Continue,
            "{cpu:?} works on {event:?} without end"
        );
        next
    }

    /// As [`event`](Self::event), but looks at a number of steps only. After [`Next::Continue`] the CPU is still in the
    /// kernel, and goes on with [`Event::Continue`].
    ///
    /// # Panics
    /// As [`event`](Self::event).
    pub fn event_steps(&mut self, cpu: Cpu, event: Event, steps: u32) -> Next {
        self.note_departure(cpu, event);
        let mut event = event;
        for _ in 0..steps {
            self.machine.enter(cpu);
            let next = self.kernel.handle(&mut self.machine, cpu, event);
            for thread in self.machine.take_created() {
                self.threads.remove(&thread);
            }
            self.machine.leave(cpu, next);
            assert_eq!(
                self.kernel.check_schedule(),
                Ok(()),
                "after {event:?} of {cpu:?}"
            );
            match next {
                Next::Run(thread) | Next::Pass(thread) => self.note_arrival(thread),
                Next::Idle => {}
                Next::Continue => {
                    event = Event::Continue;
                    self.pauses += 1;
                    self.meanwhile(cpu);
                    continue;
                }
            }
            return next;
        }
        Next::Continue
    }

    /// Between two steps of a CPU's work the lock is free: now and then another CPU takes it.
    fn meanwhile(&mut self, cpu: Cpu) {
        let others: Vec<Cpu> = self.machine.cpus().filter(|other| *other != cpu).collect();
        if others.is_empty() || !self.rng.one_in(4) {
            return;
        }
        let other = self.rng.pick(&others);
        if self.machine.take_kick(other) {
            self.event(other, Event::Kick);
        } else if self.machine.take_due_timer(other) {
            self.event(other, Event::Timer);
        }
    }

    /// The thread that a CPU runs traps.
    ///
    /// `Some` when it came back at once. `None` when it waits, was preempted, or is gone: the CPU does
    /// something else now, and the answer comes with [`take_answer`](Self::take_answer).
    ///
    /// # Panics
    /// When the CPU runs no thread.
    pub fn trap(&mut self, cpu: Cpu, number: i64, arguments: &[u64]) -> Option<Answer> {
        self.load_trap(cpu, number, arguments);
        self.enter_trap(cpu)
    }

    /// Puts a trap's number and arguments into the registers of the thread that a CPU runs.
    ///
    /// # Panics
    /// When the CPU runs no thread.
    pub fn load_trap(&mut self, cpu: Cpu, number: i64, arguments: &[u64]) {
        let thread = self.current(cpu);
        let frame = self.machine.registers(thread);
        frame.rax = number as u64;
        let slots: [&mut u64; 6] = {
            let [r8, r9, ..] = &mut frame.words;
            [
                &mut frame.rdi,
                &mut frame.rsi,
                &mut frame.rdx,
                &mut frame.r10,
                r8,
                r9,
            ]
        };
        for (slot, argument) in slots.into_iter().zip(arguments) {
            *slot = *argument;
        }
    }

    /// As [`trap`](Self::trap), with the registers that were set by hand.
    ///
    /// # Panics
    /// As [`trap`](Self::trap).
    pub fn enter_trap(&mut self, cpu: Cpu) -> Option<Answer> {
        let thread = self.current(cpu);
        self.event(cpu, Event::Trap);
        if self.machine.running(cpu) == Some(thread) {
            return self.take_answer(thread);
        }
        None
    }

    /// Nanoseconds since boot.
    pub fn now(&mut self) -> u64 {
        microkernel::machine::Machine::now(&mut self.machine)
    }

    /// The answer of a trap that came back since, once.
    pub fn take_answer(&mut self, thread: FrameIndex) -> Option<Answer> {
        self.threads.get_mut(&thread)?.answer.take()
    }

    /// The answer of a trap that is over, while the thread is kept from coming back with it.
    pub fn held_answer(&mut self, thread: FrameIndex) -> Option<Answer> {
        let Doing::Trap(before) = self.threads.get(&thread)?.doing else {
            return None;
        };
        let frame = *self.machine.registers(thread);
        let number = before.rax as i64;
        // No code is a trap's number.
        (frame.rax != before.rax).then_some(Answer { number, frame })
    }

    /// Whether the thread is in user mode, running or preempted.
    pub fn is_in_user_mode(&self, thread: FrameIndex) -> bool {
        self.threads
            .get(&thread)
            .is_some_and(|thread| matches!(thread.doing, Doing::User(_)))
    }

    /// Somebody set a thread's registers: it comes back with others than it left with.
    pub fn registers_were_set(&mut self, thread: FrameIndex) {
        self.threads.remove(&thread);
    }

    /// The thread that a CPU runs.
    ///
    /// # Panics
    /// When it is idle.
    pub fn current(&self, cpu: Cpu) -> FrameIndex {
        match self.machine.running(cpu) {
            Some(thread) => thread,
            None => panic!("{cpu:?} is idle"),
        }
    }

    /// The CPU that runs a thread.
    pub fn cpu_of(&self, thread: FrameIndex) -> Option<Cpu> {
        self.machine
            .cpus()
            .find(|cpu| self.machine.running(*cpu) == Some(thread))
    }

    /// Preempts, lets timers go off and CPUs look around until a CPU runs the thread.
    ///
    /// # Panics
    /// When that never happens: the thread waits, or its wake-up was lost.
    pub fn until_runs(&mut self, thread: FrameIndex) -> Cpu {
        for _ in 0..PATIENCE {
            if let Some(cpu) = self.cpu_of(thread) {
                return cpu;
            }
            if !self.turn() {
                break;
            }
        }
        panic!(
            "thread {thread} does not get to run; it is {:?}",
            self.threads.get(&thread)
        );
    }

    /// Something that hardware does on its own: a kick, an interrupt, or the next timer. `false` when
    /// nothing will ever happen.
    pub fn turn(&mut self) -> bool {
        if self.deliver() {
            return true;
        }
        let next = self.machine.next_timer();
        if next == NEVER {
            return false;
        }
        let now = self.now();
        self.machine.advance(next.saturating_sub(now));
        self.deliver()
    }

    /// Delivers one kick, interrupt or timer that is due, to a CPU that the seed chooses.
    pub fn deliver(&mut self) -> bool {
        let cpus: Vec<Cpu> = self.machine.cpus().collect();
        let first = self.rng.below(cpus.len());
        for n in 0..cpus.len() {
            let cpu = cpus[(first + n) % cpus.len()];
            let event = if self.machine.take_kick(cpu) {
                Event::Kick
            } else if self.machine.take_due_timer(cpu) {
                Event::Timer
            } else if let Some(line) = self.machine.take_interrupt() {
                Event::Interrupt { line }
            } else {
                continue;
            };
            self.event(cpu, event);
            return true;
        }
        false
    }

    /// The thread that a CPU runs reads its memory.
    ///
    /// # Errors
    /// [`Faulted`]: the access did not happen; the thread waits for somebody or is gone.
    pub fn read(&mut self, cpu: Cpu, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let page = self.reach(cpu, at, Access::Read)?;
            let (offset, length) = within_page(at, bytes.len() - done);
            let content = self.machine.memory.content(page);
            bytes[done..done + length].copy_from_slice(&content[offset..offset + length]);
            done += length;
        }
        Ok(())
    }

    /// The thread that a CPU runs writes its memory.
    ///
    /// # Errors
    /// As [`read`](Self::read); what precedes the address was written.
    pub fn write(&mut self, cpu: Cpu, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let page = self.reach(cpu, at, Access::Write)?;
            let (offset, length) = within_page(at, bytes.len() - done);
            let content = self.machine.memory.content_mut(page);
            content[offset..offset + length].copy_from_slice(&bytes[done..done + length]);
            done += length;
        }
        Ok(())
    }

    /// The page behind an address, after as many faults as that takes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// When the kernel resumes the thread again and again without repairing anything.
    pub fn reach(
        &mut self,
        cpu: Cpu,
        address: u64,
        access: Access,
    ) -> Result<microkernel::machine::Page, Faulted> {
        let thread = self.current(cpu);
        for _ in 0..MAX_FAULTS {
            if address < MAX_ADDRESS
                && let Some(page) = self.machine.translate(cpu, address, access)
            {
                return Ok(page);
            }
            self.event(cpu, Event::Fault { address, access });
            if self.machine.running(cpu) != Some(thread) {
                return Err(Faulted { address });
            }
        }
        panic!("{access:?} of {address:#x} faults for ever");
    }

    /// Somebody may set the registers of a thread that stands still: the next time that it resumes, they
    /// are not compared, and what it waits for gives no answer.
    pub fn expect_other_registers(&mut self, thread: FrameIndex) {
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.doing = Doing::Stopped;
        }
    }

    /// A CPU's thread leaves user mode: what its registers are.
    fn note_departure(&mut self, cpu: Cpu, event: Event) {
        let Some(thread) = self.machine.running(cpu) else {
            return;
        };
        let frame = self.machine.registers(thread);
        frame.resume = if event == Event::Trap {
            Resume::Trap
        } else {
            Resume::Full
        };
        let doing = match event {
            // What is no trap of Mach's is an exception, or goes on elsewhere.
            Event::Trap if frame.rax as i64 >= 0 => Doing::Stopped,
            Event::Trap => {
                self.surface.begin(thread, frame);
                Doing::Trap(*frame)
            }
            Event::Fault { .. } | Event::Exception { .. } => Doing::Stopped,
            _ => Doing::User(*frame),
        };
        // An answer that nobody looked at stays until the thread traps again.
        let answer = match event {
            Event::Trap => None,
            _ => self.threads.get(&thread).and_then(|thread| thread.answer),
        };
        self.threads.insert(thread, Thread { doing, answer });
    }

    /// A thread is back in user mode, or there for the first time.
    fn note_arrival(&mut self, thread: FrameIndex) {
        let now = *self.machine.registers(thread);
        let Some(known) = self.threads.get_mut(&thread) else {
            self.threads.insert(
                thread,
                Thread {
                    doing: Doing::User(now),
                    answer: None,
                },
            );
            return;
        };
        match known.doing {
            Doing::Trap(before) => {
                check_trap(thread, &before, &now);
                self.surface.end(thread, (&before, &now));
                known.answer = Some(Answer {
                    number: before.rax as i64,
                    frame: now,
                });
            }
            Doing::User(before) => check_preempted(thread, &before, &now),
            Doing::Stopped => {}
        }
        known.doing = Doing::User(now);
    }
}

/// A trap changes `rax`, `rdx`, `rcx`, `r11`, and `mach_msg` all but `rbx`, `rbp`, `rsp`.
fn check_trap(thread: FrameIndex, before: &Frame, now: &Frame) {
    let kept = |f: &Frame| (f.rbx, f.rbp, f.rsp, f.rip, f.gs_base);
    let number = before.rax as i64;
    assert_eq!(
        kept(before),
        kept(now),
        "thread {thread}: trap {number} changed a kept register"
    );
    if number != MACH_MSG {
        let kept = |f: &Frame| (f.words, f.rdi, f.rsi, f.r10);
        assert_eq!(
            kept(before),
            kept(now),
            "thread {thread}: trap {number} changed an argument"
        );
    }
}

fn check_preempted(thread: FrameIndex, before: &Frame, now: &Frame) {
    assert_eq!(
        user_frame(before),
        user_frame(now),
        "thread {thread} was preempted and came back with other registers"
    );
}

/// What a program sees of a frame.
fn user_frame(frame: &Frame) -> Frame {
    Frame {
        resume: Resume::Full,
        machine_flags: 0,
        ..*frame
    }
}

fn within_page(address: u64, wanted: usize) -> (usize, usize) {
    let offset = (address % abi::PAGE_SIZE) as usize;
    (offset, wanted.min(abi::PAGE_SIZE as usize - offset))
}
