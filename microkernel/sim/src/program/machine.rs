//! What programs ask the host, its processors and their set.

use abi::host::{info, processor, processor_set, statistics};
use abi::names::Name;
use interfaces::host::Host;
use interfaces::mach_host::MachHost;
use interfaces::processor::{Processor, ProcessorSet};
use interfaces::task::Task;
use interfaces::thread::Thread;

use super::World;
use super::calls::with_right;
use super::generate::Names;
use crate::message::Request;
use crate::model::{FEW_PAGES, Hand, HostOp, MachineOp, Op, ProcessorOp, Seen, TaskId, ThreadId};

/// Flavors of `host_info` and `host_statistics`, and one that there is none of.
const FLAVORS: [u32; 5] = [
    info::BASIC,
    info::SCHED,
    info::PRIORITY,
    statistics::VM64,
    99,
];

/// A number that no task has.
const NO_TASK: u64 = 9999;

/// Words that are told of processors, records, and bytes of the log, at the most, and two before each of them.
const PROCESSORS: usize = 2 + 128;
const TRACE: usize = 2 + 64 * 7;
const LOG: usize = 2 + 1024;

/// Words of an entry of a task before its name.
const TASK: usize = 6;

/// Words of an entry of a thread.
const THREAD: usize = 6;

impl Names<'_> {
    /// A call to the host, a processor or their set.
    pub(super) fn machine(&mut self) -> Op {
        // There is one already.
        if self.task == 0
            && self.model.has_store()
            && self.rng.one_in(3)
            && let Some(name) = self.binding()
        {
            return Op::Machine(Hand::Steer, MachineOp::DefaultPager(name, 0));
        }
        if self.rng.one_in(2)
            && let Some(op) = self.processor()
        {
            return op;
        }
        // Without a right to steer the set, nothing is assigned.
        let steers =
            |name: &Name| self.model.is_processor_set(self.task, *name) == Some(Hand::Steer);
        if self.task == 0 && self.rng.one_in(3) && !self.live().iter().any(steers) {
            return Op::Host(
                Hand::Steer,
                match self.set() {
                    Some(set) => HostOp::SetControl(set),
                    None => HostOp::DefaultSet,
                },
            );
        }
        // The first task alone knows the privileged port.
        let hand = match self.task == 0 && !self.rng.one_in(3) {
            true => Hand::Steer,
            false => Hand::Ask,
        };
        if hand == Hand::Ask && self.model.host_name(self.task).is_none() {
            return self.itself();
        }
        if hand == Hand::Steer && self.rng.one_in(6) && self.model.processors(self.task).is_empty()
        {
            return Op::Machine(hand, MachineOp::Processors);
        }
        let (flavor, room) = (self.rng.pick(&FLAVORS), self.rng.pick(&[40, 40, 40, 4, 1]));
        let subjects = self.model.subjects(self.task);
        let (name, _) = self.rng.pick(&subjects);
        let priority = self.rng.pick(&[28, 31, 60, 127, 128]);
        let op = match self.rng.below(26) {
            0 => MachineOp::Info,
            1 => MachineOp::Statistics,
            2 => MachineOp::Tasks,
            3 => MachineOp::Threads,
            4 => MachineOp::Task(self.some_task()),
            5 => MachineOp::Mark(self.rng.below(1000) as u64),
            6 if hand == Hand::Ask => MachineOp::Shutdown,
            7 if hand == Hand::Ask => MachineOp::Reboot,
            6 | 8 => MachineOp::TraceEnable(self.rng.pick(&[0, 1, 2])),
            7 | 9 => MachineOp::FastPath(self.rng.pick(&[0, 1, 1, 2])),
            10 => MachineOp::FreeTarget(self.rng.pick(&[0, FEW_PAGES, u64::MAX])),
            11 | 12 => MachineOp::SetLimit(name, priority),
            13 => MachineOp::MachInfo(flavor, room),
            14 => MachineOp::MachStatistics(flavor, room),
            15 => {
                let flavors = [processor::BASIC, processor::CPU_LOAD, 99];
                MachineOp::ProcessorInfo(self.rng.pick(&flavors))
            }
            16 => MachineOp::PageSize,
            17 => MachineOp::Version,
            18 => MachineOp::Processors,
            19 => MachineOp::Sets,
            20 => MachineOp::Log(self.place(0)),
            21 | 22 => MachineOp::Trace(self.place(1)),
            23 => MachineOp::Arenas,
            _ => match self.binding() {
                Some(name) => MachineOp::DefaultPager(name, self.rng.pick(&[0, 16, u64::MAX])),
                None => MachineOp::Arenas,
            },
        };
        Op::Machine(hand, op)
    }

    /// Where to read on in the log, or in the trace.
    fn place(&mut self, which: usize) -> u64 {
        let end = self.model.recorded()[which];
        let back = self.rng.below(70) as u64;
        self.rng
            .pick(&[0, end, end.saturating_sub(back), end + back, u64::MAX])
    }

    /// A task that this one knows: mostly.
    fn some_task(&mut self) -> Option<TaskId> {
        let known = self.model.controls(self.task);
        let none = known.is_empty() || self.rng.one_in(3);
        (!none).then(|| self.rng.pick(&known).1)
    }

    fn processor(&mut self) -> Option<Op> {
        let room = self.rng.pick(&[8, 8, 8, 2, 1]);
        let processors = self.model.processors(self.task);
        let set = self
            .set()
            .filter(|set| self.model.is_processor_set(self.task, *set).is_some());
        // Who has a processor lacks but the set that it can be assigned to.
        if self.rng.one_in(3)
            && !processors.is_empty()
            && self.task == 0
            && let Some(set) = set
        {
            return Some(match self.model.is_processor_set(self.task, set) {
                Some(Hand::Ask) => Op::Host(Hand::Steer, HostOp::SetControl(set)),
                _ => Op::Processor(self.rng.pick(&processors), ProcessorOp::Assign(set)),
            });
        }
        let (name, is_set) = match (set, processors.is_empty()) {
            (Some(set), true) => (set, true),
            (Some(set), false) if self.rng.one_in(2) => (set, true),
            (_, false) => (self.rng.pick(&processors), false),
            (None, true) => return None,
        };
        let flavors = [
            processor::BASIC,
            processor::CPU_LOAD,
            processor_set::BASIC,
            processor_set::LOAD,
        ];
        let flavor = self.rng.pick(&flavors);
        let op = match (self.rng.below(6), is_set) {
            (0 | 1, true) | (1, false) => ProcessorOp::Info(flavor, room),
            (2 | 3, true) => ProcessorOp::Statistics(flavor, room),
            (4, true) => ProcessorOp::Tasks,
            (_, true) => ProcessorOp::Threads,
            (0 | 2, false) => ProcessorOp::Assignment,
            (_, false) => ProcessorOp::Assign(self.set()?),
        };
        Some(Op::Processor(name, op))
    }
}

