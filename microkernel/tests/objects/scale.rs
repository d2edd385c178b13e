//! Very many of everything on four CPUs, of which three run other tasks meanwhile: nothing is left behind. The same
//! stories run in the guest, ten times as large (`initrd/scale`).

use abi::kern_return::MessageReturn;
use abi::names::{Name, disposition, right};
use abi::notify;
use abi::start::names::HOST_PRIVILEGED;
use abi::task::Limits;
use abi::trap;
use interfaces::host::Host;
use interfaces::task::Task;
use interfaces::thread::Thread;
use microkernel::kernel::Census;
use sim::machine::Size;
use sim::{Config, Request, image};

use crate::transport::Give;
use crate::world::{PAGE, World, state};

const CHILD: Limits = Limits {
    names: 16,
    messages: 4,
    threads: 1,
    pages: 64,
    kernel_bytes: 1 << 16,
};

/// A machine with room, and its other CPUs busy.
fn busy_world() -> World {
    let world = World::new(Config {
        size: Size {
            cpus: 4,
            pages: 1 << 15,
            arena_bytes: 64 << 20,
            ..Size::default()
        },
        ..Config::default()
    });
    {
        let mut sim = world.sim.borrow_mut();
        for _ in 1..4 {
            let other = sim.add_task();
            sim.until_runs(other);
        }
    }
    world
}

fn count(world: &World) -> (Census, u64) {
    let sim = world.sim.borrow();
    (sim.kernel.census(), sim.machine.memory.in_use())
}

/// Runs a story, and finds everything as it was before. A first, small one has tables grow.
fn leaves_nothing(world: &World, story: impl Fn(&World, u64), size: u64) {
    story(world, 4);
    let before = count(world);
    story(world, size);
    world.trap(trap::NULL, &[]).unwrap();
    assert_eq!(count(world), before);
    let sim = world.sim.borrow();
    assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
}

fn threads(world: &World, size: u64) {
    let waiters: Vec<_> = (0..size)
        .map(|_| {
            let right = world.own().thread_create(state()).unwrap();
            let thread = world.client::<dyn Thread>(right);
            thread.resume().unwrap();
            let index = thread.info().unwrap().index;
            world.release(right);
            let mut sim = world.sim.borrow_mut();
            let port = sim.on(world.first).port();
            let wait = sim.on(index).start_message(&Request::receive(port));
            assert_eq!(wait, None);
            (index, port)
        })
        .collect();
    let mut sim = world.sim.borrow_mut();
    assert!(u64::from(sim.kernel.census().threads) >= size);
    for (index, port) in &waiters {
        let sent = sim.on(world.first).message(&Request::send(*port).id(7));
        assert_eq!(sent.code, MessageReturn::Success);
        assert_eq!(sim.on(*index).finish_message().id, 7);
        assert_eq!(sim.on(*index).start(trap::THREAD_EXIT, &[]), None);
    }
    for (_, port) in waiters.iter().rev() {
        sim.on(world.first).destroy(*port).unwrap();
    }
}

fn ports(world: &World, size: u64) {
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    let (set, notes) = (me.allocate(right::PORT_SET).unwrap(), me.port());
    let ports: Vec<Name> = (0..size)
        .map(|_| {
            let port = me.port();
            me.insert_member(port, set).unwrap();
            me.request(port, notify::DEAD_NAME, 0, notes).unwrap();
            port
        })
        .collect();
    me.destroy(set).unwrap();
    for port in &ports {
        me.mod_refs(*port, right::RECEIVE, -1).unwrap();
        let note = me.poll(notes);
        assert_eq!((note.id, note.words[0]), (notify::DEAD_NAME, port.0.into()));
        me.destroy(*port).unwrap();
    }
    me.destroy(notes).unwrap();
}

fn tasks(world: &World, size: u64) {
    let tasks: Vec<Give> = (0..size)
        .map(|n| {
            let limits = Limits {
                pages: 8,
                kernel_bytes: 1 << 14,
                ..CHILD
            };
            let right = world.own().create(limits, n, 0).unwrap();
            let task = world.client::<dyn Task>(right);
            world.release(task.thread_create(state()).unwrap());
            task.port_allocate(right::RECEIVE).unwrap();
            task.vm_allocate(image::DATA, PAGE, 0).unwrap();
            task.vm_write(image::DATA, &n.to_le_bytes()).unwrap();
            right
        })
        .collect();
    for right in tasks.into_iter().rev() {
        world.client::<dyn Task>(right).terminate().unwrap();
        world.release(right);
    }
}

