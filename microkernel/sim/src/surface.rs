//! [`Surface`]: which traps, and which methods of the kernel's ports, programs have got done.
//!
//! It is read off the registers at the edge of the kernel, so that nothing counts which a program merely meant to do.

use std::collections::BTreeSet;

use abi::names::Name;
use abi::registers::options;
use abi::transport::REPLY_OFFSET;
use abi::trap::{MACH_MSG, TASK_EXIT, THREAD_EXIT};
use microkernel::machine::{Frame, FrameIndex};

use crate::message::Reply;

/// A part of the kernel's surface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// A trap, by its number.
    Trap(i64),
    /// A method, by the id of its requests.
    Method(i32),
}

/// What was done of the surface.
#[derive(Clone, Default, Debug)]
pub struct Surface {
    done: BTreeSet<Part>,
    is_watched: bool,
    /// Threads whose trap counts.
    open: BTreeSet<FrameIndex>,
}

impl Surface {
    /// Whether a part was done at least once.
    pub fn has(&self, part: Part) -> bool {
        self.done.contains(&part)
    }

    /// Adds what was done elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.done.extend(&other.done);
    }

    /// From now on traps count.
    pub(crate) fn watch(&mut self) {
        self.is_watched = true;
    }

    /// From now on traps do not count.
    pub(crate) fn look_away(&mut self) {
        self.is_watched = false;
    }

    /// A thread makes a trap.
    pub(crate) fn begin(&mut self, thread: FrameIndex, frame: &Frame) {
        self.open.remove(&thread);
        if !self.is_watched {
            return;
        }
        let number = frame.rax as i64;
        // From these nobody comes back.
        if [TASK_EXIT, THREAD_EXIT].contains(&number) {
            self.done.insert(Part::Trap(number));
        }
        self.open.insert(thread);
    }

    /// A thread is back from its trap.
    pub(crate) fn end(&mut self, thread: FrameIndex, (before, now): (&Frame, &Frame)) {
        if !self.open.remove(&thread) || now.rax != 0 {
            return;
        }
        let number = before.rax as i64;
        self.done.insert(Part::Trap(number));
        if number == MACH_MSG {
            self.done.extend(answered(before, &Reply::from_frame(now)));
        }
    }
}

/// The method that the kernel has answered with success, if that is what a `mach_msg` did.
fn answered(before: &Frame, reply: &Reply) -> Option<Part> {
    let id = (before.rdx >> 32) as i32;
    let sends = before.rdi as u32 & options::SEND != 0;
    let by_kernel = reply.identity == 0 && reply.local == Name::NULL;
    let is_answer = sends && by_kernel && reply.id == id + REPLY_OFFSET;
    (is_answer && reply.words[0] as u32 == 0).then_some(Part::Method(id))
}
