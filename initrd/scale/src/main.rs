//! `scale`: tells every story, prints a JSON object for each, and turns the machine off.
//!
//! `divide=N` on the kernel's command line makes all sizes N times smaller; `seed=S` says in which order objects end.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use libmach::Context;
use scale::{Output, Result, Scene, stories};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let number = |key: &str, default: u64| {
        let value = context.variable(key).and_then(|text| text.parse().ok());
        value.unwrap_or(default)
    };
    let output = Output::of(&context)?;
    let scene = Scene::set(&context, number("seed", 1))?;
    let divide = number("divide", 1).max(1);
    let told = stories::tell_all(&scene, divide, |line| output.line(line));
    if let Err(failure) = told {
        output.line(&format_args!("{{\"failed\":\"{failure}\"}}"))?;
    }
    output.finish()
}
