//! What the host, its processors and their set tell (MACH.md H-01, T-12). Loads and pages are not judged.

use std::collections::BTreeSet;

use abi::PAGE_SIZE;
use abi::host::info::{self, CPU_SUBTYPE, CPU_TYPE};
use abi::host::{processor, processor_set, statistics};
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::task::{DEFAULT_PRIORITY, MAX_PRIORITY, basic};
use abi::trace::Kind;

use super::asks::list;
use super::control::answer;
use super::names::{Answer, accept, refuse};
use super::{Carried, Hand, Holder, Model, PortId, Seen, Subject, TaskId, Verdict};

/// Fewer pages than are always free: nothing happens when the kernel is to keep these free. Programs name more only if there
/// are not so many.
pub const FEW_PAGES: u64 = 32;

/// The highest priority.
const LIMIT: u32 = MAX_PRIORITY as u32;

/// A call to the host, a processor or their set. Numbers of tasks and threads are the model's in all answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the calls under their own names")]
pub enum MachineOp {
    Info,
    Statistics,
    Tasks,
    Threads,
    /// The right to a task, or to none.
    Task(Option<TaskId>),
    /// From a byte on.
    Log(u64),
    /// From a record on.
    Trace(u64),
    Mark(u64),
    TraceEnable(u32),
    Arenas,
    FastPath(u32),
    FreeTarget(u64),
    /// With room for so many pages.
    DefaultPager(Name, u64),
    /// Calls that programs make to be refused.
    Shutdown,
    Reboot,
    /// `Host::set_priority_limit`.
    SetLimit(Name, u32),
    MachInfo(u32, u32),
    MachStatistics(u32, u32),
    ProcessorInfo(u32),
    PageSize,
    Version,
    Processors,
    Sets,
}

/// A call to a processor, or to the set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the calls under their own names")]
pub enum ProcessorOp {
    Info(u32, u32),
    Assignment,
    Assign(Name),
    Statistics(u32, u32),
    /// Rights, each with the number of the task or thread.
    Tasks,
    Threads,
}

/// What was told before.
#[derive(Clone, Default, Debug)]
pub(super) struct Machine {
    /// Processors and pages.
    size: Option<[u64; 2]>,
    counts: Vec<u64>,
    /// The first one's port: programs let go of the others.
    processors: Vec<PortId>,
    /// Whether messages may take the fast path, if a program said so.
    is_fast: Option<bool>,
}

impl MachineOp {
    fn is_privileged(self) -> bool {
        matches!(
            self,
            Self::Task(_)
                | Self::Shutdown
                | Self::Reboot
                | Self::TraceEnable(_)
                | Self::FastPath(_)
                | Self::FreeTarget(_)
                | Self::DefaultPager(..)
                | Self::SetLimit(..)
                | Self::Processors
                | Self::Sets
        )
    }
}

impl Model {
    /// A task's names of processors.
    pub fn processors(&self, task: TaskId) -> Vec<Name> {
        let names = self.tasks[task].names.keys().copied();
        names
            .filter(|name| self.processor_of(task, *name).is_some())
            .collect()
    }

    fn processor_of(&self, task: TaskId, name: Name) -> Option<usize> {
        let port = self.sends_to(task, name)?;
        self.machine.processors.iter().position(|of| *of == port)
    }

    fn living_tasks(&self) -> Vec<TaskId> {
        let tasks = 0..self.tasks.len();
        tasks.filter(|task| !self.is_over(*task)).collect()
    }

