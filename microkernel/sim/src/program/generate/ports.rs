//! Ports and their guards.

use abi::names::{Name, port_type, right};
use abi::trap::construct;

use super::Names;
use crate::model::Op;

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

    /// What is done with a guard: half of them are right.
    pub(super) fn guard(&mut self) -> Op {
        let name = self.of_kind(port_type::RECEIVE);
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
}
