//! Calls of a task's control port on its names (MACH.md P-14, P-15, P-16, P-37): what traps do to the caller's own names, and
//! rights that go into a task and come out.

use abi::kern_return::KernReturn as Code;
use abi::message::{size_in_buffer, trailer};
use abi::names::{Name, disposition};

use super::names::{Answer, accept, refuse, value};
use super::{Carried, Entry, Holder, Model, Seen, Subject, TaskId, ThreadId, Verdict};

/// A call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the calls' arguments under their own names")]
pub enum PortsOp {
    Allocate {
        right: u32,
    },
    AllocateName {
        right: u32,
        name: Name,
    },
    Peek {
        name: Name,
        trailer: u32,
    },
    Guard {
        name: Name,
        guard: u64,
        strict: u32,
    },
    Unguard {
        name: Name,
        guard: u64,
    },
    SwapGuard {
        name: Name,
        old: u64,
        new: u64,
    },
    /// The caller's right comes under the name, or a fresh one.
    Insert {
        name: Name,
        right: Name,
        how: u8,
    },
    /// By a call that gives a right of the kind that the second disposition makes.
    Extract {
        name: Name,
        how: u8,
        kind: u8,
    },
    /// Names behind this one.
    Rights {
        after: Name,
    },
    Names,
}

/// Which dispositions a call gives rights of a kind by.
fn gives(kind: u8) -> &'static [u8] {
    use disposition::{
        COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE,
    };
    match kind {
        MOVE_RECEIVE => &[MOVE_RECEIVE],
        MOVE_SEND_ONCE => &[MOVE_SEND_ONCE, MAKE_SEND_ONCE],
        _ => &[MOVE_SEND, COPY_SEND, MAKE_SEND],
    }
}

impl Model {
    /// Names of a task's own and of other living tasks' control ports, and whose these are.
    pub fn controls(&self, task: TaskId) -> Vec<(Name, TaskId)> {
        let subjects = self.subjects(task).into_iter();
        let tasks = subjects.filter_map(|(name, subject)| match subject {
            Subject::Task(of) => Some((name, of)),
            Subject::Thread(_) => None,
        });
        tasks.collect()
    }

    /// Whether a name of a task's is a right that can be given so.
    pub fn can_give(&self, task: TaskId, name: Name, how: u8) -> bool {
        self.clone().take_of(task, name, how).is_some()
    }

    pub(super) fn ports_op(
        &mut self,
        thread: ThreadId,
        (of, op): (TaskId, &PortsOp),
        seen: &Seen,
    ) -> Verdict {
        let told: &[u64] = match seen {
            Seen::Told(words) => words,
            _ => &[],
        };
        let answer = match *seen {
            Seen::Trap(code, value) => (code, value),
            _ => (Code::Success, 0),
        };
        let verdict = match *op {
            PortsOp::Allocate { right } => self.allocate(of, right, answer),
            PortsOp::AllocateName { right, name } => self.allocate_name(of, right, name, answer),
            PortsOp::Guard {
                name,
                guard,
                strict,
            } => self.guard(of, name, (guard, strict.into()), answer),
            PortsOp::Unguard { name, guard } => self.change_guard(of, name, (guard, None), answer),
            PortsOp::SwapGuard { name, old, new } => {
                self.change_guard(of, name, (old, Some(new)), answer)
            }
            PortsOp::Insert { name, right, how } => {
                self.insert_into(thread, of, (name, right, how), answer)
            }
            PortsOp::Extract { name, how, kind } => {
                self.extract_from(of, self.threads[thread].task, (name, how, kind), answer)
            }
            PortsOp::Peek { name, trailer } => self.peek(of, (name, trailer), answer, told),
            PortsOp::Rights { after } => accept(answer).and_then(|()| self.rights(of, after, told)),
            PortsOp::Names => accept(answer).and_then(|()| self.all_names(of, told)),
        };
        // What others try with a task's ports is not told.
        self.misuse = self
            .misuse
            .take()
            .filter(|_| of == self.threads[thread].task);
        verdict
    }

    fn insert_into(
        &mut self,
        thread: ThreadId,
        of: TaskId,
        (name, right, how): (Name, Name, u8),
        seen: Answer,
    ) -> Verdict {
        let right = self.take(thread, right, how).ok_or("there is no right")?;
        let refusal = self.refuses(of, (name, right));
        if let Some(code) = refusal {
            self.discard(right);
            return refuse(seen, &[code]);
        }
        accept(seen)?;
        let got = Name(seen.1 as u32);
        if name == Name::NULL {
            return self.accept_right(of, right, got);
        }
        value(seen, name.0.into())?;
        // The name is the caller's choice, and may be one that was there before.
        self.tasks[of].past.remove(&name.index());
        self.accept_right(of, right, name)
    }

    /// P-14: why a right cannot get a name.
    fn refuses(&self, of: TaskId, (name, right): (Name, Carried)) -> Option<Code> {
        let (Carried::Send(port) | Carried::SendOnce(port) | Carried::Receive(port)) = right else {
            return Some(Code::InvalidCapability);
        };
        if !self.is_alive(port) {
            return Some(Code::InvalidCapability);
        }
        if name == Name::NULL {
            return None;
        }
        let names = &self.tasks[of].names;
        let mut known = names.iter().filter_map(|(name, entry)| match entry {
            Entry::Port { port: of, .. } if *of == port => Some(*name),
            _ => None,
        });
        let known = known
            .next()
            .filter(|_| !matches!(right, Carried::SendOnce(_)));
        let taken = names.keys().any(|other| other.index() == name.index());
        match known {
            Some(known) if known == name => None,
            Some(_) => Some(Code::RightExists),
            None if !name.is_valid() || name.index() == 0 => Some(Code::InvalidValue),
            None if taken => Some(Code::NameExists),
            None => None,
        }
    }

