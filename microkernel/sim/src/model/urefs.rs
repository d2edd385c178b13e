//! User references (MACH.md P-05, P-10, P-13).

use abi::exception::guard as tried;
use abi::kern_return::KernReturn as Code;
use abi::names::{Name, right};

use super::names::{Answer, PEGGED, accept, refuse, value};
use super::{Entry, Model, TaskId, Verdict};

impl Model {
    /// P-10, P-05.
    pub(super) fn mod_refs(
        &mut self,
        task: TaskId,
        what: (Name, u32, i64),
        seen: Answer,
    ) -> Verdict {
        let (name, kind, delta) = what;
        if kind >= right::NUMBER {
            return refuse(seen, &[Code::InvalidValue]);
        }
        if !name.is_valid() {
            let harmless = kind == right::SEND || kind == right::SEND_ONCE;
            return if harmless {
                accept(seen)
            } else {
                refuse(seen, &[Code::InvalidName])
            };
        }
        let Some(entry) = self.entry(task, name) else {
            return refuse(seen, &[Code::InvalidName]);
        };
        match (entry, kind) {
            (Entry::Port { send, .. }, right::SEND) if send > 0 => {
                self.change_urefs(task, name, (send, delta), seen)
            }
            (Entry::Dead(urefs), right::DEAD_NAME) => {
                self.change_urefs(task, name, (urefs, delta), seen)
            }
            (
                Entry::Port {
                    receive: true,
                    port,
                    ..
                },
                right::RECEIVE,
            ) => match delta {
                0 => accept(seen),
                -1 if self.guard_of(task, name).is_some() => {
                    self.misuse(name, (tried::MOD_REFS, 0));
                    refuse(seen, &[Code::InvalidRight])
                }
                -1 => {
                    accept(seen)?;
                    self.drop_receive(task, name, port);
                    Ok(())
                }
                _ => refuse(seen, &[Code::InvalidValue]),
            },
            (Entry::SendOnce { .. }, right::SEND_ONCE) | (Entry::Set(_), right::PORT_SET) => {
                match delta {
                    0 => accept(seen),
                    -1 => self.destroy(task, name, seen),
                    _ => refuse(seen, &[Code::InvalidValue]),
                }
            }
            _ => refuse(seen, &[Code::InvalidRight]),
        }
    }

    pub(super) fn change_urefs(
        &mut self,
        task: TaskId,
        name: Name,
        (urefs, delta): (u32, i64),
        seen: Answer,
    ) -> Verdict {
        let sum = i64::from(urefs) + delta;
        if sum < 0 {
            return refuse(seen, &[Code::InvalidValue]);
        }
        accept(seen)?;
        if delta < 0 {
            let count = delta.unsigned_abs() as u32;
            if matches!(self.entry(task, name), Some(Entry::Dead(_))) {
                self.unref(task, name, count);
            } else {
                self.drop_sends(task, name, count);
            }
            return Ok(());
        }
        let sum = u32::try_from(sum).unwrap_or(PEGGED).min(PEGGED);
        match self.tasks[task].names.get_mut(&name) {
            Some(Entry::Port { send, .. }) => *send = sum,
            Some(Entry::Dead(urefs)) => *urefs = sum,
            _ => {}
        }
        Ok(())
    }

    /// P-13.
    pub(super) fn refs(&self, task: TaskId, name: Name, kind: u32, seen: Answer) -> Verdict {
        if kind >= right::NUMBER {
            return refuse(seen, &[Code::InvalidValue]);
        }
        if !name.is_valid() {
            let harmless = kind == right::SEND || kind == right::SEND_ONCE;
            return if harmless {
                value(seen, 1)
            } else {
                refuse(seen, &[Code::InvalidName])
            };
        }
        let Some(entry) = self.entry(task, name) else {
            return refuse(seen, &[Code::InvalidName]);
        };
        value(
            seen,
            match (entry, kind) {
                (Entry::Port { send, .. }, right::SEND) => send.into(),
                (Entry::Dead(urefs), right::DEAD_NAME) => urefs.into(),
                (Entry::Port { receive, .. }, right::RECEIVE) => receive.into(),
                (Entry::SendOnce { .. }, right::SEND_ONCE) | (Entry::Set(_), right::PORT_SET) => 1,
                _ => 0,
            },
        )
    }
}
