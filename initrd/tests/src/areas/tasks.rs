//! What tasks keep for their children, and registers of their threads.

use interfaces::host::Host;
use interfaces::task::Task;
use interfaces::thread::Thread;
use libmach::abi::exception::{MASK_ALL, behavior};
use libmach::abi::kern_return::{KernReturn as K, MessageReturn};
use libmach::abi::names::Name;
use libmach::abi::task::{Limits, special};
use libmach::abi::thread_state::{FIXED_FLAGS, ThreadState};
use libmach::abi::transport::{Interface, Method};
use libmach::abi::vm::inherit;
use libmach::{Error, ReceiveRight, SendRight, Untyped, message, ms, time, trap};

use super::{cases, own};
use crate::case::{Check, World, check, code, equal};
use crate::child::{Child, exceptions};
use crate::raw::{self, Words};

const LIMITS: Limits = Limits {
    names: 16,
    messages: 4,
    threads: 1,
    pages: 16,
    kernel_bytes: 1 << 16,
};

cases! { "tasks":
    "special ports are those that were set, and a child's too" => special_ports,
    "registered ports are three, and a child's too" => registered,
    "a port that died is kept no longer" => dead_port,
    "a child begins without threads and rights, with memory as it is inherited" => fork,
    "a child's exceptions go where its parent's went" => exception_ports,
    "what neither threads nor tasks offer is refused" => not_offered,
    "special ports of the host are the kernel's, or what was set last" => of_the_host,
    "registers of a stopped thread are read and written" => registers,
    "a turn is given to a thread of lower priority" => turns,
}

// covers: B-01 T-01 T-06
fn special_ports(world: &World) -> Check {
    let names: SendRight<Untyped> = world.context.send_right("bootstrap")?;
    let early = own()?.client().special_port(special::BOOTSTRAP)?;
    equal("the name service", early.name(), names.name())?;
    let child = own()?.client().create(LIMITS, 0, 0)?;
    let client = child.client();
    let kernel = client.special_port(special::KERNEL)?;
    equal("its own port", kernel.name(), child.name())?;
    let host: SendRight<dyn Host> = client.special_port(special::HOST)?.cast();
    check!(host.client().info().is_ok(), "the host's port answers not");
    let refused = code(host.client().shutdown(0));
    equal("a privileged call by it", refused, K::NoAccess)?;
    let port = ReceiveRight::<Untyped>::new()?;
    let right = port.make_send()?;
    for which in [special::BOOTSTRAP, special::KERNEL, special::HOST] {
        client.set_special_port(which, right.duplicate()?)?;
        equal(
            "what was set",
            client.special_port(which)?.name(),
            right.name(),
        )?;
    }
    client.set_priority_limit(20)?;
    let grandchild = client.create(
        Limits {
            threads: 0,
            names: 4,
            messages: 1,
            pages: 1,
            kernel_bytes: 4096,
        },
        0,
        0,
    );
    if let Ok(grandchild) = &grandchild {
        let of = grandchild.client().special_port(special::BOOTSTRAP)?;
        equal("its child's", of.name(), right.name())?;
        let own = grandchild.client().special_port(special::KERNEL)?;
        equal("its child's own", own.name(), grandchild.name())?;
    }
    check!(grandchild.is_ok(), "no grandchild: {:?}", grandchild.err());
    client.clear_special_port(special::KERNEL)?;
    equal(
        "its own port again",
        client.special_port(special::KERNEL)?.name(),
        child.name(),
    )?;
    for which in [special::NAME, special::INSPECT, special::READ] {
        let lesser = code(client.special_port(which));
        equal("a right that is less", lesser, K::NotSupported)?;
    }
    for which in [0, 7, 99, u32::MAX] {
        equal(
            "a number that is none",
            code(client.special_port(which)),
            K::InvalidArgument,
        )?;
    }
    client.terminate()?;
    check!(
        client.special_port(special::KERNEL).is_err(),
        "a dead task answers"
    );
    Ok(())
}

// covers: T-01 T-06
fn registered(_: &World) -> Check {
    let own = own()?;
    let port = ReceiveRight::<Untyped>::new()?;
    let right = port.make_send()?;
    for index in 0..special::REGISTERED {
        equal(
            "at first",
            code(own.client().ports_lookup(index)),
            K::Failure,
        )?;
        own.client().ports_register(index, right.duplicate()?)?;
    }
    let child = own.client().create(LIMITS, 0, 0)?;
    for index in 0..special::REGISTERED {
        let kept = child.client().ports_lookup(index)?;
        equal("a child's", kept.name(), right.name())?;
    }
    let fourth = own
        .client()
        .ports_register(special::REGISTERED, right.duplicate()?);
    let fourth = code(fourth.map_err(Error::from));
    equal("a fourth", fourth, K::InvalidArgument)?;
    // Dead, they are none again, here and there.
    drop((port, right));
    for task in [&own, &child] {
        equal(
            "in the end",
            code(task.client().ports_lookup(0)),
            K::Failure,
        )?;
    }
    Ok(child.client().terminate()?)
}

