//! Mappings as they are told to be, and copies that are made as pages are written.

use alloc::vec::Vec;

use interfaces::memory::Entry;
use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::task::Limits;
use libmach::abi::vm::{entry, flags, inherit, map_flags, protection, region};
use libmach::{Result, SendRight};

use super::{cases, own};
use crate::case::{Check, World, check, code, equal};
use crate::raw;

const PAGE: u64 = 4096;
const RW: u32 = protection::READ | protection::WRITE;
const READ: u32 = protection::READ;

cases! { "copies":
    "a mapping has the object, place and rights that it was told" => mapped_as_told,
    "a mapping that wraps or is none is refused" => overflows,
    "a first read after a copy shows no later write" => before_the_first_read,
    "a copy is paid for as it is written, not as it is read" => late,
    "wired, copied and shared memory keeps all three promises" => wired,
    "memory that is forked and written again and again does not grow" => forks,
    "memory that is copied again and again is not looked for ever deeper" => chain,
}

const LIMITS: Limits = Limits {
    names: 16,
    messages: 4,
    threads: 1,
    pages: 300,
    kernel_bytes: 1 << 17,
};

fn place(address: u64, size: u64) -> Place {
    Place {
        address,
        size,
        mask: 0,
    }
}

/// A memory entry of this task's memory, shared.
fn shared(at: u64, size: u64) -> Check<SendRight<dyn Entry>> {
    let task = own()?.cast();
    let rights = RW | entry::SHARE;
    let (_, right) = own()?.memory().make_entry(task, size, at, rights)?;
    Ok(right)
}

/// A private copy of this task's memory, in this task.
fn duplicate(at: u64, size: u64) -> Check<u64> {
    let flags = flags::ANYWHERE | map_flags::COPY;
    let made = own()?.memory().remap(own()?, place(0, size), at, flags)?;
    Ok(made.address)
}

fn map(right: &SendRight<dyn Entry>, place: Place, offset: u64, flags: u64) -> Result<u64> {
    let own = SendRight::<dyn Task>::from_name(libmach::trap::task_self()?);
    let mapped = own.memory().map(right.duplicate()?, place, offset, flags);
    mapped.map_err(|refused| refused.error)
}

// covers: V-06
fn mapped_as_told(_: &World) -> Check {
    let at = raw::allocate(3 * PAGE)?;
    for page in 0..3 {
        raw::poke(at + page * PAGE, 1, page as u8 + 1);
    }
    let right = shared(at, 3 * PAGE)?;
    let anywhere = place(0, PAGE);
    // From an offset on; a view that is shared, and a private one.
    let view = map(&right, anywhere, PAGE, raw::map_word(1, RW, RW))?;
    let private = map(
        &right,
        anywhere,
        PAGE,
        raw::map_word(1 | map_flags::COPY, RW, RW),
    )?;
    raw::poke(view, 1, 0x22);
    equal("what is shared", raw::byte(at + PAGE), 0x22)?;
    equal("the copy of before", raw::byte(private), 2)?;
    raw::poke(private, 1, 0x33);
    equal("what was copied", raw::byte(at + PAGE), 0x22)?;
    // No object: zeros.
    let mine = own()?;
    let fresh = mine
        .memory()
        .map_anonymous(anywhere, raw::map_word(1, RW, RW))?;
    equal("fresh", raw::byte(fresh), 0)?;
    // Protections now and at most, and what a child gets.
    let lesser = map(&right, anywhere, 0, raw::map_word(1, READ, RW))?;
    let info = mine.memory().region(lesser, region::BASIC_INFO_64, 9)?;
    let told: Vec<u32> = info.info.iter().copied().take(3).collect();
    equal("told", told, [READ, RW, inherit::COPY].into())?;
    raw::protect(lesser, PAGE, RW)?;
    raw::poke(lesser, 1, 0x11);
    equal("what is shared", raw::byte(at), 0x11)?;
    for address in [view, private, fresh, lesser] {
        raw::deallocate(address, PAGE)?;
    }
    raw::deallocate(at, 3 * PAGE)?;
    // An address without the mask's bits, each time the lowest such.
    let aligned = Place {
        address: 0,
        size: 3 * PAGE,
        mask: (1 << 21) - 1,
    };
    let rights = raw::map_word(1, RW, RW);
    let first = mine.memory().map_anonymous(aligned, rights)?;
    let second = mine.memory().map_anonymous(aligned, rights)?;
    equal("aligned", (first | second) & aligned.mask, 0)?;
    check!(first != second, "both lie at {first:#x}");
    raw::deallocate(first, 3 * PAGE)?;
    Ok(raw::deallocate(second, 3 * PAGE)?)
}

