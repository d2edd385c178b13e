//! Interrupt lines and ranges of I/O ports: rights that the kernel makes, and that end with their last holder.
//!
//! A line fires while it is not masked, and is masked from then on. The port that it is bound to holds no right for that: it
//! gets one message, which counts how often the line has fired until somebody receives it.

use std::collections::BTreeMap;

use abi::kern_return::KernReturn as Code;
use abi::names::{Name, port_type};
use abi::notify::pending;
use abi::trace::Kind;

use super::control::answer;
use super::names::{accept, refuse};
use super::{Carried, Holder, Message, Model, Op, PortId, Seen, TaskId, Verdict};
use crate::machine::Size;

/// Something with interrupt lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineOp {
    /// The root's `line`.
    Get(u32),
    /// `bind` of a line to the port that the second name is a right to.
    Bind(Name, Name),
    /// `unbind`.
    Unbind(Name),
    /// `interrupt_acknowledge`.
    Acknowledge(Name),
    /// No trap: a device raises its line for a moment. Whether it fires is told.
    Raise(u32),
}

/// Something with I/O ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeOp {
    /// The root's `range`: the first port, and how many.
    Get(u32, u32),
    /// `bounds`.
    Bounds(Name),
    /// `io_read`: offset and bytes. The value is told, with the port and the bytes that the machine was asked for.
    Read(Name, u64, u64),
    /// `io_write`, with a value. What reaches the machine is told: the same three.
    Write(Name, u64, u64, u32),
}

/// What brings a line on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drive {
    /// It tells nobody yet.
    Bind,
    /// It is ready to fire.
    Raise,
    /// It has fired, and does not again.
    Acknowledge,
}

/// What a port of the kernel's stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Device {
    /// A line.
    Line(u32),
    /// The first port, and how many.
    Range(u16, u16),
}

/// A line that somebody has a right to.
#[derive(Clone, Copy, Debug)]
struct Line {
    bound: Option<PortId>,
    is_masked: bool,
}

/// All lines that somebody has a right to.
#[derive(Clone, Default, Debug)]
pub(super) struct Lines(BTreeMap<u32, Line>);

impl LineOp {
    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Get(_) | Self::Bind(..) | Self::Unbind(_))
    }
}

impl RangeOp {
    pub(super) fn is_call(self) -> bool {
        matches!(self, Self::Get(..) | Self::Bounds(_))
    }
}

/// What a device's register holds behind an I/O port.
pub fn register(port: u16) -> u32 {
    0x5a3c_0000 | u32::from(port)
}

impl Model {
    /// A task's names of lines, and which lines these are.
    pub fn lines(&self, task: TaskId) -> Vec<(Name, u32)> {
        let names = self.tasks[task].names.keys();
        let lines = names.filter_map(|name| match self.device(task, *name) {
            Some(Device::Line(line)) => Some((*name, line)),
            _ => None,
        });
        lines.collect()
    }

    /// A task's names of ranges, and how many ports these have.
    pub fn ranges(&self, task: TaskId) -> Vec<(Name, u16)> {
        let names = self.tasks[task].names.keys();
        let ranges = names.filter_map(|name| match self.device(task, *name) {
            Some(Device::Range(_, count)) => Some((*name, count)),
            _ => None,
        });
        ranges.collect()
    }

    /// Whether a task has a right to a line or a range.
    pub fn has_devices(&self, task: TaskId) -> bool {
        let mut names = self.tasks[task].names.keys();
        names.any(|name| self.device(task, *name).is_some())
    }

    /// What brings a line on that somebody has a right to.
    pub fn next_of(&self, line: u32) -> Drive {
        let line = self.lines.0.get(&line);
        let bound = line.and_then(|line| line.bound);
        match bound.is_some_and(|port| self.is_alive(port)) {
            false => Drive::Bind,
            true if line.is_some_and(|line| line.is_masked) => Drive::Acknowledge,
            true => Drive::Raise,
        }
    }

    /// The I/O port at an offset of a range.
    pub fn io_port(&self, task: TaskId, name: Name, offset: u64) -> Option<u16> {
        match self.device(task, name)? {
            Device::Range(first, count) if offset < count.into() => Some(first + offset as u16),
            _ => None,
        }
    }

    fn device(&self, task: TaskId, name: Name) -> Option<Device> {
        self.ports[self.sends_to(task, name)?].device
    }

    /// Something with lines, I/O ports or memory as rights.
    pub(super) fn resource_op(&mut self, task: TaskId, op: &Op, seen: &Seen) -> Verdict {
        match op {
            Op::Line(op) => self.line_op(task, *op, seen),
            Op::Range(op) => self.range_op(task, *op, seen),
            Op::Entry(op) => self.entry_op(task, *op, seen),
            _ => Err("it is none of these".into()),
        }
    }

