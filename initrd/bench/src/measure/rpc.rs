//! Round trips: a call, its service in another task, the reply.

use interfaces::host::Host;
use libmach::abi::kern_return::{KernReturn, MessageReturn};
use libmach::abi::message::{Descriptor, WORDS, descriptor};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::trap::construct;
use libmach::message::{call, call_registers, exchange};
use libmach::trap::{self, Registers};
use libmach::{buffer, thread};

use super::{Bench, Take, nothing};
use crate::failure::delivered;
use crate::peer::Peer;
use crate::raw::{self, Sending};
use crate::samples::Row;
use crate::server::{id, serve};
use crate::{Result, ensure};

/// Which way messages may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// The fast path, where a message fits it.
    Fast,
    /// It is switched off.
    Slow,
}

/// A row's name on either path.
macro_rules! named {
    ($path:expr, $name:literal) => {
        match $path {
            Path::Fast => $name,
            Path::Slow => concat!($name, "_slow"),
        }
    };
}

pub(super) fn all(bench: &Bench, path: Path, take: Take<'_>) -> Result<()> {
    let peer = Peer::serving(serve, 0)?.run()?;
    let port = peer.port();
    take(empty(bench, named!(path, "rpc_empty"), port))?;
    take(words(bench, named!(path, "rpc_6_words"), port))?;
    take(inline::<10>(bench, named!(path, "rpc_10_words"), port))?;
    take(inline::<8>(bench, named!(path, "rpc_64b"), port))?;
    take(inline::<128>(bench, named!(path, "rpc_1k"), port))?;
    take(inline::<500>(bench, named!(path, "rpc_4000b"), port))?;
    take(same_task(bench, named!(path, "rpc_same_task")))?;
    take(port_right(bench, named!(path, "rpc_port_right"), port))?;
    let moved = named!(path, "rpc_ool_page_move");
    take(page(bench, moved, port, Sending::Move))?;
    let copied = named!(path, "rpc_ool_page_copy");
    take(page(bench, copied, port, Sending::Copy))?;
    take(kernel_object(bench, named!(path, "rpc_kernel_object")))?;
    take(asked(
        bench,
        named!(path, "rpc_deferred"),
        (port, id::DEFERRED),
    ))
}

/// A call without content.
#[inline(always)]
pub(super) fn empty(bench: &Bench, name: &'static str, port: Name) -> Result<Row> {
    asked(bench, name, (port, id::EMPTY))
}

/// A call without content, to which the server sees in the way that its id names.
#[inline(always)]
fn asked(bench: &Bench, name: &'static str, (port, id): (Name, i32)) -> Result<Row> {
    bench.measure(
        name,
        nothing,
        |()| call(port, id, [0; WORDS]),
        |_, answer| answered(answer, id, [0; WORDS]),
    )
}

fn words(bench: &Bench, name: &'static str, port: Name) -> Result<Row> {
    bench.measure(
        name,
        |round| Ok(numbered(round)),
        |words| call(port, id::WORDS, words),
        |round, answer| {
            let wanted = numbered(round).map(|word| word + 1);
            answered(answer, id::WORDS, wanted)
        },
    )
}

/// `COUNT` words that lie in the buffer.
fn inline<const COUNT: usize>(bench: &Bench, name: &'static str, port: Name) -> Result<Row> {
    let shape = Shape::buffered(COUNT as u32 * 8, 0);
    bench.measure(
        name,
        |round| {
            (0..COUNT).for_each(|index| buffer::set_word(0, index, round << 16 | index as u64));
            Ok(())
        },
        |()| exchange(call_registers(port, id::BUFFER, shape, [0; WORDS])),
        |round, answer| {
            ensure(
                answer.1.received().shape() == shape,
                "an answer has another shape",
            )?;
            answered(answer, id::BUFFER, [0; WORDS])?;
            let whole = (0..COUNT).all(|index| {
                let added = u64::from(index == 0);
                buffer::word(0, index) == (round << 16 | index as u64) + added
            });
            ensure(whole, "inline data changed on its way")
        },
    )
}

