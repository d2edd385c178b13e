//! What tasks and threads tell by flavors, of their accounts, and of what they heard last (MACH.md T-04, T-05, T-10).
//!
//! Of times it is judged that they do not go back, of memory that a part is not more than the whole.

use std::collections::BTreeMap;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::task::{Limits, basic, info, policy, thread_info};

use super::control::answer;
use super::names::refuse;
use super::{Carried, Model, Seen, Source, State, Subject, TaskId, ThreadId, Verdict};

/// A question to a task or a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AskOp {
    /// `task_info`, `thread_info`: a flavor, and room for so many words.
    InfoOf(u32, u32),
    /// What a task may use, and uses.
    Ledger,
    /// Rights to all threads of a task.
    ThreadRights,
    /// What a thread heard last. The number of the client is the model's, and 1.
    LastMessage,
}

/// What was told before.
#[derive(Clone, Default, Debug)]
pub(super) struct Told {
    /// Identity tokens.
    tokens: BTreeMap<TaskId, u64>,
    events: BTreeMap<TaskId, Vec<u64>>,
    identifiers: BTreeMap<ThreadId, u64>,
    /// Names that the first task has beside those that programs know.
    more_names: Option<u64>,
}

impl Model {
    pub(super) fn ask_op(
        &mut self,
        caller: TaskId,
        (subject, op): (Subject, AskOp),
        seen: &Seen,
    ) -> Verdict {
        match (op, subject) {
            (AskOp::InfoOf(flavor, count), _) => {
                let length = match subject {
                    Subject::Task(_) => of_task(flavor),
                    Subject::Thread(_) => of_thread(flavor),
                };
                let Some(length) = length.filter(|length| *length <= count) else {
                    return refuse(answer(seen)?, &[Code::InvalidArgument]);
                };
                let words = list(seen)?;
                if words.len() != length as usize {
                    return Err(format!("{length} words expected, not {words:x?}"));
                }
                match subject {
                    Subject::Task(task) => self.task_flavor(task, flavor, words),
                    Subject::Thread(thread) => self.thread_flavor(thread, flavor, words),
                }
            }
            (AskOp::Ledger, Subject::Task(task)) => self.ledger(task, seen),
            (AskOp::ThreadRights, Subject::Task(task)) => {
                let threads = self.threads_of(task);
                let ports = threads
                    .iter()
                    .rev()
                    .map(|thread| self.threads[*thread].port);
                self.accept_rights(caller, &ports.collect::<Vec<_>>(), seen)
            }
            (AskOp::LastMessage, Subject::Thread(thread)) => self.last_message(thread, seen),
            _ => Err("it has no such call".into()),
        }
    }

    /// An array of send rights to these ports.
    pub(super) fn accept_rights(&mut self, task: TaskId, ports: &[usize], seen: &Seen) -> Verdict {
        let Seen::Told(names) = seen else {
            return Err(format!("rights expected, not {seen:?}"));
        };
        if names.len() != ports.len() {
            return Err(format!("{} rights expected, not {names:x?}", ports.len()));
        }
        for (name, port) in names.iter().zip(ports) {
            self.accept_right(task, Carried::Send(*port), Name(*name as u32))?;
        }
        Ok(())
    }

    /// The identity token of a task is always the same.
    pub(super) fn accept_token(&mut self, task: TaskId, token: u64) -> Verdict {
        let known = self.tasks[task].identity;
        let known = known.unwrap_or(*self.told.tokens.entry(task).or_insert(token));
        match token == known {
            true => Ok(()),
            false => Err(format!("identity {known:#x} expected, not {token:#x}")),
        }
    }

