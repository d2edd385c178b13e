//! A small bootstrap for tests: names, check-in, and service ports that outlive their servers.
//!
//! Any name is a service; nothing is started. What the real one promises of look-up, check-in and
//! restart (MACH.md B-01, B-03, B-05) holds.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use core::cell::RefCell;

use abi::kern_return::KernReturn;
use abi::notify;
use abi::start::names;
use abi::transport::{Caller, Incoming, Result};
use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::bounded::Text;

use super::task::{Parcel, Task, context, give};
use crate::context::Context;
use crate::packet::Mach;
use crate::rights::{ReceiveRight, SendRight, Untyped};
use crate::server::Runtime;
use crate::trap;

/// A name service in a task of its own.
#[derive(Debug)]
pub struct Names {
    bootstrap: SendRight<dyn Bootstrap>,
    task: Task,
}

impl Names {
    /// Starts it. The calling task owns it.
    ///
    /// # Errors
    /// When the port cannot be made.
    pub fn start() -> Result<Self> {
        let port = ReceiveRight::<dyn Bootstrap>::new()?;
        let bootstrap = port.make_send()?;
        let rights = std::vec![("port", give(port))];
        let task = Task::spawn(rights, |context| {
            // It ends when it is killed.
            crate::ignore(serve(&context));
        });
        Ok(Self { bootstrap, task })
    }

    /// Starts a task that has the name service as its bootstrap.
    ///
    /// # Errors
    /// When the right cannot be duplicated.
    pub fn spawn(&self, main: impl FnOnce(Context) + Send + 'static) -> Result<Task> {
        Ok(Task::spawn(self.rights()?, main))
    }

    /// A context of the calling task, with the name service as its bootstrap.
    ///
    /// # Errors
    /// When the right cannot be duplicated.
    pub fn context(&self) -> Result<Context> {
        Ok(context(self.rights()?))
    }

    fn rights(&self) -> Result<Vec<(&'static str, Parcel)>> {
        Ok(std::vec![(
            names::BOOTSTRAP,
            give(self.bootstrap.duplicate()?)
        )])
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.task.kill();
    }
}

fn serve(context: &Context) -> Result<()> {
    let runtime = Runtime::new()?;
    let server = Server {
        services: Services::default(),
        runtime: runtime.clone(),
    };
    runtime.serve(context.receive_right::<dyn Bootstrap>("port")?, server)?;
    runtime.run()
}

/// A service: its port's send right, and the receive right while no server has it.
#[derive(Debug)]
struct Service {
    send: SendRight,
    receive: Option<ReceiveRight>,
}

type Services = Rc<RefCell<BTreeMap<String, Service>>>;

struct Server {
    services: Services,
    runtime: Runtime,
}

impl Server {
    /// The service, made when it is asked for first.
    fn with<T>(&self, name: &str, use_it: impl FnOnce(&mut Service) -> Result<T>) -> Result<T> {
        let mut services = self.services.borrow_mut();
        if !services.contains_key(name) {
            let receive = ReceiveRight::new()?;
            let service = Service {
                send: receive.make_send()?,
                receive: Some(receive),
            };
            services.insert(name.to_string(), service);
        }
        use_it(services.get_mut(name).ok_or(KernReturn::Failure)?)
    }

    /// Lets the receive right come back when whoever has it dies.
    fn watch(&self, name: &str, port: &ReceiveRight) -> Result<()> {
        let inbox = self.runtime.inbox()?;
        trap::port_request_notification(port.name(), notify::PORT_DESTROYED, 0, inbox.name())?;
        let (services, name) = (Rc::clone(&self.services), name.to_string());
        self.runtime.spawn(async move {
            let mut message = inbox.next().await;
            if message.id == notify::PORT_DESTROYED
                && let Ok(port) = Incoming::<Mach>::receive::<Untyped>(&mut message.content)
                && let Some(service) = services.borrow_mut().get_mut(&name)
            {
                service.receive = Some(port);
            }
        });
        Ok(())
    }
}

impl Bootstrap for Server {
    type Rights = Mach;

    async fn look_up(&self, _: Caller, service: &str) -> Result<SendRight> {
        self.with(service, |service| service.send.duplicate())
    }

    async fn check_in(&mut self, _: Caller, service: &str) -> Result<ReceiveRight> {
        let port = self.with(service, |service| {
            service.receive.take().ok_or(refusal::SERVICE_ACTIVE.into())
        })?;
        self.watch(service, &port)?;
        Ok(port)
    }

    async fn register(&mut self, _: Caller, service: &str, port: SendRight) -> Result<()> {
        let mut services = self.services.borrow_mut();
        if services.contains_key(service) {
            return Err(refusal::NAME_IN_USE.into());
        }
        services.insert(
            service.to_string(),
            Service {
                send: port,
                receive: None,
            },
        );
        Ok(())
    }

    async fn alive(&mut self, _: Caller) {}

    async fn exiting(&mut self, _: Caller, _status: u64) -> Result<()> {
        Ok(())
    }

    async fn violated(&mut self, _: Caller, _service: &str, _what: &str) -> Result<()> {
        Err(KernReturn::NotSupported.into())
    }

    async fn name_of(&self, _identity: u64) -> Result<Text<32>> {
        Ok(Text::EMPTY)
    }

    async fn subset(&mut self, _: Caller, _: SendRight) -> Result<SendRight<dyn Bootstrap>> {
        Err(KernReturn::NotSupported.into())
    }

    async fn parent(&self, _: Caller) -> Result<SendRight<dyn Bootstrap>> {
        Err(refusal::NOT_PRIVILEGED.into())
    }

    async fn unprivileged(&self) -> Result<SendRight<dyn Bootstrap>> {
        Err(KernReturn::NotSupported.into())
    }

    async fn register_own(&mut self, _: Caller, _: &str, _: SendRight) -> Result<()> {
        Err(KernReturn::NotSupported.into())
    }

    async fn look_up_of(&self, _identity: u64, _: &str) -> Result<SendRight> {
        Err(refusal::UNKNOWN_SERVICE.into())
    }
}
