//! What the kernel reads and writes in a message buffer: header, descriptors, inline data.

use core::mem::offset_of;

use abi::PAGE_SIZE;
use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, Header, MAX_DESCRIPTORS, descriptor};
use abi::names::Name;
use abi::registers::Shape;

use super::fast::At;
use crate::base::ids::BufferId;
use crate::machine::{Machine, Page};
use crate::vm::Vm;

pub(super) const PAGE: usize = PAGE_SIZE as usize;

/// What a receiver finds in its buffer of memory.
pub(super) fn memory_at(address: u64, size: u64) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags: descriptor::DEALLOCATE,
        address,
        size,
        ..Descriptor::default()
    }
}

/// What a receiver finds in its buffer of a right.
pub(super) fn right_at(name: Name, disposition: u8) -> Descriptor {
    Descriptor {
        kind: descriptor::PORT,
        disposition,
        name: name.0,
        ..Descriptor::default()
    }
}

/// Where inline data begins in a buffer.
pub(super) const fn data_offset(descriptors: u32) -> usize {
    HEADER_SIZE + descriptors as usize * DESCRIPTOR_SIZE
}

/// What a receiver finds in the header of its buffer.
pub(super) struct HeaderFacts {
    pub(super) shape: Shape,
    pub(super) remote: Name,
    pub(super) local: Name,
    pub(super) id: i32,
    pub(super) label: u64,
    pub(super) identity: u64,
    pub(super) sequence: u32,
}

impl HeaderFacts {
    /// An [`abi::message::Header`], as words, without what is reserved at its end.
    #[inline(always)]
    pub(super) fn words(&self) -> [u64; offset_of!(Header, reserved) / size_of::<u64>()] {
        let descriptors = self.shape.descriptors();
        let size = data_offset(descriptors) as u32 + self.shape.size();
        let bits = if descriptors > 0 { 1_u32 << 31 } else { 0 };
        [
            u64::from(bits) | u64::from(size) << 32,
            u64::from(self.remote.0) | u64::from(self.local.0) << 32,
            u64::from(self.id as u32) << 32,
            self.label,
            self.identity,
            u64::from(self.sequence) | u64::from(descriptors) << 32,
        ]
    }
}

/// Whether header, descriptors and data of a shape fit into a buffer.
pub(super) fn fits(vm: &Vm, buffer: Option<BufferId>, shape: Shape) -> bool {
    let Some(buffer) = buffer else { return false };
    let room = vm.buffer_pages(buffer).len() * PAGE;
    let count = shape.descriptors();
    count as usize <= MAX_DESCRIPTORS && data_offset(count) + shape.size() as usize <= room
}

/// Copies bytes from one list of pages to another one.
#[inline(always)]
pub(super) fn copy_span<M: Machine>(
    machine: &mut M,
    (from, from_offset): (&[Page], usize),
    (to, to_offset): (&[Page], usize),
    size: usize,
) {
    let mut done = 0;
    while done < size {
        let (source, target) = (from_offset + done, to_offset + done);
        let room = (PAGE - source % PAGE)
            .min(PAGE - target % PAGE)
            .min(size - done);
        let pages = (from.get(source / PAGE), to.get(target / PAGE));
        let (Some(source_page), Some(target_page)) = pages else {
            return;
        };
        machine.copy(
            (*source_page, source % PAGE),
            (*target_page, target % PAGE),
            room,
        );
        done += room;
    }
}

/// Writes the header into the first page of a receiver's buffer.
pub(super) fn write_header<M: Machine>(
    machine: &mut M,
    page: Page,
    (at, reply): (At, Name),
    ((id, identity), shape): ((i32, u64), Shape),
) {
    let facts = HeaderFacts {
        shape,
        remote: reply,
        local: at.name,
        id,
        label: at.label,
        identity,
        sequence: at.sequence,
    };
    machine.write_words((page, 0), facts.words());
}

/// All descriptors lie in the first page of a buffer.
const _: () = assert!(data_offset(MAX_DESCRIPTORS as u32) <= PAGE);

/// Reads one descriptor, once.
pub(super) fn read_descriptor<M: Machine>(machine: &mut M, page: Page, index: u32) -> Descriptor {
    let [first, address, size] = machine.read_words((page, data_offset(index)));
    Descriptor {
        kind: first as u8,
        disposition: (first >> 8) as u8,
        flags: (first >> 16) as u16,
        name: (first >> 32) as u32,
        address,
        size,
    }
}

pub(super) fn write_descriptor<M: Machine>(
    machine: &mut M,
    page: Page,
    index: u32,
    descriptor: Descriptor,
) {
    let first = u64::from(descriptor.kind)
        | u64::from(descriptor.disposition) << 8
        | u64::from(descriptor.flags) << 16
        | u64::from(descriptor.name) << 32;
    let words = [first, descriptor.address, descriptor.size];
    machine.write_words((page, data_offset(index)), words);
}
