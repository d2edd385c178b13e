//! Clocks of the host, and who hears of them.

use interfaces::clock::{Clock, Time};
use interfaces::mach_host::MachHost;
use libmach::abi::clock::{ALARM_REPLY, CALENDAR_CHANGED, SECOND, change, kind, which};
use libmach::abi::kern_return::{KernReturn as K, MessageReturn};
use libmach::abi::names::Name;
use libmach::abi::notify;
use libmach::{Error, ReceiveRight, SendRight, Untyped, message, ms, time, trap};

use super::cases;
use crate::case::{Check, Verdict, World, check, equal};

cases! { "clocks":
    "the system clock is that of traps, and never goes back" => system,
    "an alarm comes at its time" => alarm,
    "a timer that fires again and again has one message, and stays where it is" => coalesced,
    "a sleep by the clock lasts as long as asked" => sleep,
    "the calendar is set by who may, and who asked hears of it" => calendar,
}

fn everybody() -> Check<SendRight<dyn MachHost>> {
    Ok(SendRight::from_name(trap::host_self()?))
}

fn clock(which: u32) -> Check<SendRight<dyn Clock>> {
    Ok(everybody()?.client().clock_service(which)?)
}

/// Id and words of what a port gets within ten seconds.
fn next<I: ?Sized>(port: &ReceiveRight<I>) -> Check<(i32, [u64; 6])> {
    let (code, found) = message::receive_until(port.name(), time::deadline(ms(10_000)));
    equal("receive", code, MessageReturn::Success)?;
    Ok((found.id(), found.words))
}

// covers: K-01
fn system(_: &World) -> Check {
    let clock = clock(which::SYSTEM)?;
    let mut last = 0;
    for _ in 0..100 {
        let told = clock.client().time()?.nanoseconds().unwrap_or(0);
        let now = time::now();
        check!(
            told >= last && now >= told && time::continuous() >= now,
            "the clock says {told} after {last} and before {now}"
        );
        last = now;
    }
    Ok(())
}

// covers: K-01
fn alarm(_: &World) -> Check {
    let clock = clock(which::SYSTEM)?;
    let port = ReceiveRight::new()?;
    let span = Time::of(3_000_000);
    let begin = time::now();
    clock
        .client()
        .alarm(kind::RELATIVE, span, port.make_send_once()?)?;
    let (id, words) = next(&port)?;
    equal("id", id, ALARM_REPLY)?;
    equal(
        "code and kind",
        (words[0], words[1]),
        (0, kind::RELATIVE.into()),
    )?;
    let due = words[2] * SECOND + words[3];
    let now = time::now();
    check!(
        due >= begin + 3_000_000 && now >= due,
        "due at {due}, begun at {begin}, came at {now}"
    );
    Ok(())
}

// covers: K-01
fn sleep(_: &World) -> Check {
    let clock = clock(which::SYSTEM)?;
    let begin = time::now();
    let woke = trap::clock_sleep(clock.name(), kind::RELATIVE, (0, 2_000_000))?;
    check!(woke >= begin + 2_000_000, "only {} ns", woke - begin);
    let bad = trap::clock_sleep(clock.name(), kind::RELATIVE, (0, SECOND as u32));
    equal("no time", bad, Err(K::InvalidArgument))
}

// covers: H-03 K-01
fn calendar(world: &World) -> Check {
    let privileged: SendRight<dyn MachHost> = world.context.send_right("host-privileged")?;
    let port = ReceiveRight::new()?;
    for wanted in [change::CALENDAR_CHANGED, change::CALENDAR_SET] {
        everybody()?
            .client()
            .request_notification(wanted, port.make_send_once()?)?;
    }
    let refused = everybody()?.client().clock_control(which::CALENDAR);
    let refused = matches!(refused, Err(Error::Code(K::NoAccess)));
    check!(refused, "anybody may set the calendar");
    let control = privileged.client().clock_control(which::CALENDAR)?;
    let before = control.client().time()?;
    let noon = Time {
        seconds: 1_800_000_000,
        nanoseconds: 5,
    };
    control.client().set_time(noon)?;
    for id in [CALENDAR_CHANGED, CALENDAR_CHANGED + 1] {
        equal("notification", next(&port)?.0, id)?;
    }
    let told = clock(which::CALENDAR)?.client().time()?;
    check!(told >= noon, "the calendar says {told:?}");
    // As it was, for others.
    Ok(control.client().set_time(before)?)
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
    equal("code", asked.err(), Some(K::InvalidRight))?;
    let right = ReceiveRight::from_name(name);
    match super::own()?.client().insert_receive(Name::NULL, right) {
        Ok(_) => return Err(Verdict::Failed("a timer was moved".into())),
        // It is still this program's.
        Err(refused) => refused.rights.map(|(right,)| right.into_name()),
    };
    equal("its end", trap::timer_destroy(name), Ok(()))
}
