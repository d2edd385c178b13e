//! `trace`: what the kernel did while a command ran, hop by hop.

mod names;
mod read;
mod report;
mod text;

use alloc::rc::Rc;

use channel::Exit;
use interfaces::echo::Echo;
use libmach::SendRight;
use libmach::abi::transport::Interface;

use super::Entry;
use crate::failure::Failure;
use crate::session::Session;
use crate::shell::Shell;
use names::Names;
use read::Span;

pub(super) const ENTRY: Entry = Entry(
    "trace [--report] [COMMAND ...]",
    "shows every hop of a call to echo, or of a command; --report is for programs",
);

/// What the records become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// Lines for a person.
    Text,
    /// What `cargo xtask trace` reads.
    Report,
}

pub(super) async fn run(
    shell: &Shell,
    arguments: &[&str],
    session: &Rc<Session>,
) -> Result<Exit, Failure> {
    let (form, command) = match arguments {
        ["--report", command @ ..] => (Form::Report, command),
        command => (Form::Text, command),
    };
    // Whoever may not trace is told before anything is done.
    shell.rights.host.client().trace_enable(0)?;
    if command.is_empty() {
        // The first call starts the server when it does not run yet; the second one is the usual case.
        echo(shell)?.client().echo(0)?;
    }
    let mut names = Names::read(shell)?;
    let span = Span::begin(shell)?;
    let done = match command {
        [] => echo(shell).and_then(|echo| Ok(echo.client().echo(1).map(|_| Exit::Exited(0))?)),
        command => Ok(shell.execute(command, session).await),
    };
    let traced = span.end(shell)?;
    let exit = done?;
    let shown = match form {
        Form::Text => text::lines(&traced, &mut names),
        Form::Report => report::lines(&traced, &names),
    };
    session.stdout(shown.as_bytes()).await?;
    Ok(exit)
}

fn echo(shell: &Shell) -> Result<SendRight<dyn Echo>, Failure> {
    let found = shell.rights.bootstrap.client().look_up(<dyn Echo>::NAME);
    let echo = found.map_err(|error| Failure::of("echo", error))?;
    Ok(echo.cast())
}
