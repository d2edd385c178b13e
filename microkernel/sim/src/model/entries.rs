//! Memory entries (MACH.md V-14, V-06, O-09): rights to map some memory, with at most some protection. One ends with its last
//! right; what it shows stays for as long as an entry or a page shows it.
//!
//! An entry of a task's memory shows what the task's pages show, from then on. The kernel makes one of a range in one region only;
//! the model knows no regions, and lets it refuse any such range of several pages.

use std::collections::BTreeMap;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::names::Name;
use abi::vm::{entry, map_flags, protection};

use super::control::answer;
use super::names::{Answer, accept, refuse, value};
use super::vm::{Page, Place, each, settled};
use super::{Bytes, Carried, Holder, Mapping, Model, PortId, Seen, Span, TaskId, Verdict};

/// A task, and the caller's name for it.
pub type Target = (Name, TaskId);

/// Something with memory entries. Ranges are an offset and a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryOp {
    /// `Vm::make_entry` of a task's memory: protections and flags.
    Make(Target, Bytes, u32),
    /// The same, with another right as the parent.
    Derive(Target, Name, Bytes, u32),
    /// `Task::make_entry`: protections.
    Share(Target, Bytes, u32),
    /// `Vm::map`.
    Map(Target, Name, Mapping),
    /// `Task::vm_map`.
    Place(Target, Name, Mapping),
    /// `vm_map`, the trap.
    MapOwn(Name, Mapping),
    /// `bounds`.
    Bounds(Name),
    /// `part`, with at most these protections.
    Part(Name, Bytes, u32),
    /// `Vm::create_proxy`, with at most these protections.
    Proxy(Target, Name, Bytes, u32),
    /// The root's `window`, cached or not.
    Window(Bytes, u32),
}

impl EntryOp {
    pub(super) fn is_call(self) -> bool {
        !matches!(self, Self::MapOwn(..))
    }
}

/// What is known of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// How many pages it has.
    pub pages: u64,
    /// The most protection that it gives.
    pub maximum: u32,
    /// Whether a device is behind it, and no memory.
    pub is_device: bool,
}

/// What an entry shows.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Shown {
    Memory(Vec<Place>),
    /// So many pages of a device.
    Device(u64),
}

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Known {
    shown: Shown,
    maximum: u32,
    /// It was made as a copy, and has no parts.
    is_copy: bool,
}

/// What comes of a call that makes an entry.
enum Made {
    New(Known),
    /// An entry that there was before.
    Same(PortId),
}

/// All entries.
#[derive(Clone, Default, Debug)]
pub(super) struct Entries(BTreeMap<PortId, Known>);

impl Entries {
    /// All memory that an entry shows.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let shown = self.0.values().map(|known| match &known.shown {
            Shown::Memory(places) => &places[..],
            Shown::Device(_) => &[],
        });
        shown.flatten().copied()
    }

    pub(super) fn contains(&self, port: PortId) -> bool {
        self.0.contains_key(&port)
    }
}

impl Known {
    fn pages(&self) -> u64 {
        match &self.shown {
            Shown::Memory(places) => places.len() as u64,
            Shown::Device(pages) => *pages,
        }
    }

    /// Why there is no such part of it; else what that shows.
    fn part(&self, range: Bytes, rights: u32) -> Result<Shown, Vec<Code>> {
        let mut wrong = window_wrong(range, rights);
        if self.is_copy || page_count(range.0.saturating_add(range.1)) > self.pages() {
            wrong.push(Code::InvalidArgument);
        }
        if rights & !self.maximum & protection::ALL != 0 {
            wrong.push(Code::ProtectionFailure);
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let (first, count) = (range.0 / PAGE_SIZE, range.1 / PAGE_SIZE);
        Ok(match &self.shown {
            Shown::Memory(places) => {
                Shown::Memory(places[first as usize..][..count as usize].to_vec())
            }
            Shown::Device(_) => Shown::Device(count),
        })
    }
}

/// How many pages hold so many bytes.
fn page_count(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE)
}

/// Why a range and protections are none.
pub(super) fn window_wrong((offset, size): Bytes, rights: u32) -> Vec<Code> {
    let end = offset.checked_add(size);
    let whole = (offset | size).is_multiple_of(PAGE_SIZE) && size > 0;
    match end.is_none() || !whole || rights & !protection::ALL != 0 {
        true => vec![Code::InvalidArgument],
        false => Vec::new(),
    }
}

