//! A checked-in service.

use abi::transport::{Result, Serve};

use super::runtime::Runtime;
use crate::packet::Mach;
use crate::rights::ReceiveRight;

/// The receive right of a service, as bootstrap handed it out.
#[derive(Debug)]
pub struct Service<I: ?Sized> {
    port: ReceiveRight<I>,
}

impl<I: ?Sized + 'static> Service<I> {
    /// A service on a port of its own, without bootstrap.
    pub const fn on(port: ReceiveRight<I>) -> Self {
        Self { port }
    }

    /// The receive right, to be served on a [`Runtime`] beside others.
    pub fn into_port(self) -> ReceiveRight<I> {
        self.port
    }

    /// Serves until receiving fails.
    ///
    /// # Errors
    /// When the runtime cannot be set up, or receiving fails.
    pub fn serve<S: 'static>(self, server: S) -> Result<()>
    where
        I: Serve<S, Mach>,
    {
        let runtime = Runtime::new()?;
        runtime.serve(self.port, server)?;
        runtime.run()
    }

    /// Serves handlers that never wait, in the shortest loop there is (module `direct`).
    ///
    /// # Errors
    /// When receiving fails.
    pub fn serve_direct<S: 'static>(self, server: S) -> Result<()>
    where
        I: Serve<S, Mach>,
    {
        super::direct::serve::<I, S>(self.port.name(), server)
    }
}
