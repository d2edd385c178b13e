//! Exceptions that are handled: by a thread's, a task's and the host's handler, in all of Mach's behaviors.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use interfaces::exceptions::{ExceptionPorts, Exceptions, Raised, Setting};
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::exception::{self, MASK_ALL, behavior};
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::names::Name;
use libmach::abi::signal;
use libmach::abi::thread_state::{FLAVOR, ThreadState};
use libmach::abi::trace::wait;
use libmach::abi::vm::protection;
use libmach::{Error, Mach, ReceiveRight, Result, Runtime, SendRight};

use super::cases;
use super::pagers::{self, PAGE};
use crate::case::{Check, Verdict, World, check, equal};
use crate::child::{Child, exceptions};
use crate::raw::{self, Words};

/// Length of `ud2`.
const SKIP: u64 = 2;
/// What a handler puts into the register that it is asked about.
const ANSWER: u64 = 0x600d;
const WIDE: u32 = behavior::WIDE_CODES;

cases! { "handlers":
    "a handler repairs registers by the thread's port" => by_port,
    "a handler answers with registers" => by_answer,
    "a handler is told of a page that a pager does not have" => by_pager,
    "a handler repairs memory, and the instruction runs again" => by_memory,
    "the thread's handler is asked, then the task's, then the host's" => in_order,
    "an exception port is swapped, and told as it was set" => swapped,
    "when a handler dies in the middle, the next one is asked" => handler_dies,
    "a thread is ended, suspended and aborted while its handler thinks" => while_asked,
    "the host's handler maps exceptions to signals" => host_level,
}

type Seen = Rc<RefCell<Vec<String>>>;

/// What a handler does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    /// Lets the thread go on behind the instruction, with the answer in a register.
    Skip,
    /// Lets the next level do something.
    Refuse,
    /// Makes the page writable that the thread wrote to.
    Unprotect,
    /// Notes the codes, and ends the task.
    Tell,
    /// Ends the task, as a signal would whose action nobody changed.
    Signal,
}

/// A handler that notes under its name what it is asked.
struct Handler {
    name: &'static str,
    act: Act,
    seen: Seen,
}

fn moved_on(mut state: ThreadState) -> ThreadState {
    state.rip += SKIP;
    state.rax = ANSWER;
    state
}

impl Handler {
    fn note(&self, what: &str, raised: Raised) {
        let kind = exception::name(raised.exception);
        let line = format!("{} {what} {kind}", self.name);
        self.seen.borrow_mut().push(line);
    }

    fn refuse_or<T>(&self, answer: T) -> Result<T> {
        match self.act {
            Act::Refuse => Err(K::Failure.into()),
            _ => Ok(answer),
        }
    }
}

impl Exceptions for Handler {
    type Rights = Mach;

    async fn raise(
        &mut self,
        thread: SendRight<dyn Thread>,
        task: SendRight<dyn Task>,
        what: Raised,
    ) -> Result<()> {
        self.note("raise", what);
        match self.act {
            Act::Refuse => return Err(K::Failure.into()),
            Act::Skip => {
                let state = thread.client().get_state()?;
                thread.client().set_state(moved_on(state))?;
            }
            Act::Unprotect => {
                let page = what.subcode & !0xfff;
                let both = protection::READ | protection::WRITE;
                task.client().vm_protect(page, 4096, 0, both)?;
            }
            Act::Tell => {
                let codes = format!("{} at {:#x}", what.code, what.subcode);
                self.seen.borrow_mut().push(codes);
                task.client().terminate()?;
            }
            Act::Signal => {
                let codes = [what.code, what.subcode];
                let number = signal::of(what.exception, codes, &(0..0));
                let name = signal::name(number.ok_or(K::Failure)?);
                self.seen.borrow_mut().push(String::from(name));
                task.client().terminate()?;
            }
        }
        Ok(())
    }

    async fn raise_state(
        &mut self,
        what: Raised,
        flavor: u32,
        state: ThreadState,
    ) -> Result<ThreadState> {
        self.note("raise_state", what);
        if flavor != FLAVOR {
            return Err(K::InvalidArgument.into());
        }
        self.refuse_or(moved_on(state))
    }

