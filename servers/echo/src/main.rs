//! x
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]
use libmach::Context;

#[libmach::main]
fn main(context: Context) -> Result<(), u32> {
    if context.port("x").is_none() {
        return Err(3);
    }
    Ok(())
}
