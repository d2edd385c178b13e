//! Requests to the kernel's objects, put together from the descriptions of their interfaces.

use abi::PAGE_SIZE;
use abi::message::Descriptor;
use abi::names::{Name, disposition, port_type};
use abi::registers::options;
use abi::transport::{Argument, Description, Interface, Kind, Method, REQUEST_WORDS};
use interfaces::ALL;
use interfaces::clock::Clock;
use interfaces::exceptions::ExceptionPorts;
use interfaces::host::Host;
use interfaces::mach_host::MachHost;
use interfaces::memory::Entry;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use interfaces::thread::Thread;
use interfaces::vm::Vm;

use crate::edges;
use crate::generator::Generator;
use crate::message::{self, Draft};
use crate::pool::Service;
use crate::step::{Body, Step};
use crate::traps;

/// Methods after which the caller does nothing more, or not for long.
const LETHAL: [&str; 4] = ["terminate", "suspend", "set_state", "abort"];

/// A request with arguments that are of the right kind, mostly.
pub(crate) fn request(of: &mut Generator) -> Step {
    let lacks = |of: &mut Generator, name| of.pool.service_of(name, &mut of.rng).is_none();
    let (service, method) = if lacks(of, <dyn Semaphore>::NAME) && of.rng.one_in(8) {
        semaphore(of)
    } else if lacks(of, <dyn Clock>::NAME) && of.rng.one_in(8) {
        clock(of)
    } else {
        let service = of.pool.service(&mut of.rng);
        (service, method(of, service))
    };
    let Some(method) = method else {
        return Step::default();
    };
    let mut body = Body::default();
    for argument in method.arguments {
        put(of, &mut body, *argument);
    }
    let fits = body.descriptor_count == 0 && body.word_count <= REQUEST_WORDS && !is_long(method);
    spoil(of, &mut body);
    let mut draft = Draft {
        remote: (service.name, disposition::COPY_SEND),
        id: method.id,
        ..message::bounded(of)
    };
    draft.options |= options::SEND | options::RECEIVE;
    draft.local = (Name::NULL, disposition::MAKE_SEND_ONCE);
    let fits = fits != of.rng.one_in(32);
    if fits && body.descriptor_count == 0 && body.word_count <= draft.words.len() {
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

/// Whether requests lie in the buffer however short they are: there is no telling how long others are.
fn is_long(method: &Method) -> bool {
    let mut arguments = method.arguments.iter();
    arguments.any(|argument| matches!(argument.kind, Kind::Bytes | Kind::Text))
}

/// A method: mostly one that the service knows.
fn method(of: &mut Generator, service: Service) -> Option<&'static Method> {
    let any = ALL.get(of.rng.below(ALL.len()))?;
    let interface = match own(of, service.interface) {
        Some(own) if !of.rng.one_in(8) => own,
        _ => any,
    };
    let method = interface
        .methods
        .get(of.rng.below(interface.methods.len()))?;
    let spared = !service.is_made && !of.is_tired_of_life();
    if LETHAL.contains(&method.name) && spared {
        return interface
            .methods
            .iter()
            .find(|method| method.name == "info");
    }
    Some(method)
}

/// The way to a semaphore: the traps on them are nothing without one.
fn semaphore(of: &mut Generator) -> (Service, Option<&'static Method>) {
    let make = <dyn Task>::DESCRIPTION.method(<dyn Task>::SEMAPHORE_CREATE.id);
    (known(of, <dyn Task>::NAME), make)
}

/// The way to a clock.
fn clock(of: &mut Generator) -> (Service, Option<&'static Method>) {
    let make = <dyn MachHost>::DESCRIPTION.method(<dyn MachHost>::CLOCK_SERVICE.id);
    (known(of, <dyn Host>::NAME), make)
}

fn known(of: &mut Generator, interface: &'static str) -> Service {
    Service {
        name: of
            .pool
            .service_of(interface, &mut of.rng)
            .unwrap_or_default(),
        interface,
        is_made: false,
    }
}

/// One of the interfaces that something answers which is known by one of them.
fn own(of: &mut Generator, name: &str) -> Option<&'static Description> {
    let others: &[&'static Description] = match name {
        <dyn Task>::NAME => &[<dyn Vm>::DESCRIPTION, <dyn ExceptionPorts>::DESCRIPTION],
        <dyn Thread>::NAME => &[<dyn ExceptionPorts>::DESCRIPTION],
        <dyn Host>::NAME => &[
            <dyn ExceptionPorts>::DESCRIPTION,
            <dyn MachHost>::DESCRIPTION,
        ],
        _ => &[],
    };
    match others.get(of.rng.below(others.len() + 1)) {
        Some(other) => Some(other),
        None => ALL.iter().find(|interface| interface.name == name).copied(),
    }
}