// covers: V-06
fn overflows(_: &World) -> Check {
    const LAST: u64 = u64::MAX - PAGE + 1;
    let at = raw::allocate(2 * PAGE)?;
    let right = shared(at, 2 * PAGE)?;
    let (mine, rights) = (own()?, raw::map_word(1, RW, RW));
    for (size, offset, expected) in [
        (0, 0, K::InvalidArgument),
        (u64::MAX, 0, K::InvalidArgument),
        (LAST + 1, 0, K::InvalidArgument),
        (PAGE, LAST, K::InvalidArgument),
        (LAST, PAGE, K::InvalidArgument),
        (PAGE, 1, K::InvalidArgument),
        (2 * PAGE, PAGE, K::InvalidArgument),
    ] {
        let found = code(map(&right, place(0, size), offset, rights));
        check!(found == expected, "{size:#x} from {offset:#x} on: {found}");
    }
    for (address, size, flags, expected) in [
        (0, 0, rights, K::InvalidArgument),
        (0, u64::MAX, rights, K::InvalidArgument),
        (LAST, 2 * PAGE, raw::map_word(0, RW, RW), K::InvalidArgument),
        (0, PAGE, raw::map_word(1, RW, READ), K::InvalidArgument),
        (
            0,
            PAGE,
            rights | 3 << map_flags::INHERIT_SHIFT,
            K::InvalidArgument,
        ),
        (0, PAGE, rights | 8, K::InvalidArgument),
        (
            0,
            PAGE,
            raw::map_word(1, protection::ALL, protection::ALL),
            K::ProtectionFailure,
        ),
        (at, PAGE, raw::map_word(0, RW, RW), K::NoSpace),
    ] {
        let found = code(mine.memory().map_anonymous(place(address, size), flags));
        check!(
            found == expected,
            "{size:#x} at {address:#x} by {flags:#x}: {found}"
        );
    }
    Ok(raw::deallocate(at, 2 * PAGE)?)
}

/// `vm_test_cow_before_zf_read`: neither side has the page when the copy is made.
// covers: V-09
fn before_the_first_read(_: &World) -> Check {
    for first in [0, 1] {
        let at = raw::allocate(2 * PAGE)?;
        raw::poke(at + PAGE, 1, 1);
        let sides = [at, duplicate(at, 2 * PAGE)?];
        let (one, other) = (sides[first], sides[1 - first]);
        equal("at first", raw::byte(one), 0)?;
        raw::poke(other, 1, 9);
        equal("after the other one's write", raw::byte(one), 0)?;
        raw::poke(one, 1, 8);
        equal("after its own", raw::byte(other), 9)?;
        for side in sides {
            equal("a page that was there", raw::byte(side + PAGE), 1)?;
            raw::deallocate(side, 2 * PAGE)?;
        }
    }
    Ok(())
}

/// Pages that this task pays for, its page tables apart.
fn charged() -> Check<u64> {
    let found = own()?.memory().statistics()?;
    Ok(found.charged - found.tables)
}

// covers: V-09
fn late(_: &World) -> Check {
    const PAGES: u64 = 100;
    /// What this test's own stack and heap may take meanwhile.
    const OTHERS: u64 = 8;
    let at = raw::allocate(PAGES * PAGE)?;
    for page in 0..PAGES {
        raw::poke(at + page * PAGE, 1, page as u8 + 1);
    }
    let before = charged()?;
    let copy = duplicate(at, PAGES * PAGE)?;
    for page in 0..PAGES {
        equal("read", raw::byte(copy + page * PAGE), page as u8 + 1)?;
        equal("read", raw::byte(at + page * PAGE), page as u8 + 1)?;
    }
    let read = charged()?;
    check!(read < before + OTHERS, "{before} pages, read {read}");
    // Whoever writes gets the new page.
    for page in 0..PAGES / 2 {
        raw::poke(copy + page * PAGE, 1, 0xcc);
        raw::poke(at + (PAGES - 1 - page) * PAGE, 1, 0xdd);
    }
    let written = charged()?;
    let more = PAGES..PAGES + OTHERS;
    check!(
        more.contains(&(written - read)),
        "{read} pages, written {written}"
    );
    for page in 0..PAGES {
        let (mine, theirs) = match page < PAGES / 2 {
            true => (page as u8 + 1, 0xcc),
            false => (0xdd, page as u8 + 1),
        };
        equal("written", raw::byte(at + page * PAGE), mine)?;
        equal("written", raw::byte(copy + page * PAGE), theirs)?;
    }
    raw::deallocate(copy, PAGES * PAGE)?;
    raw::deallocate(at, PAGES * PAGE)?;
    let after = charged()?;
    check!(after < before, "{after} pages of {before} stay");
    Ok(())
}

