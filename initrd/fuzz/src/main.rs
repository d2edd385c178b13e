//! `fuzz --count N --seed S`: attacks the kernel from tasks that have no power, and watches.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

mod guest;

use alloc::vec::Vec;

use guest::{campaign, life};
use libmach::{Context, Result};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let arguments: Vec<&str> = context.arguments().skip(1).collect();
    match arguments[..] {
        [life::FLAG, seed, steps] => life::live(context, seed, steps),
        _ => {
            let status = campaign::run(&context, &arguments)?;
            context.exit(status)
        }
    }
}
