//! What messages carry: rights, guarded ones, arrays of rights, memory.

use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition, port_type};

use super::{NOWHERE, Names};
use crate::message::Request;

/// Bytes of memory that a message takes along: one page or a few, and parts of some.
const SIZES: [usize; 8] = [0, 1, 40, 40, 4096, 4100, 8192, 12_290];
/// How many pieces of memory, at the most.
const PIECES: usize = 3;
/// Where in a page they begin.
const PLACES: [u64; 6] = [0, 0, 8, 4095, 100, NOWHERE];

impl Names<'_> {
    /// A message with one more part, or two.
    pub(super) fn part(&mut self, request: Request) -> Request {
        let request = match self.rng.below(8) {
            0 => self.guarded(request),
            1 | 2 => self.pieces(request),
            _ => {
                let name = self.any();
                let how = match self.disposition(name) {
                    disposition::MAKE_SEND if self.rng.one_in(2) => disposition::MOVE_RECEIVE,
                    how => how,
                };
                request.port(name, how)
            }
        };
        let mut request = match self.rng.one_in(4) {
            true => self.array(request),
            false => request,
        };
        if self.rng.one_in(24)
            && let Some(part) = last(&mut request)
        {
            self.spoil(part);
        }
        request
    }

    /// A receive right that moves with its guard: mostly.
    fn guarded(&mut self, request: Request) -> Request {
        let mut names = self.live();
        names.retain(|name| self.model.guard_of(self.task, *name).is_some());
        let name = match names.is_empty() || self.rng.one_in(4) {
            true => self.of_kind(port_type::RECEIVE),
            false => self.rng.pick(&names),
        };
        let guard = self.model.guard_of(self.task, name);
        let guard = guard.filter(|_| !self.rng.one_in(3));
        let mut request = request.port(name, disposition::MOVE_RECEIVE);
        if let Some(part) = last(&mut request) {
            part.kind = descriptor::GUARDED_PORT;
            part.address = guard.unwrap_or(7);
        }
        request
    }

    /// Memory: mostly one piece.
    fn pieces(&mut self, request: Request) -> Request {
        let mut request = self.memory(request);
        while request.memory.len() < PIECES && self.rng.one_in(3) {
            request = self.memory(request);
        }
        request
    }

    /// Bytes that are copied, or moved.
    fn memory(&mut self, request: Request) -> Request {
        let (size, first) = (self.rng.pick(&SIZES), self.rng.word());
        let bytes: Vec<u8> = (0..size).map(|n| (n as u64 ^ first) as u8).collect();
        let mut request = request.memory(self.rng.pick(&PLACES), size as u64);
        if let Some(part) = last(&mut request) {
            part.flags = self.rng.pick(&[0, descriptor::DEALLOCATE]);
            if self.rng.one_in(4) {
                part.kind = descriptor::OUT_OF_LINE_VOLATILE;
            }
        }
        request.memory.push(bytes);
        request
    }

    /// What there is not.
    fn spoil(&mut self, part: &mut Descriptor) {
        let of_memory = [descriptor::OUT_OF_LINE, descriptor::OUT_OF_LINE_VOLATILE];
        if of_memory.contains(&part.kind) {
            part.flags |= self.rng.pick(&[2, 0x8000]);
        } else {
            part.disposition = self.rng.pick(&[0, 15, 22, 255]);
        }
    }

    /// An array of names of one kind: mostly.
    fn array(&mut self, mut request: Request) -> Request {
        let first = self.of_kind(port_type::SEND | port_type::RECEIVE);
        let how = self.disposition(first);
        let kind = self.model.bits(self.task, first);
        let names: Vec<Name> = (0..self.rng.below(4))
            .map(|n| if n == 0 { first } else { self.of_kind(kind) })
            .collect();
        request = request.array(0, names.len() as u32, how);
        request.arrays.push(names);
        request
    }
}

/// The part that a message was given last.
fn last(request: &mut Request) -> Option<&mut Descriptor> {
    request.body.as_mut()?.descriptors.last_mut()
}
