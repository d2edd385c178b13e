//! `run -- CMD`: one command in the guest over the command channel, as if it ran here.

use super::machine::{Ending, Guest, REGISTERS_END};
use crate::fault::{Doing, Fault, Result};
use channel::{Decoder, Exit, Frame, HEADER_SIZE, MAX_PAYLOAD, encode};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel as events};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a guest may take to shut down after its command has ended.
const GRACE: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// By itself.
    Exited(u8),
    /// The guest knows no such command.
    NoSuchCommand,
    /// An exception that nothing handled.
    Exception {
        /// Which.
        kind: u16,
        /// The signal that POSIX has for it; 0: none.
        signal: u16,
    },
    /// The time was up.
    TimedOut,
    /// The guest's own watchdog ended it, and said what all threads did.
    Hung,
    /// The kernel panicked.
    Panicked,
    /// The guest ended before its command did.
    Lost(Ending),
}

impl Outcome {
    /// The exit status of `run -- CMD`.
    pub(crate) fn status(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::TimedOut | Self::Hung => 124,
            Self::Lost(_) => 125,
            Self::Panicked => 126,
            Self::NoSuchCommand => 127,
            Self::Exception { .. } => 134,
        }
    }
}

impl From<Exit> for Outcome {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Exited(code),
            Exit::NoSuchCommand => Self::NoSuchCommand,
            Exit::Exception { kind, signal } => Self::Exception { kind, signal },
        }
    }
}

/// Where what the guest writes comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stream {
    /// The command's standard output.
    Stdout,
    /// Its standard error.
    Stderr,
    /// The console: what everybody else says.
    Console,
}

enum Event {
    Ready,
    Said(Stream, Vec<u8>),
    Exited(Exit),
    Broken(channel::Error),
    Closed,
}

/// The host's side of the channel, shared between the threads that send.
type Sending = Arc<Mutex<UnixStream>>;

/// The payload that carries `arguments`, the command's name first.
pub(crate) fn request(arguments: &[String]) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    for argument in arguments {
        if argument.contains('\0') {
            return Err(Fault::usage("an argument holds a NUL"));
        }
        payload.extend(argument.as_bytes());
        payload.push(0);
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(Fault::usage(format!(
            "the arguments take {} bytes, at most {MAX_PAYLOAD} fit",
            payload.len()
        )));
    }
    Ok(payload)
}

/// Runs the command that `payload` names in `guest`; hands what is written to `take`.
pub(crate) fn execute(
    guest: &mut Guest,
    payload: &[u8],
    input: impl Read + Send + 'static,
    limit: Duration,
    mut take: impl FnMut(Stream, &[u8]) -> Result<()>,
) -> Result<Outcome> {
    let end = Instant::now() + limit;
    let happened = listen(guest)?;
    let sending: Sending = Arc::new(Mutex::new(
        guest.channel.try_clone().doing("share the channel")?,
    ));
    let mut input = Some(input);
    loop {
        match happened.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Event::Ready) => {
                // A guest that is gone by now is noticed by its closed channel.
                drop(send(&sending, &Frame::Run(payload)));
                if let Some(input) = input.take() {
                    let sending = Arc::clone(&sending);
                    // It may stay in a read for ever: it is never waited for.
                    thread::spawn(move || feed(input, &sending));
                }
            }
            Ok(Event::Said(stream, bytes)) => take(stream, &bytes)?,
            Ok(Event::Exited(exit)) => {
                finish(guest, &sending, &happened, &mut take)?;
                return Ok(exit.into());
            }
            Ok(Event::Broken(error)) => {
                return Err(Fault::new(format!("the command channel broke: {error}")));
            }
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => {
                return Ok(match guest.wait()? {
                    Ending::Panicked => Outcome::Panicked,
                    Ending::Hung => Outcome::Hung,
                    other => Outcome::Lost(other),
                });
            }
            Err(RecvTimeoutError::Timeout) => {
                ask_registers(guest, &happened);
                guest.kill();
                guest.wait()?;
                return Ok(Outcome::TimedOut);
            }
        }
    }
}

/// Has the emulator tell where all processors are, for whoever asks the guest afterwards.
fn ask_registers(guest: &mut Guest, happened: &Receiver<Event>) {
    let end = Instant::now() + GRACE;
    let mut said = Vec::new();
    if !guest.ask_registers() {
        return;
    }
    while !String::from_utf8_lossy(&said).contains(REGISTERS_END) {
        match happened.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Event::Said(Stream::Console, bytes)) => said.extend(bytes),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    guest.keep_registers(&String::from_utf8_lossy(&said));
}

