//! Interrupt lines and I/O ports of random programs.

use abi::kern_return::KernReturn;
use abi::names::{Name, port_type};
use abi::trap;
use interfaces::interrupt::{Interrupt, InterruptRoot};
use interfaces::io::{IoRange, IoRoot};
use microkernel::machine::Event;

use super::World;
use super::calls::{seen, with_right};
use super::generate::Names;
use crate::machine::{PortAccess, Size};
use crate::message::Request;
use crate::model::{Drive, LineOp, Op, RangeOp, Seen, ThreadId, Verdict, register};

/// Lines that programs ask for: few, so that some are given out already; the last two are none.
const LINES: [u32; 6] = [0, 4, 4, 23, 24, u32::MAX];

/// Ranges that programs ask for: the last four are none.
const RANGES: [(u32, u32); 8] = [
    (0x3f8, 8),
    (0x3f8, 8),
    (0xfffd, 3),
    (0, 0xffff),
    (0x60, 0),
    (0xffff, 2),
    (0x1_0000, 1),
    (1, 0x1_0001),
];

impl Names<'_> {
    /// Something with an interrupt line or a range of I/O ports.
    pub(super) fn device(&mut self) -> Op {
        let has = self.model.has_devices(self.task);
        match self.rng.below(8) {
            // The first task alone knows the roots.
            _ if self.task != 0 && !has && !self.rng.one_in(6) => self.machine(),
            0..4 => Op::Range(self.range()),
            _ => Op::Line(self.line()),
        }
    }

    /// What a driver does next with one of its lines, or its device.
    pub(super) fn drive(&mut self) -> Option<Op> {
        let lines = self.model.lines(self.task);
        if lines.is_empty() {
            return None;
        }
        let (name, number) = self.rng.pick(&lines);
        Some(Op::Line(match self.model.next_of(number) {
            Drive::Bind => LineOp::Bind(name, self.binding()?),
            Drive::Raise => LineOp::Raise(number),
            Drive::Acknowledge if self.rng.one_in(2) => LineOp::Acknowledge(name),
            Drive::Acknowledge => return Some(Op::Message(Request::poll(self.with_mail()))),
        }))
    }

    fn line(&mut self) -> LineOp {
        let lines = self.model.lines(self.task);
        if self.task == 0 && (lines.is_empty() || self.rng.one_in(8)) {
            // Now and then one that is given out.
            return LineOp::Get(match lines.first() {
                Some((_, number)) if self.rng.one_in(2) => *number,
                _ => self.rng.pick(&LINES),
            });
        }
        if lines.is_empty() {
            return LineOp::Acknowledge(self.no_device());
        }
        let (name, number) = self.rng.pick(&lines);
        match self.rng.below(12) {
            0..5 => match self.binding() {
                Some(port) => LineOp::Bind(name, port),
                None => LineOp::Acknowledge(name),
            },
            5 => LineOp::Unbind(name),
            6 => LineOp::Acknowledge(self.no_device()),
            7 => LineOp::Raise(number),
            _ => LineOp::Acknowledge(name),
        }
    }

    /// Mostly a name that is no right to a device, or none at all.
    fn no_device(&mut self) -> Name {
        match self.rng.one_in(3) {
            true => Name(7),
            false => self.any(),
        }
    }

    /// A port for a line: mostly one that the task receives from.
    pub(super) fn binding(&mut self) -> Option<Name> {
        let mut live = self.live();
        live.retain(|name| self.model.can_bind(self.task, *name));
        let mut own = live.clone();
        own.retain(|name| self.model.bits(self.task, *name) & port_type::RECEIVE != 0);
        let mut dead = live.clone();
        dead.retain(|name| self.model.bits(self.task, *name) & port_type::DEAD_NAME != 0);
        let among = match self.rng.below(8) {
            0 if !dead.is_empty() => dead,
            0 | 1 => live,
            _ if own.is_empty() => live,
            _ => own,
        };
        (!among.is_empty()).then(|| self.rng.pick(&among))
    }

    fn range(&mut self) -> RangeOp {
        let ranges = self.model.ranges(self.task);
        if self.task == 0 && (ranges.is_empty() || self.rng.one_in(4)) {
            let (first, count) = self.rng.pick(&RANGES);
            return RangeOp::Get(first, count);
        }
        let (name, count) = match ranges.is_empty() {
            true => (self.no_device(), 1),
            false => self.rng.pick(&ranges),
        };
        let count = u64::from(count);
        let offset = self.rng.pick(&[0, 0, 1, count - 1, count, u64::MAX]);
        let width = self.rng.pick(&[1, 1, 1, 2, 2, 4, 0, 3, 8, u64::MAX]);
        let at = match self.rng.one_in(8) {
            true => self.no_device(),
            false => name,
        };
        match self.rng.below(5) {
            0 if !ranges.is_empty() => RangeOp::Bounds(name),
            1 | 2 => RangeOp::Write(at, offset, width, self.rng.word() as u32),
            _ => RangeOp::Read(at, offset, width),
        }
    }
}

