//! Calls of tasks' ports on their memory.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::Name;
use abi::trap;
use abi::vm::{map_flags, protection, region};
use interfaces::vm::Vm;

use super::World;
use super::calls::with_right;
use super::generate::Names;
use super::task_vm::numbered;
use super::vm::mapping_word;
use crate::message::Request;
use crate::model::{
    Bytes, Hands, Mapping, Op, PAGES, Seen, Span, Subject, TaskId, ThreadId, VmCall,
};

/// Limits of a task's size that it never comes near to.
const LIMITS: [u64; 3] = [u64::MAX, u64::MAX - 1, 1 << 60];

impl Names<'_> {
    /// A call on the memory of a task, mostly the own one, if it has any.
    pub(super) fn vm_call(&mut self) -> Option<Op> {
        let known = self.with_memory();
        let own = known.iter().position(|(_, of)| *of == self.task);
        let (name, of) = match own {
            Some(own) if self.rng.one_in(2) => known[own],
            _ if known.is_empty() => return None,
            _ => self.rng.pick(&known),
        };
        let call = match self.rng.below(5) {
            0 => self.contents(of, &known),
            1 => self.attributes(of),
            2 => self.looks(of),
            3 => self.task_vm(of),
            _ => self.arrangement(of, &known),
        };
        Some(Op::VmCall(name, of, call))
    }

    /// Names of tasks that have memory.
    pub(super) fn with_memory(&self) -> Vec<(Name, TaskId)> {
        let mut known = self.model.controls(self.task);
        known.retain(|(_, of)| self.model.has_memory(*of));
        known
    }

    /// As [`span`](Self::span), not of the buffer.
    pub(super) fn bytes(&mut self) -> Bytes {
        match self.span() {
            Span::At(at, size) => (at, size),
            Span::Buffer => self.run_of_pages(),
        }
    }

    fn contents(&mut self, of: TaskId, known: &[(Name, TaskId)]) -> VmCall {
        let range = self.bytes();
        let to = self.run_of_pages().0 + range.0 % PAGE_SIZE;
        let into = match self.rng.below(3) {
            0 => self.task,
            _ => of,
        };
        match self.rng.below(4) {
            0 => VmCall::Read(range),
            // Messages carry so much.
            1 if range.1 <= PAGES * PAGE_SIZE => VmCall::Write(range, self.rng.word() | 1),
            2 if self.has_order((of, range), (of, to)) => VmCall::Copy(range, to),
            3 if known.iter().any(|(_, task)| *task == into)
                && self.has_order((of, range), (self.task, to)) =>
            {
                VmCall::ReadOverwrite(range, to)
            }
            _ => VmCall::Read(range),
        }
    }

    fn has_order(&self, (from, range): (TaskId, Bytes), to: (TaskId, u64)) -> bool {
        range.1 > PAGES * PAGE_SIZE || self.model.are_apart((from, range), to)
    }

    fn attributes(&mut self, of: TaskId) -> VmCall {
        let range = match self.page_without(of, protection::WRITE) {
            Some(at) if self.rng.one_in(4) => (at, PAGE_SIZE),
            _ => self.bytes(),
        };
        match self.rng.below(9) {
            0 | 1 => VmCall::Inherit(range, self.rng.pick(&[0, 0, 1, 2, 3])),
            2 | 3 => VmCall::Wire(range, self.rng.pick(&[0, 0, 0, 1, 1, 3, 2, 8])),
            4 => VmCall::BehaviorSet(range, self.rng.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 7, 7, 8])),
            5 => {
                let flags = [0, 1, 2, 3, 4, 8, 8, 0x10, 0x20, 0x22, 0x40];
                VmCall::Msync(range, self.rng.pick(&flags))
            }
            6 => VmCall::MachineAttribute(
                range,
                self.rng.pick(&[1, 1, 1, 2, 8]),
                self.rng.pick(&[6, 7, 9, 5]),
            ),
            _ => {
                let (now, most) = (self.rng.pick(&LIMITS), self.rng.pick(&LIMITS));
                let hands = match self.task {
                    0 => self.rng.pick(&[Hands::Privileged, Hands::Empty]),
                    _ => Hands::Empty,
                };
                let (at, _) = self.run_of_pages();
                match self.model.access(of, at).is_none() && self.rng.one_in(3) {
                    true => VmCall::Tight(at),
                    false => VmCall::SetSizeLimit(hands, now, most),
                }
            }
        }
    }

    fn looks(&mut self, _of: TaskId) -> VmCall {
        let at = self.run_of_pages().0 + self.rng.pick(&[0, 0, 8]);
        let room = self.rng.pick(&[20, 20, 20, 4]);
        match self.rng.below(6) {
            0..3 => {
                let flavors = [
                    region::BASIC_INFO_64,
                    region::BASIC_INFO_64,
                    region::EXTENDED_INFO,
                    region::TOP_INFO,
                    99,
                ];
                let at = self.rng.pick(&[at, at, at, at, 1 << 47]);
                VmCall::Region(at, self.rng.pick(&flavors), room)
            }
            3 => VmCall::RegionRecurse(at, room),
            4 => VmCall::PageQuery(at),
            _ => VmCall::SizeLimit,
        }
    }

    fn arrangement(&mut self, of: TaskId, known: &[(Name, TaskId)]) -> VmCall {
        let mut mapping = self.mapping_in(of);
        if self.rng.one_in(3) {
            return VmCall::MapAnonymous(Mapping {
                offset: 0,
                ..mapping
            });
        }
        let from = self.rng.pick(known).1;
        let at = self.run_of_pages().0 + self.rng.pick(&[0, 0, 0, 8]);
        if let Span::At(_, size) = &mut mapping.span {
            *size = (*size).min(4 * PAGE_SIZE);
        }
        mapping.flags = match self.rng.below(8) {
            0 => 0,
            1 => map_flags::COPY,
            2 => 0x80,
            3..5 => map_flags::OVERWRITE | map_flags::COPY,
            _ => map_flags::OVERWRITE,
        };
        (mapping.protection, mapping.maximum) = (protection::NONE, protection::NONE);
        VmCall::Remap(from, at, mapping)
    }
}

