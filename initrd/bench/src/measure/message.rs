//! Single messages: to oneself, and to a receiver of higher priority.

use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::{Shape, options, pair, send_word};
use libmach::abi::trap::construct;
use libmach::message::{exchange, receive, send};
use libmach::trap::{self, Registers};

use super::{Bench, Take, WARM_UP, row};
use crate::failure::delivered;
use crate::peer::Peer;
use crate::samples::{COUNT, Row, Samples};
use crate::{Result, ensure, raw, time};

/// Id of the messages here.
const ID: i32 = 6200;
/// Priority of who receives one-way messages; this thread's is 31.
pub(super) const HIGHER: u32 = 60;

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(to_self(bench))?;
    take(one_way(bench))
}

/// One trap sends to a port and receives from it.
fn to_self(bench: &Bench) -> Result<Row> {
    const BOTH: u32 = options::SEND | options::RECEIVE;
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let row = bench.measure(
        "send_receive_self",
        Ok,
        |round| {
            exchange(Registers {
                word: send_word(
                    BOTH,
                    disposition::COPY_SEND,
                    disposition::NONE,
                    Shape::SHORT,
                ),
                names: pair(port.0, Name::NULL.0),
                receive: pair(port.0, ID as u32),
                deadline: 0,
                words: [round; 6],
            })
        },
        |round, (code, got)| {
            delivered(code)?;
            let whole = got.id() == ID && got.words == [round; 6];
            ensure(whole, "a message to oneself changed on its way")
        },
    )?;
    trap::port_destroy(port)?;
    Ok(row)
}

/// From before the send to behind the receive that it ends, in another task of higher priority.
fn one_way(bench: &Bench) -> Result<Row> {
    let page = raw::allocate_shared(1)?;
    raw::write(page, 0);
    let peer = Peer::serving(note_arrivals, page)?
        .at_priority(HIGHER)?
        .run()?;
    let mut samples = Samples::with_room(COUNT);
    for round in 0..(WARM_UP + COUNT) as u64 {
        let start = time::start();
        let code = send(
            peer.port(),
            disposition::COPY_SEND,
            ID,
            Shape::SHORT,
            [round; 6],
        );
        delivered(code)?;
        let (end, word) = (raw::read(page), raw::read(page + 8));
        let arrived = end > start && word == round;
        ensure(arrived, "a higher-priority receiver did not run at once")?;
        if round >= WARM_UP as u64 {
            samples.push(bench.sample(start, end));
        }
    }
    drop(peer);
    raw::release(page, 1)?;
    row("send_one_way", samples)
}

/// Writes down when each message came, its last word, and its id.
pub(super) extern "C" fn note_arrivals(port: Name, page: u64) {
    loop {
        let (code, message) = receive(port);
        let now = time::end();
        if delivered(code).is_err() {
            return;
        }
        raw::write(page, now);
        raw::write(page + 8, message.words[5]);
        raw::write(page + 16, message.id() as u64);
    }
}
