//! Calls to the host and its processor set, and how threads ask to be scheduled.

use abi::clock::which;
use abi::host::special;
use abi::names::{Name, port_type};
use abi::task::{DEFAULT_PRIORITY, policy};
use interfaces::host::Host;
use interfaces::mach_host::MachHost;
use interfaces::task::Task;
use interfaces::thread::Thread;

use super::World;
use super::calls::with_right;
use super::generate::Names;
use crate::message::Request;
use crate::model::{Hand, HostOp, Op, PolicyOp, Seen, SelfOp, Subject, ThreadId};

/// Special ports that programs ask for: the kernel's one that all know, two of servers, and none.
const SPECIALS: [u32; 5] = [special::HOST, 8, 9, 0, special::LAST + 1];

/// Policies, each with words for it: the last ones make no sense. What decides who comes first is among the lasting ones.
const POLICIES: [(u32, &[u32]); 11] = [
    (policy::STANDARD, &[]),
    (policy::STANDARD, &[1]),
    (policy::PRECEDENCE, &[0]),
    (policy::AFFINITY, &[7]),
    (policy::BACKGROUND, &[0]),
    (policy::LATENCY_QOS, &[policy::tier(2)]),
    (policy::THROUGHPUT_QOS, &[policy::tier(policy::LAST_TIER)]),
    (policy::STANDARD, &[2]),
    (policy::AFFINITY, &[]),
    (policy::LATENCY_QOS, &[7]),
    (99, &[0]),
];

/// Policies that can be asked for, and two that cannot.
const FLAVORS: [u32; 8] = [
    policy::STANDARD,
    policy::PRECEDENCE,
    policy::AFFINITY,
    policy::BACKGROUND,
    policy::LATENCY_QOS,
    policy::THROUGHPUT_QOS,
    policy::TIME_CONSTRAINT,
    99,
];

impl Names<'_> {
    /// A call to the host.
    pub(super) fn host(&mut self) -> Op {
        // The first task alone knows the privileged port.
        let hand = match self.task == 0 && !self.rng.one_in(4) {
            true => Hand::Steer,
            false => Hand::Ask,
        };
        if hand == Hand::Ask && self.model.host_name(self.task).is_none() {
            return Op::Itself(SelfOp::HostSelf);
        }
        let which = self
            .rng
            .pick(&[which::SYSTEM, which::CALENDAR, which::CALENDAR, 2]);
        let special = self.rng.pick(&SPECIALS);
        Op::Host(
            hand,
            match self.rng.below(8) {
                0 => HostOp::ClockService(which),
                1 => HostOp::ClockControl(which),
                2 => HostOp::DefaultSet,
                3 | 6 | 7 => match self.set() {
                    Some(set) => HostOp::SetControl(set),
                    None => HostOp::DefaultSet,
                },
                4 => HostOp::Special(special),
                _ => match self.of_send() {
                    Some(name) => HostOp::SetSpecial(special, name),
                    None => HostOp::Special(special),
                },
            },
        )
    }

    /// How a task or a thread is scheduled.
    pub(super) fn policy(&mut self) -> Op {
        let subjects = self.model.subjects(self.task);
        let mut depressed = subjects.clone();
        depressed.retain(
            |(_, of)| matches!(of, Subject::Thread(thread) if self.model.is_depressed(*thread)),
        );
        if !depressed.is_empty() && self.rng.one_in(2) {
            let (name, subject) = self.rng.pick(&depressed);
            return Op::Policy(name, subject, PolicyOp::DepressAbort);
        }
        if self.rng.one_in(3)
            && let Some(op) = self.lasting()
        {
            return op;
        }
        let (name, subject) = self.rng.pick(&subjects);
        let set = self.set();
        let threads = match subject {
            Subject::Task(_) => self.rng.below(3) as u32,
            Subject::Thread(_) => 0,
        };
        let task = match subject {
            Subject::Task(task) => task,
            Subject::Thread(thread) => self.model.task_of(thread),
        };
        let above = self.model.priority_limit(task) + 1;
        let priority = self
            .rng
            .pick(&[28, DEFAULT_PRIORITY.into(), above, 128, u32::MAX]);
        let (flavor, words) = self.rng.pick(&POLICIES);
        let op = match (self.rng.below(10), subject, set) {
            (0 | 8 | 9, _, Some(set)) => PolicyOp::Assign(set, threads),
            (0 | 1, ..) => PolicyOp::AssignDefault(threads),
            (2, ..) => PolicyOp::Assignment,
            (_, Subject::Task(_), _) => PolicyOp::SetLimit(priority),
            (3, ..) => PolicyOp::DepressAbort,
            (4, ..) => PolicyOp::SetPriority(priority, self.rng.pick(&[0, 0, 2])),
            (5, ..) => PolicyOp::Policy(self.rng.pick(&FLAVORS)),
            _ => PolicyOp::SetPolicy(flavor, words.to_vec()),
        };
        Op::Policy(name, subject, op)
    }

    /// A right to the processor set, mostly one that steers it, or any other right.
    pub(super) fn set(&mut self) -> Option<Name> {
        let steers = self
            .of(|names, name| names.model.is_processor_set(names.task, name) == Some(Hand::Steer));
        let asks = self.of(|names, name| names.model.is_processor_set(names.task, name).is_some());
        match self.rng.below(8) {
            0 => self.of_send(),
            1 | 2 => asks,
            _ => steers.or(asks),
        }
    }

    fn of_send(&mut self) -> Option<Name> {
        self.of(|names, name| names.model.bits(names.task, name) & port_type::SEND != 0)
    }

    fn of(&mut self, fits: impl Fn(&Self, Name) -> bool) -> Option<Name> {
        let mut live = self.live();
        live.retain(|name| fits(self, *name));
        (!live.is_empty()).then(|| self.rng.pick(&live))
    }
}

