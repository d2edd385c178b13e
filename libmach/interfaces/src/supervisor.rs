//! What `svc` and `run` use: services' state, orders to them, programs.

use abi::transport::Untyped;
use macros::{Wire, interface};

use crate::bounded::{List, Text};
use crate::task::Task;

/// Where a service is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub enum State {
    /// Declared, and not started since no message came.
    #[default]
    Idle,
    /// Its task exists and has not checked in.
    Starting,
    /// Checked in.
    Running,
    /// Died; started again when the back-off is over.
    Waiting,
    /// Stopped by order.
    Stopped,
    /// Died too often in a row; `start` clears it.
    Failed,
}

/// Which of the detectors saw a service die.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub enum Cause {
    /// It never died.
    #[default]
    None,
    /// It ended itself.
    Exit,
    /// It raised an exception.
    Exception,
    /// It was silent for two heartbeats.
    Silence,
    /// A client reported a violation of the protocol.
    Protocol,
    /// `svc kill`, `svc stop` or `svc restart`.
    Order,
}

/// A service, as `svc` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Info {
    /// The manifest's name.
    pub name: Text<32>,
    /// Where it is.
    pub state: State,
    /// Index of its task, as `ps` shows it; 0 when it has none.
    pub task: u32,
    /// How often it was started again.
    pub restarts: u32,
    /// Deaths in a row without a request served.
    pub deaths_in_row: u32,
    /// Who saw the last death.
    pub cause: Cause,
    /// When it last died, in ns since boot; 0 for never.
    pub died: u64,
    /// When it is started again, in ns since boot, while waiting.
    pub next_start: u64,
    /// The last death in words.
    pub reason: Text<120>,
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub enum End {
    /// By itself; the value is its status.
    #[default]
    Exited,
    /// By an exception; the value is its type (`abi::exception`).
    Exception,
    /// Its task was terminated by somebody; the value is 0.
    Terminated,
}

/// What became of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Wire)]
pub struct Ended {
    /// How it ended.
    pub how: End,
    /// What that says of it.
    pub value: u64,
    /// The signal that POSIX has for an exception (`abi::signal`); 0: none.
    pub signal: u32,
}

/// The most services in one answer.
pub const PAGE: usize = 16;

/// Orders to the supervisor.
#[interface(name = "org.mello.supervisor", subsystem = 4020)]
pub trait Supervisor {
    /// Services from the `first`-th on, in the order of the archive; an empty list is the end.
    #[idempotent]
    async fn services(&self, first: u32) -> Result<List<Info, 16>>;
    /// Starts an idle, stopped or failed service.
    async fn start(&mut self, name: &str) -> Result<()>;
    /// Ends a service and keeps it so.
    async fn stop(&mut self, name: &str) -> Result<()>;
    /// Destroys a service's task, which is started again at once; never counts as a death.
    async fn kill(&mut self, name: &str) -> Result<()>;
    /// Stops and starts a service.
    async fn restart(&mut self, name: &str) -> Result<()>;
    /// Makes a task of the program `bin/PROGRAM` of the archive, which runs from the first `wait` on. `arguments` are separated by NUL, the name not
    /// among them; `console` is what it finds under that name on its start page, for input and output.
    /// Answers with a number for `wait`, and its control port.
    async fn run(
        &mut self,
        program: &str,
        arguments: &str,
        console: SendRight<Untyped>,
    ) -> Result<(u64, SendRight<dyn Task>)>;
    /// Lets the program run and answers when it has ended. `NO_SUCH_PROGRAM` for a number that `run` did not give, or
    /// gave so long ago that its end is forgotten.
    async fn wait(&mut self, program: u64, reply: Reply<Ended>);
}
