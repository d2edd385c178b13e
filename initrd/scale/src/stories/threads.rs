//! Threads that wait for a message, each on a port of its own and with a page of stack; those that wait for words; and those that
//! are only listed.

use alloc::format;

use interfaces::host::ThreadEntry;
use interfaces::task::{FIRST_THREAD, Task};
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::{disposition, queue_limit};
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::trap::{attribute, construct};
use libmach::{SendRight, message, trap};

use super::{Peak, Scene, Table};
use crate::raw::{Pages, at_semaphore, sender, sleeper, waiter};
use crate::{Failure, Result, ensure};

/// Words of a page.
const WORDS: u64 = PAGE_SIZE / size_of::<u32>() as u64;
/// No deadline.
const NEVER: u64 = u64::MAX;
/// Nanoseconds in which a thread is made and runs as far as it waits.
const START: u64 = 100_000;
/// When no story takes place any more.
const LATER: u64 = 1 << 62;
/// Bytes of what the kernel keeps of a thread that waits for a message, at the most: less than a page of stack.
const RECORDS_EACH: u64 = 1024;
/// Frames that the kernel may take for something else meanwhile.
const ROOM: u64 = 64;
/// Kernel memory for a task with so many threads.
const BYTES_EACH: u64 = 2048;

pub(super) fn waiting(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let (ports, stacks, done) = (Table::new(count)?, Pages::new(count)?, Pages::new(1)?);
    let others = scene.threads()?;
    for n in 0..count {
        let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
        ports.set(n, port);
        let state = waiter(port, NEVER, stacks.page(n), done.page(0));
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
    scene.until_only(others)?;
    let heard = done.read(0);
    ensure(heard == count, || format!("{heard} threads got a message"))?;
    for n in scene.order(count).iter() {
        trap::port_destruct(ports.get(n), -1)?;
    }
    Ok(())
}

/// They never run; their task is suspended and resumed, and ends with all of them.
pub(super) fn with_their_task(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let child = with_threads(scene, count, count)?;
    child.client().suspend()?;
    child.client().resume()?;
    peak.note(scene)?;
    child.client().terminate()?;
    Ok(())
}

/// One half waits for the same word, each of the others for one of its own, and each for a time as well that does not
/// come. Of those that wait for the same word some are made to wait for another one.
pub(super) fn at_words(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let (words, done) = (Pages::new(count.div_ceil(WORDS))?, Pages::new(1)?);
    let others = scene.threads()?;
    for n in 0..count {
        let state = sleeper(words.place(n % 2 * n), LATER + n, done.page(0));
        let thread = scene.own.client().thread_create(state)?;
        thread.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::FUTEX)? == count)
    })?;
    peak.note(scene)?;
    let same = count.div_ceil(2);
    in_parts(same / 2, |most| words.requeue(0, 2, most))?;
    in_parts(same - same / 2, |most| words.wake(0, most))?;
    in_parts(same / 2, |most| words.wake(2, most))?;
    for n in scene.order(count / 2).iter() {
        let woken = words.wake(2 * n + 1, u32::MAX)?;
        ensure(woken == 1, || format!("{woken} threads waited for a word"))?;
    }
    scene.until_only(others)?;
    let heard = done.read(0);
    ensure(heard == count, || format!("{heard} threads were woken"))
}

/// Does something with so many threads, of which one trap takes only some.
fn in_parts(count: u64, some: impl Fn(u32) -> Result<u64>) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let found = some(left as u32)?;
        ensure(found > 0 && found <= left, || format!("{found} of {left}"))?;
        left -= found;
    }
    Ok(())
}

/// Each waits for a word of its own, and for a time, when their task ends: one that has this one's memory.
pub(super) fn ended_in_wait(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let (words, done) = (Pages::new(count.div_ceil(WORDS))?, Pages::new(1)?);
    let limits = Limits {
        names: 8,
        messages: 1,
        threads: count as u32,
        pages: 1024 + 2 * count.div_ceil(WORDS) as u32,
        kernel_bytes: (count + 64) * BYTES_EACH,
    };
    let child = scene.own.client().create(limits, 0, 1)?;
    for n in 0..count {
        let state = sleeper(words.place(n), LATER + n, done.page(0));
        child.client().thread_create(state)?.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::FUTEX)? == count)
    })?;
    peak.note(scene)?;
    child.client().suspend()?;
    child.client().resume()?;
    child.client().terminate()?;
    Ok(())
}

