//! Memory that tasks use as they like, in a window of their addresses.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::message::MIN_BUFFER;
use abi::trap;
use abi::vm::{flags, map_flags, protection};
use microkernel::machine::FrameIndex;

use super::World;
use super::generate::{NOWHERE, Names};
use crate::model::{
    BEYOND, Bytes, Mapping, Op, PAGES, Seen, Span, TaskId, ThreadId, Trouble, Verdict, VmOp,
    WINDOW, WINDOW_END,
};
use crate::sim::Sim;
use crate::user::buffer_address;

/// Protections that programs ask for: mostly those that memory has.
const RIGHTS: [u32; 12] = [0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, 6];
/// Sizes that no task has room for, or that wrap around.
const HUGE: [u64; 4] = [1 << 47, u64::MAX, u64::MAX - 4095, 1 << 63];

/// A trap's number and arguments.
pub(super) fn registers(frame: FrameIndex, op: &VmOp) -> (i64, Vec<u64>) {
    let range = |span| match span {
        Span::At(address, size) => [address, size],
        Span::Buffer => [buffer_address(frame), MIN_BUFFER],
    };
    match *op {
        VmOp::Allocate(span, flags) => {
            let [address, size] = range(span);
            (trap::VM_ALLOCATE, vec![address, size, flags])
        }
        VmOp::Deallocate(span) => (trap::VM_DEALLOCATE, range(span).to_vec()),
        VmOp::Protect(span, which, rights) => {
            let [address, size] = range(span);
            (trap::VM_PROTECT, vec![address, size, which, rights])
        }
        VmOp::Map(mapping) => {
            let [address, size] = range(mapping.span);
            let word = mapping_word(&mapping);
            (trap::VM_MAP, vec![0, address, size, mapping.offset, word])
        }
        VmOp::Store(..) | VmOp::Load(_) => unreachable!("no trap: {op:?}"),
    }
}

pub(super) fn mapping_word(mapping: &Mapping) -> u64 {
    mapping.flags
        | u64::from(mapping.protection) << map_flags::CURRENT_SHIFT
        | u64::from(mapping.maximum) << map_flags::MAXIMUM_SHIFT
        | u64::from(mapping.inheritance) << map_flags::INHERIT_SHIFT
}

/// Has the first task's page tables for the window there, before they are counted.
pub(super) fn touch_window(sim: &mut Sim, first: FrameIndex) {
    let mut user = sim.on(first);
    let range = [WINDOW, PAGES * PAGE_SIZE];
    assert_eq!(
        user.trap(trap::VM_ALLOCATE, &[range[0], range[1], 0]),
        Ok(WINDOW)
    );
    user.poke(WINDOW, &[0]);
    assert_eq!(user.trap(trap::VM_DEALLOCATE, &range), Ok(0));
}

impl World {
    pub(super) fn vm(&mut self, thread: ThreadId, op: &VmOp) -> Seen {
        let frame = self.threads[thread].0;
        let mut user = self.sim.on(frame);
        match *op {
            VmOp::Store(at, number) => {
                user.poke(at, &number.to_le_bytes());
                Seen::Trap(KernReturn::Success, 0)
            }
            VmOp::Load(at) => {
                let number = u64::from_le_bytes(user.peek(at));
                Seen::Trap(KernReturn::Success, number)
            }
            _ => {
                let (number, arguments) = registers(frame, op);
                match user.trap(number, &arguments) {
                    Ok(value) => Seen::Trap(KernReturn::Success, value),
                    Err(code) => Seen::Trap(code, 0),
                }
            }
        }
    }

    /// A task's thread looks at all that it may read of the window.
    pub(super) fn audit_window(&mut self, thread: ThreadId) -> Verdict {
        let task = self.threads[thread].1;
        for at in (WINDOW..BEYOND).step_by(PAGE_SIZE as usize) {
            let rights = self.model.access(task, at).unwrap_or(0);
            if rights & protection::READ != 0 {
                self.perform(thread, &Op::Vm(VmOp::Load(at)))?;
            }
        }
        Ok(())
    }

    /// The first task gives the window up.
    pub(super) fn leave_window(&mut self) -> Verdict {
        self.audit_window(0)?;
        let span = Span::At(WINDOW, BEYOND - WINDOW);
        self.perform(0, &Op::Vm(VmOp::Deallocate(span)))?;
        self.settle()
    }
}

