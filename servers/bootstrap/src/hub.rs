//! Everything together: each event, whom it concerns, and what it leads to.
//!
//! Pure decisions are in [`Life`]; here they are carried out with ports and tasks. Each public
//! function is one event or one call, runs to its end, and leaves the clock armed for the next time
//! that some life waits for.
//!
//! Deliberately absent: waiting. Whatever takes time comes back as an event.

mod calls;
mod crashes;
mod decode;
mod events;
mod spaces;

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use abi::names::Name;
use abi::start::FIRST_IDENTITY;
use archive::Archive;
use interfaces::bootstrap::Bootstrap;
use interfaces::log::{Level, Log};
use interfaces::supervisor::{Cause, State};
use interfaces::task::Task;
use libmach::{PortSet, Result, SendRight, abi, time, trap};
use manifest::{Manifest, Right};

pub use crashes::Inquiry;
use crashes::Open;

use crate::launch::{Failure, Launched, Launcher, Request};
use crate::life::{Life, Order};
use crate::programs::Programs;
use crate::registry::{Owner, Registry, arm_death};

/// The service that gives power over all others.
pub const SUPERVISOR: &str = "org.mello.supervisor";
const LOG: &str = "org.mello.log";
/// How long a start waits for ports that the last life had, in ns. They come with its death; only one
/// that it gave away does not.
const RETURN: u64 = 100_000_000;

/// The ports that events come through, by what this task calls them.
#[derive(Debug)]
pub struct Ports {
    /// Where port-destroyed and dead-name notifications go, so that they come in order.
    pub notify: Name,
    /// Whose timer is armed.
    pub clock: Name,
    /// The ports that are watched for a first message.
    pub idle: PortSet,
    /// What every task gets as its name service.
    pub bootstrap: SendRight<dyn Bootstrap>,
}

/// A server or driver of the archive.
#[derive(Debug)]
struct Unit {
    manifest: Manifest,
    /// Path of its program in the archive.
    program: String,
    life: Life,
    task: Option<Running>,
    /// It is to be started as soon as its ports are back, or at this time in ns.
    postponed: Option<u64>,
}

/// A unit's task.
#[derive(Debug)]
struct Running {
    port: SendRight<dyn Task>,
    identity: u64,
}

/// Who a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Unit(usize),
    Program,
}

/// All services, tasks and names.
#[derive(Debug)]
pub struct Hub<L> {
    archive: Rc<Archive>,
    units: Vec<Unit>,
    registry: Registry,
    programs: Programs,
    launcher: L,
    ports: Ports,
    last_identity: u64,
    /// Tasks that raised an exception and whose report is being made.
    open: Vec<Open>,
    /// What the clock is armed for.
    armed: u64,
}

/// A hub, shared by the interfaces and the event loops.
pub type Shared<L> = Rc<RefCell<Hub<L>>>;

impl<L: Launcher> Hub<L> {
    /// Reads all manifests of the archive and makes the ports of all services. Nothing is started.
    ///
    /// # Errors
    /// When the ports cannot be made. A bad manifest is no error: its service has failed.
    pub fn new(
        archive: &Rc<Archive>,
        launcher: L,
        ports: Ports,
        supervisor: SendRight,
    ) -> Result<Self> {
        let mut hub = Self {
            units: Vec::new(),
            registry: Registry::default(),
            programs: Programs::default(),
            last_identity: FIRST_IDENTITY,
            open: Vec::new(),
            armed: u64::MAX,
            archive: Rc::clone(archive),
            launcher,
            ports,
        };
        hub.registry.enter_own(SUPERVISOR, supervisor)?;
        for paths in archive.units() {
            hub.declare(paths)?;
        }
        Ok(hub)
    }

    /// Starts what its manifest wants started at boot, and watches for the rest.
    pub fn boot(&mut self) {
        for index in 0..self.units.len() {
            if self.units[index].life.info().state == State::Idle {
                let order = self.units[index].life.boot();
                self.carry_out(index, order);
            }
        }
        let text = format!("{} servers and drivers in the archive", self.units.len());
        self.log(Level::Info, &text);
        for index in 0..self.units.len() {
            if self.units[index].life.info().state == State::Failed {
                self.log_state(index);
            }
        }
    }

