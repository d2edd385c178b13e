//! Which thread runs where, and until when.
//!
//! Each CPU has a run queue ([`cpus`]): a thread waits where it ran last, and a CPU takes threads from others' queues
//! when its own has nothing as urgent, so that none waits while a CPU idles or runs something of lower priority
//! beyond the end of its turn. The message fast path calls nothing in here: it hands the CPU, with the rest of its
//! slice, from thread to thread.
//!
//! Invariants ([`Sched::check`]): a thread is in a run queue, or among the woken, exactly when it is
//! [`State::Ready`]; a CPU's current thread is [`State::Running`]; a timer is set on a CPU for the earlier of its
//! slice's end and, on CPU 0, the first deadline.

mod account;
pub mod actions;
mod aging;
mod check;
pub mod cpus;
mod depress;
pub mod futex;
mod lend;
pub mod load;
mod policy;
pub mod queue;
pub mod run_queue;
pub mod semaphore;
mod state;
pub mod thread;
mod timers;
mod tracing;
mod view;

pub use actions::{Action, Actions, Extra, Form};
pub use policy::{Constraint, Wishes};
pub use queue::ThreadQueue;
pub use state::{check_state, get_state, set_state};
pub use thread::{Flags, LEVEL_SHIFT, Policy, State, Thread, Wait, mark};
pub use view::View;

use abi::trace::Kind as TraceKind;
use arena::Arena;

use crate::base::Shortage;
use crate::base::ids::{ActionsKind, ExtraKind, SemaphoreKind, ThreadId, ThreadKind};
use crate::base::trace::Trace;
use crate::base::tree::Tree;
use crate::base::usage::Usage;
use crate::machine::{Cpu, MAX_CPUS, Machine, NEVER, Time};
use account::Turn;
use aging::Aging;
use cpus::CpuState;
use load::Load;

/// All threads.
pub type Threads = Arena<Thread, ThreadKind>;

/// How long a thread runs before others of its priority get their turn: 10 ms.
pub const SLICE: Time = 10_000_000;

/// How far timesharing lowers a thread that never blocks.
const MAX_DECAY: u8 = 16;

/// The scheduler.
pub struct Sched {
    /// All threads.
    pub threads: Threads,
    /// What only few of them have.
    pub extras: Arena<Extra, ExtraKind>,
    /// Exception ports of threads.
    pub actions: Arena<Actions, ActionsKind>,
    /// All semaphores.
    pub semaphores: Arena<semaphore::Semaphore, SemaphoreKind>,
    /// Who runs on each CPU: of all that is known of one what the fast path needs, and reached by an index alone.
    running: [Option<ThreadId>; MAX_CPUS],
    /// What else there is to each CPU.
    pub cpus: [CpuState; MAX_CPUS],
    /// Whose time is accounted until when.
    turns: [Turn; MAX_CPUS],
    /// How busy the machine is.
    load: Load,
    /// Who waits too long.
    aging: Aging,
    /// One past the highest CPU that is online: where a search among them ends.
    cpu_end: usize,
    /// The highest priority that waits in any run queue; −1: none does.
    highest: i16,
    /// Threads whose wait ended and that nobody queued yet: effects of the layers above.
    pub woken: ThreadQueue,
    /// Flags that every new thread begins with.
    pub default_flags: Flags,
    /// What happened. It lies here because all that is recorded concerns threads, and every layer that
    /// records reaches them.
    pub trace: Trace,
    deadlines: Tree,
    /// The first deadline of a port's timer.
    port_deadline: Time,
    /// Of futexes and of pages: one thread for each that somebody waits for.
    words: Tree,
}

