//! A bootstrap whose tasks are tasks of the host backend, and bodies for them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use archive::Archive;
use bootstrap::launch::{Failure, Launched, Launcher, Request};
use bootstrap::report::Exception;
use bootstrap::serve::serve;
use interfaces::bootstrap::Bootstrap;
use interfaces::echo::Echo;
use interfaces::supervisor::{Info, Supervisor};
use interfaces::task::Task as Control;
use interfaces::thread::Thread;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::host::{Parcel, Task, give};
use libmach::{Context, ReceiveRight, SendRight, Untyped, abi, message, ms, time};
use manifest::{Manifest, Right};

/// A program: what its tasks do.
pub(crate) type Body = fn(Context);

/// A program of this name is dead before it is told of.
pub(crate) const STILLBORN: &str = "stillborn";

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
        if request.manifest.name == STILLBORN {
            task.kill();
        }
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
pub(crate) struct System {
    pub(crate) bootstrap: SendRight<dyn Bootstrap>,
    pub(crate) supervisor: SendRight<dyn Supervisor>,
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
    pub(crate) fn start(servers: &[(&str, Body)], programs: &[(&'static str, Body)]) -> Self {
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

    pub(crate) fn look_up(&self, name: &str) -> libmach::Result<SendRight> {
        self.bootstrap.client().look_up(name)
    }

    pub(crate) fn echo(&self) -> SendRight<dyn Echo> {
        self.look_up("test.echo").unwrap().cast()
    }

    pub(crate) fn info(&self, name: &str) -> Info {
        let all = self.supervisor.client().services(0).unwrap();
        *all.iter().find(|info| &*info.name == name).unwrap()
    }

    /// Waits until `holds`; a test that never gets there says where it stands.
    pub(crate) fn wait_for(&self, name: &str, holds: impl Fn(&Info) -> bool) -> Info {
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

pub(crate) const DEMAND: &str = "name = 'echo'\nstart = 'demand'\nservices = ['test.echo']";
pub(crate) const BOOT: &str = "name = 'echo'\nstart = 'boot'\nservices = ['test.echo']";

/// A well-behaved server.
pub(crate) fn serve_echo(context: Context) {
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
pub(crate) fn raise(context: &Context) {
    let to = context.send_right::<Untyped>("exceptions").unwrap();
    let id = abi::exception::RAISE;
    let words = [abi::exception::BAD_ACCESS.into(), 1, 0x10, 0x40_1000, 0, 0];
    message::send(to.name(), disposition::COPY_SEND, id, Shape::SHORT, words);
    time::sleep(Duration::from_secs(600));
}
