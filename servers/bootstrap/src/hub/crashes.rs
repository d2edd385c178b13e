//! Exceptions: the crash reporter is asked about the stopped task, for a while, and then the task ends.
//!
//! The thread waits for its handler's answer as long as the exception's message is held; nobody resumes it.
//! Whether, when and what the reporter answers decides about nothing but words.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use interfaces::crash::{CrashReporter, Filed};
use interfaces::log::Level;
use interfaces::supervisor::{Cause, State};
use interfaces::task::Task;
use libmach::server::Message;
use libmach::{Runtime, SendRight, abi, ms};

use super::{Hub, Who};
use crate::launch::Launcher;
use crate::life::Order;
use crate::registry::Owner;
use crate::report::Exception;

/// The crash reporter's service.
const REPORTER: &str = "org.mello.crash-reporter";
/// How long it may take for a report.
const PATIENCE: Duration = ms(2000);
/// The most tasks that it is asked about at once; others end without a report.
const MAX_OPEN: usize = 8;

/// A stopped task that the reporter is asked about.
#[derive(Debug)]
pub struct Inquiry {
    name: String,
    identity: u64,
    exception: Exception,
    task: SendRight<dyn Task>,
    reporter: SendRight<dyn CrashReporter>,
}

impl Inquiry {
    /// Asks; answers with the inquiry, and with the report when it came in time.
    pub async fn ask(mut self, runtime: &Runtime) -> (Self, Option<Filed>) {
        let reporter = runtime.concurrent(&self.reporter);
        let reporter = reporter.with_deadline(PATIENCE);
        let null = SendRight::from_name(abi::names::Name::NULL);
        let task = core::mem::replace(&mut self.task, null);
        let filed = reporter.report(task, &self.name, self.exception.crash);
        let filed = filed.await.ok();
        (self, filed)
    }
}

/// A task whose report is being made.
#[derive(Debug)]
pub(super) struct Open {
    identity: u64,
    /// The exceptions of its threads, unanswered.
    held: Vec<Message>,
}

impl<L: Launcher> Hub<L> {
    /// A thread raised an exception. Its task is ended, at once or when the inquiry has ended.
    pub fn raised(&mut self, mut message: Message) -> Option<Inquiry> {
        if message.id != abi::exception::RAISE {
            return None;
        }
        let words = [(); 6].map(|()| message.next_word().unwrap_or(0));
        let identity = message.identity;
        let open = |open: &&mut Open| open.identity == identity;
        if let Some(open) = self.open.iter_mut().find(open) {
            open.held.push(message);
            return None;
        }
        let (name, task) = self.task_of(identity)?;
        let mut exception = Exception::of(words);
        self.launcher.examine(&task, &mut exception);
        let Some(reporter) = self.reporter(identity) else {
            self.end_raised(identity, &exception, None);
            // Dropped unanswered, the message's reply right says that the thread is not resumed.
            return None;
        };
        let held = alloc::vec![message];
        self.open.push(Open { identity, held });
        Some(Inquiry {
            name,
            identity,
            exception,
            task,
            reporter,
        })
    }

    /// The report is made, or will not be.
    pub fn reported(&mut self, inquiry: &Inquiry, filed: Option<&Filed>) {
        self.end_raised(inquiry.identity, &inquiry.exception, filed);
        self.open.retain(|open| open.identity != inquiry.identity);
    }

    /// The name and port of a live task with this identity token.
    fn task_of(&mut self, identity: u64) -> Option<(String, SendRight<dyn Task>)> {
        let (name, task) = match self.who(identity)? {
            Who::Unit(index) => {
                let unit = &self.units[index];
                (&unit.manifest.name, &unit.task.as_ref()?.port)
            }
            Who::Program => {
                let program = self.programs.by_identity(identity)?;
                (&program.manifest.name, program.task.as_ref()?)
            }
        };
        Some((name.to_string(), task.duplicate().ok()?))
    }

    /// Whom to ask about the task with this identity token; `None` when nobody would answer.
    fn reporter(&self, identity: u64) -> Option<SendRight<dyn CrashReporter>> {
        let service = self.registry.find(REPORTER).ok()?;
        let Owner::Unit(index) = service.owner() else {
            return None;
        };
        let unit = &self.units[index];
        let runs = matches!(unit.life.info().state, State::Starting | State::Running);
        let is_another = unit.task.as_ref()?.identity != identity;
        let asked = runs && is_another && self.open.len() < MAX_OPEN;
        asked.then(|| service.send_right().ok().map(SendRight::cast))?
    }

    /// Ends a task for an exception, and says so.
    fn end_raised(&mut self, identity: u64, exception: &Exception, filed: Option<&Filed>) {
        let summary = match filed {
            None => exception.summary(),
            Some(Filed { number, place }) if place.is_empty() => {
                format!("{}; report {number}", exception.summary())
            }
            Some(Filed { number, place }) => {
                format!("{}; in {place}; report {number}", exception.summary())
            }
        };
        let name = match self.who(identity) {
            Some(Who::Unit(index)) => {
                let unit = &mut self.units[index];
                if let Some(running) = &unit.task {
                    // Whatever its life says of it: nobody resumes the thread.
                    self.launcher.end(&running.port);
                }
                let order = unit.life.condemn(Cause::Exception, &summary);
                debug_assert!(matches!(order, Order::End | Order::Nothing));
                unit.manifest.name.clone()
            }
            Some(Who::Program) => {
                let Some(program) = self.programs.by_identity(identity) else {
                    return;
                };
                if let Some(task) = &program.task {
                    self.launcher.end(task);
                }
                let signal = exception.crash.signal(exception.state.as_ref());
                program.raised(exception.crash.kind, signal.unwrap_or(0));
                program.manifest.name.clone()
            }
            None => return,
        };
        self.log(Level::Error, &format!("{name}: {summary}"));
        if filed.is_none() {
            for line in exception.lines(&name) {
                self.log(Level::Info, &line);
            }
        }
    }
}
