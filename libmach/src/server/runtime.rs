//! The loop of a server.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::time::Duration;

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::Name;
use abi::notify;
use abi::registers::options;
use abi::transport::{Error, Result, Serve};

use super::answer::ReplyTo;
use super::concurrent::Concurrent;
use super::inbox::{Inbox, Message, Shared, put};
use super::object::{Object, object};
use super::request::Answer;
use super::tasks::{Boxed, Tasks};
use crate::packet::{Mach, release_all};
use crate::rights::{DeadName, PortSet, ReceiveRight, SendOnce, SendRight, Untyped};
use crate::trap::Registers;
use crate::{message, trap};

/// How many handlers may wait at once. Clients choose how many calls they make, and each that waits
/// costs this task memory.
const MAX_WAITING: usize = 1024;

/// What the messages of one port go to.
enum Target {
    /// Requests.
    Object(Rc<dyn Object>),
    /// Requests to an object that ends when nobody can send to it any more.
    Exported(Rc<dyn Object>, ReceiveRight<Untyped>),
    /// A task.
    Queue(Shared),
}

/// The state of a runtime, shared with its inboxes and clients.
pub(crate) struct Inner {
    set: PortSet,
    /// By label: low half index, high half generation.
    targets: RefCell<Vec<(u32, Option<Target>)>>,
    /// The reply right of the request that is being dispatched.
    current: Cell<ReplyTo>,
    tasks: Tasks,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

/// A server's loop and everything that it serves.
#[derive(Clone, Debug)]
pub struct Runtime {
    inner: Rc<Inner>,
}

impl Runtime {
    /// A loop without ports.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn new() -> Result<Self> {
        Ok(Self {
            inner: Rc::new(Inner {
                set: PortSet::new()?,
                targets: RefCell::default(),
                current: Cell::default(),
                tasks: Tasks::default(),
            }),
        })
    }

    /// Serves interface `I` on `port` as long as the runtime lives.
    ///
    /// # Errors
    /// When the port cannot be put into the set.
    pub fn serve<I, S>(&self, port: ReceiveRight<I>, server: S) -> Result<()>
    where
        I: ?Sized + Serve<S, Mach> + 'static,
        S: 'static,
    {
        let object = object::<I, S>(server);
        self.inner.attach(&port, Target::Object(object))?;
        // The port stays as long as the task.
        port.into_name();
        Ok(())
    }

    /// Makes an object with a port of its own, which ends with the last send right to it.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn export<I, S>(&self, server: S) -> Result<SendRight<I>>
    where
        I: ?Sized + Serve<S, Mach> + 'static,
        S: 'static,
    {
        let object = object::<I, S>(server);
        let port = ReceiveRight::<Untyped>::new()?;
        let send = port.make_send()?;
        let name = port.name();
        let label = self
            .inner
            .attach_new(name, Target::Exported(object, port))?;
        if let Err(error) = arm_no_senders(name) {
            self.inner.detach(label);
            return Err(error.into());
        }
        Ok(send.cast())
    }

    /// One more send right to the object that [`Self::export`] put behind `port`.
    ///
    /// # Errors
    /// `InvalidName` when there is none any more.
    pub fn exported<I: ?Sized>(&self, port: Name) -> Result<SendRight<I>> {
        let targets = self.inner.targets.borrow();
        let own = targets.iter().find_map(|(_, target)| match target {
            Some(Target::Exported(_, own)) if own.name() == port => Some(own),
            _ => None,
        });
        let own = own.ok_or(KernReturn::InvalidName)?;
        Ok(own.make_send()?.cast())
    }

    /// Ends the object that [`Self::export`] put behind `port`, whoever holds rights to it; nothing
    /// when it has ended.
    pub fn withdraw(&self, port: Name) {
        let targets = self.inner.targets.borrow();
        let all = targets.iter().enumerate();
        let label = all.into_iter().find_map(|(index, entry)| match entry {
            (generation, Some(Target::Exported(_, own))) if own.name() == port => {
                Some(index as u64 | u64::from(*generation) << 32)
            }
            _ => None,
        });
        drop(targets);
        if let Some(label) = label {
            self.inner.detach(label);
        }
    }

