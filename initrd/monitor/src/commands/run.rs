//! `run`: a program of the archive, with the session as its console.

use alloc::rc::Rc;
use alloc::string::String;

use channel::Exit;
use interfaces::bootstrap::refusal;
use interfaces::console::Console;
use interfaces::supervisor::{End, Ended, Supervisor};
use interfaces::task::Task;
use libmach::abi::transport::Refused;
use libmach::{Error, Runtime, SendRight, ms};

use super::Entry;
use crate::attached::Attached;
use crate::failure::Failure;
use crate::handover::{self, Taker};
use crate::session::Session;
use crate::shell::Shell;

pub(super) const ENTRY: Entry = Entry(
    "run PROGRAM [ARGUMENT ...]",
    "runs a program of the archive",
);

/// The status of a program that somebody terminated, as shells have it for `SIGKILL`.
const TERMINATED: u8 = 137;

pub(super) async fn run(
    shell: &Shell,
    arguments: &[&str],
    session: &Rc<Session>,
) -> Result<Exit, Failure> {
    let Some((name, rest)) = arguments.split_first() else {
        return Err(Failure::Usage(ENTRY.0));
    };
    program(shell, name, rest, session).await
}

/// A program in the foreground. Dropped before its end, its task is terminated.
struct Foreground(Option<SendRight<dyn Task>>);

impl Drop for Foreground {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            // It fails when the task has ended already, which is what was wanted.
            task.client().terminate().unwrap_or_default();
        }
    }
}

/// Runs the program `name` to its end.
pub(super) async fn program(
    shell: &Shell,
    name: &str,
    arguments: &[&str],
    session: &Rc<Session>,
) -> Result<Exit, Failure> {
    let (number, mut foreground) = start(shell, name, arguments, session)?.await?;
    let supervisor = shell.runtime.concurrent(&shell.rights.supervisor);
    let ended = shell.patiently(|| supervisor.wait(number)).await?;
    foreground.0 = None;
    Ok(exit(ended))
}

/// Orders a program. The order is carried out beside the command: when that is given up meanwhile,
/// the program ends as soon as it has begun, instead of running on unseen.
fn start(
    shell: &Shell,
    name: &str,
    arguments: &[&str],
    session: &Rc<Session>,
) -> Result<Taker<Result<Started, Failure>>, Failure> {
    let order = Order {
        runtime: shell.runtime.clone(),
        supervisor: shell.rights.supervisor.duplicate()?,
        name: String::from(name),
        arguments: join(arguments)?,
        session: Rc::clone(session),
    };
    let (giver, taker) = handover::pair();
    shell
        .runtime
        .spawn(async move { giver.put(order.carry_out().await) });
    Ok(taker)
}

/// A started program: its number at the supervisor, and itself.
type Started = (u64, Foreground);

struct Order {
    runtime: Runtime,
    supervisor: SendRight<dyn Supervisor>,
    name: String,
    arguments: String,
    session: Rc<Session>,
}

impl Order {
    async fn carry_out(self) -> Result<Started, Failure> {
        let supervisor = self.runtime.concurrent(&self.supervisor);
        loop {
            let attached = Attached::new(Rc::clone(&self.session));
            let console = self.runtime.export::<dyn Console, _>(attached)?;
            let started = supervisor.run(&self.name, &self.arguments, console.cast());
            let Refused { error, .. } = match started.await {
                Ok((number, task)) => return Ok((number, Foreground(Some(task)))),
                Err(refused) => refused,
            };
            match error {
                // The supervisor's queue is full; nothing was sent.
                Error::TimedOut => self.runtime.sleep(ms(1)).await?,
                Error::Code(refusal::NO_SUCH_PROGRAM) => {
                    return Err(Failure::NoSuchCommand(self.name));
                }
                error => return Err(Failure::of("it was not started", error)),
            }
        }
    }
}

/// The arguments as the supervisor takes them: separated by NUL.
fn join(arguments: &[&str]) -> Result<String, Failure> {
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Failure::Said(String::from("an argument holds a NUL")));
    }
    Ok(arguments.join("\0"))
}

fn exit(ended: Ended) -> Exit {
    match ended.how {
        // The status is the program's byte; nothing wider was promised.
        End::Exited => Exit::Exited(ended.value as u8),
        End::Exception => Exit::Exception {
            kind: ended.value as u16,
            signal: ended.signal as u16,
        },
        End::Terminated => Exit::Exited(TERMINATED),
    }
}