    /// Carries out what a life asks for, and what follows from that at once.
    fn carry_out(&mut self, index: usize, order: Order) {
        match order {
            Order::Nothing => {}
            Order::Start if self.registry.of_unit(index).all(|s| s.held().is_some()) => {
                let next = self.launch_unit(index);
                self.carry_out(index, next);
            }
            Order::Start => {
                self.units[index].postponed = Some(time::now().saturating_add(RETURN));
            }
            Order::End if self.units[index].postponed.take().is_some() => {
                let next = self.units[index].life.gone(time::now());
                self.carry_out(index, next);
            }
            Order::End => {
                if let Some(running) = &self.units[index].task {
                    self.launcher.end(&running.port);
                }
            }
            Order::Watch => self.watch(index),
            Order::Refuse => {
                for service in self.registry.of_unit(index) {
                    service.held().map(libmach::server::discard);
                }
                self.watch(index);
            }
        }
        self.arm_clock();
    }

    /// Looks out for messages to the unit's services.
    fn watch(&self, index: usize) {
        for port in self.registry.of_unit(index).filter_map(|s| s.held()) {
            // It fails when the port is watched already.
            self.ports.idle.insert(port).ok();
        }
    }

    fn unwatch(&self, index: usize) {
        for port in self.registry.of_unit(index).filter_map(|s| s.held()) {
            // It fails when the port is not watched.
            self.ports.idle.remove(port).ok();
        }
    }

    /// Makes a unit's task.
    fn launch_unit(&mut self, index: usize) -> Order {
        self.unwatch(index);
        self.units[index].postponed = None;
        let made = self.try_launch(index);
        let unit = &mut self.units[index];
        match made {
            Ok((running, task)) => {
                unit.task = Some(running);
                unit.life.launched(time::now(), task);
                Order::Nothing
            }
            Err(failure) => {
                let order = match &failure {
                    Failure::Bad(text) => unit.life.fail(text),
                    Failure::Unlucky(text) => unit.life.unlucky(time::now(), text),
                };
                self.log_state(index);
                order
            }
        }
    }

    fn try_launch(&mut self, index: usize) -> Result<(Running, u32), Failure> {
        let rights = self.rights_of(&self.units[index].manifest.clone())?;
        let identity = self.next_identity();
        let Unit {
            manifest, program, ..
        } = &self.units[index];
        let launched = self.launcher.launch(Request {
            program,
            manifest,
            arguments: manifest.args.iter().map(|a| a.to_string()).collect(),
            rights,
            identity,
        })?;
        self.begin(&launched)?;
        let running = Running {
            port: launched.task,
            identity: launched.identity,
        };
        Ok((running, launched.index))
    }

    /// Lets a task's death be told, and the task run; ends it when that cannot be.
    fn begin(&mut self, launched: &Launched) -> Result<(), Failure> {
        let armed = arm_death(&launched.task, self.ports.notify)
            .map_err(|error| Failure::of("watch over the task", error));
        let begun = armed.and_then(|()| self.launcher.begin(&launched.thread));
        if begun.is_err() {
            self.launcher.end(&launched.task);
        }
        begun
    }

    /// The rights that a manifest names, and the name service.
    fn rights_of(&mut self, manifest: &Manifest) -> Result<Vec<(String, SendRight)>, Failure> {
        if manifest.jit {
            return Err(Failure::Bad("`jit` cannot be granted yet".into()));
        }
        let mut rights = Vec::new();
        for (label, right) in &manifest.rights {
            let made = match right {
                Right::Service(name) => self.service_right(name),
                other => self.launcher.make_right(other),
            };
            let named = |text: &str| format!("right `{label}`: {text}");
            let made = made.map_err(|failure| match &failure {
                Failure::Bad(text) => Failure::Bad(named(text)),
                Failure::Unlucky(text) => Failure::Unlucky(named(text)),
            })?;
            rights.push((label.to_string(), made));
        }
        let bootstrap = self.ports.bootstrap.duplicate();
        let bootstrap = bootstrap.map_err(|error| Failure::of("give the name service", error))?;
        rights.push((abi::start::names::BOOTSTRAP.to_string(), bootstrap.cast()));
        Ok(rights)
    }

