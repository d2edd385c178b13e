//! What is reported of tasks that end by an exception.

use alloc::string::String;
use alloc::vec::Vec;

use interfaces::crash::{CrashReporter, Summary};
use interfaces::supervisor::State;
use libmach::SendRight;

use super::cases;
use super::deaths::until;
use super::exceptions::dies;
use crate::case::{Check, World, check, equal};
use crate::census::leaves_nothing;

/// Crashes in search of what is left behind.
const CRASHES: u32 = 100;
/// So often at most.
const ROUNDS: u32 = 3;
/// Crashes before the first look: more than there are reports, and programs whose end the supervisor remembers.
const WARM_UP: u32 = 30;

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
        "\nlast messages received\n  thread ",
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

fn nothing_left(world: &World) -> Check {
    let crash = |times| -> Check {
        for round in 0..times {
            let kinds = ["null-read", "divide-by-zero", "data-jump"];
            dies(world, kinds[round as usize % kinds.len()])?;
        }
        Ok(())
    };
    crash(WARM_UP)?;
    leaves_nothing(ROUNDS, || crash(CRASHES))
}
