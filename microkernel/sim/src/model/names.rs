//! Traps on names (MACH.md P): everything but notifications and messages.

use abi::exception::guard as tried;
use abi::kern_return::KernReturn as Code;
use abi::names::{MAX_UREFS, Name, disposition, port_type, queue_limit, right};
use abi::trap::{attribute, construct};

use super::{Ask, Carried, Entry, Holder, Model, Op, PortId, TaskId, ThreadId, Verdict};

/// What an ordinary trap answered.
pub(super) type Answer = (Code, u64);

pub(super) const PEGGED: u32 = MAX_UREFS as u32;

/// The kernel must have refused, with one of these codes.
pub(super) fn refuse(seen: Answer, codes: &[Code]) -> Verdict {
    if codes.contains(&seen.0) {
        return Ok(());
    }
    Err(format!(
        "{codes:?} expected, not {:?} {:#x}",
        seen.0, seen.1
    ))
}

/// The kernel must have done it.
pub(super) fn accept(seen: Answer) -> Verdict {
    refuse(seen, &[Code::Success])
}

/// The kernel must have answered this value.
pub(super) fn value(seen: Answer, expected: u64) -> Verdict {
    accept(seen)?;
    if seen.1 == expected {
        return Ok(());
    }
    Err(format!("{expected:#x} expected, not {:#x}", seen.1))
}

impl Model {
    pub(super) fn name_op(&mut self, thread: ThreadId, op: &Op, seen: Answer) -> Verdict {
        let task = self.threads[thread].task;
        if let Some(verdict) = self.slot_op(thread, op, seen) {
            return verdict;
        }
        match *op {
            Op::Allocate { right } => self.allocate(task, right, seen),
            Op::Construct {
                flags,
                limit,
                label,
                guard,
            } => self.construct(task, [flags, limit, label, guard], seen),
            Op::AllocateName { right, name } => self.allocate_name(task, right, name, seen),
            Op::Guard {
                name,
                guard,
                strict,
            } => self.guard(task, name, (guard, strict), seen),
            Op::Unguard { name, guard } => self.change_guard(task, name, (guard, None), seen),
            Op::SwapGuard { name, old, new } => {
                self.change_guard(task, name, (old, Some(new)), seen)
            }
            Op::Destruct { name, delta, guard } => self.destruct(task, name, (delta, guard), seen),
            Op::Destroy { name } => self.destroy(task, name, seen),
            Op::Deallocate { name } => self.deallocate(task, name, seen),
            Op::ModRefs { name, right, delta } => self.mod_refs(task, (name, right, delta), seen),
            Op::Refs { name, right } => self.refs(task, name, right, seen),
            Op::Type { name } => self.type_of(task, name, seen),
            Op::MoveMember { member, set } => self.move_member(task, member, set, seen),
            Op::InsertMember { member, set } => self.insert_member(task, (member, set), seen),
            Op::ExtractMember { member, set } => {
                self.member(task, (member, set), seen, |set, port| {
                    let before = set.len();
                    set.retain(|member| *member != port);
                    set.len() < before
                })
            }
            Op::InsertRight {
                name,
                right,
                disposition,
            } => self.insert_right(thread, (name, right, disposition), seen),
            Op::Attribute { name, attribute } => self.attribute(task, name, attribute, seen),
            Op::SetAttribute {
                name,
                attribute,
                value,
            } => self.set_attribute(task, (name, attribute, value), seen),
            Op::SetLabel { name, label } => {
                self.set_attribute(task, (name, attribute::LABEL, label), seen)
            }
            Op::Notify { name, id, sync, to } => self.notify_op(task, (name, id, sync, to), seen),
            Op::Host(hand, op) => self.host_op(thread, (hand, op), seen),
            Op::Timer(op) => self.timer_op(task, op, seen),
            Op::Itself(op) => self.self_op(thread, op, seen),
            Op::Vm(op) => self.vm_op(thread, op, seen),
            Op::TakeSlot => self.take_slot(thread, seen),
            Op::Buffer(op) => self.buffer_op(thread, op, seen),
            Op::Kept(ref op) => self.kept_op(task, op, seen),
            Op::Personality { entry } => self.set_personality(task, entry, seen),
            _ => Err("not an ordinary trap".into()),
        }
    }

