//! The task's own memory. What must fault is in [`super::exceptions`].

use libmach::abi::kern_return::KernReturn;
use libmach::abi::vm::{MAX_ADDRESS, protection};

use super::cases;
use crate::case::{Check, World, check, equal};
use crate::raw;

const PAGE: u64 = 4096;

cases! { "memory":
    "new memory is zero, also where old memory was" => zero,
    "every page keeps what is written" => keeps,
    "pages that are not touched cost nothing" => lazy,
    "a taken place is refused" => taken,
    "impossible ranges are refused" => impossible,
    "a hole in the middle leaves the rest" => hole,
    "protection changes and is checked" => protect,
    "writable and executable at once is refused" => write_execute,
}

fn zero(_: &World) -> Check {
    for _ in 0..8 {
        let address = raw::allocate(4 * PAGE)?;
        let bytes = raw::peek(address, 4 * PAGE as usize);
        check!(bytes.iter().all(|byte| *byte == 0), "old content shows");
        raw::poke(address, 4 * PAGE as usize, 0xff);
        raw::deallocate(address, 4 * PAGE)?;
    }
    Ok(())
}

fn keeps(_: &World) -> Check {
    const PAGES: u64 = 64;
    let address = raw::allocate(PAGES * PAGE)?;
    for page in 0..PAGES {
        raw::poke(address + page * PAGE + page, 1, page as u8 + 1);
    }
    for page in 0..PAGES {
        let found = raw::peek(address + page * PAGE + page, 1);
        equal("byte", found, alloc::vec![page as u8 + 1])?;
    }
    Ok(raw::deallocate(address, PAGES * PAGE)?)
}

fn lazy(_: &World) -> Check {
    // Far more than the task's limit of pages.
    let address = raw::allocate(1 << 30)?;
    raw::poke(address + (1 << 29), 1, 3);
    equal("byte", raw::peek(address + (1 << 29), 1), alloc::vec![3])?;
    Ok(raw::deallocate(address, 1 << 30)?)
}

fn taken(_: &World) -> Check {
    let address = raw::allocate(2 * PAGE)?;
    let refused = raw::allocate_at(address + PAGE, PAGE);
    equal("allocate", refused, Err(KernReturn::NoSpace))?;
    Ok(raw::deallocate(address, 2 * PAGE)?)
}

fn impossible(_: &World) -> Check {
    let ranges = [
        (0, PAGE),
        (MAX_ADDRESS, PAGE),
        (MAX_ADDRESS - PAGE, 2 * PAGE),
        (0xffff_8000_0000_0000, PAGE),
        (u64::MAX - PAGE + 1, PAGE),
        (PAGE, u64::MAX - PAGE + 1),
        (PAGE, u64::MAX),
    ];
    for (address, size) in ranges {
        let given = raw::allocate_at(address, size);
        check!(
            given.is_err(),
            "{size:#x} bytes at {address:#x}: {given:x?}"
        );
    }
    check!(raw::allocate(u64::MAX).is_err(), "all of it was given");
    Ok(())
}

fn hole(_: &World) -> Check {
    let address = raw::allocate(3 * PAGE)?;
    raw::poke(address, 3 * PAGE as usize, 9);
    raw::deallocate(address + PAGE, PAGE)?;
    equal("first", raw::peek(address, 1), alloc::vec![9])?;
    equal("last", raw::peek(address + 2 * PAGE, 1), alloc::vec![9])?;
    // The place is free again.
    equal(
        "again",
        raw::allocate_at(address + PAGE, PAGE),
        Ok(address + PAGE),
    )?;
    equal("zero", raw::peek(address + PAGE, 1), alloc::vec![0])?;
    Ok(raw::deallocate(address, 3 * PAGE)?)
}

fn protect(_: &World) -> Check {
    let address = raw::allocate(PAGE)?;
    raw::poke(address, 1, 5);
    raw::protect(address, PAGE, protection::READ)?;
    equal("byte", raw::peek(address, 1), alloc::vec![5])?;
    raw::protect(address, PAGE, protection::READ | protection::WRITE)?;
    raw::poke(address, 1, 6);
    equal("byte", raw::peek(address, 1), alloc::vec![6])?;
    raw::deallocate(address, PAGE)?;
    let gone = raw::protect(address, PAGE, protection::READ);
    check!(gone.is_err(), "unmapped memory was protected");
    Ok(())
}

fn write_execute(_: &World) -> Check {
    let address = raw::allocate(PAGE)?;
    let both = raw::protect(address, PAGE, protection::ALL);
    check!(both.is_err(), "it was given");
    Ok(raw::deallocate(address, PAGE)?)
}