impl World {
    pub(super) fn vm_call(&mut self, thread: ThreadId, (name, op): (Name, VmCall)) -> Seen {
        let call = |id: i32, words: &[u64]| {
            let mut all = [0; 6];
            all[..words.len()].copy_from_slice(words);
            Request::call(name).id(id).words(all)
        };
        match op {
            VmCall::Read(range) => self.vm_read(thread, name, range),
            VmCall::Write(range, number) => self.vm_write(thread, name, (range, number)),
            VmCall::Copy((at, size), to) => {
                self.coded(thread, &call(<dyn Vm>::COPY.id, &[at, size, to]))
            }
            VmCall::ReadOverwrite((at, size), to) => {
                self.coded(thread, &call(<dyn Vm>::READ_OVERWRITE.id, &[at, size, to]))
            }
            VmCall::Inherit((at, size), how) => {
                self.coded(thread, &call(<dyn Vm>::INHERIT.id, &[at, size, how.into()]))
            }
            VmCall::MapAnonymous(mapping) => {
                let [address, size, mask] = place(&mapping);
                let words = [address, size, mask, mapping_word(&mapping)];
                self.coded(thread, &call(<dyn Vm>::MAP_ANONYMOUS.id, &words))
            }
            VmCall::Remap(from, at, mapping) => {
                let known = self.model.subjects(self.threads[thread].1);
                let source = known.iter().find(|known| known.1 == Subject::Task(from));
                let source = source.map_or(Name::NULL, |known| known.0);
                let [address, size, mask] = place(&mapping);
                let words = [address, size, mask, at, mapping_word(&mapping)];
                self.telling_call(
                    thread,
                    &with_right(name, (<dyn Vm>::REMAP.id, source), &words),
                )
            }
            VmCall::Region(at, flavor, room) => {
                let words = [at, flavor.into(), room.into()];
                self.telling_call(thread, &call(<dyn Vm>::REGION.id, &words))
            }
            VmCall::RegionRecurse(at, room) => {
                let words = [at, 0, room.into()];
                self.telling_call(thread, &call(<dyn Vm>::REGION_RECURSE.id, &words))
            }
            VmCall::Wire((at, size), access) => {
                self.coded(thread, &call(<dyn Vm>::WIRE.id, &[at, size, access.into()]))
            }
            VmCall::BehaviorSet((at, size), how) => {
                let words = [at, size, how.into()];
                self.coded(thread, &call(<dyn Vm>::BEHAVIOR_SET.id, &words))
            }
            VmCall::Msync((at, size), flags) => {
                self.coded(thread, &call(<dyn Vm>::MSYNC.id, &[at, size, flags.into()]))
            }
            VmCall::MachineAttribute((at, size), kind, value) => {
                let words = [at, size, kind.into(), value as u64];
                self.coded(thread, &call(<dyn Vm>::MACHINE_ATTRIBUTE.id, &words))
            }
            VmCall::PageQuery(at) => {
                self.telling_call(thread, &call(<dyn Vm>::PAGE_QUERY.id, &[at]))
            }
            VmCall::SizeLimit => self.telling_call(thread, &call(<dyn Vm>::SIZE_LIMIT.id, &[])),
            VmCall::SetSizeLimit(hands, now, most) => self.limit(thread, name, hands, [now, most]),
            VmCall::Tight(at) => self.tight(thread, name, at),
            VmCall::OfTask(op) => self.task_vm(thread, (name, op)),
            VmCall::Statistics => self.vm_numbers(thread, name),
        }
    }

