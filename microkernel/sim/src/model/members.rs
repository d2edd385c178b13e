//! Port sets and attributes of receive rights (MACH.md P-30 to P-33).

use abi::kern_return::KernReturn as Code;
use abi::names::{Name, queue_limit};
use abi::trap::attribute;

use super::names::{Answer, accept, refuse, value};
use super::{Entry, Model, PortId, TaskId, Verdict};

impl Model {
    /// P-33.
    pub(super) fn move_member(
        &mut self,
        task: TaskId,
        member: Name,
        set: Name,
        seen: Answer,
    ) -> Verdict {
        if set != Name::NULL {
            self.member(task, (member, set), seen, |_, _| true)?;
            if seen.0 == Code::Success
                && let Some(port) = self.receive_right(task, member)
                && let Some(Entry::Set(set)) = self.entry(task, set)
            {
                self.leave_sets(port);
                self.sets[set].push(port);
                self.offer(port);
            }
            return Ok(());
        }
        let Some(port) = self.receive_right(task, member) else {
            return refuse(seen, &[self.no_receive_right(task, member)]);
        };
        if self.sets.iter().all(|set| !set.contains(&port)) {
            return refuse(seen, &[Code::NotInSet]);
        }
        accept(seen)?;
        self.leave_sets(port);
        Ok(())
    }

    pub(super) fn insert_member(
        &mut self,
        task: TaskId,
        (member, set): (Name, Name),
        seen: Answer,
    ) -> Verdict {
        if self.is_member(task, member, set) {
            return refuse(seen, &[Code::AlreadyInSet]);
        }
        self.member(task, (member, set), seen, |set, port| {
            set.push(port);
            true
        })?;
        if let Some(port) = self.receive_right(task, member) {
            self.offer(port);
        }
        Ok(())
    }

    /// Names of receive rights and of sets that these are in.
    pub fn memberships(&self, task: TaskId) -> Vec<(Name, Name)> {
        let names = || self.tasks[task].names.keys().copied();
        names()
            .flat_map(|member| names().map(move |set| (member, set)))
            .filter(|(member, set)| self.is_member(task, *member, *set))
            .collect()
    }

    fn is_member(&self, task: TaskId, member: Name, set: Name) -> bool {
        match (self.receive_right(task, member), self.entry(task, set)) {
            (Some(port), Some(Entry::Set(set))) => self.sets[set].contains(&port),
            _ => false,
        }
    }

    /// Changes a set, after the checks of both names. `change` answers whether it could.
    pub(super) fn member(
        &mut self,
        task: TaskId,
        (member, set): (Name, Name),
        seen: Answer,
        change: impl FnOnce(&mut Vec<PortId>, PortId) -> bool,
    ) -> Verdict {
        let (port, in_set) = (self.entry(task, member), self.entry(task, set));
        let mut wrong = Vec::new();
        let mut find = |entry: &Option<Entry>, fits: bool| match entry {
            None => wrong.push(Code::InvalidName),
            Some(_) if !fits => wrong.push(Code::InvalidRight),
            Some(_) => {}
        };
        find(
            &port,
            matches!(port, Some(Entry::Port { receive: true, .. })),
        );
        find(&in_set, matches!(in_set, Some(Entry::Set(_))));
        match (port, in_set) {
            (Some(Entry::Port { port, .. }), Some(Entry::Set(set))) if wrong.is_empty() => {
                if !change(&mut self.sets[set], port) {
                    return refuse(seen, &[Code::NotInSet]);
                }
                accept(seen)
            }
            _ => refuse(seen, &wrong),
        }
    }

    /// P-30, P-31.
    pub(super) fn attribute(&self, task: TaskId, name: Name, which: u64, seen: Answer) -> Verdict {
        let Some(port) = self.receive_right(task, name) else {
            return refuse(seen, &[self.no_receive_right(task, name)]);
        };
        let state = &self.ports[port];
        value(
            seen,
            match which {
                attribute::QUEUE_LIMIT => state.limit,
                attribute::MESSAGE_COUNT => state.queue.len() as u64,
                attribute::MAKE_SEND_COUNT => state.make_send,
                attribute::SEQUENCE => state.sequence,
                attribute::SEND_RIGHTS => self.send_rights(port),
                attribute::SEND_ONCE_RIGHTS => self.send_once_rights(port, seen.1),
                attribute::PORT_SETS => {
                    self.sets.iter().filter(|set| set.contains(&port)).count() as u64
                }
                attribute::LABEL => state.label.unwrap_or(name.0.into()),
                _ => return refuse(seen, &[Code::InvalidValue, Code::InvalidArgument]),
            },
        )
    }

    pub(super) fn set_attribute(
        &mut self,
        task: TaskId,
        what: (Name, u64, u64),
        seen: Answer,
    ) -> Verdict {
        let (name, which, to) = what;
        let Some(port) = self.receive_right(task, name) else {
            return refuse(seen, &[self.no_receive_right(task, name)]);
        };
        let state = &mut self.ports[port];
        match which {
            attribute::QUEUE_LIMIT if to > queue_limit::MAX.into() => {
                return refuse(seen, &[Code::InvalidValue]);
            }
            attribute::QUEUE_LIMIT => state.limit = to,
            attribute::MAKE_SEND_COUNT => state.make_send = to,
            attribute::SEQUENCE => state.sequence = to,
            attribute::LABEL => state.label = Some(to),
            _ => return refuse(seen, &[Code::InvalidValue, Code::InvalidArgument]),
        }
        accept(seen)?;
        self.admit(port);
        Ok(())
    }
}
