//! Tasks that live at the same time, each with a thread, a port and a page that it has written.

use alloc::format;

use interfaces::task::Task;
use libmach::SendRight;
use libmach::abi::PAGE_SIZE;
use libmach::abi::names::right;
use libmach::abi::task::Limits;
use libmach::abi::thread_state::ThreadState;
use libmach::abi::vm::flags;

use super::{Peak, Scene, Table};
use crate::{Result, ensure};

const LIMITS: Limits = Limits {
    names: 4,
    messages: 1,
    threads: 1,
    pages: 8,
    kernel_bytes: 1 << 14,
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
    for n in scene.order(count).iter() {
        let task = SendRight::<dyn Task>::from_name(tasks.get(n));
        task.client().terminate()?;
    }
    Ok(())
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
    for n in scene.order(count).iter() {
        let task = SendRight::<dyn Task>::from_name(tasks.get(n));
        task.client().terminate()?;
    }
    Ok(())
}
