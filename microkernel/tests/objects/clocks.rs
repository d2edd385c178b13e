//! Clocks: their times, alarms, sleeps, and who hears that the calendar was set.

use abi::clock::{ALARM_REPLY, CALENDAR_CHANGED, SECOND, attribute, change, kind, which};
use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::{Name, disposition};
use abi::start::names::HOST_PRIVILEGED;
use abi::trap;
use interfaces::clock::{Clock, ClockClient, Time};
use interfaces::mach_host::{MachHost, MachHostClient};
use interfaces::thread::Thread;
use sim::{Config, Reply, Request};

use crate::transport::{Give, Port};
use crate::world::{LIMITS, World, code, copy, moved};

fn everybody(world: &World) -> MachHostClient<Port<'_>> {
    let host = Name(world.trap(trap::HOST_SELF, &[]).unwrap() as u32);
    world.client::<dyn MachHost>(copy(host))
}

fn privileged(world: &World) -> MachHostClient<Port<'_>> {
    world.root(HOST_PRIVILEGED).client::<dyn MachHost>()
}

fn clock<'w>(world: &'w World, right: Give) -> ClockClient<Port<'w>> {
    world.client::<dyn Clock>(right)
}

fn once(port: Name) -> Give {
    Give(port, disposition::MAKE_SEND_ONCE)
}

fn port(world: &World) -> Name {
    world.sim.borrow_mut().on(world.first).port()
}

fn destroy(world: &World, port: Name) {
    world
        .sim
        .borrow_mut()
        .on(world.first)
        .destroy(port)
        .unwrap();
}

fn now(world: &World) -> u64 {
    world.sim.borrow_mut().now()
}

/// What comes to a port within a second.
fn wait(world: &World, port: Name) -> Reply {
    let mut sim = world.sim.borrow_mut();
    let limit = sim.now() + SECOND;
    sim.on(world.first)
        .message(&Request::poll(port).until(limit))
}

fn poll(world: &World, port: Name) -> Reply {
    world.sim.borrow_mut().on(world.first).poll(port)
}

const fn ns(nanoseconds: u32) -> Time {
    Time {
        seconds: 0,
        nanoseconds,
    }
}

const NO_TIME: Time = ns(SECOND as u32);

// covers: K-01
#[test]
fn the_system_clock_tells_the_time_since_boot() {
    let world = World::single();
    let host = everybody(&world);
    for wrong in [2, u32::MAX] {
        assert_eq!(code(host.clock_service(wrong)), K::InvalidArgument);
    }
    let right = host.clock_service(which::SYSTEM).unwrap();
    let system = clock(&world, right);
    let before = now(&world);
    let told = system.time().unwrap().nanoseconds().unwrap();
    assert!((before..=now(&world)).contains(&told));
    let mut last = 0;
    for _ in 0..100 {
        let clock = world.trap(trap::CLOCK, &[]).unwrap();
        assert!(clock >= last, "absolute time never goes back");
        last = clock;
    }
    world.release(right);
    world.at_baseline();
}

// covers: K-01
#[test]
fn attributes_are_one_word_of_what_a_clock_has() {
    let world = World::single();
    let host = everybody(&world);
    let rights = [which::SYSTEM, which::CALENDAR].map(|which| host.clock_service(which).unwrap());
    let [system, calendar] = rights.map(|right| clock(&world, right));
    for clock in [&system, &calendar] {
        let resolution = clock.attributes(attribute::TIME_RESOLUTION, 1).unwrap();
        assert_eq!(*resolution, [1], "a nanosecond");
        for count in [0, 2] {
            let told = clock.attributes(attribute::TIME_RESOLUTION, count);
            assert_eq!(code(told), K::Failure);
        }
        for flavor in [0, 2, 6, u32::MAX] {
            assert_eq!(code(clock.attributes(flavor, 1)), K::InvalidValue);
        }
    }
    for flavor in attribute::ALARM_RESOLUTION..=attribute::ALARM_MOST {
        assert_eq!(*system.attributes(flavor, 1).unwrap(), [1]);
        let none = calendar.attributes(flavor, 1);
        assert_eq!(code(none), K::InvalidValue, "the calendar has no alarms");
    }
    for right in rights {
        world.release(right);
    }
    world.at_baseline();
}

