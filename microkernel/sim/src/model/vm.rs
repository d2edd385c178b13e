//! Memory that tasks use as they like (MACH.md V-01 to V-06, V-11): a window of each task's addresses, of which the model knows every page.
//!
//! A page shows some memory, and memory holds a number, which lies at the page's start. Pages that share memory show the same, whatever
//! task they are of; a copy is memory of its own from the beginning. What a call can be refused for are all the reasons that hold.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::message::MIN_BUFFER;
use abi::vm::{
    LARGE_PAGE_SIZE, MAX_ADDRESS, MIN_ADDRESS, behavior, flags, inherit, map_flags, protection,
};

use super::names::{Answer, accept, refuse, value};
use super::{Model, TaskId, ThreadId, Verdict};

/// Where the window begins.
pub const WINDOW: u64 = 0x70_0000;
/// Its pages.
pub const PAGES: u64 = 16;
/// Where it ends.
pub const WINDOW_END: u64 = WINDOW + PAGES * PAGE_SIZE;
/// Up to where memory comes to lie: what is mapped may begin in the window and end behind it.
pub const BEYOND: u64 = WINDOW_END + PAGES * PAGE_SIZE;

/// Bytes of memory, as a thread says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// From an address on, and how many.
    At(u64, u64),
    /// The calling thread's message buffer.
    Buffer,
}

/// What is to be mapped where, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the trap's arguments under their own names")]
pub struct Mapping {
    pub span: Span,
    /// Bits that the address must not have.
    pub mask: u64,
    pub offset: u64,
    pub flags: u64,
    pub protection: u32,
    pub maximum: u32,
    pub inheritance: u32,
}

/// A trap on the task's own memory, or an access to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VmOp {
    /// `vm_allocate`, with flags.
    Allocate(Span, u64),
    /// `vm_deallocate`.
    Deallocate(Span),
    /// `vm_protect`: 0, or another number for the maximum; the protection.
    Protect(Span, u64, u64),
    /// `vm_map` of nothing.
    Map(Mapping),
    /// The thread writes a number where a page begins.
    Store(u64, u64),
    /// The thread reads it.
    Load(u64),
}

/// What a number is known by.
pub(super) type Place = usize;

/// A page of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page {
    pub(super) memory: Place,
    pub(super) protection: u32,
    pub(super) maximum: u32,
    pub(super) inheritance: u32,
    /// How often it is wired, and how it is used.
    pub(super) wires: u32,
    pub(super) behavior: u32,
}

impl Page {
    /// One that a mapping makes of memory.
    pub(super) fn mapped(memory: Place, mapping: &Mapping) -> Self {
        Self {
            memory,
            protection: mapping.protection,
            maximum: mapping.maximum,
            inheritance: mapping.inheritance,
            wires: 0,
            behavior: behavior::DEFAULT,
        }
    }
}

/// What memory holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Number {
    pub(super) value: u64,
    /// It may be zero instead, until somebody looks.
    pub(super) lost: bool,
}

/// All numbers.
#[derive(Clone, Default, Debug)]
pub(super) struct Memory {
    pub(super) numbers: BTreeMap<Place, Number>,
    next: Place,
}

impl Memory {
    pub(super) fn add(&mut self, value: u64) -> Place {
        self.next += 1;
        self.write(self.next, value);
        self.next
    }

    /// Memory of its own that holds the same.
    pub(super) fn copy(&mut self, place: Place) -> Place {
        let number = self.numbers[&place];
        let copy = self.add(0);
        self.numbers.insert(copy, number);
        copy
    }

    pub(super) fn write(&mut self, place: Place, value: u64) {
        let lost = false;
        self.numbers.insert(place, Number { value, lost });
    }

    /// Somebody sees what memory holds.
    pub(super) fn see(&mut self, place: Place, seen: u64) -> Verdict {
        let number = self.numbers[&place];
        if seen == number.value || (number.lost && seen == 0) {
            self.write(place, seen);
            return Ok(());
        }
        Err(format!("{number:x?} expected, not {seen:#x}"))
    }
}

