//! Deadlines and timers.

use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::names::Name;
use libmach::abi::notify::{self, pending};
use libmach::{ReceiveRight, Untyped, message, ms, time, trap};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};

cases! { "timers":
    "a timer fires at its deadline and not before" => fires,
    "a timer whose deadline has passed fires at once" => passed,
    "a timer that is disarmed does not fire" => disarmed,
    "a sleep is not shorter than asked" => sleeps,
    "a timer that fires again and again has one message, and stays where it is" => coalesced,
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

// covers: K-02
fn coalesced(_: &World) -> Check {
    let timer = ReceiveRight::<Untyped>::from_name(trap::timer_create()?);
    for deadline in 1..=3 {
        trap::timer_arm(timer.name(), deadline)?;
        time::sleep(ms(1));
    }
    let (code, found) = message::receive_until(timer.name(), 0);
    equal("receive", code, MessageReturn::Success)?;
    equal("the last deadline", found.words[0], 3)?;
    let (code, _) = message::receive_until(timer.name(), 0);
    equal("receive again", code, MessageReturn::ReceiveTimedOut)?;
    let notes = ReceiveRight::<Untyped>::new()?;
    let (id, name) = (notify::PORT_DESTROYED, timer.into_name());
    let asked = trap::port_request_notification(name, id, 0, notes.name());
    equal("code", asked.err(), Some(KernReturn::InvalidRight))?;
    let right = ReceiveRight::from_name(name);
    match super::own()?.client().insert_receive(Name::NULL, right) {
        Ok(_) => return Err(Verdict::Failed("a timer was moved".into())),
        // It is still this program's.
        Err(refused) => refused.rights.map(|(right,)| right.into_name()),
    };
    equal("its end", trap::timer_destroy(name), Ok(()))
}

fn sleeps(_: &World) -> Check {
    let start = time::now();
    time::sleep(ms(3));
    let slept = time::now() - start;
    check!(slept >= 3_000_000, "only {slept} ns");
    Ok(())
}
