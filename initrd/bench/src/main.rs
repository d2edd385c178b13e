//! `bench`: measures what the kernel's operations cost and prints one JSON object for each.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use bench::{Output, Result, Switch, measure, time};
use libmach::Context;

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let since_reset = time::now();
    let output = Output::of(&context)?;
    let switch = Switch::of(&context)?;
    output.row(&measure::since_reset(since_reset))?;
    measure::all(&switch, |row| output.row(row))?;
    output.finish()
}
