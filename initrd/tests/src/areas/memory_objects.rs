//! Memory objects from their pager's side: what it hears of its object, and what its answers do to those who use it.

use alloc::vec;
use alloc::vec::Vec;

use interfaces::memory_object::{Attributes, MemoryControl};
use libmach::abi::kern_return::{KernReturn as K, MessageReturn};
use libmach::abi::names::disposition;
use libmach::abi::registers::Shape;
use libmach::abi::trace::wait;
use libmach::abi::vm::{copy_strategy, protection, returns};
use libmach::{Memory, SendRight, message};

use super::{cases, own};
use crate::accessor::{Accessor, Order};
use crate::case::{Check, World, check, code, equal};
use crate::object::{
    BOTH, Control, Object, PAGE, Told, attributes, cleaned, map, map_into, request, supply,
    supply_with, taken,
};
use crate::raw;

const READ: u32 = protection::READ;
const WRITE: u32 = protection::WRITE;
const SAME: u32 = protection::NO_CHANGE;

cases! { "memory objects":
    "an object begins with its first mapping and ends with its last" => begins_and_ends,
    "an object that was given up takes nobody any more" => given_up,
    "a page is asked for once, and who waits can be aborted" => asked_once,
    "what was written and what is precious comes back" => returned,
    "an order is answered after all that it returned" => in_order,
    "pages are cleaned, flushed and lost by order" => flushed,
    "a locked page is unlocked when the pager says so" => locked,
    "a cached object keeps its pages without mappings" => cached,
    "a pager chooses how its object is copied" => strategies,
    "a pager that dies fails those who wait, and no others" => dies,
    "a proxy shows its part with no more than its protection" => proxy,
}

/// `lock_request` for pages from one on: which come back, whether all go, and what is locked.
fn order(
    control: &Control,
    (page, pages): (u64, u64),
    (returns, flush, lock): (u32, u32, u32),
) -> Check {
    let control = control.client();
    Ok(control.lock_request(page * PAGE, pages * PAGE, returns, flush, lock)?)
}

// covers: O-01
fn begins_and_ends(_: &World) -> Check {
    let object = Object::new()?;
    let at = object.map((0, 4), 0)?;
    let control = object.init()?;
    let second = object.map((0, 4), 0)?;
    let child = Accessor::new()?;
    object.silent()?;
    // Nothing is asked of a pager that is not ready.
    child.stall(Order::Read(at + 3 * PAGE))?;
    object.silent()?;
    equal("supplied early", code(early(&control)), K::Failure)?;
    control.client().set_attributes(attributes(0))?;
    object.hears(request(3, READ))?;
    supply(&control, 3, &[7])?;
    equal("read", child.finish()?, 7)?;
    // Another task maps it by a right of its own: the same pages.
    let right = object.port.make_send()?;
    let third = map_into(&child.0.task, right, (3, 1), (0, READ))?;
    equal("in its task", child.act(Order::Read(third))?, 7)?;
    equal("elsewhere", raw::byte(second + 3 * PAGE), 7)?;
    raw::poke(second + 3 * PAGE, 1, 8);
    equal("in its task", child.act(Order::Read(third))?, 8)?;
    raw::deallocate(at, 4 * PAGE)?;
    raw::deallocate(second, 4 * PAGE)?;
    object.silent()?;
    child.end()?;
    equal("at the end", object.ends(&[])?, vec![taken(3, &[8])])?;
    object.silent()?;
    // The next one begins anew.
    let at = object.map((0, 1), 0)?;
    let again = object.init()?;
    check!(again.client().attributes()?.0 == 0, "it is ready");
    equal("at the end", object.ends(&[(at, 1)])?, vec![])
}

/// A supply, whatever comes of it.
fn early(control: &Control) -> libmach::Result<()> {
    let page = Memory::new(PAGE as usize)?;
    control.client().data_supply(0, &page, 0, 0).map(|_| ())
}

// covers: O-01
fn given_up(_: &World) -> Check {
    let object = Object::new()?;
    let (old, control) = object.ready(2)?;
    supply(&control, 0, &[1])?;
    let child = Accessor::new()?;
    child.stall(Order::Look(old + PAGE))?;
    object.hears(request(1, READ))?;
    control.client().destroy(1)?;
    let error = u64::from(K::MemoryError.0);
    equal("who waited", child.finish()?, error)?;
    equal(
        "who comes later",
        child.act(Order::Look(old + PAGE))?,
        error,
    )?;
    equal("what is there", raw::byte(old), 1)?;
    equal("supplied late", code(early(&control)), K::Terminated)?;
    // Whoever maps the port now gets another object.
    let (new, second) = object.ready(2)?;
    check!(second.name() != control.name(), "the same control port");
    supply(&second, 0, &[2])?;
    equal("the new one's", raw::byte(new), 2)?;
    equal("the old one's", raw::byte(old), 1)?;
    child.end()?;
    equal("at the end", object.ends(&[(old, 2)])?, vec![])?;
    equal("at the end", object.ends(&[(new, 2)])?, vec![])
}