impl World {
    /// The name of the host's port that a thread calls: the privileged one, or what its task knows.
    fn host_of(&self, thread: ThreadId, hand: Hand) -> Name {
        match hand {
            Hand::Steer => self.host,
            Hand::Ask => {
                let name = self.model.host_name(self.model.task_of(thread));
                name.unwrap_or(Name::NULL)
            }
        }
    }

    pub(super) fn machine_call(&mut self, thread: ThreadId, (hand, op): (Hand, MachineOp)) -> Seen {
        let host = self.host_of(thread, hand);
        let call = |id: i32, [a, b]: [u64; 2]| Request::call(host).id(id).words([a, b, 0, 0, 0, 0]);
        let plain = match op {
            MachineOp::Info => {
                return self.telling_call(thread, &call(<dyn Host>::INFO.id, [0; 2]));
            }
            MachineOp::Statistics => {
                return self.telling_call(thread, &call(<dyn Host>::STATISTICS.id, [0; 2]));
            }
            MachineOp::Tasks => {
                let seen = self.telling_call(thread, &call(<dyn Host>::TASKS.id, [0; 2]));
                return self.tasks_told(seen);
            }
            MachineOp::Threads => {
                let seen = self.telling_call(thread, &call(<dyn Host>::THREADS.id, [0; 2]));
                return self.threads_told(seen);
            }
            MachineOp::Log(_) | MachineOp::Trace(_) | MachineOp::Arenas => {
                return self.records_call(thread, host, op);
            }
            MachineOp::MachInfo(flavor, room) => {
                let words = [flavor.into(), room.into()];
                return self.telling_call(thread, &call(<dyn MachHost>::INFO.id, words));
            }
            MachineOp::MachStatistics(flavor, room) => {
                let words = [flavor.into(), room.into()];
                return self.telling_call(thread, &call(<dyn MachHost>::STATISTICS.id, words));
            }
            MachineOp::ProcessorInfo(flavor) => {
                let request = call(<dyn MachHost>::PROCESSOR_INFO.id, [flavor.into(), 0]);
                return at_most(self.telling_call(thread, &request), PROCESSORS);
            }
            MachineOp::PageSize => {
                return self.telling_call(thread, &call(<dyn MachHost>::PAGE_SIZE.id, [0; 2]));
            }
            MachineOp::Version => {
                return self.telling_call(thread, &call(<dyn MachHost>::KERNEL_VERSION.id, [0; 2]));
            }
            MachineOp::Processors => {
                let request = call(<dyn MachHost>::PROCESSORS.id, [0; 2]);
                let seen = self.rights_call(thread, &request);
                return self.first_processor(thread, seen);
            }
            MachineOp::Sets => {
                return self.rights_call(thread, &call(<dyn MachHost>::PROCESSOR_SETS.id, [0; 2]));
            }
            MachineOp::Task(of) => {
                let number = of.map_or(NO_TASK, |of| self.tasks[of].index().into());
                call(<dyn Host>::TASK.id, [number, 0])
            }
            MachineOp::Mark(mark) => call(<dyn Host>::TRACE_MARK.id, [mark, 2]),
            MachineOp::Shutdown => call(<dyn Host>::SHUTDOWN.id, [0; 2]),
            MachineOp::Reboot => call(<dyn Host>::REBOOT.id, [0; 2]),
            MachineOp::TraceEnable(on) => call(<dyn Host>::TRACE_ENABLE.id, [on.into(), 0]),
            MachineOp::FastPath(on) => call(<dyn Host>::SET_FAST_PATH.id, [on.into(), 0]),
            MachineOp::FreeTarget(pages) => call(<dyn Host>::SET_FREE_TARGET.id, [pages, 0]),
            MachineOp::DefaultPager(name, pages) => {
                with_right(host, (<dyn Host>::SET_DEFAULT_PAGER.id, name), &[pages])
            }
            MachineOp::SetLimit(name, priority) => {
                let id = <dyn Host>::SET_PRIORITY_LIMIT.id;
                with_right(host, (id, name), &[priority.into()])
            }
        };
        self.plain_call(thread, &plain)
    }

