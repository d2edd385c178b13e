//! Calls between this task and others: the echo server and the kernel.

use interfaces::echo::Echo;
use interfaces::host::Host;
use interfaces::task::Task;
use libmach::abi::kern_return::KernReturn;
use libmach::{Error, ReceiveRight, SendRight, message, ms, trap};

use super::cases;
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

fn privileged(_: &World) -> Check {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let refused = Err(Error::Code(KernReturn::NoAccess));
    equal("shutdown", host.client().shutdown(1), refused)?;
    let task = host.client().task(0).map(|_| ());
    equal("task", task, refused)
}
