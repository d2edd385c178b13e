//! Shows important records on the console, without anybody waiting for it.
//!
//! Invariants: at most [`WAITING`] records and [`WATCHERS`] watchers wait; one task at a time writes, in order.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use interfaces::console::Console;
use interfaces::log::{Level, Record};
use libmach::{Error, KernReturn, Reply, Runtime, SendRight, ms};

/// How many records wait for the console; further ones are only counted.
pub const WAITING: usize = 128;
/// How many may wait to hear that something was shown.
pub const WATCHERS: usize = 8;
/// Back to the start of the line, and away with what stands in it (ECMA-48 EL).
const CLEAR_LINE: &str = "\r\x1b[K";
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
    shown: Cell<u64>,
    watchers: RefCell<Vec<Reply<u64>>>,
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
                shown: Cell::new(0),
                watchers: RefCell::default(),
                busy: Cell::new(false),
            }),
        }
    }

    /// Answers with how many records were shown, once that is another number than `seen`.
    pub fn watch(&self, seen: u64, reply: Reply<u64>) {
        let shown = self.shared.shown.get();
        let mut watchers = self.shared.watchers.borrow_mut();
        if seen != shown {
            reply.send(Ok(shown));
        } else if watchers.len() < WATCHERS {
            watchers.push(reply);
        } else {
            reply.send(Err(KernReturn::ResourceShortage.into()));
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
                shared.tell();
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
            let mut text = line(&record);
            if !self.watchers.borrow().is_empty() {
                text.insert_str(0, CLEAR_LINE);
            }
            self.write(runtime, &text).await;
            self.shown.set(self.shown.get().wrapping_add(1));
            let missed = self.missed.take();
            if missed > 0 {
                let said = format!("{missed} records are not shown, see dmesg\r\n");
                self.write(runtime, &said).await;
            }
        }
    }

    /// Answers all who wait to hear of it.
    fn tell(&self) {
        for reply in self.watchers.take() {
            reply.send(Ok(self.shown.get()));
        }
    }

    async fn write(&self, runtime: &Runtime, text: &str) {
        let mut rest = text.as_bytes();
        for _ in 0..TRIES {
            let written = runtime.concurrent(&self.console).write(rest).await;
            match written {
                // It may take less than it was offered.
                Ok(taken @ 1..) => {
                    let taken = usize::try_from(taken).unwrap_or(usize::MAX);
                    rest = rest.get(taken..).unwrap_or_default();
                    if rest.is_empty() {
                        return;
                    }
                    continue;
                }
                // It has no room, its queue is full, or its driver starts again.
                Ok(0) | Err(Error::TimedOut | Error::ServerDied { .. }) => {}
                // Never to be.
                Err(_) => return,
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
