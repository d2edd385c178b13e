//! A message in the buffer that the fast path takes: inline data, and at most one right, whose descriptor
//! [`Enclosure`](super::enclosure::Enclosure) sees to.

use abi::PAGE_SIZE;
use abi::message::{DESCRIPTOR_SIZE, HEADER_SIZE};
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
    /// Its descriptors.
    rights: u32,
}

/// Where to copy from and to.
pub(super) struct Pages<'a> {
    from: Page,
    to: Page,
    size: usize,
    /// All pages of both buffers, when the message is longer than one.
    long: Option<[&'a [Page]; 2]>,
}

/// Bytes of data and descriptors that a page has room for beside the header.
pub const ROOM: u32 = (PAGE_SIZE as usize - HEADER_SIZE) as u32;

impl<'a> Letter<'a> {
    /// `None`: the message is another one than inline data and so many descriptors in the buffer.
    #[inline(always)]
    pub fn new(vm: &'a Vm, shape: Shape, rights: u32) -> Option<Self> {
        let size = shape.size();
        let letter = Self { vm, size, rights };
        (shape == letter.shape()).then_some(letter)
    }

    /// What it is.
    #[inline(always)]
    pub(super) fn shape(self) -> Shape {
        Shape::buffered(self.size, self.rights)
    }

    /// Bytes behind the header.
    #[inline(always)]
    fn length(self) -> u32 {
        self.rights * DESCRIPTOR_SIZE as u32 + self.size
    }

    /// The pages to copy from and to, if both threads have a buffer that is large enough.
    #[inline(always)]
    pub(super) fn pages(self, from: &Thread, to: &Thread) -> Option<Pages<'a>> {
        let long = if self.length() > ROOM {
            Some(self.long(from, to)?)
        } else {
            None
        };
        Some(Pages {
            from: from.buffer_page?,
            to: to.buffer_page?,
            size: self.length() as usize,
            long,
        })
    }

    #[cold]
    #[inline(never)]
    fn long(self, from: &Thread, to: &Thread) -> Option<[&'a [Page]; 2]> {
        let pages = [from.buffer?, to.buffer?].map(|buffer| self.vm.buffer_pages(buffer));
        let room = pages[0].len().min(pages[1].len()) * PAGE_SIZE as usize;
        (HEADER_SIZE + self.length() as usize <= room).then_some(pages)
    }
}

impl Pages<'_> {
    /// Copies what is behind the header, and writes the receiver's header.
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
