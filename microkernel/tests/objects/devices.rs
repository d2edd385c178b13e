//! I/O ports, interrupt lines and device memory: rights that are revoked with their last holder.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::Name;
use abi::notify;
use abi::start::names::{ARCHIVE, INTERRUPT_ROOT, IO_ROOT, MEMORY_ROOT};
use abi::trap;
use abi::vm::{map_flags, protection};
use interfaces::interrupt::{Interrupt, InterruptRoot};
use interfaces::io::{IoRange, IoRoot};
use interfaces::memory::{Entry, MemoryRoot};

use crate::world::{PAGE, World, code, copy, moved};

#[test]
fn a_range_of_ports_reaches_its_ports_only() {
    let world = World::single();
    let root = world.root(IO_ROOT).client::<dyn IoRoot>();
    assert_eq!(code(root.range(0x3f8, 0)), K::InvalidArgument);
    assert_eq!(code(root.range(0xffff, 2)), K::InvalidArgument);
    let right = root.range(0x3f8, 8).unwrap();
    assert_eq!(world.client::<dyn IoRange>(right).bounds(), Ok((0x3f8, 8)));
    let name = u64::from(right.0.0);
    world.trap(trap::IO_WRITE, &[name, 1, 1, 0x55]).unwrap();
    let log = world.sim.borrow().machine.port_log.clone();
    assert_eq!((log[0].port, log[0].written), (0x3f9, Some(0x55)));
    assert_eq!(
        world.trap(trap::IO_WRITE, &[name, 8, 1, 0]),
        Err(K::InvalidArgument)
    );
    assert_eq!(
        world.trap(trap::IO_READ, &[name, 7, 2]),
        Err(K::InvalidArgument)
    );
    world.release(right);
    world.at_baseline();
}

#[test]
fn an_interrupt_reaches_its_port_until_the_right_is_gone() {
    let world = World::single();
    let root = world.root(INTERRUPT_ROOT).client::<dyn InterruptRoot>();
    assert_eq!(
        code(root.line(24)),
        K::InvalidArgument,
        "the machine has 24 lines"
    );
    assert_eq!(code(root.line(u32::MAX)), K::InvalidArgument);
    let right = root.line(4).unwrap();
    assert_eq!(code(root.line(4)), K::ResourceShortage, "it is given out");
    let line = world.client::<dyn Interrupt>(right);
    let port = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(moved(line.bind(copy(port))), K::Success);
    let fires = || {
        let mut sim = world.sim.borrow_mut();
        sim.machine.raise(4);
        while sim.deliver() {}
        sim.machine.lower(4);
        let got = sim.on(world.first).poll(port);
        (got.code == MessageReturn::Success).then_some((got.id, got.words[0]))
    };
    assert_eq!(fires(), Some((notify::pending::INTERRUPT, 1)));
    assert_eq!(fires(), None, "masked until it is acknowledged");
    world
        .trap(trap::INTERRUPT_ACKNOWLEDGE, &[right.0.0.into()])
        .unwrap();
    assert_eq!(fires(), Some((notify::pending::INTERRUPT, 1)));
    line.unbind().unwrap();
    world
        .trap(trap::INTERRUPT_ACKNOWLEDGE, &[right.0.0.into()])
        .unwrap();
    assert_eq!(fires(), None);
    assert_eq!(moved(line.bind(copy(port))), K::Success);
    world.release(right);
    assert!(
        !world.sim.borrow().machine.is_unmasked(4),
        "revoked with its last right"
    );
    assert_eq!(fires(), None);
    let again = root.line(4).unwrap();
    assert_eq!(fires(), None, "a new right begins unbound");
    world.release(again);
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(port)
        .unwrap();
    world.at_baseline();
}

#[test]
fn a_line_whose_port_died_stays_masked() {
    let world = World::single();
    let root = world.root(INTERRUPT_ROOT).client::<dyn InterruptRoot>();
    let right = root.line(5).unwrap();
    let line = world.client::<dyn Interrupt>(right);
    let port = world.sim.borrow_mut().on(world.first).port();
    assert_eq!(moved(line.bind(copy(port))), K::Success);
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(port)
        .unwrap();
    let mut sim = world.sim.borrow_mut();
    sim.machine.raise(5);
    while sim.deliver() {}
    assert!(!sim.machine.is_unmasked(5));
    drop(sim);
    world.release(right);
    world.at_baseline();
}

#[test]
fn a_driver_s_death_gives_its_line_and_its_ports_back() {
    let world = World::single();
    let lines = world.root(INTERRUPT_ROOT).client::<dyn InterruptRoot>();
    let io = world.root(IO_ROOT).client::<dyn IoRoot>();
    for _ in 0..3 {
        let driver = world.child();
        let (line, range) = (lines.line(4).unwrap(), io.range(0x3f8, 8).unwrap());
        for right in [line, range] {
            driver.task.insert_send(Name::NULL, right).unwrap();
            world.release(right);
        }
        let (_, thread) = driver.thread();
        world.release(thread);
        driver.end();
        world.at_baseline();
    }
}

#[test]
fn a_window_shows_device_memory_only() {
    let world = World::single();
    let root = world.root(MEMORY_ROOT).client::<dyn MemoryRoot>();
    let device = 0xfee0_0000;
    for (physical, size, cached) in [
        (0, PAGE, 0),
        (PAGE, PAGE, 0),
        (device, 0, 0),
        (device + 1, PAGE, 0),
        (device, PAGE - 1, 0),
        (device, u64::MAX - PAGE + 1, 0),
        (1 << 60, PAGE, 0),
        (device, PAGE, 2),
    ] {
        let refused = code(root.window(physical, size, cached));
        assert_eq!(
            refused,
            K::InvalidArgument,
            "{physical:#x} {size:#x} {cached}"
        );
    }
    let window = root.window(device, 2 * PAGE, 0).unwrap();
    let entry = world.client::<dyn Entry>(window);
    let rights = protection::READ | protection::WRITE;
    assert_eq!(entry.bounds(), Ok((2 * PAGE, rights)));
    assert_eq!(code(entry.part(PAGE, 2 * PAGE, rights)), K::InvalidArgument);
    assert_eq!(
        code(entry.part(PAGE, PAGE, protection::ALL)),
        K::ProtectionFailure
    );
    let word = u64::from(protection::READ) << map_flags::CURRENT_SHIFT
        | u64::from(protection::READ) << map_flags::MAXIMUM_SHIFT
        | map_flags::ANYWHERE;
    let mapped = [window.0.0.into(), 0, 2 * PAGE, 0, word];
    let at = world.trap(trap::VM_MAP, &mapped).unwrap();
    world.release(window);
    world.trap(trap::VM_DEALLOCATE, &[at, 2 * PAGE]).unwrap();
    world.at_baseline();
}

#[test]
fn the_archive_is_a_memory_entry() {
    let world = World::single();
    let archive = world.root(ARCHIVE).client::<dyn Entry>();
    assert_eq!(archive.bounds(), Ok((PAGE, protection::READ)));
    assert_eq!(
        code(archive.part(0, PAGE, protection::WRITE)),
        K::ProtectionFailure
    );
}
