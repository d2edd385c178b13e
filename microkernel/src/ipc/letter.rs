//! A message in the buffer that the fast path takes: inline data, no descriptors.

use abi::PAGE_SIZE;
use abi::message::HEADER_SIZE;
use abi::registers::Shape;

use super::body::{HeaderFacts, copy_span};
use crate::base::ids::BufferId;
use crate::machine::{Machine, Page};
use crate::vm::Vm;

/// The message, in nobody's keeping: the sender's buffer holds it until it is copied.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    vm: &'a Vm,
    /// Size of its data.
    pub(super) shape: Shape,
}

/// The pages of both buffers, large enough for the message.
pub(super) struct Pages<'a> {
    from: &'a [Page],
    to: &'a [Page],
    size: usize,
}

impl<'a> Letter<'a> {
    /// `None`: the message consists of more, or of nothing that there is.
    #[inline(always)]
    pub fn new(vm: &'a Vm, shape: Shape) -> Option<Self> {
        // Nothing but the data's size beside the bit that says "in the buffer".
        (shape.is_buffered() && shape == Shape::buffered(shape.size(), 0))
            .then_some(Self { vm, shape })
    }

    /// The pages to copy from and to, if both threads have a buffer that is large enough.
    #[inline(always)]
    pub(super) fn pages(self, from: Option<BufferId>, to: Option<BufferId>) -> Option<Pages<'a>> {
        let (from, to) = (self.vm.buffer_pages(from?), self.vm.buffer_pages(to?));
        let size = self.shape.size() as usize;
        let room = from.len().min(to.len()) * PAGE_SIZE as usize;
        (HEADER_SIZE + size <= room).then_some(Pages { from, to, size })
    }
}

impl Pages<'_> {
    /// Copies the data, and writes the receiver's header.
    #[inline(always)]
    pub(super) fn deliver<M: Machine>(&self, machine: &mut M, facts: &HeaderFacts) {
        let (Some(from), Some(to)) = (self.from.first(), self.to.first()) else {
            return;
        };
        machine.write((*to, 0), &facts.bytes());
        if HEADER_SIZE + self.size <= PAGE_SIZE as usize {
            machine.copy((*from, HEADER_SIZE), (*to, HEADER_SIZE), self.size);
        } else {
            copy_span(
                machine,
                (self.from, HEADER_SIZE),
                (self.to, HEADER_SIZE),
                self.size,
            );
        }
    }
}
