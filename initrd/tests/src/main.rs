//! Runs the chosen cases, or dies as ordered.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::vec::Vec;

use libmach::{Context, Result};
use tests::World;

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let arguments: Vec<&str> = context.arguments().skip(1).collect();
    if let ["--die", kind] = arguments[..] {
        tests::die::die(&context, kind);
    }
    if let ["--hang", kind] = arguments[..] {
        let world = World::of(context)?;
        context.exit(tests::hang::hang(&world, kind)?);
    }
    if let ["--ask", service] = arguments[..] {
        context.exit(tests::ask::ask(&context, service));
    }
    let world = World::of(context)?;
    let status = tests::run(&world, &arguments)?;
    context.exit(status)
}
