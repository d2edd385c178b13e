//! What of Mach is not there: it is refused, and nothing feigns it. Each id with the mark R has its attempts here.

use abi::exception::{MASK_ALL, behavior};
use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::start::names::HOST_PRIVILEGED;
use abi::task::special;
use abi::transport::{Description, Interface};
use abi::vm::copy_strategy;
use abi::{exception, start, trap};
use interfaces::exceptions::ExceptionPorts;
use interfaces::task::Task;
use interfaces::thread::Thread;
use interfaces::vm::Vm;
use sim::Request;

use crate::world::{Child, World, code, copy, moved};

/// A message with an id of Mach's that no interface has, to every port of the kernel's.
fn calls(world: &World, child: &Child<'_>, ids: impl IntoIterator<Item = i32>) {
    let (_, thread) = child.thread();
    let memory = child
        .task
        .make_entry(sim::image::DATA, abi::PAGE_SIZE, 1)
        .unwrap();
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    let ports = [
        child.right.0,
        thread.0,
        memory.0,
        host,
        world.root(HOST_PRIVILEGED).name,
        world.root(start::names::MEMORY_ROOT).name,
    ];
    for id in ids {
        assert_eq!(interfaces::name_of(id), None, "{id} is a call");
        for port in ports {
            let answer = world.port(port).raw(&Request::call(port).id(id));
            assert_eq!(answer.words[0], K::MigBadId.0.into(), "{id} to {port:?}");
        }
    }
    for right in [thread, memory, copy(host)] {
        world.release(right);
    }
}

fn traps(world: &World, numbers: &[i64]) {
    for number in numbers {
        assert!(trap::REFUSED.contains(number));
        for arguments in [[0; 6], [u64::MAX; 6]] {
            assert_eq!(world.trap(*number, &arguments), Err(K::NotSupported));
        }
    }
}

/// The first id behind those of an interface.
fn behind(description: &Description) -> i32 {
    description.methods.last().unwrap().id + 1
}

/// `mach_port_rename` is the second call of Mach's subsystem 3200.
fn rename(world: &World, child: &Child<'_>) {
    calls(world, child, [3201]);
}

/// Rights to a task that are less than its control port.
fn flavours(world: &World, child: &Child<'_>) {
    let port = world.sim.borrow_mut().on(world.first).port();
    for which in [special::NAME, special::INSPECT, special::READ] {
        assert_eq!(code(child.task.special_port(which)), K::NotSupported);
        let set = child.task.set_special_port(which, copy(port));
        assert_eq!(moved(set), K::NotSupported);
        assert_eq!(code(child.task.clear_special_port(which)), K::NotSupported);
    }
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(port)
        .unwrap();
}

/// Subsystem 5400 is the vouchers'; what the header says of them is refused by `libmach/c`, whose test it is.
fn vouchers(world: &World, child: &Child<'_>) {
    traps(world, &trap::REFUSED[1..]);
    calls(world, child, 5400..5405);
}

fn mach_msg2(world: &World, _: &Child<'_>) {
    traps(world, &trap::REFUSED[..1]);
}

/// No handler gets these exceptions with a protected identity; corpses are made by no call of tasks.
fn corpses(world: &World, child: &Child<'_>) {
    let ports = world.client::<dyn ExceptionPorts>(child.right);
    let port = world.sim.borrow_mut().on(world.first).port();
    for protected in [4, 5] {
        let set = ports.set(MASK_ALL, copy(port), protected | behavior::WIDE_CODES, 0);
        assert_eq!(moved(set), K::InvalidArgument);
    }
    // A handler of them may be set; nothing raises them, so none but a crash comes.
    for kind in [
        exception::CRASH,
        exception::RESOURCE,
        exception::GUARD,
        exception::CORPSE_NOTIFY,
    ] {
        let set = ports.set(1 << kind, copy(port), behavior::DEFAULT, 0);
        assert_eq!(moved(set), K::Success);
    }
    let (thread, right) = child.thread();
    let mut sim = world.sim.borrow_mut();
    let cpu = sim.until_runs(thread);
    assert!(sim.read(cpu, 0x10_0000, &mut [0]).is_err());
    assert_eq!(
        sim.on(world.first).poll(port).code,
        abi::kern_return::MessageReturn::ReceiveTimedOut
    );
    sim.on(world.first).destroy(port).unwrap();
    drop(sim);
    let gone = world.port(child.right.0).raw(&Request::call(child.right.0));
    assert_eq!(gone.code, abi::kern_return::MessageReturn::SendInvalidDest);
    world.release(right);
}

/// Copies that the pager is asked for, and subsystem 2250, the default pager's.
fn default_pager(world: &World, child: &Child<'_>) {
    // To a memory object's control port, `pagers` tests the strategy.
    assert_eq!(copy_strategy::CALL, 1);
    calls(world, child, 2250..2258);
}

/// Subsystem 617000 is the locks'.
fn lock_sets(world: &World, child: &Child<'_>) {
    calls(world, child, 617_000..617_006);
}

/// Purgeable memory is neither allocated (`VM_FLAGS_PURGABLE` is 2) nor made an entry (`MAP_MEM_PURGABLE`), nor is
/// there a call to control it.
fn purgeable(world: &World, child: &Child<'_>) {
    let allocated = child.task.vm_allocate(0, abi::PAGE_SIZE, 1 | 2);
    assert_eq!(code(allocated), K::InvalidArgument);
    let vm = world.client::<dyn Vm>(child.right);
    let permission = 3 | 0x8_0000;
    let made = vm.make_entry(copy(child.right.0), abi::PAGE_SIZE, 0, permission);
    assert_eq!(moved(made), K::InvalidArgument);
    calls(world, child, [behind(<dyn Vm>::DESCRIPTION)]);
}

/// `task_suspend2` and its token are no call of tasks.
fn suspend_tokens(world: &World, child: &Child<'_>) {
    calls(world, child, [behind(<dyn Task>::DESCRIPTION)]);
}

/// Subsystem 8000 is that of restartable ranges; `thread_wire` and `thread_convert_state` are no calls of threads.
fn ranges(world: &World, child: &Child<'_>) {
    calls(
        world,
        child,
        [8000, 8001, behind(<dyn Thread>::DESCRIPTION)],
    );
}

type Attempt = fn(&World, &Child<'_>);

const MARKED: [(&str, Attempt); 7] = [
    ("K-04", lock_sets),
    ("M-15", vouchers),
    ("M-16", mach_msg2),
    ("O-10", default_pager),
    ("P-17", rename),
    ("P-21", flavours),
    ("X-10", corpses),
];

/// Parts of other rows that have the mark.
const PARTS: [(&str, Attempt); 3] = [
    ("T-03", suspend_tokens),
    ("T-13", ranges),
    ("V-15", purgeable),
];

// covers: K-04 M-15 M-16 O-10 P-17 P-21 X-10 T-03 T-13 V-15
#[test]
fn whatever_is_rare_is_refused() {
    let list = include_str!("../requirements.toml");
    let mut rare: Vec<&str> = list
        .lines()
        .filter_map(|line| line.split_once(" = \"R\"").map(|(id, _)| id))
        .collect();
    rare.sort_unstable();
    assert_eq!(rare, MARKED.map(|(id, _)| id), "each has its attempts");
    for (_, attempt) in MARKED.into_iter().chain(PARTS) {
        let world = World::single();
        let child = world.child();
        attempt(&world, &child);
        // The exception of a thread may have ended it.
        child.task.terminate().ok();
        world.release(child.right);
        world.at_baseline();
    }
}
