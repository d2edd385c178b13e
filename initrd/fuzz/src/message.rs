//! `mach_msg` in all its forms, honest and not.

use abi::message::{DESCRIPTOR_SIZE, Descriptor, HEADER_SIZE, MAX_DESCRIPTORS, descriptor};
use abi::names::{Name, disposition, port_type};
use abi::registers::{self, Shape, options};
use abi::trap::MACH_MSG;

use crate::edges;
use crate::generator::Generator;
use crate::object;
use crate::server;
use crate::step::{Body, Registers, Step};
use crate::traps;

/// How long others get to answer at the most, in ns.
const PEER_LIMIT: usize = 2_000_000;

/// A message being put together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) options: u32,
    pub(crate) remote: (Name, u8),
    pub(crate) local: (Name, u8),
    pub(crate) receive: Name,
    pub(crate) id: i32,
    pub(crate) shape: Shape,
    pub(crate) deadline: u64,
    pub(crate) words: [u64; 6],
    pub(crate) body: Option<Body>,
}

impl Draft {
    pub(crate) fn step(&self) -> Step {
        let (remote, local) = (self.remote, self.local);
        let registers = Registers {
            number: MACH_MSG,
            arguments: [
                registers::send_word(self.options, remote.1, local.1, self.shape),
                registers::pair(remote.0.0, local.0.0),
                registers::pair(self.receive.0, self.id as u32),
                self.deadline,
            ],
            words: self.words,
        };
        Step {
            registers,
            body: self.body,
        }
    }

    /// The shape that the body has.
    pub(crate) fn honest(&self) -> Shape {
        self.body.as_ref().map_or(Shape::SHORT, |body| {
            Shape::buffered(body.word_count as u32 * 8, body.descriptor_count as u32)
        })
    }
}

/// Any message.
pub(crate) fn message(of: &mut Generator) -> Step {
    match of.rng.below(16) {
        0..5 => object::request(of),
        5 => call(of),
        11 => call_peer(of),
        6 => wild(of),
        7 | 8 => own_call(of),
        9 | 10 => server::serve(of),
        _ => local(of),
    }
}

/// The exact form that the fast path takes, to somebody who answers.
fn call(of: &mut Generator) -> Step {
    let to = of.pool.service(&mut of.rng);
    let mut draft = bounded(of);
    if !to.interface.is_empty() {
        // No limits: the fast path takes none.
        draft.options = 0;
    }
    draft.options |= options::SEND | options::RECEIVE;
    draft.remote = (to.name, disposition::COPY_SEND);
    draft.local = (Name::NULL, disposition::MAKE_SEND_ONCE);
    draft.id = of.rng.pick(&[4200, 4200, 0, -1, 4300, 200]);
    draft.words = words(of);
    draft.step()
}

/// A call of another attacker, which may answer; of anybody when none is known.
fn call_peer(of: &mut Generator) -> Step {
    let Some(peer) = of.peer() else {
        return call(of);
    };
    let mut draft = bounded(of);
    draft.deadline = of.now.saturating_add(of.rng.below(PEER_LIMIT) as u64);
    draft.options |= options::SEND | options::RECEIVE;
    draft.remote = (peer, disposition::COPY_SEND);
    draft.local = (Name::NULL, disposition::MAKE_SEND_ONCE);
    draft.words = words(of);
    if of.rng.one_in(3) {
        draft.body = body(of);
        draft.shape = draft.honest();
    }
    draft.step()
}

/// A message to a port of one's own, received at once: its reply right goes into the reply slot.
fn own_call(of: &mut Generator) -> Step {
    let port = of.pool.name(port_type::RECEIVE, &mut of.rng);
    let reply = of.pool.name(port_type::RECEIVE, &mut of.rng);
    let mut draft = bounded(of);
    draft.options |= options::SEND | options::RECEIVE;
    draft.remote = (port, disposition::MAKE_SEND);
    draft.local = (reply, disposition::MAKE_SEND_ONCE);
    draft.receive = port;
    draft.words = words(of);
    draft.body = body(of);
    draft.shape = draft.honest();
    draft.step()
}

