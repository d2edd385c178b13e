//! A system around the monitor: two lines, a kernel, a supervisor with two programs, a log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use interfaces::bounded::{Bytes, List, Text};
use interfaces::console::{CHUNK, Console};
use interfaces::host::{self, ArenaEntry, Host, Statistics, TaskEntry, ThreadEntry};
use interfaces::log::{Level, Log, Record};
use interfaces::memory_object::MemoryObject;
use interfaces::supervisor::{self, End, Ended, Supervisor};
use interfaces::task::Task as TaskInterface;
use interfaces::{bootstrap::refusal, supervisor::State};
use libmach::abi::kern_return::KernReturn;
use libmach::abi::trace;
use libmach::abi::transport::Untyped;
use libmach::host::{Names, Task, give};
use libmach::{Caller, Mach, ReceiveRight, Reply, Result, Runtime, SendRight, ms, time};

/// What the test and the fakes share.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) typed: [Vec<u8>; 2],
    pub(crate) written: [Vec<u8>; 2],
    pub(crate) orders: Vec<String>,
    pub(crate) shutdowns: u32,
    /// The program `large` has come into memory.
    pub(crate) loaded: bool,
    /// How many records the log has put on the terminal.
    pub(crate) shown: u64,
    pub(crate) reboots: u32,
}

pub(crate) type Shared = Arc<Mutex<World>>;

/// The terminal's line.
pub(crate) const TERMINAL: usize = 0;
/// The command channel's line.
pub(crate) const CHANNEL: usize = 1;

pub(crate) fn look(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running system.
pub(crate) struct System {
    pub(crate) world: Shared,
    tasks: Vec<Task>,
    _names: Names,
}

impl System {
    pub(crate) fn start() -> Self {
        let world = Shared::default();
        let names = Names::start().expect("a name service");
        let mut tasks = Vec::new();
        let mut rights = Vec::new();
        for (label, line) in [("console", TERMINAL), ("channel", CHANNEL)] {
            let (task, right) = serve::<dyn Console, _>(move |runtime, world| Line {
                runtime: runtime.clone(),
                world,
                line,
            })(&world);
            tasks.push(task);
            rights.push((label, give(right)));
        }
        let (task, right) = serve::<dyn Host, _>(|_, world| Kernel(world))(&world);
        tasks.push(task);
        rights.push(("host", give(right)));
        let (task, right) = serve::<dyn Supervisor, _>(|runtime, world| Services {
            runtime: runtime.clone(),
            world,
            started: Vec::new(),
        })(&world);
        tasks.push(task);
        rights.push(("supervisor", give(right)));
        let (task, right) = serve::<dyn Log, _>(|runtime, world| Records {
            runtime: runtime.clone(),
            world,
        })(&world);
        tasks.push(task);
        rights.push(("log", give(right)));
        tasks.push(crate::reports::serve(&names));
        let bootstrap = names.context().expect("a context");
        let bootstrap = bootstrap.send_right::<Untyped>("bootstrap");
        rights.push(("bootstrap", give(bootstrap.expect("a right"))));
        tasks.push(Task::spawn(rights, |context| {
            let runtime = Runtime::new().expect("a runtime");
            monitor::start(&context, &runtime).expect("the rights are there");
            runtime.run().expect("a loop");
        }));
        Self {
            world,
            tasks,
            _names: names,
        }
    }

    /// Something is typed on a line.
    pub(crate) fn send(&self, line: usize, bytes: &[u8]) {
        look(&self.world).typed[line].extend_from_slice(bytes);
    }

    /// Waits until `found` says what it was waiting for.
    pub(crate) fn wait<T>(&self, mut found: impl FnMut(&mut World) -> Option<T>) -> T {
        for _ in 0..20_000 {
            if let Some(value) = found(&mut look(&self.world)) {
                return value;
            }
            time::sleep(ms(1));
        }
        let written = &look(&self.world).written;
        panic!(
            "it never came; written: {:?} and {:?}",
            String::from_utf8_lossy(&written[0]),
            String::from_utf8_lossy(&written[1]),
        );
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.kill();
        }
    }
}

/// Starts a task that serves `I` with what `make` makes.
fn serve<I, S>(
    make: impl FnOnce(&Runtime, Shared) -> S + Send + 'static,
) -> impl FnOnce(&Shared) -> (Task, SendRight<I>)
where
    I: ?Sized + libmach::abi::transport::Serve<S, Mach> + 'static,
    S: 'static,
{
    move |world| {
        let port = ReceiveRight::<I>::new().expect("a port");
        let send = port.make_send().expect("a right");
        let world = Arc::clone(world);
        let task = Task::spawn(vec![("port", give(port))], move |context| {
            let runtime = Runtime::new().expect("a runtime");
            let port = context.receive_right::<I>("port").expect("a port");
            let server = make(&runtime, world);
            runtime.serve(port, server).expect("a service");
            runtime.run().expect("a loop");
        });
        (task, send)
    }
}