// covers: O-03
fn asked_once(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(4)?;
    let children = [Accessor::new()?, Accessor::new()?, Accessor::new()?];
    let [first, second, third] = &children;
    first.stall(Order::Read(at + PAGE))?;
    second.stall(Order::Read(at + PAGE))?;
    object.hears(request(1, READ))?;
    third.stall(Order::Read(at + 3 * PAGE))?;
    object.hears(request(3, READ))?;
    // It answers in another order.
    supply(&control, 3, &[4])?;
    equal("the third one's", third.finish()?, 4)?;
    first.0.until_it_waits(wait::PAGE)?;
    supply(&control, 1, &[2])?;
    for child in [first, second] {
        equal("the others'", child.finish()?, 2)?;
    }
    object.silent()?;
    // A fault is interrupted, and the page comes nevertheless.
    first.stall(Order::Look(at))?;
    object.hears(request(0, READ))?;
    second.stall(Order::Read(at))?;
    first.0.thread.client().abort()?;
    equal("aborted", first.finish()?, K::Aborted.0.into())?;
    first.stall(Order::Look(at))?;
    object.silent()?;
    supply(&control, 0, &[1])?;
    equal("looked again", first.finish()?, 0)?;
    equal("who waited on", second.finish()?, 1)?;
    for child in children {
        child.end()?;
    }
    equal("at the end", object.ends(&[(at, 4)])?, vec![])
}

// covers: O-04
fn returned(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(80)?;
    supply(&control, 0, &[1, 2, 3])?;
    supply_with(&control, 4, &[5, 6], (protection::NONE, 1))?;
    supply(&control, 70, &[7])?;
    for (page, byte) in [(1, 0x22), (2, 0x33), (70, 0x77)] {
        raw::poke(at + page * PAGE, 1, byte);
    }
    order(&control, (0, 80), (returns::DIRTY, 0, SAME))?;
    equal("cleaned", object.hear()?, cleaned(1, &[0x22, 0x33]))?;
    object.hears(cleaned(70, &[0x77]))?;
    order(&control, (0, 80), (returns::DIRTY, 0, SAME))?;
    object.silent()?;
    let precious = |content: &[u8], kept| Told::Return {
        page: 4,
        content: content.to_vec(),
        dirty: false,
        kept,
    };
    // Those are returned once, though nobody wrote them.
    order(&control, (0, 80), (returns::ALL, 0, SAME))?;
    object.hears(precious(&[5, 6], true))?;
    order(&control, (0, 80), (returns::ALL, 0, SAME))?;
    object.silent()?;
    // At the end: what was written since then, and what is precious again.
    raw::poke(at + 2 * PAGE, 1, 0x44);
    order(&control, (4, 1), (returns::NONE, 1, SAME))?;
    supply_with(&control, 4, &[9], (protection::NONE, 1))?;
    let expected = vec![taken(2, &[0x44]), precious(&[9], false)];
    equal("at the end", object.ends(&[(at, 80)])?, expected)
}

/// The answer is sent to the port that the pages come back to, so that one queue tells the order.
// covers: O-05
fn in_order(_: &World) -> Check {
    const PAGES: u64 = 64;
    const STEP: u64 = 8;
    let object = Object::new()?;
    let (at, control) = object.ready(PAGES)?;
    let written: Vec<u64> = (0..PAGES).step_by(STEP as usize).collect();
    for page in &written {
        supply(&control, *page, &[1])?;
        raw::poke(at + page * PAGE, 1, *page as u8);
    }
    let id = <dyn MemoryControl>::LOCK_REQUEST.id;
    let words = [0, PAGES * PAGE, returns::DIRTY.into(), 0, SAME.into(), 0];
    let to = (control.name(), disposition::COPY_SEND);
    let reply = (object.port.name(), disposition::MAKE_SEND_ONCE);
    let sent = message::send_registers(0, to, reply, id, Shape::SHORT, words);
    equal("sent", message::exchange(sent).0, MessageReturn::Success)?;
    for page in &written {
        let back = cleaned(*page, &[*page as u8]);
        equal("before the answer", object.hear()?, back)?;
    }
    let answer = Told::Answer {
        id: id + 100,
        code: K::Success,
    };
    object.hears(answer)?;
    equal("at the end", object.ends(&[(at, PAGES)])?, vec![])
}