fn nested_rights(world: &World, size: u64) {
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    let mut inner = me.allocate(right::RECEIVE).unwrap();
    for _ in 0..size {
        let outer = me.allocate(right::RECEIVE).unwrap();
        let letter = Request::send(outer)
            .disposed(disposition::MAKE_SEND)
            .port(inner, disposition::MOVE_RECEIVE);
        assert_eq!(me.message(&letter).code, MessageReturn::Success);
        inner = outer;
    }
    me.destroy(inner).unwrap();
}

fn forks(world: &World, size: u64) {
    let mut living: Vec<Give> = Vec::new();
    for n in 0..size {
        let right = world.own().create(CHILD, n, 1).unwrap();
        let place = image::DATA + n % 4 * PAGE;
        let task = world.client::<dyn Task>(right);
        let peek = || world.sim.borrow_mut().on(world.first).peek::<8>(place);
        let before = peek();
        world
            .sim
            .borrow_mut()
            .on(world.first)
            .poke(place, &n.to_le_bytes());
        assert_eq!(task.vm_read(place, 8).unwrap()[..], before);
        task.vm_write(place, &(!n).to_le_bytes()).unwrap();
        assert_eq!(peek(), n.to_le_bytes());
        assert_eq!(task.vm_read(place, 8).unwrap()[..], (!n).to_le_bytes());
        living.push(right);
        if living.len() == 4 || n + 1 == size {
            for right in living.drain(..) {
                world.client::<dyn Task>(right).terminate().unwrap();
                world.release(right);
            }
        }
    }
}

// covers: T-09 F-11
#[test]
fn thousands_of_threads_that_wait_leave_nothing_behind() {
    leaves_nothing(&busy_world(), threads, 5000);
}

// covers: T-14
#[test]
fn a_thread_that_waits_for_a_message_costs_its_records_and_no_stack() {
    const MANY: u32 = 2000;
    let world = World::new(Config {
        size: Size {
            arena_bytes: 16 << 20,
            ..Size::default()
        },
        ..Config::default()
    });
    let host = world.root(HOST_PRIVILEGED).client::<dyn Host>();
    let port = world.sim.borrow_mut().on(world.first).port();
    let blocks = |count| {
        for _ in 0..count {
            let right = world.own().thread_create(state()).unwrap();
            let thread = world.client::<dyn Thread>(right);
            thread.resume().unwrap();
            let index = thread.info().unwrap().index;
            let wait = Request::receive(port);
            let waits = world.sim.borrow_mut().on(index).start_message(&wait);
            assert_eq!(waits, None);
            world.release(right);
        }
    };
    // The first one has what they share come to be.
    blocks(1);
    let (before, pages) = (host.arenas().unwrap(), count(&world).1);
    blocks(MANY);
    let after = host.arenas().unwrap();
    let (mut bytes, mut grown) = (0, Vec::new());
    for (old, new) in before.iter().zip(after.iter()) {
        assert_eq!(old.name, new.name);
        let more = new.live - old.live;
        bytes += more * new.size;
        if more > 0 {
            assert_eq!(more, MANY, "{:?}", new.name);
            grown.push(new.name.to_string());
        }
    }
    // Itself, what there is of one whose port somebody had, and its reply object.
    assert_eq!(grown, ["threads", "thread extras", "ports"]);
    assert!(bytes <= MANY * 800, "{} bytes each", bytes / MANY);
    assert_eq!(count(&world).1, pages, "no page that is theirs alone");
    assert_eq!(world.sim.borrow().kernel.census().threads, MANY + 2);
}

// covers: P-33 N-03
#[test]
fn ten_thousand_ports_leave_nothing_behind() {
    leaves_nothing(&busy_world(), ports, 10_000);
}

// covers: T-02
#[test]
fn a_thousand_tasks_leave_nothing_behind() {
    leaves_nothing(&busy_world(), tasks, 1000);
}

// covers: F-07
#[test]
fn receive_rights_a_thousand_deep_leave_nothing_behind() {
    leaves_nothing(&busy_world(), nested_rights, 1000);
}

// covers: F-08
#[test]
fn a_thousand_forks_leave_nothing_behind() {
    leaves_nothing(&busy_world(), forks, 1000);
}
