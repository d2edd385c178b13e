//! What a report needs of a task.

use alloc::vec::Vec;

use interfaces::host::Host;
use interfaces::task::{FIRST_THREAD, Info, Ledger, Region, RightInfo, Task};
use interfaces::thread::LastMessage;
use libmach::SendRight;
use libmach::abi::names::Name;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::Record;

/// The most regions of memory that are looked at.
pub const MAX_REGIONS: usize = 256;
/// The most rights that are listed.
pub const MAX_RIGHTS: usize = 64;
/// The most of the newest trace records that are searched for those of the task.
pub const MAX_RECORDS: u64 = 1024;
/// The most threads that are asked for.
const MAX_THREADS: usize = 64;

/// A task that is stopped. What it cannot tell is empty or `None`.
pub trait Subject {
    /// The task in numbers.
    fn info(&self) -> Option<Info>;
    /// Registers of the thread with this number.
    fn state(&self, thread: u32) -> Option<ThreadState>;
    /// Copies memory; whether all of it could be read. Otherwise `to` may have changed.
    fn read(&self, address: u64, to: &mut [u8]) -> bool;
    /// Regions of memory, ascending.
    fn regions(&self) -> Vec<Region>;
    /// Rights, ascending by name.
    fn rights(&self) -> Vec<RightInfo>;
    /// Limits and use.
    fn ledger(&self) -> Option<Ledger>;
    /// Numbers of its threads.
    fn threads(&self) -> Vec<u32>;
    /// What the thread with this number received last.
    fn last_message(&self, thread: u32) -> Option<LastMessage>;
    /// The newest trace records, of all tasks.
    fn records(&self) -> Vec<Record>;
}

/// A task of the kernel, by its control port.
#[derive(Debug)]
pub struct Stopped<'a> {
    /// Its control port.
    pub task: &'a SendRight<dyn Task>,
    /// Where the trace is read.
    pub host: &'a SendRight<dyn Host>,
}

impl Subject for Stopped<'_> {
    fn info(&self) -> Option<Info> {
        self.task.client().info().ok()
    }

    fn state(&self, thread: u32) -> Option<ThreadState> {
        let thread = self.task.client().thread(thread).ok()?;
        thread.client().get_state().ok()
    }

    fn last_message(&self, thread: u32) -> Option<LastMessage> {
        let thread = self.task.client().thread(thread).ok()?;
        thread.client().last_message().ok()
    }

    fn read(&self, address: u64, to: &mut [u8]) -> bool {
        self.task.read_memory(address, to).is_ok()
    }

    fn regions(&self) -> Vec<Region> {
        let mut all: Vec<Region> = Vec::new();
        while all.len() < MAX_REGIONS {
            let next = all.last().map_or(0, |last| last.address + last.size);
            match self.task.client().regions(next) {
                Ok(page) if !page.is_empty() => all.extend_from_slice(&page),
                _ => break,
            }
        }
        all
    }

    fn rights(&self) -> Vec<RightInfo> {
        let mut all: Vec<RightInfo> = Vec::new();
        while all.len() < MAX_RIGHTS {
            let after = all.last().map_or(Name::NULL, |last| last.name);
            match self.task.client().rights(after) {
                Ok(page) if !page.is_empty() => all.extend_from_slice(&page),
                _ => break,
            }
        }
        all.truncate(MAX_RIGHTS);
        all
    }

    fn ledger(&self) -> Option<Ledger> {
        self.task.client().ledger().ok()
    }

    fn threads(&self) -> Vec<u32> {
        let mut all: Vec<u32> = Vec::new();
        while all.len() < MAX_THREADS {
            let after = all.last().copied().unwrap_or(FIRST_THREAD);
            match self.task.client().threads(after) {
                Ok(page) if !page.is_empty() => all.extend_from_slice(&page),
                _ => break,
            }
        }
        all
    }

    fn records(&self) -> Vec<Record> {
        let host = self.host.client();
        // Nobody asks for more than there is: the answer is where the ring stands.
        let Ok((end, _)) = host.trace(u64::MAX) else {
            return Vec::new();
        };
        let mut position = end.saturating_sub(MAX_RECORDS);
        let mut all = Vec::new();
        while position < end {
            match host.trace(position) {
                Ok((from, page)) if !page.is_empty() => {
                    position = from.saturating_add(page.len() as u64);
                    all.extend_from_slice(&page);
                }
                _ => break,
            }
        }
        all
    }
}
