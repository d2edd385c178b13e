//! Interrupt lines. A line that fires sets the pending word of the port that it is bound to
//! (`abi::notify::pending::INTERRUPT`) and stays masked until `abi::trap::INTERRUPT_ACKNOWLEDGE`.

use abi::transport::Untyped;
use macros::interface;

/// The one root, which bootstrap holds.
#[interface(name = "org.mello.interrupt-root", subsystem = 3810)]
pub trait InterruptRoot {
    /// A right to a line, not bound yet; `ResourceShortage` when it is given out already.
    async fn line(&mut self, line: u32) -> Result<SendRight<dyn Interrupt>>;
}

/// One line.
#[interface(name = "org.mello.interrupt", subsystem = 3815)]
pub trait Interrupt {
    /// Lets the line fire on the port behind `port`, and unmasks it.
    async fn bind(&mut self, port: SendRight<Untyped>) -> Result<()>;
    /// Masks the line and forgets the port.
    async fn unbind(&mut self) -> Result<()>;
}