/// A serial line.
struct Line {
    runtime: Runtime,
    world: Shared,
    line: usize,
}

impl Console for Line {
    type Rights = Mach;

    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>) {
        // Less than was asked, as a driver may take.
        let taken = &bytes[..bytes.len().min(100)];
        look(&self.world).written[self.line].extend_from_slice(taken);
        reply.send(Ok(taken.len() as u64));
    }

    async fn read(&mut self, reply: Reply<Bytes<CHUNK>>) {
        let (runtime, world, line) = (self.runtime.clone(), Arc::clone(&self.world), self.line);
        self.runtime.spawn(async move {
            loop {
                let mut typed = std::mem::take(&mut look(&world).typed[line]);
                if !typed.is_empty() {
                    let rest = typed.split_off(typed.len().min(CHUNK));
                    look(&world).typed[line].splice(..0, rest);
                    return reply.send(Ok(Bytes::new(&typed).expect("a chunk")));
                }
                runtime.sleep(ms(1)).await.expect("a timer");
            }
        });
    }
}

struct Kernel(Shared);

fn unsupported<T>() -> Result<T> {
    Err(KernReturn::NotSupported.into())
}

impl Host for Kernel {
    type Rights = Mach;

    async fn info(&self) -> Result<host::Info> {
        Ok(host::Info {
            cpus: 2,
            pages: 65_536,
            free_pages: 60_000,
            version: Text::cut("MelloOS 9.9"),
        })
    }

    async fn statistics(&self) -> Result<Statistics> {
        unsupported()
    }

    async fn arenas(&self) -> Result<List<ArenaEntry, 32>> {
        unsupported()
    }

    async fn tasks(&mut self, first: u32) -> Result<List<TaskEntry, 32>> {
        let mut page = List::default();
        for index in (1..=40).filter(|index| *index >= first) {
            let name = Text::cut(&format!("task-{index}"));
            if !page.push(TaskEntry {
                index,
                name,
                ..TaskEntry::default()
            }) {
                break;
            }
        }
        Ok(page)
    }

    async fn task(&mut self, _index: u32) -> Result<SendRight<dyn TaskInterface>> {
        Err(KernReturn::InvalidTask.into())
    }

    async fn log(&self, _position: u64) -> Result<(u64, Bytes<1024>)> {
        unsupported()
    }

    async fn trace(&self, _position: u64) -> Result<(u64, List<trace::Record, 64>)> {
        unsupported()
    }

    async fn threads(&mut self, _first: u32) -> Result<List<ThreadEntry, 64>> {
        unsupported()
    }

    async fn trace_mark(&mut self, _a: u64, _b: u64) -> Result<()> {
        unsupported()
    }

    async fn trace_enable(&mut self, _on: u32) -> Result<()> {
        Err(KernReturn::NoAccess.into())
    }

    async fn shutdown(&mut self, _status: u32) -> Result<()> {
        look(&self.0).shutdowns += 1;
        Ok(())
    }

    async fn reboot(&mut self) -> Result<()> {
        look(&self.0).reboots += 1;
        Ok(())
    }

    async fn set_fast_path(&mut self, _on: u32) -> Result<()> {
        unsupported()
    }

    async fn special_port(&mut self, _: u32) -> Result<SendRight<Untyped>> {
        unsupported()
    }

    async fn set_special_port(&mut self, _: u32, _: SendRight<Untyped>) -> Result<()> {
        unsupported()
    }

    async fn set_priority_limit(&mut self, _: SendRight<dyn TaskInterface>, _: u32) -> Result<()> {
        unsupported()
    }

    async fn set_default_pager(&mut self, _: SendRight<dyn MemoryObject>, _: u64) -> Result<()> {
        unsupported()
    }

    async fn set_free_target(&mut self, _: u64) -> Result<()> {
        unsupported()
    }
}

/// A program that was started, and its console.
struct Started {
    program: String,
    arguments: String,
    console: SendRight<dyn Console>,
}

struct Services {
    runtime: Runtime,
    world: Shared,
    started: Vec<Started>,
}

impl Services {
    fn order(&self, order: &str, name: &str) -> Result<()> {
        if name != "echo" {
            return Err(refusal::UNKNOWN_SERVICE.into());
        }
        look(&self.world).orders.push(format!("{order} {name}"));
        Ok(())
    }

