//! Page faults: the first write to fresh memory, by small and by large pages, and the first write to a page that a child shares.

use interfaces::task::Task;
use libmach::abi::PAGE_SIZE;
use libmach::abi::task::Limits;
use libmach::abi::vm::LARGE_PAGE_SIZE;
use libmach::{SendRight, trap};

use super::{Bench, Take, WARM_UP, nothing};
use crate::samples::{COUNT, Row};
use crate::{Result, ensure, raw};

/// One page for each fault.
const PAGES: u64 = (WARM_UP + COUNT) as u64;

/// What the child that never runs may hold.
const LIMITS: Limits = Limits {
    names: 16,
    messages: 1,
    threads: 1,
    pages: 2048,
    kernel_bytes: 1 << 20,
};

pub(super) fn all(bench: &Bench, take: Take<'_>) -> Result<()> {
    take(zero_fill(bench))?;
    take(copy_on_write(bench))
}

fn zero_fill(bench: &Bench) -> Result<Row> {
    let memory = raw::allocate(PAGES)?;
    let row = bench.measure(
        "page_fault_zero",
        |round| Ok(memory + round * PAGE_SIZE),
        |page| raw::write(page, 1),
        |round, ()| {
            let page = memory + round * PAGE_SIZE;
            let fresh = raw::read(page) == 1 && raw::read(page + PAGE_SIZE - 8) == 0;
            ensure(fresh, "a fresh page was not zero")
        },
    )?;
    raw::release(memory, PAGES)?;
    Ok(row)
}

/// A page of 2 MiB and the first write to it. The kernel zeroes such a page when it is allocated, so that is measured too.
pub(super) fn large(bench: &Bench) -> Result<Row> {
    bench.measure(
        "page_fault_large",
        nothing,
        |()| {
            let page = raw::allocate_large()?;
            raw::write(page, 1);
            Ok(page)
        },
        |_, page: Result<u64>| {
            let page = page?;
            let end = page + LARGE_PAGE_SIZE - 8;
            let fresh = raw::read(page) == 1 && raw::read(end) == 0;
            ensure(fresh, "a fresh large page was not zero")?;
            // The next one may be the same.
            raw::write(end, 1);
            raw::release(page, LARGE_PAGE_SIZE / PAGE_SIZE)
        },
    )
}

fn copy_on_write(bench: &Bench) -> Result<Row> {
    let memory = raw::allocate(PAGES)?;
    for round in 0..PAGES {
        raw::write(memory + round * PAGE_SIZE + 8, round);
    }
    let own = SendRight::<dyn Task>::from_name(trap::task_self()?);
    let child = own.client().create(LIMITS, 0, 1)?;
    let row = bench.measure(
        "cow_fault",
        |round| Ok(memory + round * PAGE_SIZE),
        |page| raw::write(page, 1),
        |round, ()| {
            let page = memory + round * PAGE_SIZE;
            let copied = raw::read(page) == 1 && raw::read(page + 8) == round;
            ensure(copied, "a copied page lost its content")
        },
    )?;
    let last = memory + (PAGES - 1) * PAGE_SIZE;
    // The child still has what was there before.
    let bytes = child.client().vm_read(last, 16)?;
    let mut wanted = [0; 16];
    wanted[8..].copy_from_slice(&(PAGES - 1).to_le_bytes());
    ensure(bytes[..] == wanted, "a child saw its parent's write")?;
    child.client().terminate()?;
    raw::release(memory, PAGES)?;
    Ok(row)
}