impl Model {
    /// A task's names of entries, and what these have.
    pub fn memory_entries(&self, task: TaskId) -> Vec<(Name, Extent)> {
        let names = self.tasks[task].names.keys();
        let known = names.filter_map(|name| {
            let known = self.entries.0.get(&self.sends_to(task, *name)?)?;
            let extent = Extent {
                pages: known.pages(),
                maximum: known.maximum,
                is_device: matches!(known.shown, Shown::Device(_)),
            };
            Some((*name, extent))
        });
        known.collect()
    }

    /// How many entries there are.
    pub fn entry_count(&self) -> usize {
        self.entries.0.len()
    }

    /// The most that a task may ever do with a page of the window; `None`: there is none.
    pub fn most(&self, task: TaskId, at: u64) -> Option<u32> {
        self.page(task, at).map(|page| page.maximum)
    }

    /// Whether a name is one that mapping it makes nothing: a port of a task's own would become a memory object.
    pub fn is_no_object(&self, task: TaskId, name: Name) -> bool {
        let port = self.sends_to(task, name);
        port.is_none_or(|port| {
            self.ports[port].holder == Holder::Kernel && self.proxy_at(port).is_none()
        })
    }

    pub(super) fn entry_op(&mut self, task: TaskId, op: EntryOp, seen: &Seen) -> Verdict {
        match op {
            EntryOp::Make((_, of), range, permission) => {
                let parent = self.tasks[of].port;
                self.make_entry(task, (of, parent), (range, permission), seen)
            }
            EntryOp::Derive((_, of), parent, range, permission) => {
                match self.sends_to(task, parent) {
                    None => refuse(answer(seen)?, &[Code::InvalidCapability]),
                    Some(port) => self.make_entry(task, (of, port), (range, permission), seen),
                }
            }
            EntryOp::Share((_, of), range, rights) => {
                let made = self.of_map(of, (range, rights));
                self.judge_made(task, (made, range.1 > PAGE_SIZE), answer(seen)?)
            }
            EntryOp::Map((_, of), name, mapping) | EntryOp::Place((_, of), name, mapping) => {
                let entry = match self.sends_to(task, name) {
                    None => return refuse(answer(seen)?, &[Code::InvalidCapability]),
                    Some(port) => self.entries.0.get(&port).cloned(),
                };
                self.map_entry(of, (entry, Code::InvalidRight), &mapping, answer(seen)?)
            }
            EntryOp::MapOwn(name, mapping) => {
                let port = self.sends_to(task, name);
                let entry = port.and_then(|port| self.entries.0.get(&port).cloned());
                let code = self.no_device(task, name);
                self.map_entry(task, (entry, code), &mapping, answer(seen)?)
            }
            EntryOp::Bounds(name) => {
                let entry = self.entry_at(task, name).ok_or("it is no entry")?;
                let expected = [entry.pages() * PAGE_SIZE, entry.maximum.into()];
                match seen {
                    Seen::Told(told) if *told == expected => Ok(()),
                    _ => Err(format!("{expected:x?} expected, not {seen:x?}")),
                }
            }
            EntryOp::Part(name, range, rights) => {
                let entry = self.entry_at(task, name).ok_or("it is no entry")?;
                let made = entry.part(range, rights);
                let made = made.map(|shown| Made::shared(shown, rights));
                self.judge_made(task, (made, false), answer(seen)?)
            }
            EntryOp::Proxy(_, name, range, rights) => {
                let mut made = Err(window_wrong(range, rights));
                match (self.sends_to(task, name), self.entry_at(task, name)) {
                    (_, Some(entry)) => {
                        let shown = entry.part(range, rights);
                        made = shown.map(|shown| Made::shared(shown, rights));
                    }
                    (Some(_), _) => push(&mut made, Code::InvalidRight),
                    (None, _) => push(&mut made, Code::InvalidCapability),
                }
                self.judge_made(task, (made, false), answer(seen)?)
            }
            EntryOp::Window(range, cached) => self.window(task, (range, cached), answer(seen)?),
        }
    }

    fn entry_at(&self, task: TaskId, name: Name) -> Option<&Known> {
        self.entries.0.get(&self.sends_to(task, name)?)
    }

