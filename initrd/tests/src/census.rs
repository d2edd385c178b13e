//! [`Census`]: how much there is of everything in the system, to find what something leaves behind.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use interfaces::host::{ArenaEntry, Host};
use libmach::{SendRight, ms, time, trap};

use crate::case::{Check, Verdict};

/// Looks at what ends, before it counts as staying.
const LOOKS: u32 = 100;

/// How much there is of each kind of kernel object, and of tasks' memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Census {
    arenas: Vec<ArenaEntry>,
    frames: u64,
}

impl Census {
    fn take(host: &SendRight<dyn Host>) -> Check<Self> {
        let arenas = host.client().arenas()?;
        let statistics = host.client().statistics()?;
        Ok(Self {
            arenas: arenas.iter().copied().collect(),
            frames: statistics.frames - statistics.kernel_frames,
        })
    }

    /// That of now, once what ends has ended.
    pub(crate) fn settled() -> Check<Self> {
        let host = SendRight::from_name(trap::host_self()?);
        let mut last = Self::take(&host)?;
        for _ in 0..LOOKS {
            time::sleep(ms(5));
            let now = Self::take(&host)?;
            if now.differences(&last).is_empty() {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// The same, and as it was before if it comes to that: a processor that the host lets wait ends nothing meanwhile.
    fn settled_to(before: &Self) -> Check<Self> {
        let mut last = Self::settled()?;
        for _ in 0..LOOKS {
            if last.differences(before).is_empty() {
                break;
            }
            last = Self::settled()?;
        }
        Ok(last)
    }

    /// What is not as it was before, in words; empty: nothing.
    pub(crate) fn differences(&self, before: &Self) -> String {
        let live = |census: &Self| -> Vec<u64> {
            let arenas = census.arenas.iter().map(|arena| arena.live.into());
            arenas.chain([census.frames]).collect()
        };
        let names = self.arenas.iter().map(|arena| arena.name.as_str());
        let rows = names
            .chain(["frames"])
            .zip(live(self).into_iter().zip(live(before)));
        rows.filter(|(_, (now, then))| now != then)
            .map(|(name, (now, then))| format!("{name}: {now}, before {then}; "))
            .collect()
    }
}

/// Does something again and again, until it leaves nothing behind. A heap may touch a page for the first time in one of
/// these rounds, or a table grow; what is lost is lost in each.
pub(crate) fn leaves_nothing(rounds: u32, mut act: impl FnMut() -> Check) -> Check {
    act()?;
    let (mut before, mut left) = (Census::settled()?, String::new());
    for _ in 0..rounds {
        act()?;
        let after = Census::settled_to(&before)?;
        left = after.differences(&before);
        if left.is_empty() {
            return Ok(());
        }
        before = after;
    }
    Err(Verdict::Failed(format!("left behind each time: {left}")))
}