    async fn raise_state_identity(
        &mut self,
        thread: SendRight<dyn Thread>,
        _: SendRight<dyn Task>,
        what: Raised,
        _: u32,
        state: ThreadState,
    ) -> Result<ThreadState> {
        self.note("raise_state_identity", what);
        // The right is to the thread that raised it: its registers are those of the message.
        let same = thread.client().get_state()? == state;
        if !same {
            return Err(K::InvalidArgument.into());
        }
        self.refuse_or(moved_on(state))
    }
}

/// Handlers that are served until a child has ended.
struct Handlers {
    runtime: Runtime,
    seen: Seen,
}

impl Handlers {
    fn new() -> Check<Self> {
        Ok(Self {
            runtime: Runtime::new()?,
            seen: Seen::default(),
        })
    }

    /// A handler's port.
    fn add(&self, name: &'static str, act: Act) -> Check<SendRight<dyn Exceptions>> {
        let port = ReceiveRight::<dyn Exceptions>::new()?;
        let right = port.make_send()?;
        let seen = Rc::clone(&self.seen);
        self.runtime.serve(port, Handler { name, act, seen })?;
        Ok(right)
    }

    /// Lets a child run, handles what it raises, and says what that was.
    fn serve(&self, child: &Child) -> Check<Vec<String>> {
        child.run()?;
        let (runtime, task) = (self.runtime.clone(), child.task.duplicate()?);
        let died = self
            .runtime
            .run_until(async move { runtime.died(&task).await });
        died??;
        Ok(self.seen.borrow_mut().drain(..).collect())
    }
}

fn set(
    ports: &SendRight<dyn ExceptionPorts>,
    handler: &SendRight<dyn Exceptions>,
    form: (u32, u32),
) -> Check {
    let handler = handler.duplicate()?.cast();
    Ok(ports.client().set(MASK_ALL, handler, form.0, form.1)?)
}

/// Raises an exception and writes down what became of the register.
extern "C" fn undefined(page: &Words, value: u64) {
    page.set(0, raw::skipped(value));
}

//
fn by_port(_: &World) -> Check {
    let handlers = Handlers::new()?;
    let child = Child::new(undefined, 1)?;
    let handler = handlers.add("task", Act::Skip)?;
    set(
        &exceptions(&child.task)?,
        &handler,
        (behavior::DEFAULT | WIDE, 0),
    )?;
    let seen = handlers.serve(&child)?;
    equal(
        "seen",
        seen,
        ["task raise EXC_BAD_INSTRUCTION".into()].into(),
    )?;
    equal("the register", child.page.get(0), ANSWER)
}

// covers: X-03 X-04
fn by_answer(_: &World) -> Check {
    for (behavior, method) in [
        (behavior::STATE, "raise_state"),
        (behavior::STATE_IDENTITY, "raise_state_identity"),
    ] {
        let handlers = Handlers::new()?;
        let child = Child::new(undefined, 1)?;
        let handler = handlers.add("thread", Act::Skip)?;
        set(
            &exceptions(&child.thread)?,
            &handler,
            (behavior | WIDE, FLAVOR),
        )?;
        let seen = handlers.serve(&child)?;
        let expected = format!("thread {method} EXC_BAD_INSTRUCTION");
        equal("seen", seen, [expected].into())?;
        equal("the register", child.page.get(0), ANSWER)?;
    }
    Ok(())
}

/// Reads a byte.
extern "C" fn read(page: &Words, address: u64) {
    page.set(0, raw::peek(address, 1)[0].into());
}

/// The pager's answer is `data_error`: the access ends as one does where there is no memory, with another code.
// covers: O-02 X-02
fn by_pager(world: &World) -> Check {
    let memory = pagers::map(world)?;
    for (address, code) in [
        (memory + pagers::SIZE + 5, K::MemoryError),
        (8, K::InvalidAddress),
    ] {
        let handlers = Handlers::new()?;
        let child = Child::new(read, address)?;
        let handler = handlers.add("task", Act::Tell)?;
        let form = (behavior::DEFAULT | WIDE, 0);
        set(&exceptions(&child.task)?, &handler, form)?;
        let told = format!("{} at {address:#x}", code.0);
        let expected = ["task raise EXC_BAD_ACCESS".into(), told];
        equal("seen", handlers.serve(&child)?, expected.into())?;
    }
    Ok(raw::deallocate(memory, pagers::SIZE + 2 * PAGE)?)
}

