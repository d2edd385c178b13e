//! Where the figures go: to the program's console; without one, to the emulator's debug port.
//!
//! The second way is for a kernel that boots this program as its first task: nothing else runs then
//! that could disturb a measurement.

use alloc::format;

use interfaces::console::{CHUNK, Console};
use interfaces::host::Host;
use interfaces::io::{IoRange, IoRoot};
use libmach::abi::start::names;
use libmach::{Context, SendRight, trap};

use crate::samples::Row;
use crate::{Failure, Result, ensure};

/// What the start page calls a program's console.
const CONSOLE: &str = "console";
/// The emulator's debug console.
const DEBUG_PORT: u16 = 0xe9;

/// A place to print to.
#[derive(Debug)]
pub enum Output {
    /// A console.
    Console(SendRight<dyn Console>),
    /// The debug port, and the machine to be turned off at the end.
    Debug(SendRight<dyn IoRange>, SendRight<dyn Host>),
}

impl Output {
    /// The place that the task was given.
    ///
    /// # Errors
    /// When it has neither a console nor the roots of the first task.
    pub fn of(context: &Context) -> Result<Self> {
        if let Ok(console) = context.send_right(CONSOLE) {
            return Ok(Self::Console(console));
        }
        let root = context.send_right::<dyn IoRoot>(names::IO_ROOT)?;
        let host = context.send_right(names::HOST_PRIVILEGED)?;
        Ok(Self::Debug(root.client().range(DEBUG_PORT, 1)?, host))
    }

    /// Whether this program is the first task: there is no system around it.
    pub const fn is_alone(&self) -> bool {
        matches!(self, Self::Debug(..))
    }

    /// Prints a row on a line of its own.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn row(&self, row: &Row) -> Result<()> {
        self.write(&format!("{row}\n"))
    }

    /// Says why there are no more rows, which `cargo xtask bench` looks for.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn failure(&self, failure: Failure) -> Result<()> {
        self.write(&format!("failed: {failure}\n"))
    }

    /// Says how the program is called.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn usage(&self) -> Result<()> {
        self.write(
            "usage: bench [boot]; `cargo xtask bench` shows the figures beside other systems'\n",
        )
    }

    fn write(&self, line: &str) -> Result<()> {
        match self {
            Self::Console(console) => {
                ensure(line.len() <= CHUNK, "a row is longer than a write")?;
                let written = console.client().write(line.as_bytes())?;
                ensure(written == line.len() as u64, "the console lost a part")
            }
            Self::Debug(port, _) => {
                for byte in line.bytes() {
                    trap::io_write(port.name(), 0, 1, byte.into())?;
                }
                Ok(())
            }
        }
    }

    /// All is printed.
    ///
    /// # Errors
    /// When the machine is to be turned off and stays on.
    pub fn finish(self) -> Result<()> {
        match self {
            Self::Console(_) => Ok(()),
            Self::Debug(_, host) => Ok(host.client().shutdown(0)?),
        }
    }
}
