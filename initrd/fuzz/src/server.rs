//! Calls that attackers make to each other: a port of their own that the others know, and answers through the reply slot.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, port_type};
use abi::registers::{Received, ReplyKind, options};
use abi::trap;

use crate::generator::Generator;
use crate::message::{self, Draft};
use crate::step::{Answer, Step};

/// What a generator knows of those who call it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Server {
    /// The receive right that others call.
    door: Name,
    /// Rights to call others.
    peers: [Name; PEERS],
    /// Whether the reply slot is full.
    owes: bool,
}

/// How many others are known.
const PEERS: usize = 8;

impl Generator {
    /// Others have rights to call this receive right.
    pub fn open(&mut self, door: Name) {
        self.server.door = door;
        let both = port_type::RECEIVE | port_type::SEND;
        self.pool.add(door, both, &mut self.rng);
    }

    /// The receive right that others call, or none.
    pub fn door(&self) -> Name {
        self.server.door
    }

    /// Somebody else answers at this port.
    pub fn know(&mut self, peer: Name) {
        let free = self.server.peers.iter().position(|peer| !peer.is_valid());
        let place = free.unwrap_or_else(|| self.rng.below(PEERS));
        self.server.peers[place] = peer;
        self.pool.add(peer, port_type::SEND, &mut self.rng);
    }

    /// One of the others, if any is known.
    pub(crate) fn peer(&mut self) -> Option<Name> {
        let peer = self.rng.pick(&self.server.peers);
        peer.is_valid().then_some(peer)
    }

    /// What is done with a full reply slot: mostly something.
    pub(crate) fn answer(&mut self) -> Option<Step> {
        if !self.server.owes || self.rng.one_in(3) {
            return None;
        }
        Some(match self.rng.below(4) {
            0 | 1 => Step::trap(trap::REPLY_SLOT_TAKE, [0; 6]),
            2 => reply(self).step(),
            _ => {
                let draft = reply(self);
                receive(self, draft).step()
            }
        })
    }

    /// What became of the reply slot.
    pub(crate) fn learn_slot(&mut self, step: &Step, answer: &Answer) {
        let [word, names, ..] = step.registers.arguments;
        let has = |option: u32| word & u64::from(option) != 0;
        let slot = u64::from(Name::REPLY_SLOT.0);
        if step.registers.number == trap::REPLY_SLOT_TAKE {
            self.server.owes = false;
        } else if step.is_message() {
            let refused = answer.code == MessageReturn::SendInvalidDest.0;
            if has(options::SEND) && names & u64::from(u32::MAX) == slot {
                self.server.owes &= refused;
            }
            let kind = Received(answer.results[0] as u32).reply();
            let got = answer.code == KernReturn::Success.0 && has(options::RECEIVE);
            self.server.owes |= got && kind == ReplyKind::Slot;
        }
    }
}

/// A wait for somebody's call.
pub(crate) fn serve(of: &mut Generator) -> Step {
    let draft = message::bounded(of);
    receive(of, draft).step()
}

fn receive(of: &mut Generator, mut draft: Draft) -> Draft {
    draft.options |= options::RECEIVE;
    draft.receive = match of.server.door {
        door if door.is_valid() && !of.rng.one_in(8) => door,
        _ => of.pool.name(port_type::RECEIVE, &mut of.rng),
    };
    draft
}

fn reply(of: &mut Generator) -> Draft {
    let mut draft = message::bounded(of);
    draft.options |= options::SEND;
    draft.remote = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE);
    draft.words = message::words(of);
    draft.body = message::body(of);
    draft.shape = draft.honest();
    draft
}