/// No draft at all: random registers, with bits that would wait for ever taken out.
fn wild(of: &mut Generator) -> Step {
    let mut registers = Registers {
        number: MACH_MSG,
        ..Registers::default()
    };
    for word in registers.arguments.iter_mut().chain(&mut registers.words) {
        *word = edges::word(&mut of.rng);
    }
    registers.arguments[0] |= u64::from(options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT);
    registers.arguments[3] = edges::soon(of.now, &mut of.rng);
    Step {
        registers,
        body: None,
    }
}

/// A message between the names that the task has.
fn local(of: &mut Generator) -> Step {
    let mut draft = bounded(of);
    let sends = of.rng.below(8);
    if sends < 6 {
        draft.options |= options::SEND;
        draft.remote.0 = of.pool.name(SENDABLE, &mut of.rng);
        draft.remote.1 = how(of, draft.remote.0);
        if of.rng.one_in(2) {
            draft.local.0 = of.pool.name(SENDABLE, &mut of.rng);
            draft.local.1 = how(of, draft.local.0);
        }
        draft.body = body(of);
        draft.shape = draft.honest();
    }
    if sends > 3 {
        draft.options |= options::RECEIVE;
        let sources = port_type::RECEIVE | port_type::PORT_SET;
        draft.receive = of.pool.name(sources, &mut of.rng);
    }
    match of.rng.below(24) {
        0 => draft.options |= of.rng.word() as u32 & 0xffff,
        1 => draft.shape = lie(of, draft.shape),
        2 => draft.local = (Name::NULL, disposition::MAKE_SEND_ONCE),
        3 => (draft.remote.0, draft.remote.1) = (Name::REPLY_SLOT, disposition::MOVE_SEND_ONCE),
        4 => draft.options |= options::PEEK,
        5 => draft.receive = Name::NULL,
        _ => {}
    }
    draft.id = edges::word(&mut of.rng) as i32;
    draft.words = words(of);
    draft.step()
}

const SENDABLE: u32 =
    port_type::SEND | port_type::RECEIVE | port_type::SEND_ONCE | port_type::DEAD_NAME;

/// An empty draft that waits for no longer than a moment.
pub(crate) fn bounded(of: &mut Generator) -> Draft {
    let limits = options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT;
    Draft {
        options: if of.is_patient() { 0 } else { limits },
        deadline: edges::soon(of.now, &mut of.rng),
        ..Draft::default()
    }
}

pub(crate) fn words(of: &mut Generator) -> [u64; 6] {
    [(); 6].map(|()| edges::word(&mut of.rng))
}

/// A disposition: mostly one that the name has.
fn how(of: &mut Generator, name: Name) -> u8 {
    let bits = of.pool.bits(name);
    let once = of.rng.one_in(2);
    match () {
        () if of.rng.one_in(8) => any_disposition(of),
        () if bits & port_type::SEND_ONCE != 0 => disposition::MOVE_SEND_ONCE,
        () if bits & port_type::RECEIVE != 0 && once => disposition::MAKE_SEND_ONCE,
        () if bits & port_type::RECEIVE != 0 => disposition::MAKE_SEND,
        () if bits & port_type::SEND != 0 => disposition::COPY_SEND,
        () => any_disposition(of),
    }
}

/// A disposition: mostly one that exists.
fn any_disposition(of: &mut Generator) -> u8 {
    match of.rng.below(16) {
        0 => of.rng.below(32) as u8,
        1 => disposition::NONE,
        2 | 3 => disposition::MAKE_SEND_ONCE,
        4 | 5 => disposition::MOVE_SEND_ONCE,
        6 | 7 => disposition::MOVE_SEND,
        8..11 => disposition::COPY_SEND,
        11 => disposition::MOVE_RECEIVE,
        _ => disposition::MAKE_SEND,
    }
}