    /// P-02.
    fn type_of(&self, task: TaskId, name: Name, seen: Answer) -> Verdict {
        match self.entry(task, name) {
            Some(entry) => value(seen, entry.bits().into()),
            None => refuse(seen, &[Code::InvalidName]),
        }
    }

    pub(super) fn entry(&self, task: TaskId, name: Name) -> Option<Entry> {
        self.tasks[task].names.get(&name).cloned()
    }

    /// The port of which the name is the receive right.
    pub(super) fn receive_right(&self, task: TaskId, name: Name) -> Option<PortId> {
        match self.tasks[task].names.get(&name) {
            Some(Entry::Port {
                port,
                receive: true,
                ..
            }) => Some(*port),
            _ => None,
        }
    }

    /// What a call answers that needs one.
    pub(super) fn no_receive_right(&self, task: TaskId, name: Name) -> Code {
        match self.entry(task, name) {
            Some(_) => Code::InvalidRight,
            None => Code::InvalidName,
        }
    }

    /// A name that the kernel chose: P-01.
    pub(super) fn fresh(&mut self, task: TaskId, name: Name, entry: Entry) -> Verdict {
        let table = &mut self.tasks[task];
        if !name.is_valid() || name.index() == 0 || table.names.contains_key(&name) {
            return Err(format!("{name:x?} is no fresh name"));
        }
        if table
            .names
            .keys()
            .any(|other| other.index() == name.index())
        {
            return Err(format!("{name:x?} has the index of another name"));
        }
        let past = table.past.get(&name.index());
        if past.is_some_and(|past| past.iter().rev().take(8).any(|old| *old == name)) {
            return Err(format!("{name:x?} was another right's name before"));
        }
        table.names.insert(name, entry);
        Ok(())
    }

    /// Takes a name out of the table; what was armed on it fires as port-deleted (N-04).
    pub(super) fn remove(&mut self, task: TaskId, name: Name) {
        let table = &mut self.tasks[task];
        let Some(entry) = table.names.remove(&name) else {
            return;
        };
        table.past.entry(name.index()).or_default().push(name);
        let (Entry::Port { request, .. } | Entry::SendOnce { request, .. }) = entry else {
            return;
        };
        if let Some(Ask { to, .. }) = request {
            self.notify(to, abi::notify::PORT_DELETED, Some(name.0.into()));
        }
    }

    /// Takes one user reference of a send right or dead name; the name goes with the last.
    pub(super) fn unref(&mut self, task: TaskId, name: Name, count: u32) {
        let Some(entry) = self.tasks[task].names.get_mut(&name) else {
            return;
        };
        let (urefs, rest) = match entry {
            Entry::Port { send, receive, .. } => (send, *receive),
            Entry::Dead(urefs) => (urefs, false),
            Entry::SendOnce { .. } | Entry::Set(_) => return,
        };
        if *urefs == PEGGED && count != PEGGED {
            return;
        }
        *urefs -= count;
        if *urefs == 0 && !rest {
            self.remove(task, name);
        }
    }

    pub(super) fn allocate(&mut self, task: TaskId, kind: u32, seen: Answer) -> Verdict {
        match kind {
            right::RECEIVE | right::PORT_SET | right::DEAD_NAME => accept(seen)?,
            _ => return refuse(seen, &[Code::InvalidValue]),
        }
        let entry = self.new_entry(task, kind);
        self.fresh(task, Name(seen.1 as u32), entry)
    }

