//! `bench`: measures what the kernel's operations cost and prints one JSON object for each.
//!
//! `bench boot` prints only what was executed until it began. With `work`, `pairs` and `rounds` in the environment it
//! measures nothing itself: so many threads do that work so often each, all at once, and the kernel measures. With `apart` there, it
//! measures large pages, and the same call beside very many objects.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use bench::{Output, Result, measure, time};
use libmach::Context;

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let since_reset = time::start();
    let output = Output::of(&context)?;
    if let Err(failure) = run(&context, &output, since_reset) {
        output.failure(failure)?;
        // Alone, the machine is to be turned off all the same: nobody else does.
        if !output.is_alone() {
            return Err(failure);
        }
    }
    output.finish()
}

fn run(context: &Context, output: &Output, since_reset: u64) -> Result<()> {
    let boot = match context.arguments().nth(1) {
        None => false,
        Some("boot") => true,
        Some(_) => {
            output.usage()?;
            context.exit(2)
        }
    };
    if !output.is_alone() {
        output.row(&measure::since_reset(since_reset))?;
    }
    if boot {
        return Ok(());
    }
    let number = |key: &str| context.variable(key).and_then(|text| text.parse().ok());
    let work = context.variable("work").and_then(measure::Work::of);
    if let (Some(work), Some(pairs), Some(rounds)) = (work, number("pairs"), number("rounds")) {
        return measure::at_once(work, pairs, rounds);
    }
    if context.variable("apart").is_some() {
        return measure::apart(|row| output.row(row));
    }
    measure::all(context, |row| output.row(row))
}