/// The whole pages of a range; `None`: it wraps around.
pub(super) fn whole((address, size): (u64, u64)) -> Option<Range<u64>> {
    let end = address
        .checked_add(size)?
        .checked_next_multiple_of(PAGE_SIZE)?;
    Some(address / PAGE_SIZE * PAGE_SIZE..end)
}

pub(super) fn each(range: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    range.clone().step_by(PAGE_SIZE as usize)
}

/// Done, or rightly refused for one of these reasons.
pub(super) fn settled(seen: Answer, wrong: &[Code]) -> Result<bool, String> {
    match wrong {
        [] => accept(seen).map(|()| true),
        _ => refuse(seen, wrong).map(|()| false),
    }
}

impl Model {
    pub(super) fn vm_op(&mut self, thread: ThreadId, op: VmOp, seen: Answer) -> Verdict {
        let task = self.threads[thread].task;
        match op {
            VmOp::Allocate(span, flags) => self.vm_allocate(task, (span, flags), seen),
            VmOp::Deallocate(span) => self.vm_deallocate(task, span, seen),
            VmOp::Protect(span, which, rights) => {
                self.vm_protect(task, span, (which, rights), seen)
            }
            VmOp::Map(mapping) => self.vm_map(task, &mapping, seen),
            VmOp::Store(at, number) => {
                let page = self.page(task, at).ok_or("no page is there")?;
                assert_eq!(page.protection & protection::WRITE, protection::WRITE);
                let memory = page.memory;
                self.memory.write(memory, number);
                accept(seen)
            }
            VmOp::Load(at) => {
                let page = self.page(task, at).ok_or("no page is there")?;
                assert_eq!(page.protection & protection::READ, protection::READ);
                let memory = page.memory;
                accept(seen)?;
                self.memory.see(memory, seen.1)
            }
        }
    }

    pub(super) fn page(&self, task: TaskId, at: u64) -> Option<&Page> {
        self.tasks[task].pages.get(&(at / PAGE_SIZE * PAGE_SIZE))
    }

    /// What a task may do with a page of the window; `None`: there is none.
    pub fn access(&self, task: TaskId, at: u64) -> Option<u32> {
        self.page(task, at).map(|page| page.protection)
    }

    /// The lowest hole of so many pages at or above an address, which has none of the bits of a mask.
    pub fn hole(&self, task: TaskId, (from, size): (u64, u64), mask: u64) -> u64 {
        let pages = &self.tasks[task].pages;
        let mut at = from;
        loop {
            let taken = each(&(at..at + size)).find(|page| pages.contains_key(page));
            match taken {
                None if at & mask == 0 => return at,
                None => at += PAGE_SIZE,
                Some(taken) => at = taken + PAGE_SIZE,
            }
        }
    }

