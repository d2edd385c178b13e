//! Calls between this task and others: the echo server and the kernel.

use alloc::sync::Arc;

use interfaces::echo::Echo;
use interfaces::host::Host;
use interfaces::supervisor::Ended;
use interfaces::task::{FIRST_THREAD, Task};
use interfaces::vm::Vm;
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::right;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::vm::flags;
use libmach::sync::Mutex;
use libmach::{Error, ReceiveRight, SendRight, Untyped, message, ms, thread, time, trap};

use super::{cases, own};
use crate::case::{Check, World, check, equal};

cases! { "calls":
    "a call answers" => echo,
    "state lies in the server" => add,
    "a call with a deadline answers" => with_deadline,
    "a server that is silent ends a call at its deadline" => silent,
    "a call to a dead port was not executed" => dead,
    "a request that is none is refused" => bad_id,
    "the kernel's objects answer like servers" => kernel,
    "what needs a privilege is refused" => privileged,
    "texts, bytes, memory, rights and arrays of them go and come" => kinds,
    "an answer that comes later keeps no other caller waiting" => deferred,
}

fn server(world: &World) -> Check<SendRight<dyn Echo>> {
    Ok(world.context.send_right("echo")?)
}

fn echo(world: &World) -> Check {
    let echo = server(world)?;
    for value in [0, 1, u64::MAX].into_iter().chain(2..200) {
        equal("answer", echo.client().echo(value), Ok(value))?;
    }
    Ok(())
}

fn add(world: &World) -> Check {
    let echo = server(world)?;
    let before = echo.client().add(0)?;
    echo.client().add(5)?;
    equal("sum", echo.client().add(6)?, before.wrapping_add(11))
}

fn with_deadline(world: &World) -> Check {
    let echo = server(world)?;
    let answer = echo.client().with_deadline(ms(10_000)).echo(3);
    equal("answer", answer, Ok(3))
}

fn silent(_: &World) -> Check {
    let port = ReceiveRight::<dyn Echo>::new()?;
    let send = port.make_send()?;
    let answer = send.client().with_deadline(ms(3)).echo(1);
    equal("answer", answer, Err(Error::TimedOut))
}

fn dead(_: &World) -> Check {
    let port = ReceiveRight::<dyn Echo>::new()?;
    let send = port.make_send()?;
    drop(port);
    let expected = Error::ServerDied {
        maybe_executed: false,
    };
    equal("answer", send.client().add(1), Err(expected))
}

fn bad_id(world: &World) -> Check {
    let echo = server(world)?;
    let (_, reply) = message::call(echo.name(), 4299, [0; 6]);
    let code = KernReturn(reply.words[0] as u32);
    equal("code", (reply.id(), code), (4399, KernReturn::MigBadId))
}

fn kernel(_: &World) -> Check {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let info = host.client().info()?;
    check!(info.cpus >= 1, "{info:?}");
    check!(info.free_pages < info.pages, "{info:?}");
    let task = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let own = task.client().info()?;
    equal("name", own.name.as_str(), "tests")?;
    check!(own.threads >= 1, "{own:?}");
    let ledger = task.client().ledger()?;
    check!(ledger.used.pages <= ledger.limits.pages, "{ledger:?}");
    check!(ledger.used.pages > 0, "{ledger:?}");
    Ok(())
}

// covers: G-04
fn kinds(_: &World) -> Check {
    const LIMITS: Limits = Limits {
        names: 16,
        messages: 4,
        threads: 2,
        pages: 16,
        kernel_bytes: 1 << 16,
    };
    let own = own()?;
    let child = own.client().create(LIMITS, 0, 0)?;
    child.client().set_name("a name")?;
    let name = child.client().info()?.name;
    equal("text", name.as_str(), "a name")?;
    let address = child.client().vm_allocate(0, PAGE_SIZE, flags::ANYWHERE)?;
    child.client().vm_write(address, &[3, 1, 4])?;
    let bytes = child.client().vm_read(address, 4)?;
    equal("bytes", &bytes[..], &[3, 1, 4, 0])?;
    let memory = child
        .duplicate()?
        .cast::<dyn Vm>()
        .client()
        .read(address, PAGE_SIZE)?;
    equal(
        "memory",
        (memory.len(), &memory[..3]),
        (4096, &[3, 1, 4][..]),
    )?;
    let port = ReceiveRight::<Untyped>::new()?;
    child.client().ports_register(0, port.make_send()?)?;
    let back = child.client().ports_lookup(0)?;
    equal("right", port.send_rights()?, 2)?;
    drop(back);
    equal("right that came back", port.send_rights()?, 1)?;
    let threads = [(); 2].map(|()| child.client().thread_create(ThreadState::default()));
    let rights = child.client().thread_rights()?;
    equal("rights", rights.len(), threads.len())?;
    for right in rights {
        let known = threads.iter().flatten();
        let same = known.filter(|thread| thread.name() == right.name());
        equal("names of one thread", same.count(), 1)?;
    }
    let made = child.client().port_allocate(right::RECEIVE)?;
    let (names, count) = child.client().port_names()?;
    equal(
        "array",
        (&names[..4], count),
        (&made.0.to_le_bytes()[..], 1),
    )?;
    child.client().terminate()?;
    equal("the rest ended", port.send_rights()?, 0)
}

// covers: G-05
fn deferred(world: &World) -> Check {
    let supervisor = world.supervisor()?;
    let console = world.console.duplicate()?.cast();
    let (number, task) = supervisor.client().run("tests", "--hang\0wait", console)?;
    let theirs = supervisor.duplicate()?;
    let ended = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&ended);
    let waiting = thread::spawn(move || {
        *seen.lock() = Some(theirs.client().wait(number));
    })?;
    // It runs from the wait on, which is with the supervisor from then on.
    let end = time::deadline(ms(10_000));
    let numbers = task.client().threads(FIRST_THREAD)?;
    let main = task.client().thread(numbers[0])?;
    while main.client().info()?.state != wait::RECEIVE {
        check!(time::now() < end, "the program does not wait");
        time::sleep(ms(1));
    }
    let answered = supervisor.client().services(0);
    task.client().terminate()?;
    waiting.join();
    check!(!answered?.is_empty(), "there are no services");
    // It announced nothing, so it ended well.
    let ended = ended.lock().take();
    equal("told of the end", ended, Some(Ok(Ended::default())))
}

fn privileged(_: &World) -> Check {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let refused = Err(Error::Code(KernReturn::NoAccess));
    equal("shutdown", host.client().shutdown(1), refused)?;
    let task = host.client().task(0).map(|_| ());
    equal("task", task, refused)
}
