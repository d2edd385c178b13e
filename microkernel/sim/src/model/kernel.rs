//! Messages to the kernel's own ports that mean nothing there (MACH.md M-13): they are refused, and what they carry ends.

use abi::kern_return::KernReturn as Code;
use abi::message::WORDS;
use abi::transport::REPLY_OFFSET;

use super::{Carried, Holder, Message, Model};

/// The id of a request that no port of the kernel's knows.
pub const REQUEST: i32 = 7777;

/// That of the answer to it.
pub(super) const ANSWER: i32 = REQUEST + REPLY_OFFSET;

impl Model {
    /// The answer goes to whom the request says, room or none: the kernel waits for nobody, and answers itself nothing.
    pub(super) fn refuse_request(&mut self, message: Message, code: Code) {
        let to = match message.local {
            Carried::Send(port) | Carried::SendOnce(port) => Some(port),
            _ => None,
        };
        let to = to.filter(|port| self.is_alive(*port));
        let Some(port) = to.filter(|port| self.ports[*port].holder != Holder::Kernel) else {
            return self.discard_unsent(message);
        };
        // The answer comes first: what else the request carried must not seem to be all that there is.
        let mut words = vec![0; WORDS];
        words[0] = code.0.into();
        let answer = Message {
            batch: self.batch,
            from_kernel: false,
            id: ANSWER,
            first: words[0],
            words,
            data: None,
            remote: message.local,
            local: Carried::Null,
            rights: Vec::new(),
            parts: Vec::new(),
        };
        self.push(port, answer);
        self.discard(message.remote);
        for right in message.rights {
            self.discard(right);
        }
    }
}
