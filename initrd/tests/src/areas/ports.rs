//! Ports: chosen names, guards, room in queues.

use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::names::{Name, disposition, port_type, right};
use libmach::abi::notify;
use libmach::abi::registers::{Shape, options};
use libmach::abi::trap::{attribute, construct};
use libmach::message::{self, NO_REPLY};
use libmach::{PortSet, ReceiveRight, trap};

use super::cases;
use crate::case::{Check, World, equal};

cases! { "ports":
    "a port lies under the name that was chosen for it" => chosen,
    "a guarded port is destroyed with its guard only" => guarded,
    "a strict guard keeps a receive right from moving" => strict,
    "a sender that found no room is told when there is some" => room,
    "who watches a port or a set is told of a message, and of its end" => message_waits,
}

// covers: P-07
fn chosen(_: &World) -> Check {
    let name = Name::new(700, 0x21);
    let made = trap::port_allocate_name(right::RECEIVE, name)?;
    equal("name", made, name)?;
    equal("type", trap::port_type(name)?, port_type::RECEIVE)?;
    let again = trap::port_allocate_name(right::PORT_SET, name);
    equal("taken", again, Err(KernReturn::NameExists))?;
    let null = trap::port_allocate_name(right::RECEIVE, Name::NULL);
    equal("null", null, Err(KernReturn::InvalidValue))?;
    Ok(trap::port_destroy(name)?)
}

// covers: P-19
fn guarded(_: &World) -> Check {
    let port = trap::port_construct_guarded(construct::INSERT_SEND, 77)?;
    let wrong = Err(KernReturn::InvalidRight);
    equal("destroy", trap::port_destroy(port), wrong)?;
    let drop = trap::port_mod_refs(port, right::RECEIVE, -1);
    equal("mod_refs", drop, wrong)?;
    let wrong = Err(KernReturn::InvalidArgument);
    equal("destruct", trap::port_destruct(port, 0), wrong)?;
    equal("unguard", trap::port_unguard(port, 78), wrong)?;
    trap::port_swap_guard(port, 77, 78)?;
    equal(
        "type",
        trap::port_type(port)?,
        port_type::RECEIVE | port_type::SEND,
    )?;
    trap::port_destruct_guarded(port, -1, 78)?;
    equal("type", trap::port_type(port), Err(KernReturn::InvalidName))
}

// covers: P-19
fn strict(_: &World) -> Check {
    let port = trap::port_allocate(right::RECEIVE)?;
    trap::port_guard(port, 5, 1)?;
    let moved = trap::port_insert_right(port, port, disposition::MOVE_RECEIVE);
    equal("move", moved, Err(KernReturn::InvalidRight))?;
    trap::port_unguard(port, 5)?;
    Ok(trap::port_destroy(port)?)
}

// covers: N-06
fn room(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let events = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    let name = send.name();
    trap::port_set_attribute(name, attribute::QUEUE_LIMIT, 1)?;
    trap::port_request_notification(name, notify::SEND_POSSIBLE, 0, events.name())?;
    let try_send = || {
        let option = options::SEND_TIMEOUT | options::SEND_NOTIFY;
        let to = (name, disposition::MAKE_SEND);
        message::exchange(message::send_registers(
            option,
            to,
            NO_REPLY,
            1,
            Shape::SHORT,
            [0; 6],
        ))
        .0
    };
    equal("first", try_send(), MessageReturn::Success)?;
    equal("second", try_send(), MessageReturn::SendTimedOut)?;
    // The right that it was to go by came back.
    trap::port_deallocate(name)?;
    let (code, _) = message::receive_until(events.name(), 0);
    equal("too early", code, MessageReturn::ReceiveTimedOut)?;
    let (code, _) = message::receive_until(name, 0);
    equal("receive", code, MessageReturn::Success)?;
    let (code, told) = message::receive_until(events.name(), 0);
    equal("told", code, MessageReturn::Success)?;
    let expected = (notify::SEND_POSSIBLE, u64::from(name.0));
    equal("notification", (told.id(), told.words[0]), expected)
}

// covers: M-39
fn message_waits(_: &World) -> Check {
    let (port, events, set) = (
        ReceiveRight::<()>::new()?,
        ReceiveRight::<()>::new()?,
        PortSet::new()?,
    );
    let (member, all) = (port.name(), set.name());
    let watch =
        |name| trap::port_request_notification(name, notify::MESSAGE_WAITING, 0, events.name());
    let told = || {
        let (code, found) = message::receive_until(events.name(), 0);
        (code == MessageReturn::Success).then_some((found.id(), found.words[0]))
    };
    let send = || message::send(member, disposition::MAKE_SEND, 1, Shape::SHORT, [0; 6]);
    set.insert(&port)?;
    for name in [member, all] {
        let waits = Some((notify::MESSAGE_WAITING, u64::from(name.0)));
        watch(name)?;
        equal("without a message", told(), None)?;
        equal("send", send(), MessageReturn::Success)?;
        equal("told of the first", told(), waits)?;
        equal("send", send(), MessageReturn::Success)?;
        equal("told of the second", told(), None)?;
        watch(name)?;
        equal("told of what waits", told(), waits)?;
        for _ in 0..2 {
            let (code, _) = message::receive_until(all, 0);
            equal("receive", code, MessageReturn::Success)?;
        }
    }
    watch(member)?;
    watch(all)?;
    drop((port, set));
    let mut ends = [told(), told()];
    ends.sort_unstable();
    let mut expected = [member, all].map(|name| Some((notify::PORT_DELETED, u64::from(name.0))));
    expected.sort_unstable();
    equal("told of the ends", ends, expected)?;
    equal("told once", told(), None)
}
