//! Where the report goes: to the emulator's debug port, for there is nobody else.

use alloc::format;
use core::fmt;

use interfaces::host::Host;
use interfaces::io::{IoRange, IoRoot};
use libmach::abi::start::names;
use libmach::{Context, SendRight, trap};

use crate::Result;

/// The emulator's debug console.
const DEBUG_PORT: u16 = 0xe9;

/// The debug port, and the machine to be turned off at the end.
#[derive(Debug)]
pub struct Output {
    port: SendRight<dyn IoRange>,
    host: SendRight<dyn Host>,
}

impl Output {
    /// By the roots that the first task has.
    ///
    /// # Errors
    /// When this is another task.
    pub fn of(context: &Context) -> Result<Self> {
        let root = context.send_right::<dyn IoRoot>(names::IO_ROOT)?;
        Ok(Self {
            port: root.client().range(DEBUG_PORT, 1)?,
            host: context.send_right(names::HOST_PRIVILEGED)?,
        })
    }

    /// Prints a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&self, line: &dyn fmt::Display) -> Result<()> {
        for byte in format!("{line}\n").bytes() {
            trap::io_write(self.port.name(), 0, 1, byte.into())?;
        }
        Ok(())
    }

    /// All is printed.
    ///
    /// # Errors
    /// When the machine stays on.
    pub fn finish(self) -> Result<()> {
        Ok(self.host.client().shutdown(0)?)
    }
}
