//! Becomes the default pager, checks in as `org.mello.pager` and serves.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

use interfaces::default_pager::DefaultPager;
use interfaces::host::Host;
use libmach::{Context, Result, Runtime, SendRight};
use pager::server::{CAPACITY, Shared, Teller};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let (runtime, shared) = (Runtime::new()?, Shared::default());
    let object = libmach::pager::export(&runtime, shared.clone())?;
    let host: SendRight<dyn Host> = context.send_right("host")?;
    host.client().set_default_pager(object, CAPACITY)?;
    let service = context.check_in::<dyn DefaultPager>()?;
    runtime.serve(service.into_port(), Teller(shared))?;
    runtime.run()
}