    /// V-14: of a task's memory, of another entry, or of nothing.
    fn make_entry(
        &mut self,
        task: TaskId,
        (of, parent): (TaskId, PortId),
        (range, permission): (Bytes, u32),
        seen: &Seen,
    ) -> Verdict {
        let is_map = parent == self.tasks[of].port;
        let from = self.entries.0.get(&parent).cloned();
        let kind = permission & (entry::NAMED_CREATE | entry::COPY | entry::SHARE);
        let mut wrong = Vec::new();
        let unknown = permission & !(entry::ALL | protection::ALL) != 0;
        if unknown || kind.count_ones() > 1 || range.1 == 0 {
            wrong.push(Code::InvalidArgument);
        }
        if !is_map && from.is_none() {
            wrong.push(Code::InvalidRight);
        }
        let mut rights = permission & protection::ALL;
        if permission & entry::MASK_PERMISSIONS != 0 && kind != entry::NAMED_CREATE {
            rights &= match &from {
                Some(from) => from.maximum,
                None => self.least_maximum(of, range),
            };
        }
        let reuses = permission & entry::NAMED_REUSE != 0 && range.0 == 0;
        let is_whole =
            |from: &Known| from.pages() * PAGE_SIZE == range.1 && from.maximum == rights && reuses;
        let shares = is_map && kind & (entry::NAMED_CREATE | entry::COPY) == 0;
        let made = match (kind, from) {
            _ if !wrong.is_empty() => Err(wrong),
            (entry::NAMED_CREATE, _) => self.of_nothing(range.1, rights),
            (entry::COPY, None) => self.of_copy(of, (range, rights)),
            (entry::COPY, Some(_)) => Err(vec![Code::InvalidArgument]),
            (_, None) => self.of_map(of, (range, rights)),
            (_, Some(from)) if is_whole(&from) => Ok(Made::Same(parent)),
            (_, Some(from)) => {
                let shown = from.part(range, rights);
                shown.map(|shown| Made::shared(shown, rights))
            }
        };
        let pages = made.as_ref().map_or(0, |made| match made {
            Made::New(known) => known.pages(),
            Made::Same(_) => page_count(range.1),
        });
        let (answer, told) = match seen {
            Seen::Told(told) if told.len() == 2 => ((Code::Success, told[0]), Some(told[1])),
            seen => (answer(seen)?, None),
        };
        if told.is_some_and(|bytes| bytes != pages * PAGE_SIZE) {
            return Err(format!("{pages} pages expected, not {seen:x?}"));
        }
        self.judge_made(task, (made, shares && range.1 > PAGE_SIZE), answer)
    }

    /// The protections that all pages of a range may have.
    fn least_maximum(&self, of: TaskId, range: Bytes) -> u32 {
        let (_, pages) = self.span_wrong(of, Span::At(range.0, range.1), protection::NONE);
        let pages = self.tasks[of].pages.range(pages);
        pages.fold(protection::ALL, |all, (_, page)| all & page.maximum)
    }

    fn of_nothing(&mut self, size: u64, maximum: u32) -> Result<Made, Vec<Code>> {
        let end = size.checked_next_multiple_of(PAGE_SIZE);
        let end = end.ok_or_else(|| vec![Code::InvalidArgument])?;
        let places = (0..end / PAGE_SIZE).map(|_| self.memory.add(0)).collect();
        Ok(Made::shared(Shown::Memory(places), maximum))
    }

    /// What a copy gives is not the memory's business: it is memory of its own.
    fn of_copy(&mut self, of: TaskId, (range, maximum): (Bytes, u32)) -> Result<Made, Vec<Code>> {
        let mut wrong = window_wrong(range, maximum);
        let (more, pages) = self.span_wrong(of, Span::At(range.0, range.1), protection::READ);
        wrong.extend(more);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let places: Vec<_> = self.places(of, pages);
        let copies = places.into_iter().map(|place| self.memory.copy(place));
        Ok(Made::New(Known {
            shown: Shown::Memory(copies.collect()),
            maximum,
            is_copy: true,
        }))
    }

    fn of_map(&self, of: TaskId, (range, maximum): (Bytes, u32)) -> Result<Made, Vec<Code>> {
        let mut wrong = window_wrong(range, maximum);
        let (more, pages) = self.span_wrong(of, Span::At(range.0, range.1), protection::NONE);
        wrong.extend(more);
        if maximum & protection::ALL & !self.least_maximum(of, range) != 0 {
            wrong.push(Code::ProtectionFailure);
        }
        match wrong.is_empty() {
            true => Ok(Made::shared(Shown::Memory(self.places(of, pages)), maximum)),
            false => Err(wrong),
        }
    }

