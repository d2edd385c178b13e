//! Checks in as `org.mello.log` and serves.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use interfaces::console::{Console, RIGHT};
use interfaces::log::Log;
use libmach::abi::start::names;
use libmach::{Context, Result, Runtime, SendRight, trap};
use log::screen::Screen;
use log::server::Server;

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let runtime = Runtime::new()?;
    let port = context.check_in::<dyn Log>()?.into_port();
    let console = context.send_right::<dyn Console>(RIGHT)?;
    let server = Server::new(
        context.send_right(names::BOOTSTRAP)?,
        SendRight::from_name(trap::host_self()?),
        Screen::new(runtime.clone(), console),
        runtime.clone(),
    );
    runtime.serve(port, server)?;
    runtime.run()
}