    /// V-01.
    pub(super) fn vm_allocate(
        &mut self,
        task: TaskId,
        (span, bits): (Span, u64),
        seen: Answer,
    ) -> Verdict {
        const KNOWN: u64 = flags::ANYWHERE | flags::SUPERPAGE_MASK;
        if bits & !KNOWN != 0 {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        if matches!(span, Span::At(_, 0)) {
            return value(seen, 0);
        }
        let large = bits & flags::SUPERPAGE_MASK != 0;
        // No message buffer is as large.
        let is_large =
            |span| matches!(span, Span::At(_, size) if size.is_multiple_of(LARGE_PAGE_SIZE));
        if large && !is_large(span) {
            return refuse(seen, &[Code::InvalidArgument]);
        }
        let mapping = Mapping {
            span,
            // The window has no room for a large page.
            mask: if large { LARGE_PAGE_SIZE - 1 } else { 0 },
            offset: 0,
            flags: bits & flags::ANYWHERE,
            protection: protection::READ | protection::WRITE,
            maximum: protection::ALL,
            inheritance: inherit::COPY,
        };
        self.vm_map(task, &mapping, seen)
    }

    /// V-06, and V-01 for the place.
    pub(super) fn vm_map(&mut self, task: TaskId, mapping: &Mapping, seen: Answer) -> Verdict {
        let (mut wrong, place) = self.map_wrong(task, mapping);
        let size = match mapping.span {
            Span::At(_, size) => size,
            Span::Buffer => MIN_BUFFER,
        };
        if mapping.offset.checked_add(size).is_none() {
            wrong.push(Code::InvalidArgument);
        }
        if !settled(seen, &wrong)? {
            return Ok(());
        }
        let range = place.ok_or("it has no place")?;
        value(seen, range.start)?;
        for at in each(&range) {
            let page = Page::mapped(self.memory.add(0), mapping);
            self.tasks[task].pages.insert(at, page);
        }
        self.forget_memory();
        Ok(())
    }

    /// Why a mapping is refused, and where it comes to lie.
    pub(super) fn map_wrong(
        &self,
        task: TaskId,
        mapping: &Mapping,
    ) -> (Vec<Code>, Option<Range<u64>>) {
        const KNOWN: u64 = map_flags::ANYWHERE | map_flags::COPY | map_flags::OVERWRITE;
        let mut wrong = exclusion(mapping.protection);
        let beyond = mapping.protection & !mapping.maximum != 0;
        if mapping.flags & !KNOWN != 0 || beyond || mapping.inheritance > inherit::NONE {
            wrong.push(Code::InvalidArgument);
        }
        let Span::At(address, size) = mapping.span else {
            // V-02: a message buffer stays where it is.
            wrong.push(match mapping.flags & map_flags::OVERWRITE {
                0 => Code::NoSpace,
                _ => Code::InvalidArgument,
            });
            return (wrong, None);
        };
        if mapping.flags & map_flags::ANYWHERE != 0 {
            return self.anywhere_wrong(task, mapping, (address, size), wrong);
        }
        let Some(range) = whole((address, size)).filter(|range| !range.is_empty()) else {
            wrong.push(Code::InvalidArgument);
            return (wrong, None);
        };
        if range.start < MIN_ADDRESS || range.end > MAX_ADDRESS {
            wrong.push(Code::InvalidAddress);
            return (wrong, None);
        }
        let replaces = mapping.flags & map_flags::OVERWRITE != 0;
        let taken = each(&range).any(|at| self.page(task, at).is_some());
        if range.start & mapping.mask != 0 || (taken && !replaces) {
            wrong.push(Code::NoSpace);
        }
        (wrong, Some(range))
    }

    /// The same of one that may lie anywhere from an address on.
    fn anywhere_wrong(
        &self,
        task: TaskId,
        mapping: &Mapping,
        (address, size): (u64, u64),
        mut wrong: Vec<Code>,
    ) -> (Vec<Code>, Option<Range<u64>>) {
        let Some(size) = size
            .checked_next_multiple_of(PAGE_SIZE)
            .filter(|_| size > 0)
        else {
            wrong.push(Code::InvalidArgument);
            return (wrong, None);
        };
        if size > MAX_ADDRESS || address > MAX_ADDRESS - size {
            wrong.push(Code::NoSpace);
            return (wrong, None);
        }
        let hint = address.next_multiple_of(PAGE_SIZE);
        let start = self.hole(task, (hint, size), mapping.mask);
        (wrong, Some(start..start + size))
    }

    /// V-02.
    pub(super) fn vm_deallocate(&mut self, task: TaskId, span: Span, seen: Answer) -> Verdict {
        let (wrong, range) = self.span_wrong(task, span, protection::NONE);
        let wrong: Vec<_> = wrong
            .into_iter()
            .filter(|code| *code == Code::InvalidArgument)
            .collect();
        if settled(seen, &wrong)? {
            self.tasks[task].pages.retain(|at, _| !range.contains(at));
            self.forget_memory();
        }
        Ok(())
    }

    /// Why a call on what is mapped is refused that needs these rights to all of it; else its whole pages.
    pub(super) fn span_wrong(
        &self,
        task: TaskId,
        span: Span,
        rights: u32,
    ) -> (Vec<Code>, Range<u64>) {
        let mut wrong = Vec::new();
        let range = match span {
            Span::At(address, size) => {
                whole((address, size)).filter(|_| size > 0 || address.checked_add(size).is_some())
            }
            // A message buffer lies there.
            Span::Buffer => None,
        };
        let Some(mut range) = range else {
            wrong.push(Code::InvalidArgument);
            return (wrong, 0..0);
        };
        if matches!(span, Span::At(_, 0)) {
            range.end = range.start;
        }
        // Ranges of programs that are longer than the window have a hole there.
        let looked = range.start..range.end.min(range.start + 2 * PAGES * PAGE_SIZE);
        for at in each(&looked) {
            match self.page(task, at) {
                None => wrong.push(Code::InvalidAddress),
                Some(page) if rights & !page.protection != 0 => {
                    wrong.push(Code::ProtectionFailure);
                }
                Some(_) => {}
            }
        }
        (wrong, range)
    }

    /// V-03.
    pub(super) fn vm_protect(
        &mut self,
        task: TaskId,
        span: Span,
        (which, rights): (u64, u64),
        seen: Answer,
    ) -> Verdict {
        const ALL: u64 = protection::ALL as u64;
        const COPY: u64 = protection::COPY as u64;
        let (mut wrong, range) = self.span_wrong(task, span, protection::NONE);
        let copies = rights & COPY != 0;
        if rights & !(ALL | COPY) != 0 || (copies && which != 0) {
            wrong.push(Code::InvalidArgument);
        }
        let rights = (rights & ALL) as u32;
        let nothing = matches!(span, Span::At(_, 0));
        if which == 0 && !nothing {
            wrong.extend(exclusion(rights));
        }
        let own = if copies { protection::WRITE } else { 0 };
        let pages = self.tasks[task].pages.range(range.clone());
        if pages
            .into_iter()
            .any(|(_, page)| rights & !(page.maximum | own) != 0)
        {
            wrong.push(Code::ProtectionFailure);
        }
        if !settled(seen, &wrong)? {
            return Ok(());
        }
        for at in each(&range) {
            let Some(page) = self.tasks[task].pages.get_mut(&at) else {
                continue;
            };
            if copies {
                page.memory = self.memory.copy(page.memory);
                page.maximum |= protection::WRITE;
            }
            match which {
                0 => page.protection = rights,
                _ => {
                    page.maximum = rights;
                    page.protection &= rights;
                }
            }
        }
        self.forget_memory();
        Ok(())
    }

    /// Numbers that no page shows are gone.
    pub(super) fn forget_memory(&mut self) {
        let pages = self.tasks.iter().flat_map(|task| task.pages.values());
        let shown = pages.map(|page| page.memory).chain(self.entries.places());
        let shown: BTreeSet<Place> = shown.collect();
        self.memory.numbers.retain(|place, _| shown.contains(place));
    }

    /// V-05: what a child gets.
    pub(super) fn inherit_pages(&mut self, parent: TaskId, child: TaskId) {
        let pages = self.tasks[parent].pages.clone();
        for (at, mut page) in pages {
            match page.inheritance {
                inherit::NONE => continue,
                inherit::SHARE => {}
                _ => page.memory = self.memory.copy(page.memory),
            }
            page.wires = 0;
            self.tasks[child].pages.insert(at, page);
        }
    }

    /// V-11: why an access to a page for these rights is an exception; `None`: it is none.
    pub(super) fn fault(&self, task: TaskId, at: u64, rights: u32) -> Option<Code> {
        match self.page(task, at) {
            None => Some(Code::InvalidAddress),
            Some(page) if rights & !page.protection != 0 => Some(Code::ProtectionFailure),
            Some(_) => None,
        }
    }
}

/// Nothing is writable and executable at once.
fn exclusion(rights: u32) -> Vec<Code> {
    const BOTH: u32 = protection::WRITE | protection::EXECUTE;
    match rights & BOTH == BOTH {
        true => vec![Code::ProtectionFailure],
        false => Vec::new(),
    }
}
