//! Tasks that inherit this one's memory; parent and child then write the same pages.

use alloc::format;

use interfaces::task::Task;
use libmach::SendRight;
use libmach::abi::task::Limits;

use super::{Peak, Scene};
use crate::raw::Pages;
use crate::{Result, ensure};

const LIMITS: Limits = Limits {
    names: 16,
    messages: 1,
    threads: 1,
    pages: 4096,
    kernel_bytes: 1 << 20,
};
/// Limits of a child that has children: enough for all of them.
const PARENT_LIMITS: Limits = Limits {
    pages: LIMITS.pages * 2 * DEPTH as u32,
    kernel_bytes: LIMITS.kernel_bytes * 2 * DEPTH,
    names: LIMITS.names * 2 * DEPTH as u32,
    messages: 2 * DEPTH as u32,
    threads: 2 * DEPTH as u32,
};
/// Children that live at the same time.
const WINDOW: usize = 8;
/// After so many children comes one that has a child, and so on.
const LINE_EVERY: u64 = 100;
/// As many children as make one of each kind.
pub(super) const FEW: u64 = LINE_EVERY;
/// How many generations.
const DEPTH: u64 = 20;
/// Pages that are written.
const PAGES: u64 = 32;

type Child = SendRight<dyn Task>;

// covers: F-08
pub(super) fn beside_each_other(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let pages = Pages::new(PAGES)?;
    for page in 0..PAGES {
        pages.write(page, u64::MAX);
    }
    let mut window: [Option<Child>; WINDOW] = [const { None }; WINDOW];
    for n in 0..count {
        let child = scene.own.client().create(LIMITS, 0, 1)?;
        write_both(&pages, &child, n)?;
        let place = &mut window[n as usize % WINDOW];
        if let Some(oldest) = place.replace(child) {
            oldest.client().terminate()?;
        }
        if n % LINE_EVERY == LINE_EVERY - 1 {
            generations(scene, &pages, n)?;
        }
    }
    peak.note(scene)?;
    for child in window.into_iter().flatten() {
        child.client().terminate()?;
    }
    Ok(())
}

/// Both write a page, and each sees what it wrote itself.
fn write_both(pages: &Pages, child: &Child, n: u64) -> Result<()> {
    let (place, before) = (pages.page(n), pages.read(n));
    pages.write(n, n);
    let theirs = word(child, place)?;
    ensure(theirs == before, || {
        format!("fork {n} sees {theirs:#x}, not {before:#x}")
    })?;
    child.client().vm_write(place, &(!n).to_le_bytes())?;
    let found = (pages.read(n), word(child, place)?);
    ensure(found == (n, !n), || format!("fork {n}: {found:x?}"))
}

fn word(task: &Child, address: u64) -> Result<u64> {
    let bytes = task.client().vm_read(address, 8)?;
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[..8]);
    Ok(u64::from_le_bytes(word))
}

/// A child of a child, and so on. Each generation writes one page more; the oldest ends first.
fn generations(scene: &Scene, pages: &Pages, n: u64) -> Result<()> {
    let mut line: [Option<Child>; DEPTH as usize] = [const { None }; DEPTH as usize];
    let mut last = scene.own.client().create(PARENT_LIMITS, 0, 1)?;
    for depth in 0..DEPTH {
        let mut limits = LIMITS;
        let left = (DEPTH - depth) as u32;
        limits.pages *= left;
        limits.kernel_bytes *= u64::from(left);
        limits.names *= left;
        limits.messages *= left;
        limits.threads *= left;
        let next = last.client().create(limits, 0, 1)?;
        let place = pages.page(depth);
        next.client().vm_write(place, &depth.to_le_bytes())?;
        let above = word(&last, place)?;
        ensure(above == pages.read(depth), || {
            format!("generation {depth} of fork {n} writes to the one above")
        })?;
        line[depth as usize] = Some(core::mem::replace(&mut last, next));
    }
    for (depth, ancestor) in (0..).zip(line) {
        if let Some(ancestor) = ancestor {
            ancestor.client().terminate()?;
        }
        let found = word(&last, pages.page(depth))?;
        ensure(found == depth, || {
            format!("generation {depth} of fork {n} is lost: {found:#x}")
        })?;
    }
    last.client().terminate()?;
    Ok(())
}