/// All wait for the same time, each at a word of its own.
pub(super) fn at_deadlines(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let (words, done) = (Pages::new(count.div_ceil(WORDS))?, Pages::new(1)?);
    let others = scene.threads()?;
    let deadline = trap::clock() + count * START;
    for n in 0..count {
        let state = sleeper(words.place(n), deadline, done.page(0));
        scene.own.client().thread_create(state)?.client().resume()?;
    }
    peak.note(scene)?;
    trap::wait_until(deadline)?;
    scene.until_only(others)?;
    let ended = done.read(0);
    ensure(ended == count, || format!("{ended} threads went on"))
}

/// All wait for a message at the same port, each for a time as well that does not come; the port ends. Meanwhile they cost
/// their records, and no stack: neither of this task's memory nor of the kernel's.
// covers: T-14
pub(super) fn at_a_port(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let port = trap::port_construct(0, 0, 0)?;
    let (stack, done) = (Pages::new(1)?, Pages::new(1)?);
    let others = scene.threads()?;
    let kernel = || Ok::<u64, Failure>(scene.host.client().statistics()?.kernel_frames);
    let before = kernel()?;
    for n in 0..count {
        let state = waiter(port, LATER + n, stack.page(0), done.page(0));
        scene.own.client().thread_create(state)?.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::RECEIVE)? == count)
    })?;
    peak.note(scene)?;
    let frames = kernel()?.saturating_sub(before);
    let most = count * RECORDS_EACH;
    ensure(
        peak.bytes <= most && frames <= most / PAGE_SIZE + ROOM,
        || format!("{} bytes and {frames} frames of the kernel's", peak.bytes),
    )?;
    trap::port_destruct(port, 0)?;
    scene.until_only(others)?;
    let heard = done.read(0);
    ensure(heard == 0, || format!("{heard} threads got a message"))
}

/// All wait to send to the same port, each for a time as well that does not come. There is room for
/// some of the messages, and then the port ends.
pub(super) fn sending(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let port = trap::port_construct(0, 0, 0)?;
    trap::port_set_attribute(port, attribute::QUEUE_LIMIT, 1)?;
    let (stack, done) = (Pages::new(1)?, Pages::new(1)?);
    let others = scene.threads()?;
    for n in 0..count {
        let state = sender(port, LATER + n, stack.page(0), done.page(0));
        scene.own.client().thread_create(state)?.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::SEND)? == count - 1)
    })?;
    peak.note(scene)?;
    let room = u64::from(queue_limit::MAX).min(count / 2);
    trap::port_set_attribute(port, attribute::QUEUE_LIMIT, room)?;
    scene.until("threads to send", || {
        Ok(in_wait(scene, wait::SEND)? == count - room)
    })?;
    trap::port_destruct(port, 0)?;
    scene.until_only(others)?;
    let sent = done.read(0);
    ensure(sent == count, || format!("{sent} threads sent"))
}

/// Most of them wait for a semaphore that lets all go at once, every sixth for one that ends.
pub(super) fn at_semaphores(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let done = Pages::new(2)?;
    let others = scene.threads()?;
    let own = scene.own.client();
    let semaphores = [own.semaphore_create(0, 0)?, own.semaphore_create(0, 0)?];
    for n in 0..count {
        let semaphore = semaphores[usize::from(n % 6 == 5)].name();
        let thread = own.thread_create(at_semaphore(semaphore, LATER + n, done.page(0)))?;
        thread.client().resume()?;
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::SEMAPHORE)? == count)
    })?;
    peak.note(scene)?;
    semaphores[0].client().signal_all()?;
    semaphores[1].client().destroy()?;
    scene.until_only(others)?;
    let ended = [done.read(0), done.read(1)];
    let expected = [count - count / 6, count / 6];
    ensure(ended == expected, || format!("{ended:?} threads ended"))
}

/// They never run; they are listed, and this task gets a right to each and lists its names.
pub(super) fn listed(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let child = with_threads(scene, count, count)?;
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

/// A task that has so many threads, none of which runs, and may have `most`.
pub(super) fn with_threads(scene: &Scene, most: u64, count: u64) -> Result<SendRight<dyn Task>> {
    let limits = Limits {
        names: 8,
        messages: 1,
        threads: most as u32,
        pages: 16,
        kernel_bytes: (most + 8) * BYTES_EACH,
    };
    let child = scene.own.client().create(limits, 0, 0)?;
    for _ in 0..count {
        drop(child.client().thread_create(ThreadState::default())?);
    }
    Ok(child)
}

/// How many threads wait for the same kind of thing.
pub(super) fn in_wait(scene: &Scene, state: u32) -> Result<u64> {
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