fn put(of: &mut Generator, body: &mut Body, argument: Argument) {
    match argument.kind {
        Kind::Value(kind) => {
            for number in 0..words_of(kind) {
                let word = match (kind, number) {
                    // A limit in bytes, where the others are of a few things.
                    ("Limits", 4) => of.rng.pick(&[1 << 13, 1 << 14, 1 << 15, 64, 1 << 30]),
                    _ => word(of, argument.name),
                };
                body.word(word);
            }
        }
        Kind::Bytes | Kind::Text => text(of, body),
        Kind::Send(_) | Kind::SendOnce(_) | Kind::Receive(_) => {
            let right = right(of, argument.kind);
            body.push(right);
        }
        Kind::Sends(_) => {
            let array = message::array(of);
            body.push(array);
        }
        Kind::Memory => {
            let memory = message::memory(of);
            body.push(memory);
        }
    }
}

/// Bytes, most of which are text, and how many there are, mostly.
fn text(of: &mut Generator, body: &mut Body) {
    let size = of.rng.pick(&[0, 1, 7, 8, 16, 31, 32, 33, 64]);
    let said = match of.rng.below(8) {
        0 => edges::word(&mut of.rng),
        _ => size,
    };
    let letters = !of.rng.one_in(4);
    body.word(said);
    for word in 0..size.div_ceil(8) {
        // What is behind the end is zero in honest requests.
        let kept = (size - word * 8).min(8) * 8;
        body.word(match letters {
            true => u64::from_le_bytes(*b"mellofuz") & u64::MAX >> (64 - kept),
            false => of.rng.word(),
        });
    }
}

/// A right of the kind that is asked for, mostly.
fn right(of: &mut Generator, kind: Kind) -> Descriptor {
    let mut right = message::port(of);
    if of.rng.one_in(8) {
        return right;
    }
    let wanted = match kind {
        Kind::Receive(_) => {
            right.disposition = disposition::MOVE_RECEIVE;
            Some(of.pool.name(port_type::RECEIVE, &mut of.rng))
        }
        Kind::SendOnce(_) => {
            right.disposition = disposition::MAKE_SEND_ONCE;
            Some(of.pool.name(port_type::RECEIVE, &mut of.rng))
        }
        _ => {
            let how = [
                (disposition::COPY_SEND, port_type::SEND),
                (disposition::MAKE_SEND, port_type::RECEIVE),
            ];
            let (disposition, source) = of.rng.pick(&how);
            right.disposition = disposition;
            Some(of.pool.name(source, &mut of.rng))
        }
    };
    let entry = matches!(kind, Kind::Send(interface) if interface.ends_with("Entry"));
    let known = if entry {
        right.disposition = disposition::COPY_SEND;
        of.pool.service_of(<dyn Entry>::NAME, &mut of.rng)
    } else {
        wanted
    };
    right.name = known.map_or(right.name, |name| name.0);
    right
}

/// One word of a plain value, by what the argument is called.
fn word(of: &mut Generator, name: &str) -> u64 {
    if name == "priority" {
        return of
            .rng
            .pick(&[0, 1, 20, 31, 32, 127, 128, u64::MAX, 1 << 32]);
    }
    // Limits are five at once: some are whole.
    let rarely = if name == "limits" { 32 } else { 8 };
    if of.rng.one_in(rarely) {
        return edges::word(&mut of.rng);
    }
    match name {
        "address" => traps::victim(of),
        "offset" if of.rng.one_in(2) => of.rng.pick(&[0, 0, PAGE_SIZE]),
        // No name: any will do.
        "name" if of.rng.one_in(2) => Name::NULL.0.into(),
        "size" | "offset" => {
            let size = edges::size(&mut of.rng);
            if of.is_tired_of_life() {
                return size;
            }
            size.min(of.pool.region(&mut of.rng).size)
        }
        "name" | "after" => of.pool.name(u32::MAX, &mut of.rng).0.into(),
        "policy" | "which" => of.rng.pick(&[0, 0, 0, 1]),
        "value" => of.rng.pick(&[0, 1, 2, 1 << 31]),
        "inherit" => of.rng.below(3) as u64,
        "protection" | "right" | "flags" | "index" | "first" | "kind" | "change" | "flavor"
        | "count" | "time" => of.rng.below(9) as u64,
        "disposition" => u64::from(disposition::MOVE_RECEIVE) + of.rng.below(7) as u64,
        "limits" => of.rng.pick(&[1, 2, 4, 4, 4, 4, 16, 32, 1 << 20]),
        // Of a machine's devices, and beyond its memory.
        "physical" => of
            .rng
            .pick(&[0xb_8000, 0xfee0_0000, 1 << 40, 0, 0x10_0000, 4097]),
        "cached" => of.rng.below(3) as u64,
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
        "Time" => 2,
        "Place" => 3,
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
