//! Memory entries of random programs.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, port_type};
use abi::trap;
use abi::vm::{entry, map_flags, protection};
use interfaces::memory::{Entry, MemoryRoot};
use interfaces::task::Task;
use interfaces::vm::Vm;

use super::World;
use super::calls::with_right;
use super::generate::Names;
use super::vm::mapping_word;
use super::vm_calls::place;
use crate::machine::Size;
use crate::message::Request;
use crate::model::{Bytes, EntryOp, Extent, Mapping, Op, Seen, Span, Target, ThreadId};

/// How many entries there may be before programs make no more: tasks pay for what they keep.
const MANY: usize = 10;

/// Flags of entries that are made of a task's memory; the last three are none.
const FLAGS: [u32; 12] = [
    0,
    0,
    0,
    entry::SHARE,
    entry::COPY,
    entry::COPY,
    entry::NAMED_CREATE,
    entry::NAMED_CREATE | entry::MASK_PERMISSIONS,
    entry::COPY | entry::MASK_PERMISSIONS,
    entry::MASK_PERMISSIONS,
    entry::SHARE | entry::COPY,
    0x8_0000,
];

/// Flags of entries that are made of others; the last two are none.
const PART_FLAGS: [u32; 9] = [
    0,
    0,
    entry::NAMED_REUSE,
    entry::NAMED_REUSE,
    entry::SHARE | entry::NAMED_REUSE | entry::MASK_PERMISSIONS,
    entry::MASK_PERMISSIONS,
    entry::NAMED_CREATE | entry::MASK_PERMISSIONS,
    entry::COPY,
    0x800,
];

