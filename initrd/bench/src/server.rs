//! The serving side: one loop for each kind of request, with nothing in it but receive and reply.
//!
//! A loop answers requests of its kind; one of another kind takes it to that kind's loop. Answers
//! depend on the request, so that the client sees whether both arrived whole.

use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::WORDS;
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::trap::construct;
use libmach::message::{exchange, receive, reply_receive, reply_receive_registers, send};
use libmach::trap::Registers;
use libmach::{ReceiveRight, Untyped, buffer, trap};

use crate::raw::{self, Sending};

/// Ids of requests.
pub mod id {
    /// Six zero words; the same back.
    pub const EMPTY: i32 = 6000;
    /// Six words; each back with one added.
    pub const WORDS: i32 = 6001;
    /// Words in the buffer; they come back, the first one with one added.
    pub const BUFFER: i32 = 6002;
    /// A port right; its name in the server comes back.
    pub const PORT: i32 = 6003;
    /// A page; it comes back.
    pub const PAGE: i32 = 6004;
    /// Makes a set of as many ports as word 0 says, answers with the last one's name, and serves them.
    pub const SET: i32 = 6005;
    /// Six zero words; the same back, after the server has put the reply right aside.
    pub const DEFERRED: i32 = 6007;
    /// The server is to return. No answer.
    pub const END: i32 = 6006;
    /// What the answer's id is above the request's.
    pub const REPLY: i32 = 100;
}

/// Serves a port until it is told to end, or its port dies.
pub extern "C" fn serve(port: Name, _: u64) {
    let mut next = taken(receive(port));
    while let Some(request) = next {
        next = match request.id() {
            id::EMPTY => empty(port, request),
            id::WORDS => words(port, request),
            id::BUFFER => words_in_buffer(port, request),
            id::PORT => port_right(port, request),
            id::PAGE => page(port, request),
            id::SET => set(request),
            id::DEFERRED => deferred(port, request),
            _ => None,
        }
    }
}

/// The next request, unless none can come any more.
#[inline(always)]
fn taken((code, request): (MessageReturn, Registers)) -> Option<Registers> {
    (code == MessageReturn::Success).then_some(request)
}

/// Answers short messages until one of another kind comes.
fn empty(port: Name, mut request: Registers) -> Option<Registers> {
    while request.id() == id::EMPTY {
        request = taken(reply_receive(port, id::EMPTY + id::REPLY, [0; WORDS]))?;
    }
    Some(request)
}

/// Each reply right gets a name, as if the answer came later, and is answered by that.
fn deferred(port: Name, mut request: Registers) -> Option<Registers> {
    while request.id() == id::DEFERRED {
        let reply = trap::reply_slot_take().ok()?;
        let (how, answer) = (disposition::MOVE_SEND_ONCE, id::DEFERRED + id::REPLY);
        let code = send(reply, how, answer, Shape::SHORT, [0; WORDS]);
        if code != MessageReturn::Success {
            return None;
        }
        request = taken(receive(port))?;
    }
    Some(request)
}

fn words(port: Name, mut request: Registers) -> Option<Registers> {
    while request.id() == id::WORDS {
        let answer = request.words.map(|word| word.wrapping_add(1));
        request = taken(reply_receive(port, id::WORDS + id::REPLY, answer))?;
    }
    Some(request)
}

/// The answer is made in place, from what came.
fn words_in_buffer(port: Name, mut request: Registers) -> Option<Registers> {
    while request.id() == id::BUFFER {
        buffer::set_word(0, 0, buffer::word(0, 0).wrapping_add(1));
        let shape = request.received().shape();
        let reply = reply_receive_registers(port, id::BUFFER + id::REPLY, shape, request.words);
        request = taken(exchange(reply))?;
    }
    Some(request)
}

/// The right comes under the same name each time and gathers user references, which all end here.
fn port_right(port: Name, mut request: Registers) -> Option<Registers> {
    let mut name = Name::NULL;
    while request.id() == id::PORT {
        name = Name((buffer::word(0, 0) >> 32) as u32);
        let answer = [name.0.into(), 0, 0, 0, 0, 0];
        request = taken(reply_receive(port, id::PORT + id::REPLY, answer))?;
    }
    trap::port_destroy(name).ok()?;
    Some(request)
}

/// The page goes back as it came, moved.
fn page(port: Name, mut request: Registers) -> Option<Registers> {
    while request.id() == id::PAGE {
        let address = buffer::word(0, 1);
        raw::describe_page(address, Sending::Move);
        let shape = Shape::buffered(0, 1);
        let answer = [address, 0, 0, 0, 0, 0];
        let reply = reply_receive_registers(port, id::PAGE + id::REPLY, shape, answer);
        request = taken(exchange(reply))?;
    }
    Some(request)
}

/// Serves a port set from now on.
fn set(request: Registers) -> Option<Registers> {
    let set = trap::port_construct(construct::PORT_SET, 0, 0).ok()?;
    let mut last = Name::NULL;
    for _ in 0..request.words[0] {
        last = ReceiveRight::<Untyped>::new().ok()?.into_name();
        trap::port_insert_member(last, set).ok()?;
    }
    let answer = [last.0.into(), 0, 0, 0, 0, 0];
    let first = taken(reply_receive(set, id::SET + id::REPLY, answer))?;
    empty(set, first)
}