    pub(super) fn machine_op(
        &mut self,
        task: TaskId,
        (hand, op): (Hand, MachineOp),
        seen: &Seen,
    ) -> Verdict {
        if hand == Hand::Ask && op.is_privileged() {
            return refuse(answer(seen)?, &[self.no_access(task, op)]);
        }
        let told: &[u64] = match seen {
            Seen::Told(words) => words,
            _ => &[],
        };
        let holds = match op {
            MachineOp::Info => {
                told.len() > 3 && told[2] <= told[1] && self.size([told[0], told[1]])
            }
            MachineOp::Statistics => self.counts(told),
            MachineOp::Tasks => return self.list_tasks(seen),
            MachineOp::Threads => return self.list_threads(seen),
            MachineOp::MachInfo(..)
            | MachineOp::MachStatistics(..)
            | MachineOp::ProcessorInfo(_) => {
                return self.flavor(op, seen);
            }
            MachineOp::PageSize => told.first() == Some(&PAGE_SIZE),
            MachineOp::Version => told.get(1) == Some(&u64::from_le_bytes(*b"MelloOS ")),
            MachineOp::Task(Some(of)) => {
                let seen = answer(seen)?;
                accept(seen)?;
                let right = Carried::Send(self.port_of(Subject::Task(of)));
                return self.accept_right(task, right, Name(seen.1 as u32));
            }
            MachineOp::Task(None) => return refuse(answer(seen)?, &[Code::InvalidTask]),
            MachineOp::Log(position) => return self.tell_log(position, seen),
            MachineOp::Trace(position) => return self.tell_trace(position, seen),
            MachineOp::Arenas => return self.tell_arenas(seen),
            MachineOp::Processors => {
                if let Seen::Told(names) = seen
                    && self.machine.processors.is_empty()
                {
                    let ports = names.iter().map(|_| self.new_port(Holder::Kernel));
                    self.machine.processors = ports.collect();
                }
                let ports = self.machine.processors.clone();
                return self.accept_rights(task, &ports, seen);
            }
            MachineOp::Sets => return self.accept_rights(task, &[self.host.set[0]], seen),
            _ => return self.steer(task, op, answer(seen)?),
        };
        match holds {
            true => Ok(()),
            false => Err(format!("it does not tell {seen:x?}")),
        }
    }

    /// What somebody is told who may only ask.
    fn no_access(&self, task: TaskId, op: MachineOp) -> Code {
        match op {
            // That is no argument, whoever calls.
            MachineOp::DefaultPager(name, _) if self.sends_to(task, name).is_none() => {
                Code::InvalidCapability
            }
            _ => Code::NoAccess,
        }
    }

    fn steer(&mut self, task: TaskId, op: MachineOp, seen: Answer) -> Verdict {
        let code = match op {
            MachineOp::DefaultPager(name, _) => return self.set_store(task, name, seen),
            MachineOp::FreeTarget(0..=FEW_PAGES) => Code::Success,
            MachineOp::TraceEnable(on @ 0..=1) => {
                self.enable_trace(on);
                Code::Success
            }
            MachineOp::FastPath(on @ 0..=1) => {
                self.machine.is_fast = Some(on == 1);
                Code::Success
            }
            MachineOp::Mark(mark) => {
                self.record(Kind::Mark, mark);
                Code::Success
            }
            MachineOp::SetLimit(name, priority @ 0..=LIMIT) => match self.subject_of(task, name) {
                Some(Subject::Task(of)) => {
                    self.tasks[of].limit = priority;
                    Code::Success
                }
                _ => Code::InvalidTask,
            },
            _ => Code::InvalidArgument,
        };
        refuse(seen, &[code])
    }

    /// Whether no message may take the fast path, because a program said so.
    pub fn is_slow(&self) -> bool {
        self.machine.is_fast == Some(false)
    }

    fn subject_of(&self, task: TaskId, name: Name) -> Option<Subject> {
        let known = self.subjects(task);
        known
            .iter()
            .find(|known| known.0 == name)
            .map(|known| known.1)
    }

    /// Whether there may be so many pages, by what was told of the machine.
    pub(super) fn has_pages(&self, count: u64) -> bool {
        self.machine.size.is_none_or(|[_, pages]| count <= pages)
    }

    /// Processors and pages are always as many.
    fn size(&mut self, size: [u64; 2]) -> bool {
        *self.machine.size.get_or_insert(size) == size
    }

    /// What is counted since boot does not go back.
    fn counts(&mut self, told: &[u64]) -> bool {
        let since = told.get(..8).unwrap_or_default();
        let before = std::mem::replace(&mut self.machine.counts, since.to_vec());
        let grows = before.iter().zip(since).all(|(before, now)| before <= now);
        let living = [self.living_tasks().len(), self.living_threads()];
        let now = told.get(8..10).unwrap_or_default();
        grows && now.iter().eq(living.map(|living| living as u64).iter())
    }

    /// Number, threads, names, identity of each task; the first one's names are not all known.
    fn list_tasks(&mut self, seen: &Seen) -> Verdict {
        let Seen::Told(told) = seen else {
            return Err(format!("tasks expected, not {seen:?}"));
        };
        let entries = told.as_chunks::<4>().0;
        let numbers: BTreeSet<TaskId> = entries.iter().map(|entry| entry[0] as TaskId).collect();
        if !numbers.iter().eq(&self.living_tasks()) || entries.len() != numbers.len() {
            return Err(format!("{:?} expected, not {told:x?}", self.living_tasks()));
        }
        for &[task, threads, names, identity] in entries {
            let task = task as TaskId;
            let known = [self.threads_of(task).len(), self.tasks[task].names.len()];
            let [of_threads, of_names] = known.map(|count| count as u64);
            if threads != of_threads || task > 0 && names != of_names {
                return Err(format!("{known:?} of {task} expected, not {told:x?}"));
            }
            self.accept_token(task, identity)?;
        }
        Ok(())
    }

