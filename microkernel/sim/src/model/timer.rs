//! Timers (MACH.md K-02).
//!
//! A timer that goes off leaves one message at its port; when it goes off again before that is received, the message tells
//! of the last time.

use abi::kern_return::KernReturn as Code;
use abi::names::{Name, right};
use abi::notify::pending;

use super::names::{Answer, accept, refuse, value};
use super::{Carried, Entry, Holder, Message, Model, PortId, TaskId, Verdict, When};

/// A time that comes in no program.
pub const FAR: u64 = 1 << 62;

/// No time.
pub const NEVER: u64 = u64::MAX;

/// What is done with a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimerOp {
    /// `mk_timer_create`.
    Create,
    /// `mk_timer_destroy`.
    Destroy(Name),
    /// `mk_timer_arm`.
    Arm(Name, u64),
    /// `mk_timer_cancel`.
    Cancel(Name),
    /// `timer_arm`, of any receive right.
    PortArm(Name, u64),
}

impl Model {
    /// Whether a name is a timer.
    pub fn is_timer(&self, task: TaskId, name: Name) -> bool {
        self.timer(task, name).is_ok()
    }

    pub(super) fn timer_op(&mut self, task: TaskId, op: TimerOp, seen: Answer) -> Verdict {
        let port = match op {
            TimerOp::Create => return self.create_timer(task, seen),
            TimerOp::PortArm(name, _) => self.receiver(task, name),
            TimerOp::Destroy(name) | TimerOp::Arm(name, _) | TimerOp::Cancel(name) => {
                self.timer(task, name)
            }
        };
        let port = match port {
            Ok(port) => port,
            Err(code) => return refuse(seen, &[code]),
        };
        match op {
            TimerOp::Destroy(name) => self.mod_refs(task, (name, right::RECEIVE, -1), seen),
            TimerOp::Cancel(_) => {
                let deadline = self.ports[port].deadline.take();
                value(seen, deadline.unwrap_or(0))
            }
            TimerOp::Arm(_, deadline) | TimerOp::PortArm(_, deadline) => {
                accept(seen)?;
                self.arm(port, deadline);
                Ok(())
            }
            TimerOp::Create => Ok(()),
        }
    }

    fn create_timer(&mut self, task: TaskId, seen: Answer) -> Verdict {
        accept(seen)?;
        let port = self.new_port(Holder::Task(task));
        self.ports[port].is_timer = true;
        let entry = Entry::Port {
            port,
            send: 0,
            receive: true,
            request: None,
        };
        self.fresh(task, Name(seen.1 as u32), entry)
    }

    fn receiver(&self, task: TaskId, name: Name) -> Result<PortId, Code> {
        let port = self.receive_right(task, name);
        port.ok_or(match self.entry(task, name) {
            None => Code::InvalidName,
            Some(_) => Code::InvalidRight,
        })
    }

    fn timer(&self, task: TaskId, name: Name) -> Result<PortId, Code> {
        let port = self.receiver(task, name)?;
        let is_timer = self.ports[port].is_timer;
        is_timer.then_some(port).ok_or(Code::InvalidArgument)
    }

    fn arm(&mut self, port: PortId, deadline: u64) {
        self.ports[port].deadline = None;
        match self.when(deadline) {
            _ if deadline == NEVER => {}
            When::Past => self.go_off(port, deadline),
            When::Soon | When::Never => self.ports[port].deadline = Some(deadline),
        }
    }

    /// The next era begins.
    pub(super) fn fire_timers(&mut self) {
        for port in 0..self.ports.len() {
            let due = |deadline: &mut u64| *deadline < FAR;
            if let Some(deadline) = self.ports[port].deadline.take_if(due)
                && self.is_alive(port)
            {
                self.go_off(port, deadline);
            }
        }
    }

    fn go_off(&mut self, port: PortId, deadline: u64) {
        self.unsettled = true;
        let message = Message {
            batch: self.batch,
            from_kernel: true,
            id: pending::TIMER,
            words: vec![deadline],
            first: deadline,
            data: None,
            remote: Carried::Null,
            local: Carried::Null,
            rights: Vec::new(),
            parts: Vec::new(),
        };
        let mut queued = self.ports[port].queue.iter_mut();
        match queued.find(|other| other.from_kernel && other.id == pending::TIMER) {
            Some(old) => *old = message,
            None => self.push(port, message),
        }
    }
}
