//! Requests to the kernel's objects, put together from the descriptions of their interfaces.

use abi::names::{Name, disposition};
use abi::registers::options;
use abi::transport::{Argument, Kind, Method};
use interfaces::ALL;

use crate::edges;
use crate::generator::Generator;
use crate::message::{self, Draft};
use crate::step::{Body, Step};
use crate::traps;

/// Methods after which the caller does nothing more, or not for long.
const LETHAL: [&str; 4] = ["terminate", "suspend", "set_state", "abort"];

/// A request with arguments that are of the right kind, mostly.
pub(crate) fn request(of: &mut Generator) -> Step {
    let service = of.pool.service(&mut of.rng);
    let Some(method) = method(of, service.interface) else {
        return Step::default();
    };
    let mut body = Body::default();
    for argument in method.arguments {
        put(of, &mut body, *argument);
    }
    spoil(of, &mut body);
    let mut draft = Draft {
        remote: (service.name, disposition::COPY_SEND),
        id: method.id,
        ..message::bounded(of)
    };
    draft.options |= options::SEND | options::RECEIVE;
    draft.local = (Name::NULL, disposition::MAKE_SEND_ONCE);
    if body.descriptor_count == 0 && body.word_count <= draft.words.len() {
        let count = draft.words.len();
        draft.words.copy_from_slice(&body.data[..count]);
    } else {
        draft.body = Some(body);
        draft.shape = draft.honest();
    }
    if of.rng.one_in(32) {
        draft.shape = message::lie(of, draft.shape);
    }
    draft.step()
}

/// A method: mostly one that the service knows.
fn method(of: &mut Generator, known: &str) -> Option<&'static Method> {
    let any = ALL.get(of.rng.below(ALL.len()))?;
    let own = ALL.iter().find(|interface| interface.name == known);
    let interface = match own {
        Some(own) if !of.rng.one_in(8) => own,
        _ => any,
    };
    let method = interface
        .methods
        .get(of.rng.below(interface.methods.len()))?;
    if LETHAL.contains(&method.name) && !of.is_tired_of_life() {
        return interface
            .methods
            .iter()
            .find(|method| method.name == "info");
    }
    Some(method)
}

fn put(of: &mut Generator, body: &mut Body, argument: Argument) {
    match argument.kind {
        Kind::Value(kind) => {
            for _ in 0..words_of(kind) {
                let word = word(of, argument.name);
                body.word(word);
            }
        }
        Kind::Bytes | Kind::Text => {
            let size = of.rng.pick(&[0, 1, 7, 8, 31, 32, 33, 64]);
            let said = match of.rng.below(8) {
                0 => edges::word(&mut of.rng),
                _ => size,
            };
            body.word(said);
            for _ in 0..size.div_ceil(8) {
                // Text that is text, half of the time.
                let letters = of.rng.one_in(2);
                let word = if letters {
                    u64::from_le_bytes(*b"mellofuz")
                } else {
                    of.rng.word()
                };
                body.word(word);
            }
        }
        Kind::Send(_) | Kind::SendOnce(_) | Kind::Receive(_) => {
            let mut right = message::port(of);
            if !of.rng.one_in(8) {
                right.disposition = match argument.kind {
                    Kind::Receive(_) => disposition::MOVE_RECEIVE,
                    Kind::SendOnce(_) => disposition::MAKE_SEND_ONCE,
                    _ => of
                        .rng
                        .pick(&[disposition::COPY_SEND, disposition::MAKE_SEND]),
                };
            }
            body.push(right);
        }
        Kind::Memory => {
            let memory = message::memory(of);
            body.push(memory);
        }
    }
}

/// One word of a plain value, by what the argument is called.
fn word(of: &mut Generator, name: &str) -> u64 {
    // A priority above everybody's would starve the witness: that is allowed, and no fault.
    if name == "priority" {
        return of.rng.pick(&[0, 1, 20, 31, 128, u64::MAX, 1 << 32]);
    }
    if of.rng.one_in(8) {
        return edges::word(&mut of.rng);
    }
    match name {
        "address" => traps::victim(of),
        "size" | "offset" => {
            let size = edges::size(&mut of.rng);
            if of.is_tired_of_life() {
                return size;
            }
            size.min(of.pool.region(&mut of.rng).size)
        }
        "name" | "after" => of.pool.name(u32::MAX, &mut of.rng).0.into(),
        "inherit" => of.rng.below(3) as u64,
        "protection" | "right" | "flags" | "index" | "first" => of.rng.below(9) as u64,
        "disposition" => u64::from(disposition::MOVE_RECEIVE) + of.rng.below(7) as u64,
        "limits" => of.rng.pick(&[4, 16, 64, 64, 64, 1 << 14, 1 << 16, 0]),
        "position" => of.rng.below(1 << 16) as u64,
        _ => match of.rng.below(4) {
            0 => of.rng.below(3) as u64,
            1 => traps::address(of),
            _ => edges::word(&mut of.rng),
        },
    }
}

/// How many words a type takes, as far as that is known here.
fn words_of(kind: &str) -> usize {
    match kind {
        "Limits" => 5,
        "ThreadState" => 20,
        _ => 1,
    }
}

/// Now and then the request is too short, too long, or carries what nobody asked for.
fn spoil(of: &mut Generator, body: &mut Body) {
    match of.rng.below(32) {
        0 => body.word_count = body.word_count.saturating_sub(1),
        1 => body.word(of.rng.word()),
        2 => body.descriptor_count = body.descriptor_count.saturating_sub(1),
        3 | 4 => {
            let descriptor = message::descriptor(of);
            body.push(descriptor);
        }
        _ => {}
    }
}