    /// P-07. A name of the caller's choice may be one that was there before.
    pub(super) fn allocate_name(
        &mut self,
        task: TaskId,
        kind: u32,
        name: Name,
        seen: Answer,
    ) -> Verdict {
        let known = matches!(kind, right::RECEIVE | right::PORT_SET | right::DEAD_NAME);
        let mut names = self.tasks[task].names.keys();
        let codes = [
            (!known || name.index() == 0, Code::InvalidValue),
            (
                names.any(|other| other.index() == name.index()),
                Code::NameExists,
            ),
        ];
        let wrong: Vec<Code> = codes
            .into_iter()
            .filter(|code| code.0)
            .map(|code| code.1)
            .collect();
        if !wrong.is_empty() {
            return refuse(seen, &wrong);
        }
        value(seen, name.0.into())?;
        let entry = self.new_entry(task, kind);
        let table = &mut self.tasks[task];
        table.past.remove(&name.index());
        table.names.insert(name, entry);
        Ok(())
    }

    fn new_entry(&mut self, task: TaskId, kind: u32) -> Entry {
        match kind {
            right::RECEIVE => {
                let port = self.new_port(Holder::Task(task));
                Entry::Port {
                    port,
                    send: 0,
                    receive: true,
                    request: None,
                }
            }
            right::PORT_SET => self.new_set(),
            _ => Entry::Dead(1),
        }
    }

    fn new_set(&mut self) -> Entry {
        self.sets.push(Vec::new());
        Entry::Set(self.sets.len() - 1)
    }

    /// P-18.
    fn construct(&mut self, task: TaskId, arguments: [u64; 4], seen: Answer) -> Verdict {
        let [flags, limit, label, guard] = arguments;
        let guarded = construct::GUARD | construct::STRICT;
        let all = construct::INSERT_SEND | construct::QUEUE_LIMIT | construct::LABEL | guarded;
        if flags == construct::PORT_SET {
            accept(seen)?;
            let set = self.new_set();
            return self.fresh(task, Name(seen.1 as u32), set);
        }
        if flags & !all != 0 || flags & guarded == construct::STRICT {
            return refuse(seen, &[Code::InvalidValue]);
        }
        if flags & construct::QUEUE_LIMIT != 0 && limit > queue_limit::MAX.into() {
            return refuse(seen, &[Code::InvalidValue]);
        }
        accept(seen)?;
        let port = self.new_port(Holder::Task(task));
        let send = u32::from(flags & construct::INSERT_SEND != 0);
        let state = &mut self.ports[port];
        state.make_send = send.into();
        if flags & construct::QUEUE_LIMIT != 0 {
            state.limit = limit;
        }
        if flags & construct::LABEL != 0 {
            state.label = Some(label);
        }
        if flags & construct::GUARD != 0 {
            state.guard = Some((guard, flags & construct::STRICT != 0));
        }
        self.fresh(
            task,
            Name(seen.1 as u32),
            Entry::Port {
                port,
                send,
                receive: true,
                request: None,
            },
        )
    }

    fn destruct(
        &mut self,
        task: TaskId,
        name: Name,
        (delta, guard): (i64, u64),
        seen: Answer,
    ) -> Verdict {
        let (send, port) = match self.entry(task, name) {
            None => return refuse(seen, &[Code::InvalidName]),
            Some(Entry::Port {
                port,
                send,
                receive: true,
                ..
            }) => (i64::from(send), port),
            Some(_) => return refuse(seen, &[Code::InvalidRight]),
        };
        if delta > 0 {
            return refuse(seen, &[Code::InvalidValue]);
        }
        let held = self.ports[port].guard;
        if held.is_some_and(|(held, _)| held != guard) {
            self.misuse(name, (tried::INCORRECT_GUARD, guard));
            return refuse(seen, &[Code::InvalidArgument]);
        }
        if send == 0 && delta < 0 {
            return refuse(seen, &[Code::InvalidRight]);
        }
        if delta + send < 0 {
            return refuse(seen, &[Code::InvalidValue]);
        }
        accept(seen)?;
        // Nobody receives any more what the end of the send rights makes the port tell itself.
        self.withdraw(port);
        if delta < 0 {
            self.drop_sends(task, name, delta.unsigned_abs() as u32);
        }
        self.drop_receive(task, name, port);
        Ok(())
    }

