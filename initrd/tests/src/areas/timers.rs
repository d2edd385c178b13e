//! Deadlines and timers.

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::notify::pending;
use libmach::{ReceiveRight, message, ms, time, trap};

use super::cases;
use crate::case::{Check, World, check, equal};

cases! { "timers":
    "a timer fires at its deadline and not before" => fires,
    "a timer whose deadline has passed fires at once" => passed,
    "a timer that is disarmed does not fire" => disarmed,
    "a sleep is not shorter than asked" => sleeps,
}

// covers: K-02
fn fires(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    for delay in [1, 5, 2] {
        let deadline = time::deadline(ms(delay));
        arm_and_wait(&port, deadline)?;
        let now = time::now();
        check!(now >= deadline, "it fired at {now}, before {deadline}");
    }
    Ok(())
}

fn passed(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    for deadline in [time::now(), 1] {
        arm_and_wait(&port, deadline)?;
    }
    Ok(())
}

fn arm_and_wait(port: &ReceiveRight<()>, deadline: u64) -> Check {
    trap::timer_arm(port.name(), deadline)?;
    let (code, found) = message::receive_until(port.name(), time::deadline(ms(10_000)));
    equal("receive", code, MessageReturn::Success)?;
    equal(
        "message",
        (found.id(), found.words[0]),
        (pending::TIMER, deadline),
    )
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