    fn places(&self, of: TaskId, pages: core::ops::Range<u64>) -> Vec<Place> {
        let pages = self.tasks[of].pages.range(pages);
        pages.map(|(_, page)| page.memory).collect()
    }

    /// The root over memory: what lies behind the machine's own is a device's.
    fn window(&mut self, task: TaskId, (range, cached): (Bytes, u32), seen: Answer) -> Verdict {
        let mut wrong = window_wrong(range, 0);
        let last = range.0.saturating_add(range.1) / PAGE_SIZE;
        let memory = u64::from(crate::machine::Size::default().pages);
        if cached > 1 || range.0 / PAGE_SIZE < memory || last > u32::MAX.into() {
            wrong.push(Code::InvalidArgument);
        }
        let rights = protection::READ | protection::WRITE;
        let made = match wrong.is_empty() {
            true => Ok(Made::shared(Shown::Device(range.1 / PAGE_SIZE), rights)),
            false => Err(wrong),
        };
        self.judge_made(task, (made, false), seen)
    }

    /// The caller gets a right to it, unless it was rightly refused. `several`: the range may be in several regions.
    fn judge_made(
        &mut self,
        task: TaskId,
        (made, several): (Result<Made, Vec<Code>>, bool),
        seen: Answer,
    ) -> Verdict {
        let made = match made {
            _ if several && seen.0 == Code::InvalidArgument => return Ok(()),
            Err(wrong) => return refuse(seen, &wrong),
            Ok(made) => made,
        };
        accept(seen)?;
        let port = match made {
            Made::Same(port) => port,
            Made::New(known) => {
                let port = self.new_port(Holder::Kernel);
                self.entries.0.insert(port, known);
                port
            }
        };
        self.accept_right(task, Carried::Send(port), Name(seen.1 as u32))
    }

    /// V-06. `code`: what is answered when there is no entry.
    fn map_entry(
        &mut self,
        task: TaskId,
        (entry, code): (Option<Known>, Code),
        mapping: &Mapping,
        seen: Answer,
    ) -> Verdict {
        let (mut wrong, place) = self.map_wrong(task, mapping);
        let copies = mapping.flags & map_flags::COPY != 0;
        let size = match (mapping.span, &place) {
            (_, Some(place)) => place.end - place.start,
            (Span::At(_, size), None) => size,
            (Span::Buffer, None) => PAGE_SIZE,
        };
        let end = mapping.offset.checked_add(size);
        if end.is_none() {
            wrong.push(Code::InvalidArgument);
        }
        let Some(entry) = entry else {
            wrong.push(code);
            return refuse(seen, &wrong);
        };
        let wanted = match copies {
            true => protection::READ,
            false => mapping.protection,
        };
        if wanted & !entry.maximum != 0 {
            wrong.push(Code::InvalidRight);
        }
        let inside = end.is_some_and(|end| page_count(end) <= entry.pages());
        let is_device = matches!(entry.shown, Shown::Device(_));
        if !inside || !mapping.offset.is_multiple_of(PAGE_SIZE) || (copies && is_device) {
            wrong.push(Code::InvalidArgument);
        }
        if !settled(seen, &wrong)? {
            return Ok(());
        }
        let place = place.ok_or("it has no place")?;
        value(seen, place.start)?;
        let Shown::Memory(places) = entry.shown else {
            return Err("programs map no device".into());
        };
        let first = (mapping.offset / PAGE_SIZE) as usize;
        for (at, memory) in each(&place).zip(&places[first..]) {
            let mut page = Page::mapped(*memory, mapping);
            match copies {
                true => page.memory = self.memory.copy(*memory),
                false => page.maximum &= entry.maximum,
            }
            self.tasks[task].pages.insert(at, page);
        }
        self.forget_memory();
        Ok(())
    }

    /// The entry of a port that dies.
    pub(super) fn end_entry(&mut self, port: PortId) {
        if self.entries.0.remove(&port).is_some() {
            self.forget_memory();
        }
    }
}

impl Made {
    fn shared(shown: Shown, maximum: u32) -> Self {
        Self::New(Known {
            shown,
            maximum,
            is_copy: false,
        })
    }
}

fn push(made: &mut Result<Made, Vec<Code>>, code: Code) {
    if let Err(wrong) = made {
        wrong.push(code);
    }
}