/// Writes to memory that may only be read.
extern "C" fn write(page: &Words, address: u64) {
    raw::protect(address, 4096, protection::READ).unwrap_or_default();
    raw::poke(address, 1, 7);
    page.set(0, raw::peek(address, 1)[0].into());
}

//
fn by_memory(_: &World) -> Check {
    let handlers = Handlers::new()?;
    let memory = raw::allocate(4096)?;
    let child = Child::new(write, memory)?;
    let handler = handlers.add("task", Act::Unprotect)?;
    set(
        &exceptions(&child.task)?,
        &handler,
        (behavior::DEFAULT | WIDE, 0),
    )?;
    let seen = handlers.serve(&child)?;
    equal("seen", seen, ["task raise EXC_BAD_ACCESS".into()].into())?;
    equal("what was written", child.page.get(0), 7)?;
    equal("this task's copy", raw::peek(memory, 1)[0], 0)?;
    Ok(raw::deallocate(memory, 4096)?)
}

/// The host's exception ports, cleared when this is dropped.
struct OfHost(SendRight<dyn ExceptionPorts>);

impl OfHost {
    fn new(world: &World) -> Check<Self> {
        Ok(Self(world.context.send_right("host-privileged")?))
    }
}

impl Drop for OfHost {
    fn drop(&mut self) {
        // There is nothing that a test could do about it.
        self.0.client().clear(MASK_ALL).ok();
    }
}

//
fn in_order(world: &World) -> Check {
    let host = OfHost::new(world)?;
    let handlers = Handlers::new()?;
    let child = Child::new(undefined, 1)?;
    let state = (behavior::STATE | WIDE, FLAVOR);
    let thread = handlers.add("thread", Act::Refuse)?;
    set(&exceptions(&child.thread)?, &thread, state)?;
    let task = handlers.add("task", Act::Refuse)?;
    set(&exceptions(&child.task)?, &task, state)?;
    set(&host.0, &handlers.add("host", Act::Skip)?, state)?;
    let seen = handlers.serve(&child)?;
    let expected = ["thread", "task", "host"];
    let expected = expected.map(|level| format!("{level} raise_state EXC_BAD_INSTRUCTION"));
    equal("seen", seen, expected.into())?;
    equal("the register", child.page.get(0), ANSWER)
}

//
fn swapped(_: &World) -> Check {
    let handlers = Handlers::new()?;
    let child = Child::new(undefined, 1)?;
    let [first, second] = [
        handlers.add("first", Act::Skip)?,
        handlers.add("second", Act::Skip)?,
    ];
    let ports = exceptions(&child.task)?;
    let none = ports.client().get(MASK_ALL, 0);
    equal("ports at first", none.err(), Some(Error::Code(K::Failure)))?;
    set(&ports, &first, (behavior::DEFAULT | WIDE, 0))?;
    let state = behavior::STATE | WIDE;
    let new = second.duplicate()?.cast();
    let (old, right) = ports.client().swap(MASK_ALL, new, state, FLAVOR)?;
    let expected = Setting {
        mask: MASK_ALL,
        behavior: behavior::DEFAULT | WIDE,
        flavor: 0,
    };
    equal("what was there", old, expected)?;
    equal("whose it was", right.name(), first.name())?;
    let (now, right) = ports.client().get(MASK_ALL, 0)?;
    equal("what is there", (now.behavior, now.flavor), (state, FLAVOR))?;
    equal("whose it is", right.name(), second.name())?;
    let seen = handlers.serve(&child)?;
    equal(
        "seen",
        seen,
        ["second raise_state EXC_BAD_INSTRUCTION".into()].into(),
    )
}

/// Takes an exception from the port under a name, and ends without an answer.
extern "C" fn dying_handler(page: &Words, name: u64) {
    let (code, message) = libmach::message::receive(Name(name as u32));
    page.set(1, code.0.into());
    page.set(0, message.id() as u32 as u64);
}

