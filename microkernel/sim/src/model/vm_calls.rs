//! Calls of tasks' ports on their memory (MACH.md V-04 to V-08, V-12, V-13, V-15): contents that go from place to place, and what is
//! said of regions.

use std::collections::BTreeSet;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::vm::{attribute, behavior, disposition, inherit, map_flags, protection, region, sync};

use super::asks::list;
use super::control::answer;
use super::names::{Answer, refuse};
use super::vm::{Page, each, settled};
use super::{Mapping, Model, Seen, Span, TaskId, TaskVm, Verdict, WINDOW, WINDOW_END};

/// A range, by its first byte and how many there are.
pub type Bytes = (u64, u64);

/// A call to a task's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VmCall {
    /// What lies there: the numbers at the starts of pages.
    Read(Bytes),
    /// Writes this number at the start of each page, and zeros.
    Write(Bytes, u64),
    /// Copies bytes to this address.
    Copy(Bytes, u64),
    /// The same, to the caller's memory.
    ReadOverwrite(Bytes, u64),
    /// What children get.
    Inherit(Bytes, u32),
    /// Maps zeros.
    MapAnonymous(Mapping),
    /// Maps memory of a task, from this address on.
    Remap(TaskId, u64, Mapping),
    /// The region at or above an address, by a flavor, for so many words.
    Region(u64, u32, u32),
    /// The same, with what submaps have.
    RegionRecurse(u64, u32),
    /// Wires pages for this access; for none it takes that back.
    Wire(Bytes, u32),
    /// How memory will be used.
    BehaviorSet(Bytes, u32),
    /// Writes memory back, or lets it go.
    Msync(Bytes, u32),
    /// Caches.
    MachineAttribute(Bytes, u32, i32),
    /// What there is of a page.
    PageQuery(u64),
    /// The two limits of the task's size.
    SizeLimit,
    /// Sets them, by the privileged port if there is a name for it.
    SetSizeLimit(Hands, u64, u64),
    /// A mapping of this page, while the limit is 0.
    Tight(u64),
    /// Memory in numbers.
    Statistics,
    /// One that is not of the `Vm` family.
    OfTask(TaskVm),
}

/// By which right to the host a limit is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hands {
    /// The privileged one.
    Privileged,
    /// Any other.
    Empty,
}

/// The limits of a task's size, now and at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits(u64, u64);

impl Default for Limits {
    fn default() -> Self {
        Self(u64::MAX, u64::MAX)
    }
}

/// The starts of pages in a range.
pub(super) fn starts((address, size): Bytes) -> impl Iterator<Item = u64> {
    let first = address.next_multiple_of(PAGE_SIZE);
    (first..address + size).step_by(PAGE_SIZE as usize)
}

pub(super) fn span((address, size): Bytes) -> Span {
    Span::At(address, size)
}

/// The first so many words that were told.
fn words<const N: usize>(seen: &Seen) -> Result<[u64; N], String> {
    match seen {
        Seen::Told(words) => words.first_chunk().copied(),
        _ => None,
    }
    .ok_or_else(|| format!("{N} words expected, not {seen:?}"))
}

/// Whether a call was rightly done, which then tells something.
fn told(seen: &Seen, wrong: &[Code]) -> Result<bool, String> {
    match wrong {
        [] => Ok(true),
        _ => refuse(answer(seen)?, wrong).map(|()| false),
    }
}

impl Model {
    /// Whether the starts of pages of two ranges are memory of their own each: else the order of a copy would show.
    pub fn are_apart(&self, (from, source): (TaskId, Bytes), (to, target): (TaskId, u64)) -> bool {
        let into = starts((target, source.1)).map(|at| (to, at));
        let all: BTreeSet<_> = starts(source).map(|at| (from, at)).chain(into).collect();
        let shown = all.iter().filter_map(|(task, at)| self.page(*task, *at));
        let (mut count, mut places) = (0, BTreeSet::new());
        for page in shown {
            count += 1;
            places.insert(page.memory);
        }
        places.len() == count
    }

    pub(super) fn vm_call(
        &mut self,
        caller: TaskId,
        (task, call): (TaskId, VmCall),
        seen: &Seen,
    ) -> Verdict {
        let verdict = self.judge_vm_call(caller, (task, call), seen);
        verdict.map_err(|why| format!("{call:x?} of task {task}: {why}"))
    }

