//! The measurements, one file per family.

mod exception;
mod interrupt;
mod making;
mod many;
mod memory;
mod message;
mod pager;
mod pairs;
mod rpc;
mod set;
mod traps;

pub use pairs::{Work, at_once};

use libmach::Context;

use crate::samples::{COUNT, Row, Samples};
use crate::{Result, Switch, ensure, time};

/// What was executed from the machine's reset to `now`.
pub fn since_reset(now: u64) -> Row {
    Row {
        name: "boot_to_prompt",
        unit: time::unit(),
        min: now,
        median: now,
        max: now,
        samples: 1,
    }
}

/// Takes every measurement but those that [`apart`] takes; hands each row out as it is made.
///
/// # Errors
/// When an operation fails or does not do what it should, or `take` fails.
pub fn all(context: &Context, mut take: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let switch = Switch::of(context)?;
    let bench = Bench {
        empty_pair: time::empty_pair(),
    };
    let mut take = |row: Result<Row>| take(&row?);
    traps::all(&bench, &mut take)?;
    message::all(&bench, &mut take)?;
    rpc::all(&bench, rpc::Path::Fast, &mut take)?;
    switch.slowly(|| rpc::all(&bench, rpc::Path::Slow, &mut take))?;
    set::all(&bench, &mut take)?;
    exception::all(&bench, &mut take)?;
    interrupt::all(&bench, context, &mut take)?;
    memory::all(&bench, &mut take)?;
    pager::all(&bench, &mut take)?;
    making::all(&bench, &mut take)
}

/// The measurements of large pages and beside very many objects. Who traces each step leaves them out, for their memory takes long to
/// fill, and they need a machine's whole.
///
/// # Errors
/// As [`all`].
pub fn apart(mut take: impl FnMut(&Row) -> Result<()>) -> Result<()> {
    let bench = Bench {
        empty_pair: time::empty_pair(),
    };
    let mut take = |row: Result<Row>| take(&row?);
    take(memory::large(&bench))?;
    many::all(&bench, &mut take)
}

/// Takes rows.
type Take<'a> = &'a mut dyn FnMut(Result<Row>) -> Result<()>;

/// Operations before the first sample: caches fill, pages and tables come.
const WARM_UP: usize = 32;

/// What all measurements share.
struct Bench {
    /// What an empty pair of clock readings costs.
    empty_pair: u64,
}

impl Bench {
    /// Measures `operation`, which gets what `prepare` made; `check` looks at what came of it. Neither
    /// of the two is timed.
    #[inline(always)]
    fn measure<P, O>(
        &self,
        name: &'static str,
        mut prepare: impl FnMut(u64) -> Result<P>,
        mut operation: impl FnMut(P) -> O,
        mut check: impl FnMut(u64, O) -> Result<()>,
    ) -> Result<Row> {
        let mut samples = Samples::with_room(COUNT);
        for round in 0..(WARM_UP + COUNT) as u64 {
            let prepared = prepare(round)?;
            let start = time::start();
            let outcome = operation(prepared);
            let end = time::end();
            check(round, outcome)?;
            if round >= WARM_UP as u64 {
                samples.push(self.sample(start, end));
            }
        }
        row(name, samples)
    }

    #[inline(always)]
    fn sample(&self, start: u64, end: u64) -> u64 {
        end.wrapping_sub(start).saturating_sub(self.empty_pair)
    }
}

fn row(name: &'static str, samples: Samples) -> Result<Row> {
    time::end_row();
    let row = samples.row(name, time::unit());
    let enough = row.filter(|row| row.samples == COUNT);
    ensure(enough.is_some(), "samples are missing")?;
    row.ok_or(crate::Failure::Wrong("samples are missing"))
}

/// Nothing to prepare.
fn nothing(_: u64) -> Result<()> {
    Ok(())
}