    /// Number, task, and what it waits for, of each thread.
    fn list_threads(&self, seen: &Seen) -> Verdict {
        let Seen::Told(told) = seen else {
            return Err(format!("threads expected, not {seen:?}"));
        };
        let mut entries = told.as_chunks::<3>().0.to_vec();
        entries.sort();
        let threads = (0..self.threads.len()).filter(|thread| !self.has_ended(*thread));
        let expected = threads.map(|thread| {
            let waits = self.waits(thread) && !self.is_there(thread);
            [
                thread as u64,
                self.threads[thread].task as u64,
                waits.into(),
            ]
        });
        match entries.iter().copied().eq(expected) {
            true => Ok(()),
            false => Err(format!("{entries:x?} are not all threads")),
        }
    }

    fn flavor(&mut self, op: MachineOp, seen: &Seen) -> Verdict {
        let length = match op {
            MachineOp::MachInfo(info::BASIC, _) => Some(info::BASIC_COUNT),
            MachineOp::MachInfo(info::SCHED, _) => Some(info::SCHED_COUNT),
            MachineOp::MachInfo(info::PRIORITY, _) => Some(info::PRIORITY_COUNT),
            MachineOp::MachStatistics(statistics::LOAD, _) => Some(statistics::LOAD_COUNT),
            MachineOp::MachStatistics(statistics::VM64, _) => Some(statistics::VM64_COUNT),
            MachineOp::MachStatistics(statistics::CPU_LOAD, _) => Some(statistics::CPU_LOAD_COUNT),
            MachineOp::ProcessorInfo(flavor) => match of_processor(flavor) {
                None => None,
                Some(words) => return self.all_processors(flavor, words as usize, seen),
            },
            _ => None,
        };
        let room = match op {
            MachineOp::MachInfo(_, count) | MachineOp::MachStatistics(_, count) => count,
            _ => 0,
        };
        let Some(words) = sized(length, room, seen)? else {
            return Ok(());
        };
        let (most, usual) = (u64::from(MAX_PRIORITY), u64::from(DEFAULT_PRIORITY));
        let holds = match op {
            MachineOp::MachInfo(info::BASIC, _) => {
                let bytes = words[10] | words[11] << 32;
                let kind = [CPU_TYPE.into(), CPU_SUBTYPE.into(), 0];
                words[3..6] == kind
                    && words[6] == words[1]
                    && words[8] == words[1]
                    && self.size([words[1], bytes / PAGE_SIZE])
            }
            MachineOp::MachInfo(info::SCHED, _) => words == [0, 10],
            MachineOp::MachInfo(..) => words == [most, most, usual, usual, 0, 0, 0, most],
            MachineOp::MachStatistics(statistics::CPU_LOAD, _) => words[1] == 0 && words[3] == 0,
            _ => true,
        };
        match holds {
            true => Ok(()),
            false => Err(format!("it does not tell {words:x?}")),
        }
    }

    fn all_processors(&mut self, flavor: u32, length: usize, seen: &Seen) -> Verdict {
        let Seen::Told(told) = seen else {
            return Err(format!("words expected, not {seen:?}"));
        };
        let words = told.get(2..).unwrap_or_default();
        let cpus = told.first().copied().unwrap_or_default() as usize;
        let whole = words.len() >= cpus * length && told.get(1) == Some(&((cpus * length) as u64));
        let each = words.chunks(length).take(cpus).enumerate();
        let known = self
            .machine
            .size
            .is_none_or(|[known, _]| known == cpus as u64);
        match whole && known && cpus > 0 && each.into_iter().all(|(n, of)| tells(flavor, n, of)) {
            true => Ok(()),
            false => Err(format!("it does not tell {told:x?}")),
        }
    }