impl World {
    pub(super) fn line(&mut self, thread: ThreadId, op: LineOp) -> Seen {
        let request = match op {
            LineOp::Raise(line) => return self.raise_line(line),
            LineOp::Acknowledge(name) => {
                let number = trap::INTERRUPT_ACKNOWLEDGE;
                return self.device_trap(thread, (number, vec![name.0.into()]));
            }
            LineOp::Get(line) => Request::call(self.roots.interrupt)
                .id(<dyn InterruptRoot>::LINE.id)
                .words([line.into(), 0, 0, 0, 0, 0]),
            LineOp::Bind(name, port) => with_right(name, (<dyn Interrupt>::BIND.id, port), &[]),
            LineOp::Unbind(name) => Request::call(name).id(<dyn Interrupt>::UNBIND.id),
        };
        self.plain_call(thread, &request)
    }

    /// A device wants to be heard, and does not any more when one of the CPUs has heard it.
    fn raise_line(&mut self, line: u32) -> Seen {
        self.sim.machine.raise(line);
        let fires = self.sim.machine.take_interrupt();
        self.sim.machine.lower(line);
        if let Some(line) = fires {
            let cpus: Vec<_> = self.sim.machine.cpus().collect();
            let cpu = self.sim.rng.pick(&cpus);
            self.sim.event(cpu, Event::Interrupt { line });
        }
        Seen::Told(vec![fires.is_some().into()])
    }

    /// Nobody has a right to any line any more: none may fire.
    pub(super) fn all_masked(&self) -> Verdict {
        let mut lines = 0..Size::default().lines;
        match lines.find(|line| self.sim.machine.is_unmasked(*line)) {
            Some(line) => Err(format!(
                "line {line} may fire, and nobody has a right to it"
            )),
            None => Ok(()),
        }
    }

    fn device_trap(&mut self, thread: ThreadId, (number, arguments): (i64, Vec<u64>)) -> Seen {
        let mut user = self.sim.on(self.threads[thread].0);
        match user.start(number, &arguments) {
            Some(answer) => seen(&answer),
            None => seen(&user.finish()),
        }
    }

    pub(super) fn range(&mut self, thread: ThreadId, op: RangeOp) -> Seen {
        let task = self.threads[thread].1;
        let word = |name: Name| u64::from(name.0);
        match op {
            RangeOp::Get(first, count) => {
                let request = Request::call(self.roots.io).id(<dyn IoRoot>::RANGE.id);
                let words = [first.into(), count.into(), 0, 0, 0, 0];
                self.plain_call(thread, &request.words(words))
            }
            RangeOp::Bounds(name) => {
                let request = Request::call(name).id(<dyn IoRange>::BOUNDS.id);
                match self.telling_call(thread, &request) {
                    Seen::Told(words) => Seen::Told(words[..2].to_vec()),
                    seen => seen,
                }
            }
            RangeOp::Read(name, offset, width) => {
                let port = self.model.io_port(task, name, offset);
                self.sim.machine.port_values = port
                    .map(|port| (port, register(port)))
                    .into_iter()
                    .collect();
                self.port_trap(thread, (trap::IO_READ, vec![word(name), offset, width]))
            }
            RangeOp::Write(name, offset, width, value) => {
                let arguments = vec![word(name), offset, width, value.into()];
                self.port_trap(thread, (trap::IO_WRITE, arguments))
            }
        }
    }

    /// A trap on I/O ports: what it did with the machine, if it was not refused.
    fn port_trap(&mut self, thread: ThreadId, trap: (i64, Vec<u64>)) -> Seen {
        self.sim.machine.port_log.clear();
        let answer = self.device_trap(thread, trap);
        match (answer, &self.sim.machine.port_log[..]) {
            (Seen::Trap(KernReturn::Success, value), &[access]) => {
                let PortAccess {
                    port,
                    width,
                    written,
                } = access;
                let value = written.map_or(value, u64::from);
                Seen::Told(vec![value, port.into(), width.into()])
            }
            (answer, []) => answer,
            (answer, log) => panic!("{answer:?} after {log:?}"),
        }
    }
}