    fn service_right(&self, name: &str) -> Result<SendRight, Failure> {
        let service = self
            .registry
            .find(name)
            .map_err(|_| Failure::Bad(format!("no manifest declares {name}")))?;
        let right = service.send_right();
        right.map_err(|error| Failure::of("copy a service's right", error))
    }

    fn next_identity(&mut self) -> u64 {
        self.last_identity += 1;
        self.last_identity
    }

    /// Whose task has this identity token.
    fn who(&mut self, identity: u64) -> Option<Who> {
        let has = |unit: &Unit| unit.task.as_ref().is_some_and(|t| t.identity == identity);
        match self.units.iter().position(has) {
            Some(index) => Some(Who::Unit(index)),
            None => self.programs.by_identity(identity).map(|_| Who::Program),
        }
    }

    /// Whether the manifest of the task with this identity token names the service.
    fn is_named(&mut self, identity: u64, service: &str) -> bool {
        let manifest = match self.who(identity) {
            Some(Who::Unit(index)) => &self.units[index].manifest,
            Some(Who::Program) => match self.programs.by_identity(identity) {
                Some(program) => &program.manifest,
                None => return false,
            },
            None => return false,
        };
        let names = |right: &Right| matches!(right, Right::Service(name) if name == service);
        manifest.rights.values().any(names)
    }

    /// The unit that declares a service.
    fn unit_of(&self, service: &str) -> Result<usize> {
        match self.registry.find(service)?.owner() {
            Owner::Unit(index) => Ok(index),
            Owner::Task(_) | Owner::Private(_) | Owner::Own => {
                Err(interfaces::bootstrap::refusal::NOT_PRIVILEGED.into())
            }
        }
    }

    /// Lets the clock fire when the next life wants to hear of the time.
    fn arm_clock(&mut self) {
        let all = self.units.iter();
        let due = all.flat_map(|unit| [unit.life.due(), unit.postponed]);
        let due = due.flatten().min().unwrap_or(u64::MAX);
        if due != self.armed && trap::timer_arm(self.ports.clock, due).is_ok() {
            self.armed = due;
        }
    }

    /// Writes to the log, unless that would mean waiting for it.
    fn log(&self, level: Level, text: &str) {
        let right = self.registry.find(LOG).and_then(|log| log.send_right());
        if let Ok(right) = right {
            let log = right.cast::<dyn Log>();
            // A full or missing log must not hold up the supervisor.
            let client = log.client();
            client.with_deadline(Duration::ZERO).write(level, text).ok();
        }
    }

    /// Says in the log where a unit is after a change, and why.
    fn log_state(&self, index: usize) {
        let info = self.units[index].life.info();
        let (level, next) = match info.state {
            State::Failed => (Level::Error, "failed".to_string()),
            State::Waiting => {
                let ms = info.next_start.saturating_sub(info.died) / 1_000_000;
                (Level::Warning, format!("starts again in {ms} ms"))
            }
            State::Starting | State::Running => (Level::Info, "starts again".to_string()),
            State::Stopped => (Level::Info, "stays stopped".to_string()),
            State::Idle => (Level::Info, "rests".to_string()),
        };
        let level = if info.cause == Cause::Order && info.state != State::Failed {
            Level::Info
        } else {
            level
        };
        let text = if info.cause == Cause::Exception && info.state == State::Waiting {
            // The exception itself was reported when it came.
            format!("{}: {next}", info.name)
        } else {
            format!("{}: {}; {next}", info.name, info.reason)
        };
        self.log(level, &text);
    }
}