/// The server is a thread of this task; the client's name for the port holds the receive right too.
fn same_task(bench: &Bench, name: &'static str) -> Result<Row> {
    let port = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let server = thread::spawn(move || serve(port, 0))?;
    let row = empty(bench, name, port)?;
    // Its answer is the notification that the server dropped it.
    let (code, _) = call(port, id::END, [0; WORDS]);
    delivered(code)?;
    server.join();
    trap::port_destroy(port)?;
    Ok(row)
}

fn port_right(bench: &Bench, name: &'static str, port: Name) -> Result<Row> {
    let given = trap::port_construct(construct::INSERT_SEND, 0, 0)?;
    let right = Descriptor {
        kind: descriptor::PORT,
        disposition: disposition::COPY_SEND,
        name: given.0,
        ..Descriptor::default()
    };
    let shape = Shape::buffered(0, 1);
    let row = bench.measure(
        name,
        |_| {
            buffer::set_descriptor(0, right);
            Ok(())
        },
        |()| exchange(call_registers(port, id::PORT, shape, [0; WORDS])),
        |_, answer| {
            let name = answer.1.words[0];
            ensure(
                Name(name as u32).is_valid(),
                "a right did not reach the server",
            )?;
            answered(answer, id::PORT, [name, 0, 0, 0, 0, 0])
        },
    )?;
    trap::port_destroy(given)?;
    Ok(row)
}

/// A page goes to the server, moved or as a copy, and comes back moved. Nobody touches it there.
fn page(bench: &Bench, name: &'static str, port: Name, sending: Sending) -> Result<Row> {
    let shape = Shape::buffered(0, 1);
    let mut page = raw::allocate(1)?;
    let kept = page;
    let row = bench.measure(
        name,
        |round| {
            // After the first round the page that a move brought back.
            if sending == Sending::Copy || round == 0 {
                page = kept;
            } else {
                page = buffer::word(0, 1);
            }
            raw::write(page, round);
            raw::describe_page(page, sending);
            Ok(())
        },
        |()| exchange(call_registers(port, id::PAGE, shape, [0; WORDS])),
        |round, answer| {
            let there = answer.1.words[0];
            answered(answer, id::PAGE, [there, 0, 0, 0, 0, 0])?;
            let back = buffer::word(0, 1);
            ensure(raw::read(back) == round, "a page lost its content")?;
            if sending == Sending::Copy {
                raw::release(back, 1)?;
            }
            Ok(())
        },
    )?;
    let last = match sending {
        Sending::Copy => kept,
        Sending::Move => buffer::word(0, 1),
    };
    raw::release(last, 1)?;
    Ok(row)
}

/// A call to the host port: two words in, a code out.
fn kernel_object(bench: &Bench, name: &'static str) -> Result<Row> {
    const MARK: i32 = <dyn Host>::TRACE_MARK.id;
    let host = trap::host_self()?;
    bench.measure(
        name,
        |round| Ok([round, 0, 0, 0, 0, 0]),
        |words| call(host, MARK, words),
        |_, answer| {
            let code = KernReturn(answer.1.words[0] as u32);
            ensure(code == KernReturn::Success, "the host port refused a mark")?;
            delivered(answer.0)?;
            ensure(
                answer.1.id() == MARK + id::REPLY,
                "an answer has another id",
            )
        },
    )
}

/// Six words that differ, and differ in each round.
fn numbered(round: u64) -> [u64; WORDS] {
    [0, 1, 2, 3, 4, 5].map(|index| round << 8 | index)
}

#[inline(always)]
fn answered(
    (code, answer): (MessageReturn, Registers),
    request: i32,
    words: [u64; WORDS],
) -> Result<()> {
    delivered(code)?;
    ensure(
        answer.id() == request + id::REPLY,
        "an answer has another id",
    )?;
    ensure(answer.words == words, "an answer says something else")
}