    pub(super) fn processor_op(
        &mut self,
        task: TaskId,
        (name, op): (Name, ProcessorOp),
        seen: &Seen,
    ) -> Verdict {
        let set = self.is_processor_set(task, name);
        let number = self.processor_of(task, name);
        let (flavor, room, length) = match op {
            ProcessorOp::Info(processor_set::BASIC, room) if set.is_some() => {
                (processor_set::BASIC, room, Some(processor_set::BASIC_COUNT))
            }
            ProcessorOp::Statistics(processor_set::LOAD, room) => {
                (processor_set::LOAD, room, Some(processor_set::LOAD_COUNT))
            }
            ProcessorOp::Info(flavor, room) if set.is_none() => {
                (flavor, room, of_processor(flavor))
            }
            ProcessorOp::Info(flavor, room) | ProcessorOp::Statistics(flavor, room) => {
                (flavor, room, None)
            }
            ProcessorOp::Assignment => {
                let seen = answer(seen)?;
                accept(seen)?;
                return self.accept_right(
                    task,
                    Carried::Send(self.host.set[0]),
                    Name(seen.1 as u32),
                );
            }
            ProcessorOp::Assign(to) => {
                let code = match self.is_processor_set(task, to) {
                    Some(Hand::Steer) => Code::Success,
                    _ => Code::InvalidArgument,
                };
                return refuse(answer(seen)?, &[code]);
            }
            ProcessorOp::Tasks | ProcessorOp::Threads if set == Some(Hand::Ask) => {
                return refuse(answer(seen)?, &[Code::NoAccess]);
            }
            ProcessorOp::Tasks => {
                let tasks = self.living_tasks().into_iter().map(Subject::Task).collect();
                return self.all_rights(task, tasks, seen);
            }
            ProcessorOp::Threads => {
                let threads = (0..self.threads.len()).filter(|thread| !self.has_ended(*thread));
                let threads = threads.map(Subject::Thread).collect();
                return self.all_rights(task, threads, seen);
            }
        };
        let Some(words) = sized(length, room, seen)? else {
            return Ok(());
        };
        let living = [self.living_tasks().len(), self.living_threads()].map(|count| count as u64);
        let cpus = self.machine.size.map_or(words[0], |[cpus, _]| cpus);
        let holds = match (op, number) {
            (ProcessorOp::Statistics(..), _) => words[..2] == living,
            (_, None) => words == [cpus, basic::TIMESHARE.into()],
            (_, Some(number)) => tells(flavor, number, words),
        };
        match holds {
            true => Ok(()),
            false => Err(format!("it does not tell {words:x?}")),
        }
    }

    /// Rights to all of these, each with its number, in any order.
    fn all_rights(&mut self, task: TaskId, mut of: Vec<Subject>, seen: &Seen) -> Verdict {
        let Seen::Told(told) = seen else {
            return Err(format!("rights expected, not {seen:?}"));
        };
        for [name, number] in told.as_chunks::<2>().0 {
            let is_it = |subject: &Subject| match *subject {
                Subject::Task(task) => task as u64 == *number,
                Subject::Thread(thread) => thread as u64 == *number,
            };
            let at = of.iter().position(is_it);
            let at = at.ok_or_else(|| format!("{number} is not among {of:?}"))?;
            let port = self.port_of(of.swap_remove(at));
            self.accept_right(task, Carried::Send(port), Name(*name as u32))?;
        }
        match of.is_empty() {
            true => Ok(()),
            false => Err(format!("{of:?} are missing")),
        }
    }
}

/// Words of a flavor of `processor_info`.
fn of_processor(flavor: u32) -> Option<u32> {
    match flavor {
        processor::BASIC => Some(processor::BASIC_COUNT),
        processor::CPU_LOAD => Some(processor::CPU_LOAD_COUNT),
        _ => None,
    }
}

/// Whether these are a processor's words.
fn tells(flavor: u32, number: usize, words: &[u64]) -> bool {
    let (kind, first) = (
        [CPU_TYPE.into(), CPU_SUBTYPE.into(), 1],
        u64::from(number == 0),
    );
    match flavor {
        processor::BASIC => words[..3] == kind && words[3..] == [number as u64, first],
        _ => words[1] == 0 && words[3] == 0,
    }
}

/// The words of a flavor of this length, for a caller with so much room; `None`: it was rightly refused.
fn sized(length: Option<u32>, room: u32, seen: &Seen) -> Result<Option<&[u64]>, String> {
    let refused = match length {
        None => Code::InvalidArgument,
        Some(length) if length > room => Code::Failure,
        Some(length) => {
            let words = list(seen)?;
            return match words.len() == length as usize {
                true => Ok(Some(words)),
                false => Err(format!("{length} words expected, not {words:x?}")),
            };
        }
    };
    refuse(answer(seen)?, &[refused]).map(|()| None)
}