    /// P-12.
    pub(super) fn destroy(&mut self, task: TaskId, name: Name, seen: Answer) -> Verdict {
        let Some(entry) = self.entry(task, name) else {
            return refuse(seen, &[Code::InvalidName]);
        };
        if self.guard_of(task, name).is_some() {
            self.misuse(name, (tried::DESTROY, 0));
            return refuse(seen, &[Code::InvalidRight]);
        }
        accept(seen)?;
        if let Entry::Port {
            port,
            receive: true,
            ..
        } = entry
        {
            self.withdraw(port);
        }
        self.remove(task, name);
        match entry {
            Entry::Port {
                port,
                send,
                receive,
                ..
            } => {
                if send > 0 {
                    self.discard(Carried::Send(port));
                }
                if receive {
                    self.discard(Carried::Receive(port));
                }
            }
            Entry::SendOnce { port, .. } => self.discard(Carried::SendOnce(port)),
            Entry::Set(set) => self.destroy_set(set),
            Entry::Dead(_) => {}
        }
        Ok(())
    }

    /// P-08, P-09.
    fn deallocate(&mut self, task: TaskId, name: Name, seen: Answer) -> Verdict {
        match self.entry(task, name) {
            None => refuse(seen, &[Code::InvalidName]),
            Some(Entry::Port { send: 0, .. }) => refuse(seen, &[Code::InvalidRight]),
            Some(Entry::Port { .. }) => {
                accept(seen)?;
                self.drop_sends(task, name, 1);
                Ok(())
            }
            Some(Entry::Dead(_)) => {
                accept(seen)?;
                self.unref(task, name, 1);
                Ok(())
            }
            Some(Entry::SendOnce { .. } | Entry::Set(_)) => self.destroy(task, name, seen),
        }
    }

    /// Drops user references of a send right, and the right with the last of them.
    pub(super) fn drop_sends(&mut self, task: TaskId, name: Name, count: u32) {
        let Some(Entry::Port { port, .. }) = self.entry(task, name) else {
            return;
        };
        self.unref(task, name, count);
        let left = self.entry(task, name);
        if !matches!(left, Some(Entry::Port { send, .. }) if send > 0) {
            self.discard(Carried::Send(port));
        }
    }

    /// P-11: the receive right goes, a send right under the same name stays.
    pub(super) fn drop_receive(&mut self, task: TaskId, name: Name, port: PortId) {
        let Some(Entry::Port { send, receive, .. }) = self.tasks[task].names.get_mut(&name) else {
            return;
        };
        *receive = false;
        let last = *send == 0;
        self.withdraw(port);
        if last {
            self.remove(task, name);
        }
        self.discard(Carried::Receive(port));
    }

    /// P-14, on the task itself.
    fn insert_right(&mut self, thread: ThreadId, what: (Name, Name, u8), seen: Answer) -> Verdict {
        let task = self.threads[thread].task;
        let (name, source, how) = what;
        if let Some(code) = self.cannot_insert(thread, what) {
            let guarded = how == disposition::MOVE_RECEIVE && code == Code::InvalidRight;
            if guarded && self.guard_of(task, source).is_some() {
                self.misuse(source, (tried::INCORRECT_GUARD, 0));
            }
            return refuse(seen, &[code]);
        }
        accept(seen)?;
        let right = self.take(thread, source, how).ok_or("there is no right")?;
        if let Carried::SendOnce(_) = right {
            // The name is the caller's choice.
            self.tasks[task].past.remove(&name.index());
        } else if self.entry(task, name).is_none()
            && let Some(past) = self.tasks[task].past.get_mut(&name.index())
        {
            // It left its name, and has it again.
            past.pop();
        }
        self.accept_right(task, right, name)
    }