impl Sched {
    /// No threads, no CPU online, a trace ring for so many events.
    ///
    /// # Errors
    /// [`Shortage`]: no memory for the ring.
    pub fn new<M: Machine>(machine: &mut M, trace_events: u32) -> Result<Self, Shortage> {
        let trace = Trace::new(machine.reserve(Trace::bytes(trace_events)), trace_events)?;
        Ok(Self {
            threads: Arena::new(machine.reserve(128 << 20)),
            extras: Arena::new(machine.reserve(32 << 20)),
            semaphores: Arena::new(machine.reserve(32 << 20)),
            actions: Arena::new(machine.reserve(128 << 20)),
            running: [None; MAX_CPUS],
            cpus: [const { CpuState::OFF }; MAX_CPUS],
            turns: [Turn::default(); MAX_CPUS],
            load: Load::default(),
            aging: Aging::default(),
            cpu_end: 0,
            highest: -1,
            woken: ThreadQueue::default(),
            default_flags: Flags::empty(),
            trace,
            deadlines: Tree::new(),
            port_deadline: NEVER,
            words: Tree::new(),
        })
    }

    /// What threads and what belongs to them take.
    pub fn usage(&self) -> [Usage; 4] {
        [
            Usage::of("threads", &self.threads),
            Usage::of("thread extras", &self.extras),
            Usage::of("semaphores", &self.semaphores),
            Usage::of("exception ports", &self.actions),
        ]
    }

    /// The thread that a CPU runs waits from now on. Its wait is set by the caller.
    pub fn block(&mut self, cpu: Cpu) {
        let current = self.current_mut(cpu).take();
        if let Some(thread) = current.and_then(|id| self.threads.get_mut(id)) {
            thread.state = State::Blocked;
            thread.cpu = cpu;
            thread.recover_priority();
            if thread.flags.contains(Flags::DEPRESSED)
                && let Some(current) = current
            {
                self.forget_depression(current);
            }
        }
    }

