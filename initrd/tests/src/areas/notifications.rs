//! Notifications.

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::{Name, disposition, right};
use libmach::abi::notify;
use libmach::abi::registers::{Shape, options, pair, send_word};
use libmach::trap::Registers;
use libmach::{ReceiveRight, message, trap};

use super::cases;
use crate::case::{Check, World, equal};

cases! { "notifications":
    "a port that dies is told to who watches it" => dead_name,
    "the last send right's end is told to the receiver" => no_senders,
    "no-senders waits for rights that were made since" => no_senders_waits,
    "a reply right that ends unused is told to its maker" => send_once,
}

/// Id and first word of what a port gets within ten seconds.
fn next(port: &ReceiveRight<()>) -> Check<(i32, u64)> {
    let deadline = libmach::time::deadline(libmach::ms(10_000));
    let (code, found) = message::receive_until(port.name(), deadline);
    equal("receive", code, MessageReturn::Success)?;
    Ok((found.id(), found.words[0]))
}

// covers: F-03
fn dead_name(_: &World) -> Check {
    let events = ReceiveRight::<()>::new()?;
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    let name = send.name();
    let former = trap::port_request_notification(name, notify::DEAD_NAME, 0, events.name())?;
    equal("former request", former, Name::NULL)?;
    drop(port);
    let expected = (notify::DEAD_NAME, u64::from(name.0));
    equal("notification", next(&events)?, expected)?;
    // The notification brought a reference of its own.
    equal(
        "references",
        trap::port_get_refs(name, right::DEAD_NAME)?,
        2,
    )?;
    Ok(trap::port_deallocate(name)?)
}

fn no_senders(_: &World) -> Check {
    let events = ReceiveRight::<()>::new()?;
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    trap::port_request_notification(port.name(), notify::NO_SENDERS, 1, events.name())?;
    drop(send);
    equal("notification", next(&events)?, (notify::NO_SENDERS, 1))
}

fn no_senders_waits(_: &World) -> Check {
    let events = ReceiveRight::<()>::new()?;
    let port = ReceiveRight::<()>::new()?;
    let (first, second) = (port.make_send()?, port.make_send()?);
    trap::port_request_notification(port.name(), notify::NO_SENDERS, 2, events.name())?;
    drop(first);
    let (code, _) = message::receive_until(events.name(), 0);
    equal("early", code, MessageReturn::ReceiveTimedOut)?;
    drop(second);
    equal("notification", next(&events)?, (notify::NO_SENDERS, 2))
}

fn send_once(_: &World) -> Check {
    let port = ReceiveRight::<()>::new()?;
    let send = port.make_send()?;
    let answers = ReceiveRight::<()>::new()?;
    let (code, _) = message::exchange(Registers {
        word: send_word(
            options::SEND,
            disposition::COPY_SEND,
            disposition::MAKE_SEND_ONCE,
            Shape::SHORT,
        ),
        names: pair(send.name().0, answers.name().0),
        receive: pair(0, 1),
        deadline: 0,
        words: [0; 6],
    });
    equal("send", code, MessageReturn::Success)?;
    // With its port the message dies, and with that the right.
    drop(port);
    equal("notification", next(&answers)?.0, notify::SEND_ONCE)
}
