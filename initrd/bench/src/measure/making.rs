//! Making and ending: mappings, threads, tasks.

use interfaces::task::Task;
use libmach::abi::task::Limits;
use libmach::{SendRight, thread, trap};

use super::{Bench, Take, nothing};
use crate::{Result, ensure, raw};

/// What a task may hold that never runs: almost nothing.
pub(super) const LIMITS: Limits = Limits {
    names: 4,
    messages: 1,
    threads: 1,
    pages: 4,
    kernel_bytes: 16 << 10,
};

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(bench.measure(
        "vm_map_unmap",
        nothing,
        |()| raw::release(raw::allocate(1)?, 1),
        |_, done| done,
    ))?;
    take(bench.measure(
        "vm_map_touch_unmap",
        nothing,
        |()| {
            let page = raw::allocate(1)?;
            raw::write(page, 1);
            raw::release(page, 1)
        },
        |_, done| done,
    ))?;
    take(bench.measure(
        "thread_create_join",
        nothing,
        |()| {
            let thread = thread::spawn(|| ())?;
            thread.join();
            Ok(())
        },
        |_, done| done,
    ))?;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    take(bench.measure(
        "task_create_terminate",
        nothing,
        |()| {
            let task = own.client().create(LIMITS, 0, 0)?;
            task.client().terminate()?;
            Ok(task)
        },
        |_, ended: Result<_>| {
            let again = ended?.client().terminate();
            ensure(again.is_err(), "a task was ended twice")
        },
    ))
}
