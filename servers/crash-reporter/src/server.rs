//! The interface.

use interfaces::bounded::{Bytes, List, Text};
use interfaces::crash::{Crash, CrashReporter, Filed, Summary};
use interfaces::host::Host;
use interfaces::task::Task;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::start::FIRST_IDENTITY;
use libmach::{Caller, Mach, Result, SendRight, time};

use crate::shelf::Shelf;
use crate::subject::{Stopped, Subject};
use crate::symbols::Symbols;
use crate::text::{self, Facts};

/// The reporter.
#[derive(Debug)]
pub struct Server {
    symbols: Symbols,
    host: SendRight<dyn Host>,
    shelf: Shelf,
}

impl Server {
    /// A reporter without reports, which knows functions from `symbols` and events from `host`.
    pub fn new(symbols: Symbols, host: SendRight<dyn Host>) -> Self {
        Self {
            symbols,
            host,
            shelf: Shelf::default(),
        }
    }
}

/// Makes a report about a task called `name` and puts it on the shelf.
pub fn file(
    (symbols, shelf): (&Symbols, &mut Shelf),
    subject: &impl Subject,
    name: &str,
    crash: Crash,
) -> Filed {
    let table = symbols.of(name);
    let time = time::now();
    let facts = Facts::gather(subject, &table, crash);
    let (number, mut page) = shelf.begin();
    let written = text::write(&mut page, (subject, &table), (name, time), &facts);
    debug_assert!(written.is_ok(), "a page takes everything");
    let summary = Summary {
        number,
        time,
        size: 0,
        task: subject.info().map_or(0, |info| info.index),
        name: Text::cut(name),
        what: Text::cut(&facts.summary()),
    };
    shelf.put(summary, page);
    let place = Text::cut(&facts.place(&table));
    Filed { number, place }
}

impl CrashReporter for Server {
    type Rights = Mach;

    async fn report(
        &mut self,
        caller: Caller,
        task: SendRight<dyn Task>,
        name: &str,
        what: Crash,
    ) -> Result<Filed> {
        if caller.identity != FIRST_IDENTITY {
            return Err(KernReturn::NoAccess.into());
        }
        let subject = Stopped {
            task: &task,
            host: &self.host,
        };
        Ok(file((&self.symbols, &mut self.shelf), &subject, name, what))
    }

    async fn reports(&self, first: u64) -> Result<List<Summary, 8>> {
        Ok(self.shelf.list(first))
    }

    async fn read(&self, number: u64, offset: u32) -> Result<Bytes<1024>> {
        let found = self.shelf.read(number, offset);
        Ok(found.ok_or(KernReturn::InvalidArgument)?)
    }
}
