//! A checked-in service.

use core::time::Duration;

use abi::transport::{Error, Result, Serve};
use interfaces::bootstrap::Bootstrap;

use super::runtime::Runtime;
use crate::packet::Mach;
use crate::rights::{ReceiveRight, SendRight};

/// The receive right of a service, as bootstrap handed it out.
#[derive(Debug)]
pub struct Service<I: ?Sized> {
    port: ReceiveRight<I>,
    heartbeat: Option<(SendRight<dyn Bootstrap>, Duration)>,
}

impl<I: ?Sized + 'static> Service<I> {
    /// A service on a port of its own, without bootstrap.
    pub const fn on(port: ReceiveRight<I>) -> Self {
        Self {
            port,
            heartbeat: None,
        }
    }

    /// The same, telling bootstrap every `period` that the loop goes round.
    pub fn with_heartbeat(self, bootstrap: SendRight<dyn Bootstrap>, period: Duration) -> Self {
        Self {
            heartbeat: Some((bootstrap, period)),
            ..self
        }
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
        if let Some((bootstrap, period)) = self.heartbeat {
            runtime.spawn(beat(runtime.clone(), bootstrap, period));
        }
        runtime.serve(self.port, server)?;
        runtime.run()
    }

    /// Serves handlers that never wait, in the shortest loop there is (module `direct`); it has no
    /// heartbeat.
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

/// Tells bootstrap that the loop goes round, until bootstrap is gone.
async fn beat(runtime: Runtime, bootstrap: SendRight<dyn Bootstrap>, period: Duration) {
    loop {
        let told = runtime.concurrent(&bootstrap).alive();
        // A full queue is bootstrap's delay, not this server's death.
        if !matches!(told, Ok(()) | Err(Error::TimedOut)) || runtime.sleep(period).await.is_err() {
            return;
        }
    }
}
