//! Interrupts: a port's pending word, awaited in a task of the runtime.

use core::future::Future;

use interfaces::interrupt;
use libmach::abi::notify::pending;
use libmach::server::Inbox;
use libmach::{Result, Runtime, SendRight, trap};

/// Where interrupts come from: a line of the machine, or a fake.
pub trait InterruptSource {
    /// Waits until the device asks for attention. The line is masked then.
    fn next(&self) -> impl Future<Output = Result<()>>;

    /// Lets the line fire again.
    ///
    /// # Errors
    /// When the right to it was revoked.
    fn acknowledge(&self) -> Result<()>;
}

/// A line of the machine, bound to a port of the driver's runtime.
#[derive(Debug)]
pub struct Interrupt {
    right: SendRight<dyn interrupt::Interrupt>,
    inbox: Inbox,
}

impl Interrupt {
    /// Lets the line fire on a new port of `runtime`.
    ///
    /// # Errors
    /// When the port cannot be made or the right was revoked.
    pub fn bind(runtime: &Runtime, right: SendRight<dyn interrupt::Interrupt>) -> Result<Self> {
        let inbox = runtime.inbox()?;
        right.client().bind(inbox.port().make_send()?)?;
        Ok(Self { right, inbox })
    }
}

impl InterruptSource for Interrupt {
    async fn next(&self) -> Result<()> {
        while self.inbox.next().await.id != pending::INTERRUPT {}
        Ok(())
    }

    fn acknowledge(&self) -> Result<()> {
        Ok(trap::interrupt_acknowledge(self.right.name())?)
    }
}

/// Lets `service` look after the device at each interrupt, until that fails.
///
/// It is called before and after the acknowledgement. Before, so that a level-triggered line is
/// low when it is unmasked; after, because an edge that comes while the line is masked is lost
/// (82093AA I/O APIC data sheet, interrupt mask bit of the redirection table).
///
/// # Errors
/// The first one of `source` or `service`.
pub async fn attend(
    source: &impl InterruptSource,
    mut service: impl FnMut() -> Result<()>,
) -> Result<()> {
    loop {
        source.next().await?;
        service()?;
        source.acknowledge()?;
        service()?;
    }
}