    /// A call that answers a code and perhaps a number.
    pub(super) fn coded(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let reply = self.sim.on(self.threads[thread].0).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => Seen::Trap(KernReturn::Success, reply.words[1]),
            code => Seen::Trap(code, 0),
        }
    }

    /// The numbers at the starts of the pages that are read.
    fn vm_read(&mut self, thread: ThreadId, name: Name, (at, size): Bytes) -> Seen {
        let frame = self.threads[thread].0;
        let words = [at, size, 0, 0, 0, 0];
        let request = Request::call(name).id(<dyn Vm>::READ.id).words(words);
        let reply = self.sim.on(frame).message(&request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => {
                let bytes = self.take_body(frame, reply).memory.concat();
                assert_eq!(bytes.len() as u64, size);
                let first = at.next_multiple_of(PAGE_SIZE) - at;
                let pages = (first..size).step_by(PAGE_SIZE as usize);
                let number = |place: u64| bytes[place as usize..].first_chunk().copied();
                let numbers = pages.filter_map(number).map(u64::from_le_bytes);
                Seen::Told(numbers.collect())
            }
            code => Seen::Trap(code, 0),
        }
    }

    /// Writes zeros, and a number at the start of each page.
    fn vm_write(
        &mut self,
        thread: ThreadId,
        name: Name,
        ((at, size), number): (Bytes, u64),
    ) -> Seen {
        let frame = self.threads[thread].0;
        let mut request = Request::call(name).id(<dyn Vm>::WRITE.id);
        let lent = (size > 0).then(|| self.fresh_memory(frame, size));
        if let Some(lent) = lent {
            let bytes = numbered((at, size), number);
            self.sim.on(frame).poke(lent, &bytes);
        }
        request = request.memory(lent.unwrap_or(0), size);
        let seen = self.coded(thread, &request.data(&at.to_le_bytes()));
        if let Some(lent) = lent {
            let freed = self.sim.on(frame).trap(trap::VM_DEALLOCATE, &[lent, size]);
            assert_eq!(freed, Ok(0), "what was written stays the caller's");
        }
        seen
    }

    fn limit(&mut self, thread: ThreadId, name: Name, hands: Hands, limits: [u64; 2]) -> Seen {
        let host = match hands {
            Hands::Privileged => self.host,
            Hands::Empty => self.selves[thread].task,
        };
        let id = <dyn Vm>::SET_SIZE_LIMIT.id;
        self.coded(thread, &with_right(name, (id, host), &limits))
    }

    /// Maps a page while a task may not grow.
    fn tight(&mut self, thread: ThreadId, name: Name, at: u64) -> Seen {
        let request = Request::call(name).id(<dyn Vm>::SIZE_LIMIT.id);
        let Seen::Told(before) = self.telling_call(thread, &request) else {
            panic!("a task has no limit");
        };
        let set = |world: &mut Self, now| {
            let done = world.limit(thread, name, Hands::Empty, [now, before[1]]);
            assert_eq!(done, Seen::Trap(KernReturn::Success, 0));
        };
        set(self, 0);
        let rights = u64::from(protection::READ);
        let word = rights << map_flags::CURRENT_SHIFT | rights << map_flags::MAXIMUM_SHIFT;
        let request = Request::call(name).id(<dyn Vm>::MAP_ANONYMOUS.id);
        let seen = self.coded(thread, &request.words([at, PAGE_SIZE, 0, word, 0, 0]));
        set(self, before[0]);
        seen
    }
}

/// Address, size and mask.
pub(super) fn place(mapping: &Mapping) -> [u64; 3] {
    match mapping.span {
        Span::At(address, size) => [address, size, mapping.mask],
        Span::Buffer => unreachable!("no call is of a buffer"),
    }
}