fn listen(guest: &Guest) -> Result<Receiver<Event>> {
    let (report, happened) = events();
    let console = guest.console.try_clone().doing("share the console")?;
    let channel = guest.channel.try_clone().doing("share the channel")?;
    let heard = report.clone();
    thread::spawn(move || hear(console, &heard));
    thread::spawn(move || receive(channel, &report));
    Ok(happened)
}

fn hear(mut console: UnixStream, report: &Sender<Event>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = console.read(&mut buffer) {
        let said = Event::Said(Stream::Console, buffer[..count].to_vec());
        if report.send(said).is_err() {
            return;
        }
    }
}

fn receive(mut channel: UnixStream, report: &Sender<Event>) {
    let mut buffer = [0; 4096];
    let mut decoder = Decoder::after_noise();
    while let Ok(count @ 1..) = channel.read(&mut buffer) {
        for &byte in &buffer[..count] {
            let event = match decoder.push(byte) {
                Ok(None) => continue,
                Ok(Some(frame)) => event(frame),
                Err(error) => Event::Broken(error),
            };
            if report.send(event).is_err() {
                return;
            }
        }
    }
    // The receiver is gone when the command is done.
    drop(report.send(Event::Closed));
}

fn event(frame: Frame<'_>) -> Event {
    match frame {
        Frame::Ready => Event::Ready,
        Frame::Stdout(bytes) => Event::Said(Stream::Stdout, bytes.to_vec()),
        Frame::Stderr(bytes) => Event::Said(Stream::Stderr, bytes.to_vec()),
        Frame::Exit(exit) => Event::Exited(exit),
        Frame::Run(_) | Frame::Stdin(_) | Frame::StdinEof | Frame::Shutdown => {
            Event::Broken(channel::Error::Malformed)
        }
    }
}

fn feed(mut input: impl Read, sending: &Sending) {
    let mut buffer = [0; 1024];
    loop {
        let sent = match input.read(&mut buffer) {
            Ok(count @ 1..) => send(sending, &Frame::Stdin(&buffer[..count])),
            _ => send(sending, &Frame::StdinEof).and(Err(Fault::new("end of input"))),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn send(sending: &Sending, frame: &Frame<'_>) -> Result<()> {
    let mut bytes = [0; HEADER_SIZE + MAX_PAYLOAD];
    let size = encode(frame, &mut bytes).doing("make a frame")?;
    let mut channel = sending.lock().unwrap_or_else(PoisonError::into_inner);
    channel.write_all(&bytes[..size]).doing("send to the guest")
}

/// Asks the guest to shut down, shows what it still says, and ends it when it takes too long.
fn finish(
    guest: &mut Guest,
    sending: &Sending,
    happened: &Receiver<Event>,
    take: &mut impl FnMut(Stream, &[u8]) -> Result<()>,
) -> Result<()> {
    let end = Instant::now() + GRACE;
    // A thread that feeds input which the guest no longer reads may hold the channel; and a guest may
    // have ended by itself.
    if sending.try_lock().is_ok() {
        drop(send(sending, &Frame::Shutdown));
    }
    loop {
        match happened.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Event::Said(stream, bytes)) => take(stream, &bytes)?,
            Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                guest.kill();
                break;
            }
        }
    }
    guest.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_its_status() {
        let table = [
            (Outcome::Exited(0), 0),
            (Outcome::Exited(255), 255),
            (Outcome::TimedOut, 124),
            (Outcome::Hung, 124),
            (Outcome::Lost(Ending::Finished), 125),
            (Outcome::Panicked, 126),
            (Outcome::NoSuchCommand, 127),
            (
                Outcome::Exception {
                    kind: 1,
                    signal: 11,
                },
                134,
            ),
        ];
        for (outcome, status) in table {
            assert_eq!(outcome.status(), status, "{outcome:?}");
        }
        assert_eq!(Outcome::from(Exit::Exited(3)), Outcome::Exited(3));
    }

    #[test]
    fn arguments_arrive_unchanged() {
        let words = ["echo", "", "two words", "-n"].map(String::from);
        let payload = request(&words).unwrap();
        let arrived: Vec<_> = channel::arguments(&payload).collect();
        assert_eq!(arrived, words.each_ref().map(|word| word.as_bytes()));
        assert!(request(&["x".repeat(MAX_PAYLOAD)]).is_err());
        assert!(request(&["a\0b".into()]).is_err());
    }
}
