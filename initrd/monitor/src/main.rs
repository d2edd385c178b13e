//! The monitor's task.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use libmach::{Context, Result, Runtime};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let runtime = Runtime::new()?;
    monitor::start(&context, &runtime)?;
    runtime.run()
}
