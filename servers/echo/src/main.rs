//! Checks in as `org.mello.echo` and serves.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use interfaces::echo::Echo;
use libmach::{Context, Result};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    context
        .check_in::<dyn Echo>()?
        .serve(echo::Server::default())
}