    /// What the kernel has written down.
    fn records_call(&mut self, thread: ThreadId, host: Name, op: MachineOp) -> Seen {
        let (id, position) = match op {
            MachineOp::Log(position) => (<dyn Host>::LOG.id, position),
            MachineOp::Trace(position) => (<dyn Host>::TRACE.id, position),
            _ => (<dyn Host>::ARENAS.id, 0),
        };
        let request = Request::call(host).id(id);
        let seen = self.telling_call(thread, &request.words([position, 0, 0, 0, 0, 0]));
        match op {
            MachineOp::Log(_) => log_told(seen),
            MachineOp::Trace(_) => at_most(seen, TRACE),
            _ => arenas_told(seen),
        }
    }

    /// Of the rights to all processors a thread keeps the first one: programs are the same on any number of them.
    fn first_processor(&mut self, thread: ThreadId, seen: Seen) -> Seen {
        let Seen::Told(mut names) = seen else {
            return seen;
        };
        assert_eq!(names.len(), self.sim.machine.cpus().count());
        let mut user = self.sim.on(self.threads[thread].0);
        for name in names.drain(1..).rev() {
            assert_eq!(user.deallocate(Name(name as u32)), Ok(()));
        }
        Seen::Told(names)
    }

    /// A task of the program, by the kernel's number.
    fn task_of_number(&self, number: u64) -> u64 {
        let mut known = self.tasks.iter().enumerate().rev();
        let known =
            known.find(|(task, of)| !self.model.is_over(*task) && u64::from(of.index()) == number);
        known.map_or(u64::MAX, |(task, _)| task as u64)
    }

    fn tasks_told(&self, seen: Seen) -> Seen {
        let Seen::Told(words) = seen else {
            return seen;
        };
        let (mut told, mut rest) = (Vec::new(), &words[1..]);
        for _ in 0..words[0] {
            // Index, threads, pages, names, identity, time, and a name with its length.
            told.extend([self.task_of_number(rest[0]), rest[1], rest[3], rest[4]]);
            rest = &rest[TASK + 1 + (rest[TASK] as usize).div_ceil(8)..];
        }
        Seen::Told(told)
    }