    fn task_flavor(&mut self, task: TaskId, flavor: u32, words: &[u64]) -> Verdict {
        let wide = |at: usize| words[at] | words[at + 1] << 32;
        let stops = u64::from(self.tasks[task].stops);
        let share = u64::from(basic::TIMESHARE);
        let holds = match flavor {
            info::BASIC => {
                let sizes = words[1..3]
                    .iter()
                    .all(|size| size.is_multiple_of(PAGE_SIZE));
                sizes && words[0] == stops && words[5..] == [0, 0, share]
            }
            info::BASIC_64 => {
                let sizes = [wide(1), wide(3)]
                    .iter()
                    .all(|size| size.is_multiple_of(PAGE_SIZE));
                sizes && words[0] == stops && words[7..] == [0, 0, share]
            }
            info::EVENTS => {
                let before = self.told.events.insert(task, words.to_vec());
                let before = before.unwrap_or_else(|| vec![0; words.len()]);
                words[6] == 0 && before.iter().zip(words).all(|(before, now)| before <= now)
            }
            info::THREAD_TIMES => {
                let idle = self.threads_of(task).is_empty();
                words[2..] == [0, 0] && (!idle || words[..2] == [0, 0])
            }
            info::SECURITY_TOKEN => return self.accept_token(task, wide(0)),
            info::AUDIT_TOKEN => {
                self.accept_token(task, wide(0))?;
                words[2..] == [0; 6]
            }
            _ => {
                let (resident, private) = (wide(4), wide(12));
                let sizes = resident == wide(6) && private == wide(14) && private <= resident;
                sizes && words[3] == PAGE_SIZE && words[8..12] == [0; 4] && words[16..] == [0; 20]
            }
        };
        match holds {
            true => Ok(()),
            false => Err(format!("flavor {flavor} does not tell {words:x?}")),
        }
    }

    fn thread_flavor(&mut self, thread: ThreadId, flavor: u32, words: &[u64]) -> Verdict {
        let shares = self.wish(thread, policy::STANDARD) == 1 || self.in_background(thread);
        let how = match shares {
            true => basic::TIMESHARE,
            false => basic::ROUND_ROBIN,
        };
        let mut what = [how, self.doing(thread)].map(u64::from);
        // Until its task has stopped, a thread may run on elsewhere.
        if self.is_stopping(thread) && words.get(6) == Some(&thread_info::RUNNING.into()) {
            what[1] = thread_info::RUNNING.into();
        }
        let used = |word: u64| word <= thread_info::USAGE_SCALE.into();
        let holds = match flavor {
            thread_info::BASIC => {
                let stops = u64::from(self.threads[thread].stops);
                used(words[4])
                    && words[2..4] == [0, 0]
                    && words[5..7] == what
                    && words[7..] == [0, stops, 0]
            }
            thread_info::IDENTIFIER => {
                let id = words[0] | words[1] << 32;
                let known = *self.told.identifiers.entry(thread).or_insert(id);
                let alike = self.told.identifiers.values().filter(|of| **of == id);
                words[2..] == [0; 4] && known == id && alike.count() == 1
            }
            _ => {
                let task = self.threads[thread].task;
                let own = [self.priority(thread), self.priority_limit(task)].map(u64::from);
                let rests = what[1] == thread_info::WAITING.into() && !self.threads[thread].serves;
                let now = match self.is_depressed(thread) {
                    true => words[9] == 0,
                    false => !rests || words[9] <= own[0],
                };
                used(words[4])
                    && words[2..4] == [0, 0]
                    && words[5..7] == what
                    && words[7..9] == [0, 0]
                    && now
                    && words[10..12] == own
                    && words[12..] == [0; thread_info::NAME / 4]
            }
        };
        match holds {
            true => Ok(()),
            false => Err(format!(
                "{what:?} at flavor {flavor} expected, not {words:x?}"
            )),
        }
    }

    /// Whether a thread's task is about to stop: whoever stops it has not learned yet that it has.
    fn is_stopping(&self, thread: ThreadId) -> bool {
        let task = self.threads[thread].task;
        let own = self.threads_of(task).into_iter();
        let mut states = own.map(|thread| &self.threads[thread].state);
        states.any(|state| *state == State::Stopping)
    }

    /// Whether a thread runs, is stopped or waits, as Mach tells it.
    fn doing(&self, thread: ThreadId) -> u32 {
        let there = matches!(
            self.threads[thread].state,
            State::Receiving { claimed: true, .. }
        );
        match self.waits(thread) && !there {
            _ if self.is_stopped(thread) => thread_info::STOPPED,
            true => thread_info::WAITING,
            false => thread_info::RUNNING,
        }
    }

