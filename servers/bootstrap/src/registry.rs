//! Services by name, and where their ports are (MACH.md B-01 to B-05).
//!
//! Invariants: a name is entered once in a namespace; in a subset it hides the same name above. Tasks' private names are
//! apart from those, and each task's from all others'.
//! Only the root has declared services. Of a declared service this task made the port, keeps a send
//! right for ever, and holds the receive right whenever no server does.

mod spaces;

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use abi::kern_return::KernReturn;
use abi::names::Name;
use interfaces::bootstrap::{MAX_NAME, refusal};
use libmach::{ReceiveRight, Result, SendRight, abi, trap};

pub use spaces::{Face, MAX_SUBSETS, MAX_SUBSETS_OF_TASK, Space, Spaces};

/// The most names that tasks may register in the root; what manifests declare does not count.
pub const MAX_REGISTERED: usize = 256;
/// The most names that tasks may register in one subset.
pub const MAX_REGISTERED_IN_SUBSET: usize = 32;
/// The most private names that one task may register.
pub const MAX_PRIVATE: usize = 16;
/// Messages that a service's queue takes: clients of a restarting server wait in it.
const QUEUE: u32 = 64;

/// Whose a name is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// Declared by the unit with this index.
    Unit(usize),
    /// Registered by the task with this identity token, as long as the task and the port live: some ports never die.
    Task(u64),
    /// The same, and found by who asks for that task's alone (XNU's per-pid services).
    Private(u64),
    /// Served by this task itself, and only for whom a manifest names it.
    Own,
}

impl Owner {
    /// Identity token of the task that registered the name, if one did.
    pub fn maker(self) -> Option<u64> {
        match self {
            Self::Task(maker) | Self::Private(maker) => Some(maker),
            Self::Unit(_) | Self::Own => None,
        }
    }

    /// Whose names a name must differ from: everybody's that are found by name alone, or this task's own.
    fn scope(self) -> Option<u64> {
        match self {
            Self::Private(maker) => Some(maker),
            Self::Task(_) | Self::Unit(_) | Self::Own => None,
        }
    }
}

/// One service.
#[derive(Debug)]
pub struct Service {
    space: Space,
    name: String,
    owner: Owner,
    send: SendRight,
    receive: Option<ReceiveRight>,
}

impl Service {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// A send right to it.
    ///
    /// # Errors
    /// When its port has died.
    pub fn send_right(&self) -> Result<SendRight> {
        self.send.duplicate()
    }

    /// Its receive right, while no server has it.
    pub fn held(&self) -> Option<&ReceiveRight> {
        self.receive.as_ref()
    }

    /// Takes the receive right out, to hand it to a server.
    pub fn take(&mut self) -> Option<ReceiveRight> {
        self.receive.take()
    }

    /// The receive right came back, or was not handed out after all.
    pub fn put_back(&mut self, port: ReceiveRight) {
        self.receive = Some(port);
    }
}

/// All services.
#[derive(Debug, Default)]
pub struct Registry {
    services: Vec<Service>,
    /// The namespaces.
    pub spaces: Spaces,
}

impl Registry {
    /// Makes the port of a service that `unit` declares.
    ///
    /// # Errors
    /// [`refusal::NAME_IN_USE`], or when the port cannot be made.
    pub fn declare(&mut self, name: &str, unit: usize) -> Result<()> {
        self.check_free(Space::ROOT, name)?;
        let receive = ReceiveRight::new()?;
        receive.set_queue_limit(QUEUE)?;
        self.services.push(Service {
            space: Space::ROOT,
            name: name.to_string(),
            owner: Owner::Unit(unit),
            send: receive.make_send()?,
            receive: Some(receive),
        });
        Ok(())
    }

    /// Enters a service of this task.
    ///
    /// # Errors
    /// [`refusal::NAME_IN_USE`].
    pub fn enter_own(&mut self, name: &str, send: SendRight) -> Result<()> {
        self.check_free(Space::ROOT, name)?;
        self.push(Space::ROOT, name, Owner::Own, send);
        Ok(())
    }

