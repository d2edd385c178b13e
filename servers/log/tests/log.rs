//! The server over the host backend, with a console and a kernel's log of the test's own.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, which end a test that cannot go on"
)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use interfaces::bounded::Bytes;
use interfaces::console::Console;
use interfaces::log::{Level, Log};
use libmach::host::{Names, Task, give};
use libmach::{Context, Mach, ReceiveRight, Reply, Result, Runtime, SendRight, Service};
use log::screen::Screen;
use log::server::Server;

/// A console that hands on what is written, and takes so many bytes at once.
struct Terminal(Sender<String>, usize);

impl Console for Terminal {
    type Rights = Mach;

    async fn write(&mut self, bytes: &[u8], reply: Reply<u64>) {
        let taken = &bytes[..bytes.len().min(self.1)];
        let text = String::from_utf8(taken.to_vec()).unwrap();
        self.0.send(text).unwrap();
        reply.send(Ok(taken.len() as u64));
    }

    async fn read(&mut self, _: Reply<Bytes<1024>>) {}
}

struct System {
    log: SendRight<dyn Log>,
    shown: Receiver<String>,
    _names: Names,
    tasks: Vec<Task>,
}

impl System {
    fn start() -> Self {
        Self::with_console_of(usize::MAX)
    }

    fn with_console_of(size: usize) -> Self {
        let (to, shown) = channel();
        let names = Names::start().unwrap();
        let terminal = ReceiveRight::<dyn Console>::new().unwrap();
        let console = terminal.make_send().unwrap();
        let terminal = Task::spawn(vec![("port", give(terminal))], move |context| {
            let port = context.receive_right::<dyn Console>("port").unwrap();
            Service::on(port).serve(Terminal(to, size)).unwrap();
        });
        let port = ReceiveRight::<dyn Log>::new().unwrap();
        let log = port.make_send().unwrap();
        let bootstrap = names.context().unwrap().send_right("bootstrap").unwrap();
        let bootstrap: SendRight = bootstrap;
        // The host backend has no host port: to a port that died, every call fails at once.
        let dead = ReceiveRight::<libmach::Untyped>::new().unwrap();
        let host = dead.make_send().unwrap();
        let rights = vec![
            ("port", give(port)),
            ("bootstrap", give(bootstrap)),
            ("console", give(console)),
            ("host", give(host)),
        ];
        drop(dead);
        let server = Task::spawn(rights, |context| serve(&context).unwrap());
        Self {
            log,
            shown,
            _names: names,
            tasks: vec![terminal, server],
        }
    }

    fn shown(&self) -> String {
        self.shown.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.kill();
        }
    }
}

fn serve(context: &Context) -> Result<()> {
    let runtime = Runtime::new()?;
    let screen = Screen::new(runtime.clone(), context.send_right("console")?);
    let host = context.send_right("host");
    let host = host.unwrap_or_else(|_| SendRight::from_name(libmach::abi::names::Name::DEAD));
    let bootstrap = context.send_right("bootstrap")?;
    let server = Server::new(bootstrap, host, screen, runtime.clone());
    runtime.serve(context.receive_right::<dyn Log>("port")?, server)?;
    runtime.run()
}

#[test]
fn records_are_kept_in_order_with_their_writer() {
    let system = System::start();
    let log = system.log.client();
    log.write(Level::Info, "first\nsecond").unwrap();
    log.write(Level::Debug, "third").unwrap();
    let all = log.read(0).unwrap();
    let texts: Vec<_> = all.iter().map(|record| record.text.as_str()).collect();
    assert_eq!(texts, ["first", "second", "third"]);
    assert_eq!(all[2].number, 2);
    assert_eq!(all[2].level, Level::Debug);
    assert_ne!(all[0].identity, 0, "not the kernel");
    assert!(log.read(3).unwrap().is_empty());
}

#[test]
fn the_console_gets_what_matters_and_the_level_can_be_changed() {
    let system = System::start();
    let log = system.log.client();
    log.write(Level::Info, "quiet").unwrap();
    log.write(Level::Warning, "odd").unwrap();
    assert!(system.shown().ends_with("?: warning: odd\r\n"));
    log.set_console_level(Level::Info).unwrap();
    log.write(Level::Debug, "silent").unwrap();
    log.write(Level::Info, "told").unwrap();
    assert!(system.shown().ends_with("?: told\r\n"));
    log.set_console_level(Level::Error).unwrap();
    log.write(Level::Warning, "odd again").unwrap();
    log.write(Level::Error, "broken").unwrap();
    assert!(system.shown().ends_with("?: error: broken\r\n"));
}

#[test]
fn a_console_that_takes_little_gets_the_whole_line() {
    let system = System::with_console_of(10);
    system.log.client().write(Level::Error, "broken").unwrap();
    let mut line = String::new();
    while !line.ends_with('\n') {
        line += &system.shown();
    }
    assert!(line.ends_with("?: error: broken\r\n"), "{line}");
    assert!(line.starts_with('['), "{line}");
}

#[test]
fn who_has_a_prompt_there_hears_of_it() {
    let system = System::start();
    let runtime = Runtime::new().unwrap();
    let heard = runtime.concurrent(&system.log).shown(0);
    system.log.client().write(Level::Error, "broken").unwrap();
    assert_eq!(runtime.run_until(heard), Ok(Ok(1)));
    let line = system.shown();
    assert!(line.starts_with("\r\x1b[K["), "it takes the prompt's line");
    system.log.client().write(Level::Error, "again").unwrap();
    assert!(system.shown().starts_with('['), "nobody waits any more");
    assert_eq!(system.log.client().shown(1), Ok(2), "the next one");
}

#[test]
fn many_records_at_once_reach_the_console_in_order() {
    let system = System::start();
    let log = system.log.client();
    for number in 0..100 {
        log.write(Level::Error, &format!("n{number}")).unwrap();
    }
    for number in 0..100 {
        let shown = system.shown();
        assert!(shown.ends_with(&format!(": n{number}\r\n")), "{shown}");
    }
}