impl Names<'_> {
    /// Something with a memory entry: mostly with one that there is.
    pub(super) fn entry(&mut self) -> Option<Op> {
        let known = self.with_memory();
        let own = known.iter().position(|(_, of)| *of == self.task);
        let target = match own {
            Some(own) if self.rng.one_in(2) => known[own],
            _ if known.is_empty() => return None,
            _ => self.rng.pick(&known),
        };
        let entries = self.model.memory_entries(self.task);
        let few = self.model.entry_count() < MANY;
        let shown: Vec<_> = entries.iter().copied().filter(is_memory).collect();
        if few && (shown.is_empty() || self.rng.one_in(4)) {
            return Some(Op::Entry(self.fresh_entry(target)));
        }
        if entries.is_empty() {
            return None;
        }
        let (name, extent) = self.rng.pick(&entries);
        Some(Op::Entry(match self.rng.below(8) {
            0 => EntryOp::Bounds(name),
            1 if few => self.part_of(name, extent),
            2 if few => self.derived(target, (name, extent)),
            3 if few => {
                let (range, rights) = (self.inside(extent), self.at_most(extent.maximum));
                EntryOp::Proxy(target, self.entry_or_not(name), range, rights)
            }
            _ => self.shown(target, (name, extent)),
        }))
    }

    /// An entry of memory of a task's, or of none.
    fn fresh_entry(&mut self, target: Target) -> EntryOp {
        // The first task alone knows the root.
        if self.task == 0 && self.rng.one_in(8) {
            return self.window();
        }
        let present = self.present(target.1);
        let none = present.is_none() && !self.rng.one_in(8);
        let (range, most) = present.unwrap_or_else(|| (self.bytes(), protection::ALL));
        let rights = self.at_most(most);
        if self.rng.one_in(3) && !none {
            let odd = self.rng.one_in(12);
            return EntryOp::Share(target, range, if odd { 8 } else { rights });
        }
        let mut flags = self.rng.pick(&FLAGS);
        if none {
            flags = flags & entry::MASK_PERMISSIONS | entry::NAMED_CREATE;
        }
        // Memory of any size is made where none is.
        let range = match flags & entry::NAMED_CREATE {
            0 => range,
            _ => self.rng.pick(&[
                (0, 2 * PAGE_SIZE),
                (0, 3 * PAGE_SIZE),
                (0, PAGE_SIZE + 1),
                (range.0, 1),
                (0, u64::MAX),
            ]),
        };
        EntryOp::Make(target, range, rights | flags)
    }

    fn window(&mut self) -> EntryOp {
        let first = u64::from(Size::default().pages) * PAGE_SIZE;
        let ranges = [
            (first, PAGE_SIZE),
            (first + 3 * PAGE_SIZE, 4 * PAGE_SIZE),
            (first + 3 * PAGE_SIZE, 4 * PAGE_SIZE),
            (first - PAGE_SIZE, 2 * PAGE_SIZE),
            (first, 0),
            (first, 100),
            (u64::MAX - 4095, PAGE_SIZE),
        ];
        EntryOp::Window(self.rng.pick(&ranges), self.rng.pick(&[0, 0, 1, 1, 2]))
    }

    /// Protections, mostly no more than these.
    fn at_most(&mut self, most: u32) -> u32 {
        match self.rng.below(10) {
            0 | 1 => protection::ALL,
            2 => most & protection::READ,
            3..5 => most & self.rng.pick(&[2, 3, 3, 5]),
            _ => most,
        }
    }

    /// Pages of an entry: mostly.
    fn inside(&mut self, extent: Extent) -> Bytes {
        let first = self.rng.below(extent.pages as usize) as u64;
        let count = 1 + self.rng.below((extent.pages - first) as usize) as u64;
        let (offset, size) = (first * PAGE_SIZE, count * PAGE_SIZE);
        match self.rng.below(12) {
            0 => (offset, extent.pages * PAGE_SIZE + PAGE_SIZE),
            1 => (u64::MAX - 4095, size),
            2 => (offset + 8, size),
            3 => (offset, 0),
            4..7 => (0, extent.pages * PAGE_SIZE),
            _ => (offset, size),
        }
    }

    fn part_of(&mut self, name: Name, extent: Extent) -> EntryOp {
        let rights = match self.rng.one_in(12) {
            true => 8,
            false => self.at_most(extent.maximum),
        };
        EntryOp::Part(name, self.inside(extent), rights)
    }

    fn derived(&mut self, target: Target, (name, extent): (Name, Extent)) -> EntryOp {
        let mut range = self.inside(extent);
        let flags = self.rng.pick(&PART_FLAGS);
        if flags & entry::NAMED_CREATE != 0 {
            range.1 = range.1.min(2 * PAGE_SIZE);
        }
        let rights = self.at_most(extent.maximum);
        EntryOp::Derive(target, self.entry_or_not(name), range, rights | flags)
    }

    /// Now and then something else than an entry, or nothing, which makes no memory object.
    fn entry_or_not(&mut self, name: Name) -> Name {
        if !self.rng.one_in(5) {
            return name;
        }
        let mut live = self.live();
        live.retain(|name| {
            self.model.is_no_object(self.task, *name) && self.model.can_bind(self.task, *name)
        });
        let dead = |name: &Name| self.model.bits(self.task, *name) & port_type::DEAD_NAME != 0;
        let gone: Vec<Name> = live.iter().copied().filter(dead).collect();
        match (live.is_empty(), gone.is_empty() || self.rng.one_in(2)) {
            (true, _) => name,
            (_, true) => self.rng.pick(&live),
            _ => self.rng.pick(&gone),
        }
    }

    /// A mapping of an entry, mostly of a part that it has.
    fn shown(&mut self, target: Target, (name, extent): (Name, Extent)) -> EntryOp {
        let own = self.rng.one_in(3);
        let of = if own { self.task } else { target.1 };
        let mut mapping = self.mapping_in(of);
        let name = match self.entry_or_not(name) {
            name if own => self.any_entry(name),
            name => name,
        };
        let entries = self.model.memory_entries(self.task);
        let mut devices = entries.iter().filter(|known| !is_memory(known));
        // There is nothing behind the devices: what is refused is a copy.
        if devices.any(|known| known.0 == name) || self.rng.one_in(4) {
            mapping.flags |= map_flags::COPY;
        }
        let first = self.rng.below(extent.pages as usize) as u64;
        let most = (extent.pages - first) * PAGE_SIZE;
        if let Span::At(at, size) = &mut mapping.span
            && !self.rng.one_in(8)
        {
            *size = (*size).min(most - *at % PAGE_SIZE);
        }
        if mapping.offset == 0 {
            mapping.offset = first * PAGE_SIZE + u64::from(self.rng.one_in(12)) * 8;
        }
        match self.rng.below(20) {
            0..3 => {}
            // Nobody gets memory so, or there.
            3 | 4 => (mapping.protection, mapping.maximum) = (6, protection::ALL),
            5 => {
                mapping.span = Span::At(self.rng.pick(&[0, 1 << 47]), PAGE_SIZE);
                mapping.flags &= !map_flags::ANYWHERE;
            }
            _ => mapping.protection &= extent.maximum,
        }
        let plain = Mapping { mask: 0, ..mapping };
        match self.rng.below(3) {
            _ if own => EntryOp::MapOwn(name, plain),
            0 => EntryOp::Place(target, name, plain),
            _ => EntryOp::Map(target, name, mapping),
        }
    }

    /// For a trap there may be no right under the name, or no name at all.
    fn any_entry(&mut self, name: Name) -> Name {
        let any = self.any();
        let fits = any.is_valid() && any != Name::REPLY_SLOT;
        match self.rng.below(16) {
            0 if fits && self.model.is_no_object(self.task, any) => any,
            1 => Name(7),
            _ => name,
        }
    }
}

