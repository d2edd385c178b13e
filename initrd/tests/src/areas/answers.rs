//! Answers to exceptions that are not as they should be.

use interfaces::exceptions::Exceptions;
use libmach::abi::exception::{MASK_ALL, behavior};
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::message::{Descriptor, descriptor};
use libmach::abi::names::{Name, disposition};
use libmach::abi::registers::Shape;
use libmach::abi::thread_state::FLAVOR;
use libmach::abi::transport::REPLY_OFFSET;
use libmach::message::{NO_REPLY, send_registers};
use libmach::{ReceiveRight, SendRight, Untyped, buffer, message, ms, time, trap};

use super::cases;
use crate::case::{Check, World, equal};
use crate::census::leaves_nothing;
use crate::child::{Child, exceptions};
use crate::raw::{self, Page, Words};

const WIDE: u32 = behavior::WIDE_CODES;
/// Tries, until one leaves nothing behind: others in the system come and go too.
const ROUNDS: u32 = 3;
/// How many ways there are to answer badly.
const VARIANTS: u32 = 9;

cases! { "answers":
    "malformed answers to exceptions are refusals and leave nothing" => malformed,
}

/// Raises breakpoints, and counts those that somebody handled.
extern "C" fn breakpoints(page: &Words, _: u64) {
    loop {
        raw::breakpoint();
        page.set(0, page.get(0) + 1);
    }
}

/// Takes what was raised, and gives the rights in it up; its id.
fn raised(port: &ReceiveRight<dyn Exceptions>) -> Check<i32> {
    let (code, found) = message::receive_until(port.name(), time::deadline(ms(10_000)));
    equal("raised", code, MessageReturn::Success)?;
    for index in 0..found.received().shape().descriptors() as usize {
        drop(SendRight::<Untyped>::from_name(Name(
            buffer::descriptor(index).name,
        )));
    }
    Ok(found.id())
}

/// Answers with a message of some shape.
fn answer(to: Name, id: i32, shape: Shape) -> Check {
    let to = (to, disposition::MOVE_SEND_ONCE);
    let (code, _) = message::exchange(send_registers(0, to, NO_REPLY, id, shape, [0; 6]));
    equal("answered", code, MessageReturn::Success)
}

/// Writes descriptors and data of a bad answer; its id and shape.
fn bad(variant: u32, id: i32, page: &Page, spare: &ReceiveRight<Untyped>) -> (i32, Shape) {
    let right = |disposition| Descriptor {
        kind: descriptor::PORT,
        disposition,
        name: spare.name().0,
        ..Descriptor::default()
    };
    let memory = |size| Descriptor {
        kind: descriptor::OUT_OF_LINE,
        address: page.address(),
        size,
        ..Descriptor::default()
    };
    let described = |first: Descriptor| {
        buffer::set_descriptor(0, first);
        Shape::buffered(0, 1)
    };
    let shape = match variant {
        0 => described(right(disposition::MAKE_SEND)),
        1 => {
            buffer::set_descriptor(1, right(disposition::MAKE_SEND_ONCE));
            described(right(disposition::MAKE_SEND));
            Shape::buffered(0, 2)
        }
        2 => described(right(disposition::MOVE_RECEIVE)),
        3 => described(memory(4096)),
        4 => described(memory(0)),
        // Complex without anything, with less than a state, and with more.
        5 => Shape::buffered(0, 0),
        6 => Shape::buffered(152, 0),
        7 => {
            buffer::copy_in_bytes(0, &[0xff; 4000]);
            Shape::buffered(4000, 0)
        }
        // A right form under a wrong id.
        _ => return (id, Shape::SHORT),
    };
    (id + REPLY_OFFSET, shape)
}

/// The thread's handler answers badly, whoever is asked next handles it, and the thread goes on.
fn answer_badly(form: u32) -> Check {
    let [first, next] = [ReceiveRight::new()?, ReceiveRight::new()?];
    let child = Child::new(breakpoints, 0)?;
    let flavor = match form & !WIDE {
        behavior::STATE | behavior::STATE_IDENTITY => FLAVOR,
        _ => 0,
    };
    let (thread, task) = (exceptions(&child.thread)?, exceptions(&child.task)?);
    let right = first.make_send()?.cast();
    thread.client().set(MASK_ALL, right, form, flavor)?;
    let right = next.make_send()?.cast();
    task.client().set(MASK_ALL, right, behavior::BRIEF, 0)?;
    child.run()?;
    let mut handled = 0;
    for variant in 0..VARIANTS {
        for kept in [false, true] {
            let id = raised(&first)?;
            let to = match kept {
                true => trap::reply_slot_take()?,
                false => Name::REPLY_SLOT,
            };
            let spare = ReceiveRight::new()?;
            let (id, shape) = bad(variant, id, &child.page, &spare);
            answer(to, id, shape)?;
            if variant == 2 {
                // It is not ours any more, and ended there.
                spare.into_name();
            } else {
                equal("rights that are left", spare.send_rights()?, 0)?;
            }
            let id = raised(&next)?;
            equal("handled too early", child.page.get(0), handled)?;
            answer(Name::REPLY_SLOT, id + REPLY_OFFSET, Shape::SHORT)?;
            handled += 1;
            child.until(0, handled)?;
        }
    }
    Ok(())
}

//
fn malformed(_: &World) -> Check {
    leaves_nothing(ROUNDS, || {
        for form in [
            behavior::BRIEF,
            behavior::DEFAULT,
            behavior::DEFAULT | WIDE,
            behavior::STATE | WIDE,
            behavior::STATE_IDENTITY | WIDE,
        ] {
            answer_badly(form)?;
        }
        Ok(())
    })
}
