//! Programs in C: the client runs its cases (`initrd/tally-client`), and this program calls the server
//! (`servers/tally`) itself.

use alloc::sync::Arc;

use interfaces::bootstrap::Bootstrap;
use interfaces::supervisor::{End, Ended};
use interfaces::tally::{DIGESTED, Tally};
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::trace::wait;
use libmach::sync::Mutex;
use libmach::{Error, ReceiveRight, SendRight, Untyped, message, ms, thread, time, trap};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};
use crate::child::Child;
use crate::raw::Words;

cases! { "c":
    "a program starts with its arguments and rights" => start,
    "a client in C calls a server in C" => calls,
    "a client in C calls a server in Rust, and the kernel" => others,
    "memory and a right travel between them" => digest,
    "a client learns that its server died in the call" => death,
    "timeouts end sends and receives" => timeouts,
    "a message that is too large waits or is destroyed" => large,
    "trailers tell number, sender and label" => trailers,
    "what is no message is refused" => refusals,
    "rights come and go in an array" => array,
    "ports' rights, sets and attributes" => ports,
    "notifications have their classic layout" => notifications,
    "memory is allocated, protected and mapped" => memory,
    "names are looked up and registered" => names,
    "subsets of the name service end with their requestor" => subsets,
    "another task's memory is read, written, shared and described" => spaces,
    "another task is suspended, given ports and rights, and ended" => tasks,
    "semaphores are waited for and signalled" => semaphores,
    "a program has threads, each with its reply port" => threads,
    "a program handles its threads' exceptions" => exceptions,
    "clocks and timers" => clocks,
    "what tasks and threads tell, and wired memory" => info,
    "a thread that is depressed for no time gives way until its next turn" => depressed,
    "an interrupted receive goes on" => restarted,
    "an interrupted receive ends for whoever asks for it" => interrupted,
    "a client in Rust calls a server in C" => rust_calls,
    "a client in Rust sends it memory and a right" => rust_digest,
    "a client in Rust learns that it died" => rust_death,
    "a client in Rust is told of an id that it does not know" => rust_bad_id,
}

/// How long the client may take to get somewhere: only a system that hangs takes longer.
const PATIENCE: u64 = 30_000;

/// Starts the client; answers its number at the supervisor, and its task.
fn run(world: &World, arguments: &str) -> Check<(u64, SendRight<dyn Task>)> {
    let console = world.console.duplicate()?.cast();
    let supervisor = world.supervisor()?;
    // What it writes begins with '#': a remark to TAP.
    Ok(supervisor
        .client()
        .run("tally-client", arguments, console)?)
}

const fn exit(status: u64) -> Ended {
    Ended {
        how: End::Exited,
        value: status,
        signal: 0,
    }
}

macro_rules! client {
    ($($function:ident => $case:literal, $status:literal;)+) => {$(
        fn $function(world: &World) -> Check {
            let (number, _task) = run(world, $case)?;
            let ended = world.supervisor()?.client().wait(number)?;
            equal("end of the client", ended, exit($status))
        }
    )+};
}

client! {
    start => "start\0two words\0three", 3;
    // covers: G-01
    calls => "calls", 0;
    others => "others", 0;
    // covers: M-21 M-23 M-36
    digest => "digest", 0;
    // covers: B-05 G-03 N-07
    death => "death", 0;
    // covers: M-10 M-32
    timeouts => "timeouts", 0;
    // covers: M-33
    large => "large", 0;
    // covers: M-35 P-38
    trailers => "trailers", 0;
    // covers: M-01 M-06 M-07 M-08 M-30 M-32
    refusals => "refusals", 0;
    // covers: M-24
    array => "array", 0;
    // covers: P-10 P-13 P-31 P-32 P-33 P-38
    ports => "ports", 0;
    // covers: N-02 N-03 N-05
    notifications => "notifications", 0;
    // covers: V-01 V-03
    memory => "memory", 0;
    // covers: B-01 B-02
    names => "names", 0;
    // covers: B-04
    subsets => "subsets", 0;
    // covers: V-04 V-05 V-07 V-08 V-14
    spaces => "spaces", 0;
    // covers: P-14 P-15 P-16 T-02 T-03 T-04 T-06
    tasks => "tasks", 0;
    // covers: K-03
    semaphores => "semaphores", 0;
    // covers: M-38 T-07 T-08
    threads => "threads", 0;
    // covers: X-03 X-04 X-05 X-06
    exceptions => "exceptions", 0;
    // covers: H-03 K-01 K-02
    clocks => "clocks", 0;
    // covers: H-01 T-05 T-10 V-12
    info => "info", 0;
}

/// Runs `step` until it answers something; others run meanwhile.
fn patiently<T>(what: &str, mut step: impl FnMut() -> Check<Option<T>>) -> Check<T> {
    let end = time::deadline(ms(PATIENCE));
    loop {
        if let Some(found) = step()? {
            return Ok(found);
        }
        check!(time::now() < end, "waited in vain for {what}");
        trap::thread_switch(Name::NULL, 0, 0)?;
    }
}

