//! The interactive console: this terminal and the guest's first serial port, byte for byte.
//!
//! Ctrl-A X leaves, Ctrl-A Ctrl-A types a Ctrl-A; all else, Ctrl-C too, goes to the guest. Without a
//! terminal the lines of standard input are typed, and at its end a Ctrl-D, which shuts the guest
//! down.

use super::machine::{Ending, Guest};
use crate::fault::Result;
use std::io::{Read, Write, stdin, stdout};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Ctrl-A.
const PREFIX: u8 = 0x01;
/// Ctrl-D.
const END_OF_INPUT: u8 = 0x04;

/// Where typed bytes come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Typist {
    /// A person at a terminal.
    Person,
    /// A file or a pipe.
    Script,
}

/// How a session at the console ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// The person left with Ctrl-A X.
    Left,
    /// The time was up.
    TimedOut,
    /// The guest ended.
    Ended(Ending),
}

/// What the threads report.
enum Event {
    Left,
    Closed,
}

/// Connects until one side ends. `limit` is the time after which the guest is ended.
pub(crate) fn attend(
    guest: &mut Guest,
    typist: Typist,
    limit: Option<Duration>,
) -> Result<Outcome> {
    let (events, happened) = channel();
    if let (Ok(read), Ok(write)) = (guest.console.try_clone(), guest.console.try_clone()) {
        let closed = events.clone();
        thread::spawn(move || {
            show(read);
            // The receiver is gone when the session is over.
            drop(closed.send(Event::Closed));
        });
        // It may stay in a read from the terminal: it is never waited for.
        thread::spawn(move || type_in(typist, write, &events));
    }
    let event = match limit.map(|limit| Instant::now() + limit) {
        None => happened.recv().unwrap_or(Event::Closed),
        Some(end) => match happened.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(event) => event,
            Err(RecvTimeoutError::Disconnected) => Event::Closed,
            Err(RecvTimeoutError::Timeout) => {
                guest.kill();
                guest.wait()?;
                return Ok(Outcome::TimedOut);
            }
        },
    };
    match event {
        Event::Closed => Ok(Outcome::Ended(guest.wait()?)),
        Event::Left => {
            guest.kill();
            guest.wait()?;
            Ok(Outcome::Left)
        }
    }
}

fn show(mut console: UnixStream) {
    let mut buffer = [0; 4096];
    let mut out = stdout();
    while let Ok(count) = console.read(&mut buffer) {
        let shown = out.write_all(&buffer[..count]).and_then(|()| out.flush());
        if count == 0 || shown.is_err() {
            return;
        }
    }
}

fn type_in(typist: Typist, mut console: UnixStream, events: &Sender<Event>) {
    let mut buffer = [0; 4096];
    let mut keys = Keys::default();
    let mut input = stdin();
    while let Ok(count) = input.read(&mut buffer) {
        let mut typed = Vec::with_capacity(count);
        let verdict = match typist {
            Typist::Person => keys.translate(&buffer[..count], &mut typed),
            Typist::Script if count == 0 => {
                // What a person at an empty line would type.
                drop(console.write_all(&[END_OF_INPUT]));
                return;
            }
            Typist::Script => {
                typed.extend(buffer[..count].iter().map(enter));
                Verdict::Stay
            }
        };
        if console.write_all(&typed).is_err() || count == 0 {
            return;
        }
        if verdict == Verdict::Leave {
            // The receiver is gone when the session is over.
            drop(events.send(Event::Left));
            return;
        }
    }
}

/// The Enter key sends a carriage return.
fn enter(byte: &u8) -> u8 {
    if *byte == b'\n' { b'\r' } else { *byte }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Stay,
    Leave,
}

/// Remembers a Ctrl-A between two reads.
#[derive(Debug, Default)]
struct Keys {
    prefixed: bool,
}

impl Keys {
    /// Appends to `out` what the guest gets of `typed`.
    fn translate(&mut self, typed: &[u8], out: &mut Vec<u8>) -> Verdict {
        for &byte in typed {
            if !self.prefixed {
                match byte {
                    PREFIX => self.prefixed = true,
                    _ => out.push(byte),
                }
                continue;
            }
            self.prefixed = false;
            match byte {
                b'x' | b'X' => return Verdict::Leave,
                PREFIX => out.push(PREFIX),
                _ => out.extend([PREFIX, byte]),
            }
        }
        Verdict::Stay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ctrl_a_is_special() {
        let mut keys = Keys::default();
        let mut out = Vec::new();
        assert_eq!(keys.translate(b"ls\r\x03\x04", &mut out), Verdict::Stay);
        assert_eq!(keys.translate(b"\x01", &mut out), Verdict::Stay);
        assert_eq!(keys.translate(b"\x01\x01b", &mut out), Verdict::Stay);
        assert_eq!(out, b"ls\r\x03\x04\x01\x01b");
        out.clear();
        assert_eq!(keys.translate(b"a\x01xb", &mut out), Verdict::Leave);
        assert_eq!(out, b"a");
    }
}