    /// A new port whose messages a task reads.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub fn inbox(&self) -> Result<Inbox> {
        self.listen(ReceiveRight::<Untyped>::new()?)
    }

    /// Reads the messages of `port` in a task.
    ///
    /// # Errors
    /// When the port cannot be put into the set.
    pub fn listen<I: ?Sized>(&self, port: ReceiveRight<I>) -> Result<Inbox> {
        Inbox::new(Rc::clone(&self.inner), port.cast())
    }

    /// Runs a future beside the handlers.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let task = async move {
            future.await;
            Answer::None
        };
        self.inner.tasks.add(Box::pin(task), ReplyTo::Nobody);
    }

    /// Waits for `duration` while the loop goes on.
    ///
    /// # Errors
    /// When the task may have no more names.
    pub async fn sleep(&self, duration: Duration) -> Result<()> {
        let inbox = self.inbox()?;
        trap::timer_arm(inbox.name(), crate::time::deadline(duration))?;
        while inbox.next().await.id != notify::pending::TIMER {}
        Ok(())
    }

    /// Waits until the port behind `right` is dead. One task at a time can: a later one takes the
    /// notification over.
    ///
    /// # Errors
    /// When the notification cannot be armed; [`Error::Aborted`] when it was taken over.
    pub async fn died<I: ?Sized>(&self, right: &SendRight<I>) -> Result<()> {
        let inbox = self.inbox()?;
        // 1: when it is dead already, fire now.
        let name = right.name();
        let former = trap::port_request_notification(name, notify::DEAD_NAME, 1, inbox.name())?;
        // Dropped, it tells whoever waited before.
        drop(SendOnce::<Untyped>::from_name(former));
        loop {
            match inbox.next().await.id {
                notify::DEAD_NAME => break,
                notify::SEND_ONCE => return Err(Error::Aborted),
                _ => {}
            }
        }
        // The notification brought one more reference of the dead name.
        drop(DeadName::from_name(name));
        Ok(())
    }

    /// Calls through `right` that do not stop the loop.
    pub fn concurrent<'a, I>(&self, right: &'a SendRight<I>) -> I::Client<Concurrent<'a>>
    where
        I: ?Sized + abi::transport::Interface,
    {
        I::client(Concurrent::new(self.clone(), right.name()))
    }

    /// Serves until receiving fails.
    ///
    /// # Errors
    /// [`Error::NotReceived`] with the code of the receive.
    pub fn run(&self) -> Result<()> {
        self.run_while(|| true)
    }

    /// Serves until `work`, which runs beside the handlers, has ended; gives its result.
    ///
    /// # Errors
    /// [`Error::NotReceived`] with the code of a receive that failed before.
    pub fn run_until<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Result<T> {
        let result = Rc::new(RefCell::new(None));
        let place = Rc::clone(&result);
        self.spawn(async move {
            let value = work.await;
            *place.borrow_mut() = Some(value);
        });
        self.run_while(|| result.borrow().is_none())?;
        result.take().ok_or(Error::Aborted)
    }

    /// Serves as long as `wanted` says so, which is asked whenever tasks have run.
    #[inline(always)]
    fn run_while(&self, wanted: impl Fn() -> bool) -> Result<()> {
        let mut sending = None;
        loop {
            if self.inner.tasks.any_woken() {
                if let Some((answer, to)) = sending.take() {
                    ReplyTo::send(to, answer);
                }
                self.inner.tasks.run();
                if !wanted() {
                    return Ok(());
                }
            }
            let (code, registers) = self.inner.exchange(sending);
            if code == MessageReturn::Success {
                sending = self.inner.deliver(&registers);
                continue;
            }
            // A copy: a reference to `registers` itself would make every round spill them.
            let back = registers;
            if let Some((answer, to)) = sending.take() {
                to.settle(code, &back, answer);
            }
            not_received(code, &back)?;
        }
    }
}

/// What a failed receive means for the loop: go on, or end when the next one fails too.
#[cold]
#[inline(never)]
pub(crate) fn not_received(code: MessageReturn, registers: &Registers) -> Result<()> {
    match code.without_resources() {
        // It came without some of its rights or memory: nothing a handler could rely on.
        MessageReturn::ReceiveBodyError => {
            release_all(registers);
            Ok(())
        }
        MessageReturn::ReceiveInvalidName | MessageReturn::ReceivePortDied => {
            Err(Error::NotReceived(code))
        }
        _ => Ok(()),
    }
}

/// Lets the object's own port hear when nobody can send to it.
fn arm_no_senders(port: Name) -> trap::Outcome<()> {
    let made = trap::port_get_attribute(port, abi::trap::attribute::MAKE_SEND_COUNT)?;
    let old = trap::port_request_notification(port, notify::NO_SENDERS, made as u32, port)?;
    drop(SendOnce::<Untyped>::from_name(old));
    Ok(())
}

