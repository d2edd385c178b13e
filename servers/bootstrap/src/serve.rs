//! The two interfaces, and the loops that bring events to the hub.

use alloc::rc::Rc;
use core::cell::RefCell;

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::notify::pending;
use abi::registers::{Shape, options, pair, send_word};
use archive::Archive;
use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::bounded::{List, Text};
use interfaces::supervisor::{Ended, Info, Supervisor};
use interfaces::task::Task;
use libmach::server::{Inbox, Message};
use libmach::trap::Registers;
use libmach::{
    Caller, Mach, PortSet, ReceiveRight, Reply, Result, Runtime, SendRight, abi, message, thread,
    trap,
};

use crate::hub::{Hub, Ports, Shared};
use crate::launch::Launcher;
use crate::registry::{Face, Owner, Space};

/// Id of the messages by which the watching thread tells of a first message; word 0: the port.
const ARRIVED: i32 = 4090;

/// Serves `bootstrap` on `port`, starts everything of the archive, and goes on until receiving fails.
/// `launcher` is made of the port where exceptions go.
///
/// # Errors
/// When ports or the watching thread cannot be made, or receiving fails.
pub fn serve<L: Launcher + 'static>(
    archive: &Rc<Archive>,
    port: ReceiveRight<dyn Bootstrap>,
    launcher: impl FnOnce(SendRight) -> Result<L>,
) -> Result<()> {
    let runtime = Runtime::new()?;
    let supervisor = ReceiveRight::<dyn Supervisor>::new()?;
    let [notify, clock, exceptions, arrivals] = [
        runtime.inbox()?,
        runtime.inbox()?,
        runtime.inbox()?,
        runtime.inbox()?,
    ];
    let ports = Ports {
        notify: notify.name(),
        clock: clock.name(),
        idle: PortSet::new()?,
        bootstrap: port.make_send()?,
    };
    watch(&ports.idle, arrivals.port().make_send()?)?;
    let launcher = launcher(exceptions.port().make_send()?)?;
    let own = supervisor.make_send()?.cast();
    let hub = Hub::new(archive, launcher, ports, own)?;
    let hub = Rc::new(RefCell::new(hub));
    let on = |inbox: Inbox, event: fn(&mut Hub<L>, Message)| {
        let hub = Rc::clone(&hub);
        runtime.spawn(async move {
            loop {
                let message = inbox.next().await;
                event(&mut hub.borrow_mut(), message);
            }
        });
    };
    on(clock, |hub, message| {
        if message.id == pending::TIMER {
            hub.ticked();
        }
    });
    on(arrivals, |hub, message| {
        if message.id == ARRIVED {
            hub.arrived(Name(message.word() as u32));
        }
    });
    runtime.spawn(take_notice(runtime.clone(), Rc::clone(&hub), notify));
    runtime.spawn(attend(runtime.clone(), Rc::clone(&hub), exceptions));
    let names = Names {
        hub: Rc::clone(&hub),
        runtime: runtime.clone(),
        space: Space::ROOT,
        face: Face::Full,
    };
    runtime.serve(port, names)?;
    runtime.serve(supervisor, Orders(Rc::clone(&hub)))?;
    hub.borrow_mut().boot();
    runtime.run()
}

/// Takes notifications, and ends the ports of subsets that end with them.
async fn take_notice<L: Launcher>(runtime: Runtime, hub: Shared<L>, notify: Inbox) {
    loop {
        let message = notify.next().await;
        let ended = hub.borrow_mut().notified(message);
        // Only now: the objects behind them ask the hub as they end.
        for port in ended {
            runtime.withdraw(port);
        }
    }
}

/// Takes exceptions. While the reporter is asked about one, the others are taken.
async fn attend<L: Launcher>(runtime: Runtime, hub: Shared<L>, exceptions: Inbox) {
    loop {
        let message = exceptions.next().await;
        let Some(inquiry) = hub.borrow_mut().raised(message) else {
            continue;
        };
        let (on, hub) = (runtime.clone(), Rc::clone(&hub));
        runtime.spawn(async move {
            let (inquiry, filed) = inquiry.ask(&on).await;
            hub.borrow_mut().reported(&inquiry, filed.as_ref());
        });
    }
}

/// Starts the thread that looks at the ports of `idle` without taking anything out of them. A port
/// that has a message leaves the set, and `to` is told.
///
/// A thread of its own, because a set can only be peeked at or received from, and sets do not nest.
fn watch(idle: &PortSet, to: SendRight) -> Result<()> {
    let set = idle.name();
    let peek = Registers {
        word: send_word(options::RECEIVE | options::PEEK, 0, 0, Shape::SHORT),
        receive: pair(set.0, 0),
        ..Registers::default()
    };
    thread::spawn(move || {
        loop {
            let (code, found) = message::exchange(peek);
            match code {
                MessageReturn::Success => {}
                MessageReturn::ReceiveInvalidName | MessageReturn::ReceivePortDied => return,
                _ => continue,
            }
            let port = found.local();
            // It fails when the port was handed to its server meanwhile; the hub sorts that out.
            trap::port_extract_member(port, set).ok();
            let words = [u64::from(port.0), 0, 0, 0, 0, 0];
            let how = disposition::COPY_SEND;
            if message::send(to.name(), how, ARRIVED, Shape::SHORT, words) != MessageReturn::Success
            {
                return;
            }
        }
    })?;
    Ok(())
}