    /// Names and threads are counted exactly. A child's limits are its maker's use, for as long as anything of it is left.
    fn ledger(&mut self, task: TaskId, seen: &Seen) -> Verdict {
        let Seen::Told(words) = seen else {
            return Err(format!("an account expected, not {seen:?}"));
        };
        let (limits, used) = words.split_at(words.len() / 2);
        if limits.len() != 5 || used.iter().zip(limits).any(|(used, limit)| used > limit) {
            return Err(format!("no account: {words:x?}"));
        }
        if let Some(given) = self.tasks[task].limits.filter(|given| given != limits) {
            return Err(format!("limits {given:x?} expected, not {limits:x?}"));
        }
        let own = [self.tasks[task].names.len(), self.threads_of(task).len()];
        let children = self.tasks.iter().enumerate();
        let children = children.filter(|(_, child)| child.parent == Some(task));
        let (mut least, mut most) = (own.map(|own| own as u64), own.map(|own| own as u64));
        for (child, known) in children {
            let limits = known.limits.unwrap_or_default();
            for (n, limit) in [limits[0], limits[2]].into_iter().enumerate() {
                most[n] += limit;
                least[n] += if self.is_over(child) { 0 } else { limit };
            }
        }
        let mut counted = [used[0], used[2]];
        if task == 0 {
            let more = counted[0].saturating_sub(least[0]);
            let known = &mut self.told.more_names;
            // What is left of children that have ended is not among them.
            if least[0] == most[0] {
                known.get_or_insert(more);
            }
            counted[0] -= known.unwrap_or(more);
        }
        let fits = (0..2).all(|n| (least[n]..=most[n]).contains(&counted[n]));
        match fits {
            true => Ok(()),
            false => Err(format!(
                "names and threads are {least:?} to {most:?}, not {counted:?}"
            )),
        }
    }

    fn last_message(&self, thread: ThreadId, seen: &Seen) -> Verdict {
        if !self.is_stopped(thread) && !self.waits(thread) {
            return refuse(answer(seen)?, &[Code::Failure]);
        }
        let Seen::Told(words) = seen else {
            return Err(format!("numbers expected, not {seen:?}"));
        };
        let client = self.threads[thread].slot.and_then(|right| {
            let callers = self.threads.iter();
            callers
                .enumerate()
                .find(|(_, caller)| right == Carried::SendOnce(caller.reply))
        });
        let (client, of) = client.map_or((0, 0), |(client, caller)| (client + 1, caller.task));
        let owes = words[1..3] == [client as u64, of as u64] || words[1..3] == [0, 0];
        let certain = match client
            .checked_sub(1)
            .map(|client| &self.threads[client].state)
        {
            Some(State::Receiving { source, .. }) => matches!(source, Source::Reply(_)),
            _ => false,
        };
        let owes = owes && (!certain || words[1] != 0);
        let heard = self.threads[thread].heard;
        match owes && heard.is_none_or(|id| words[0] as i32 == id) {
            true => Ok(()),
            false => Err(format!("{heard:?} of {client} expected, not {words:x?}")),
        }
    }
}

/// Limits in the order in which they are told.
pub(super) fn words(limits: Limits) -> [u64; 5] {
    let small = [limits.names, limits.messages, limits.threads, limits.pages];
    let [a, b, c, d] = small.map(u64::from);
    [a, b, c, d, limits.kernel_bytes]
}

/// Words of a flavor of `task_info`.
fn of_task(flavor: u32) -> Option<u32> {
    match flavor {
        info::BASIC => Some(info::BASIC_COUNT),
        info::BASIC_64 => Some(info::BASIC_64_COUNT),
        info::EVENTS => Some(info::EVENTS_COUNT),
        info::THREAD_TIMES => Some(info::THREAD_TIMES_COUNT),
        info::SECURITY_TOKEN => Some(info::SECURITY_TOKEN_COUNT),
        info::AUDIT_TOKEN => Some(info::AUDIT_TOKEN_COUNT),
        info::VM_INFO => Some(info::VM_INFO_COUNT),
        _ => None,
    }
}

/// Words of a flavor of `thread_info`.
fn of_thread(flavor: u32) -> Option<u32> {
    match flavor {
        thread_info::BASIC => Some(thread_info::BASIC_COUNT),
        thread_info::IDENTIFIER => Some(thread_info::IDENTIFIER_COUNT),
        thread_info::EXTENDED => Some(thread_info::EXTENDED_COUNT),
        _ => None,
    }
}

/// The words of a list that was told.
pub(super) fn list(seen: &Seen) -> Result<&[u64], String> {
    let list = match seen {
        Seen::Told(words) => words.split_first(),
        _ => None,
    };
    let list = list.and_then(|(length, words)| words.get(..*length as usize));
    list.ok_or_else(|| format!("a list expected, not {seen:?}"))
}
