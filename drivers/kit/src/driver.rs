//! A driver's task: its rights by name, its services, its loop.

use interfaces::bootstrap::Bootstrap;
#[cfg(target_os = "none")]
use interfaces::{task::Task, thread::Thread};
use libmach::abi::start::names;
use libmach::abi::transport::{Interface, Serve};
use libmach::{Context, Mach, Result, Runtime};
#[cfg(target_os = "none")]
use libmach::{SendRight, trap};

use crate::interrupt::{Interrupt, InterruptSource, attend};
use crate::registers::IoPorts;

/// A driver that is being set up; [`Driver::run`] is its life.
#[derive(Debug)]
pub struct Driver {
    context: Context,
    runtime: Runtime,
}

impl Driver {
    /// A driver with the rights of `context`, at the highest priority that its manifest allows: whoever waits for an
    /// interrupt comes first.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn new(context: Context) -> Result<Self> {
        #[cfg(target_os = "none")]
        rise()?;
        let runtime = Runtime::new()?;
        Ok(Self { context, runtime })
    }

    /// The I/O ports that the manifest calls `name`.
    ///
    /// # Errors
    /// When it names none.
    pub fn io_ports(&self, name: &str) -> Result<IoPorts> {
        self.context.send_right(name).map(IoPorts::new)
    }

    /// The interrupt that the manifest calls `name`, bound to this driver.
    ///
    /// # Errors
    /// When it names none, or the line cannot be bound.
    pub fn interrupt(&self, name: &str) -> Result<Interrupt> {
        Interrupt::bind(&self.runtime, self.context.send_right(name)?)
    }

    /// Serves interface `I` as the service `name`, which the manifest declares.
    ///
    /// # Errors
    /// A code of `interfaces::bootstrap::refusal` when the service is another's.
    pub fn serve<I, S>(&self, name: &str, server: S) -> Result<()>
    where
        I: ?Sized + Interface + Serve<S, Mach> + 'static,
        S: 'static,
    {
        let bootstrap = self.context.send_right::<dyn Bootstrap>(names::BOOTSTRAP)?;
        let port = bootstrap.client().check_in(name)?;
        self.runtime.serve(port.cast::<I>(), server)
    }

    /// Lets `service` look after a device whenever `source` fires. Its first error ends the driver,
    /// with that as the reason: a new instance starts from a reset device.
    pub fn attend(
        &self,
        source: impl InterruptSource + 'static,
        service: impl FnMut() -> Result<()> + 'static,
    ) {
        self.runtime.spawn(async move {
            if let Err(error) = attend(&source, service).await {
                panic!("the device cannot be served: {error}");
            }
        });
    }

    /// The loop, for tasks and clients of the driver's own.
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Serves until receiving fails.
    ///
    /// # Errors
    /// The error of the receive.
    pub fn run(self) -> Result<()> {
        self.runtime.run()
    }
}

/// The calling thread gets its task's limit of priority, fixed.
#[cfg(target_os = "none")]
fn rise() -> Result<()> {
    let task = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let thread = SendRight::<dyn Thread>::from_name(trap::thread_self()?);
    let limit = task.client().info()?.priority_limit;
    thread.client().set_priority(limit, 1)
}
