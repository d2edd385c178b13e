//! Calls of a task's port on its memory that do what traps do (MACH.md V-01 to V-04, V-06), the list of its mappings, and its
//! memory in numbers (V-08, V-15).

use std::collections::BTreeMap;

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::vm::protection;

use super::control::answer;
use super::names::refuse;
use super::vm::{Place, each, settled};
use super::vm_calls::{span, starts};
use super::{BEYOND, Bytes, Mapping, Model, Seen, Span, TaskId, Verdict, WINDOW};

/// A call to a task's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskVm {
    /// `vm_allocate`, with flags.
    Allocate(Span, u64),
    /// `vm_deallocate`.
    Deallocate(Span),
    /// `vm_protect`: 0, 1 for the maximum; the protection.
    Protect(Span, u64, u64),
    /// `vm_map` of no memory entry: of nothing, or of the caller's task.
    Map(Wrong, Mapping),
    /// Writes zeros, and this number at the start of each page.
    Write(Bytes, u64),
    /// All mappings at and above an address that lie in the window.
    Regions(u64),
}

/// What is no memory entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// No right at all.
    Null,
    /// A right to a port of the kernel's that is none.
    Task,
}

/// A mapping, as it is listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Listed {
    address: u64,
    size: u64,
    /// Protection, maximum, inheritance.
    rights: [u64; 3],
    resident: u64,
    object: u64,
    large: u64,
}

/// How many words a mapping has in a list.
pub const LISTED: usize = 8;

impl From<&[u64; LISTED]> for Listed {
    fn from(words: &[u64; LISTED]) -> Self {
        let [
            address,
            size,
            current,
            maximum,
            inherit,
            resident,
            object,
            large,
        ] = *words;
        Self {
            address,
            size,
            rights: [current, maximum, inherit],
            resident,
            object,
            large,
        }
    }
}

impl Model {
    pub(super) fn task_vm(&mut self, task: TaskId, call: TaskVm, seen: &Seen) -> Verdict {
        match call {
            TaskVm::Allocate(span, flags) => self.vm_allocate(task, (span, flags), answer(seen)?),
            TaskVm::Deallocate(span) => self.vm_deallocate(task, span, answer(seen)?),
            // They are words of 32 bits, the first of them 0 or 1.
            TaskVm::Protect(_, which, rights) if which.max(rights) > u32::MAX.into() => {
                refuse(answer(seen)?, &[Code::MigBadArguments])
            }
            TaskVm::Protect(_, 2.., _) => refuse(answer(seen)?, &[Code::InvalidArgument]),
            TaskVm::Protect(span, which, rights) => {
                self.vm_protect(task, span, (which, rights), answer(seen)?)
            }
            TaskVm::Map(Wrong::Null, _) => refuse(answer(seen)?, &[Code::InvalidCapability]),
            TaskVm::Map(Wrong::Task, _) => refuse(answer(seen)?, &[Code::InvalidRight]),
            TaskVm::Write(range, number) => {
                let (wrong, _) = self.span_wrong(task, span(range), protection::WRITE);
                if settled(answer(seen)?, &wrong)? {
                    starts(range).for_each(|at| self.put(task, at, number));
                }
                Ok(())
            }
            TaskVm::Regions(at) => self.listed(task, at, seen),
        }
    }

    /// The list goes over all pages of the window from an address on, and tells of each what it is.
    fn listed(&self, task: TaskId, at: u64, seen: &Seen) -> Verdict {
        let Seen::Told(words) = seen else {
            return Err(format!("mappings expected, not {seen:?}"));
        };
        let regions: Vec<Listed> = words.as_chunks().0.iter().map(Listed::from).collect();
        let from = (at / PAGE_SIZE * PAGE_SIZE).max(WINDOW);
        // The first one may have begun before.
        let first = regions.first().map_or(from, |first| first.address);
        let whole = self.page(task, from).is_some() || first >= from;
        let all = self.tasks[task]
            .pages
            .range(from.min(first)..BEYOND.max(from));
        let told = regions
            .iter()
            .flat_map(|region| each(&(region.address..region.address + region.size)));
        if !whole || !all.map(|(at, _)| *at).eq(told) {
            return Err(format!("not all pages from {at:#x} on: {regions:x?}"));
        }
        let mut objects = BTreeMap::new();
        regions
            .iter()
            .try_for_each(|region| self.is_listed(task, region, &mut objects))
    }

    /// Pages that show the same memory are of one object.
    fn is_listed(
        &self,
        task: TaskId,
        region: &Listed,
        objects: &mut BTreeMap<Place, u64>,
    ) -> Verdict {
        let pages = each(&(region.address..region.address + region.size));
        for page in pages.filter_map(|at| self.page(task, at)) {
            let rights = [page.protection, page.maximum, page.inheritance].map(u64::from);
            let object = *objects.entry(page.memory).or_insert(region.object);
            if rights != region.rights || object != region.object {
                return Err(format!("{page:x?} is not as {region:x?}"));
            }
        }
        let most = region.size / PAGE_SIZE;
        let touched = region.object != 0 || region.resident == 0;
        match region.resident <= most && region.large == 0 && touched {
            true => Ok(()),
            false => Err(format!("at most {most} small pages expected: {region:x?}")),
        }
    }

    /// What is told of a task's memory, what its list of mappings has, and how many pages its account says it uses.
    pub(super) fn vm_numbers(&self, seen: &Seen) -> Verdict {
        let Seen::Told(words) = seen else {
            return Err(format!("numbers expected, not {seen:?}"));
        };
        let Some([size, free, charged, tables, rest @ ..]) = words.first_chunk::<9>() else {
            return Err(format!("nine numbers expected, not {words:x?}"));
        };
        let [regions, large, listed, of_them, used] = *rest;
        let holds = *size == PAGE_SIZE
            && self.has_pages(*free)
            && *charged == used
            && tables <= charged
            && (regions, large) == (listed, of_them);
        match holds {
            true => Ok(()),
            false => Err(format!("they do not fit: {words:x?}")),
        }
    }
}