// covers: T-06
fn dead_port(_: &World) -> Check {
    let child = own()?.client().create(LIMITS, 0, 0)?;
    let port = ReceiveRight::<Untyped>::new()?;
    child
        .client()
        .set_special_port(special::BOOTSTRAP, port.make_send()?)?;
    drop(port);
    let found = code(child.client().special_port(special::BOOTSTRAP));
    equal("a dead port", found, K::Failure)?;
    Ok(child.client().terminate()?)
}

// covers: H-02
fn of_the_host(world: &World) -> Check {
    use libmach::abi::host::special as of;
    let host: SendRight<dyn Host> = world.context.send_right("host")?;
    let (host, everybody) = (
        host.client(),
        SendRight::<dyn Host>::from_name(trap::host_self()?),
    );
    let own = host.special_port(of::HOST)?;
    equal("the ordinary port", own.name(), everybody.name())?;
    let refused = code(everybody.client().special_port(of::HOST));
    equal("without the privilege", refused, K::NoAccess)?;
    let (old, new) = (
        ReceiveRight::<Untyped>::new()?,
        ReceiveRight::<Untyped>::new()?,
    );
    for which in [0, of::HOST_PRIVILEGED, of::LAST_OF_KERNEL, of::LAST + 1] {
        let set = host.set_special_port(which, old.make_send()?);
        equal("code", code(set.map_err(Error::from)), K::InvalidArgument)?;
    }
    host.set_special_port(of::LAST, old.make_send()?)?;
    equal("rights to the first", old.send_rights()?, 1)?;
    host.set_special_port(of::LAST, new.make_send()?)?;
    equal("rights to what was replaced", old.send_rights()?, 0)?;
    let found = host.special_port(of::LAST)?;
    equal("what was set last", found.name(), new.name())?;
    drop((found, new));
    let gone = code(host.special_port(of::LAST));
    equal("with its port", gone, K::Failure)
}

// covers: F-08 T-01
fn fork(_: &World) -> Check {
    const PAGE: u64 = 4096;
    let mine = own()?;
    let at = raw::allocate(3 * PAGE)?;
    for page in 0..3 {
        raw::poke(at + page * PAGE, 1, page as u8 + 1);
    }
    mine.memory().inherit(at + PAGE, PAGE, inherit::SHARE)?;
    mine.memory().inherit(at + 2 * PAGE, PAGE, inherit::NONE)?;
    let limits = Limits {
        pages: 300,
        kernel_bytes: 1 << 17,
        ..LIMITS
    };
    let [child, empty] = [
        mine.client().create(limits, 7, 1)?,
        mine.client().create(LIMITS, 8, 0)?,
    ];
    for (child, identity) in [(&child, 7), (&empty, 8)] {
        let info = child.client().info()?;
        equal(
            "threads and token",
            (info.threads, info.identity),
            (0, identity),
        )?;
        let rights = child.client().rights(Name::NULL)?;
        check!(rights.is_empty(), "it has rights: {rights:?}");
    }
    let regions = empty.client().regions(0)?;
    check!(regions.is_empty(), "it has memory: {regions:?}");
    // As of the moment that it was made, but for what is shared, and without what is not inherited.
    for page in 0..2 {
        raw::poke(at + page * PAGE, 1, 0x11);
    }
    let mut seen = [0; 2];
    for (page, byte) in (0..).zip(seen.chunks_mut(1)) {
        child.read_memory(at + page * PAGE, byte)?;
    }
    equal("the child's", seen, [1, 0x11])?;
    let third = child.read_memory(at + 2 * PAGE, &mut seen);
    equal("what is not inherited", code(third), K::InvalidAddress)?;
    child.write_memory(at, &[0x22])?;
    child.write_memory(at + PAGE, &[0x22])?;
    equal("this task's", [at, at + PAGE].map(raw::byte), [0x11, 0x22])?;
    child.client().terminate()?;
    empty.client().terminate()?;
    Ok(raw::deallocate(at, 3 * PAGE)?)
}

