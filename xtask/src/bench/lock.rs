//! How long the kernel lock is held and waited for, for each call, with so many CPUs calling at once.
//!
//! A kernel that measures that boots with the guest's bench alone, which makes as many clients and servers as there are
//! CPUs, and lets every client make the same number of calls. Two runs that differ in that number alone give the figure
//! of one call: what comes before and after cancels out. What the figures mean, and why they are the worst case, stands
//! in the kernel's `bare/lock.rs`; how many calls a second several CPUs get through, an emulator that executes
//! one at a time cannot say.

use super::report::{Row, succeeded};
use crate::fault::{Fault, Result};
use crate::place::Place;
use crate::run::{Boot, Clock, Kernel, Options, prepare_alone};
use std::time::Duration;

/// CPUs, and pairs of a client and a server.
const CPUS: [u32; 3] = [1, 2, 4];
/// Calls by which the two runs of each client differ.
const ROUNDS: u64 = 1000;
/// Host time after which a run counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);

/// What a kernel tells of its lock, in instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Times {
    held: u64,
    waited: u64,
    taken: u64,
}

/// The figures of one call: how often the lock is taken, how long it is held, and how long waited for.
pub(super) fn measure(place: &Place) -> Result<Vec<Row>> {
    let boot = prepare_alone(place, "bench", Kernel::TimingLock)?;
    let mut rows = Vec::new();
    for cpus in CPUS {
        let (fewer, more) = (run(&boot, cpus, ROUNDS)?, run(&boot, cpus, 2 * ROUNDS)?);
        let calls = ROUNDS * u64::from(cpus);
        let each = |of: fn(&Times) -> u64| {
            let difference = of(&more).saturating_sub(of(&fewer));
            (difference + calls / 2) / calls
        };
        let row = |what: &str, unit, value| Row::single(format!("{what}_{cpus}_cpus"), unit, value);
        rows.push(row("lock_taken", "times", each(|times| times.taken)));
        rows.push(row("lock_held", "instructions", each(|times| times.held)));
        rows.push(row("lock_wait", "instructions", each(|times| times.waited)));
    }
    Ok(rows)
}

fn run(boot: &Boot, cpus: u32, rounds: u64) -> Result<Times> {
    let options = Options {
        cpus,
        ..Options::default()
    };
    let mut machine = boot.machine(&options, &format!("bench pairs={cpus} rounds={rounds}"))?;
    machine.clock = Clock::Instructions;
    let log = boot.run_alone(&machine, LIMIT)?;
    succeeded(&log)?;
    let told = log.lines().find_map(times);
    told.ok_or_else(|| Fault::new("the kernel told nothing of its lock"))
}

/// `kernel: lock held N waited N taken N`.
fn times(line: &str) -> Option<Times> {
    let mut words = line.strip_prefix("kernel: lock ")?.split_whitespace();
    let mut number = |name: &str| {
        words.next().filter(|word| *word == name)?;
        words.next()?.parse().ok()
    };
    Some(Times {
        held: number("held")?,
        waited: number("waited")?,
        taken: number("taken")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_line_about_its_lock_is_read() {
        let told = times("kernel: lock held 12 waited 3 taken 4");
        let wanted = Times {
            held: 12,
            waited: 3,
            taken: 4,
        };
        assert_eq!(told, Some(wanted));
        for other in [
            "kernel: lock",
            "kernel: lock held 12 waited x taken 4",
            "kernel: lock waited 3 held 12 taken 4",
            "lock held 12 waited 3 taken 4",
        ] {
            assert_eq!(times(other), None, "{other}");
        }
    }
}