// covers: O-05
fn flushed(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(4)?;
    supply(&control, 0, &[1, 2, 3])?;
    let child = Accessor::new()?;
    equal("shared", child.act(Order::Read(at + PAGE))?, 2)?;
    child.act(Order::Write(at, 9))?;
    order(&control, (0, 2), (returns::DIRTY, 1, SAME))?;
    object.hears(taken(0, &[9]))?;
    // Both pages left the child's map as well, the one behind them did not.
    for (page, byte) in [(0, 7), (1, 8)] {
        child.stall(Order::Read(at + page * PAGE))?;
        object.hears(request(page, READ))?;
        supply(&control, page, &[byte])?;
        equal("anew", child.finish()?, byte.into())?;
    }
    equal("beside them", child.act(Order::Read(at + 2 * PAGE))?, 3)?;
    // What is flushed and not returned is lost.
    raw::poke(at, 1, 0x55);
    order(&control, (0, 1), (returns::NONE, 1, SAME))?;
    object.silent()?;
    child.stall(Order::Read(at))?;
    object.hears(request(0, READ))?;
    supply(&control, 0, &[7])?;
    equal("as the pager has it", child.finish()?, 7)?;
    for (returns, flush, lock) in [(3, 0, 0), (0, 2, 0), (0, 0, 9), (u32::MAX, 0, 0)] {
        let refused = control.client().lock_request(0, PAGE, returns, flush, lock);
        equal("an order that is none", code(refused), K::InvalidArgument)?;
    }
    child.end()?;
    equal("at the end", object.ends(&[(at, 4)])?, vec![])
}

// covers: O-05
fn locked(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(2)?;
    supply(&control, 0, &[1])?;
    let child = Accessor::new()?;
    child.act(Order::Write(at, 3))?;
    order(&control, (0, 1), (returns::NONE, 0, WRITE))?;
    equal("reading", child.act(Order::Read(at))?, 3)?;
    child.stall(Order::Write(at, 4))?;
    let access = WRITE;
    object.hears(Told::Unlock { page: 0, access })?;
    // Another page: no answer for who waits.
    order(&control, (1, 1), (returns::NONE, 0, protection::NONE))?;
    child.0.until_it_waits(wait::PAGE)?;
    equal("before the leave", raw::byte(at), 3)?;
    order(&control, (0, 1), (returns::NONE, 0, protection::NONE))?;
    child.finish()?;
    equal("behind it", raw::byte(at), 4)?;
    object.silent()?;
    // A page that is supplied locked asks at the first access.
    supply_with(&control, 1, &[2], (protection::ALL, 0))?;
    child.stall(Order::Read(at + PAGE))?;
    object.hears(Told::Unlock {
        page: 1,
        access: READ,
    })?;
    order(&control, (1, 1), (returns::NONE, 0, protection::NONE))?;
    equal("unlocked", child.finish()?, 2)?;
    child.end()?;
    equal("at the end", object.ends(&[(at, 2)])?, vec![taken(0, &[4])])
}

// covers: O-06
fn cached(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(2)?;
    let set = |may_cache, copy_strategy| {
        let attributes = Attributes {
            may_cache,
            copy_strategy,
        };
        control.client().set_attributes(attributes)
    };
    let delay = copy_strategy::DELAY;
    equal("neither", code(set(2, delay)), K::InvalidArgument)?;
    equal("cached", code(set(1, delay)), K::Success)?;
    equal("told", control.client().attributes()?, (1, attributes(1)))?;
    supply(&control, 0, &[3])?;
    raw::poke(at, 1, 4);
    raw::deallocate(at, 2 * PAGE)?;
    object.silent()?;
    let at = object.map((0, 2), 0)?;
    object.silent()?;
    equal("without a question", raw::byte(at), 4)?;
    raw::deallocate(at, 2 * PAGE)?;
    object.silent()?;
    // Not cached any more, and not mapped: that is its end.
    equal("no longer", code(set(0, delay)), K::Success)?;
    equal("at the end", object.ends(&[])?, vec![taken(0, &[4])])
}