    /// Enters a service that a task has made into a namespace.
    ///
    /// # Errors
    /// [`refusal::NAME_IN_USE`]; `InvalidArgument` for an empty name or one beyond [`MAX_NAME`]
    /// bytes; `NO_MEMORY` beyond [`MAX_REGISTERED`], or [`MAX_REGISTERED_IN_SUBSET`], or [`MAX_PRIVATE`].
    pub fn register(
        &mut self,
        (space, owner): (Space, Owner),
        name: &str,
        send: SendRight,
    ) -> Result<()> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(KernReturn::InvalidArgument.into());
        }
        if self.position(space, owner.scope(), name).is_some() {
            return Err(refusal::NAME_IN_USE.into());
        }
        let most = match space {
            Space::ROOT => MAX_REGISTERED,
            _ => MAX_REGISTERED_IN_SUBSET,
        };
        let registered = |s: &&Service| s.owner.maker().is_some() && s.space == space;
        let private = |s: &&Service| owner.scope().is_some() && s.owner == owner;
        let all = self.services.iter();
        if all.clone().filter(registered).count() >= most
            || all.filter(private).count() >= MAX_PRIVATE
        {
            return Err(refusal::NO_MEMORY.into());
        }
        self.push(space, name, owner, send);
        Ok(())
    }

    fn push(&mut self, space: Space, name: &str, owner: Owner, send: SendRight) {
        self.services.push(Service {
            space,
            name: name.to_string(),
            owner,
            send,
            receive: None,
        });
    }

    fn check_free(&self, space: Space, name: &str) -> Result<()> {
        match self.position(space, None, name) {
            Some(_) => Err(refusal::NAME_IN_USE.into()),
            None => Ok(()),
        }
    }

    /// Where the service is that this namespace itself has under this name, of a [scope](Owner::scope).
    fn position(&self, space: Space, scope: Option<u64>, name: &str) -> Option<usize> {
        let is_it = |service: &Service| {
            service.space == space && service.owner.scope() == scope && service.name == name
        };
        self.services.iter().position(is_it)
    }

    /// Where the service is that the name means in this namespace: its own, or the nearest above.
    fn seen(&self, space: Space, scope: Option<u64>, name: &str) -> Result<usize> {
        let mut path = self.spaces.path(space);
        let found = path.find_map(|space| self.position(space, scope, name));
        found.ok_or(refusal::UNKNOWN_SERVICE.into())
    }

    /// The service that the name means in a namespace.
    ///
    /// # Errors
    /// [`refusal::UNKNOWN_SERVICE`].
    pub fn find_in(&self, space: Space, name: &str) -> Result<&Service> {
        Ok(&self.services[self.seen(space, None, name)?])
    }

    /// The service that the name means in a namespace among those of `owner`, if those are private.
    ///
    /// # Errors
    /// [`refusal::UNKNOWN_SERVICE`].
    pub fn find_of(&self, space: Space, owner: Owner, name: &str) -> Result<&Service> {
        Ok(&self.services[self.seen(space, owner.scope(), name)?])
    }

    /// The service of this name in the root.
    ///
    /// # Errors
    /// [`refusal::UNKNOWN_SERVICE`].
    pub fn find(&self, name: &str) -> Result<&Service> {
        self.find_in(Space::ROOT, name)
    }

    /// The service that `unit` may check in under this name in a namespace, with its receive right at home.
    ///
    /// # Errors
    /// [`refusal::UNKNOWN_SERVICE`]; [`refusal::NOT_PRIVILEGED`] when it is another's;
    /// [`refusal::SERVICE_ACTIVE`] when its receive right is with a server.
    pub fn to_check_in(
        &mut self,
        space: Space,
        name: &str,
        unit: Option<usize>,
    ) -> Result<&mut Service> {
        let index = self.seen(space, None, name)?;
        let service = &mut self.services[index];
        if unit.map(Owner::Unit) != Some(service.owner) {
            return Err(refusal::NOT_PRIVILEGED.into());
        }
        if service.receive.is_none() {
            return Err(refusal::SERVICE_ACTIVE.into());
        }
        Ok(service)
    }

    /// The declared service whose port this task knows as `port`.
    pub fn by_port(&mut self, port: Name) -> Option<&mut Service> {
        let declared = |service: &&mut Service| matches!(service.owner, Owner::Unit(_));
        let mut all = self.services.iter_mut().filter(declared);
        all.find(|service| service.send.name() == port)
    }

    /// The declared services of `unit`.
    pub fn of_unit(&self, unit: usize) -> impl Iterator<Item = &Service> {
        let owner = Owner::Unit(unit);
        self.services.iter().filter(move |s| s.owner == owner)
    }

    /// Ends a subset and all below it, with their names; the ports that are to die with them.
    pub fn end(&mut self, space: Space) -> Vec<Name> {
        let (ended, ports) = self.spaces.end(space);
        self.services.retain(|s| !ended.contains(&s.space));
        ports
    }

    /// Forgets the registered services whose port, known as `port`, died; says whether there were any.
    pub fn forget(&mut self, port: Name) -> bool {
        let before = self.services.len();
        self.services
            .retain(|s| s.owner.maker().is_none() || s.send.name() != port);
        before != self.services.len()
    }

    /// Forgets what the task with this identity token registered.
    pub fn forget_of(&mut self, maker: u64) {
        self.services.retain(|s| s.owner.maker() != Some(maker));
    }
}

/// Lets the receive right under `port` come to `notify` when its next holder loses it.
///
/// # Errors
/// When the notification cannot be armed.
pub fn arm_return(port: &ReceiveRight, notify: Name) -> Result<()> {
    let id = abi::notify::PORT_DESTROYED;
    let old = trap::port_request_notification(port.name(), id, 0, notify)?;
    drop(libmach::SendOnce::<libmach::Untyped>::from_name(old));
    Ok(())
}

/// Lets the death of the port behind `right` be told to `notify`, at once when it is dead already.
///
/// # Errors
/// When the notification cannot be armed.
pub fn arm_death<I: ?Sized>(right: &SendRight<I>, notify: Name) -> Result<()> {
    let id = abi::notify::DEAD_NAME;
    let old = trap::port_request_notification(right.name(), id, 1, notify)?;
    drop(libmach::SendOnce::<libmach::Untyped>::from_name(old));
    Ok(())
}

#[cfg(test)]
mod tests;