/// The name service: one face of a namespace. It ends with its port, and a subset with its full face.
struct Names<L: Launcher> {
    hub: Shared<L>,
    runtime: Runtime,
    space: Space,
    face: Face,
}

impl<L: Launcher> Names<L> {
    /// Refuses what an unprivileged port does not allow.
    fn full(&self) -> Result<()> {
        match self.face {
            Face::Full => Ok(()),
            Face::Unprivileged => Err(refusal::NOT_PRIVILEGED.into()),
        }
    }

    /// Makes the port of a namespace's face.
    fn open(&self, space: Space, face: Face) -> Result<SendRight<dyn Bootstrap>>
    where
        L: 'static,
    {
        let names = Self {
            hub: Rc::clone(&self.hub),
            runtime: self.runtime.clone(),
            space,
            face,
        };
        let port = self.runtime.export::<dyn Bootstrap, _>(names)?;
        self.hub.borrow_mut().opened(space, face, port.name());
        Ok(port)
    }
}

impl<L: Launcher> Drop for Names<L> {
    fn drop(&mut self) {
        let ended = self.hub.borrow_mut().closed(self.space, self.face);
        for port in ended {
            self.runtime.withdraw(port);
        }
    }
}

impl<L: Launcher + 'static> Bootstrap for Names<L> {
    type Rights = Mach;

    async fn look_up(&self, caller: Caller, service: &str) -> Result<SendRight> {
        let mut hub = self.hub.borrow_mut();
        hub.look_up(self.space, caller.identity, service)
    }

    async fn check_in(&mut self, caller: Caller, service: &str) -> Result<ReceiveRight> {
        self.full()?;
        let mut hub = self.hub.borrow_mut();
        hub.check_in(self.space, caller.identity, service)
    }

    async fn register(&mut self, caller: Caller, service: &str, port: SendRight) -> Result<()> {
        self.full()?;
        let mut hub = self.hub.borrow_mut();
        hub.register(self.space, Owner::Task(caller.identity), (service, port))
    }

    async fn alive(&mut self, caller: Caller) {
        self.hub.borrow_mut().alive(caller.identity);
    }

    async fn exiting(&mut self, caller: Caller, status: u64) -> Result<()> {
        self.hub.borrow_mut().exiting(caller.identity, status)
    }

    async fn violated(&mut self, caller: Caller, service: &str, what: &str) -> Result<()> {
        self.full()?;
        let mut hub = self.hub.borrow_mut();
        hub.violated(caller.identity, service, what)
    }

    async fn name_of(&self, identity: u64) -> Result<Text<32>> {
        Ok(self.hub.borrow_mut().name_of(identity))
    }

    async fn subset(
        &mut self,
        caller: Caller,
        requestor: SendRight,
    ) -> Result<SendRight<dyn Bootstrap>> {
        self.full()?;
        let mut hub = self.hub.borrow_mut();
        let space = hub.subset(self.space, caller.identity, requestor)?;
        drop(hub);
        self.open(space, Face::Full)
    }

    async fn parent(&self, caller: Caller) -> Result<SendRight<dyn Bootstrap>> {
        self.full()?;
        let mut hub = self.hub.borrow_mut();
        let space = hub.parent(caller.identity, self.space)?;
        match hub.port_of(space, Face::Full) {
            Some(port) => self.runtime.exported(port),
            None => hub.root(),
        }
    }

    async fn unprivileged(&self) -> Result<SendRight<dyn Bootstrap>> {
        let port = self.hub.borrow().port_of(self.space, Face::Unprivileged);
        match port {
            Some(port) => self.runtime.exported(port),
            None => self.open(self.space, Face::Unprivileged),
        }
    }

    async fn register_own(&mut self, caller: Caller, service: &str, port: SendRight) -> Result<()> {
        self.full()?;
        let owner = Owner::Private(caller.identity);
        let mut hub = self.hub.borrow_mut();
        hub.register(self.space, owner, (service, port))
    }

    async fn look_up_of(&self, identity: u64, service: &str) -> Result<SendRight> {
        let hub = self.hub.borrow();
        hub.look_up_of(self.space, identity, service)
    }
}

/// The supervisor.
struct Orders<L>(Shared<L>);

impl<L: Launcher> Supervisor for Orders<L> {
    type Rights = Mach;

    async fn services(&self, first: u32) -> Result<List<Info, 16>> {
        Ok(self.0.borrow().services(first))
    }

    async fn start(&mut self, name: &str) -> Result<()> {
        self.0.borrow_mut().start(name)
    }

    async fn stop(&mut self, name: &str) -> Result<()> {
        self.0.borrow_mut().stop(name)
    }

    async fn kill(&mut self, name: &str) -> Result<()> {
        self.0.borrow_mut().kill(name)
    }

    async fn restart(&mut self, name: &str) -> Result<()> {
        self.0.borrow_mut().restart(name)
    }

    async fn run(
        &mut self,
        program: &str,
        arguments: &str,
        console: SendRight,
    ) -> Result<(u64, SendRight<dyn Task>)> {
        self.0.borrow_mut().run(program, arguments, console)
    }

    async fn wait(&mut self, program: u64, reply: Reply<Ended>) {
        self.0.borrow_mut().wait(program, reply);
    }
}
