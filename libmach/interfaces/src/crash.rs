//! Reports about tasks that raised an exception which nobody handled.

use abi::exception::{self, software};
use abi::signal;
use abi::thread_state::ThreadState;
use macros::{Wire, interface};

use crate::bounded::{Bytes, List, Text};
use crate::task::Task;

/// What a [`BRIEF`](exception::behavior::BRIEF) exception message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Crash {
    /// The type (`abi::exception`).
    pub kind: u32,
    /// The first code.
    pub code: u64,
    /// The second code.
    pub subcode: u64,
    /// Where it was raised.
    pub rip: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// What the kernel knows the thread by; the lower half is its number.
    pub thread: u64,
}

impl Crash {
    /// Whether it is a panic, by the thread's registers (`libmach::machine::panic`): address and size of its text.
    pub fn panic(&self, state: &ThreadState) -> Option<(u64, u64)> {
        let is_panic = self.kind == exception::BREAKPOINT && state.rax == software::PANIC;
        is_panic.then_some((state.rdi, state.rsi))
    }

    /// The signal that POSIX has for it, where the thread's registers are known.
    pub fn signal(&self, state: Option<&ThreadState>) -> Option<u32> {
        if state.is_some_and(|state| self.panic(state).is_some()) {
            return signal::of(exception::SOFTWARE, [software::PANIC, 0], &(0..0));
        }
        // A stack's guard is a hole in memory here, which needs no telling apart.
        signal::of(self.kind, [self.code, self.subcode], &(0..0))
    }
}

impl core::fmt::Display for Crash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let name = exception::name(self.kind);
        if self.kind == exception::BAD_ACCESS {
            write!(f, "{name} at address {:#x}", self.subcode)?;
        } else {
            write!(
                f,
                "{name} code {:#x} subcode {:#x}",
                self.code, self.subcode
            )?;
        }
        write!(f, ", rip {:#x}", self.rip)
    }
}

/// A report that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Filed {
    /// Its number.
    pub number: u64,
    /// The function of the program that it happened in, as far as that is known.
    pub place: Text<80>,
}

/// A report, in short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Summary {
    /// Counts from 1; a gap says that reports were overwritten.
    pub number: u64,
    /// When it was made, in ns since boot.
    pub time: u64,
    /// Bytes of its text.
    pub size: u32,
    /// Index of the task, as `ps` showed it.
    pub task: u32,
    /// What the task was called.
    pub name: Text<32>,
    /// What happened, in one line.
    pub what: Text<160>,
}

/// Makes reports and keeps the last ones.
#[interface(name = "org.mello.crash-reporter", subsystem = 4740)]
pub trait CrashReporter {
    /// Makes a report of a task that is stopped, before whoever stopped it ends it. `NoAccess`: the caller is not the
    /// first task.
    async fn report(
        &mut self,
        caller: Caller,
        task: SendRight<dyn Task>,
        name: &str,
        what: Crash,
    ) -> Result<Filed>;
    /// The reports from number `first` on that are kept; an empty list is the end.
    #[idempotent]
    async fn reports(&self, first: u64) -> Result<List<Summary, 8>>;
    /// The text of a report from byte `offset` on; no bytes are its end. `InvalidArgument`: it is not kept.
    #[idempotent]
    async fn read(&self, number: u64, offset: u32) -> Result<Bytes<1024>>;
}