    /// Why a task cannot have a right that it has under another name, or under the same one.
    fn cannot_insert(&self, thread: ThreadId, what: (Name, Name, u8)) -> Option<Code> {
        let task = self.threads[thread].task;
        let (name, source, how) = what;
        if !source.is_valid() {
            return Some(Code::InvalidCapability);
        }
        let dead = match (source, self.threads[thread].slot) {
            (Name::REPLY_SLOT, Some(Carried::SendOnce(port))) if self.is_alive(port) => false,
            (Name::REPLY_SLOT, Some(_)) => true,
            (source, _) => match self.entry(task, source) {
                Some(entry) => matches!(entry, Entry::Dead(_)),
                None => return Some(Code::InvalidName),
            },
        };
        let known = disposition::MOVE_RECEIVE..=disposition::MAKE_SEND_ONCE;
        let of_receive = [
            disposition::MOVE_RECEIVE,
            disposition::MAKE_SEND,
            disposition::MAKE_SEND_ONCE,
        ];
        if !known.contains(&how) {
            return Some(Code::InvalidValue);
        }
        if dead && (source == Name::REPLY_SLOT || !of_receive.contains(&how)) {
            return Some(Code::InvalidCapability);
        }
        let right = self.clone().take(thread, source, how);
        let names = &self.tasks[task].names;
        let taken = names.keys().any(|other| other.index() == name.index());
        match right {
            None => Some(Code::InvalidRight),
            Some(Carried::SendOnce(_)) if !name.is_valid() || name.index() == 0 => {
                Some(Code::InvalidValue)
            }
            Some(Carried::SendOnce(_)) if taken => Some(Code::NameExists),
            Some(Carried::SendOnce(_)) => None,
            Some(_) if name == source => None,
            Some(_) if taken => Some(Code::NameExists),
            Some(_) => Some(Code::RightExists),
        }
    }

    /// What is done with the right in the slot, under its reserved name.
    fn slot_op(&mut self, thread: ThreadId, op: &Op, seen: Answer) -> Option<Verdict> {
        let (Op::Destroy { name }
        | Op::Deallocate { name }
        | Op::ModRefs { name, .. }
        | Op::Refs { name, .. }
        | Op::Type { name }) = op
        else {
            return None;
        };
        if *name != Name::REPLY_SLOT {
            return None;
        }
        let Some(held) = self.threads[thread].slot else {
            let unknown = [Code::InvalidName, Code::InvalidValue];
            return Some(refuse(seen, &unknown));
        };
        let alive = matches!(held, Carried::SendOnce(port) if self.is_alive(port));
        let (kind, bits) = match alive {
            true => (right::SEND_ONCE, port_type::SEND_ONCE),
            false => (right::DEAD_NAME, port_type::DEAD_NAME),
        };
        let ends = match *op {
            Op::Type { .. } => return Some(value(seen, bits.into())),
            Op::Refs { right, .. } if right > right::DEAD_NAME => {
                return Some(refuse(seen, &[Code::InvalidValue]));
            }
            Op::Refs { right, .. } => return Some(value(seen, u64::from(right == kind))),
            Op::ModRefs { right, .. } if right > right::DEAD_NAME => {
                return Some(refuse(seen, &[Code::InvalidValue]));
            }
            Op::ModRefs { right, .. } if right != kind => {
                return Some(refuse(seen, &[Code::InvalidRight]));
            }
            Op::ModRefs { delta: 0, .. } => return Some(accept(seen)),
            Op::ModRefs { delta, .. } => delta == -1,
            _ => true,
        };
        if !ends {
            return Some(refuse(seen, &[Code::InvalidValue]));
        }
        self.threads[thread].slot = None;
        self.discard(held);
        Some(accept(seen))
    }

    /// Whether a thread has a right in its reply slot.
    pub fn has_reply_right(&self, thread: ThreadId) -> bool {
        self.threads[thread].slot.is_some()
    }

    fn take_slot(&mut self, thread: ThreadId, seen: Answer) -> Verdict {
        let Some(right) = self.threads[thread].slot else {
            return refuse(seen, &[Code::InvalidName, Code::InvalidRight]);
        };
        accept(seen)?;
        self.threads[thread].slot = None;
        let name = Name(seen.1 as u32);
        match right {
            Carried::SendOnce(port) if self.is_alive(port) => {
                let task = self.threads[thread].task;
                self.fresh(
                    task,
                    name,
                    Entry::SendOnce {
                        port,
                        request: None,
                    },
                )
            }
            _ if name == Name::DEAD => Ok(()),
            _ => self.fresh(self.threads[thread].task, name, Entry::Dead(1)),
        }
    }
}