fn is_memory((_, extent): &(Name, Extent)) -> bool {
    !extent.is_device
}

/// Address, size, offset and flags, for the calls without a mask.
fn plain_words(mapping: &Mapping) -> [u64; 4] {
    let [address, size, _] = place(mapping);
    [address, size, mapping.offset, mapping_word(mapping)]
}

impl World {
    /// A call to a task, an entry or the root over memory, or the trap.
    pub(super) fn entry(&mut self, thread: ThreadId, op: EntryOp) -> Seen {
        match op {
            EntryOp::Make((task, _), (offset, size), permission) => {
                let words = [size, offset, permission.into()];
                self.making_call(
                    thread,
                    &with_right(task, (<dyn Vm>::MAKE_ENTRY.id, task), &words),
                )
            }
            EntryOp::Derive((task, _), parent, (offset, size), permission) => {
                let words = [size, offset, permission.into()];
                let id = <dyn Vm>::MAKE_ENTRY.id;
                self.making_call(thread, &with_right(task, (id, parent), &words))
            }
            EntryOp::Share((task, _), (address, size), rights) => {
                let request = Request::call(task).id(<dyn Task>::MAKE_ENTRY.id);
                let words = [address, size, rights.into(), 0, 0, 0];
                self.plain_call(thread, &request.words(words))
            }
            EntryOp::Map((task, _), name, mapping) => {
                let [address, size, mask] = place(&mapping);
                let words = [address, size, mask, mapping.offset, mapping_word(&mapping)];
                self.coded(thread, &with_right(task, (<dyn Vm>::MAP.id, name), &words))
            }
            EntryOp::Place((task, _), name, mapping) => {
                let id = <dyn Task>::VM_MAP.id;
                self.coded(
                    thread,
                    &with_right(task, (id, name), &plain_words(&mapping)),
                )
            }
            EntryOp::MapOwn(name, mapping) => {
                let [address, size, offset, word] = plain_words(&mapping);
                let mut user = self.sim.on(self.threads[thread].0);
                let arguments = [name.0.into(), address, size, offset, word];
                match user.trap(trap::VM_MAP, &arguments) {
                    Ok(value) => Seen::Trap(KernReturn::Success, value),
                    Err(code) => Seen::Trap(code, 0),
                }
            }
            EntryOp::Bounds(name) => {
                let request = Request::call(name).id(<dyn Entry>::BOUNDS.id);
                match self.telling_call(thread, &request) {
                    Seen::Told(words) => Seen::Told(words[..2].to_vec()),
                    seen => seen,
                }
            }
            EntryOp::Part(name, (offset, size), rights) => {
                let request = Request::call(name).id(<dyn Entry>::PART.id);
                let words = [offset, size, rights.into(), 0, 0, 0];
                self.plain_call(thread, &request.words(words))
            }
            EntryOp::Proxy((task, _), name, (offset, size), rights) => {
                let words = [offset, size, rights.into()];
                let id = <dyn Vm>::CREATE_PROXY.id;
                self.plain_call(thread, &with_right(task, (id, name), &words))
            }
            EntryOp::Window((physical, size), cached) => {
                let request = Request::call(self.roots.memory).id(<dyn MemoryRoot>::WINDOW.id);
                let words = [physical, size, cached.into(), 0, 0, 0];
                self.plain_call(thread, &request.words(words))
            }
        }
    }

    /// A call that answers a right and how many bytes it is for: the right comes first.
    fn making_call(&mut self, thread: ThreadId, request: &Request) -> Seen {
        let reply = self.sim.on(self.threads[thread].0).message(request);
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        let data = reply.body.as_ref().map(|body| body.data.as_chunks().0);
        let mut all = data.into_iter().flatten().copied().map(u64::from_le_bytes);
        match KernReturn(reply.words[0] as u32) {
            KernReturn::Success => {
                let bytes = all.next().unwrap_or(reply.words[1]);
                Seen::Told(vec![reply.right().name.into(), bytes])
            }
            code => Seen::Trap(code, 0),
        }
    }
}