    /// A program's control port: it hears one order, which fails, as if the task had ended before.
    fn task(&self, program: &str) -> Result<SendRight<dyn TaskInterface>> {
        let (runtime, world) = (self.runtime.clone(), Arc::clone(&self.world));
        let inbox = runtime.listen(ReceiveRight::<dyn TaskInterface>::new()?)?;
        let right = inbox.port().make_send()?;
        let told = program == "large";
        runtime.spawn(async move {
            let terminated = inbox.next().await.id == <dyn TaskInterface>::TERMINATE.id;
            if told {
                let order = format!("terminated: {terminated}");
                look(&world).orders.push(order);
            }
        });
        Ok(right.cast())
    }
}

/// What the programs do: `args` writes its arguments, `cat` its input, `sleep` nothing for ever,
/// `fault` dereferences null.
async fn play(runtime: &Runtime, started: Started) -> Ended {
    let console = runtime.concurrent(&started.console);
    let ended = |how, value| Ended {
        how,
        value,
        signal: if how == End::Exception { 11 } else { 0 },
    };
    match started.program.as_str() {
        "args" => {
            let text = format!("{:?}\n", started.arguments.split('\0').collect::<Vec<_>>());
            console.write(text.as_bytes()).await.expect("a console");
            ended(End::Exited, 7)
        }
        "cat" => loop {
            let bytes = console.read().await.expect("a console");
            if bytes.is_empty() {
                return ended(End::Exited, 0);
            }
            assert_eq!(console.write(&bytes).await, Ok(bytes.len() as u64));
        },
        "fault" => ended(End::Exception, 1),
        _ => std::future::pending().await,
    }
}

impl Supervisor for Services {
    type Rights = Mach;

    async fn services(&self, first: u32) -> Result<List<supervisor::Info, 16>> {
        let mut page = List::default();
        for index in (0..20).filter(|index| *index >= first) {
            let info = supervisor::Info {
                name: Text::cut(&format!("service-{index}")),
                state: State::Running,
                task: index + 1,
                ..supervisor::Info::default()
            };
            if !page.push(info) {
                break;
            }
        }
        Ok(page)
    }

    async fn start(&mut self, name: &str) -> Result<()> {
        self.order("start", name)
    }

    async fn stop(&mut self, name: &str) -> Result<()> {
        self.order("stop", name)
    }

    async fn kill(&mut self, name: &str) -> Result<()> {
        self.order("kill", name)
    }

    async fn restart(&mut self, name: &str) -> Result<()> {
        self.order("restart", name)
    }

    async fn run(
        &mut self,
        program: &str,
        arguments: &str,
        console: SendRight<Untyped>,
    ) -> Result<(u64, SendRight<dyn TaskInterface>)> {
        if !["args", "cat", "sleep", "fault", "large"].contains(&program) {
            return Err(refusal::NO_SUCH_PROGRAM.into());
        }
        let right = self.task(program)?;
        if program == "large" {
            look(&self.world).orders.push("load large".to_owned());
            while !look(&self.world).loaded {
                self.runtime.sleep(ms(1)).await?;
            }
            return Ok((u64::MAX, right));
        }
        self.started.push(Started {
            program: program.to_owned(),
            arguments: arguments.to_owned(),
            console: console.cast(),
        });
        Ok((self.started.len() as u64 - 1, right))
    }

    async fn wait(&mut self, program: u64, reply: Reply<Ended>) {
        let started = self.started.remove(program as usize);
        let runtime = self.runtime.clone();
        self.runtime.spawn(async move {
            reply.send(Ok(play(&runtime, started).await));
        });
    }
}

struct Records {
    runtime: Runtime,
    world: Shared,
}

impl Log for Records {
    type Rights = Mach;

    async fn write(&mut self, _caller: Caller, _level: Level, _text: &str) {}

    async fn read(&self, first: u64) -> Result<List<Record, 16>> {
        let mut page = List::default();
        // Records 0 to 4 are overwritten already.
        for number in (5..30).filter(|number| *number >= first) {
            let text = Text::cut(&format!("line {number}"));
            if !page.push(Record {
                number,
                text,
                ..Record::default()
            }) {
                break;
            }
        }
        Ok(page)
    }

    async fn set_console_level(&mut self, _level: Level) -> Result<()> {
        unsupported()
    }

    async fn shown(&mut self, seen: u64, reply: Reply<u64>) {
        let (runtime, world) = (self.runtime.clone(), Arc::clone(&self.world));
        self.runtime.spawn(async move {
            loop {
                let shown = look(&world).shown;
                if shown != seen {
                    return reply.send(Ok(shown));
                }
                runtime.sleep(ms(1)).await.expect("a timer");
            }
        });
    }
}
