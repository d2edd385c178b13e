//! The whole of bootstrap over the host backend: its tasks are tasks of that backend, everything else
//! is what runs in the guest.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which end a test that cannot go on"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bootstrap::archive::Archive;
use bootstrap::launch::{Failure, Launched, Launcher, Request};
use bootstrap::report::Exception;
use bootstrap::serve::serve;
use interfaces::bootstrap::{Bootstrap, refusal};
use interfaces::echo::Echo;
use interfaces::supervisor::{Cause, End, Ended, Info, State, Supervisor};
use interfaces::task::Task as Control;
use interfaces::thread::Thread;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::host::{Parcel, Task, give};
use libmach::{Context, Error, ReceiveRight, SendRight, Untyped, abi, message, ms, time};
use manifest::{Manifest, Right};

/// A program: what its tasks do.
type Body = fn(Context);

/// Starts tasks of the host backend.
struct Fake {
    bodies: BTreeMap<&'static str, Body>,
    exceptions: SendRight,
    /// Lets the last made task run.
    go: Option<Sender<()>>,
    /// By the name of the control port.
    tasks: RefCell<BTreeMap<u32, Task>>,
}

impl Launcher for Fake {
    fn launch(&mut self, request: Request<'_>) -> Result<Launched, Failure> {
        let body = self.bodies.get(request.manifest.name.as_str());
        let body = *body.ok_or_else(|| Failure::Bad("no such body".into()))?;
        // The control port dies with the task, as a kernel's does.
        let control = ReceiveRight::<dyn Control>::new().unwrap();
        let port = control.make_send().unwrap();
        let mut rights: Vec<(&'static str, Parcel)> = vec![("control", give(control))];
        for (label, right) in request.rights {
            rights.push((label.leak(), give(right)));
        }
        rights.push(("exceptions", give(self.exceptions.duplicate().unwrap())));
        let (said, hear) = channel();
        let (go, wait) = channel();
        let task = Task::spawn(rights, move |context| {
            said.send(context.identity()).unwrap();
            wait.recv().unwrap();
            body(context);
        });
        let identity = hear.recv().unwrap();
        self.tasks.borrow_mut().insert(port.name().0, task);
        self.go = Some(go);
        Ok(Launched {
            task: port,
            thread: SendRight::from_name(abi::names::Name::NULL),
            identity,
            index: 7,
        })
    }

    fn begin(&mut self, _: &SendRight<dyn Thread>) -> Result<(), Failure> {
        let go = self.go.take().unwrap();
        go.send(()).map_err(|_| Failure::Unlucky("gone".into()))
    }

    fn make_right(&mut self, _: &Right) -> Result<SendRight, Failure> {
        Err(Failure::Bad("no such hardware".into()))
    }

    fn examine(&mut self, _: &SendRight<dyn Control>, _: &mut Exception) {}

    fn end(&mut self, task: &SendRight<dyn Control>) {
        if let Some(task) = self.tasks.borrow().get(&task.name().0) {
            task.kill();
        }
    }
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (path, content) in files {
        let mut header = [0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// A running bootstrap with servers of these manifests (TOML) and bodies, and programs.
struct System {
    bootstrap: SendRight<dyn Bootstrap>,
    supervisor: SendRight<dyn Supervisor>,
    task: Task,
}

fn unit(files: &mut Vec<(String, Vec<u8>)>, text: &str) -> Box<str> {
    let manifest: Manifest = toml::from_str(text).unwrap();
    let mut buffer = [0; manifest::MAX_ENCODED];
    let encoded = manifest.encode(&mut buffer).unwrap().to_vec();
    let name = manifest.name.to_string();
    files.push((format!("servers/{name}/manifest"), encoded));
    files.push((format!("servers/{name}/program"), Vec::new()));
    name.into()
}

impl System {
    fn start(servers: &[(&str, Body)], programs: &[(&'static str, Body)]) -> Self {
        let mut files = Vec::new();
        let mut bodies = BTreeMap::new();
        for (text, body) in servers {
            let name: &'static str = Box::leak(unit(&mut files, text));
            bodies.insert(name, *body);
        }
        for (name, body) in programs {
            files.push((format!("bin/{name}"), Vec::new()));
            bodies.insert(*name, *body);
        }
        // The tests' own way to the supervisor: a server whose manifest names it.
        const KEY: &str = "name = 'key'\nstart = 'boot'\nservices = ['test.key']\n\
            rights = { supervisor = { service = 'org.mello.supervisor' } }";
        unit(&mut files, KEY);
        bodies.insert("key", |context| {
            let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let own = context.send_right::<Untyped>("supervisor").unwrap();
            boot.client().register("test.supervisor", own).unwrap();
            time::sleep(ms(600_000));
        });
        files.sort();
        let bytes = tar(&files);
        let port = ReceiveRight::<dyn Bootstrap>::new().unwrap();
        let bootstrap = port.make_send().unwrap();
        let task = Task::spawn(vec![("port", give(port))], move |context| {
            let archive = Rc::new(Archive::read(bytes).unwrap());
            let port = context.receive_right("port").unwrap();
            let launcher = |exceptions| {
                let tasks = RefCell::default();
                Ok(Fake {
                    bodies,
                    exceptions,
                    go: None,
                    tasks,
                })
            };
            serve(&archive, port, launcher).unwrap();
        });
        let supervisor = loop {
            match bootstrap.client().look_up("test.supervisor") {
                Ok(right) => break right.cast(),
                Err(_) => time::sleep(ms(1)),
            }
        };
        Self {
            bootstrap,
            supervisor,
            task,
        }
    }

    fn look_up(&self, name: &str) -> libmach::Result<SendRight> {
        self.bootstrap.client().look_up(name)
    }

    fn echo(&self) -> SendRight<dyn Echo> {
        self.look_up("test.echo").unwrap().cast()
    }

    fn info(&self, name: &str) -> Info {
        let all = self.supervisor.client().services(0).unwrap();
        *all.iter().find(|info| &*info.name == name).unwrap()
    }

    /// Waits until `holds`; a test that never gets there says where it stands.
    fn wait_for(&self, name: &str, holds: impl Fn(&Info) -> bool) -> Info {
        for _ in 0..5000 {
            let info = self.info(name);
            if holds(&info) {
                return info;
            }
            time::sleep(ms(1));
        }
        panic!("{:?}", self.info(name));
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.task.kill();
    }
}

const DEMAND: &str = "name = 'echo'\nstart = 'demand'\nservices = ['test.echo']";
const BOOT: &str = "name = 'echo'\nstart = 'boot'\nservices = ['test.echo']";

/// A well-behaved server.
fn serve_echo(context: Context) {
    let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
    let port = boot.client().check_in("test.echo").unwrap();
    let service = libmach::Service::<dyn Echo>::on(port.cast());
    service.serve(echo_server::Server::default()).unwrap();
}

mod echo_server {
    use interfaces::echo::Echo;
    use libmach::Result;

    /// Says and adds.
    #[derive(Default)]
    pub(super) struct Server(u64);

    impl Echo for Server {
        async fn echo(&self, value: u64) -> Result<u64> {
            Ok(value)
        }

        async fn add(&mut self, n: u64) -> Result<u64> {
            self.0 += n;
            Ok(self.0)
        }
    }
}

/// Raises an exception as the kernel does for a thread, and waits for its end.
fn raise(context: &Context) {
    let to = context.send_right::<Untyped>("exceptions").unwrap();
    let id = abi::exception::RAISE;
    let words = [abi::exception::BAD_ACCESS.into(), 1, 0x10, 0x40_1000, 0, 0];
    message::send(to.name(), disposition::COPY_SEND, id, Shape::SHORT, words);
    time::sleep(Duration::from_secs(600));
}

#[test]
fn looking_up_starts_on_demand() {
    let system = System::start(&[(DEMAND, serve_echo)], &[]);
    assert_eq!(system.info("echo").state, State::Idle);
    assert_eq!(system.echo().client().echo(5), Ok(5));
    let info = system.info("echo");
    assert_eq!((info.state, info.restarts), (State::Running, 0));
    assert_eq!(info.task, 7);
}

#[test]
fn a_first_message_starts_on_demand() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\n\
        rights = { echo = { service = 'test.echo' } }\nrestart = 'never'";
    let system = System::start(
        &[
            (DEMAND, serve_echo),
            (CLIENT, |context| {
                let echo = context.send_right::<dyn Echo>("echo").unwrap();
                assert_eq!(echo.client().add(3), Ok(3));
                context.exit(9);
            }),
        ],
        &[],
    );
    let ended = system.wait_for("client", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 9");
    assert_eq!(system.info("echo").state, State::Running);
}

#[test]
fn queued_requests_survive_kills_and_kills_do_not_count() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let echo = system.echo();
    for kill in 1..=20 {
        system.wait_for("echo", |info| info.state == State::Running);
        assert_eq!(echo.client().add(1), Ok(1), "a new life begins at zero");
        system.supervisor.client().kill("echo").unwrap();
        let info = system.wait_for("echo", |info| info.restarts == kill);
        assert_eq!((info.deaths_in_row, info.cause), (0, Cause::Order));
    }
    // Stopped, requests wait in the queue; started, they are served.
    system.wait_for("echo", |info| info.state == State::Running);
    system.supervisor.client().stop("echo").unwrap();
    system.wait_for("echo", |info| info.state == State::Stopped);
    let waiting = Task::spawn(vec![("echo", give(system.echo()))], |context| {
        let echo = context.send_right::<dyn Echo>("echo").unwrap();
        assert_eq!(echo.client().add(4), Ok(4));
    });
    time::sleep(ms(20));
    assert_eq!(system.info("echo").state, State::Stopped);
    system.supervisor.client().start("echo").unwrap();
    system.wait_for("echo", |info| info.state == State::Running);
    waiting.join();
}

#[test]
fn eight_exceptions_in_a_row_fail_it_and_start_clears_that() {
    let system = System::start(
        &[(BOOT, |context| {
            let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let _port = boot.client().check_in("test.echo").unwrap();
            raise(&context);
        })],
        &[],
    );
    let failed = system.wait_for("echo", |info| info.state == State::Failed);
    assert_eq!((failed.deaths_in_row, failed.restarts), (8, 7));
    assert_eq!(failed.cause, Cause::Exception);
    let says = "died 8 times in a row, last: EXC_BAD_ACCESS at address 0x10, rip 0x401000";
    assert_eq!(&*failed.reason, says);
    let refused = system.look_up("test.echo");
    assert_eq!(refused, Err(Error::Code(refusal::SERVICE_FAILED)));
    system.supervisor.client().start("echo").unwrap();
    let again = system.info("echo");
    assert!(again.deaths_in_row < 8 && again.state != State::Failed);
}

#[test]
fn who_waits_for_a_failed_service_learns_it() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\n\
        rights = { bad = { service = 'test.bad' } }\nrestart = 'never'";
    const BAD: &str = "name = 'bad'\nstart = 'demand'\nservices = ['test.bad']\n\
        rights = { x = { service = 'no.such' } }";
    let system = System::start(
        &[
            (BAD, serve_echo),
            (CLIENT, |context| {
                let bad = context.send_right::<dyn Echo>("bad").unwrap();
                let died = Error::ServerDied {
                    maybe_executed: true,
                };
                assert_eq!(bad.client().add(1), Err(died));
                assert_eq!(bad.client().add(1), Err(died), "not only the first");
                context.exit(1);
            }),
        ],
        &[],
    );
    let ended = system.wait_for("client", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 1");
    let bad = system.info("bad");
    assert_eq!(bad.state, State::Failed);
    assert_eq!(&*bad.reason, "right `x`: no manifest declares no.such");
}

#[test]
fn a_silent_server_is_replaced() {
    const BEATING: &str = "name = 'echo'\nstart = 'boot'\nservices = ['test.echo']\nheartbeat = 30";
    let system = System::start(&[(BEATING, serve_echo)], &[]);
    let info = system.wait_for("echo", |info| info.restarts >= 1);
    assert_eq!(info.cause, Cause::Silence);
    assert_eq!(&*info.reason, "silent for two heartbeats of 30 ms");
}

#[test]
fn a_reported_violation_replaces_the_server_and_needs_the_right() {
    const CLIENT: &str = "name = 'client'\nstart = 'boot'\nrestart = 'never'\n\
        rights = { echo = { service = 'test.echo' } }";
    let system = System::start(
        &[
            (BOOT, serve_echo),
            (CLIENT, |context| {
                let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
                boot.client().violated("test.echo", "answers lies").unwrap();
                context.exit(0);
            }),
        ],
        &[],
    );
    let info = system.wait_for("echo", |info| info.restarts == 1);
    assert_eq!(info.cause, Cause::Protocol);
    assert_eq!(
        &*info.reason,
        "broke its protocol: answers lies (says client)"
    );
    let stranger = system.bootstrap.client().violated("test.echo", "x");
    assert_eq!(stranger, Err(Error::Code(refusal::NOT_PRIVILEGED)));
}

#[test]
fn power_over_services_needs_a_manifest_that_names_it() {
    let system = System::start(&[(BOOT, serve_echo)], &[]);
    let refused = |code| Err(Error::Code(code));
    let supervisor = system.look_up("org.mello.supervisor");
    assert_eq!(supervisor, refused(refusal::NOT_PRIVILEGED));
    assert_eq!(system.look_up("no.such"), refused(refusal::UNKNOWN_SERVICE));
    let stolen = system.bootstrap.client().check_in("test.echo");
    assert_eq!(stolen, Err(Error::Code(refusal::NOT_PRIVILEGED)));
    let client = system.supervisor.client();
    assert_eq!(
        client.kill("no-such"),
        Err(Error::Code(refusal::NO_SUCH_PROGRAM))
    );
}

#[test]
fn programs_get_a_console_and_their_end_is_told() {
    let system = System::start(
        &[],
        &[
            ("good", |context| {
                assert!(context.send_right::<Untyped>("console").is_ok());
                assert!(context.send_right::<Untyped>("bootstrap").is_ok());
                assert!(context.send_right::<Untyped>("supervisor").is_err());
                context.exit(42);
            }),
            ("bad", |context| raise(&context)),
            ("plain", |_| {}),
        ],
    );
    let console = ReceiveRight::<Untyped>::new().unwrap();
    let client = system.supervisor.client();
    let run = |name| {
        let console = console.make_send().unwrap();
        let (number, _task) = client.run(name, "a\0b", console).map_err(Error::from)?;
        client.wait(number)
    };
    let end = |how, value| Ok(Ended { how, value });
    assert_eq!(run("good"), end(End::Exited, 42));
    assert_eq!(run("plain"), end(End::Exited, 0));
    let kind = abi::exception::BAD_ACCESS.into();
    assert_eq!(run("bad"), end(End::Exception, kind));
    let none = Err(Error::Code(refusal::NO_SUCH_PROGRAM));
    assert_eq!(run("none"), none);
    assert_eq!(run("../etc"), none);
    assert_eq!(client.wait(99), none);
}

#[test]
fn a_registered_name_lives_as_long_as_its_port() {
    let system = System::start(&[], &[]);
    let port = ReceiveRight::<Untyped>::new().unwrap();
    let client = system.bootstrap.client();
    client
        .register("my.own", port.make_send().unwrap())
        .unwrap();
    assert!(client.look_up("my.own").is_ok());
    let again = client.register("my.own", port.make_send().unwrap());
    let in_use = Error::Code(refusal::NAME_IN_USE);
    assert_eq!(again.map_err(Error::from), Err(in_use));
    drop(port);
    for _ in 0..5000 {
        if client.look_up("my.own") == Err(Error::Code(refusal::UNKNOWN_SERVICE)) {
            return;
        }
        time::sleep(ms(1));
    }
    panic!("the name outlives its port");
}

#[test]
fn tasks_have_names() {
    const NAMED: &str = "name = 'named'\nstart = 'boot'\nrestart = 'never'";
    let system = System::start(
        &[(NAMED, |context| {
            let boot = context.send_right::<dyn Bootstrap>("bootstrap").unwrap();
            let name = boot.client().name_of(context.identity()).unwrap();
            assert_eq!(&*name, "named");
            assert_eq!(&*boot.client().name_of(0).unwrap(), "kernel");
            assert_eq!(&*boot.client().name_of(u64::MAX).unwrap(), "");
            context.exit(3);
        })],
        &[],
    );
    let ended = system.wait_for("named", |info| info.state == State::Stopped);
    assert_eq!(&*ended.reason, "ended by itself with status 3");
}
