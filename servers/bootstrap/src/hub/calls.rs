//! What tasks ask for: the calls of the interfaces `bootstrap` and `supervisor`.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use abi::kern_return::KernReturn;
use abi::start::FIRST_IDENTITY;
use interfaces::bootstrap::refusal;
use interfaces::bounded::{List, Text};
use interfaces::console;
use interfaces::log::Level;
use interfaces::supervisor::{Cause, Ended, Info, State};
use interfaces::task::Task;
use libmach::{ReceiveRight, Reply, Result, SendRight, abi, time};

use super::{Hub, Who, decode};
use crate::launch::{Failure, Launcher, Request};
use crate::life::{Order, Refusal};
use crate::registry::{Owner, Space, arm_death, arm_return};

impl From<Refusal> for KernReturn {
    fn from(refused: Refusal) -> Self {
        match refused {
            Refusal::Active => refusal::SERVICE_ACTIVE,
            Refusal::NotRunning => refusal::NOT_RUNNING,
        }
    }
}

impl<L: Launcher> Hub<L> {
    /// `look_up`.
    ///
    /// # Errors
    /// `UNKNOWN_SERVICE`, `SERVICE_FAILED`, `NOT_PRIVILEGED`.
    pub fn look_up(&mut self, space: Space, identity: u64, name: &str) -> Result<SendRight> {
        match self.registry.find_in(space, name)?.owner() {
            Owner::Own if !self.is_named(identity, name) => {
                return Err(refusal::NOT_PRIVILEGED.into());
            }
            Owner::Unit(index) => {
                let order = self.units[index].life.wanted();
                self.carry_out(index, order);
                if self.units[index].life.info().state == State::Failed {
                    return Err(refusal::SERVICE_FAILED.into());
                }
            }
            Owner::Own | Owner::Task(_) | Owner::Private(_) => {}
        }
        self.registry.find_in(space, name)?.send_right()
    }

    /// `check_in`.
    ///
    /// # Errors
    /// `UNKNOWN_SERVICE`, `NOT_PRIVILEGED`, `SERVICE_ACTIVE`.
    pub fn check_in(&mut self, space: Space, identity: u64, name: &str) -> Result<ReceiveRight> {
        let unit = match self.who(identity) {
            Some(Who::Unit(index)) => Some(index),
            _ => None,
        };
        let service = self.registry.to_check_in(space, name, unit)?;
        if let Some(port) = service.held() {
            arm_return(port, self.ports.notify)?;
        }
        let port = service.take().ok_or(refusal::SERVICE_ACTIVE)?;
        if let Some(index) = unit {
            self.units[index].life.checked_in(time::now());
            self.arm_clock();
        }
        Ok(port)
    }

    /// `look_up_of`.
    ///
    /// # Errors
    /// `UNKNOWN_SERVICE`.
    pub fn look_up_of(&self, space: Space, identity: u64, name: &str) -> Result<SendRight> {
        let owner = Owner::Private(identity);
        self.registry.find_of(space, owner, name)?.send_right()
    }

    /// `register` and `register_own`, as the owner says.
    ///
    /// # Errors
    /// `NAME_IN_USE`; `InvalidArgument`, also for a subset's port; `InvalidCapability` for a dead one; `NOT_PRIVILEGED`
    /// in the root from a task that nobody here started, for its end would not be noticed.
    pub fn register(
        &mut self,
        space: Space,
        owner: Owner,
        (name, port): (&str, SendRight),
    ) -> Result<()> {
        let known = port.name();
        if self.registry.spaces.has(known) {
            return Err(KernReturn::InvalidArgument.into());
        }
        let here = owner.maker().is_some_and(|maker| self.who(maker).is_some());
        if space == Space::ROOT && !here {
            return Err(refusal::NOT_PRIVILEGED.into());
        }
        let watched = port.duplicate();
        self.registry.register((space, owner), name, port)?;
        let armed = watched.and_then(|port| arm_death(&port, self.ports.notify));
        if armed.is_err() {
            self.registry.forget(known);
            return Err(KernReturn::InvalidCapability.into());
        }
        Ok(())
    }

    /// `alive`.
    pub fn alive(&mut self, identity: u64) {
        if let Some(Who::Unit(index)) = self.who(identity) {
            self.units[index].life.alive(time::now());
            self.arm_clock();
        }
    }

    /// `exiting`.
    ///
    /// # Errors
    /// `NOT_PRIVILEGED` from a task that nobody here started.
    pub fn exiting(&mut self, identity: u64, status: u64) -> Result<()> {
        match self.who(identity) {
            Some(Who::Unit(index)) => self.units[index].life.exiting(status),
            _ => self
                .programs
                .by_identity(identity)
                .ok_or(refusal::NOT_PRIVILEGED)?
                .exiting(status),
        }
        Ok(())
    }

    /// `violated`.
    ///
    /// # Errors
    /// `NOT_PRIVILEGED`, `UNKNOWN_SERVICE`.
    pub fn violated(&mut self, identity: u64, service: &str, what: &str) -> Result<()> {
        let index = self.unit_of(service)?;
        if !self.is_named(identity, service) {
            return Err(refusal::NOT_PRIVILEGED.into());
        }
        let reporter = self.name_of(identity);
        let text = format!("broke its protocol: {what} (says {reporter})");
        let order = self.units[index].life.condemn(Cause::Protocol, &text);
        self.carry_out(index, order);
        Ok(())
    }

