//! Threads that wait for a message, each on a port of its own and with a page of stack.

use alloc::format;

use interfaces::host::ThreadEntry;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::trap::construct;
use libmach::{message, trap};

use super::{Peak, Scene, Table};
use crate::raw::{Pages, waiter};
use crate::{Result, ensure};

/// Kernel memory for a task with so many threads.
const BYTES_EACH: u64 = 1024;

pub(super) fn waiting(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let (ports, stacks, done) = (Table::new(count)?, Pages::new(count)?, Pages::new(1)?);
    let others = scene.host.client().statistics()?.threads;
    for n in 0..count {
        let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
        ports.set(n, port);
        let state = waiter(port, stacks.page(n), done.page(0));
        let thread = scene.own.client().thread_create(state)?;
        thread.client().resume()?;
    }
    scene.until("threads to wait", || Ok(receivers(scene)? == count))?;
    peak.note(scene)?;
    for n in scene.order(count).iter() {
        let to = (ports.get(n), disposition::COPY_SEND);
        let code = message::send(to.0, to.1, 1, Shape::SHORT, [n; 6]);
        ensure(code == MessageReturn::Success, || format!("send: {code}"))?;
    }
    scene.until("threads to end", || {
        Ok(scene.host.client().statistics()?.threads == others)
    })?;
    let heard = done.read(0);
    ensure(heard == count, || format!("{heard} threads got a message"))?;
    for n in scene.order(count).iter() {
        trap::port_destruct(ports.get(n), -1)?;
    }
    Ok(())
}

/// They never run; their task is suspended and resumed, and ends with all of them.
pub(super) fn with_their_task(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let limits = Limits {
        names: 8,
        messages: 1,
        threads: count as u32,
        pages: 16,
        kernel_bytes: (count + 8) * BYTES_EACH,
    };
    let child = scene.own.client().create(limits, 0, 0)?;
    for _ in 0..count {
        drop(child.client().thread_create(ThreadState::default())?);
    }
    child.client().suspend()?;
    child.client().resume()?;
    peak.note(scene)?;
    child.client().terminate()?;
    Ok(())
}

/// How many threads wait for a message.
fn receivers(scene: &Scene) -> Result<u64> {
    let (mut found, mut first) = (0, 0);
    loop {
        let part = scene.host.client().threads(first)?;
        let Some(last) = part.last() else {
            return Ok(found);
        };
        first = last.index + 1;
        let waits = |thread: &&ThreadEntry| thread.state == wait::RECEIVE;
        found += part.iter().filter(waits).count() as u64;
    }
}
