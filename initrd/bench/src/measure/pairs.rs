//! Pairs of a client and a server that call all at once: for a kernel that measures its lock.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use libmach::abi::message::WORDS;
use libmach::abi::names::Name;
use libmach::message::call;
use libmach::thread;

use crate::peer::Peer;
use crate::server::{id, serve};
use crate::{Result, ensure};

/// Each of `pairs` clients, which are threads of this task, calls its own server task `rounds` times.
///
/// # Errors
/// When one cannot be made, or a call fails.
pub fn call_at_once(pairs: u64, rounds: u64) -> Result<()> {
    let servers = (0..pairs)
        .map(|_| Peer::serving(serve, 0)?.run())
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
                done.fetch_add(calls(port, rounds), Relaxed);
            });
            Ok(client?)
        })
        .collect::<Result<Vec<_>>>()?;
    clients.into_iter().for_each(thread::Join::join);
    ensure(
        done.load(Relaxed) == pairs * rounds,
        "a call of many at once failed",
    )
}

/// How many of the calls were answered.
fn calls(port: Name, rounds: u64) -> u64 {
    (0..rounds)
        .filter(|_| {
            let (code, answer) = call(port, id::EMPTY, [0; WORDS]);
            code.0 == 0 && answer.id() == id::EMPTY + id::REPLY
        })
        .count() as u64
}
