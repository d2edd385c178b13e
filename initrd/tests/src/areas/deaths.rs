//! Servers that die and come back, or do not.

use interfaces::echo::Echo;
use interfaces::host::Host;
use interfaces::supervisor::{Cause, Info, State, Supervisor};
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::{SendRight, message, ms, time};

use super::cases;
use crate::case::{Check, World, check, equal};

cases! { "deaths":
    "a restarted server answers under the same right" => same_right,
    "what is queued when a server dies is served by the next life" => queued,
    "a server that dies at each start fails, and an order clears it" => fails,
}

fn same_right(world: &World) -> Check {
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    let supervisor = world.supervisor()?;
    echo.client().add(5)?;
    supervisor.client().kill("echo")?;
    equal("answer", echo.client().echo(7), Ok(7))?;
    equal("the sum of a new life", echo.client().add(0), Ok(0))
}

// covers: B-05
fn queued(world: &World) -> Check {
    const QUEUED: u64 = 5;
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    let host: SendRight<dyn Host> = world.context.send_right("host")?;
    let supervisor = world.supervisor()?;
    echo.client().add(5)?;
    // It has the receive right, and waits there: the first message is in its hands, and dies with it.
    let index = service(&supervisor, "echo")?.task;
    host.client().task(index)?.client().suspend()?;
    for _ in 0..=QUEUED {
        let add = [1, 0, 0, 0, 0, 0];
        let id = <dyn Echo>::ADD.id;
        let sent = message::send(echo.name(), disposition::COPY_SEND, id, Shape::SHORT, add);
        equal("send", sent, MessageReturn::Success)?;
    }
    supervisor.client().kill("echo")?;
    equal("the sum of a new life", echo.client().add(0), Ok(QUEUED))
}

/// What the supervisor says of a service.
fn service(supervisor: &SendRight<dyn Supervisor>, name: &str) -> Check<Info> {
    let mut first = 0;
    loop {
        let page = supervisor.client().services(first)?;
        check!(!page.is_empty(), "no service {name}");
        if let Some(found) = page.iter().find(|service| service.name.as_str() == name) {
            return Ok(*found);
        }
        first += page.len() as u32;
    }
}

/// Waits until a service is in a state; the back-offs before a failure are 1.3 s in all.
pub(super) fn until(
    supervisor: &SendRight<dyn Supervisor>,
    name: &str,
    state: State,
) -> Check<Info> {
    let end = time::deadline(ms(60_000));
    loop {
        let found = service(supervisor, name)?;
        if found.state == state {
            return Ok(found);
        }
        check!(
            time::now() < end,
            "{name} is {:?}, not {state:?}",
            found.state
        );
        time::sleep(ms(5));
    }
}

fn fails(world: &World) -> Check {
    let supervisor = world.supervisor()?;
    supervisor.client().start("crash")?;
    let failed = until(&supervisor, "crash", State::Failed)?;
    equal("deaths in a row", failed.deaths_in_row, 8)?;
    equal("cause", failed.cause, Cause::Exception)?;
    check!(
        failed.reason.as_str().contains("as it is made to"),
        "the reason is {:?}",
        failed.reason.as_str()
    );
    supervisor.client().start("crash")?;
    let cleared = service(&supervisor, "crash")?;
    check!(cleared.state != State::Failed, "start clears nothing");
    until(&supervisor, "crash", State::Failed).map(|_| ())
}