impl Inner {
    /// Sends the answer, if there is one, and receives on the set: one trap.
    #[inline(always)]
    fn exchange(&self, sending: Option<(Answer, ReplyTo)>) -> (MessageReturn, Registers) {
        let set = self.set.name();
        if let Some((answer, to)) = sending
            && let Some(registers) = to.registers(answer, options::RECEIVE)
        {
            return message::exchange(registers.receiving_on(set));
        }
        message::receive(set)
    }

    fn attach<I: ?Sized>(&self, port: &ReceiveRight<I>, target: Target) -> Result<u64> {
        self.attach_new(port.name(), target)
    }

    pub(crate) fn attach_queue<I: ?Sized>(
        &self,
        port: &ReceiveRight<I>,
        queue: Shared,
    ) -> Result<u64> {
        self.attach(port, Target::Queue(queue))
    }

    /// Enters a target and lets the port's label lead to it.
    fn attach_new(&self, port: Name, target: Target) -> Result<u64> {
        let label = {
            let mut targets = self.targets.borrow_mut();
            let index = match targets.iter().position(|(_, target)| target.is_none()) {
                Some(index) => index,
                None => {
                    targets.push((0, None));
                    targets.len() - 1
                }
            };
            targets[index].1 = Some(target);
            index as u64 | u64::from(targets[index].0) << 32
        };
        let done = trap::port_set_label(port, label)
            .and_then(|()| trap::port_insert_member(port, self.set.name()));
        if let Err(code) = done {
            self.detach(label);
            return Err(code.into());
        }
        Ok(label)
    }

    /// Forgets a target; messages that are still under way to it are released.
    pub(crate) fn detach(&self, label: u64) {
        let gone = {
            let mut targets = self.targets.borrow_mut();
            let Some(entry) = targets.get_mut(label as u32 as usize) else {
                return;
            };
            if u64::from(entry.0) != label >> 32 {
                return;
            }
            entry.0 = entry.0.wrapping_add(1);
            entry.1.take()
        };
        drop(gone);
    }

    /// Brings a message to its target; answers with what is to be sent at once.
    #[inline(always)]
    fn deliver(&self, registers: &Registers) -> Option<(Answer, ReplyTo)> {
        let label = registers.label();
        let object = {
            let targets = self.targets.borrow();
            match targets.get(label as u32 as usize) {
                Some((generation, Some(target))) if u64::from(*generation) == label >> 32 => {
                    match target {
                        Target::Object(object) => Rc::clone(object),
                        Target::Exported(object, _) => {
                            let object = Rc::clone(object);
                            drop(targets);
                            if registers.id() == notify::NO_SENDERS {
                                self.no_senders(label);
                                drop(Message::new(registers));
                                return None;
                            }
                            object
                        }
                        Target::Queue(queue) => {
                            let queue = Rc::clone(queue);
                            drop(targets);
                            put(&queue, Message::new(registers));
                            return None;
                        }
                    }
                }
                _ => {
                    // Its target has ended: released, and the sender learns it.
                    release_all(registers);
                    return None;
                }
            }
        };
        self.dispatch(&*object, registers)
    }

    #[inline(always)]
    fn dispatch(&self, object: &dyn Object, registers: &Registers) -> Option<(Answer, ReplyTo)> {
        self.current.set(ReplyTo::of(registers));
        let answer = object.deliver(self, registers);
        match (answer, self.current.take()) {
            (Answer::None, ReplyTo::Nobody) => None,
            sending => Some(sending),
        }
    }

    /// Lets the current request's handler wait, and its reply right with it; says whether it may.
    pub(crate) fn wait(&self, handler: Boxed) -> bool {
        if self.tasks.len() >= MAX_WAITING {
            return false;
        }
        self.tasks.add(handler, self.take_reply());
        true
    }

    /// Takes the current request's reply right, to be used after the next receive.
    pub(crate) fn take_reply(&self) -> ReplyTo {
        self.current.take().kept()
    }

    /// A no-senders message came. Anybody may send one: only the count is believed.
    #[cold]
    fn no_senders(&self, label: u64) {
        let port = match self.targets.borrow().get(label as u32 as usize) {
            Some((_, Some(Target::Exported(_, port)))) => port.name(),
            _ => return,
        };
        match trap::port_get_attribute(port, abi::trap::attribute::SEND_RIGHTS) {
            Ok(0) => self.detach(label),
            // Forged, or a new right was made meanwhile: listen on.
            _ => crate::ignore(arm_no_senders(port)),
        }
    }
}
