//! Ports and their guards.

use abi::names::{Name, disposition, port_type, right};
use abi::trap::construct;

use super::{FAR, Names};
use crate::model::{Op, PortsOp, TaskId};

/// How many guards there are: few, so that some are right.
const GUARDS: u64 = 2;

impl Names<'_> {
    fn one_guard(&mut self) -> u64 {
        self.rng.word() % GUARDS
    }

    /// A port or a set with all that it needs, in one trap: mostly one that there can be.
    pub(super) fn construct(&mut self) -> Op {
        use construct::{GUARD, INSERT_SEND, LABEL, PORT_SET, QUEUE_LIMIT, STRICT};
        let flags = match self.rng.below(8) {
            0 => PORT_SET,
            1 => LABEL | INSERT_SEND,
            2 => QUEUE_LIMIT | INSERT_SEND,
            3 => GUARD | INSERT_SEND,
            4 => GUARD | STRICT | self.rng.pick(&[0, INSERT_SEND]),
            5 => self.rng.word() & 0x7f,
            _ => INSERT_SEND,
        };
        Op::Construct {
            flags,
            limit: self.rng.pick(&[1, 2, 1024, 1025]),
            label: self.rng.word(),
            guard: self.one_guard(),
        }
    }

    /// A right of the task's own that leaves its name, or is made to be sent once: into a name of its own, or of another.
    pub(super) fn moved(&mut self) -> Op {
        let right = match self.rng.below(4) {
            0 => self.of_kind(port_type::SEND_ONCE | port_type::DEAD_NAME),
            1 => Name::REPLY_SLOT,
            2 => self.of_kind(port_type::RECEIVE),
            _ => self.any(),
        };
        let is_dead = self.model.bits(self.task, right) & port_type::DEAD_NAME != 0;
        let disposition = match self.disposition(right) {
            _ if is_dead && self.rng.one_in(2) => disposition::MOVE_SEND_ONCE,
            _ if self.rng.one_in(8) => disposition::MOVE_SEND,
            disposition::MAKE_SEND => {
                self.rng
                    .pick(&[disposition::MOVE_RECEIVE, disposition::MAKE_SEND_ONCE, 0])
            }
            how => how,
        };
        // Names above all limits are the ledger's business.
        let name = match (self.rng.below(5), self.any()) {
            (0, _) if self.rng.one_in(4) => self.rng.pick(&[Name::NULL, Name::DEAD]),
            (0 | 4, name) if name != FAR => name,
            (1 | 2, _) => self.chosen(),
            _ if right == FAR => Name(7),
            _ => right,
        };
        Op::InsertRight {
            name,
            right,
            disposition,
        }
    }

    /// What is done with a guard: half of them are right.
    pub(super) fn guard(&mut self) -> Op {
        let name = match self.rng.one_in(6) {
            true => self.any(),
            false => self.of_kind(port_type::RECEIVE),
        };
        let name = if name == Name::REPLY_SLOT {
            Name::NULL
        } else {
            name
        };
        let (guard, other) = (self.one_guard(), self.one_guard());
        match self.rng.below(4) {
            0 | 1 => Op::Guard {
                name,
                guard,
                strict: other,
            },
            2 => Op::Unguard { name, guard },
            _ => Op::SwapGuard {
                name,
                old: guard,
                new: other,
            },
        }
    }

    /// What must not be done with a guarded port: mostly where somebody hears of it.
    pub(super) fn misuse(&mut self) -> Op {
        let mut guarded = self.live();
        guarded.retain(|name| self.model.guard_of(self.task, *name).is_some());
        if guarded.is_empty() || !self.model.hears_of_guards(self.thread) && self.rng.one_in(2) {
            return self.guard();
        }
        let name = self.rng.pick(&guarded);
        let wrong = GUARDS + self.rng.below(2) as u64;
        match self.rng.below(5) {
            0 => Op::Destroy { name },
            1 => Op::ModRefs {
                name,
                right: right::RECEIVE,
                delta: -1,
            },
            2 => Op::Destruct {
                name,
                delta: self.rng.pick(&[0, -1, 1]),
                guard: wrong,
            },
            3 => Op::Unguard { name, guard: wrong },
            _ => Op::SwapGuard {
                name,
                old: wrong,
                new: 0,
            },
        }
    }

    /// A call of the task's own port, or of another one's, on names there.
    pub(super) fn control_ports(&mut self) -> Op {
        let mut controls = self.model.controls(self.task);
        // Tasks that programs make have no names: a right to a task that it holds itself would not keep it.
        controls.retain(|(_, of)| !self.model.was_made(*of));
        if controls.is_empty() {
            return self.look();
        }
        let (port, of) = self.rng.pick(&controls);
        let op = match self.rng.below(20) {
            0 => PortsOp::Allocate {
                right: self
                    .rng
                    .pick(&[right::RECEIVE, right::PORT_SET, right::DEAD_NAME, 0]),
            },
            1 => PortsOp::AllocateName {
                right: self
                    .rng
                    .pick(&[right::RECEIVE, right::PORT_SET, right::DEAD_NAME, 0]),
                name: self.chosen(),
            },
            2..5 => PortsOp::Peek {
                name: self.theirs(of, port_type::RECEIVE),
                trailer: self.rng.pick(&[0, 1, 2, 3, 4]),
            },
            5 | 6 => PortsOp::Guard {
                name: self.theirs(of, port_type::RECEIVE),
                guard: self.one_guard(),
                strict: self.rng.below(3) as u32,
            },
            7 => {
                let (name, guard) = self.their_guard(of);
                PortsOp::Unguard { name, guard }
            }
            8 => {
                let (name, old) = self.their_guard(of);
                let new = self.one_guard();
                PortsOp::SwapGuard { name, old, new }
            }
            9..13 => match self.given(of) {
                Some(op) => op,
                None => return self.look(),
            },
            13..17 => self.extracted(of),
            17 | 18 => PortsOp::Rights {
                after: match self.rng.below(3) {
                    0 => Name::NULL,
                    1 => Name::new(3, 1),
                    _ => self.theirs(of, !0),
                },
            },
            _ => PortsOp::Names,
        };
        Op::Ports(port, of, op)
    }

    /// A name above all that tasks start with, which the model does not know.
    pub(super) fn chosen(&mut self) -> Name {
        Name::new(300 + self.rng.below(40) as u32, self.rng.below(256) as u8)
    }

    /// A name of another task of a kind: mostly.
    fn theirs(&mut self, of: TaskId, bits: u32) -> Name {
        let (mut live, past) = self.model.names(of);
        live.retain(|name| self.model.bits(of, *name) & bits != 0);
        // Few of those that were there before.
        if live.is_empty() || self.rng.one_in(8) {
            live = past;
        }
        match live.is_empty() || self.rng.one_in(16) {
            true => self
                .rng
                .pick(&[Name(5), Name::new(77, 1), Name::DEAD, Name::NULL]),
            false => self.rng.pick(&live),
        }
    }

    /// A guarded port of another task's, and its guard: mostly.
    fn their_guard(&mut self, of: TaskId) -> (Name, u64) {
        let mut live = self.model.names(of).0;
        live.retain(|name| self.model.guard_of(of, *name).is_some());
        let name = match live.is_empty() || self.rng.one_in(4) {
            true => self.theirs(of, port_type::RECEIVE),
            false => self.rng.pick(&live),
        };
        let guard = self.model.guard_of(of, name);
        let right = guard.filter(|_| !self.rng.one_in(3));
        (name, right.unwrap_or_else(|| self.one_guard()))
    }

    /// A right of the task's own that another one gets.
    fn given(&mut self, of: TaskId) -> Option<PortsOp> {
        let right = self.any();
        let how = self.disposition(right);
        let how = match how {
            disposition::MAKE_SEND if self.rng.one_in(2) => disposition::MOVE_RECEIVE,
            how => how,
        };
        // The model does not know what calls answer that bring no right, and of a task that ends with them.
        if right == Name::REPLY_SLOT || !self.model.can_give(self.task, right, how) {
            return None;
        }
        let name = match self.rng.below(4) {
            0 => Name::NULL,
            1 => self.theirs(of, !0),
            2 => self.chosen(),
            _ => self.rng.pick(&[Name::DEAD, Name(5), right, right]),
        };
        Some(PortsOp::Insert { name, right, how })
    }

    /// A right of another task that the task gets.
    fn extracted(&mut self, of: TaskId) -> PortsOp {
        use disposition::{COPY_SEND, MAKE_SEND, MOVE_RECEIVE, MOVE_SEND};
        use disposition::{MAKE_SEND_ONCE, MOVE_SEND_ONCE};
        let name = self.theirs(of, !0);
        let bits = self.model.bits(of, name);
        let mut fitting = vec![];
        for (kind, all) in [
            (port_type::SEND, &[MOVE_SEND, COPY_SEND][..]),
            (port_type::DEAD_NAME, &[MOVE_SEND, COPY_SEND]),
            (
                port_type::RECEIVE,
                &[MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE],
            ),
            (port_type::SEND_ONCE, &[MOVE_SEND_ONCE]),
        ] {
            if bits & kind != 0 {
                fitting.extend(all);
            }
        }
        let any = MOVE_RECEIVE + self.rng.below(6) as u8;
        let how = match fitting.is_empty() || self.rng.one_in(8) {
            true => any,
            false => self.rng.pick(&fitting),
        };
        let kind = match how {
            // It has no argument for that.
            MOVE_RECEIVE => MOVE_RECEIVE,
            _ if self.rng.one_in(12) => self.rng.pick(&[MOVE_SEND, MOVE_SEND_ONCE]),
            MOVE_SEND_ONCE | MAKE_SEND_ONCE => MOVE_SEND_ONCE,
            _ => MOVE_SEND,
        };
        PortsOp::Extract { name, how, kind }
    }
}
