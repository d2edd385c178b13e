//! Shows important records on the console, without anybody waiting for it.
//!
//! Invariants: at most [`WAITING`] records wait; one task at a time writes, in order.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};

use interfaces::console::Console;
use interfaces::log::{Level, Record};
use libmach::{Error, Runtime, SendRight, ms};

/// How many records wait for the console; further ones are only counted.
pub const WAITING: usize = 128;
/// How long to wait for a console whose queue is full or whose driver died.
const PATIENCE: core::time::Duration = ms(10);
/// How often one record is tried.
const TRIES: u32 = 100;

/// The console, and what waits for it.
#[derive(Debug)]
pub struct Screen {
    runtime: Runtime,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    console: SendRight<dyn Console>,
    waiting: RefCell<VecDeque<Record>>,
    missed: Cell<u64>,
    busy: Cell<bool>,
}

impl Screen {
    /// A screen on `console`, whose writing goes on beside the handlers of `runtime`.
    pub fn new(runtime: Runtime, console: SendRight<dyn Console>) -> Self {
        Self {
            runtime,
            shared: Rc::new(Shared {
                console,
                waiting: RefCell::default(),
                missed: Cell::new(0),
                busy: Cell::new(false),
            }),
        }
    }

    /// Shows a record when the console has time for it.
    pub fn show(&self, record: &Record) {
        let mut waiting = self.shared.waiting.borrow_mut();
        if waiting.len() == WAITING {
            self.shared.missed.set(self.shared.missed.get() + 1);
            return;
        }
        waiting.push_back(*record);
        if !self.shared.busy.replace(true) {
            let (shared, runtime) = (Rc::clone(&self.shared), self.runtime.clone());
            self.runtime.spawn(async move {
                shared.write_all(&runtime).await;
                shared.busy.set(false);
            });
        }
    }
}

impl Shared {
    async fn write_all(&self, runtime: &Runtime) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(record) = next else {
                return;
            };
            self.write(runtime, &line(&record)).await;
            let missed = self.missed.take();
            if missed > 0 {
                let said = format!("{missed} records are not shown, see dmesg\r\n");
                self.write(runtime, &said).await;
            }
        }
    }

    async fn write(&self, runtime: &Runtime, line: &str) {
        for _ in 0..TRIES {
            let written = runtime.concurrent(&self.console).write(line.as_bytes());
            match written.await {
                // Its queue is full, or its driver starts again.
                Err(Error::TimedOut | Error::ServerDied { .. }) => {}
                // Written, or never to be.
                _ => return,
            }
            if runtime.sleep(PATIENCE).await.is_err() {
                return;
            }
        }
    }
}

/// A record as one line of a terminal.
pub fn line(record: &Record) -> String {
    let (seconds, micros) = (record.time / 1_000_000_000, record.time / 1000 % 1_000_000);
    let mark = match record.level {
        Level::Error => "error: ",
        Level::Warning => "warning: ",
        Level::Info | Level::Debug => "",
    };
    let task = if record.task.is_empty() {
        "?"
    } else {
        &record.task
    };
    format!(
        "[{seconds:5}.{micros:06}] {task}: {mark}{}\r\n",
        record.text
    )
}

#[cfg(test)]
mod tests {
    use interfaces::bounded::Text;

    use super::*;

    #[test]
    fn a_line_says_when_who_how_bad_and_what() {
        let mut record = Record {
            time: 12_034_567_890,
            task: Text::cut("echo"),
            level: Level::Warning,
            text: Text::cut("odd"),
            ..Record::default()
        };
        assert_eq!(line(&record), "[   12.034567] echo: warning: odd\r\n");
        record.level = Level::Info;
        record.task = Text::EMPTY;
        assert_eq!(line(&record), "[   12.034567] ?: odd\r\n");
    }
}
