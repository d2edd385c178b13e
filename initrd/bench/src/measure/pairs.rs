//! Threads that all do the same at once, each with a server task of its own: for a kernel that measures its lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::WORDS;
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::registers::Shape;
use libmach::message::{call, call_registers, exchange, receive, send};
use libmach::thread;
use libmach::trap::{self, Registers};

use crate::peer::Peer;
use crate::server::{id, serve};
use crate::{Result, ensure, raw};

/// What is done at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Empty calls.
    Call,
    /// Calls with 64 bytes in the buffer.
    Inline,
    /// Messages that nobody answers.
    Send,
    /// Ports are made and ended.
    Port,
    /// Fresh pages are written.
    Fault,
}

impl Work {
    /// What a word of the kernel's command line means.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "call" => Self::Call,
            "64b" => Self::Inline,
            "send" => Self::Send,
            "port" => Self::Port,
            "fault" => Self::Fault,
            _ => return None,
        })
    }

    /// Does it so many times, with a server at a port; how many times it was done right.
    fn run(self, port: Name, rounds: u64) -> u64 {
        let count = |right: &dyn Fn(u64) -> bool| (0..rounds).filter(|n| right(*n)).count() as u64;
        match self {
            Self::Call => count(&|_| is_answer(call(port, id::EMPTY, [0; WORDS]), id::EMPTY)),
            Self::Inline => {
                let shape = Shape::buffered(64, 0);
                let request = || call_registers(port, id::BUFFER, shape, [0; WORDS]);
                count(&|_| is_answer(exchange(request()), id::BUFFER))
            }
            Self::Send => count(&|n| {
                send(
                    port,
                    disposition::COPY_SEND,
                    id::EMPTY,
                    Shape::SHORT,
                    [n; WORDS],
                )
                .0 == 0
            }),
            Self::Port => count(&|_| {
                let made = trap::port_allocate(right::RECEIVE);
                made.and_then(trap::port_destroy).is_ok()
            }),
            Self::Fault => raw::allocate(rounds).map_or(0, |memory| {
                count(&|n| {
                    raw::write(memory + n * PAGE_SIZE, n);
                    raw::read(memory + n * PAGE_SIZE) == n
                })
            }),
        }
    }
}

fn is_answer((code, answer): (MessageReturn, Registers), request: i32) -> bool {
    code == MessageReturn::Success && answer.id() == request + id::REPLY
}

/// Takes messages until there can be no more.
extern "C" fn drain(port: Name, _: u64) {
    while receive(port).0 == MessageReturn::Success {}
}

/// Each of `pairs` clients, which are threads of this task, does its work `rounds` times.
///
/// # Errors
/// When one cannot be made, or fails.
pub fn at_once(work: Work, pairs: u64, rounds: u64) -> Result<()> {
    let server = match work {
        Work::Send => drain,
        _ => serve,
    };
    let servers = (0..pairs)
        .map(|_| Peer::serving(server, 0)?.run())
        .collect::<Result<Vec<_>>>()?;
    let (ready, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients = servers
        .iter()
        .map(|server| {
            let (port, ready, done) = (server.port(), Arc::clone(&ready), Arc::clone(&done));
            let client = thread::spawn(move || {
                ready.fetch_add(1, Relaxed);
                while ready.load(Relaxed) < pairs {
                    spin_loop();
                }
                done.fetch_add(work.run(port, rounds), Relaxed);
            });
            Ok(client?)
        })
        .collect::<Result<Vec<_>>>()?;
    clients.into_iter().for_each(thread::Join::join);
    ensure(
        done.load(Relaxed) == pairs * rounds,
        "one of many at once failed",
    )
}
