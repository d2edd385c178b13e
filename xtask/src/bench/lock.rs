//! How long the kernel lock is held and waited for, for each operation, with so many CPUs that do the same at once.
//!
//! A kernel that measures that boots with the guest's bench alone, which makes as many clients and servers as there are
//! CPUs, and lets every client do the same, equally often. Two runs that differ in that number alone give the figure
//! of one operation: what comes before and after cancels out. What the figures mean, and why they are the worst case, stands
//! in the kernel's `bare/lock.rs`; how many operations a second several CPUs get through, an emulator that executes
//! one at a time cannot say.

use super::report::{Row, succeeded};
use crate::fault::{Fault, Result};
use crate::place::Place;
use crate::run::{Boot, Clock, Kernel, Options, prepare_alone};
use std::time::Duration;

/// CPUs, and pairs of a client and a server.
const CPUS: [u32; 3] = [1, 2, 4];
/// What is measured: the guest's word for it, what the rows' names have for it, and by how many operations the two runs of
/// each client differ.
const WORK: [(&str, &str, u64); 5] = [
    ("call", "", 1000),
    ("64b", "_64b", 200),
    ("send", "_send", 200),
    ("port", "_port", 200),
    ("fault", "_fault", 200),
];
/// Host time after which a run counts as hanging.
const LIMIT: Duration = Duration::from_secs(300);

/// What a kernel tells of its lock, in instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Times {
    held: u64,
    waited: u64,
    taken: u64,
}

/// The figures of one operation each: how often the lock is taken, how long it is held, and how long waited for.
pub(super) fn measure(place: &Place) -> Result<Vec<Row>> {
    let boot = prepare_alone(place, "bench", Kernel::TimingLock)?;
    let mut rows = Vec::new();
    let cases = WORK.iter().flat_map(|work| CPUS.map(|cpus| (work, cpus)));
    for ((work, name, rounds), cpus) in cases {
        let [fewer, more] = [1, 2].map(|times| run(&boot, work, (cpus, times * rounds)));
        let (fewer, more) = (fewer?, more?);
        let count = rounds * u64::from(cpus);
        let each = |of: fn(&Times) -> u64| {
            let difference = of(&more).saturating_sub(of(&fewer));
            (difference + count / 2) / count
        };
        let row =
            |what: &str, unit, value| Row::single(format!("{what}{name}_{cpus}_cpus"), unit, value);
        rows.push(row("lock_taken", "times", each(|times| times.taken)));
        rows.push(row("lock_held", "instructions", each(|times| times.held)));
        rows.push(row("lock_wait", "instructions", each(|times| times.waited)));
    }
    Ok(rows)
}

fn run(boot: &Boot, work: &str, (cpus, rounds): (u32, u64)) -> Result<Times> {
    let options = Options {
        cpus,
        ..Options::default()
    };
    let mode = format!("bench work={work} pairs={cpus} rounds={rounds}");
    let mut machine = boot.machine(&options, &mode)?;
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
