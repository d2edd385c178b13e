//! The two interfaces, and the loops that bring events to the hub.

use alloc::rc::Rc;
use core::cell::RefCell;

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition};
use abi::notify::pending;
use abi::registers::{Shape, options, pair, send_word};
use archive::Archive;
use interfaces::bootstrap::Bootstrap;
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

/// Id of the messages by which the watching thread tells of a first message; word 0: the port.
const ARRIVED: i32 = 4090;

/// Serves `bootstrap` on `port`, starts everything of the archive, and goes on until receiving fails.
/// `launcher` is made of the port where exceptions go.
///
/// # Errors
/// When ports or the watching thread cannot be made, or receiving fails.
pub fn serve<L: Launcher>(
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
    on(notify, Hub::notified);
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
    runtime.spawn(attend(runtime.clone(), Rc::clone(&hub), exceptions));
    runtime.serve(port, Names(Rc::clone(&hub)))?;
    runtime.serve(supervisor, Orders(Rc::clone(&hub)))?;
    hub.borrow_mut().boot();
    runtime.run()
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

/// The name service.
struct Names<L>(Shared<L>);

impl<L: Launcher> Bootstrap for Names<L> {
    type Rights = Mach;

    async fn look_up(&self, caller: Caller, service: &str) -> Result<SendRight> {
        self.0.borrow_mut().look_up(caller.identity, service)
    }

    async fn check_in(&mut self, caller: Caller, service: &str) -> Result<ReceiveRight> {
        self.0.borrow_mut().check_in(caller.identity, service)
    }

    async fn register(&mut self, _: Caller, service: &str, port: SendRight) -> Result<()> {
        self.0.borrow_mut().register(service, port)
    }

    async fn alive(&mut self, caller: Caller) {
        self.0.borrow_mut().alive(caller.identity);
    }

    async fn exiting(&mut self, caller: Caller, status: u64) -> Result<()> {
        self.0.borrow_mut().exiting(caller.identity, status)
    }

    async fn violated(&mut self, caller: Caller, service: &str, what: &str) -> Result<()> {
        self.0.borrow_mut().violated(caller.identity, service, what)
    }

    async fn name_of(&self, identity: u64) -> Result<Text<32>> {
        Ok(self.0.borrow_mut().name_of(identity))
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
