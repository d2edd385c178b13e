//! The host port: what everybody may see, and what the privileged one does.

use abi::host::special;
use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition};
use abi::notify;
use abi::start::names::HOST_PRIVILEGED;
use abi::trace::Kind;
use abi::trap;
use interfaces::host::Host;
use interfaces::task::Task;
use sim::{Config, Path, image};

use crate::transport::Give;
use crate::world::{World, code, copy, moved};

fn ordinary(world: &World) -> Name {
    Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32)
}

#[test]
fn everybody_may_look() {
    let world = World::new(Config::with_cpus(2));
    let child = world.child();
    child.task.set_name("child").unwrap();
    let host = world.client::<dyn Host>(copy(ordinary(&world)));
    let info = host.info().unwrap();
    assert_eq!(info.cpus, 2);
    assert!(info.pages > info.free_pages && info.free_pages > 0);
    assert!(info.version.starts_with("MelloOS "));
    let before = host.statistics().unwrap();
    let after = host.statistics().unwrap();
    assert_eq!(
        (after.traps, after.messages),
        (before.traps + 1, before.messages + 1)
    );
    assert_eq!((after.tasks, after.threads), (2, 1));
    assert!(after.kernel_bytes > 0 && after.frames > 0);
    let tasks = host.tasks(0).unwrap();
    let listed: Vec<_> = tasks
        .iter()
        .map(|task| (task.identity, &*task.name))
        .collect();
    assert_eq!(listed, [(1, "bootstrap"), (77, "child")]);
    assert!(host.tasks(tasks[1].index + 1).unwrap().is_empty());
    child.end();
    world.at_baseline();
}

