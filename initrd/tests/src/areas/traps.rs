//! The simplest traps.

use libmach::abi::names::port_type;
use libmach::{SendRight, Untyped, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

cases! { "traps":
    "the null trap succeeds" => null,
    "the clock does not go back" => clock,
    "task, thread and host name themselves" => selves,
    "asking for oneself twice gives the same name" => same_name,
    "the command line's variables arrive" => variables,
}

fn null(_: &World) -> Check {
    Ok(trap::null()?)
}

fn clock(_: &World) -> Check {
    let mut last = trap::clock();
    check!(last > 0, "time stands at 0");
    for _ in 0..1000 {
        let now = trap::clock();
        check!(now >= last, "{now} after {last}");
        last = now;
    }
    Ok(())
}

fn selves(_: &World) -> Check {
    for (what, name) in [
        ("task", trap::task_self()?),
        ("thread", trap::thread_self()?),
        ("host", trap::host_self()?),
    ] {
        let right = SendRight::<Untyped>::from_name(name);
        equal(what, trap::port_type(right.name())?, port_type::SEND)?;
    }
    Ok(())
}

fn same_name(_: &World) -> Check {
    let first = SendRight::<Untyped>::from_name(trap::task_self()?);
    let second = SendRight::<Untyped>::from_name(trap::task_self()?);
    equal("name", second.name(), first.name())
}

/// Bootstrap has them from the kernel, and passes them on.
fn variables(world: &World) -> Check {
    equal("mode", world.context.variable("mode"), Some("command"))
}