/// A shape that says something else than what lies there.
pub(crate) fn lie(of: &mut Generator, shape: Shape) -> Shape {
    match of.rng.below(5) {
        0 => Shape(of.rng.word() as u32),
        1 => Shape::buffered(u32::MAX, MAX_DESCRIPTORS as u32),
        2 => Shape::buffered(shape.size(), shape.descriptors() + 1),
        3 => Shape::buffered(shape.size() + 4096, shape.descriptors()),
        _ => Shape::buffered(0, of.rng.below(256) as u32),
    }
}

pub(crate) fn body(of: &mut Generator) -> Option<Body> {
    if of.rng.one_in(2) {
        return None;
    }
    let mut body = Body::default();
    for _ in 0..of.rng.below(4) {
        let descriptor = descriptor(of);
        body.push(descriptor);
    }
    for _ in 0..of.rng.below(12) {
        body.word(edges::word(&mut of.rng));
    }
    if of.rng.one_in(3) {
        names(of, &mut body);
    }
    Some(body)
}

/// An array of rights whose names lie in the message's own data.
fn names(of: &mut Generator, body: &mut Body) {
    let first = body.word_count;
    let words = of.rng.pick(&[1, 2, 3, 8, 40]);
    let same = of.pool.name(u32::MAX, &mut of.rng);
    for _ in 0..words {
        let other = of.pool.name(SENDABLE, &mut of.rng);
        body.word(registers::pair(same.0, other.0));
    }
    let before = HEADER_SIZE + (body.descriptor_count + 1) * DESCRIPTOR_SIZE + first * 8;
    let disposition = match of.rng.one_in(8) {
        true => disposition::MOVE_RECEIVE,
        false => how(of, same),
    };
    body.push(Descriptor {
        kind: descriptor::OUT_OF_LINE_PORTS,
        disposition,
        name: words as u32 * 2,
        address: of.terrain.buffer.wrapping_add(before as u64),
        ..Descriptor::default()
    });
}

/// A descriptor of any kind.
pub(crate) fn descriptor(of: &mut Generator) -> Descriptor {
    match of.rng.below(10) {
        0 => Descriptor {
            kind: of.rng.word() as u8,
            disposition: of.rng.word() as u8,
            flags: of.rng.word() as u16,
            name: of.rng.word() as u32,
            address: edges::word(&mut of.rng),
            size: edges::word(&mut of.rng),
        },
        1..4 => memory(of),
        4 => array(of),
        _ => port(of),
    }
}

/// An array of rights, whose names are whatever lies there.
pub(crate) fn array(of: &mut Generator) -> Descriptor {
    Descriptor {
        kind: descriptor::OUT_OF_LINE_PORTS,
        disposition: any_disposition(of),
        flags: of.rng.below(3) as u16,
        name: of
            .rng
            .pick(&[0, 1, 2, 63, 64, 65, 4096, 16383, 16384, u32::MAX]),
        address: traps::address(of),
        size: of.rng.pick(&[0, 4, 8, 256, 1 << 40, u64::MAX]),
    }
}

/// A right.
pub(crate) fn port(of: &mut Generator) -> Descriptor {
    let name = of.pool.name(u32::MAX, &mut of.rng);
    let disposition = match of.rng.one_in(8) {
        true => disposition::MOVE_RECEIVE,
        false => how(of, name),
    };
    Descriptor {
        kind: descriptor::PORT,
        disposition,
        name: name.0,
        ..Descriptor::default()
    }
}

/// Out-of-line memory; what leaves the sender is chosen as a trap's victim is.
pub(crate) fn memory(of: &mut Generator) -> Descriptor {
    let leaves = of.rng.one_in(4);
    let (address, flags) = match leaves {
        true => (traps::victim(of), descriptor::DEALLOCATE),
        false => (traps::address(of), 0),
    };
    let mut size = edges::size(&mut of.rng);
    if leaves {
        size = traps::extent(of, address, size);
    }
    Descriptor {
        kind: descriptor::OUT_OF_LINE,
        flags,
        address,
        size,
        ..Descriptor::default()
    }
}
