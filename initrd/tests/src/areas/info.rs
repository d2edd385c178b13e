//! What tasks, threads, processors and the host tell by Mach's flavors.

use interfaces::default_pager::DefaultPager;
use interfaces::mach_host::MachHost;
use interfaces::processor::ProcessorSet;
use interfaces::squares::Squares;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::host::{info as host_info, processor, processor_set, statistics};
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::abi::task::{info, thread_info};
use libmach::abi::vm::sync;
use libmach::{Error, ReceiveRight, SendRight, message, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::raw;

cases! { "info":
    "a task's sizes and events follow what it does" => task,
    "a thread runs and has the time that is its task's" => thread,
    "the host counts its processors and their ticks" => host,
    "the host counts idle pages that are used, and memory objects that are mapped again" => reuse,
    "all tasks and threads are in the one processor set" => set,
}

const ROOM: u32 = 40;

/// The number that two words are.
fn wide(words: &[u32], at: usize) -> u64 {
    let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
    word(at) | word(at + 1) << 32
}

fn refused<T>(result: libmach::Result<T>, code: K) -> Check {
    let refused = result.err() == Some(Error::Code(code));
    check!(refused, "not refused with {code}");
    Ok(())
}

// covers: H-01 V-11
fn reuse(world: &World) -> Check {
    const PAGES: u64 = 8;
    let host = SendRight::<dyn MachHost>::from_name(trap::host_self()?);
    let counts = || -> Check<[u64; 2]> {
        let told = host.client().statistics(statistics::VM64, ROOM)?;
        Ok([6, 16].map(|at| wide(&told, at)))
    };
    // Without a default pager no anonymous page becomes idle.
    let store: SendRight<dyn DefaultPager> = world.context.send_right("pager")?;
    store.client().statistics()?;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let at = raw::allocate(PAGES * 4096)?;
    raw::poke(at, PAGES as usize * 4096, 1);
    let [before, _] = counts()?;
    own.memory().msync(at, PAGES * 4096, sync::DEACTIVATE)?;
    equal("byte", raw::peek(at + 7 * 4096, 1), [1].to_vec())?;
    raw::poke(at, PAGES as usize * 4096, 2);
    let [after, lookups] = counts()?;
    check!(after - before >= PAGES, "{after} after {before}");
    raw::deallocate(at, PAGES * 4096)?;
    let squares: SendRight<dyn Squares> = world.context.send_right("squares")?;
    let object = squares.client().object()?;
    let views = [(); 2].map(|()| raw::map(object.name(), 4096));
    let [_, now] = counts()?;
    check!(now > lookups, "{now} after {lookups}");
    for view in views {
        raw::deallocate(view?, 4096)?;
    }
    Ok(())
}

// covers: T-05
fn task(_: &World) -> Check {
    const PAGES: u64 = 8;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let own = own.client();
    let tell = |flavor| own.info_of(flavor, ROOM);
    let (sizes, events) = (tell(info::BASIC_64)?, tell(info::EVENTS)?);
    let at = raw::allocate(PAGES * 4096)?;
    raw::poke(at, PAGES as usize * 4096, 1);
    let (now, after) = (tell(info::BASIC_64)?, tell(info::EVENTS)?);
    let grown = PAGES * 4096;
    check!(wide(&now, 1) - wide(&sizes, 1) >= grown, "mapped: {now:?}");
    check!(
        wide(&now, 3) - wide(&sizes, 3) >= grown,
        "resident: {now:?}"
    );
    let more = |event: usize| after[event].wrapping_sub(events[event]);
    check!(more(0) >= PAGES as u32, "{} faults", more(0));
    // Queued, and received later: that is the general path.
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    message::send(send.name(), disposition::COPY_SEND, 1, Shape::SHORT, [0; 6]);
    message::receive(port.name());
    let last = tell(info::EVENTS)?;
    let more = |event: usize| last[event].wrapping_sub(after[event]);
    equal("sent and received", [more(3), more(4)], [1, 1])?;
    check!(more(5) >= 2, "traps: {last:?} after {after:?}");
    raw::deallocate(at, grown)?;
    refused(
        own.info_of(info::EVENTS, info::EVENTS_COUNT - 1),
        K::InvalidArgument,
    )?;
    refused(own.info_of(99, ROOM), K::InvalidArgument)
}

// covers: T-10
fn thread(_: &World) -> Check {
    let own = SendRight::<dyn Thread>::from_name(trap::thread_self()?);
    let basic = own.client().info_of(thread_info::BASIC, ROOM)?;
    equal("state", basic[6], thread_info::RUNNING)?;
    let begin = own.client().info_of(thread_info::EXTENDED, ROOM)?;
    let end = time::deadline(libmach::ms(60));
    while time::now() < end {}
    let after = own.client().info_of(thread_info::EXTENDED, ROOM)?;
    let ran = wide(&after, 0) - wide(&begin, 0);
    check!(ran > 20_000_000, "only {ran} ns of 60 ms");
    refused(own.client().info_of(1, ROOM), K::InvalidArgument)
}

// covers: H-01
fn host(_: &World) -> Check {
    let host = SendRight::<dyn MachHost>::from_name(trap::host_self()?);
    let host = host.client();
    let basic = host.info(host_info::BASIC, ROOM)?;
    let (count, told) = host.processor_info(processor::BASIC)?;
    equal("processors", count, basic[1])?;
    equal("of each", told.len() as u32, count * processor::BASIC_COUNT)?;
    let ticks = host.statistics(statistics::CPU_LOAD, ROOM)?;
    let all = u64::from(ticks[0]) + u64::from(ticks[2]);
    let expected = time::now() / statistics::TICK * u64::from(count);
    check!(
        all <= expected && expected - all < 100,
        "{all} ticks of {expected}"
    );
    let load = host.statistics(statistics::LOAD, ROOM)?;
    equal("averages", load.len() as u32, statistics::LOAD_COUNT)?;
    let memory = host.statistics(statistics::VM64, ROOM)?;
    check!(
        memory[0] > 0 && memory[1] > 0 && wide(&memory, 12) > 0,
        "{memory:?}"
    );
    equal("page size", host.page_size()?, 4096)
}

// covers: T-12
fn set(world: &World) -> Check {
    let privileged: SendRight<dyn MachHost> = world.context.send_right("host-privileged")?;
    let asks = privileged.client().processor_set_default()?;
    let steers = privileged
        .client()
        .processor_set_control(asks.duplicate()?)?;
    refused(asks.client().tasks(), K::NoAccess)?;
    let set: &SendRight<dyn ProcessorSet> = &steers;
    let (tasks, threads) = (
        set.client().tasks()?.count(),
        set.client().threads()?.count(),
    );
    let load = set.client().statistics(processor_set::LOAD, ROOM)?;
    check!(
        tasks > 4 && threads >= tasks,
        "{tasks} tasks, {threads} threads"
    );
    equal("tasks", load[0] as usize, tasks)?;
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    own.client().assign(steers.duplicate()?, 1)?;
    let wrong = own.client().assign(asks.duplicate()?, 1);
    refused(wrong.map_err(|refused| refused.error), K::InvalidArgument)
}
