//! Page faults: the first write to fresh memory, and the first write to a page that a child shares.

use interfaces::task::Task;
use libmach::abi::PAGE_SIZE;
use libmach::abi::task::Limits;
use libmach::{SendRight, trap};

use super::{Bench, Take, WARM_UP};
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
