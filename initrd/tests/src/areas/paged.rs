//! Calls on memory that a pager supplies, and what becomes of them while they wait for a page of it.

use alloc::vec;

use interfaces::vm::Place;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::vm::{attribute, map_flags, protection, returns, sync};

use super::{cases, own};
use crate::accessor::{Accessor, Order};
use crate::case::{Check, World, check, code, equal};
use crate::object::{Control, Object, PAGE, cleaned, request, supply, taken};
use crate::raw;

const READ: u32 = protection::READ;

cases! { "paged memory":
    "msync gives the pager what was written" => written_back,
    "clean pages are dropped, and killed ones lose what was written" => dropped,
    "calls for caches and msync check what they are asked" => checked,
    "a private copy is written to what it is a copy of" => written_to_its_source,
    "a copy that waits for a page needs its rights when it goes on" => protected,
    "a copy that waits for a page does not write to what came to lie there" => replaced,
}

/// Three pages, of which the middle one was written, and room for one more.
fn three_pages() -> Check<(Object, u64, Control)> {
    let object = Object::new()?;
    let (at, control) = object.ready(4)?;
    supply(&control, 0, &[1, 2, 3])?;
    equal("clean", raw::byte(at), 1)?;
    raw::poke(at + PAGE, 1, 0x22);
    Ok((object, at, control))
}

/// `vm_msync` of this task's memory.
fn msync(at: u64, size: u64, flags: u32) -> Check<K> {
    Ok(code(own()?.memory().msync(at, size, flags)))
}

// covers: V-13
fn written_back(_: &World) -> Check {
    for flags in [sync::SYNCHRONOUS, sync::ASYNCHRONOUS] {
        let (object, at, _control) = three_pages()?;
        // A page that was not written, and then a range that ends inside the one that was.
        equal("clean", msync(at + 2 * PAGE, PAGE, flags)?, K::Success)?;
        object.silent()?;
        equal("written", msync(at, PAGE + 1, flags)?, K::Success)?;
        object.hears(cleaned(1, &[0x22]))?;
        equal("again", msync(at, 4 * PAGE, flags)?, K::Success)?;
        object.silent()?;
        equal("it stays", raw::byte(at + PAGE), 0x22)?;
        equal("at the end", object.ends(&[(at, 4)])?, vec![])?;
    }
    Ok(())
}

// covers: V-13
fn dropped(_: &World) -> Check {
    let (object, at, control) = three_pages()?;
    let child = Accessor::new()?;
    let asks = |page: u64, supplied: u8| -> Check {
        child.stall(Order::Read(at + page * PAGE))?;
        object.hears(request(page, READ))?;
        supply(&control, page, &[supplied])?;
        equal("as the pager has it", child.finish()?, supplied.into())
    };
    let all = 4 * PAGE;
    equal("drop", msync(at, all, sync::INVALIDATE)?, K::Success)?;
    object.silent()?;
    equal("what was written stays", raw::byte(at + PAGE), 0x22)?;
    asks(0, 0x11)?;
    let both = sync::INVALIDATE | sync::SYNCHRONOUS;
    equal("return and drop", msync(at, all, both)?, K::Success)?;
    object.hears(taken(1, &[0x22]))?;
    asks(1, 0x33)?;
    // Killed, it is lost.
    raw::poke(at + PAGE, 1, 0x44);
    let killed = msync(at + PAGE, PAGE, sync::KILL_PAGES)?;
    equal("kill", killed, K::Success)?;
    object.silent()?;
    asks(1, 0x33)?;
    // Who may not write a page may not undo what others wrote.
    raw::protect(at + PAGE, PAGE, READ)?;
    let refused = msync(at + PAGE, PAGE, sync::KILL_PAGES)?;
    equal("without the right", refused, K::ProtectionFailure)?;
    equal("it stays", raw::byte(at + PAGE), 0x33)?;
    child.end()?;
    equal("at the end", object.ends(&[(at, 4)])?, vec![])
}

// covers: V-13
fn checked(_: &World) -> Check {
    let at = raw::allocate(4 * PAGE)?;
    raw::poke(at, 1, 1);
    raw::poke(at + 3 * PAGE, 1, 4);
    raw::deallocate(at + 2 * PAGE, PAGE)?;
    let contiguous = sync::CONTIGUOUS | sync::ASYNCHRONOUS;
    for (size, flags, expected) in [
        (
            PAGE,
            sync::SYNCHRONOUS | sync::ASYNCHRONOUS,
            K::InvalidArgument,
        ),
        (PAGE, 0x100, K::InvalidArgument),
        (u64::MAX, 0, K::InvalidArgument),
        (4 * PAGE, sync::SYNCHRONOUS, K::Success),
        (2 * PAGE, contiguous, K::Success),
        (4 * PAGE, contiguous, K::InvalidAddress),
        (4 * PAGE, sync::INVALIDATE, K::Success),
    ] {
        let found = msync(at, size, flags)?;
        check!(found == expected, "{size:#x} {flags:#x}: {found}");
    }
    equal("no page of it is clean", raw::byte(at), 1)?;
    let mine = own()?;
    let cache = |size, what, value| mine.memory().machine_attribute(at, size, what, value);
    for value in [
        attribute::FLUSH,
        attribute::DATA_FLUSH,
        attribute::INSTRUCTION_FLUSH,
        attribute::SYNC,
    ] {
        let flushed = cache(2 * PAGE, attribute::CACHE, value);
        equal("flush", flushed, Ok(value))?;
    }
    let hole = cache(3 * PAGE, attribute::CACHE, attribute::FLUSH);
    equal("a hole", code(hole), K::InvalidAddress)?;
    let other = cache(PAGE, attribute::MIGRATE, 1);
    equal("another attribute", code(other), K::NotSupported)?;
    let none = cache(PAGE, 99, 1);
    equal("none", code(none), K::InvalidArgument)?;
    let killed = msync(at, 4 * PAGE, sync::KILL_PAGES)?;
    equal("killed", killed, K::Success)?;
    equal("before the hole", raw::byte(at), 0)?;
    equal("behind it", raw::byte(at + 3 * PAGE), 0)?;
    raw::deallocate(at, 2 * PAGE)?;
    Ok(raw::deallocate(at + 3 * PAGE, PAGE)?)
}