impl World {
    pub(super) fn host_call(&mut self, thread: ThreadId, (hand, op): (Hand, HostOp)) -> Seen {
        let host = match hand {
            Hand::Steer => self.host,
            Hand::Ask => {
                let name = self.model.host_name(self.model.task_of(thread));
                name.unwrap_or(Name::NULL)
            }
        };
        let call = |id: i32, word: u32| {
            Request::call(host)
                .id(id)
                .words([word.into(), 0, 0, 0, 0, 0])
        };
        let request = match op {
            HostOp::ClockService(which) => call(<dyn MachHost>::CLOCK_SERVICE.id, which),
            HostOp::ClockControl(which) => call(<dyn MachHost>::CLOCK_CONTROL.id, which),
            HostOp::DefaultSet => call(<dyn MachHost>::PROCESSOR_SET_DEFAULT.id, 0),
            HostOp::SetControl(set) => {
                with_right(host, (<dyn MachHost>::PROCESSOR_SET_CONTROL.id, set), &[])
            }
            HostOp::Special(which) => call(<dyn Host>::SPECIAL_PORT.id, which),
            HostOp::SetSpecial(which, name) => {
                let id = <dyn Host>::SET_SPECIAL_PORT.id;
                with_right(host, (id, name), &[which.into()])
            }
            HostOp::RequestChange(change, right) => Self::request_change(host, (change, right)),
        };
        self.plain_call(thread, &request)
    }

    pub(super) fn policy_call(
        &mut self,
        thread: ThreadId,
        (name, subject, op): (Name, Subject, &PolicyOp),
    ) -> Seen {
        let is_task = matches!(subject, Subject::Task(_));
        let either = |of_task: i32, of_thread: i32| if is_task { of_task } else { of_thread };
        let call = |id: i32, words: [u32; 2]| {
            let [a, b] = words.map(u64::from);
            Request::call(name).id(id).words([a, b, 0, 0, 0, 0])
        };
        let request = match op {
            PolicyOp::SetPriority(priority, fixed) => {
                call(<dyn Thread>::SET_PRIORITY.id, [*priority, *fixed])
            }
            PolicyOp::SetPolicy(flavor, words) => {
                let mut all = [0; 6];
                all[..2].copy_from_slice(&[u64::from(*flavor), words.len() as u64]);
                for (place, word) in all[2..].iter_mut().zip(words) {
                    *place = u64::from(*word);
                }
                Request::call(name)
                    .id(<dyn Thread>::SET_POLICY.id)
                    .words(all)
            }
            PolicyOp::Policy(flavor) => {
                return self.telling_call(thread, &call(<dyn Thread>::POLICY.id, [*flavor, 0]));
            }
            PolicyOp::DepressAbort => call(<dyn Thread>::DEPRESS_ABORT.id, [0; 2]),
            PolicyOp::SetLimit(limit) => call(<dyn Task>::SET_PRIORITY_LIMIT.id, [*limit, 0]),
            PolicyOp::Assign(set, threads) => {
                let id = either(<dyn Task>::ASSIGN.id, <dyn Thread>::ASSIGN.id);
                let words = [u64::from(*threads)];
                with_right(name, (id, *set), &words[usize::from(!is_task)..])
            }
            PolicyOp::AssignDefault(threads) => {
                let id = either(
                    <dyn Task>::ASSIGN_DEFAULT.id,
                    <dyn Thread>::ASSIGN_DEFAULT.id,
                );
                call(id, [*threads, 0])
            }
            PolicyOp::Assignment => {
                let id = either(<dyn Task>::ASSIGNMENT.id, <dyn Thread>::ASSIGNMENT.id);
                call(id, [0; 2])
            }
        };
        self.plain_call(thread, &request)
    }
}
