//! Checks in as `org.mello.crash-reporter` and serves.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use archive::Archive;
use crash_reporter::server::Server;
use crash_reporter::symbols::Symbols;
use interfaces::crash::CrashReporter;
use libmach::abi::start::names;
use libmach::memory::View;
use libmach::{Context, Result, SendRight, trap};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let entry = context.send_right(names::ARCHIVE)?;
    // Without symbols, reports have addresses only.
    let archive = Archive::read(View::new(&entry)?).ok();
    let host = SendRight::from_name(trap::host_self()?);
    let server = Server::new(Symbols::new(archive), host);
    context.check_in::<dyn CrashReporter>()?.serve(server)
}