    /// The current thread of a CPU, just blocked, need not wait after all.
    pub fn unblock(&mut self, cpu: Cpu, id: ThreadId) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.wait = Wait::None;
            thread.state = State::Running;
            *self.current_mut(cpu) = Some(id);
        }
    }

    /// The wait of a blocked thread ended: it will run as soon as [`settle`](Self::settle) or
    /// [`hand_over`](Self::hand_over) sees it.
    ///
    /// It must have left the queue that it waited in.
    pub fn wake(&mut self, id: ThreadId) {
        let Some(mut thread) = self.threads.get_mut(id) else {
            return;
        };
        if thread.flags.contains(Flags::TIMED) {
            self.disarm(id);
            let Some(again) = self.threads.get_mut(id) else {
                return;
            };
            thread = again;
        }
        debug_assert_eq!(
            thread.state,
            State::Blocked,
            "only a blocked thread is woken"
        );
        thread.wait = Wait::None;
        thread.state = State::Ready;
        if let Some(last) = self.woken.append(id, &mut thread.link) {
            ThreadQueue::learn_next(self.threads.get_mut(last), id);
        }
    }

    /// Lets a thread that was held run.
    pub fn release(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        if thread.state == State::Held {
            thread.state = State::Ready;
            self.woken.push(&mut self.threads, id);
        }
    }

    /// Takes a ready thread off its run queue and holds it. Woken threads must have been settled.
    pub fn hold(&mut self, id: ThreadId) {
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        match thread.state {
            State::Ready => {
                thread.state = State::Held;
                self.dequeue(id);
            }
            State::Running => {
                thread.state = State::Held;
                self.leave_cpu(id);
            }
            State::Blocked | State::Held => {}
        }
    }

    /// Changes a thread's own priority and policy, and where it runs if that follows from it. One that is depressed has
    /// the priority when it is so no more.
    pub fn set_priority<M: Machine>(
        &mut self,
        machine: &mut M,
        here: Cpu,
        id: ThreadId,
        (base, policy): (u8, Policy),
    ) {
        // A woken thread is in no run queue yet.
        self.settle(machine, here);
        let state = self.threads.get(id).map(|thread| thread.state);
        if state == Some(State::Ready) {
            self.dequeue(id);
        }
        let Some(thread) = self.threads.get_mut(id) else {
            return;
        };
        thread.base = base.min(thread::MAX_PRIORITY);
        thread.own_priority = match thread.flags.contains(Flags::DEPRESSED) {
            true => 0,
            false => thread.base,
        };
        thread.priority = thread.own_priority;
        thread.policy = policy;
        match thread.state {
            State::Ready => {
                self.woken.push(&mut self.threads, id);
                self.settle(machine, here);
            }
            State::Running => self.look_again(machine, here, id),
            State::Blocked => self.place_again(id),
            State::Held => {}
        }
    }

    /// The CPU that runs a thread sees whether another one should run now.
    fn look_again<M: Machine>(&mut self, machine: &mut M, here: Cpu, id: ThreadId) {
        if let Some(cpu) = self.cpu_of(id) {
            self.cpu(cpu).reschedule = true;
            if cpu != here {
                machine.kick(cpu);
            }
        }
    }

    /// Ends an event: when all that woke is one thread, and this CPU is to run it, it takes the CPU over with
    /// the rest of the slice and sees no queue; else as [`settle`](Self::settle). Answers who took over.
    ///
    /// Whoever is preempted that way has its turn, and a slice of its own, behind others of its priority:
    /// nobody asks the clock what was left of this one.
    #[inline(always)]
    pub fn hand_over<M: Machine>(&mut self, machine: &mut M, here: Cpu) -> Option<ThreadId> {
        if self.woken.is_empty() {
            return None;
        }
        let Some(id) = self.take_over(here) else {
            self.settle(machine, here);
            return None;
        };
        if self.trace.is_detailed() {
            let priority = self.threads.get(id).map_or(0, |thread| thread.priority);
            let woken = (id.index().into(), priority.into());
            self.note(machine, here, TraceKind::Wake, woken);
        }
        Some(id)
    }

    fn take_over(&mut self, here: Cpu) -> Option<ThreadId> {
        let id = self.woken.only()?;
        let current = self.current(here);
        let thread = self.threads.get(id)?;
        let priority = thread.priority;
        let lower = match current {
            Some(current) => self.threads.get(current)?.priority < priority,
            None => true,
        };
        let stopped = Flags::SUSPENDED | Flags::TERMINATE;
        if !lower || thread.flags.intersects(stopped) || !self.takes_at_once(here, id, priority) {
            return None;
        }
        self.woken = ThreadQueue::default();
        self.threads.get_mut(id)?.state = State::Running;
        self.preempted_by(here, id);
        Some(id)
    }

    /// Whether a thread of this priority, which is above that of this CPU's thread, takes this CPU over.
    #[inline(always)]
    pub fn takes_at_once(&mut self, here: Cpu, id: ThreadId, priority: u8) -> bool {
        let CpuState {
            reschedule,
            slice_end,
            ..
        } = *self.cpu(here);
        // After idling there is no slice to take over.
        !reschedule
            && slice_end != NEVER
            && i16::from(priority) > self.highest
            && (self.cpu_end <= 1 || self.cpu_for(here, id) == Some(here))
    }

    /// A thread takes a CPU over, whose thread waits for its turn.
    #[inline(always)]
    pub fn preempted_by(&mut self, here: Cpu, id: ThreadId) {
        if let Some(current) = self.current_mut(here).replace(id) {
            self.preempt(here, current, 0);
        }
    }

    /// Puts woken threads into run queues and decides which CPUs must look at them.
    pub fn settle<M: Machine>(&mut self, machine: &mut M, here: Cpu) {
        while let Some(id) = self.woken.pop(&mut self.threads) {
            let Some(thread) = self.threads.get_mut(id) else {
                continue;
            };
            if thread.flags.contains(Flags::SUSPENDED) {
                thread.state = State::Held;
                continue;
            }
            let priority = thread.priority;
            let home = self.home(id);
            let takes = self.cpu_for(here, id);
            self.enqueue(takes.unwrap_or(home), id);
            let woken = (id.index().into(), priority.into());
            self.note(machine, here, TraceKind::Wake, woken);
            if let Some(cpu) = takes {
                self.cpu(cpu).reschedule = true;
                if cpu != here {
                    machine.kick(cpu);
                }
            }
        }
    }

    /// Decides which thread a CPU runs now, and makes it current.
    pub fn dispatch<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Option<ThreadId> {
        let running = self.current(cpu);
        let state = self.cpu(cpu);
        state.reschedule = false;
        let (slice_end, over) = (state.slice_end, state.slice_over);
        let own = running.and_then(|id| self.threads.get(id));
        let least = own.map_or(0, |own| i16::from(own.priority) + i16::from(!over));
        let next = if self.highest < least {
            None
        } else {
            self.take_next(cpu, least)
        };
        if next.is_none() && running.is_some() && !over {
            if slice_end < self.cpu(cpu).timer {
                self.set_timer(machine, cpu);
            }
            return running;
        }
        let now = machine.now();
        self.turn_ends(cpu, now);
        if let (Some(id), Some(_)) = (running, next) {
            let left = if over {
                0
            } else {
                slice_end.saturating_sub(now)
            };
            self.preempt(cpu, id, left);
        }
        let next = next.or(running);
        self.run(machine, cpu, (next, now));
        next
    }

    /// A CPU runs a thread, or nobody, from now on.
    fn run<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        (next, now): (Option<ThreadId>, Time),
    ) {
        let computation = next
            .and_then(|id| self.constraint(id))
            .map(|needs| needs.computation);
        let thread = next.and_then(|id| self.threads.get_mut(id));
        let slice_end = thread.map_or(NEVER, |thread| {
            thread.state = State::Running;
            let slice = match (thread.slice, computation) {
                (0, None) => SLICE,
                (0, Some(computation)) => computation.into(),
                (left, _) => left.into(),
            };
            now.saturating_add(slice)
        });
        *self.current_mut(cpu) = next;
        let state = self.cpu(cpu);
        state.slice_end = slice_end;
        state.slice_over = false;
        state.computing = next.filter(|_| computation.is_some());
        // A timer that comes too early is set again then.
        if slice_end < state.timer || next.is_none() {
            self.set_timer(machine, cpu);
        }
    }

    /// A CPU's thread goes back into the CPU's run queue, with what is left of its slice; 0: the next one is new.
    fn preempt(&mut self, cpu: Cpu, id: ThreadId, slice: Time) {
        if let Some(thread) = self.threads.get_mut(id) {
            thread.slice = u32::try_from(slice).unwrap_or(u32::MAX);
        }
        self.enqueue(cpu, id);
    }

    /// The current thread gives up its turn: others of its priority run before it does again. Answers who
    /// runs now, if it is another one.
    pub fn yield_now<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) -> Option<ThreadId> {
        let current = self.current(cpu)?;
        let own = self.threads.get(current)?.priority;
        // It goes behind whoever waits, so that it is not the next one itself.
        let next = self.take_next(cpu, own.into())?;
        self.change_places(machine, cpu, (current, next));
        Some(next)
    }

    /// The same to one thread among those that could run next; to whoever is next if it is none of them.
    pub fn yield_to<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        to: ThreadId,
    ) -> Option<ThreadId> {
        let current = self.current(cpu)?;
        let own = self.threads.get(current)?.priority;
        if self.highest < own.into() || !self.could_be_next(to) {
            return self.yield_now(machine, cpu);
        }
        self.dequeue(to);
        self.change_places(machine, cpu, (current, to));
        Some(to)
    }

    /// A CPU whose thread just began to wait runs this one, if it could be next. Whether it does.
    pub fn pass_to<M: Machine>(&mut self, machine: &mut M, cpu: Cpu, to: ThreadId) -> bool {
        let next = self.could_be_next(to);
        if next {
            self.dequeue(to);
            let now = machine.now();
            self.run(machine, cpu, (Some(to), now));
        }
        next
    }

    /// Whether a thread waits for its turn, and none that comes before it.
    fn could_be_next(&self, id: ThreadId) -> bool {
        self.threads.get(id).is_some_and(|thread| {
            thread.state == State::Ready && i16::from(thread.priority) == self.highest
        })
    }

    /// At the end of this event a CPU's turn is over, as if its slice were: others run first, if any waits that its
    /// thread's priority does not keep waiting.
    pub fn end_turn(&mut self, cpu: Cpu) {
        let state = self.cpu(cpu);
        state.slice_over = true;
        state.reschedule = true;
    }

    /// A thread that is in no queue runs instead of a CPU's current one, which goes into one.
    fn change_places<M: Machine>(
        &mut self,
        machine: &mut M,
        cpu: Cpu,
        (current, next): (ThreadId, ThreadId),
    ) {
        self.preempt(cpu, current, 0);
        let now = machine.now();
        self.run(machine, cpu, (Some(next), now));
    }

    /// [`yield_now`](Self::yield_now) to a thread of the same priority, which runs now, with the rest of the slice:
    /// the two change places. `None`: nothing has changed, for it is another case.
    #[inline(always)]
    pub fn take_turns(&mut self, cpu: Cpu) -> Option<ThreadId> {
        const STOPPED: Flags = Flags::TERMINATE
            .union(Flags::SUSPENDED)
            .union(Flags::UNHANDLED)
            .union(Flags::RETRY);
        let current = self.current(cpu)?;
        let state = &mut self.cpus[cpu.0 as usize % MAX_CPUS];
        let own = self.threads.get(current)?.priority;
        if self.highest != i16::from(own) {
            return None;
        }
        let level = state.ready.level(own)?;
        let next = level.first()?;
        let mut pair = self.threads.pair(current, Some(next))?;
        let to = pair.second();
        if state.reschedule || to.flags.intersects(STOPPED) {
            return None;
        }
        to.state = State::Running;
        level.advance(&to.link);
        let from = pair.first();
        from.cpu = cpu;
        from.state = State::Ready;
        from.slice = 0;
        if let Some(last) = level.append(current, &mut from.link) {
            ThreadQueue::learn_next(pair.other(last), current);
        }
        *self.current_mut(cpu) = Some(next);
        Some(next)
    }

    /// The timer of a CPU fired: wakes whose deadline came, and ends the slice if it is over.
    ///
    /// Returns the threads that timed out one by one, at most 64 a call; the caller ends their waits.
    pub fn expired(&mut self, now: Time) -> Option<ThreadId> {
        self.first_deadline()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, id)| id)
    }

    /// Ends the current slice of a CPU when its time has come.
    pub fn end_slice<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) {
        let now = machine.now();
        let state = self.cpu(cpu);
        state.timer = NEVER;
        state.reschedule = true;
        if now < state.slice_end {
            return;
        }
        state.slice_over = true;
        if let Some((id, pause)) = self.overrun(cpu) {
            self.depress(machine, cpu, (id, now.saturating_add(pause)));
        }
        let current = self.current(cpu);
        let Some(thread) = current.and_then(|id| self.threads.get_mut(id)) else {
            return;
        };
        if thread.policy == Policy::Timeshare && !thread.flags.contains(Flags::DEPRESSED) {
            let floor = thread.base.saturating_sub(MAX_DECAY);
            thread.own_priority = thread.own_priority.saturating_sub(1).max(floor);
        }
        // The loan of a caller's priority ends with the slice.
        thread.priority = thread.own_priority;
        thread.slice = 0;
    }

    /// The first deadline of a port's timer has changed.
    pub fn set_port_deadline<M: Machine>(&mut self, machine: &mut M, here: Cpu, deadline: Time) {
        self.port_deadline = deadline;
        self.deadline_changed(machine, here, deadline);
    }

    /// Sets the machine's timer to the earlier of the slice's end and, on CPU 0, the first deadline.
    pub fn set_timer<M: Machine>(&mut self, machine: &mut M, cpu: Cpu) {
        let runs = self.current(cpu).is_some();
        let state = self.cpu(cpu);
        // A slice matters only when somebody else wants the CPU; but who becomes ready later must not
        // wait longer than a slice, so a running thread always has its end armed.
        let slice = if runs { state.slice_end } else { NEVER };
        let deadline = match cpu {
            Cpu(0) => {
                let first = self.first_deadline();
                first
                    .map_or(NEVER, |(deadline, _)| deadline)
                    .min(self.port_deadline)
            }
            _ => NEVER,
        };
        let wanted = slice.min(deadline);
        let state = self.cpu(cpu);
        if state.timer != wanted {
            state.timer = wanted;
            machine.set_timer(cpu, wanted);
        }
    }
}
