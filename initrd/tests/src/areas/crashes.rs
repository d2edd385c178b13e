//! What is reported of tasks that end by an exception.

use alloc::string::String;
use alloc::vec::Vec;

use interfaces::crash::{CrashReporter, Summary};
use interfaces::host::Host;
use interfaces::supervisor::State;
use libmach::{SendRight, ms, time, trap};

use super::cases;
use super::deaths::until;
use super::exceptions::dies;
use crate::case::{Check, World, check, equal};

/// Crashes in search of what is left behind.
const CRASHES: u32 = 100;
/// So often at most. A heap may touch a page for the first time in one of them; what is lost with crashes is lost in
/// each.
const ROUNDS: u32 = 3;
/// Crashes before the first look: more than there are reports, and programs whose end the supervisor remembers.
const WARM_UP: u32 = 130;

cases! { "crashes":
    "a crash is reported with its function, registers, rights and events" => reported,
    "a null pointer is told as a segmentation fault" => signalled,
    "a reporter that is stopped or killed saves nobody" => without,
    "a hundred crashes leave nothing behind" => nothing_left,
}

type Reporter = SendRight<dyn CrashReporter>;

fn reporter(world: &World) -> Check<Reporter> {
    Ok(world.context.look_up_right("org.mello.crash-reporter")?)
}

/// The newest report about a task of this name.
fn newest(reporter: &Reporter, name: &str) -> Check<Option<Summary>> {
    let (mut found, mut first) = (None, 0);
    loop {
        let page = reporter.client().reports(first)?;
        let Some(last) = page.last() else {
            return Ok(found);
        };
        first = last.number + 1;
        let mut own = page.iter().rev().filter(|summary| &*summary.name == name);
        found = own.next().copied().or(found);
    }
}

fn text(reporter: &Reporter, number: u64) -> Check<String> {
    let mut bytes = Vec::new();
    loop {
        let piece = reporter.client().read(number, bytes.len() as u32)?;
        if piece.is_empty() {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        bytes.extend_from_slice(&piece);
    }
}

fn reported(world: &World) -> Check {
    let supervisor = world.supervisor()?;
    supervisor.client().start("crash")?;
    let failed = until(&supervisor, "crash", State::Failed)?;
    check!(
        failed.reason.contains("as it is made to"),
        "the reason is {:?}",
        failed.reason
    );
    let reporter = reporter(world)?;
    let Some(summary) = newest(&reporter, "crash")? else {
        return Err(crate::Verdict::Failed(String::from("there is no report")));
    };
    let text = text(&reporter, summary.number)?;
    for expected in [
        "panicked: as it is made to",
        "POSIX: SIGABRT",
        "rax 0x0000000000010010",
        " crash::fail+0x",
        " send, references ",
        "us ago, thread ",
    ] {
        check!(text.contains(expected), "no {expected:?} in\n{text}");
    }
    equal("bytes of the text", text.len(), summary.size as usize)
}

fn signalled(world: &World) -> Check {
    dies(world, "null-read")?;
    let reporter = reporter(world)?;
    let number = newest(&reporter, "tests")?.map_or(0, |summary| summary.number);
    let text = text(&reporter, number)?;
    check!(text.contains("POSIX: SIGSEGV"), "another signal in\n{text}");
    Ok(())
}

fn without(world: &World) -> Check {
    let supervisor = world.supervisor()?;
    let before = newest(&reporter(world)?, "tests")?.map(|summary| summary.number);
    supervisor.client().stop("crash-reporter")?;
    let died = dies(world, "null-read");
    supervisor.client().start("crash-reporter")?;
    died?;
    until(&supervisor, "crash-reporter", State::Running)?;
    let empty = newest(&reporter(world)?, "tests")?;
    equal(
        "reports of a new life",
        empty.map(|summary| summary.number),
        None,
    )?;
    supervisor.client().kill("crash-reporter")?;
    dies(world, "null-write")?;
    check!(before.is_some(), "there were no reports before");
    until(&supervisor, "crash-reporter", State::Running).map(|_| ())
}

/// What exists once what ends has ended: tasks, threads, ports, queued messages, frames, bytes of kernel memory.
fn census() -> Check<[u64; 6]> {
    let host: SendRight<dyn Host> = SendRight::from_name(trap::host_self()?);
    let count = || -> Check<[u64; 6]> {
        let of = host.client().statistics()?;
        let (queued, memory) = (of.queued_now, of.kernel_bytes);
        Ok([of.tasks, of.threads, of.ports, queued, of.frames, memory])
    };
    let mut last = count()?;
    for _ in 0..100 {
        time::sleep(ms(5));
        let now = count()?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

fn nothing_left(world: &World) -> Check {
    let crash = |times| -> Check {
        for round in 0..times {
            let kinds = ["null-read", "divide-by-zero", "data-jump"];
            dies(world, kinds[round as usize % kinds.len()])?;
        }
        Ok(())
    };
    crash(WARM_UP)?;
    let mut before = census()?;
    for _ in 1..ROUNDS {
        crash(CRASHES)?;
        let after = census()?;
        if after == before {
            return Ok(());
        }
        before = after;
    }
    crash(CRASHES)?;
    equal("what exists", census()?, before)
}