    fn judge_vm_call(
        &mut self,
        caller: TaskId,
        (task, call): (TaskId, VmCall),
        seen: &Seen,
    ) -> Verdict {
        match call {
            VmCall::Read(range) => self.vm_read(task, range, seen),
            VmCall::Write(range, number) => {
                let (wrong, _) = self.span_wrong(task, span(range), protection::WRITE);
                if settled(answer(seen)?, &wrong)? {
                    for at in starts(range) {
                        self.put(task, at, number);
                    }
                }
                Ok(())
            }
            VmCall::Copy(range, to) => self.vm_copy((task, range), (task, to), seen),
            VmCall::ReadOverwrite(range, to) => self.vm_copy((task, range), (caller, to), seen),
            VmCall::Inherit(range, how) => {
                let known = how <= inherit::NONE;
                self.vm_mark(task, (range, known), seen, |page| page.inheritance = how)
            }
            VmCall::MapAnonymous(mapping) => self.vm_map(task, &mapping, answer(seen)?),
            VmCall::Remap(from, at, mapping) => self.vm_remap((task, mapping), (from, at), seen),
            VmCall::Region(at, flavor, room) => self.vm_region(task, at, (flavor, room), seen),
            VmCall::RegionRecurse(at, room) => self.vm_region(task, at, (SUBMAP, room), seen),
            VmCall::Wire(range, access) => self.vm_wire(task, (range, access), answer(seen)?),
            VmCall::BehaviorSet(range, how) => self.vm_behavior(task, (range, how), seen),
            VmCall::Msync(range, flags) => self.vm_sync(task, (range, flags), answer(seen)?),
            VmCall::MachineAttribute(range, kind, what) => {
                self.vm_attribute(task, range, (kind, what), answer(seen)?)
            }
            VmCall::PageQuery(at) => self.vm_query(task, at, seen),
            VmCall::SizeLimit => {
                let Limits(now, most) = self.tasks[task].size;
                match words(seen)? == [now, most] {
                    true => Ok(()),
                    false => Err(format!("{now:#x} {most:#x} expected, not {seen:x?}")),
                }
            }
            VmCall::SetSizeLimit(hands, now, most) => {
                let mut wrong = Vec::new();
                if hands == Hands::Empty && most > self.tasks[task].size.1 {
                    wrong.push(Code::NoAccess);
                }
                if now > most {
                    wrong.push(Code::InvalidArgument);
                }
                if settled(answer(seen)?, &wrong)? {
                    self.tasks[task].size = Limits(now, most);
                }
                Ok(())
            }
            VmCall::Statistics => self.vm_numbers(seen),
            VmCall::OfTask(call) => self.task_vm(task, call, seen),
            VmCall::Tight(_) => refuse(answer(seen)?, &[Code::NoSpace]),
        }
    }

    pub(super) fn put(&mut self, task: TaskId, at: u64, number: u64) {
        if let Some(page) = self.page(task, at) {
            let place = page.memory;
            self.memory.write(place, number);
        }
    }

    /// V-04.
    fn vm_read(&mut self, task: TaskId, range: Bytes, seen: &Seen) -> Verdict {
        let (wrong, _) = self.span_wrong(task, span(range), protection::READ);
        if !told(seen, &wrong)? {
            return Ok(());
        }
        let Seen::Told(numbers) = seen else {
            return Err(format!("numbers expected, not {seen:?}"));
        };
        let places: Vec<_> = starts(range).filter_map(|at| self.page(task, at)).collect();
        let places: Vec<_> = places.into_iter().map(|page| page.memory).collect();
        if places.len() != numbers.len() {
            return Err(format!("{} numbers expected, not {seen:?}", places.len()));
        }
        let mut both = places.into_iter().zip(numbers);
        both.try_for_each(|(place, number)| self.memory.see(place, *number))
    }

    /// V-04: what was there before is what is copied, whatever the order.
    fn vm_copy(
        &mut self,
        (from, range): (TaskId, Bytes),
        (to, target): (TaskId, u64),
        seen: &Seen,
    ) -> Verdict {
        let (mut wrong, _) = self.span_wrong(from, span(range), protection::READ);
        let (more, _) = self.span_wrong(to, Span::At(target, range.1), protection::WRITE);
        wrong.extend(more);
        if !settled(answer(seen)?, &wrong)? {
            return Ok(());
        }
        let numbers = starts(range).filter_map(|at| self.page(from, at));
        let numbers: Vec<_> = numbers
            .map(|page| self.memory.numbers[&page.memory])
            .collect();
        for (at, number) in starts((target, range.1)).zip(numbers) {
            if let Some(page) = self.page(to, at) {
                let place = page.memory;
                self.memory.numbers.insert(place, number);
            }
        }
        Ok(())
    }

    /// Changes what is kept of pages, all of which must be there.
    fn vm_mark(
        &mut self,
        task: TaskId,
        (range, known): (Bytes, bool),
        seen: &Seen,
        change: impl Fn(&mut Page),
    ) -> Verdict {
        let (mut wrong, pages) = self.span_wrong(task, span(range), protection::NONE);
        if !known {
            wrong.push(Code::InvalidArgument);
        }
        if settled(answer(seen)?, &wrong)? {
            let pages = self.tasks[task].pages.range_mut(pages);
            pages.for_each(|(_, page)| change(page));
        }
        Ok(())
    }

