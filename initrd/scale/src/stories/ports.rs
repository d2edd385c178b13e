//! Ports: with send rights, in a set, watched; and full of messages.

use alloc::format;

use interfaces::clock::{ClockReply, HostNotify, Time};
use libmach::abi::clock::{ALARM_REPLY, CALENDAR_CHANGED, change, kind, which};
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::{Descriptor, MAX_DESCRIPTORS, MAX_PORTS, descriptor};
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::notify;
use libmach::abi::registers::Shape;
use libmach::abi::task::Limits;
use libmach::abi::trap::{attribute, construct};
use libmach::{ReceiveRight, buffer, message, trap};

use super::large::{receive, rights_in, send};
use super::{Peak, Scene, Table};
use crate::raw::Pages;
use crate::{Result, ensure};

/// Nanoseconds in which one is made and an alarm set.
const EACH: u64 = 50_000;
/// Kernel memory for a task with so many ports.
const BYTES_EACH: u64 = 1024;

/// Each has a send right under the same name, is in a set, and is watched for its death and for the end of its
/// senders. The set ends first.
pub(super) fn one_by_one(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let ports = Table::new(count)?;
    let set = trap::port_allocate(right::PORT_SET)?;
    let notes = trap::port_allocate(right::RECEIVE)?;
    for n in 0..count {
        let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
        ports.set(n, port);
        trap::port_insert_member(port, set)?;
        trap::port_request_notification(port, notify::DEAD_NAME, 0, notes)?;
        trap::port_request_notification(port, notify::NO_SENDERS, 1, notes)?;
    }
    peak.note(scene)?;
    let (names, found) = scene.own.client().port_names()?;
    ensure(u64::from(found) >= count, || format!("{found} names"))?;
    drop(names);
    trap::port_destroy(set)?;
    for n in scene.order(count).iter() {
        let port = ports.get(n);
        trap::port_mod_refs(port, right::RECEIVE, -1)?;
        expect(notes, notify::DEAD_NAME, port)?;
        trap::port_destroy(port)?;
    }
    trap::port_destroy(notes)?;
    Ok(())
}

/// So many send-once rights to one port, each watched for its death, every other for room as well, are told of it when the
/// port ends.
pub(super) fn watched_by_many(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    const MOST: u64 = MAX_PORTS as u64;
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let notes = trap::port_allocate(right::RECEIVE)?;
    let same = Table::new(MOST)?;
    for n in 0..MOST {
        same.set(n, port);
    }
    let mut left = count;
    while left > 0 {
        let some = left.min(MOST);
        let rights = rights_in(&same, some, disposition::MAKE_SEND_ONCE);
        send(port, &[rights])?;
        receive(port)?;
        let names = Pages::brought(&buffer::descriptor(0));
        for n in 0..some {
            let ids = [notify::DEAD_NAME, notify::SEND_POSSIBLE];
            let name = Name(names.read_u32(n));
            trap::port_request_notification(name, ids[(n % 2) as usize], 0, notes)?;
        }
        left -= some;
    }
    peak.note(scene)?;
    trap::port_destruct(port, -1)?;
    for _ in 0..count {
        let (code, found) = message::receive_until(notes, 0);
        ensure(code == MessageReturn::Success, || format!("{code}"))?;
        ensure(found.id() == notify::DEAD_NAME, || {
            format!("{}", found.id())
        })?;
        // The notification gave the dead name a reference of its own.
        trap::port_mod_refs(Name(found.words[0] as u32), right::DEAD_NAME, -2)?;
    }
    trap::port_destroy(notes)?;
    Ok(())
}

/// Each is told of a time, which is the same for all; and so is one more, by so many alarms.
pub(super) fn timed(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let ports = Table::new(count)?;
    let told: ReceiveRight<dyn ClockReply> = ReceiveRight::new()?;
    let clock = scene.privileged.client().clock_service(which::SYSTEM)?;
    let deadline = trap::clock() + count * EACH;
    let time = Time::of(deadline);
    for n in 0..count {
        let port = trap::port_allocate(right::RECEIVE)?;
        ports.set(n, port);
        trap::timer_arm(port, deadline)?;
        let alarm = told.make_send_once()?;
        clock.client().alarm(kind::ABSOLUTE, time, alarm)?;
    }
    peak.note(scene)?;
    for n in 0..count {
        for (port, id) in [
            (ports.get(n), notify::pending::TIMER),
            (told.name(), ALARM_REPLY),
        ] {
            let (code, found) = message::receive(port);
            ensure((code, found.id()) == (MessageReturn::Success, id), || {
                format!("{code}, message {}", found.id())
            })?;
        }
        trap::port_destroy(ports.get(n))?;
    }
    Ok(())
}

