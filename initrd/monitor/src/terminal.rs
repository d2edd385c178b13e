//! The terminal's session: banner, prompt, lines, Ctrl-C, Ctrl-D.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use channel::Exit;
use interfaces::log::LogClient;
use libmach::abi::{exception, signal};
use libmach::server::{Call, Concurrent};
use libmach::{Error, Result};

use crate::editor::{Editor, Event};
use crate::port::Port;
use crate::session::Session;
use crate::shell::Shell;
use crate::words;

const PROMPT: &str = "mello> ";

/// Brings what comes in on `port` to the session, as far as there is room.
///
/// # Errors
/// When the line is gone, or another reader took it over.
pub async fn listen(session: &Session, port: &Port) -> Result<()> {
    loop {
        session.input().room().await;
        session.input().put(&port.read().await?);
    }
}

/// Reads lines and runs them until the end of input, then turns the machine off.
///
/// # Errors
/// When the line is gone, or the machine cannot be turned off.
pub async fn attend(shell: &Shell, session: &Rc<Session>) -> Result<()> {
    session.raw(banner(shell).as_bytes()).await?;
    let mut editor = Editor::new(PROMPT);
    let mut intruder = Intruder::new(shell);
    loop {
        match next_event(session, &mut editor, &mut intruder).await? {
            Event::Line(line) => run_line(shell, session, &line).await?,
            Event::Cancelled => {}
            Event::EndOfInput => shell.shut_down()?,
        }
    }
}

fn banner(shell: &Shell) -> String {
    let machine = match shell.rights.host.client().info() {
        Ok(info) => {
            let memory = info.pages / 256;
            let cpus = if info.cpus == 1 { "CPU" } else { "CPUs" };
            format!("{}, {} {cpus}, {memory} MiB", info.version, info.cpus)
        }
        Err(error) => format!("(the kernel does not say what it is: {error})"),
    };
    format!("\r\n{machine}\r\nhelp lists commands; shutdown or Ctrl-D leaves\r\n")
}

/// Whoever else writes to the terminal: the log, which shows what is important there.
struct Intruder<'a> {
    log: LogClient<Concurrent<'a>>,
    seen: u64,
    /// Under way as long as the log answers.
    heard: Option<Call<u64, Error>>,
}

impl<'a> Intruder<'a> {
    fn new(shell: &'a Shell) -> Self {
        Self {
            log: shell.runtime.concurrent(&shell.rights.log),
            seen: 0,
            heard: None,
        }
    }

    /// Asks to be told of what is written, where no such call is under way.
    fn listen(&mut self) {
        if self.heard.is_none() {
            self.heard = Some(self.log.shown(self.seen));
        }
    }

    /// Waits until something was written. Without a log nothing is, until `listen` finds the next.
    async fn written(&mut self) {
        let Some(heard) = &mut self.heard else {
            return core::future::pending().await;
        };
        let heard = heard.await;
        self.heard = None;
        match heard {
            Ok(seen) => {
                self.seen = seen;
                self.listen();
            }
            Err(_) => core::future::pending().await,
        }
    }
}

async fn next_event(
    session: &Session,
    editor: &mut Editor,
    intruder: &mut Intruder<'_>,
) -> Result<Event> {
    let mut screen = Vec::new();
    intruder.listen();
    editor.show(&mut screen);
    loop {
        let mut event = None;
        while event.is_none()
            && let Some(byte) = session.input().next_now()
        {
            event = editor.push(byte, &mut screen);
        }
        editor.refresh(&mut screen);
        session.raw(&screen).await?;
        screen.clear();
        if let Some(event) = event {
            return Ok(event);
        }
        match unless(intruder.written(), session.input().some()).await {
            Some(()) => {}
            None => editor.show(&mut screen),
        }
    }
}

async fn run_line(shell: &Shell, session: &Rc<Session>, line: &str) -> Result<()> {
    let words = match words::split(line) {
        Ok(words) => words,
        Err(error) => return session.stdout(format!("{error}\n").as_bytes()).await,
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    session.input().begin();
    let ended = unless(
        session.input().interrupted(),
        shell.execute(&words, session),
    )
    .await;
    session.input().finish();
    match ended {
        None => session.raw(b"^C\r\n").await,
        Some(Exit::Exception { kind, signal }) => {
            let name = exception::name(kind.into());
            let signal = signal::name(signal.into());
            let text = format!("ended by {name} ({signal}); dmesg says more\n");
            session.stdout(text.as_bytes()).await
        }
        Some(Exit::Exited(_) | Exit::NoSuchCommand) => Ok(()),
    }
}

/// Runs `work`, or gives it up (`None`) when `stop` comes first.
async fn unless<T>(stop: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut stop, mut work) = (pin!(stop), pin!(work));
    poll_fn(|context| {
        if let Poll::Ready(value) = work.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        stop.as_mut().poll(context).map(|()| None)
    })
    .await
}
