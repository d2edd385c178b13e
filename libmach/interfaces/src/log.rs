//! The log: records of the kernel and of every server, kept in a ring.

use macros::{Wire, interface};

use crate::bounded::{List, Text};

/// How much a record matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Wire)]
pub enum Level {
    /// Something is broken and will stay so.
    Error,
    /// Something went wrong and was dealt with.
    Warning,
    /// What an operator wants to know.
    #[default]
    Info,
    /// What a developer wants to know.
    Debug,
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Record {
    /// Counts from 0; a gap says that records were overwritten.
    pub number: u64,
    /// When it was written, in ns since boot.
    pub time: u64,
    /// The writer's identity token; 0 is the kernel.
    pub identity: u64,
    /// What the writer's task is called; empty when nobody knows any more.
    pub task: Text<32>,
    /// How much it matters.
    pub level: Level,
    /// One line, without its end.
    pub text: Text<192>,
}

/// Takes records and gives them back.
#[interface(name = "org.mello.log", subsystem = 4440)]
pub trait Log {
    /// Writes a line. Longer ones are cut at 192 bytes.
    #[oneway]
    async fn write(&mut self, caller: Caller, level: Level, text: &str);
    /// Records from number `first` on; an empty list is the end.
    #[idempotent]
    async fn read(&self, first: u64) -> Result<List<Record, 16>>;
    /// Which records also go to the console: those of `level` and above.
    async fn set_console_level(&mut self, level: Level) -> Result<()>;
    /// Answers with how many records the console got, once that is another number than `seen`.
    ///
    /// For who has a prompt there and draws it again. As long as somebody waits, each record takes
    /// the place of the line that the cursor is in.
    async fn shown(&mut self, seen: u64, reply: Reply<u64>);
}