// covers: X-01 X-08
fn handler_dies(_: &World) -> Check {
    let handlers = Handlers::new()?;
    let port = ReceiveRight::<dyn Exceptions>::new()?;
    let right = port.make_send()?;
    let victim = Child::new(undefined, 1)?;
    // It has the receive right under the name that its parent had.
    let name = port.name();
    let mortal = Child::new(dying_handler, name.0.into())?;
    let given = mortal.task.client().insert_receive(name, port.cast());
    equal("name in the handler's task", given?, name)?;
    let form = (behavior::DEFAULT | WIDE, 0);
    set(&exceptions(&victim.thread)?, &right, form)?;
    set(
        &exceptions(&victim.task)?,
        &handlers.add("task", Act::Skip)?,
        form,
    )?;
    mortal.run()?;
    let seen = handlers.serve(&victim)?;
    mortal.until_gone()?;
    equal("what the first one got", mortal.page.get(0), 2405)?;
    // Its port is dead when the instruction runs again.
    equal(
        "seen",
        seen,
        ["task raise EXC_BAD_INSTRUCTION".into()].into(),
    )?;
    equal("the register", victim.page.get(0), ANSWER)
}

/// Raises breakpoints and counts those that are behind it.
extern "C" fn breakpoints(page: &Words, _: u64) {
    loop {
        raw::breakpoint();
        page.set(0, page.get(0) + 1);
    }
}

//
fn while_asked(_: &World) -> Check {
    let port = ReceiveRight::<dyn Exceptions>::new()?;
    let child = Child::new(breakpoints, 0)?;
    let handler = port.make_send()?;
    set(
        &exceptions(&child.task)?,
        &handler,
        (behavior::DEFAULT | WIDE, 0),
    )?;
    child.run()?;
    child.until_it_waits(wait::EXCEPTION)?;
    let thread = child.thread.client();
    thread.suspend()?;
    thread.resume()?;
    child.task.client().suspend()?;
    child.until_it_waits(wait::EXCEPTION)?;
    // A breakpoint is behind the thread: aborted, it goes on, once it may run.
    thread.abort()?;
    equal("breakpoints of a suspended task", child.page.get(0), 0)?;
    child.task.client().resume()?;
    child.until(0, 1)?;
    child.until_it_waits(wait::EXCEPTION)?;
    thread.terminate()?;
    equal("threads", child.task.client().info()?.threads, 0)?;
    // What the thread said is still there; nobody waits for an answer.
    equal("messages", libmach::server::discard(&port), 2)
}

/// A way to raise an exception, and the signal that POSIX has for it.
const SIGNALS: [(u64, &str); 6] = [
    (0, "SIGSEGV"),
    (1, "SIGBUS"),
    (2, "SIGILL"),
    (3, "SIGFPE"),
    (4, "SIGTRAP"),
    (5, "SIGSYS"),
];

extern "C" fn raise(_: &Words, kind: u64) {
    match kind {
        0 => drop(raw::peek(0, 1)),
        // Code may not be written.
        1 => raw::poke(raise as *const () as u64, 1, 0),
        2 => drop(raw::skipped(0)),
        3 => raw::divide_by_zero(),
        4 => raw::breakpoint(),
        _ => drop(raw::system_call(5, [0; 3])),
    }
}

//
fn host_level(world: &World) -> Check {
    let host = OfHost::new(world)?;
    for (kind, signal) in SIGNALS {
        let handlers = Handlers::new()?;
        set(
            &host.0,
            &handlers.add("host", Act::Signal)?,
            (behavior::DEFAULT | WIDE, 0),
        )?;
        let child = Child::new(raise, kind)?;
        let seen = handlers.serve(&child)?;
        let told = seen.last().map(String::as_str);
        check!(told == Some(signal), "{seen:?}, expected {signal}");
    }
    drop(host);
    let host = OfHost::new(world)?;
    let left = host.0.client().get(MASK_ALL, 0);
    match left {
        Err(Error::Code(K::Failure)) => Ok(()),
        other => Err(Verdict::Failed(format!("the host's ports: {other:?}"))),
    }
}