/// Runs the client with `act` beside it; it must end with status 0.
fn beside(world: &World, case: &str, act: impl FnOnce() -> Check) -> Check {
    let (number, task) = run(world, case)?;
    let supervisor = world.supervisor()?;
    let ended = Arc::new(Mutex::new(None));
    let theirs = Arc::clone(&ended);
    // The client runs from this call on.
    let waiting = thread::spawn(move || {
        *theirs.lock() = Some(supervisor.client().wait(number));
    })?;
    let acted = act();
    if acted.is_err() {
        // It fails when the client has ended already, which is what is wanted.
        task.client().terminate().unwrap_or_default();
    }
    waiting.join();
    acted?;
    let ended = ended.lock().take();
    equal("end of the client", ended, Some(Ok(exit(0))))
}

/// Counts its turns.
extern "C" fn counts(page: &Words, _: u64) {
    loop {
        page.set(0, page.get(0) + 1);
        trap::swtch();
    }
}

// covers: T-11
fn depressed(world: &World) -> Check {
    let names: SendRight<dyn Bootstrap> = world.context.send_right("bootstrap")?;
    let done = ReceiveRight::<Untyped>::new()?;
    beside(world, "depressed", || {
        let child = Child::new(counts, 0)?;
        child.thread.client().set_priority(1, 1)?;
        child.run()?;
        // Where there is one CPU, the child has turns only while the client has a lower priority.
        let end = time::deadline(ms(PATIENCE));
        while child.page.get(0) < 100 {
            check!(time::now() < end, "the child has no turns");
            time::sleep(ms(1));
        }
        let entered = names.client().register("depressed-done", done.make_send()?);
        Ok(entered.map_err(Error::from)?)
    })
}

/// Interrupts the client where it waits for a message; answers its port.
fn interrupt(world: &World, names: [&str; 2]) -> Check<SendRight<Untyped>> {
    let port = patiently("the client's port", || {
        match world.context.look_up_right::<Untyped>(names[1]) {
            Ok(port) => Ok(Some(port)),
            Err(Error::NoService) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })?;
    let thread = world.context.look_up_right::<dyn Thread>(names[0])?;
    patiently("the client to receive", || {
        let state = thread.client().info()?.state;
        Ok((state == wait::RECEIVE).then_some(()))
    })?;
    thread.client().abort()?;
    Ok(port)
}

// covers: M-11
fn restarted(world: &World) -> Check {
    beside(world, "restarted", || {
        let port = interrupt(world, ["restarted-thread", "restarted-port"])?;
        let words = [51, 0, 0, 0, 0, 0];
        let code = message::send(port.name(), disposition::COPY_SEND, 50, Shape::SHORT, words);
        equal("send", code, MessageReturn::Success)
    })
}

// covers: M-11
fn interrupted(world: &World) -> Check {
    beside(world, "interrupted", || {
        interrupt(world, ["interrupted-thread", "interrupted-port"]).map(drop)
    })
}

fn rust_calls(world: &World) -> Check {
    let tally = world.context.look_up::<dyn Tally>()?;
    let before = tally.value()?;
    equal("sum", tally.add(7)?, before + 7)?;
    let refused = tally.add(u64::MAX);
    equal("overflow", refused, Err(KernReturn::InvalidArgument.into()))?;
    equal("sum", tally.value()?, before + 7)
}

fn rust_digest(world: &World) -> Check {
    let tally = world.context.look_up::<dyn Tally>()?;
    let told = ReceiveRight::<Untyped>::new()?;
    let data = alloc::vec![3; 10_000];
    equal("answer", tally.digest(&data, told.make_send()?)?, 30_000)?;
    let (code, found) = message::receive_until(told.name(), 0);
    equal("receive", code, MessageReturn::Success)?;
    equal(
        "id and sum",
        (found.id(), found.words[0]),
        (DIGESTED, 30_000),
    )?;
    // The server used the right up with its message.
    equal("send rights", told.send_rights()?, 0)
}

// covers: B-05 G-03
fn rust_death(world: &World) -> Check {
    let tally = world.context.look_up::<dyn Tally>()?;
    tally.add(1)?;
    let died = Err(Error::ServerDied {
        maybe_executed: true,
    });
    equal("death", tally.die(), died)?;
    equal("sum of the next instance", tally.value()?, 0)
}

// covers: G-02
fn rust_bad_id(world: &World) -> Check {
    let tally = world
        .context
        .look_up_right::<dyn Tally>("org.mello.tally")?;
    let (code, answer) = message::call(tally.name(), 4599, [0; 6]);
    equal("call", code, MessageReturn::Success)?;
    if answer.words[0] == u64::from(KernReturn::MigBadId.0) {
        Ok(())
    } else {
        Err(Verdict::Failed(alloc::format!("{:#x}", answer.words[0])))
    }
}