// covers: K-01
#[test]
fn alarms_come_at_their_times() {
    let world = World::single();
    let right = everybody(&world).clock_service(which::SYSTEM).unwrap();
    let system = clock(&world, right);
    let port = port(&world);
    let begin = now(&world);
    // The later one first, both to one port.
    let late = Time::of(begin + 50_000_000);
    system.alarm(kind::ABSOLUTE, late, once(port)).unwrap();
    system
        .alarm(kind::RELATIVE, ns(20_000_000), once(port))
        .unwrap();
    assert_eq!(poll(&world, port).code, MessageReturn::ReceiveTimedOut);
    let reply = wait(&world, port);
    assert_eq!(
        (reply.code, reply.id),
        (MessageReturn::Success, ALARM_REPLY)
    );
    let [result, kind_told, seconds, nanoseconds, ..] = reply.words;
    assert_eq!((result, kind_told), (0, kind::RELATIVE.into()));
    let due = seconds * SECOND + nanoseconds;
    assert!(due >= begin + 20_000_000 && now(&world) >= due);
    let reply = wait(&world, port);
    let expected = [0, 0, late.seconds.into(), late.nanoseconds.into(), 0, 0];
    assert_eq!((reply.id, reply.words), (ALARM_REPLY, expected));
    assert!(now(&world) >= begin + 50_000_000);
    // The past is told at once, and what is no time, too.
    for (kind, time, result) in [
        (kind::ABSOLUTE, ns(1), K::Success),
        (kind::ABSOLUTE, NO_TIME, K::InvalidValue),
        (kind::RELATIVE, NO_TIME, K::InvalidValue),
        (2, ns(1), K::InvalidValue),
    ] {
        system.alarm(kind, time, once(port)).unwrap();
        let reply = poll(&world, port);
        assert_eq!(
            (reply.code, reply.id),
            (MessageReturn::Success, ALARM_REPLY)
        );
        let time = [time.seconds, time.nanoseconds].map(u64::from);
        let expected = [result.0.into(), kind.into(), time[0], time[1]];
        assert_eq!(reply.words[..4], expected);
    }
    let calendar = everybody(&world).clock_service(which::CALENDAR).unwrap();
    let refused = clock(&world, calendar).alarm(kind::RELATIVE, ns(1), once(port));
    assert_eq!(moved(refused), K::Failure, "it has no alarms");
    // The right of the refused call ended unused.
    assert_eq!(poll(&world, port).id, abi::notify::SEND_ONCE);
    destroy(&world, port);
    world.release(calendar);
    world.release(right);
    world.at_baseline();
}

// covers: K-01
#[test]
fn an_alarm_ends_with_the_port_that_it_is_for_and_with_what_was_told() {
    let world = World::single();
    let right = everybody(&world).clock_service(which::SYSTEM).unwrap();
    let system = clock(&world, right);
    let far = Time {
        seconds: u32::MAX,
        nanoseconds: 0,
    };
    for at in [far, ns(1)] {
        let port = port(&world);
        for _ in 0..100 {
            system.alarm(kind::ABSOLUTE, at, once(port)).unwrap();
        }
        destroy(&world, port);
    }
    world.release(right);
    world.at_baseline();
}

