//! The commands: one file each, found by name here.

mod crash;
mod dmesg;
mod help;
mod lsmp;
mod ps;
mod reboot;
mod run;
mod shutdown;
mod svc;
mod target;
mod trace;
mod vmmap;

use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;

use channel::Exit;

use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;

/// What a command that does its work inside the monitor ends with.
type Done = Result<(), Failure>;

/// A command in `help`: how it is used, what it does.
pub(crate) struct Entry(pub(crate) &'static str, pub(crate) &'static str);

/// All builtin commands.
pub(crate) const ALL: [Entry; 11] = [
    help::ENTRY,
    svc::ENTRY,
    ps::ENTRY,
    lsmp::ENTRY,
    vmmap::ENTRY,
    dmesg::ENTRY,
    crash::ENTRY,
    trace::ENTRY,
    run::ENTRY,
    reboot::ENTRY,
    shutdown::ENTRY,
];

/// Runs the builtin `name`, or else the program of that name. Boxed, since commands run commands.
pub(crate) fn run<'a>(
    shell: &'a Shell,
    name: &'a str,
    arguments: &'a [&'a str],
    session: &'a Rc<Session>,
) -> Pin<Box<dyn Future<Output = Result<Exit, Failure>> + 'a>> {
    Box::pin(async move {
        let done = match name {
            "help" => help::run(arguments, session).await,
            "svc" => svc::run(shell, arguments, session).await,
            "ps" => ps::run(shell, arguments, session).await,
            "lsmp" => lsmp::run(shell, arguments, session).await,
            "vmmap" => vmmap::run(shell, arguments, session).await,
            "dmesg" => dmesg::run(shell, arguments, session).await,
            "crash" => crash::run(shell, arguments, session).await,
            "reboot" => reboot::run(shell, arguments),
            "shutdown" => shutdown::run(shell, arguments),
            "trace" => return trace::run(shell, arguments, session).await,
            "run" => return run::run(shell, arguments, session).await,
            _ => return run::program(shell, name, arguments, session).await,
        };
        done.map(|()| Exit::Exited(0))
    })
}

/// A kernel object's number for a person: its place, and which object of that place it is.
fn id(number: u64) -> String {
    match number {
        0 => String::from("-"),
        number => format!("{}.{}", number as u32, number >> 32),
    }
}

/// A usage failure unless there are no arguments.
fn none(arguments: &[&str], entry: &Entry) -> Done {
    if arguments.is_empty() {
        Ok(())
    } else {
        Err(Failure::Usage(entry.0))
    }
}
