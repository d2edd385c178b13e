//! [`Census`]: how much there is of everything.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use interfaces::host::{ArenaEntry, Host};
use interfaces::task::Task;
use libmach::SendRight;
use libmach::abi::PAGE_SIZE;
use libmach::abi::task::Limits;

use crate::Result;

/// How much there is of everything: each kind of kernel object, tasks' memory, and what this task is charged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Census {
    arenas: Vec<ArenaEntry>,
    /// Frames that are tasks' memory and page tables.
    frames: u64,
    used: Limits,
}

impl Census {
    /// That of now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn take(host: &SendRight<dyn Host>, own: &SendRight<dyn Task>) -> Result<Self> {
        let arenas = host.client().arenas()?.iter().copied().collect();
        let statistics = host.client().statistics()?;
        Ok(Self {
            arenas,
            frames: statistics.frames - statistics.kernel_frames,
            used: own.client().ledger()?.used,
        })
    }

    /// Bytes that objects and tasks' memory take.
    pub fn bytes(&self) -> u64 {
        let size = |arena: &ArenaEntry| u64::from(arena.live) * u64::from(arena.size);
        self.arenas.iter().map(size).sum::<u64>() + self.frames * PAGE_SIZE
    }

    /// What is not as it was before, in words; empty: nothing.
    pub fn differences(&self, before: &Self) -> String {
        let rows = self.rows().zip(before.rows());
        let differs = rows.filter(|((_, now), (_, then))| now != then);
        differs.fold(String::new(), |text, ((name, now), (_, then))| {
            let comma = if text.is_empty() { "" } else { ", " };
            format!("{text}{comma}{name} {now} instead of {then}")
        })
    }

    fn rows(&self) -> impl Iterator<Item = (&str, u64)> {
        let Limits {
            names,
            messages,
            threads,
            pages,
            kernel_bytes,
        } = self.used;
        let arenas = self.arenas.iter();
        arenas
            .map(|arena| (&*arena.name, arena.live.into()))
            .chain([
                ("frames", self.frames),
                ("charged names", names.into()),
                ("charged messages", messages.into()),
                ("charged threads", threads.into()),
                ("charged pages", pages.into()),
                ("charged bytes", kernel_bytes),
            ])
    }
}
