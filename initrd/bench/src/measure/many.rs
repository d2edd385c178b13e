//! The same call beside very many other objects: what it costs does not depend on how many there are.
//!
//! Rows with one set beside 10,000 ports are [`set`](super::set)'s.

use alloc::vec::Vec;

use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::names::Name;
use libmach::abi::thread_state::ThreadState;
use libmach::{SendRight, trap};

use super::making::LIMITS;
use super::rpc::empty;
use super::{Bench, Take};
use crate::peer::Peer;
use crate::samples::Row;
use crate::server::serve;
use crate::{Result, ensure};

/// How many of each.
const COUNT: usize = 10_000;

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    let peer = Peer::serving(serve, 0)?.run()?;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    take(beside_names(bench, peer.port()))?;
    take(beside_threads(bench, peer.port(), &own))?;
    take(beside_tasks(bench, peer.port(), &own))
}

fn beside_names(bench: &Bench, port: Name) -> Result<Row> {
    let names = many(|| Ok(trap::port_construct(0, 0, 0)?))?;
    let row = empty(bench, "rpc_empty_names_10000", port)?;
    for name in names {
        trap::port_destroy(name)?;
    }
    Ok(row)
}

/// Threads that never run.
fn beside_threads(bench: &Bench, port: Name, own: &SendRight<dyn Task>) -> Result<Row> {
    let make = || Ok(own.client().thread_create(ThreadState::default())?);
    let threads: Vec<SendRight<dyn Thread>> = many(make)?;
    let row = empty(bench, "rpc_empty_threads_10000", port)?;
    for thread in &threads {
        thread.client().terminate()?;
    }
    Ok(row)
}

/// Tasks without threads.
fn beside_tasks(bench: &Bench, port: Name, own: &SendRight<dyn Task>) -> Result<Row> {
    let tasks = many(|| Ok(own.client().create(LIMITS, 0, 0)?))?;
    let row = empty(bench, "rpc_empty_tasks_10000", port)?;
    for task in &tasks {
        task.client().terminate()?;
    }
    Ok(row)
}

fn many<T>(mut make: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    let mut made = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        made.push(make()?);
    }
    ensure(made.len() == COUNT, "objects are missing")?;
    Ok(made)
}