    fn line_op(&mut self, task: TaskId, op: LineOp, seen: &Seen) -> Verdict {
        let (name, change): (_, fn(&mut Line)) = match op {
            LineOp::Get(line) => return self.get_line(task, line, seen),
            LineOp::Raise(line) => return self.fire(line, seen),
            LineOp::Acknowledge(name) => (name, |line| line.is_masked = false),
            LineOp::Unbind(name) => (name, |line| {
                line.bound = None;
                line.is_masked = true;
            }),
            LineOp::Bind(name, _) => (name, |line| line.is_masked = false),
        };
        let Some(Device::Line(number)) = self.device(task, name) else {
            return refuse(answer(seen)?, &[self.no_device(task, name)]);
        };
        let bound = match op {
            LineOp::Bind(_, to) => match self.sends_to(task, to) {
                None => return refuse(answer(seen)?, &[Code::InvalidCapability]),
                port => port,
            },
            _ => None,
        };
        accept(answer(seen)?)?;
        let line = self.lines.0.get_mut(&number).ok_or("there is no line")?;
        line.bound = bound.or(line.bound);
        change(line);
        Ok(())
    }

    /// What a trap answers that needs a right to a line, a range or an entry.
    pub(super) fn no_device(&self, task: TaskId, name: Name) -> Code {
        match self.entry(task, name) {
            None => Code::InvalidName,
            Some(_) => Code::InvalidRight,
        }
    }

    fn get_line(&mut self, task: TaskId, line: u32, seen: &Seen) -> Verdict {
        let seen = answer(seen)?;
        if self.lines.0.contains_key(&line) {
            return refuse(seen, &[Code::ResourceShortage]);
        }
        if line >= Size::default().lines {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        let fresh = Line {
            bound: None,
            is_masked: true,
        };
        self.lines.0.insert(line, fresh);
        self.make_device(task, Device::Line(line), Name(seen.1 as u32))
    }

    fn make_device(&mut self, task: TaskId, device: Device, name: Name) -> Verdict {
        let port = self.new_port(Holder::Kernel);
        self.ports[port].device = Some(device);
        self.accept_right(task, Carried::Send(port), name)
    }

    /// The device of a port that dies.
    pub(super) fn end_device(&mut self, port: PortId) {
        if let Some(Device::Line(line)) = self.ports[port].device.take() {
            self.lines.0.remove(&line);
        }
    }

    fn fire(&mut self, number: u32, seen: &Seen) -> Verdict {
        let line = self.lines.0.get_mut(&number);
        let line = line.filter(|line| !line.is_masked);
        let fires = u64::from(line.is_some());
        if *seen != Seen::Told(vec![fires]) {
            return Err(format!("{fires} expected, not {seen:?}"));
        }
        let Some(line) = line else {
            return Ok(());
        };
        line.is_masked = true;
        let bound = line.bound;
        self.record(Kind::Interrupt, number.into());
        if let Some(port) = bound.filter(|port| self.is_alive(*port)) {
            self.interrupt(port);
        }
        Ok(())
    }

    fn interrupt(&mut self, port: PortId) {
        let queue = &mut self.ports[port].queue;
        let is_one = |message: &Message| message.from_kernel && message.id == pending::INTERRUPT;
        let before = queue.iter().position(is_one);
        let before = before.and_then(|at| queue.remove(at));
        let count = before.map_or(0, |message| message.first) + 1;
        let message = Message {
            batch: self.batch,
            from_kernel: true,
            id: pending::INTERRUPT,
            words: vec![count],
            first: count,
            data: None,
            remote: Carried::Null,
            local: Carried::Null,
            rights: Vec::new(),
            parts: Vec::new(),
        };
        self.push(port, message);
    }

    fn range_op(&mut self, task: TaskId, op: RangeOp, seen: &Seen) -> Verdict {
        let (name, offset, width) = match op {
            RangeOp::Get(first, count) => return self.get_range(task, (first, count), seen),
            RangeOp::Bounds(name) => (name, 0, 1),
            RangeOp::Read(name, offset, width) | RangeOp::Write(name, offset, width, _) => {
                (name, offset, width)
            }
        };
        let Some(Device::Range(first, count)) = self.device(task, name) else {
            return refuse(answer(seen)?, &[self.no_device(task, name)]);
        };
        let last = offset.checked_add(width);
        let holds = last.is_some_and(|last| last <= count.into());
        if !holds || ![1, 2, 4].contains(&width) {
            return refuse(answer(seen)?, &[Code::InvalidArgument]);
        }
        let port = first + offset as u16;
        let expected = match op {
            RangeOp::Write(.., value) => vec![value.into(), port.into(), width],
            RangeOp::Read(..) => vec![register(port).into(), port.into(), width],
            _ => vec![first.into(), count.into()],
        };
        match seen {
            Seen::Told(told) if *told == expected => Ok(()),
            _ => Err(format!("{expected:x?} expected, not {seen:x?}")),
        }
    }

    fn get_range(&mut self, task: TaskId, (first, count): (u32, u32), seen: &Seen) -> Verdict {
        let seen = answer(seen)?;
        let (Ok(from), Ok(ports)) = (u16::try_from(first), u16::try_from(count)) else {
            return refuse(seen, &[Code::MigBadArguments]);
        };
        if count == 0 || first + count > 0x1_0000 {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        accept(seen)?;
        self.make_device(task, Device::Range(from, ports), Name(seen.1 as u32))
    }

    /// Whether a task's name is a right that a line can be bound to, or a dead name.
    pub fn can_bind(&self, task: TaskId, name: Name) -> bool {
        self.bits(task, name) & (port_type::SEND | port_type::DEAD_NAME) != 0
    }
}
