//! Port sets.

use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::names::{disposition, port_type};
use libmach::abi::registers::Shape;
use libmach::{PortSet, ReceiveRight, SendRight, message, trap};

use super::cases;
use crate::case::{Check, World, equal};

cases! { "sets":
    "a set receives what its members get" => receives,
    "a member that leaves is not received from" => leaves,
    "what waits in a port that joins is received" => joins,
    "a set that dies leaves its members alone" => dies,
}

type Port = ReceiveRight<()>;
type Send = SendRight<()>;

/// An empty set, two ports labelled 1 and 2, and a send right to each.
fn ports() -> Check<(PortSet, [Port; 2], [Send; 2])> {
    let set = PortSet::new()?;
    let ports = [ReceiveRight::with_label(1)?, ReceiveRight::with_label(2)?];
    let sends = [ports[0].make_send()?, ports[1].make_send()?];
    Ok((set, ports, sends))
}

fn send(to: &SendRight<()>, id: i32) -> Check {
    let how = disposition::COPY_SEND;
    let code = message::send(to.name(), how, id, Shape::SHORT, [0; 6]);
    equal("send", code, MessageReturn::Success)
}

/// Label and id of what the set has now.
fn next(set: &PortSet) -> Result<(u64, i32), MessageReturn> {
    match message::receive_until(set.name(), 0) {
        (MessageReturn::Success, found) => Ok((found.label(), found.id())),
        (code, _) => Err(code),
    }
}

fn receives(_: &World) -> Check {
    let (set, ports, sends) = ports()?;
    equal("type", trap::port_type(set.name())?, port_type::PORT_SET)?;
    set.insert(&ports[0])?;
    set.insert(&ports[1])?;
    send(&sends[1], 7)?;
    equal("second", next(&set), Ok((2, 7)))?;
    send(&sends[0], 8)?;
    equal("first", next(&set), Ok((1, 8)))?;
    equal("none", next(&set), Err(MessageReturn::ReceiveTimedOut))
}

fn leaves(_: &World) -> Check {
    let (set, ports, sends) = ports()?;
    set.insert(&ports[0])?;
    let twice = set.insert(&ports[0]);
    equal("twice", twice, Err(KernReturn::AlreadyInSet.into()))?;
    set.remove(&ports[0])?;
    send(&sends[0], 7)?;
    equal("set", next(&set), Err(MessageReturn::ReceiveTimedOut))?;
    let again = set.remove(&ports[0]);
    equal("again", again, Err(KernReturn::NotInSet.into()))
}

fn joins(_: &World) -> Check {
    let (set, ports, sends) = ports()?;
    send(&sends[0], 7)?;
    set.insert(&ports[0])?;
    equal("set", next(&set), Ok((1, 7)))
}

fn dies(_: &World) -> Check {
    let (set, ports, sends) = ports()?;
    set.insert(&ports[0])?;
    drop(set);
    send(&sends[0], 7)?;
    let (code, found) = message::receive_until(ports[0].name(), 0);
    equal("receive", (code, found.id()), (MessageReturn::Success, 7))
}
