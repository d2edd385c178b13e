//! What a host gives: clocks, the processor set, and the special ports (MACH.md H-01, H-02, K-01, T-12).
//!
//! Each of the first three has two ports, one to ask and one to steer it.

use std::collections::BTreeMap;

use abi::clock::which;
use abi::host::special;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;

use super::names::{Answer, accept, refuse};
use super::{Carried, Entry, Holder, Model, PortId, Taken, TaskId, ThreadId, Verdict};

/// What a port of the host is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hand {
    /// To ask.
    Ask,
    /// To steer as well.
    Steer,
}

/// A call to the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostOp {
    /// `host_get_clock_service`.
    ClockService(u32),
    /// `host_get_clock_control`.
    ClockControl(u32),
    /// `processor_set_default`.
    DefaultSet,
    /// `host_processor_set_priv`.
    SetControl(Name),
    /// `host_get_special_port`.
    Special(u32),
    /// `host_set_special_port`.
    SetSpecial(u32, Name),
    /// `host_request_notification`.
    RequestChange(u32, Taken),
}

/// The host's ports.
#[derive(Clone, Default, Debug)]
pub(super) struct Host {
    /// What it is known by.
    pub(super) port: PortId,
    /// The system's and the calendar; to ask and to steer.
    clocks: [[PortId; 2]; 2],
    pub(super) set: [PortId; 2],
    pub(super) specials: BTreeMap<u32, PortId>,
}

impl Model {
    pub(super) fn make_host(&mut self) {
        let [port, a, b, c, d, ask, steer] = [(); 7].map(|()| self.new_port(Holder::Kernel));
        self.host = Host {
            port,
            clocks: [[a, b], [c, d]],
            set: [ask, steer],
            specials: BTreeMap::new(),
        };
    }

    /// A task's name of the host.
    pub fn host_name(&self, task: TaskId) -> Option<Name> {
        let names = self.tasks[task].names.keys().copied();
        names
            .into_iter()
            .find(|name| self.sends_to(task, *name) == Some(self.host.port))
    }

    /// Whether a name is a right to the processor set.
    pub fn is_processor_set(&self, task: TaskId, name: Name) -> Option<Hand> {
        let port = self.sends_to(task, name)?;
        hand(self.host.set, port)
    }

    /// Whether a name is a right to a clock.
    pub fn is_clock(&self, task: TaskId, name: Name) -> bool {
        self.clock_of(task, name).is_some()
    }

    /// Special ports of the host that were set.
    pub fn specials(&self) -> Vec<u32> {
        self.host.specials.keys().copied().collect()
    }

    pub(super) fn sends_to(&self, task: TaskId, name: Name) -> Option<PortId> {
        match self.tasks[task].names.get(&name)? {
            Entry::Port { port, send, .. } if *send > 0 => Some(*port),
            _ => None,
        }
    }

    pub(super) fn clock_of(&self, task: TaskId, name: Name) -> Option<(u32, Hand)> {
        let port = self.sends_to(task, name)?;
        let clocks = [which::SYSTEM, which::CALENDAR]
            .into_iter()
            .zip(self.host.clocks);
        let mut known = clocks.filter_map(|(which, ports)| Some((which, hand(ports, port)?)));
        known.next()
    }

    pub(super) fn host_op(
        &mut self,
        thread: ThreadId,
        (hand, op): (Hand, HostOp),
        seen: Answer,
    ) -> Verdict {
        let task = self.threads[thread].task;
        if let HostOp::RequestChange(change, right) = op {
            return self.request_change(thread, (change, right), seen);
        }
        let open = matches!(op, HostOp::ClockService(_) | HostOp::DefaultSet);
        if hand == Hand::Ask && !open {
            return refuse(seen, &[Code::NoAccess]);
        }
        let [ask, steer] = self.host.set;
        let given = match op {
            HostOp::ClockService(which) => self.clock(which, Hand::Ask),
            HostOp::ClockControl(which) => self.clock(which, Hand::Steer),
            HostOp::DefaultSet => Ok(ask),
            HostOp::SetControl(set) => {
                let is_set = self.is_processor_set(task, set).is_some();
                is_set.then_some(steer).ok_or(Code::InvalidArgument)
            }
            HostOp::Special(which) => self.special(which),
            HostOp::SetSpecial(which, name) => return self.set_special(task, (which, name), seen),
            HostOp::RequestChange(..) => return Ok(()),
        };
        match given {
            Ok(port) => {
                accept(seen)?;
                self.accept_right(task, Carried::Send(port), Name(seen.1 as u32))
            }
            Err(code) => refuse(seen, &[code]),
        }
    }

    fn clock(&self, which: u32, hand: Hand) -> Result<PortId, Code> {
        let ports = self.host.clocks.get(which as usize);
        let ports = ports.ok_or(Code::InvalidArgument)?;
        Ok(ports[hand as usize])
    }

    fn special(&self, which: u32) -> Result<PortId, Code> {
        if which == special::HOST {
            return Ok(self.host.port);
        }
        if which == 0 || which > special::LAST {
            return Err(Code::InvalidArgument);
        }
        let port = self.host.specials.get(&which).copied();
        let port = port.filter(|port| self.is_alive(*port));
        port.ok_or(Code::Failure)
    }

    /// H-02: the right that was there ends.
    fn set_special(&mut self, task: TaskId, (which, name): (u32, Name), seen: Answer) -> Verdict {
        if which <= special::LAST_OF_KERNEL || which > special::LAST {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        let port = self.sends_to(task, name).ok_or("it is no send right")?;
        if let Some(old) = self.host.specials.insert(which, port) {
            self.discard(Carried::Send(old));
        }
        Ok(())
    }
}

fn hand(ports: [PortId; 2], port: PortId) -> Option<Hand> {
    let hands = [Hand::Ask, Hand::Steer];
    hands.into_iter().find(|hand| ports[*hand as usize] == port)
}
