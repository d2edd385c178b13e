//! Threads without a message buffer: what comes through one is too large for them.

use abi::message::MIN_BUFFER;
use abi::names::Name;
use abi::registers::options;
use abi::trap;
use microkernel::machine::FrameIndex;

use super::generate::{NOWHERE, Names, Patience};
use crate::message::Request;
use crate::model::{BufferOp, Op};
use crate::user::buffer_address;

impl Names<'_> {
    /// Something with the message buffer. The first task's threads keep theirs, which have been counted.
    pub(super) fn buffer(&mut self) -> Op {
        Op::Buffer(match self.rng.below(8) {
            _ if self.task == 0 => BufferOp::Make,
            0 => BufferOp::Make,
            1 => self.rng.pick(&[BufferOp::Nowhere, BufferOp::Crooked]),
            _ => BufferOp::Drop,
        })
    }

    /// What a thread does that has no buffer: no calls of the kernel, which answers some of them there.
    pub(super) fn without_buffer(&mut self, patience: Patience) -> Op {
        match self.rng.below(8) {
            0 => Op::Buffer(BufferOp::Make),
            1 => self.look(),
            2 => self.release(),
            3 | 4 => {
                let poll = Request::poll(self.with_mail());
                Op::Message(self.may_stay(poll))
            }
            _ => {
                let meets = patience == Patience::MayWait && self.rng.one_in(2);
                let met = if meets { self.meet() } else { None };
                let mut request = match met {
                    Some(request) => {
                        let request = self.worded(request);
                        match self.rng.one_in(4) {
                            true => self.may_stay(request),
                            false => request.with(options::RECEIVE_LARGE),
                        }
                    }
                    None => self.message(patience),
                };
                if !self.rng.one_in(4) {
                    request.body = None;
                }
                Op::Message(request)
            }
        }
    }

    /// A receive that may leave the message where it is; so may a call its answer, which ends then.
    pub(super) fn may_stay(&mut self, request: Request) -> Request {
        let often = if self.model.has_buffer(self.thread) {
            5
        } else {
            2
        };
        let calls = request.options & options::SEND != 0 && request.receive == Name::NULL;
        match calls || request.receive.is_valid() {
            true if self.rng.one_in(often) => request.with(options::RECEIVE_LARGE),
            true if self.rng.one_in(4) => request.with(options::PEEK),
            _ => request,
        }
    }
}

/// A trap's number and arguments.
pub(super) fn registers(thread: FrameIndex, op: BufferOp) -> (i64, Vec<u64>) {
    let (address, size) = match op {
        BufferOp::Drop => (0, 0),
        BufferOp::Make => (buffer_address(thread), MIN_BUFFER),
        BufferOp::Nowhere => (NOWHERE, MIN_BUFFER),
        BufferOp::Crooked => (buffer_address(thread) + 8, MIN_BUFFER),
    };
    (trap::MESSAGE_BUFFER, vec![address, size])
}
