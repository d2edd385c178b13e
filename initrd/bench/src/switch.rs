//! The kernel's switch between fast and slow messages.

use interfaces::host::Host;
use libmach::abi::start::names;
use libmach::{Context, SendRight};

use crate::Result;

/// The privileged host port, for its fast-path switch.
#[derive(Debug)]
pub struct Switch(SendRight<dyn Host>);

impl Switch {
    /// The switch that the task was given.
    ///
    /// # Errors
    /// When its manifest gives it no privileged host port.
    pub fn of(context: &Context) -> Result<Self> {
        Ok(Self(context.send_right(names::HOST_PRIVILEGED)?))
    }

    /// Does something with the fast path off. It is on again afterwards, whatever came of it.
    pub(crate) fn slowly<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.0.client().set_fast_path(0)?;
        let done = work();
        self.0.client().set_fast_path(1)?;
        done
    }
}
