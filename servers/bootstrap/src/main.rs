//! The first task: maps the archive, then names, starts and supervises everything in it.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::rc::Rc;

use archive::Archive;
use bootstrap::kernel::Kernel;
use bootstrap::serve::serve;
use libmach::abi::start::names;
use libmach::memory::View;
use libmach::{Context, ReceiveRight, Result};

#[libmach::main]
fn main(context: Context) -> Result<()> {
    let entry = context.send_right(names::ARCHIVE)?;
    let archive = match Archive::read(View::new(&entry)?) {
        Ok(archive) => Rc::new(archive),
        // Without an archive there is nothing to start: the kernel's report carries the reason.
        Err(damage) => panic!("{damage}"),
    };
    let port = ReceiveRight::new()?;
    let for_launcher = Rc::clone(&archive);
    serve(&archive, port, move |exceptions| {
        Kernel::new(&context, for_launcher, exceptions)
    })
}
