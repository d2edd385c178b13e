//! Memory by pages of 2 MiB: whether the hardware maps it so, and what becomes of parts of it.

use alloc::vec;

use interfaces::host::Host;
use interfaces::memory::Entry;
use interfaces::vm::Place;
use libmach::abi::kern_return::KernReturn as K;
use libmach::abi::task::Limits;
use libmach::abi::vm::{LARGE_PAGE_SIZE as LARGE, entry, flags, map_flags, protection, region};
use libmach::{SendRight, trap};

use super::{cases, own};
use crate::case::{Check, World, check, equal};
use crate::census::leaves_nothing;
use crate::raw;

const PAGE: u64 = 4096;
/// Tries, until one leaves nothing behind: others in the system come and go too.
const ROUNDS: u32 = 3;
const RW: u32 = protection::READ | protection::WRITE;

cases! { "large pages":
    "large pages are mapped as such until a part of them goes" => split,
    "all frames of large pages come back" => returned,
    "a fault in a large page brings all of it" => faults,
    "a child has a copy of large pages" => fork,
    "large pages are shared as such" => shared,
    "what cannot be large is refused" => refused,
}

/// Large pages that this task's tables map by one entry each.
fn mapped() -> Check<u64> {
    Ok(own()?.memory().statistics()?.large)
}

/// How many of them the first region of an address has.
fn listed(at: u64) -> Check<u32> {
    let regions = own()?.client().regions(at)?;
    Ok(regions.first().map_or(0, |region| region.large))
}

/// Pages in memory of the regions of a range. What the task's account pays for does not tell: a page of stack or heap that
/// is written for the first time since a fork is paid for twice, until the child's memory has gone.
fn present(at: u64, size: u64) -> Check<u64> {
    let (mine, mut from, mut pages) = (own()?, at, 0);
    while from < at + size {
        let (flavor, count) = (region::EXTENDED_INFO, region::EXTENDED_INFO_COUNT);
        let here = mine.memory().region(from, flavor, count)?;
        check!(here.address + here.size <= at + size, "{here:?} is larger");
        pages += u64::from(here.info[2]);
        from = here.address + here.size;
    }
    Ok(pages)
}

// covers: V-01 V-02 V-03 V-12
fn split(_: &World) -> Check {
    let before = mapped()?;
    let at = raw::allocate_large(2 * LARGE)?;
    let done = split_at(at, before);
    raw::deallocate(at, 2 * LARGE)?;
    done?;
    equal("mapped", mapped()?, before)?;
    equal("gone", raw::look(at), Err(K::InvalidAddress))
}

/// Takes parts of two new large pages away. What was mapped before them is given.
fn split_at(at: u64, before: u64) -> Check {
    equal("mapped", mapped()?, before)?;
    equal("pages", present(at, 2 * LARGE)?, 2 * LARGE / PAGE)?;
    equal("place", at % LARGE, 0)?;
    for place in [0, LARGE - 1, LARGE, 2 * LARGE - 1] {
        equal("byte", raw::peek(at + place, 1), vec![0])?;
        raw::poke(at + place, 1, 7);
    }
    equal("large", mapped()?, before + 2)?;
    equal("listed", listed(at)?, 2)?;
    let info = own()?.memory().region(at, region::BASIC_INFO_64, 9)?;
    equal("size", info.size, 2 * LARGE)?;
    equal("wired", u32::from(info.info[8] > 0), 1)?;
    raw::protect(at + LARGE, LARGE, protection::READ)?;
    equal("protected", mapped()?, before + 2)?;
    raw::protect(at + LARGE + PAGE, PAGE, RW)?;
    raw::poke(at + LARGE + PAGE, 1, 8);
    equal("split", mapped()?, before + 1)?;
    raw::deallocate(at, PAGE)?;
    equal("split", mapped()?, before)?;
    equal("listed", listed(at + PAGE)?, 0)?;
    equal(
        "pages",
        present(at + PAGE, 2 * LARGE - PAGE)?,
        2 * LARGE / PAGE - 1,
    )?;
    equal("gone", raw::look(at), Err(K::InvalidAddress))?;
    for place in [LARGE - 1, LARGE, 2 * LARGE - 1] {
        equal("byte", raw::peek(at + place, 1), vec![7])?;
    }
    equal("byte", raw::peek(at + LARGE + PAGE, 1), vec![8])
}

