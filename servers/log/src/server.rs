//! The interface, and where records come from.

use alloc::collections::VecDeque;
use core::cell::RefCell;

use interfaces::bootstrap::Bootstrap;
use interfaces::bounded::{List, Text};
use interfaces::host::Host;
use interfaces::log::{Level, Log, Record};
use libmach::{Caller, Mach, Reply, Result, Runtime, SendRight, ms, time};

use crate::kernel::{Reader, split_time};
use crate::ring::{Line, Ring};
use crate::screen::Screen;

/// How many writers' names are remembered.
const NAMES: usize = 64;
/// How long a record waits for its writer's name, and all others behind it.
const PATIENCE: core::time::Duration = ms(1000);
/// The most pieces of the kernel's log that one request reads.
const PIECES: usize = 128;

/// The log.
#[derive(Debug)]
pub struct Server {
    bootstrap: SendRight<dyn Bootstrap>,
    host: SendRight<dyn Host>,
    screen: Screen,
    runtime: Runtime,
    names: VecDeque<(u64, Text<32>)>,
    console_level: Level,
    kept: RefCell<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    ring: Ring,
    kernel: Reader,
}

impl Server {
    /// An empty log, which knows writers' names from `bootstrap` and the kernel's text from `host`.
    /// Warnings and errors are shown on `screen`.
    pub fn new(
        bootstrap: SendRight<dyn Bootstrap>,
        host: SendRight<dyn Host>,
        screen: Screen,
        runtime: Runtime,
    ) -> Self {
        Self {
            bootstrap,
            host,
            screen,
            runtime,
            names: VecDeque::new(),
            console_level: Level::Warning,
            kept: RefCell::default(),
        }
    }

    /// Reads what the kernel has written since the last time.
    fn read_kernel(&self) {
        let Kept { ring, kernel } = &mut *self.kept.borrow_mut();
        for _ in 0..PIECES {
            let Ok((from, bytes)) = self.host.client().log(kernel.position()) else {
                return;
            };
            let time = time::now();
            let new = kernel.take(from, &bytes, |text| {
                let (written, text) = split_time(text);
                let line = Line {
                    time: written.unwrap_or(time),
                    identity: 0,
                    task: Text::cut("kernel"),
                    level: Level::Info,
                    text,
                };
                ring.write(line, |record| self.show(record));
            });
            if !new {
                return;
            }
        }
    }

    fn show(&self, record: &Record) {
        if record.level <= self.console_level {
            self.screen.show(record);
        }
    }

    /// What the writer's task is called: asked once, remembered for later.
    async fn name_of(&mut self, identity: u64) -> Text<32> {
        if let Some((_, name)) = self.names.iter().find(|(known, _)| *known == identity) {
            return *name;
        }
        let bootstrap = self.runtime.concurrent(&self.bootstrap);
        let asked = bootstrap.with_deadline(PATIENCE).name_of(identity);
        // A record without a name is better than none.
        let name = asked.await.unwrap_or_default();
        if !name.is_empty() {
            if self.names.len() == NAMES {
                self.names.pop_front();
            }
            self.names.push_back((identity, name));
        }
        name
    }
}

impl Log for Server {
    type Rights = Mach;

    async fn write(&mut self, caller: Caller, level: Level, text: &str) {
        let line = Line {
            time: time::now(),
            identity: caller.identity,
            task: self.name_of(caller.identity).await,
            level,
            text,
        };
        self.read_kernel();
        let kept = &mut *self.kept.borrow_mut();
        kept.ring.write(line, |record| self.show(record));
    }

    async fn read(&self, first: u64) -> Result<List<Record, 16>> {
        self.read_kernel();
        Ok(self.kept.borrow().ring.read(first))
    }

    async fn set_console_level(&mut self, level: Level) -> Result<()> {
        self.console_level = level;
        Ok(())
    }

    async fn shown(&mut self, seen: u64, reply: Reply<u64>) {
        self.screen.watch(seen, reply);
    }
}