/// `vm_direct_write_cow`: a file is written with what a private mapping of it shows.
// covers: V-09
fn written_to_its_source(_: &World) -> Check {
    for written in [false, true] {
        let object = Object::new()?;
        let (shared, control) = object.ready(2)?;
        supply(&control, 0, &[1, 2])?;
        let private = object.map((0, 2), map_flags::COPY)?;
        if written {
            raw::poke(private, PAGE as usize, 9);
        }
        // Onto itself, and across its pages.
        let mine = own()?;
        let copy = |from, size, to| code(mine.memory().copy(from, size, to));
        let first = if written { 9 } else { 1 };
        equal("copy", copy(private, PAGE, shared), K::Success)?;
        equal("onto itself", raw::byte(shared), first)?;
        let half = PAGE / 2;
        equal(
            "copy",
            copy(private + half, PAGE, shared + half),
            K::Success,
        )?;
        equal("copy", copy(private + PAGE, half, shared), K::Success)?;
        let bytes = |at: u64| [0, half, PAGE, PAGE + half].map(|place| raw::byte(at + place));
        equal("the object", bytes(shared), [2, first, 2, 2])?;
        equal("the copy", bytes(private), [first, first, 2, 2])?;
        raw::deallocate(private, 2 * PAGE)?;
        let back = vec![taken(0, &[2, 2])];
        equal("at the end", object.ends(&[(shared, 2)])?, back)?;
    }
    Ok(())
}

/// A child's copy of bytes that lie across two pages to memory of its own that lies so, too; it waits for its second page while
/// something is done to the target. What came of it.
fn race(change: impl FnOnce(&Object, &Accessor, u64) -> Check) -> Check<(K, [u8; 2])> {
    let object = Object::new()?;
    let (from, control) = object.ready(2)?;
    supply(&control, 0, &[1])?;
    let to = raw::allocate(2 * PAGE)?;
    raw::poke(to, 2 * PAGE as usize, 7);
    let child = Accessor::new()?;
    child.begin(Order::Copy(from + 100, PAGE, to + 50))?;
    object.hears(request(1, READ))?;
    change(&object, &child, to)?;
    supply(&control, 1, &[2])?;
    let code = K(child.finish()? as u32);
    let mut found = [0; 2];
    for (page, byte) in (0..).zip(&mut found) {
        let read = child.act(Order::Read(to + page * PAGE + 60 - page * 20))?;
        *byte = read as u8;
    }
    equal("this task's", raw::byte(to + 60), 7)?;
    child.end()?;
    raw::deallocate(to, 2 * PAGE)?;
    // What a client could not write is not the pager's to keep.
    control
        .client()
        .lock_request(0, 2 * PAGE, returns::DIRTY, 0, protection::NO_CHANGE)?;
    object.silent()?;
    equal("at the end", object.ends(&[(from, 2)])?, vec![])?;
    Ok((code, found))
}

/// `vm_unaligned_copy_protection_race`.
// covers: V-16
fn protected(_: &World) -> Check {
    let untouched = race(|_, _, _| Ok(()))?;
    equal("without a change", untouched, (K::Success, [1, 2]))?;
    for page in 0..2 {
        let found = race(|_, child, to| {
            let task = child.0.task.client();
            Ok(task.vm_protect(to + page * PAGE, PAGE, 0, READ)?)
        })?;
        equal("with one", found, (K::ProtectionFailure, [7, 7]))?;
    }
    Ok(())
}

/// `vm_unaligned_copy_switch_race`.
// covers: V-16
fn replaced(_: &World) -> Check {
    let found = race(|object, child, to| {
        let word = raw::map_word(map_flags::OVERWRITE, READ, READ);
        let place = Place {
            address: to,
            size: 2 * PAGE,
            mask: 0,
        };
        let right = object.port.make_send()?.cast();
        let mapped = child.0.task.memory().map(right, place, 0, word);
        equal("mapped", mapped.map_err(|refused| refused.error), Ok(to))
    })?;
    // What is read there are the object's pages, as their pager has them.
    equal("with a change", found, (K::ProtectionFailure, [1, 2]))
}