// covers: V-01 V-02
fn returned(_: &World) -> Check {
    let before = mapped()?;
    leaves_nothing(ROUNDS, || {
        for round in 0..20 {
            let at = raw::allocate_large(2 * LARGE)?;
            for place in 0..2 {
                raw::poke(at + place * LARGE + round * PAGE, 8, round as u8);
                equal("last round's", raw::peek(at + place * LARGE, 1), vec![0])?;
            }
            equal("large", mapped()?, before + 2)?;
            raw::deallocate(at, 2 * LARGE)?;
        }
        Ok(())
    })?;
    equal("mapped", mapped()?, before)
}

// covers: V-11
fn faults(_: &World) -> Check {
    let host = SendRight::<dyn Host>::from_name(trap::host_self()?);
    let touch = |at: u64| -> Check<u64> {
        let before = host.client().statistics()?.faults;
        for page in 0..LARGE / PAGE {
            raw::poke(at + page * PAGE, 1, 1);
        }
        Ok(host.client().statistics()?.faults - before)
    };
    let small = raw::allocate(LARGE)?;
    let large = raw::allocate_large(LARGE)?;
    let (many, few) = (touch(small)?, touch(large)?);
    check!(many >= LARGE / PAGE, "{many} faults by small pages");
    // Others may have one meanwhile.
    check!(few < 16, "{few} faults by a large page");
    raw::deallocate(small, LARGE)?;
    Ok(raw::deallocate(large, LARGE)?)
}

// covers: V-05 V-12
fn fork(_: &World) -> Check {
    let at = raw::allocate_large(LARGE)?;
    raw::poke(at + 3 * PAGE, 1, 1);
    let large = mapped()?;
    let limits = Limits {
        names: 16,
        messages: 4,
        threads: 1,
        pages: 1024,
        kernel_bytes: 1 << 18,
    };
    let child = own()?.client().create(limits, 0, 1)?;
    raw::poke(at + 3 * PAGE, 1, 2);
    let mut seen = [0];
    let read = child.read_memory(at + 3 * PAGE, &mut seen);
    child.client().terminate()?;
    read?;
    equal("the child's", seen, [1])?;
    equal("still large", mapped()?, large)?;
    Ok(raw::deallocate(at, LARGE)?)
}

// covers: V-14
fn shared(_: &World) -> Check {
    let mine = own()?;
    let at = raw::allocate_large(LARGE)?;
    raw::poke(at, 1, 1);
    let large = mapped()?;
    let task = own()?.cast();
    let made = mine
        .memory()
        .make_entry(task, LARGE, at, RW | entry::SHARE)?;
    let (size, right): (u64, SendRight<dyn Entry>) = made;
    let place = Place {
        size,
        mask: LARGE - 1,
        ..Place::default()
    };
    let rights = u64::from(RW) << map_flags::CURRENT_SHIFT
        | u64::from(RW) << map_flags::MAXIMUM_SHIFT
        | map_flags::ANYWHERE;
    let view = mine.memory().map(right, place, 0, rights)?;
    equal("view", raw::peek(view, 1), vec![1])?;
    equal("both", mapped()?, large + 1)?;
    raw::poke(view + LARGE - 1, 1, 2);
    raw::deallocate(at, LARGE)?;
    equal("one", mapped()?, large)?;
    equal("kept", raw::peek(view + LARGE - 1, 1), vec![2])?;
    Ok(raw::deallocate(view, LARGE)?)
}

// covers: V-01
fn refused(_: &World) -> Check {
    let mine = own()?;
    let before = mapped()?;
    let allocate = |address, size, how| mine.client().vm_allocate(address, size, how);
    let exact = flags::SUPERPAGE_SIZE_2MB;
    for (address, size, how) in [
        (0, LARGE + PAGE, exact | flags::ANYWHERE),
        (LARGE + PAGE, LARGE, exact),
        (0, LARGE, flags::SUPERPAGE_MASK | flags::ANYWHERE),
    ] {
        let refused = allocate(address, size, how);
        check!(refused.is_err(), "{address:#x} {size:#x} {how:#x}");
    }
    // More than the machine has: what was filled until then is given back.
    let free = mine.memory().statistics()?.free;
    let size = (free * PAGE).next_multiple_of(LARGE) + LARGE;
    let refused = allocate(0, size, exact | flags::ANYWHERE);
    check!(refused.is_err(), "{size:#x} bytes of large pages");
    equal("mapped", mapped()?, before)
}
