//! Deadlines and timers.

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::notify::pending;
use libmach::{ReceiveRight, message, ms, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

cases! { "timers":
    "a timer fires at its deadline and not before" => fires,
    "a timer that is disarmed does not fire" => disarmed,
    "a sleep is not shorter than asked" => sleeps,
}

fn fires(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    for delay in [0, 1, 5] {
        let deadline = time::deadline(ms(delay));
        trap::timer_arm(port.name(), deadline)?;
        let (code, found) = message::receive_until(port.name(), time::deadline(ms(10_000)));
        equal("receive", code, MessageReturn::Success)?;
        equal("id", found.id(), pending::TIMER)?;
        let now = time::now();
        check!(now >= deadline, "it fired at {now}, before {deadline}");
    }
    Ok(())
}

fn disarmed(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let deadline = time::deadline(ms(10));
    trap::timer_arm(port.name(), deadline)?;
    trap::timer_arm(port.name(), u64::MAX)?;
    let (code, _) = message::receive_until(port.name(), deadline + 1_000_000);
    equal("receive", code, MessageReturn::ReceiveTimedOut)
}

fn sleeps(_: &World) -> Check {
    let start = time::now();
    time::sleep(ms(3));
    let slept = time::now() - start;
    check!(slept >= 3_000_000, "only {slept} ns");
    Ok(())
}