/// So many requests to hear of another calendar, which is set then.
pub(super) fn told_of_the_calendar(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let told: ReceiveRight<dyn HostNotify> = ReceiveRight::new()?;
    let host = scene.privileged.client();
    let calendar = host.clock_control(which::CALENDAR)?;
    for _ in 0..count {
        host.request_notification(change::CALENDAR_CHANGED, told.make_send_once()?)?;
    }
    peak.note(scene)?;
    let as_it_is = calendar.client().time()?;
    calendar.client().set_time(as_it_is)?;
    for _ in 0..count {
        let (code, found) = message::receive(told.name());
        let expected = (MessageReturn::Success, CALENDAR_CHANGED);
        ensure((code, found.id()) == expected, || {
            format!("{code}, message {}", found.id())
        })?;
    }
    Ok(())
}

/// The next message on a port of notifications; those of ended senders' requests are passed over.
fn expect(notes: Name, id: i32, port: Name) -> Result<()> {
    loop {
        let (code, found) = message::receive_until(notes, 0);
        ensure(code == MessageReturn::Success, || {
            format!("no notification: {code}")
        })?;
        if found.id() == notify::SEND_ONCE {
            continue;
        }
        return ensure((found.id(), found.words[0]) == (id, port.0.into()), || {
            format!("notification {} of {:#x}", found.id(), found.words[0])
        });
    }
}

/// They are another task's, which ends.
pub(super) fn with_their_task(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let limits = Limits {
        names: (count + 16) as u32,
        messages: 16,
        threads: 1,
        pages: 16,
        kernel_bytes: (count + 64) * BYTES_EACH,
    };
    let child = scene.own.client().create(limits, 0, 0)?;
    for _ in 0..count {
        child.client().port_allocate(right::RECEIVE)?;
    }
    peak.note(scene)?;
    child.client().terminate()?;
    Ok(())
}

/// Messages with a kilobyte of data and a right, as many on each port as its queue takes.
pub(super) fn with_messages(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    const EACH: u64 = 1000;
    const SIZE: u32 = 1024;
    let ports = Table::new(count.div_ceil(EACH))?;
    let carried = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    for n in 0..count {
        if n % EACH == 0 {
            let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
            trap::port_set_attribute(port, attribute::QUEUE_LIMIT, EACH)?;
            ports.set(n / EACH, port);
        }
        buffer::set_descriptor(0, right_to(carried, disposition::COPY_SEND));
        let shape = Shape::buffered(SIZE, 1);
        let port = ports.get(n / EACH);
        let code = message::send(port, disposition::COPY_SEND, 1, shape, [n; 6]);
        ensure(code == MessageReturn::Success, || format!("send: {code}"))?;
    }
    let rights = trap::port_get_attribute(carried, attribute::SEND_RIGHTS)?;
    ensure(rights == count + 1, || format!("{rights} send rights"))?;
    peak.note(scene)?;
    for n in scene.order(count.div_ceil(EACH)).iter() {
        trap::port_destruct(ports.get(n), -1)?;
    }
    trap::port_destruct(carried, -1)?;
    Ok(())
}

/// Messages with as many rights as fit, which end in their queue. `count` is of rights.
pub(super) fn with_many_rights(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    const RIGHTS: u64 = MAX_DESCRIPTORS as u64;
    let carried = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    trap::port_set_attribute(port, attribute::QUEUE_LIMIT, count.div_ceil(RIGHTS))?;
    for _ in 0..count.div_ceil(RIGHTS) {
        for index in 0..RIGHTS {
            let right = right_to(carried, disposition::COPY_SEND);
            buffer::set_descriptor(index as usize, right);
        }
        let shape = Shape::buffered(0, RIGHTS as u32);
        let code = message::send(port, disposition::COPY_SEND, 1, shape, [0; 6]);
        ensure(code == MessageReturn::Success, || format!("send: {code}"))?;
    }
    peak.note(scene)?;
    trap::port_destruct(port, -1)?;
    trap::port_destruct(carried, -1)?;
    Ok(())
}

/// The descriptor of a right.
pub(super) fn right_to(name: Name, how: u8) -> Descriptor {
    Descriptor {
        kind: descriptor::PORT,
        disposition: how,
        name: name.0,
        ..Descriptor::default()
    }
}
