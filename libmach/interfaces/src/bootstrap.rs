//! The name service, as every task holds it: the right called `bootstrap` on its start page.
//!
//! A service port outlives its server: bootstrap made it, keeps a send right for look-up, and gets
//! the receive right back, queue intact, when the server dies (MACH.md B-01 to B-05).

use abi::kern_return::KernReturn;
use abi::transport::Untyped;
use macros::interface;

use crate::bounded::Text;

/// The most bytes of a service's name.
pub const MAX_NAME: usize = 127;

/// The most names that C looks up by one call (XNU `servers/bootstrap.h`).
pub const MAX_LOOKUP_COUNT: u32 = 20;

/// What the name service refuses with (XNU `servers/bootstrap.h`).
pub mod refusal {
    use super::KernReturn;

    /// The name belongs to another task, or the port or the caller lacks the privilege.
    pub const NOT_PRIVILEGED: KernReturn = KernReturn::NotPrivileged;
    /// The name is registered already.
    pub const NAME_IN_USE: KernReturn = KernReturn::NameInUse;
    /// No manifest declares the name, and nobody registered it.
    pub const UNKNOWN_SERVICE: KernReturn = KernReturn::UnknownService;
    /// The service was checked in already and its server lives.
    pub const SERVICE_ACTIVE: KernReturn = KernReturn::ServiceActive;
    /// More names than [`MAX_LOOKUP_COUNT`](super::MAX_LOOKUP_COUNT). C's library says so: calls of the interface have no
    /// arrays.
    pub const BAD_COUNT: KernReturn = KernReturn::BadCount;
    /// There is no room for another name or namespace.
    pub const NO_MEMORY: KernReturn = KernReturn::NoMemory;
    /// The service has failed and is not started again before `svc start`.
    pub const SERVICE_FAILED: KernReturn = KernReturn::ServiceFailed;
    /// The archive holds no program, or no server, of the name.
    pub const NO_SUCH_PROGRAM: KernReturn = KernReturn::NoSuchProgram;
    /// The service has no task, so that there is nothing to end.
    pub const NOT_RUNNING: KernReturn = KernReturn::NotRunning;
    /// The file is no program that can be loaded, or its manifest asks for what cannot be given.
    pub const NOT_LOADED: KernReturn = KernReturn::NotLoaded;
}

/// Finds services for clients and hands servers their ports.
#[interface(name = "org.mello.bootstrap", subsystem = 4000)]
pub trait Bootstrap {
    /// A send right to a service. It need not run yet: being asked for, or its first message, starts
    /// it. A service that gives power over others is `NOT_PRIVILEGED` to whom no manifest names it.
    #[idempotent]
    async fn look_up(&self, caller: Caller, service: &str) -> Result<SendRight<Untyped>>;
    /// The receive right of a service that the caller's manifest declares.
    async fn check_in(&mut self, caller: Caller, service: &str) -> Result<ReceiveRight<Untyped>>;
    /// Enters a service that no manifest declares, as long as its port and the caller live. `NOT_PRIVILEGED` in
    /// the root from a task that bootstrap did not start; `NO_MEMORY` when there are too many.
    async fn register(
        &mut self,
        caller: Caller,
        service: &str,
        port: SendRight<Untyped>,
    ) -> Result<()>;
    /// The caller is alive: asked of servers whose manifest has a heartbeat.
    #[oneway]
    async fn alive(&mut self, caller: Caller);
    /// The caller ends itself next; `status` is what waits for it get.
    async fn exiting(&mut self, caller: Caller, status: u64) -> Result<()>;
    /// The service broke its protocol, as `what` says; its server is replaced. `NOT_PRIVILEGED` from
    /// a caller whose manifest does not name the service.
    async fn violated(&mut self, caller: Caller, service: &str, what: &str) -> Result<()>;
    /// What the task with this identity token is called; empty when no task has it.
    #[idempotent]
    async fn name_of(&self, identity: u64) -> Result<Text<32>>;
    /// A new namespace. A name that is not registered in it means what it means here; what is
    /// registered in it is seen in it and below only. It ends, and all below it, when the port
    /// `requestor` dies or nobody holds a send right to it. `NO_MEMORY` beyond 16 of a task.
    async fn subset(
        &mut self,
        caller: Caller,
        requestor: SendRight<Untyped>,
    ) -> Result<SendRight<dyn Bootstrap>>;
    /// The namespace that this one is a subset of; the root's is itself. `NOT_PRIVILEGED` to whose
    /// manifest does not name the supervisor.
    async fn parent(&self, caller: Caller) -> Result<SendRight<dyn Bootstrap>>;
    /// A port to the same namespace that allows no more than looking up: check-in, registering,
    /// reports of violations, subsets and the parent are `NOT_PRIVILEGED` through it. A subset does
    /// not live on for it.
    async fn unprivileged(&self) -> Result<SendRight<dyn Bootstrap>>;
    /// Enters a service of the caller's own: the same name may be many tasks', and [`look_up_of`](Self::look_up_of) alone
    /// finds it. For the rest as `register`; `NO_MEMORY` beyond 16 of a task.
    async fn register_own(
        &mut self,
        caller: Caller,
        service: &str,
        port: SendRight<Untyped>,
    ) -> Result<()>;
    /// A send right to the service that the task with this identity token has entered as its own, here or above.
    #[idempotent]
    async fn look_up_of(&self, identity: u64, service: &str) -> Result<SendRight<Untyped>>;
}