#[test]
fn threads_are_listed_with_what_they_do() {
    let world = World::single();
    let host = world.client::<dyn Host>(copy(ordinary(&world)));
    let child = world.child();
    let (thread, right) = child.thread();
    let all = host.threads(0).unwrap();
    let own = all.iter().find(|entry| entry.cpu == 0).unwrap();
    assert_eq!((own.state, own.waits_at), (0, u32::MAX), "it runs");
    let made = all.iter().find(|entry| entry.index == thread).unwrap();
    assert_eq!(made.task, child.task.info().unwrap().index);
    assert_eq!(made.cpu, u32::MAX);
    let last = all.last().unwrap().index;
    assert!(host.threads(last + 1).unwrap().is_empty());
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: H-01
#[test]
fn only_the_privileged_port_steers() {
    let world = World::single();
    let host = world.client::<dyn Host>(copy(ordinary(&world)));
    assert_eq!(code(host.task(0)), K::NoAccess);
    assert_eq!(code(host.trace_enable(1)), K::NoAccess);
    assert_eq!(code(host.shutdown(0)), K::NoAccess);
    assert_eq!(code(host.reboot()), K::NoAccess);
    assert_eq!(code(host.set_fast_path(0)), K::NoAccess);
    let host = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    assert_eq!(code(host.trace_enable(2)), K::InvalidArgument);
    assert_eq!(code(host.task(99)), K::InvalidTask);
    let child = world.child();
    let index = child.task.info().unwrap().index;
    let right = host.task(index).unwrap();
    assert_eq!(right.0, child.right.0, "the task's own port");
    world.client::<dyn Task>(right).terminate().unwrap();
    assert_eq!(code(host.task(index)), K::InvalidTask);
    world.release(right);
    world.release(child.right);
    assert!(!world.sim.borrow().machine.off);
    assert_eq!(world.sim.borrow().machine.resets, 0);
    assert_eq!(code(host.reboot()), K::Success);
    assert_eq!(world.sim.borrow().machine.resets, 1);
    assert_eq!(code(host.shutdown(3)), K::Success);
    assert!(world.sim.borrow().machine.off);
    world.at_baseline();
}

#[test]
fn the_trace_shows_marks_and_messages() {
    let world = World::single();
    let host = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    host.trace_mark(11, 22).unwrap();
    let (start, records) = host.trace(0).unwrap();
    let mark = records
        .iter()
        .find(|record| record.kind == Kind::Mark as u8);
    assert_eq!(mark.map(|record| (record.a, record.b)), Some((11, 22)));
    let position = start + records.len() as u64;
    assert!(host.trace(position).unwrap().1.is_empty());
    host.trace_enable(1).unwrap();
    world.trap(trap::CLOCK, &[]).unwrap();
    let (_, records) = host.trace(position).unwrap();
    let traps = records
        .iter()
        .filter(|record| record.kind == Kind::Trap as u8);
    assert!(traps.count() >= 2);
    host.trace_enable(0).unwrap();
    let (start, _) = host.trace(u64::MAX).unwrap();
    for _ in 0..2000 {
        host.trace_mark(0, 0).unwrap();
    }
    let (later, records) = host.trace(start).unwrap();
    assert!(
        later > start,
        "it says where it begins, when the ring went round"
    );
    assert_eq!(records.len(), 64);
    world.at_baseline();
}

#[test]
fn the_kernel_s_log_tells_why_a_task_ended() {
    let world = World::single();
    let child = world.child();
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(thread);
    assert!(sim.read(cpu, image::DATA - 0x1000, &mut [0]).is_err());
    drop(sim);
    world.release(right);
    world.release(child.right);
    let host = world.client::<dyn Host>(copy(ordinary(&world)));
    let (start, text) = host.log(0).unwrap();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(
        start == 0 && text.contains("EXC_BAD_ACCESS") && text.ends_with('\n'),
        "{text}"
    );
    assert_eq!(
        host.log(text.len() as u64).unwrap(),
        (text.len() as u64, Default::default())
    );
    assert_eq!(
        world.sim.borrow().machine.log.len(),
        1,
        "the machine's log has it too"
    );
    world.at_baseline();
}

#[test]
fn the_fast_path_is_switched_for_threads_that_are_and_threads_to_come() {
    let world = World::new(Config {
        path: Path::Slow,
        ..Config::default()
    });
    let host = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    let handoffs = || {
        let child = world.child();
        let mut sim = world.sim.borrow_mut();
        let port = sim.on(world.first).port();
        drop(sim);
        child.task.insert_send(Name::NULL, copy(port)).unwrap();
        let (thread, right) = child.thread();
        let before = host.statistics().unwrap().handoffs;
        let mut sim = world.sim.borrow_mut();
        let wait = sim::Request::receive(port);
        assert_eq!(sim.on(world.first).start_message(&wait), None);
        let call = sim::Request::call(Name::new(1, 1));
        assert_eq!(sim.on(thread).start_message(&call), None);
        let got = sim.on(world.first).finish_message();
        assert_eq!(got.code, MessageReturn::Success);
        sim.on(world.first).message(&sim::Request::reply());
        sim.on(world.first).destroy(port).unwrap();
        drop(sim);
        world.release(right);
        child.end();
        host.statistics().unwrap().handoffs - before
    };
    assert_eq!(handoffs(), 0);
    host.set_fast_path(1).unwrap();
    assert!(handoffs() > 0);
    host.set_fast_path(0).unwrap();
    assert_eq!(handoffs(), 0);
    world.at_baseline();
}

// covers: H-02
#[test]
fn special_ports_are_the_kernel_s_or_what_was_set_last() {
    let world = World::single();
    let privileged = world.root(HOST_PRIVILEGED);
    let host = privileged.client::<dyn Host>();
    let everybody = world.client::<dyn Host>(copy(ordinary(&world)));
    assert_eq!(code(everybody.special_port(special::HOST)), K::NoAccess);

    let own = host.special_port(special::HOST_PRIVILEGED).unwrap();
    assert_eq!(own.0, privileged.name, "one name for one port");
    world.release(own);
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    let (old, new, notes) = (me.port(), me.port(), me.port());
    drop(sim);
    let last = special::LAST;
    for kernel_s in [
        0,
        special::HOST,
        special::IO_ROOT,
        special::LAST_OF_KERNEL,
        last + 1,
    ] {
        let set = moved(host.set_special_port(kernel_s, copy(old)));
        assert_eq!(set, K::InvalidArgument, "{kernel_s}");
    }
    assert_eq!(code(host.special_port(last)), K::Failure, "nobody set it");
    let refused = moved(everybody.set_special_port(last, copy(old)));
    assert_eq!(refused, K::NoAccess);
    let give = |port| Give(port, disposition::MOVE_SEND);
    assert_eq!(moved(host.set_special_port(last, give(old))), K::Success);
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    me.request(old, notify::NO_SENDERS, 0, notes).unwrap();
    assert_eq!(me.poll(notes).code, MessageReturn::ReceiveTimedOut);
    drop(sim);
    let got = host.special_port(last).unwrap();
    assert_eq!(got.0, old);
    world.release(got);
    // The right that was there before ends, and with the port of the new one the place is free.
    assert_eq!(moved(host.set_special_port(last, give(new))), K::Success);
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    assert_eq!(me.poll(notes).id, notify::NO_SENDERS);
    for port in [old, new, notes] {
        me.destroy(port).unwrap();
    }
    drop(sim);
    assert_eq!(code(host.special_port(last)), K::Failure);
    world.at_baseline();
}
