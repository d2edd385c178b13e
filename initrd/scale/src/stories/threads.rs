//! Threads that wait for a message, each on a port of its own and with a page of stack; those that wait for words; and those that
//! are only listed.

use alloc::format;

use interfaces::host::ThreadEntry;
use interfaces::task::FIRST_THREAD;
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::trap::construct;
use libmach::{message, trap};

use super::{Peak, Scene, Table};
use crate::raw::{Pages, at_semaphore, sleeper, waiter};
use crate::{Result, ensure};

/// Words of a page.
const WORDS: u64 = PAGE_SIZE / size_of::<u32>() as u64;
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
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::RECEIVE)? == count)
    })?;
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

/// One half waits for the same word, each of the others for one of its own.
pub(super) fn at_words(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    /// More than one wake wakes.
    const ALL: u32 = u32::MAX;
    let (words, done) = (Pages::new(count.div_ceil(WORDS))?, Pages::new(1)?);
    let others = scene.host.client().statistics()?.threads;
    for n in 0..count {
        let state = sleeper(words.place(n % 2 * n), done.page(0));
        let thread = scene.own.client().thread_create(state)?;
        thread.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::FUTEX)? == count)
    })?;
    peak.note(scene)?;
    for n in scene.order(count / 2).iter() {
        let woken = words.wake(2 * n + 1, ALL)?;
        ensure(woken == 1, || format!("{woken} threads waited for a word"))?;
    }
    let mut left = count.div_ceil(2);
    while left > 0 {
        let woken = words.wake(0, ALL)?;
        ensure(woken > 0 && woken <= left, || format!("{woken} of {left}"))?;
        left -= woken;
    }
    scene.until("threads to end", || {
        Ok(scene.host.client().statistics()?.threads == others)
    })?;
    let heard = done.read(0);
    ensure(heard == count, || format!("{heard} threads were woken"))
}

/// Most of them wait for a semaphore that lets all go at once, every sixth for one that ends.
pub(super) fn at_semaphores(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let done = Pages::new(2)?;
    let others = scene.host.client().statistics()?.threads;
    let own = scene.own.client();
    let semaphores = [own.semaphore_create(0, 0)?, own.semaphore_create(0, 0)?];
    for n in 0..count {
        let semaphore = semaphores[usize::from(n % 6 == 5)].name();
        let thread = own.thread_create(at_semaphore(semaphore, done.page(0)))?;
        thread.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::SEMAPHORE)? == count)
    })?;
    peak.note(scene)?;
    semaphores[0].client().signal_all()?;
    semaphores[1].client().destroy()?;
    scene.until("threads to end", || {
        Ok(scene.host.client().statistics()?.threads == others)
    })?;
    let ended = [done.read(0), done.read(1)];
    let expected = [count - count / 6, count / 6];
    ensure(ended == expected, || format!("{ended:?} threads ended"))
}

/// They never run; they are listed, and this task gets a right to each and lists its names.
pub(super) fn listed(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let limits = Limits {
        names: 8,
        messages: 1,
        threads: count as u32,
        pages: 16,
        kernel_bytes: (count + 8) * BYTES_EACH * 2,
    };
    let child = scene.own.client().create(limits, 0, 0)?;
    for _ in 0..count {
        drop(child.client().thread_create(ThreadState::default())?);
    }
    let rights = child.client().thread_rights()?;
    peak.note(scene)?;
    let (names, found) = scene.own.client().port_names()?;
    ensure(u64::from(found) >= count, || format!("{found} names"))?;
    drop((names, rights));
    let (mut seen, mut after) = (0, FIRST_THREAD);
    loop {
        let part = child.client().threads(after)?;
        let Some(last) = part.last() else { break };
        (seen, after) = (seen + part.len() as u64, *last);
    }
    ensure(seen == count, || format!("{seen} threads are listed"))?;
    child.client().terminate()?;
    // Where they were there is nothing now, for long.
    scene.until("threads to end", || Ok(in_wait(scene, wait::NONE)? < count))?;
    Ok(())
}

/// How many threads wait for the same kind of thing.
fn in_wait(scene: &Scene, state: u32) -> Result<u64> {
    let (mut found, mut first) = (0, 0);
    loop {
        let part = scene.host.client().threads(first)?;
        let Some(last) = part.last() else {
            return Ok(found);
        };
        first = last.index + 1;
        let waits = |thread: &&ThreadEntry| thread.state == state;
        found += part.iter().filter(waits).count() as u64;
    }
}
