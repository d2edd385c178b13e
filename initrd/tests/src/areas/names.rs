//! Port names, the rights under them, their user references.

use alloc::vec::Vec;

use libmach::abi::kern_return::KernReturn;
use libmach::abi::names::{Name, port_type, right};
use libmach::abi::trap::attribute;
use libmach::{ReceiveRight, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

cases! { "names":
    "a new port is a receive right" => new_port,
    "null, dead and invented names denote nothing" => nothing,
    "a freed name stays dead when its place is used again" => stale,
    "send rights coalesce under one name" => coalesce,
    "references are counted and refused below zero" => references,
    "a port that dies leaves dead names" => dead,
    "a receive right is not deallocated" => not_deallocated,
    "attributes are kept and bounded" => attributes,
}

fn new_port(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    equal("type", trap::port_type(port.name())?, port_type::RECEIVE)?;
    check!(port.name().is_valid(), "name {:?}", port.name());
    equal("send rights", port.send_rights()?, 0)
}

fn nothing(_: &World) -> Check {
    for name in [Name::NULL, Name::DEAD, Name(0x7fff_ff03), Name(0xff00)] {
        let found = trap::port_type(name);
        check!(found.is_err(), "{name:?} is of type {found:?}");
        let gone = trap::port_deallocate(name);
        check!(gone.is_err(), "{name:?} could be deallocated");
    }
    Ok(())
}

// covers: P-01 F-04
fn stale(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let old = port.name();
    drop(port);
    equal("type", trap::port_type(old), Err(KernReturn::InvalidName))?;
    // Some of these lie in the old one's place.
    let mut ports = Vec::new();
    for _ in 0..300 {
        let port = ReceiveRight::<()>::new()?;
        check!(port.name() != old, "{old:?} came back with its generation");
        ports.push(port);
    }
    Ok(())
}

fn coalesce(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let first = port.make_send()?;
    let second = port.make_send()?;
    equal("name", second.name(), first.name())?;
    let name = first.name();
    equal("references", trap::port_get_refs(name, right::SEND)?, 2)?;
    equal("made", port.make_send_count()?, 2)?;
    drop(first);
    equal("references", trap::port_get_refs(name, right::SEND)?, 1)
}

// covers: F-03 F-06
fn references(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    let name = send.name();
    trap::port_mod_refs(name, right::SEND, 3)?;
    equal("references", trap::port_get_refs(name, right::SEND)?, 4)?;
    let below = trap::port_mod_refs(name, right::SEND, -5);
    equal("below zero", below, Err(KernReturn::InvalidValue))?;
    equal("references", trap::port_get_refs(name, right::SEND)?, 4)?;
    Ok(trap::port_mod_refs(name, right::SEND, -3)?)
}

fn dead(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    drop(port);
    equal("type", trap::port_type(send.name())?, port_type::DEAD_NAME)?;
    let name = send.name();
    drop(send);
    equal("type", trap::port_type(name), Err(KernReturn::InvalidName))
}

fn not_deallocated(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let refused = trap::port_deallocate(port.name());
    equal("deallocate", refused, Err(KernReturn::InvalidRight))?;
    equal("type", trap::port_type(port.name())?, port_type::RECEIVE)
}

fn attributes(_: &World) -> Check {
    let port = ReceiveRight::<()>::with_label(0x1234_5678_9abc_def0)?;
    let label = trap::port_get_attribute(port.name(), attribute::LABEL)?;
    equal("label", label, 0x1234_5678_9abc_def0)?;
    port.set_queue_limit(1024)?;
    let limit = trap::port_get_attribute(port.name(), attribute::QUEUE_LIMIT)?;
    equal("queue limit", limit, 1024)
}