// covers: O-06 V-09
fn strategies(_: &World) -> Check {
    for (strategy, answer) in [
        (copy_strategy::CALL, K::NotSupported),
        (copy_strategy::SYMMETRIC, K::InvalidArgument),
        (5, K::InvalidArgument),
        (copy_strategy::NONE, K::Success),
        (copy_strategy::DELAY, K::Success),
        (copy_strategy::TEMPORARY, K::Success),
    ] {
        let object = Object::new()?;
        let (shared, control) = object.ready(2)?;
        let attributes = Attributes {
            may_cache: 0,
            copy_strategy: strategy,
        };
        let set = control.client().set_attributes(attributes);
        equal("code", code(set), answer)?;
        let child = Accessor::new()?;
        child.begin(Order::Duplicate(shared, 2 * PAGE))?;
        if strategy == copy_strategy::NONE {
            // At once: nothing is copied before all of it is there.
            for page in [0, 1] {
                equal("asked", object.hear()?, request(page, READ))?;
                supply(&control, page, &[page as u8 + 1])?;
            }
        } else {
            // Late: nothing is asked for, and what is there is shared.
            let private = child.finish()?;
            check!(private != 0, "no copy");
            object.silent()?;
            supply(&control, 0, &[1, 2])?;
        }
        let private = child.finish()?;
        raw::poke(shared, 1, 0x11);
        child.act(Order::Write(private + PAGE, 0x22))?;
        equal("the copy", child.act(Order::Read(private))?, 1)?;
        equal("the object", raw::byte(shared + PAGE), 2)?;
        // The pager sees no change by the copy's writer.
        order(&control, (1, 1), (returns::ALL, 1, SAME))?;
        object.silent()?;
        let kept = child.act(Order::Read(private + PAGE))?;
        equal("what the copy's writer sees", kept, 0x22)?;
        child.end()?;
        let back = match strategy {
            copy_strategy::TEMPORARY => vec![],
            _ => vec![taken(0, &[0x11])],
        };
        equal("at the end", object.ends(&[(shared, 2)])?, back)?;
    }
    Ok(())
}

// covers: O-08
fn dies(_: &World) -> Check {
    let object = Object::new()?;
    let (at, control) = object.ready(3)?;
    supply(&control, 0, &[1])?;
    let right = object.port.make_send()?;
    let children = [Accessor::new()?, Accessor::new()?];
    children[0].stall(Order::Look(at + PAGE))?;
    object.hears(request(1, READ))?;
    // Who waits for nobody's page is not held up by a pager that is silent.
    equal("beside it", children[1].act(Order::Read(at))?, 1)?;
    drop(object);
    let error = u64::from(K::MemoryError.0);
    equal("who waited", children[0].finish()?, error)?;
    let later = children[1].act(Order::Look(at + 2 * PAGE))?;
    equal("who comes later", later, error)?;
    children[1].act(Order::Write(at, 2))?;
    equal("what is there", raw::byte(at), 2)?;
    let mapped = raw::map(right.name(), PAGE);
    equal("a new mapping", mapped, Err(K::InvalidRight))?;
    for child in children {
        child.end()?;
    }
    Ok(raw::deallocate(at, 3 * PAGE)?)
}

// covers: O-09
fn proxy(_: &World) -> Check {
    let object = Object::new()?;
    let mine = own()?;
    let of = |right: SendRight, (page, pages): (u64, u64), maximum| {
        let made = mine
            .memory()
            .create_proxy(right, page * PAGE, pages * PAGE, maximum);
        made.map_err(|refused| refused.error)
    };
    let whole = || object.port.make_send().map(SendRight::cast);
    for (range, maximum) in [((0, 0), READ), ((u64::MAX / PAGE, 2), READ), ((0, 1), 8)] {
        let refused = code(of(whole()?, range, maximum));
        equal("a part that is none", refused, K::InvalidArgument)?;
    }
    object.silent()?;
    let wide = of(whole()?, (2, 4), READ)?;
    let control = object.init()?;
    control.client().set_attributes(attributes(0))?;
    let writing = map(wide.duplicate()?, (0, 4), (0, BOTH));
    equal("writing", code(writing), K::InvalidRight)?;
    for range in [(0, 5), (4, 1)] {
        let beyond = map(wide.duplicate()?, range, (0, READ));
        equal("beyond its end", code(beyond), K::InvalidArgument)?;
    }
    let at = map(wide.duplicate()?, (1, 3), (0, READ))?;
    let child = Accessor::new()?;
    child.stall(Order::Read(at))?;
    object.hears(request(3, READ))?;
    supply(&control, 3, &[0x33])?;
    equal("read", child.finish()?, 0x33)?;
    let raised = raw::protect(at, PAGE, BOTH);
    equal("raised", raised, Err(K::ProtectionFailure))?;
    // A proxy of it only takes away.
    let more = code(of(wide.duplicate()?.cast(), (0, 1), BOTH));
    equal("more than it has", more, K::ProtectionFailure)?;
    let narrow = of(wide.duplicate()?.cast(), (1, 1), READ)?;
    let again = map(narrow, (0, 1), (0, READ))?;
    equal("by the second one", raw::byte(again), 0x33)?;
    child.end()?;
    for (at, pages) in [(at, 3), (again, 1)] {
        raw::deallocate(at, pages * PAGE)?;
    }
    // The proxy keeps the object.
    object.silent()?;
    drop(wide);
    equal("at the end", object.ends(&[])?, vec![])
}
