//! Tasks that live at the same time, each with a thread, a port and a page that it has written.

use alloc::format;

use interfaces::task::Task;
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::message::MAX_PORTS;
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::trace::wait;
use libmach::abi::vm::flags;
use libmach::{ReceiveRight, SendRight, message};

use super::threads::{in_wait, with_threads};
use super::{Peak, Scene, Table};
use crate::raw::{Pages, watcher};
use crate::{Result, ensure};

const LIMITS: Limits = Limits {
    names: 4,
    messages: 1,
    threads: 1,
    pages: 8,
    kernel_bytes: 1 << 14,
};

/// Those of a task that has this one's memory.
const FORK_LIMITS: Limits = Limits {
    pages: 32,
    kernel_bytes: 1 << 15,
    ..LIMITS
};

pub(super) fn together(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let tasks = Table::new(count)?;
    for n in 0..count {
        let task = scene.own.client().create(LIMITS, n, 0)?;
        drop(task.client().thread_create(ThreadState::default())?);
        task.client().port_allocate(right::RECEIVE)?;
        let page = task.client().vm_allocate(0, PAGE_SIZE, flags::ANYWHERE)?;
        task.client().vm_write(page, &n.to_le_bytes())?;
        tasks.set(n, task.into_name());
    }
    peak.note(scene)?;
    end(scene, &tasks, count)
}

/// A task each, with a thread: the right that steers the one processor set lists them all.
pub(super) fn in_their_set(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let host = scene.privileged.client();
    let set = host.processor_set_control(host.processor_set_default()?)?;
    let tasks = Table::new(count)?;
    for n in 0..count {
        let task = scene.own.client().create(LIMITS, n, 0)?;
        drop(task.client().thread_create(ThreadState::default())?);
        tasks.set(n, task.into_name());
    }
    peak.note(scene)?;
    let found = [
        set.client().tasks()?.count(),
        set.client().threads()?.count(),
    ];
    // This task and its thread are in the set as well.
    ensure(found == [count as usize + 1; 2], || {
        format!("{found:?} tasks and threads")
    })?;
    end(scene, &tasks, count)
}

/// Threads of one task, which the set lists only as long as one array has room for the rights to them.
pub(super) fn threads_in_their_set(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let host = scene.privileged.client();
    let set = host.processor_set_control(host.processor_set_default()?)?;
    let listed = || {
        let rights = set.client().threads().map(|rights| rights.count());
        rights.map_err(|error| error.code())
    };
    let some = count.min(MAX_PORTS as u64 - 1);
    let child = with_threads(scene, count, some)?;
    // This thread is in the set as well.
    let found = listed();
    ensure(found == Ok(some as usize + 1), || {
        format!("{found:?} of {some}")
    })?;
    for _ in some..count {
        drop(child.client().thread_create(ThreadState::default())?);
    }
    peak.note(scene)?;
    let found = listed();
    let expected = if some == count {
        Ok(some as usize + 1)
    } else {
        Err(KernReturn::ResourceShortage)
    };
    ensure(found == expected, || format!("{found:?} of {count}"))?;
    let processors = host.processors()?.count();
    ensure(processors > 0, || "no processors".into())?;
    child.client().terminate()?;
    Ok(())
}

/// A task each, which asked to hear when a port has room: of two full ports one gets room, the other ends.
pub(super) fn told_of_room(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let [roomy, ending] = [full_port()?, full_port()?];
    let (tasks, done) = (Table::new(count)?, Pages::shared(2)?);
    let others = scene.threads()?;
    for n in 0..count {
        let port = if n % 2 == 0 { &roomy } else { &ending };
        let task = scene.own.client().create(FORK_LIMITS, n, 1)?;
        let name = task.client().insert_send(Name::NULL, port.make_send()?)?;
        let notes = task.client().port_allocate(right::RECEIVE)?;
        let state = watcher(name, notes, done.page(0));
        task.client().thread_create(state)?.client().resume()?;
        tasks.set(n, task.into_name());
    }
    scene.until("threads to wait", || {
        Ok(in_wait(scene, wait::RECEIVE)? == count)
    })?;
    peak.note(scene)?;
    let (code, _) = message::receive_until(roomy.name(), 0);
    ensure(code == MessageReturn::Success, || format!("{code}"))?;
    drop(ending);
    scene.until_only(others)?;
    let told = [done.read(0), done.read(1)];
    ensure(told == [count.div_ceil(2), count / 2], || {
        format!("{told:?} were told")
    })?;
    end(scene, &tasks, count)
}

/// One with a message, and no room for another.
fn full_port() -> Result<ReceiveRight> {
    let port: ReceiveRight = ReceiveRight::new()?;
    port.set_queue_limit(1)?;
    let code = message::send(port.name(), disposition::MAKE_SEND, 1, Shape::SHORT, [0; 6]);
    ensure(code == MessageReturn::Success, || format!("send: {code}"))?;
    Ok(port)
}

/// Ends tasks.
fn end(scene: &Scene, tasks: &Table, count: u64) -> Result<()> {
    for n in scene.order(count).iter() {
        let task = SendRight::<dyn Task>::from_name(tasks.get(n));
        task.client().terminate()?;
    }
    Ok(())
}