    fn threads_told(&self, seen: Seen) -> Seen {
        let Seen::Told(words) = seen else {
            return seen;
        };
        let entries = words[1..].chunks(THREAD).take(words[0] as usize);
        let told = entries.flat_map(|entry| {
            let thread = self
                .thread_of(entry[0])
                .map_or(u64::MAX, |thread| thread as u64);
            [
                thread,
                self.task_of_number(entry[1]),
                u64::from(entry[3] != 0),
            ]
        });
        Seen::Told(told.collect())
    }

    pub(super) fn processor_call(
        &mut self,
        thread: ThreadId,
        (name, op): (Name, ProcessorOp),
    ) -> Seen {
        let is_set = self
            .model
            .is_processor_set(self.threads[thread].1, name)
            .is_some();
        let call = |id: i32, words: [u32; 2]| {
            let [a, b] = words.map(u64::from);
            Request::call(name).id(id).words([a, b, 0, 0, 0, 0])
        };
        match op {
            ProcessorOp::Info(flavor, room) => {
                let id = match is_set {
                    true => <dyn ProcessorSet>::INFO.id,
                    false => <dyn Processor>::INFO.id,
                };
                self.telling_call(thread, &call(id, [flavor, room]))
            }
            ProcessorOp::Statistics(flavor, room) => self.telling_call(
                thread,
                &call(<dyn ProcessorSet>::STATISTICS.id, [flavor, room]),
            ),
            ProcessorOp::Assignment => {
                self.plain_call(thread, &call(<dyn Processor>::ASSIGNMENT.id, [0; 2]))
            }
            ProcessorOp::Assign(set) => {
                let id = <dyn Processor>::ASSIGN.id;
                self.plain_call(thread, &with_right(name, (id, set), &[]))
            }
            ProcessorOp::Tasks => {
                let seen = self.rights_call(thread, &call(<dyn ProcessorSet>::TASKS.id, [0; 2]));
                self.with_numbers(thread, seen, <dyn Task>::INFO.id)
            }
            ProcessorOp::Threads => {
                let seen = self.rights_call(thread, &call(<dyn ProcessorSet>::THREADS.id, [0; 2]));
                self.with_numbers(thread, seen, <dyn Thread>::INFO.id)
            }
        }
    }

    /// Names of tasks or threads, each with the number of whom it stands for, as that tells itself.
    fn with_numbers(&mut self, thread: ThreadId, seen: Seen, info: i32) -> Seen {
        let Seen::Told(names) = seen else {
            return seen;
        };
        let mut told = Vec::new();
        for name in names {
            let request = Request::call(Name(name as u32)).id(info);
            let number = match self.telling_call(thread, &request) {
                Seen::Told(words) => words[0],
                _ => u64::MAX,
            };
            told.extend([
                name,
                match info == <dyn Task>::INFO.id {
                    true => self.task_of_number(number),
                    false => self
                        .thread_of(number)
                        .map_or(u64::MAX, |thread| thread as u64),
                },
            ]);
        }
        Seen::Told(told)
    }
}

/// What was told, as long for any number of processors, and on any path.
fn at_most(seen: Seen, most: usize) -> Seen {
    match seen {
        Seen::Told(mut words) => {
            words.resize(most, 0);
            Seen::Told(words)
        }
        seen => seen,
    }
}

/// Position, length, and the bytes one by one.
fn log_told(seen: Seen) -> Seen {
    let Seen::Told(words) = seen else {
        return seen;
    };
    let bytes = words[2..].iter().flat_map(|word| word.to_le_bytes());
    let told = words[..2].iter().copied().chain(bytes.map(u64::from));
    at_most(Seen::Told(told.collect()), LOG)
}

/// Of each kind of the kernel's objects its name in two words, their number, and sizes.
fn arenas_told(seen: Seen) -> Seen {
    let Seen::Told(words) = seen else {
        return seen;
    };
    let (mut told, mut rest) = (Vec::new(), &words[1..]);
    for _ in 0..words[0] {
        // A name with its length, and three numbers.
        let behind = 1 + (rest[0] as usize).div_ceil(8);
        let name = [1, 2].map(|at| if at < behind { rest[at] } else { 0 });
        told.extend(name);
        told.extend(&rest[behind..behind + 3]);
        rest = &rest[behind + 3..];
    }
    Seen::Told(told)
}
