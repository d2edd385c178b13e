//! A message in the buffer that the fast path takes: inline data, no descriptors.

use abi::PAGE_SIZE;
use abi::message::HEADER_SIZE;
use abi::registers::Shape;

use super::layout::{HeaderFacts, copy_span};
use crate::machine::{Machine, Page};
use crate::sched::Thread;
use crate::vm::Vm;

/// The message, in nobody's keeping: the sender's buffer holds it until it is copied.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    vm: &'a Vm,
    /// Bytes of its data.
    size: u32,
}

/// Where to copy from and to.
pub(super) struct Pages<'a> {
    from: Page,
    to: Page,
    size: usize,
    /// All pages of both buffers, when the message is longer than one.
    long: Option<[&'a [Page]; 2]>,
}

/// Bytes of data that a page has room for beside the header.
pub const ROOM: u32 = (PAGE_SIZE as usize - HEADER_SIZE) as u32;

impl<'a> Letter<'a> {
    /// `None`: the message is another one than inline data in the buffer.
    #[inline(always)]
    pub fn new(vm: &'a Vm, shape: Shape) -> Option<Self> {
        let size = shape.size();
        (shape == Shape::buffered(size, 0)).then_some(Self { vm, size })
    }

    /// What it is.
    #[inline(always)]
    pub(super) fn shape(self) -> Shape {
        Shape::buffered(self.size, 0)
    }

    /// The pages to copy from and to, if both threads have a buffer that is large enough.
    #[inline(always)]
    pub(super) fn pages(self, from: &Thread, to: &Thread) -> Option<Pages<'a>> {
        let long = if self.size > ROOM {
            Some(self.long(from, to)?)
        } else {
            None
        };
        Some(Pages {
            from: from.buffer_page?,
            to: to.buffer_page?,
            size: self.size as usize,
            long,
        })
    }

    #[cold]
    #[inline(never)]
    fn long(self, from: &Thread, to: &Thread) -> Option<[&'a [Page]; 2]> {
        let pages = [from.buffer?, to.buffer?].map(|buffer| self.vm.buffer_pages(buffer));
        let room = pages[0].len().min(pages[1].len()) * PAGE_SIZE as usize;
        (HEADER_SIZE + self.size as usize <= room).then_some(pages)
    }
}

impl Pages<'_> {
    /// Copies the data, and writes the receiver's header.
    #[inline(always)]
    pub(super) fn deliver<M: Machine>(&self, machine: &mut M, facts: &HeaderFacts) {
        machine.write_words((self.to, 0), facts.words());
        match self.long {
            None => machine.copy((self.from, HEADER_SIZE), (self.to, HEADER_SIZE), self.size),
            Some([from, to]) => {
                copy_span(machine, (from, HEADER_SIZE), (to, HEADER_SIZE), self.size);
            }
        }
    }
}