// covers: K-01
#[test]
fn alarms_count_as_messages_of_who_asked() {
    let world = World::single();
    let child = world.child();
    let (thread, thread_right) = child.thread();
    let right = everybody(&world).clock_service(which::SYSTEM).unwrap();
    let there = child.task.insert_send(Name::NULL, copy(right.0)).unwrap();
    let mailbox = world.sim.borrow_mut().on(thread).port();
    world.sim.borrow_mut().on(thread).register_buffer();
    let port = Port {
        sim: &world.sim,
        thread,
        name: there,
    };
    let system = port.client::<dyn Clock>();
    let ask = |at| moved(system.alarm(kind::ABSOLUTE, at, once(mailbox)));
    let used = || child.task.ledger().unwrap().used.messages;
    // The request itself counts as one, while it is served.
    let room = LIMITS.messages - 1;
    for made in 0..room {
        assert_eq!(used(), made);
        assert_eq!(ask(ns(1)), K::Success);
    }
    assert_eq!(ask(ns(1)), K::ResourceShortage);
    // Room comes with each that is received, whether it is an alarm or the notice of the refused right.
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(thread);
    let alarms = (0..=room).filter(|_| me.poll(mailbox).id == ALARM_REPLY);
    assert_eq!(alarms.count(), room as usize);
    drop(sim);
    assert_eq!(
        (used(), ask(ns(1)), ask(Time::of(u64::MAX))),
        (0, K::Success, K::Success)
    );
    let host = Name(
        world
            .sim
            .borrow_mut()
            .on(thread)
            .trap(trap::HOST_SELF, &[])
            .unwrap() as u32,
    );
    let host = Port { name: host, ..port }.client::<dyn MachHost>();
    let asked = host.request_notification(change::CALENDAR_SET, once(mailbox));
    assert_eq!((moved(asked), used()), (K::Success, 3));
    // All ends with the task: what waits to be received, and what waits to come.
    world.release(thread_right);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: K-01
#[test]
fn what_is_no_right_to_tell_an_alarm_by_is_refused() {
    let world = World::single();
    let right = everybody(&world).clock_service(which::SYSTEM).unwrap();
    let system = clock(&world, right);
    let (live, dying) = (port(&world), port(&world));
    let held = Name::new(90, 1);
    let mut sim = world.sim.borrow_mut();
    let mut me = sim.on(world.first);
    me.insert_right(held, dying, disposition::MAKE_SEND_ONCE)
        .unwrap();
    me.destroy(dying).unwrap();
    drop(sim);
    let ask = |port| moved(system.alarm(kind::RELATIVE, ns(1), port));
    assert_eq!(ask(copy(live)), K::MigTypeError, "a right to send often");
    let dead = Give(held, disposition::MOVE_SEND_ONCE);
    assert_eq!(ask(dead), K::InvalidCapability, "its port has died");
    assert_eq!(ask(once(live)), K::Success);
    assert_eq!(wait(&world, live).id, ALARM_REPLY);
    destroy(&world, live);
    world.release(right);
    world.at_baseline();
}

// covers: K-01
#[test]
fn a_sleep_by_the_clock_ends_at_a_time_or_after_a_span() {
    let world = World::single();
    let host = everybody(&world);
    let right = host.clock_service(which::SYSTEM).unwrap();
    let name = u64::from(right.0.0);
    let sleep = |arguments: [u64; 4]| {
        let mut sim = world.sim.borrow_mut();
        match sim.on(world.first).start(trap::CLOCK_SLEEP, &arguments) {
            Some(answer) => answer.frame,
            None => sim.on(world.first).finish().frame,
        }
    };
    for (kind, span) in [(kind::RELATIVE, 3_000_000), (kind::ABSOLUTE, 9_000_000)] {
        let begin = now(&world);
        let until = begin + span;
        let nanoseconds = if kind == kind::RELATIVE { span } else { until };
        let frame = sleep([
            name,
            kind.into(),
            nanoseconds / SECOND,
            nanoseconds % SECOND,
        ]);
        assert_eq!(frame.rax, 0);
        assert!(frame.rdx >= until && frame.rdx <= now(&world));
    }
    let before = now(&world);
    let frame = sleep([name, kind::ABSOLUTE.into(), 0, 1]);
    assert!(frame.rax == 0 && frame.rdx >= before, "the past is over");
    let code = |arguments| K(sleep(arguments).rax as u32);
    for bad in [
        [name, 2, 0, 1],
        [name, u64::MAX, 0, 1],
        [name, 0, 0, SECOND],
        [name, 1, 1 << 32, 0],
        [name, 1, 0, u64::MAX],
        [0, 0, 0, 1],
        [u64::from(u32::MAX), 0, 0, 1],
        [world.root(HOST_PRIVILEGED).name.0.into(), 0, 0, 1],
    ] {
        assert_eq!(code(bad), K::InvalidArgument, "{bad:?}");
    }
    let calendar = host.clock_service(which::CALENDAR).unwrap();
    assert_eq!(code([calendar.0.0.into(), 1, 0, 1]), K::Failure);
    world.release(calendar);
    world.release(right);
    world.at_baseline();
}

// covers: K-01
#[test]
fn sleeps_are_aborted() {
    let world = World::single();
    let child = world.child();
    let right = everybody(&world).clock_service(which::SYSTEM).unwrap();
    let there = child.task.insert_send(Name::NULL, copy(right.0)).unwrap();
    let (thread, thread_right) = child.thread();
    for (number, arguments) in [
        (trap::CLOCK_SLEEP, [there.0.into(), 1, 1000, 0]),
        (trap::WAIT_UNTIL, [u64::MAX, 0, 0, 0]),
    ] {
        let started = world.sim.borrow_mut().on(thread).start(number, &arguments);
        assert_eq!(started, None);
        world.client::<dyn Thread>(thread_right).abort().unwrap();
        let answer = world.sim.borrow_mut().on(thread).finish();
        assert_eq!(answer.frame.rax, K::Aborted.0.into());
    }
    world.release(thread_right);
    world.release(right);
    child.end();
    world.at_baseline();
}

// covers: K-01
#[test]
fn the_calendar_is_set_with_the_privileged_port_only() {
    let world = World::single();
    assert_eq!(
        code(everybody(&world).clock_control(which::CALENDAR)),
        K::NoAccess
    );
    let (asks, sets) = (
        everybody(&world).clock_service(which::CALENDAR).unwrap(),
        privileged(&world).clock_control(which::CALENDAR).unwrap(),
    );
    let (reader, setter) = (clock(&world, asks), clock(&world, sets));
    let at_first = reader.time().unwrap().nanoseconds().unwrap();
    assert!(
        at_first.abs_diff(now(&world)) < SECOND,
        "as the system clock"
    );
    let noon = Time {
        seconds: 1_700_000_000,
        nanoseconds: 999_999_999,
    };
    assert_eq!(code(reader.set_time(noon)), K::NoAccess);
    assert_eq!(code(setter.set_time(NO_TIME)), K::InvalidValue);
    let before = now(&world);
    setter.set_time(noon).unwrap();
    for calendar in [&reader, &setter] {
        let told = calendar.time().unwrap().nanoseconds().unwrap();
        let passed = told - noon.nanoseconds().unwrap();
        assert!(passed <= now(&world) - before, "it goes on from there");
    }
    // Back, to before the machine's start.
    setter.set_time(ns(5)).unwrap();
    let told = reader.time().unwrap().nanoseconds().unwrap();
    assert!((5..SECOND).contains(&told));
    // Nobody sets the time since boot, and it has not changed.
    let system = privileged(&world).clock_control(which::SYSTEM).unwrap();
    assert_eq!(code(clock(&world, system).set_time(noon)), K::Failure);
    assert!(now(&world) < noon.nanoseconds().unwrap());
    for right in [asks, sets, system] {
        world.release(right);
    }
    world.at_baseline();
}

// covers: H-03
#[test]
fn who_asked_hears_once_that_the_calendar_was_set() {
    let world = World::single();
    let host = everybody(&world);
    let sets = privileged(&world).clock_control(which::CALENDAR).unwrap();
    let set = || clock(&world, sets).set_time(ns(7)).unwrap();
    let port = port(&world);
    let ask = |change| moved(host.request_notification(change, once(port)));
    for wrong in [2, u32::MAX] {
        assert_eq!(ask(wrong), K::InvalidArgument);
        assert_eq!(poll(&world, port).id, abi::notify::SEND_ONCE);
    }
    set();
    assert_eq!(ask(change::CALENDAR_CHANGED), K::Success);
    assert_eq!(ask(change::CALENDAR_SET), K::Success);
    assert_eq!(
        poll(&world, port).code,
        MessageReturn::ReceiveTimedOut,
        "nothing has changed since"
    );
    set();
    for id in [CALENDAR_CHANGED, CALENDAR_CHANGED + 1] {
        let reply = poll(&world, port);
        assert_eq!((reply.code, reply.id), (MessageReturn::Success, id));
    }
    set();
    assert_eq!(
        poll(&world, port).code,
        MessageReturn::ReceiveTimedOut,
        "once"
    );
    // A request ends with its port.
    assert_eq!(ask(change::CALENDAR_SET), K::Success);
    destroy(&world, port);
    set();
    world.release(sets);
    world.at_baseline();
}

// covers: H-03
#[test]
fn very_many_hear_of_it() {
    const MANY: u32 = 1000;
    for cpus in [1, 2] {
        let world = World::new(Config::with_cpus(cpus));
        let host = everybody(&world);
        let sets = privileged(&world).clock_control(which::CALENDAR).unwrap();
        let port = port(&world);
        for _ in 0..MANY {
            let asked = host.request_notification(change::CALENDAR_CHANGED, once(port));
            assert_eq!(moved(asked), K::Success);
        }
        clock(&world, sets).set_time(ns(1)).unwrap();
        for _ in 0..MANY {
            assert_eq!(wait(&world, port).id, CALENDAR_CHANGED);
        }
        destroy(&world, port);
        world.release(sets);
        world.at_baseline();
    }
}