impl Names<'_> {
    /// Something with the task's own memory.
    pub(super) fn vm(&mut self) -> Op {
        if !self.model.has_memory(self.task) {
            return self.look();
        }
        if self.rng.one_in(12) {
            return self.trouble();
        }
        if self.rng.one_in(5)
            && let Some(op) = self.entry()
        {
            return op;
        }
        if self.rng.one_in(2)
            && let Some(op) = self.vm_call()
        {
            return op;
        }
        Op::Vm(match self.rng.below(12) {
            0 | 1 => self.allocation(self.task),
            2 => VmOp::Deallocate(self.span()),
            3 | 4 => self.protect(),
            5 => VmOp::Map(self.mapping()),
            kind => {
                let wanted = if kind < 10 {
                    protection::WRITE
                } else {
                    protection::READ
                };
                match self.page_for(self.task, wanted) {
                    None => VmOp::Allocate(self.target(), flags::FIXED),
                    Some(at) if kind < 10 => VmOp::Store(at, self.rng.word() | 1),
                    Some(at) => VmOp::Load(at),
                }
            }
        })
    }

    /// A page of a task's that may be used so.
    pub(super) fn page_for(&mut self, task: TaskId, rights: u32) -> Option<u64> {
        self.page_where(task, |has| has & rights == rights)
    }

    /// A page of a task's that has such protections.
    fn page_where(&mut self, task: TaskId, fits: impl Fn(u32) -> bool) -> Option<u64> {
        let mut pages: Vec<u64> = (WINDOW..WINDOW_END).step_by(PAGE_SIZE as usize).collect();
        pages.retain(|at| self.model.access(task, *at).is_some_and(&fits));
        (!pages.is_empty()).then(|| self.rng.pick(&pages))
    }

    /// A page of a task's that may not be used so.
    pub(super) fn page_without(&mut self, task: TaskId, rights: u32) -> Option<u64> {
        self.page_where(task, |has| has & rights == 0)
    }

    /// Pages of a task that are there, mostly, and the most that it may do with the first of them; `None`: it has none.
    pub(super) fn present(&mut self, of: TaskId) -> Option<(Bytes, u32)> {
        let at = self.page_where(of, |_| true)?;
        if self.rng.one_in(8) {
            return Some((self.bytes(), protection::READ));
        }
        let wanted = 1 + self.rng.below(3) as u64;
        let mut end = at + PAGE_SIZE;
        while end < at + wanted * PAGE_SIZE && self.model.access(of, end).is_some() {
            end += PAGE_SIZE;
        }
        let most = self.model.most(of, at).unwrap_or_default();
        Some(((at, end - at), most))
    }

    /// An access that is an exception: to a page of the window, if there is one for it.
    pub(super) fn fault(&mut self) -> Trouble {
        let pages = (WINDOW..WINDOW_END).step_by(PAGE_SIZE as usize);
        let troubles = pages.filter_map(|at| match self.model.access(self.task, at)? {
            rights if rights & protection::READ == 0 => Some(Trouble::Denied(at, protection::READ)),
            rights if rights & protection::WRITE == 0 => {
                Some(Trouble::Denied(at, protection::WRITE))
            }
            _ => None,
        });
        let troubles: Vec<_> = troubles.collect();
        if !troubles.is_empty() && !self.rng.one_in(4) {
            return self.rng.pick(&troubles);
        }
        let at = WINDOW + self.rng.below(PAGES as usize) as u64 * PAGE_SIZE;
        match self.model.access(self.task, at) {
            None => Trouble::Access(at),
            Some(_) => Trouble::Access(NOWHERE),
        }
    }

    /// Some pages of the window.
    pub(super) fn run_of_pages(&mut self) -> (u64, u64) {
        let first = self.rng.below(PAGES as usize) as u64;
        let count = (1 + self.rng.below(4) as u64).min(PAGES - first);
        (WINDOW + first * PAGE_SIZE, count * PAGE_SIZE)
    }

    /// Bytes of the window, mostly whole pages; now and then none, or what no task has.
    pub(super) fn span(&mut self) -> Span {
        let (at, size) = self.run_of_pages();
        match self.rng.below(24) {
            0 => Span::At(at, 0),
            1 => Span::At(at, self.rng.pick(&[u64::MAX, u64::MAX - 4095])),
            2 => Span::At(self.rng.pick(&[0, NOWHERE, 1 << 47]), PAGE_SIZE),
            3 if self.model.has_buffer(self.thread) => Span::Buffer,
            4 | 5 => Span::At(at + 100, size - 200),
            _ => Span::At(at, size),
        }
    }

    /// Somewhere to put memory.
    fn target(&mut self) -> Span {
        let (at, size) = self.run_of_pages();
        match self.rng.below(16) {
            0 => Span::At(at, self.rng.pick(&HUGE)),
            1 => Span::At(self.rng.pick(&[0, 1 << 47, u64::MAX - 4095]), size),
            2 => Span::At(at, 0),
            3 if self.model.has_buffer(self.thread) => Span::Buffer,
            4 => Span::At(at + 8, size - 16),
            _ => Span::At(at, size),
        }
    }

    pub(super) fn allocation(&mut self, of: TaskId) -> VmOp {
        let span = self.target();
        let mut mapping = self.mapping_of(of, span);
        mapping.flags &= map_flags::ANYWHERE;
        let more = self.rng.below(16);
        let flags = match more {
            0 => mapping.flags | 2,
            1 => flags::SUPERPAGE_SIZE_2MB,
            _ => mapping.flags,
        };
        VmOp::Allocate(mapping.span, flags)
    }

    pub(super) fn protect(&mut self) -> VmOp {
        let span = self.span();
        let mut rights = u64::from(self.rng.pick(&RIGHTS));
        let mut which = u64::from(self.rng.one_in(8));
        match self.rng.below(12) {
            0 | 1 => rights |= u64::from(protection::COPY),
            2 => rights |= self.rng.pick(&[8, 1 << 32]),
            3 => which = u64::MAX,
            _ => {}
        }
        VmOp::Protect(span, which, rights)
    }

    /// A mapping of something, with a place of its own if it may lie anywhere.
    fn mapping(&mut self) -> Mapping {
        let span = self.target();
        self.mapping_of(self.task, span)
    }

    /// The same in some task, with a mask.
    pub(super) fn mapping_in(&mut self, task: TaskId) -> Mapping {
        let span = match self.target() {
            Span::Buffer => Span::At(WINDOW, PAGE_SIZE),
            span => span,
        };
        let mut mapping = self.mapping_of(task, span);
        let anywhere = mapping.flags & map_flags::ANYWHERE != 0;
        if !anywhere && self.rng.one_in(4) {
            mapping.mask = self.rng.pick(&[0xfff, 0x1fff, 0x3fff]);
        }
        mapping
    }

    fn mapping_of(&mut self, task: TaskId, span: Span) -> Mapping {
        let maximum = self.rng.pick(&[7, 7, 7, 7, 3, 1]);
        let mut mapping = Mapping {
            span,
            mask: 0,
            offset: 0,
            flags: self.rng.pick(&[
                0,
                0,
                map_flags::OVERWRITE,
                map_flags::OVERWRITE,
                map_flags::COPY,
                0x80,
            ]),
            protection: self.rng.pick(&RIGHTS) & maximum,
            maximum,
            inheritance: self.rng.pick(&[0, 0, 1, 1, 2]),
        };
        match self.rng.below(20) {
            0 => mapping.offset = u64::MAX - 4095,
            1 => mapping.inheritance = 3,
            2 => (mapping.protection, mapping.maximum) = (3, 1),
            3..7 => self.anywhere(task, &mut mapping),
            _ => {}
        }
        mapping
    }

    /// Lets a mapping lie anywhere, if that is in the window.
    fn anywhere(&mut self, task: TaskId, mapping: &mut Mapping) {
        let Span::At(at, size) = mapping.span else {
            return;
        };
        if size >= 1 << 47 {
            mapping.flags |= map_flags::ANYWHERE;
        }
        if size > PAGES * PAGE_SIZE || !(WINDOW..WINDOW_END).contains(&at) || size == 0 {
            return;
        }
        let (hint, size) = (
            at.next_multiple_of(PAGE_SIZE),
            size.next_multiple_of(PAGE_SIZE),
        );
        if self.model.hole(task, (hint, size), mapping.mask) + size <= WINDOW_END {
            mapping.flags |= map_flags::ANYWHERE;
        }
    }
}