    /// `name_of`.
    pub fn name_of(&mut self, identity: u64) -> Text<32> {
        match (identity, self.who(identity)) {
            (0, _) => Text::cut("kernel"),
            (FIRST_IDENTITY, _) => Text::cut("bootstrap"),
            (_, Some(Who::Unit(index))) => self.units[index].life.info().name,
            (_, Some(Who::Program)) => match self.programs.by_identity(identity) {
                Some(program) => Text::cut(&program.manifest.name),
                None => Text::EMPTY,
            },
            (_, None) => Text::EMPTY,
        }
    }

    /// `services`.
    pub fn services(&self, first: u32) -> List<Info, 16> {
        let mut list = List::default();
        for unit in self.units.iter().skip(first as usize) {
            if !list.push(*unit.life.info()) {
                break;
            }
        }
        list
    }

    /// `start`.
    ///
    /// # Errors
    /// `NO_SUCH_PROGRAM`, `SERVICE_ACTIVE`, `NOT_LOADED` when it has failed again at once.
    pub fn start(&mut self, name: &str) -> Result<()> {
        let index = self.named(name)?;
        let order = self.units[index].life.start().map_err(KernReturn::from)?;
        self.start_by(index, order)
    }

    /// `restart`.
    ///
    /// # Errors
    /// As [`Hub::start`] but `SERVICE_ACTIVE`.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        let index = self.named(name)?;
        let order = self.units[index].life.restart();
        self.start_by(index, order)
    }

    /// `stop`.
    ///
    /// # Errors
    /// `NO_SUCH_PROGRAM`, `NOT_RUNNING` when it is stopped already.
    pub fn stop(&mut self, name: &str) -> Result<()> {
        let index = self.named(name)?;
        let order = self.units[index].life.stop().map_err(KernReturn::from)?;
        self.unwatch(index);
        self.carry_out(index, order);
        Ok(())
    }

    /// `kill`.
    ///
    /// # Errors
    /// `NO_SUCH_PROGRAM`, `NOT_RUNNING`.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        let index = self.named(name)?;
        let order = self.units[index].life.kill().map_err(KernReturn::from)?;
        self.carry_out(index, order);
        Ok(())
    }

    fn start_by(&mut self, index: usize, order: Order) -> Result<()> {
        self.carry_out(index, order);
        match self.units[index].life.info().state {
            State::Failed => Err(refusal::NOT_LOADED.into()),
            _ => Ok(()),
        }
    }

    fn named(&self, name: &str) -> Result<usize> {
        let has_name = |unit: &super::Unit| &*unit.life.info().name == name;
        let found = self.units.iter().position(has_name);
        found.ok_or(refusal::NO_SUCH_PROGRAM.into())
    }

    /// `run`.
    ///
    /// # Errors
    /// `NO_SUCH_PROGRAM`; `NOT_LOADED`, and the log says why; `ResourceShortage`.
    pub fn run(
        &mut self,
        name: &str,
        arguments: &str,
        console: SendRight,
    ) -> Result<(u64, SendRight<dyn Task>)> {
        let program = format!("bin/{name}");
        if !manifest::is_name(name) || self.archive.file(&program).is_none() {
            return Err(refusal::NO_SUCH_PROGRAM.into());
        }
        let forgotten = self.programs.make_room()?;
        if let Some(task) = forgotten.and_then(|program| program.task) {
            self.launcher.end(&task);
        }
        let started = self.try_run(&program, name, (arguments, console));
        started.map_err(|failure| {
            self.log(Level::Error, &format!("{name}: {}", failure.text()));
            match failure {
                Failure::Bad(_) => refusal::NOT_LOADED.into(),
                Failure::Unlucky(_) => KernReturn::ResourceShortage.into(),
            }
        })
    }

    fn try_run(
        &mut self,
        program: &str,
        name: &str,
        (arguments, terminal): (&str, SendRight),
    ) -> Result<(u64, SendRight<dyn Task>), Failure> {
        let manifest = decode::of_program(&self.archive, name).map_err(Failure::Bad)?;
        let mut rights = self.rights_of(&manifest)?;
        if !rights.iter().any(|(label, _)| label == console::RIGHT) {
            rights.push((console::RIGHT.to_string(), terminal));
        }
        let mut all: Vec<_> = manifest.args.iter().map(|a| a.to_string()).collect();
        if !arguments.is_empty() {
            let given = arguments.strip_suffix('\0').unwrap_or(arguments);
            all.extend(given.split('\0').map(ToString::to_string));
        }
        let identity = self.next_identity();
        let launched = self.launcher.launch(Request {
            program,
            manifest: &manifest,
            arguments: all,
            rights,
            identity,
        })?;
        let shared = arm_death(&launched.task, self.ports.notify)
            .and_then(|()| launched.task.duplicate())
            .map_err(|error| Failure::of("share the task's port", error));
        match shared {
            Ok(port) => Ok((self.programs.add(manifest, launched), port)),
            Err(failure) => {
                self.launcher.end(&launched.task);
                Err(failure)
            }
        }
    }

    /// `wait`. A program runs only now, since it may end at once, and the control port with it which
    /// its starter is to get before.
    pub fn wait(&mut self, number: u64, reply: Reply<Ended>) {
        if let Err(reply) = self.programs.wait(number, reply) {
            reply.send(Err(refusal::NO_SUCH_PROGRAM.into()));
            return;
        }
        let Some((program, thread)) = self.programs.to_begin(number) else {
            return;
        };
        if let Err(failure) = self.launcher.begin(&thread) {
            program.terminated();
            if let Some(task) = &program.task {
                self.launcher.end(task);
            }
            let name = program.manifest.name.clone();
            self.log(Level::Error, &format!("{name}: {}", failure.text()));
        }
    }
}
