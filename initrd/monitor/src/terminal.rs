//! The terminal's session: banner, prompt, lines, Ctrl-C, Ctrl-D.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use channel::Exit;
use libmach::Result;
use libmach::abi::exception;

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
    loop {
        match next_event(session, &mut editor).await? {
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

async fn next_event(session: &Session, editor: &mut Editor) -> Result<Event> {
    let mut screen = Vec::new();
    editor.show(&mut screen);
    loop {
        // Drawn once for all that is there already.
        let mut event = None;
        while event.is_none()
            && let Some(byte) = session.input().next_now()
        {
            event = editor.push(byte, &mut screen);
        }
        session.raw(&screen).await?;
        screen.clear();
        if let Some(event) = event {
            return Ok(event);
        }
        let byte = session.input().next().await;
        if let Some(event) = editor.push(byte, &mut screen) {
            session.raw(&screen).await?;
            return Ok(event);
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
        Some(Exit::Exception(kind)) => {
            let name = exception::name(kind);
            let text = format!("ended by {name}; dmesg has the report\n");
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
