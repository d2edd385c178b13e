//! Threads that wait for each other's messages: what the kernel's fast path passes on.

use abi::names::{Name, disposition, port_type};
use abi::registers::options;

use super::Names;
use crate::message::Request;

impl Names<'_> {
    /// A call to somebody who waits for one, the answer to it, or the wait for it, if there can be one. All of them wait.
    pub(in crate::program) fn meet(&mut self) -> Option<Request> {
        let sources = port_type::RECEIVE | port_type::PORT_SET;
        if self.model.has_reply_right(self.thread) {
            let from = self.of_kind(sources);
            let reply = self.enclose(Request::reply());
            return Some(self.reply(reply, from));
        }
        let mut awaited = self.live();
        awaited.retain(|name| {
            let bits = self.model.bits(self.task, *name);
            bits & port_type::SEND != 0 && self.model.is_awaited(self.task, *name)
        });
        if !awaited.is_empty() {
            let to = self.rng.pick(&awaited);
            return Some(match self.rng.below(6) {
                0 => Request::send(to),
                1 => self.enclose(Request::send(to)),
                2 => {
                    let call = self.enclose(Request::call(to));
                    self.may_stay(call)
                }
                _ => self.enclose(Request::call(to)),
            });
        }
        let mut known = self.live();
        known.retain(|name| self.model.is_known_elsewhere(self.task, *name));
        (!known.is_empty()).then(|| Request::receive(self.rng.pick(&known)))
    }

    /// An answer, and the wait for the next message if what that finds does not depend on who is first: the answer's effect, or
    /// its sender's receive. What the answer moves may be what that receives from, and one to an exception may end a task.
    pub(super) fn reply(&self, reply: Request, from: Name) -> Request {
        let excepted = self.model.answer_by_slot(self.thread).is_some();
        match excepted || reply.moves_receive_right() {
            true => reply,
            false => reply.then_receive(from),
        }
    }

    /// A message with data and one right, mostly, or as it is.
    pub(super) fn enclose(&mut self, request: Request) -> Request {
        debug_assert_eq!(request.options & options::SEND, options::SEND);
        let request = match self.rng.below(8) {
            0 | 1 => return request,
            2 => request,
            3 => self.part(request),
            _ => {
                let kinds = port_type::SEND | port_type::RECEIVE | port_type::SEND_ONCE;
                let name = self.of_kind(kinds);
                let how = match self.disposition(name) {
                    disposition::MAKE_SEND if self.rng.one_in(8) => disposition::MOVE_RECEIVE,
                    how => how,
                };
                request.port(name, how)
            }
        };
        request.data(&[9; 100][..self.rng.below(100)])
    }
}