/// Whoever wires, copies and shares the same memory, in whatever order: the shared view sees each write, the copy none.
// covers: V-09 V-12
fn wired(_: &World) -> Check {
    let size = 3 * PAGE;
    for order in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let at = raw::allocate(size)?;
        for page in 0..3 {
            raw::poke(at + page * PAGE, 1, 1);
        }
        let (mut view, mut copy) = (0, 0);
        for what in order {
            match what {
                0 => own()?.memory().wire(at, size, RW)?,
                1 => copy = duplicate(at, size)?,
                _ => {
                    view = map(
                        &shared(at, size)?,
                        place(0, size),
                        0,
                        raw::map_word(1, RW, RW),
                    )?
                }
            }
        }
        raw::poke(at, 1, 2);
        raw::poke(view + PAGE, 1, 3);
        raw::poke(copy + 2 * PAGE, 1, 4);
        let seen = |at: u64| [0, 1, 2].map(|page| raw::byte(at + page * PAGE));
        let found = [at, view, copy].map(seen);
        check!(
            found == [[2, 3, 1], [2, 3, 1], [1, 1, 4]],
            "{order:?}: {found:?}"
        );
        for address in [at, view, copy] {
            raw::deallocate(address, size)?;
        }
    }
    Ok(())
}

/// How many objects lie behind that of a region (`vm_region_extended_info`'s shadow depth).
fn depth(at: u64) -> Check<u32> {
    let (flavor, count) = (region::EXTENDED_INFO, region::EXTENDED_INFO_COUNT);
    let here = own()?.memory().region(at, flavor, count)?;
    check!(here.address <= at, "there is no region at {at:#x}");
    Ok(here.info[7] & 0xffff)
}

// covers: F-08 V-10
fn forks(_: &World) -> Check {
    const ROUNDS: u64 = 200;
    const PAGES: u64 = 4;
    /// Objects behind one another at the most, and pages beside the first ones: those of the rest of this task's memory
    /// that it writes, each of which a child may make it pay for twice.
    const DEEP: u32 = 2;
    const OTHERS: u64 = 64;
    let at = raw::allocate(PAGES * PAGE)?;
    for page in 0..PAGES {
        raw::poke(at + page * PAGE, 1, 1);
    }
    let before = charged()?;
    for round in 0..ROUNDS {
        let child = own()?.client().create(LIMITS, 0, 1)?;
        raw::poke(at + round % PAGES * PAGE, 1, round as u8);
        let theirs = at + (round + 1) % PAGES * PAGE;
        let written = child.write_memory(theirs, &[0xee]);
        let deep = depth(at)?;
        child.client().terminate()?;
        written?;
        check!(deep <= DEEP, "{deep} objects behind in round {round}");
    }
    let after = charged()?;
    check!(after < before + OTHERS, "{before} pages, then {after}");
    for round in ROUNDS - PAGES..ROUNDS {
        let found = raw::byte(at + round % PAGES * PAGE);
        equal("what was written last", found, round as u8)?;
    }
    Ok(raw::deallocate(at, PAGES * PAGE)?)
}

// covers: V-10
fn chain(_: &World) -> Check {
    const COPIES: u64 = 40;
    /// Objects behind one another where copies are of the same memory, and where they are of one another.
    const SHORT: u32 = 2;
    const DEEPEST: u32 = 16;
    let at = raw::allocate(2 * PAGE)?;
    raw::poke(at + PAGE, 1, 77);
    let mut copies = Vec::new();
    for round in 0..COPIES {
        raw::poke(at, 1, round as u8);
        copies.push(duplicate(at, 2 * PAGE)?);
        if let [.., old, new] = &copies[..] {
            raw::poke(*new, 1, round as u8 ^ 0x80);
            // What is replaced in each round is looked past, whoever else holds it.
            let deep = [depth(at)?, depth(*old)?, depth(*new)?];
            check!(deep[0] <= SHORT, "{deep:?} objects behind in round {round}");
            check!(
                deep.iter().all(|deep| *deep <= DEEPEST),
                "{deep:?} objects behind in round {round}"
            );
        }
    }
    let mut youngest = at;
    for generation in 0..COPIES {
        youngest = duplicate(youngest, 2 * PAGE)?;
        raw::poke(youngest, 1, generation as u8);
        let deep = depth(youngest)?;
        check!(deep <= DEEPEST, "{deep} behind generation {generation}");
        copies.push(youngest);
    }
    for (round, copy) in (0..).zip(&copies) {
        let expected = match round {
            0 => 0,
            round if round < COPIES => round as u8 ^ 0x80,
            round => (round - COPIES) as u8,
        };
        equal("what was written", raw::byte(*copy), expected)?;
        equal("what was copied", raw::byte(copy + PAGE), 77)?;
    }
    for copy in copies {
        raw::deallocate(copy, 2 * PAGE)?;
    }
    Ok(raw::deallocate(at, 2 * PAGE)?)
}