    /// V-07.
    fn vm_remap(
        &mut self,
        (task, mapping): (TaskId, Mapping),
        (from, at): (TaskId, u64),
        seen: &Seen,
    ) -> Verdict {
        let Span::At(address, size) = mapping.span else {
            return Err("no task has another one's buffer".into());
        };
        let (mut wrong, source) = self.span_wrong(from, Span::At(at, size), protection::NONE);
        if size == 0 {
            wrong.push(Code::InvalidArgument);
        }
        let whole = match source.is_empty() {
            true => size,
            false => source.end - source.start,
        };
        let place = Mapping {
            span: Span::At(address / PAGE_SIZE * PAGE_SIZE, whole),
            ..mapping
        };
        let (more, place) = self.map_wrong(task, &place);
        wrong.extend(more);
        let overlaps = |place: &core::ops::Range<u64>| {
            task == from && place.start < source.end && source.start < place.end
        };
        if mapping.flags & map_flags::OVERWRITE != 0 && place.as_ref().is_some_and(overlaps) {
            wrong.push(Code::InvalidArgument);
        }
        if !told(seen, &wrong)? {
            return Ok(());
        }
        let place = place.ok_or("it has no place")?;
        self.remapped((task, place), (from, source), &mapping, words(seen)?)
    }

    fn remapped(
        &mut self,
        (task, place): (TaskId, core::ops::Range<u64>),
        (from, source): (TaskId, core::ops::Range<u64>),
        mapping: &Mapping,
        seen: [u64; 3],
    ) -> Verdict {
        let (mut now, mut most) = (protection::ALL, protection::ALL);
        for (at, to) in each(&source).zip(each(&place)) {
            let mut page = *self.page(from, at).ok_or("there is a hole")?;
            if mapping.flags & map_flags::COPY != 0 {
                page.memory = self.memory.copy(page.memory);
            }
            (page.wires, page.behavior) = (0, behavior::DEFAULT);
            page.inheritance = mapping.inheritance;
            now &= page.protection;
            most &= page.maximum;
            self.tasks[task].pages.insert(to, page);
        }
        self.forget_memory();
        let expected = [place.start, now.into(), most.into()];
        match seen == expected {
            true => Ok(()),
            false => Err(format!("{expected:x?} expected, not {seen:x?}")),
        }
    }

    /// V-08: a region holds the page that is meant, or begins at the first one behind, and all of its pages are as it says.
    fn vm_region(
        &mut self,
        task: TaskId,
        at: u64,
        (flavor, room): (u32, u32),
        seen: &Seen,
    ) -> Verdict {
        let length = match flavor {
            region::BASIC_INFO_64 => region::BASIC_INFO_64_COUNT,
            region::EXTENDED_INFO => region::EXTENDED_INFO_COUNT,
            region::TOP_INFO => region::TOP_INFO_COUNT,
            SUBMAP => region::SUBMAP_INFO_64_COUNT,
            _ => return refuse(answer(seen)?, &[Code::InvalidArgument]),
        };
        if length > room {
            return refuse(answer(seen)?, &[Code::InvalidArgument]);
        }
        if at > WINDOW_END {
            return refuse(answer(seen)?, &[Code::InvalidAddress]);
        }
        let page = at / PAGE_SIZE * PAGE_SIZE;
        let first = self.tasks[task].pages.range(page..).next();
        let Some((first, _)) = first else {
            // What lies behind the window is the task's.
            return match seen {
                Seen::Told(told) if told[0] >= WINDOW_END => Ok(()),
                seen => refuse(answer(seen)?, &[Code::InvalidAddress]),
            };
        };
        let [start, size] = words(seen)?;
        let Seen::Told(told) = seen else {
            return Err(format!("a region expected, not {seen:?}"));
        };
        let info = Seen::Told(told[2..].to_vec());
        let info = list(&info)?;
        if info.len() != length as usize {
            return Err(format!("{length} words expected, not {info:x?}"));
        }
        let begins = match *first == page {
            true => (WINDOW..=page).contains(&start),
            false => start == *first,
        };
        if !begins || start + size <= *first {
            return Err(format!(
                "a region from {first:#x} on expected, not {told:x?}"
            ));
        }
        for at in each(&(start..start + size)) {
            let page = self.page(task, at).ok_or("a region has a hole")?;
            if !self.is_told(page, flavor, info) {
                return Err(format!("{page:x?} at {at:#x} is not as {info:x?}"));
            }
        }
        Ok(())
    }

