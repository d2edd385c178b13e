//! An exception, its handling in another task, and the way back.
//!
//! The peer raises, this task handles: the peer's exception port is this task's.

use libmach::abi::exception::{BREAKPOINT, RAISE};
use libmach::abi::message::WORDS;
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::message::{receive, reply_receive, send};
use libmach::{ReceiveRight, Untyped};

use super::{Bench, Take, WARM_UP, row};
use crate::failure::delivered;
use crate::peer::Peer;
use crate::samples::{COUNT, Row, Samples};
use crate::server::id;
use crate::{Result, ensure, raw, time};

/// Id of the peer's last message.
const DONE: i32 = 6300;
/// Exceptions that are raised.
const ALL: usize = WARM_UP + COUNT;
/// Pages for their times.
const PAGES: u64 = (ALL as u64 * 8).div_ceil(4096);

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(round_trip(bench))
}

fn round_trip(bench: &Bench) -> Result<Row> {
    let times = raw::allocate_shared(PAGES)?;
    let port = ReceiveRight::<Untyped>::new()?;
    let peer = Peer::calling(raise, times, &port)?.run()?;
    let mut handled = 0;
    let (mut code, mut message) = receive(port.name());
    while message.id() == RAISE {
        delivered(code)?;
        let kind = message.words[0];
        ensure(kind == BREAKPOINT.into(), "another exception was raised")?;
        handled += 1;
        (code, message) = reply_receive(port.name(), RAISE + id::REPLY, [0; WORDS]);
    }
    delivered(code)?;
    let whole = message.id() == DONE && handled == ALL;
    ensure(whole, "not every exception came")?;
    drop(peer);
    let mut samples = Samples::with_room(COUNT);
    for index in WARM_UP..ALL {
        let difference = raw::read(times + index as u64 * 8);
        samples.push(bench.sample(0, difference));
    }
    raw::release(times, PAGES)?;
    row("exception_round_trip", samples)
}

/// Raises exceptions and writes down how long each took.
extern "C" fn raise(port: Name, times: u64) {
    for index in 0..ALL as u64 {
        let start = time::start();
        raw::breakpoint();
        let end = time::end();
        raw::write(times + index * 8, end - start);
    }
    let how = disposition::COPY_SEND;
    // Not sent, the handler waits for ever, and the run ends by its limit.
    let _code = send(port, how, DONE, Shape::SHORT, [0; WORDS]);
}