    fn extract_from(
        &mut self,
        of: TaskId,
        to: TaskId,
        (name, how, kind): (Name, u8, u8),
        seen: Answer,
    ) -> Verdict {
        if !gives(kind).contains(&how) {
            return refuse(seen, &[Code::InvalidValue]);
        }
        let Some(entry) = self.entry(of, name) else {
            return refuse(seen, &[Code::InvalidName]);
        };
        let makes = [
            disposition::MAKE_SEND,
            disposition::MAKE_SEND_ONCE,
            disposition::MOVE_RECEIVE,
        ];
        if matches!(entry, Entry::Dead(_)) && !makes.contains(&how) {
            return refuse(seen, &[Code::InvalidCapability]);
        }
        let Some(right) = self.take_of(of, name, how) else {
            return refuse(seen, &[Code::InvalidRight]);
        };
        accept(seen)?;
        self.accept_right(to, right, Name(seen.1 as u32))
    }

    /// P-37.
    fn peek(
        &self,
        of: TaskId,
        (name, wanted): (Name, u32),
        answer: Answer,
        told: &[u64],
    ) -> Verdict {
        if wanted > trailer::AUDIT {
            return refuse(answer, &[Code::InvalidValue]);
        }
        let Some(port) = self.receive_right(of, name) else {
            return refuse(answer, &[self.no_receive_right(of, name)]);
        };
        let state = &self.ports[port];
        if state.queue.is_empty() {
            return refuse(answer, &[Code::Failure]);
        }
        accept(answer)?;
        let [sequence, size, id, _sender] = *told else {
            return Err(format!("four words expected, not {told:x?}"));
        };
        let shown = |message: &super::Message| (message.id as u32, size_in_buffer(message.shape()));
        let expected: Vec<_> = state.next().map(shown).collect();
        if !expected.contains(&(id as u32, size as u32)) || sequence != state.sequence {
            let next = state.sequence;
            return Err(format!("{next} of {expected:x?} expected, not {told:x?}"));
        }
        Ok(())
    }

    /// The names behind one, as many as an answer holds: of those that the model knows none is missing or different.
    fn rights(&self, of: TaskId, after: Name, told: &[u64]) -> Verdict {
        let (count, rows) = told.split_first().ok_or("there is no list")?;
        let rows: Vec<[u64; 6]> = rows.as_chunks().0.to_vec();
        if rows.len() as u64 != *count {
            return Err(format!("{count} rows expected, not {}", rows.len()));
        }
        let index = |name: u64| Name(name as u32).index();
        if rows.iter().any(|row| index(row[0]) <= after.index())
            || rows
                .windows(2)
                .any(|two| index(two[0][0]) >= index(two[1][0]))
        {
            return Err(format!("{rows:x?} is in no order"));
        }
        let listed = |name: Name| rows.iter().find(|row| row[0] == u64::from(name.0));
        let end = rows.last().map_or(u32::MAX, |row| index(row[0]));
        for (name, entry) in &self.tasks[of].names {
            if name.index() <= after.index() || name.index() > end {
                continue;
            }
            let row = listed(*name).ok_or_else(|| format!("{name:x?} is missing"))?;
            let expected = self.row(of, *name, entry);
            if row[1..3] != expected[..2] || row[4..] != expected[2..] {
                return Err(format!("{name:x?}: {expected:x?} expected, not {row:x?}"));
            }
        }
        let known = |row: &&[u64; 6]| self.tasks[of].past.contains_key(&index(row[0]));
        let stale = rows.iter().filter(known).find(|row| {
            let name = Name(row[0] as u32);
            self.entry(of, name).is_none()
        });
        stale.map_or(Ok(()), |row| Err(format!("{row:x?} is no name")))
    }

    /// Kind, references, messages, send rights.
    fn row(&self, of: TaskId, name: Name, entry: &Entry) -> [u64; 4] {
        let references = match *entry {
            Entry::Port { send, .. } => send,
            Entry::Dead(references) => references,
            Entry::SendOnce { .. } => 1,
            Entry::Set(_) => 0,
        };
        let own = self.receive_right(of, name);
        let counts = own.map_or([0, 0], |port| {
            debug_assert_eq!(self.ports[port].holder, Holder::Task(of));
            [self.ports[port].queue.len() as u64, self.send_rights(port)]
        });
        [entry.bits().into(), references.into(), counts[0], counts[1]]
    }

    /// P-16: names and what they denote, in turn.
    fn all_names(&self, of: TaskId, told: &[u64]) -> Verdict {
        let pairs = told.as_chunks::<2>().0;
        for (name, entry) in &self.tasks[of].names {
            let kinds: Vec<u64> = pairs
                .iter()
                .filter(|pair| pair[0] == u64::from(name.0))
                .map(|pair| pair[1])
                .collect();
            if kinds != [u64::from(entry.bits())] {
                return Err(format!(
                    "{name:x?}: {:x} expected, not {kinds:x?}",
                    entry.bits()
                ));
            }
        }
        Ok(())
    }
}
