//! What tasks and threads tell by flavors, as Mach lays it out in words of 32 bits.

use abi::PAGE_SIZE;
use abi::clock::SECOND;
use abi::kern_return::KernReturn;
use abi::task::{basic, info, thread_info};

use super::processor::halves;
use crate::base::KernResult;
use crate::base::ids::ThreadId;
use crate::base::ledger::Resource;
use crate::machine::{Machine, Time};
use crate::sched::{Policy, State, Thread};
use crate::task::{Layers, Task};

/// Room for the longest flavor.
pub(super) type Words = heapless::Vec<u32, 40>;

/// A span as seconds and microseconds (`time_value_t`).
fn span(time: Time) -> [u32; 2] {
    let seconds = u32::try_from(time / SECOND).unwrap_or(u32::MAX);
    [seconds, (time % SECOND / 1000) as u32]
}

/// Where a flavor is put together.
struct Layout(Words);

impl Layout {
    fn new() -> Self {
        Self(Words::new())
    }

    fn word(mut self, word: u32) -> Self {
        let fits = self.0.push(word);
        debug_assert_eq!(fits, Ok(()), "a flavor has more words");
        self
    }

    fn words(self, words: impl IntoIterator<Item = u32>) -> Self {
        words.into_iter().fold(self, Self::word)
    }

    fn wide(self, number: u64) -> Self {
        self.words(halves(number))
    }
}

/// A task's memory in bytes.
struct Memory {
    mapped: u64,
    resident: u64,
    regions: u32,
}

impl Memory {
    fn of<M: Machine>(task: &Task, layers: &Layers<'_, M>) -> KernResult<Self> {
        let (vm, ledgers) = (&layers.cx.vm, &layers.cx.ledgers);
        let (tables, regions) = vm.map_size(task.map).ok_or(KernReturn::InvalidTask)?;
        let pages = ledgers.own(task.ledger, Resource::Pages);
        let elsewhere = tables.saturating_add(ledgers.away(task.ledger));
        Ok(Self {
            mapped: vm.virtual_size(task.map)?,
            resident: pages.saturating_sub(elsewhere).saturating_mul(PAGE_SIZE),
            regions,
        })
    }
}

/// What a flavor tells of a task.
///
/// # Errors
/// `InvalidArgument`: no such flavor.
pub(super) fn of_task<M: Machine>(
    task: &Task,
    flavor: u32,
    layers: &Layers<'_, M>,
) -> KernResult<Words> {
    let memory = Memory::of(task, layers)?;
    let suspended = task.suspend_count;
    let short = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
    let times = |layout: Layout, user| layout.words(span(user)).words(span(0));
    let layout = Layout::new();
    let layout = match flavor {
        info::BASIC => {
            let sizes = [short(memory.mapped), short(memory.resident)];
            times(layout.word(suspended).words(sizes), task.ended_time).word(basic::TIMESHARE)
        }
        info::BASIC_64 => {
            let layout = layout.word(suspended).wide(memory.mapped);
            times(layout.wide(memory.resident), task.ended_time).word(basic::TIMESHARE)
        }
        info::EVENTS => {
            let (events, names) = (task.events, &layers.ipc.names);
            let space = names.space(task.space).ok_or(KernReturn::InvalidTask)?;
            let counts = [
                events.faults,
                events.paged_in,
                events.copied,
                events.sent,
                events.received,
                events.sent.wrapping_add(space.traps as u32),
                0,
                events.switches,
            ];
            layout.words(counts)
        }
        info::THREAD_TIMES => times(layout, task.cpu_time.wrapping_sub(task.ended_time)),
        info::SECURITY_TOKEN => layout.wide(task.identity),
        info::AUDIT_TOKEN => layout.wide(task.identity).words([0; 6]),
        info::VM_INFO => {
            let layout = layout.wide(memory.mapped).word(memory.regions);
            let layout = layout.word(PAGE_SIZE as u32);
            let resident = layout.wide(memory.resident).wide(memory.resident);
            let devices = resident.wide(0).wide(0);
            let private = devices.wide(memory.resident).wide(memory.resident);
            // Of pagers, reusable, purgeable, compressed: none is its account's.
            private.words([0; 20])
        }
        _ => return Err(KernReturn::InvalidArgument),
    };
    Ok(layout.0)
}

/// What a flavor tells of a thread, below its task's limit of priority.
///
/// # Errors
/// `InvalidArgument`: no such flavor.
pub(super) fn of_thread(
    (id, thread): (ThreadId, &Thread),
    limit: u8,
    flavor: u32,
    now: Time,
) -> KernResult<Words> {
    let layout = Layout::new();
    let policy = match thread.policy {
        Policy::Timeshare => basic::TIMESHARE,
        Policy::Fixed | Policy::TimeConstraint => basic::ROUND_ROBIN,
    };
    let state = match thread.state {
        State::Held => thread_info::STOPPED,
        State::Ready | State::Blocked if thread.suspend_count > 0 => thread_info::STOPPED,
        State::Running | State::Ready => thread_info::RUNNING,
        State::Blocked => thread_info::WAITING,
    };
    let age = (now / SECOND).saturating_sub(thread.born.into()).max(1) * SECOND;
    let usage = thread.cpu_time.saturating_mul(1000) / age;
    let usage = usage.min(thread_info::USAGE_SCALE.into()) as u32;
    let layout = match flavor {
        thread_info::BASIC => {
            let layout = layout.words(span(thread.cpu_time)).words(span(0));
            let suspended = thread.own_suspensions().into();
            layout.words([usage, policy, state, 0, suspended, 0])
        }
        thread_info::IDENTIFIER => layout.wide(id.to_bits()).wide(0).wide(0),
        thread_info::EXTENDED => {
            let layout = layout.wide(thread.cpu_time).wide(0);
            let priorities = [thread.priority, thread.base, limit].map(u32::from);
            let layout = layout.words([usage, policy, state, 0, 0]);
            // Threads have no names.
            layout.words(priorities).words([0; thread_info::NAME / 4])
        }
        _ => return Err(KernReturn::InvalidArgument),
    };
    Ok(layout.0)
}
