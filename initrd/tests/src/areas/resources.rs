//! What a task may have, and what comes back of it.

use interfaces::host::Host;
use interfaces::task::{Ledger, Task};
use interfaces::thread::Thread;
use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::{Name, disposition, port_type, right};
use libmach::abi::registers::ReplyKind;
use libmach::abi::task::{DEFAULT_PRIORITY, Limits};
use libmach::abi::thread_state::ThreadState;
use libmach::{Error, ReceiveRight, Result, SendRight, message, ms, thread, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

const LIMITS: Limits = Limits {
    names: 8,
    messages: 2,
    threads: 1,
    pages: 16,
    kernel_bytes: 1 << 16,
};

cases! { "resources":
    "a child that nobody reaches gives its share back" => deserted,
    "no thread rises above its task's limit" => priority,
    "time that a thread runs is its task's" => cpu_time,
    "the right in the reply slot is one like others" => slot,
    "codes are shown in words" => words,
}

fn own() -> Result<SendRight<dyn Task>> {
    Ok(SendRight::from_name(trap::task_self()?))
}

/// The ledger, once it is as expected, or after a while.
fn settled(task: &SendRight<dyn Task>, expected: Ledger) -> Result<Ledger> {
    let end = time::deadline(ms(10_000));
    loop {
        let now = task.client().ledger()?;
        if now == expected || time::now() > end {
            return Ok(now);
        }
        time::sleep(ms(1));
    }
}

fn deserted(_: &World) -> Check {
    let own = own()?;
    drop(own.client().create(LIMITS, 0, 0)?);
    let before = own.client().ledger()?;
    for with_thread in [false, true] {
        let child = own.client().create(LIMITS, 0, 0)?;
        let carved = own.client().ledger()?.used.threads - before.used.threads;
        equal("threads set aside", carved, LIMITS.threads)?;
        if with_thread {
            // It is suspended, and nobody will resume it.
            drop(child.client().thread_create(ThreadState::default())?);
        }
        drop(child);
        let after = settled(&own, before)?;
        equal("ledger", after.used, before.used)?;
    }
    Ok(())
}

fn priority(_: &World) -> Check {
    let own = own()?;
    let limit = own.client().info()?.priority_limit;
    let thread = SendRight::<dyn Thread>::from_name(trap::thread_self()?);
    let refused = Err(Error::Code(KernReturn::NoAccess));
    equal("above", thread.client().set_priority(limit + 1, 0), refused)?;
    equal("at", thread.client().set_priority(limit, 0), Ok(()))?;
    thread.client().set_priority(DEFAULT_PRIORITY.into(), 0)?;
    let raised = own.client().set_priority_limit(limit + 1);
    equal("its own limit", raised, refused)?;
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let by_host = host
        .client()
        .set_priority_limit(own.duplicate()?, limit + 1);
    let by_host = by_host.map_err(|refused| refused.error);
    equal("by the ordinary host port", by_host, refused)?;
    let child = own.client().create(LIMITS, 0, 0)?;
    equal("a child's", child.client().info()?.priority_limit, limit)?;
    child.client().terminate()?;
    Ok(())
}

fn cpu_time(_: &World) -> Check {
    let own = own()?;
    let before = own.client().info()?.cpu_time;
    let (begin, mut after) = (time::now(), before);
    // Three slices: each end of one is when time is accounted.
    while after - before < 30_000_000 {
        check!(
            time::now() - begin < 60_000_000_000,
            "{} ns in a minute",
            after - before
        );
        after = own.client().info()?.cpu_time;
    }
    Ok(())
}

fn slot(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let (service, to) = (port.name(), port.make_send()?.into_name());
    let caller = thread::spawn(move || {
        let (_, reply) = message::call(to, 1, [0; 6]);
        // What it hears is that nobody will answer.
        assert_eq!(reply.id(), libmach::abi::notify::SEND_ONCE);
    })?;
    let (code, request) = message::receive(service);
    equal("code", code.0, 0)?;
    equal("kind", request.received().reply(), ReplyKind::Slot)?;
    let slot = Name::REPLY_SLOT;
    equal("type", trap::port_type(slot), Ok(port_type::SEND_ONCE))?;
    let once = trap::port_get_refs(slot, right::SEND_ONCE);
    equal("references", once, Ok(1))?;
    let inserted = trap::port_insert_right(service, slot, disposition::MOVE_SEND_ONCE);
    equal("insert", inserted, Err(KernReturn::NameExists))?;
    equal("deallocate", trap::port_deallocate(slot), Ok(()))?;
    let empty = trap::port_type(slot);
    equal("an empty one", empty, Err(KernReturn::InvalidName))?;
    caller.join();
    Ok(())
}

fn words(_: &World) -> Check {
    let text = alloc::format!("{}", Error::Code(KernReturn::UnknownService));
    check!(text.contains("no manifest declares the service"), "{text}");
    Ok(())
}
