//! Running a command, given as words, for a session.

use alloc::format;
use alloc::rc::Rc;
use core::future::Future;

use channel::Exit;
use interfaces::bootstrap::Bootstrap;
use interfaces::host::Host;
use interfaces::log::Log;
use interfaces::supervisor::Supervisor;
use libmach::abi::start::names;
use libmach::{Context, Error, Result, Runtime, SendRight, ms};

use crate::commands;
use crate::failure::Failure;
use crate::session::Session;

/// What the monitor's manifest gives it.
#[derive(Debug)]
pub struct Rights {
    /// The privileged host port.
    pub host: SendRight<dyn Host>,
    /// Orders to services and programs.
    pub supervisor: SendRight<dyn Supervisor>,
    /// The records of all.
    pub log: SendRight<dyn Log>,
    /// The name service.
    pub bootstrap: SendRight<dyn Bootstrap>,
}

impl Rights {
    /// Takes them from the start page.
    ///
    /// # Errors
    /// When the manifest names one of them not.
    pub fn of(context: &Context) -> Result<Self> {
        Ok(Self {
            host: context.send_right("host")?,
            supervisor: context.send_right("supervisor")?,
            log: context.send_right("log")?,
            bootstrap: context.send_right(names::BOOTSTRAP)?,
        })
    }
}

/// Runs commands.
#[derive(Debug)]
pub struct Shell {
    pub(crate) runtime: Runtime,
    pub(crate) rights: Rights,
}

impl Shell {
    /// A shell on the loop of `runtime`.
    pub fn new(runtime: &Runtime, rights: Rights) -> Self {
        Self {
            runtime: runtime.clone(),
            rights,
        }
    }

    /// Runs a command: a builtin, or a program of the archive. What went wrong is written to the
    /// session. Dropped before its end, the command is ended too.
    pub async fn execute(&self, words: &[&str], session: &Rc<Session>) -> Exit {
        let Some((name, arguments)) = words.split_first() else {
            return Exit::Exited(0);
        };
        let (text, exit) = match commands::run(self, name, arguments, session).await {
            Ok(exit) => return exit,
            Err(Failure::Usage(usage)) => (format!("usage: {usage}\n"), Exit::Exited(2)),
            Err(Failure::Said(text)) => (format!("{name}: {text}\n"), Exit::Exited(1)),
            Err(Failure::NoSuchCommand(name)) => {
                let text = format!("{name}: no such command; try help\n");
                (text, Exit::NoSuchCommand)
            }
        };
        match session.stderr(text.as_bytes()).await {
            Ok(()) => exit,
            // Nobody is there to be told; the command failed in any case.
            Err(_) => exit,
        }
    }

    /// Turns the machine off.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn shut_down(&self) -> Result<()> {
        self.rights.host.client().shutdown(0)
    }

    /// Starts the machine again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reboot(&self) -> Result<()> {
        self.rights.host.client().reboot()
    }

    /// Makes a call of the loop again while the server's queue is full.
    pub(crate) async fn patiently<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        loop {
            match call().await {
                Err(Error::TimedOut) => self.runtime.sleep(ms(1)).await?,
                other => return other,
            }
        }
    }
}
