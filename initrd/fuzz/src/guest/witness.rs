//! Who must not notice: memory that only this task has, calls to `echo`, and a look at the clock.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::{format, vec};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use interfaces::echo::Echo;
use interfaces::task::Task;
use libmach::abi::names::Name;
use libmach::sync::Mutex;
use libmach::{SendRight, ms, time};

use super::raw;

/// How long a task may do nothing before it is ended: it waits for something that will not come.
const STILL: Duration = ms(150);
/// Between two calls.
const PAUSE: Duration = Duration::from_micros(200);
/// Words of memory that are watched.
const WORDS: usize = 4096;

/// What the witness and the campaign tell each other.
pub(crate) struct Shared {
    /// 1: the campaign is over.
    pub(crate) stop: AtomicU32,
    /// Name of the control port of the task that attacks; 0: none does.
    pub(crate) attacker: AtomicU32,
    /// Calls that were answered right.
    pub(crate) calls: AtomicU64,
    /// Tasks that were ended since they stood still.
    pub(crate) stalled: AtomicU64,
    /// Where the attacker counts its steps.
    pub(crate) progress: u64,
    /// The first thing that went wrong.
    pub(crate) fault: Mutex<Option<String>>,
}

impl Shared {
    pub(crate) fn new(progress: u64) -> Self {
        Self {
            stop: AtomicU32::new(0),
            attacker: AtomicU32::new(0),
            calls: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            progress,
            fault: Mutex::new(None),
        }
    }

    fn blame(&self, fault: String) {
        self.fault.lock().get_or_insert(fault);
    }
}

/// Calls, looks and waits until the campaign is over.
pub(crate) fn watch(shared: &Arc<Shared>, echo: &SendRight<dyn Echo>) {
    let mut memory = vec![0_u64; WORDS];
    let mut patience = Patience::new();
    let mut number = 0_u64;
    while shared.stop.load(Ordering::Relaxed) == 0 {
        number += 1;
        match echo.client().echo(number) {
            Ok(answer) if answer == number => {
                shared.calls.fetch_add(1, Ordering::Relaxed);
            }
            other => shared.blame(format!("call {number} to echo answered {other:?}")),
        }
        if let Some(place) = changed(&memory, number - 1) {
            shared.blame(format!("word {place} of the witness's memory changed"));
        }
        fill(&mut memory, number);
        patience.look(shared);
        time::sleep(PAUSE);
    }
}

fn pattern(round: u64, place: usize) -> u64 {
    match round {
        0 => 0,
        round => round.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place as u64,
    }
}

fn fill(memory: &mut [u64], round: u64) {
    for (place, word) in memory.iter_mut().enumerate() {
        *word = pattern(round, place);
    }
}

fn changed(memory: &[u64], round: u64) -> Option<usize> {
    let mut words = memory.iter().enumerate();
    words
        .find(|(place, word)| **word != pattern(round, *place))
        .map(|(place, _)| place)
}

/// Since when an attacker has not moved.
struct Patience {
    seen: (u32, u64),
    since: u64,
}

impl Patience {
    fn new() -> Self {
        Self {
            seen: (0, 0),
            since: 0,
        }
    }

    /// Ends an attacker that stood still for too long.
    fn look(&mut self, shared: &Shared) {
        let attacker = shared.attacker.load(Ordering::Acquire);
        let seen = (attacker, raw::word(shared.progress));
        let now = time::now();
        if seen != self.seen || attacker == 0 {
            (self.seen, self.since) = (seen, now);
            return;
        }
        if now.saturating_sub(self.since) > STILL.as_nanos() as u64 {
            // It belongs to the campaign, which waits for the task's end.
            let task = SendRight::<dyn Task>::from_name(Name(attacker));
            // A task that is gone by now needs no ending.
            let ended = task.client().terminate().is_ok();
            shared
                .stalled
                .fetch_add(u64::from(ended), Ordering::Relaxed);
            self.since = now;
            task.into_name();
        }
    }
}
