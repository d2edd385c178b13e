//! Ports without room: threads that wait to send, until somebody receives or their deadline comes.

use abi::names::{Name, port_type};
use abi::registers::options;
use abi::trap::attribute;

use super::{Names, Patience};
use crate::message::Request;
use crate::model::Op;

impl Names<'_> {
    /// A message that waits for room until the next era at the latest; or what leaves a port less room.
    pub(super) fn crowd(&mut self, patience: Patience) -> Op {
        let live = self.live().into_iter();
        let known = live.filter_map(|name| Some((self.model.room(self.task, name)?, name)));
        let mut known: Vec<(u64, Name)> = known.collect();
        let Some((room, name)) = known.iter().min().copied() else {
            return Op::Message(self.message(patience));
        };
        if room > 0 || patience == Patience::NeverWaits {
            return self.fill(name, room);
        }
        known.retain(|(room, _)| *room == 0);
        let to = self.rng.pick(&known).1;
        let request = match self.rng.below(4) {
            0 | 1 => Request::call(to),
            2 => self.enclose(Request::send(to)),
            _ => Request::send(to),
        };
        let request = self.worded(request);
        Op::Message(self.soon(request))
    }

    fn fill(&mut self, name: Name, room: u64) -> Op {
        let receives = self.model.bits(self.task, name) & port_type::RECEIVE != 0;
        if room > 1 && receives {
            return Op::SetAttribute {
                name,
                attribute: attribute::QUEUE_LIMIT,
                value: 1,
            };
        }
        let request = Request::send(name).with(options::SEND_TIMEOUT);
        Op::Message(self.worded(request))
    }
}