// covers: T-01
fn exception_ports(_: &World) -> Check {
    let parent = own()?.client().create(LIMITS, 0, 0)?;
    let handler = ReceiveRight::<Untyped>::new()?;
    let form = behavior::DEFAULT | behavior::WIDE_CODES;
    let ports = exceptions(&parent)?;
    ports
        .client()
        .set(MASK_ALL, handler.make_send()?, form, 0)?;
    let limits = Limits {
        threads: 0,
        names: 4,
        messages: 1,
        pages: 1,
        kernel_bytes: 4096,
    };
    let child = parent.client().create(limits, 0, 0)?;
    // Its own from now on: the parent's change is not the child's.
    ports.client().clear(MASK_ALL)?;
    let (setting, right) = exceptions(&child)?.client().get(MASK_ALL, 0)?;
    equal("whose", right.name(), handler.make_send()?.name())?;
    equal("how", (setting.mask, setting.behavior), (MASK_ALL, form))?;
    child.client().terminate()?;
    Ok(parent.client().terminate()?)
}

// covers: T-13
fn not_offered(_: &World) -> Check {
    let thread = SendRight::<dyn Thread>::from_name(trap::thread_self()?);
    let task = own()?;
    let last = |methods: &[Method]| methods.last().map_or(0, |method| method.id);
    let behind_thread = last(<dyn Thread>::DESCRIPTION.methods) + 1;
    let behind_task = last(<dyn Task>::DESCRIPTION.methods) + 1;
    let calls = (behind_thread..behind_thread + 20).map(|id| (thread.name(), id));
    // Restartable ranges would be XNU's subsystem 8000.
    let ranges = [8000, 8001, behind_task].map(|id| (task.name(), id));
    for (to, id) in calls.chain(ranges) {
        let (code, reply) = message::call(to, id, [0; 6]);
        equal("answered", code, MessageReturn::Success)?;
        let code = K(reply.words[0] as u32);
        check!(code == K::MigBadId, "call {id}: {code}");
    }
    Ok(())
}

/// Says where it was sent, and with which argument.
extern "C" fn landed(page: &Words, argument: u64) -> ! {
    page.set(0, argument);
    loop {
        trap::thread_switch(Name::NULL, 0, 0).unwrap_or_default();
    }
}

/// Counts its turns, and ends when it is told to.
extern "C" fn counts(page: &Words, _: u64) {
    while page.get(1) == 0 {
        page.set(0, page.get(0) + 1);
        trap::swtch();
    }
}

// covers: T-11
fn turns(_: &World) -> Check {
    let child = Child::new(counts, 0)?;
    child.thread.client().set_priority(1, 1)?;
    child.run()?;
    // Where there is one CPU, the child has no turn while this thread only lets others of its priority run.
    let end = time::deadline(ms(10_000));
    while child.page.get(0) < 100 {
        trap::swtch_pri();
        check!(time::now() < end, "the child has no turns");
    }
    let depressed = SendRight::<dyn Thread>::from_name(trap::thread_self()?);
    let aborted = code(depressed.client().depress_abort());
    equal("what is left of it", aborted, K::NotDepressed)?;
    child.page.set(1, 1);
    child.until_gone()
}

extern "C" fn waits(_: &Words, _: u64) {
    trap::wait_until(u64::MAX).unwrap_or_default();
}

// covers: T-08 T-09
fn registers(_: &World) -> Check {
    let child = Child::new(waits, 0)?;
    let thread = child.thread.client();
    let first = thread.get_state()?;
    equal("its page", first.rsi, child.page.address())?;
    child.run()?;
    child.until_it_waits(libmach::abi::trace::wait::DEADLINE)?;
    thread.suspend()?;
    let waiting = thread.set_state(first);
    check!(
        waiting.is_err(),
        "registers of a wait are written before its end"
    );
    thread.abort()?;
    let stopped = thread.get_state()?;
    equal("what the wait answers", stopped.rax, K::Aborted.0.into())?;
    let bad = ThreadState {
        rip: 0xffff_8000_0000_0000,
        ..stopped
    };
    equal(
        "an address of the kernel",
        code(thread.set_state(bad)),
        K::InvalidArgument,
    )?;
    thread.set_state(ThreadState {
        rip: landed as *const () as u64,
        rdi: child.page.address(),
        rsi: 0x1234,
        // The stack is as behind a call again, and flags are not all its own.
        rsp: (stopped.rsp & !0xf) - 8,
        rflags: u64::MAX,
        ..stopped
    })?;
    let flags = thread.get_state()?.rflags;
    equal("fixed flags", flags & FIXED_FLAGS, FIXED_FLAGS)?;
    // I/O privilege, nested task and virtual mode are the kernel's.
    equal("the kernel's flags", flags & 0x3_7000, 0)?;
    thread.set_state(ThreadState {
        rflags: FIXED_FLAGS,
        ..thread.get_state()?
    })?;
    thread.resume()?;
    child.until(0, 0x1234)
}
