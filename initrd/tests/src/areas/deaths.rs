//! Servers that die while they are called.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use interfaces::echo::Echo;
use interfaces::host::{Host, Statistics};
use interfaces::supervisor::{Cause, Info, State, Supervisor};
use libmach::abi::transport::Result;
use libmach::{Error, SendRight, ms, thread, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

/// How often the server is killed.
const KILLS: u32 = 10;

/// How often it is killed in search of what is left behind, on one CPU. On several it is a tenth: there the
/// emulator takes a while for each, for its CPUs wait for each other while the host runs only one of them.
const MANY_KILLS: u32 = 1000;

/// Kills before the first look.
const WARM_UP: u32 = 50;

cases! { "deaths":
    "a restarted server answers under the same right" => same_right,
    "calls that may be repeated do not notice kills" => idempotent,
    "calls that may not be repeated fail once a kill at most" => not_idempotent,
    "a thousand kills leave nothing behind" => nothing_left,
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

/// What a thread that calls in a loop counts.
#[derive(Default)]
struct Counts {
    stop: AtomicU32,
    answers: AtomicU32,
    deaths: AtomicU32,
    others: AtomicU32,
}

/// Calls in a second thread while the server is killed; waits for answers between the kills.
fn under_kills(world: &World, call: fn(&SendRight<dyn Echo>) -> Result<u64>) -> Check<Arc<Counts>> {
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    let supervisor = world.supervisor()?;
    echo.client().echo(0)?;
    let counts = Arc::new(Counts::default());
    let theirs = Arc::clone(&counts);
    let caller = thread::spawn(move || {
        while theirs.stop.load(Ordering::Relaxed) == 0 {
            let counter = match call(&echo) {
                Ok(_) => &theirs.answers,
                Err(Error::ServerDied { .. }) => &theirs.deaths,
                Err(_) => &theirs.others,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let mut killed = Ok(());
    for _ in 0..KILLS {
        let seen = counts.answers.load(Ordering::Relaxed);
        killed = supervisor.client().kill("echo");
        let end = time::deadline(ms(10_000));
        while counts.answers.load(Ordering::Relaxed) == seen && time::now() < end {
            time::sleep(ms(1));
        }
        if killed.is_err() {
            break;
        }
    }
    counts.stop.store(1, Ordering::Relaxed);
    caller.join();
    killed?;
    check!(
        counts.answers.load(Ordering::Relaxed) >= KILLS,
        "too few answers"
    );
    equal("other errors", counts.others.load(Ordering::Relaxed), 0)?;
    Ok(counts)
}

fn idempotent(world: &World) -> Check {
    let counts = under_kills(world, |echo| echo.client().echo(1))?;
    equal("deaths seen", counts.deaths.load(Ordering::Relaxed), 0)
}

fn not_idempotent(world: &World) -> Check {
    let counts = under_kills(world, |echo| echo.client().add(1))?;
    let deaths = counts.deaths.load(Ordering::Relaxed);
    check!(deaths <= KILLS, "{deaths} deaths for {KILLS} kills");
    Ok(())
}

/// The server of a service that answers is killed so many times.
fn kill(echo: &SendRight<dyn Echo>, supervisor: &SendRight<dyn Supervisor>, times: u32) -> Check {
    for _ in 0..times {
        supervisor.client().kill("echo")?;
        equal("answer", echo.client().echo(7), Ok(7))?;
    }
    Ok(())
}

/// What exists, once what ends has ended: the census of a system at rest.
fn census(host: &SendRight<dyn Host>) -> Check<Statistics> {
    let mut last = host.client().statistics()?;
    for _ in 0..100 {
        time::sleep(ms(5));
        let now = host.client().statistics()?;
        let same = (now.tasks, now.ports, now.frames) == (last.tasks, last.ports, last.frames);
        last = now;
        if same {
            break;
        }
    }
    Ok(last)
}

fn nothing_left(world: &World) -> Check {
    let echo: SendRight<dyn Echo> = world.context.send_right("echo")?;
    let supervisor = world.supervisor()?;
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let kills = if host.client().info()?.cpus > 1 {
        MANY_KILLS / 10
    } else {
        MANY_KILLS
    };
    // Tables grow to their size once: that is not what a kill leaves behind.
    kill(&echo, &supervisor, WARM_UP)?;
    let before = census(&host)?;
    kill(&echo, &supervisor, kills)?;
    let after = census(&host)?;
    equal("tasks", after.tasks, before.tasks)?;
    equal("threads", after.threads, before.threads)?;
    equal("ports", after.ports, before.ports)?;
    equal("queued messages", after.queued_now, before.queued_now)?;
    equal("frames", after.frames, before.frames)?;
    equal("kernel memory", after.kernel_bytes, before.kernel_bytes)
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
fn until(supervisor: &SendRight<dyn Supervisor>, name: &str, state: State) -> Check<Info> {
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
