//! Dies at each start, before it has served anything: the supervisor's test subject.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use libmach::{Context, Result};

#[libmach::main]
fn main(_: Context) -> Result<()> {
    fail()
}

/// A function of its own, so that reports have something to name.
#[inline(never)]
fn fail() -> ! {
    panic!("as it is made to")
}
