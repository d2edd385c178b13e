//! Checks in as `org.mello.squares` and serves.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use interfaces::squares::Squares;
use libmach::{Context, Result, Runtime};
use squares::Server;

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let runtime = Runtime::new()?;
    let server = Server {
        runtime: runtime.clone(),
    };
    let service = context.check_in::<dyn Squares>()?;
    runtime.serve(service.into_port(), server)?;
    runtime.run()
}