    fn is_told(&self, page: &Page, flavor: u32, info: &[u64]) -> bool {
        let rights = [page.protection, page.maximum, page.inheritance].map(u64::from);
        let (behavior, wires) = (page.behavior.into(), page.wires.into());
        let all = self.tasks.iter().flat_map(|task| task.pages.values());
        let shared = all.filter(|other| other.memory == page.memory).count() > 1;
        match flavor {
            region::BASIC_INFO_64 => {
                info[..3] == rights && info[7..] == [behavior, wires] && (info[3] == 1 || !shared)
            }
            SUBMAP => info[..3] == rights && info[13] == behavior && info[15] == wires,
            region::EXTENDED_INFO => info[0] == rights[0],
            _ => info[4] == u64::from(region::share_mode::SHARED) || !shared,
        }
    }

    /// V-12.
    fn vm_wire(&mut self, task: TaskId, (range, access): (Bytes, u32), seen: Answer) -> Verdict {
        let (mut wrong, pages) = self.span_wrong(task, span(range), access & protection::ALL);
        let mut here = self.tasks[task].pages.range(pages.clone());
        let bare = access == 0 && here.any(|(_, page)| page.wires == 0);
        if access & !protection::ALL != 0 || bare {
            wrong.push(Code::InvalidArgument);
        }
        if settled(seen, &wrong)? {
            for (_, page) in self.tasks[task].pages.range_mut(pages) {
                page.wires = match access {
                    0 => page.wires - 1,
                    _ => page.wires + 1,
                };
            }
        }
        Ok(())
    }

    /// V-15.
    fn vm_behavior(&mut self, task: TaskId, (range, how): (Bytes, u32), seen: &Seen) -> Verdict {
        let known = how <= behavior::ZERO;
        if how <= behavior::REVERSE_SEQUENTIAL || !known {
            return self.vm_mark(task, (range, known), seen, |page| page.behavior = how);
        }
        let rights = match how {
            behavior::ZERO => protection::WRITE,
            _ => protection::NONE,
        };
        let (wrong, pages) = self.span_wrong(task, span(range), rights);
        if !settled(answer(seen)?, &wrong)? {
            return Ok(());
        }
        match how {
            behavior::ZERO => each(&pages).for_each(|at| self.put(task, at, 0)),
            behavior::FREE => self.lose(task, &pages),
            _ => {}
        }
        Ok(())
    }

    /// What pages hold may be lost.
    fn lose(&mut self, task: TaskId, pages: &core::ops::Range<u64>) {
        for at in each(pages) {
            if let Some(page) = self.page(task, at) {
                let place = page.memory;
                if let Some(number) = self.memory.numbers.get_mut(&place) {
                    number.lost = true;
                }
            }
        }
    }

    /// V-13.
    fn vm_sync(&mut self, task: TaskId, (range, flags): (Bytes, u32), seen: Answer) -> Verdict {
        const BOTH: u32 = sync::SYNCHRONOUS | sync::ASYNCHRONOUS;
        let (found, pages) = self.span_wrong(task, span(range), protection::WRITE);
        let counts = |code: &Code| match *code {
            Code::InvalidAddress => flags & sync::CONTIGUOUS != 0,
            Code::ProtectionFailure => flags & sync::KILL_PAGES != 0,
            _ => true,
        };
        let mut wrong: Vec<_> = found.into_iter().filter(counts).collect();
        if flags >= 0x40 || flags & BOTH == BOTH {
            wrong.push(Code::InvalidArgument);
        }
        if settled(seen, &wrong)? && flags & sync::KILL_PAGES != 0 {
            self.lose(task, &pages);
        }
        Ok(())
    }

    fn vm_attribute(
        &mut self,
        task: TaskId,
        range: Bytes,
        (kind, what): (u32, i32),
        seen: Answer,
    ) -> Verdict {
        let wrong = match kind {
            attribute::CACHE if (attribute::FLUSH..=attribute::SYNC).contains(&what) => {
                self.span_wrong(task, span(range), protection::NONE).0
            }
            attribute::CACHE | attribute::MIGRATE | attribute::REPLICATE => {
                vec![Code::NotSupported]
            }
            _ => vec![Code::InvalidArgument],
        };
        match settled(seen, &wrong)? && seen.1 != what as u64 {
            true => Err(format!("{what} expected, not {:#x}", seen.1)),
            false => Ok(()),
        }
    }

    fn vm_query(&mut self, task: TaskId, at: u64, seen: &Seen) -> Verdict {
        let Some(page) = self.page(task, at) else {
            return refuse(answer(seen)?, &[Code::InvalidAddress]);
        };
        let number = self.memory.numbers[&page.memory];
        let [bits, _] = words(seen)?;
        let there = bits & u64::from(disposition::PRESENT) != 0;
        match there || number.value == 0 || number.lost {
            true => Ok(()),
            false => Err(format!("{number:x?} is not there, by {bits:#x}")),
        }
    }
}

/// Beside the flavors of `region`: what `region_recurse` tells.
const SUBMAP: u32 = u32::MAX;
