//! What a program starts with: its rights by name, its arguments, its environment.

use core::time::Duration;

use abi::kern_return::MessageReturn;
use abi::names::Name;
use abi::start::{Page, names};
use abi::transport::{Error, Interface, Result};
use interfaces::bootstrap::{Bootstrap, refusal};

use crate::blocking::Blocking;
use crate::rights::{ReceiveRight, SendRight, Untyped};
use crate::server::Service;
use crate::trap;

/// The environment variable with the period of the heartbeat that the manifest asks for, in ms.
pub const HEARTBEAT: &str = "HEARTBEAT";

/// How often a program that may have no more messages tries to say how it ends.
const EXIT_TRIES: u32 = 1000;

/// The start page, read.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    page: &'static Page,
}

impl Context {
    /// Reads a start page. What it says is believed: it comes from the task's creator.
    pub(crate) const fn new(page: &'static Page) -> Self {
        Self { page }
    }

    /// The port name of the right that the manifest calls `name`, or `None`.
    ///
    /// Only the name: [`Context::send_right`] gives an owned right.
    pub fn port(&self, name: &str) -> Option<Name> {
        let count = (self.page.right_count as usize).min(abi::start::MAX_RIGHTS);
        self.page.rights[..count]
            .iter()
            .find(|right| text_of(&right.name) == name.as_bytes())
            .map(|right| Name(right.port))
    }

    /// A send right that the manifest calls `name`.
    ///
    /// # Errors
    /// [`Error::NoService`] when the start page names none.
    pub fn send_right<I: ?Sized>(&self, name: &str) -> Result<SendRight<I>> {
        let port = self.port(name).ok_or(Error::NoService)?;
        // The start page keeps its own reference: it can be asked again.
        let kept = SendRight::<I>::from_name(port);
        let right = kept.duplicate();
        kept.into_name();
        right
    }

    /// The receive right that the manifest calls `name`. Asking twice gives the same one twice, and
    /// the first owner to end takes it away from the other.
    ///
    /// # Errors
    /// [`Error::NoService`] when the start page names none.
    pub fn receive_right<I: ?Sized>(&self, name: &str) -> Result<ReceiveRight<I>> {
        self.port(name)
            .map(ReceiveRight::from_name)
            .ok_or(Error::NoService)
    }

    /// The client of the service of interface `I`. The service need not run yet.
    ///
    /// # Errors
    /// [`Error::NoService`] when bootstrap does not know it.
    pub fn look_up<I>(&self) -> Result<I::Client<Blocking<SendRight<I>>>>
    where
        I: ?Sized + Interface + 'static,
    {
        Ok(self.look_up_right::<I>(I::NAME)?.into_client())
    }

    /// A send right to the service called `service`.
    ///
    /// # Errors
    /// [`Error::NoService`] when bootstrap does not know it.
    pub fn look_up_right<I: ?Sized>(&self, service: &str) -> Result<SendRight<I>> {
        let bootstrap = self.send_right::<dyn Bootstrap>(names::BOOTSTRAP)?;
        let found = bootstrap.client().look_up(service);
        found.map(SendRight::cast).map_err(|error| match error {
            Error::Code(refusal::UNKNOWN_SERVICE) => Error::NoService,
            other => other,
        })
    }

    /// The service of interface `I`, which the program's manifest declares.
    ///
    /// # Errors
    /// A code of [`refusal`] when it is another's.
    pub fn check_in<I: ?Sized + Interface + 'static>(&self) -> Result<Service<I>> {
        let bootstrap = self.send_right::<dyn Bootstrap>(names::BOOTSTRAP)?;
        let port: ReceiveRight<Untyped> = bootstrap.client().check_in(I::NAME)?;
        let service = Service::on(port.cast());
        Ok(
            match self
                .variable(HEARTBEAT)
                .and_then(|period| period.parse().ok())
            {
                Some(period) => service.with_heartbeat(bootstrap, Duration::from_millis(period)),
                None => service,
            },
        )
    }

    /// Ends the program; `status` is what waits for it get.
    ///
    /// Nothing is dropped on the way: the kernel takes back what the task holds.
    pub fn exit(&self, status: u8) -> ! {
        if let Ok(bootstrap) = self.send_right::<dyn Bootstrap>(names::BOOTSTRAP) {
            for _ in 0..EXIT_TRIES {
                // Who may have no more messages is heard when bootstrap waits for one. Without a bootstrap that listens nobody
                // waits for the status either.
                match bootstrap.client().exiting(u64::from(status)) {
                    Err(Error::NotSent(MessageReturn::SendNoBuffer)) => trap::swtch_pri(),
                    _ => break,
                };
            }
        }
        #[cfg(target_os = "none")]
        crate::machine::start::exit();
        #[cfg(not(target_os = "none"))]
        crate::host::exit();
    }

    /// The program's arguments, the first one its name.
    pub fn arguments(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.strings().take(self.page.argument_count as usize)
    }

    /// The value of an environment variable.
    pub fn variable(&self, key: &str) -> Option<&'static str> {
        self.variables()
            .find_map(|(found, value)| (found == key).then_some(value))
    }

    /// The environment: keys and values.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.strings()
            .skip(self.page.argument_count as usize)
            .take(self.page.environment_count as usize)
            .filter_map(|pair| pair.split_once('='))
    }

    /// The task's identity token, which its messages carry.
    pub fn identity(&self) -> u64 {
        self.page.identity
    }

    fn strings(&self) -> impl Iterator<Item = &'static str> + use<> {
        let size = (self.page.strings_size as usize).min(abi::start::STRINGS_SIZE);
        self.page.strings[..size]
            .split(|byte| *byte == 0)
            .map(|text| core::str::from_utf8(text).unwrap_or("\u{fffd}"))
    }
}

/// The bytes before the zero padding.
fn text_of(padded: &[u8]) -> &[u8] {
    let end = padded
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(padded.len());
    &padded[..end]
}
