//! Memory by large pages.

use alloc::format;

use libmach::abi::PAGE_SIZE;

use super::{Peak, Scene, TABLE_PAGES, warm_tables};
use crate::raw::Pages;
use crate::{Result, ensure};

/// Which part of memory is left to small pages beside those that become large again: twice what the kernel keeps free of large ones.
const PART: u64 = 32;
/// Small pages that nobody takes: for tables, and for what the kernel keeps.
const SPARE: u64 = 600;

/// Large pages, touched, split in part, and given back. `count` is of small ones.
pub(super) fn touched(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let count = count.next_multiple_of(TABLE_PAGES);
    let own = scene.own.client();
    for round in 0..2 {
        let pages = Pages::large(count)?;
        for page in 0..count {
            let found = pages.read(page);
            ensure(found == 0, || format!("page {page} has {found}"))?;
            pages.write(page, page + 1);
        }
        peak.note(scene)?;
        for large in (0..count).step_by(2 * TABLE_PAGES as usize) {
            own.vm_deallocate(pages.page(large + round), PAGE_SIZE)?;
            let next = pages.read(large + round + 1);
            ensure(next == large + round + 2, || format!("{next} is next"))?;
        }
    }
    Ok(())
}

/// What is left when nearly all memory is in large pages, used by small pages, all that there are; then by large ones again, as
/// many as before. `count` is of small ones in these.
pub(super) fn again(scene: &Scene, count: u64, peak: &mut Peak) -> Result<()> {
    let count = count.next_multiple_of(TABLE_PAGES);
    let free = || -> Result<u64> { Ok(scene.own.memory().statistics()?.free) };
    let room = count + free()? / PART;
    warm_tables(room)?;
    *peak = Peak::from(scene.census()?);
    let place = Pages::new(room)?;
    let most = free()? - room;
    let all = Pages::large(most - most % TABLE_PAGES)?;
    drop(place);
    for _ in 0..2 {
        drop(Pages::large(count)?);
        let pages = free()? - SPARE;
        let small = Pages::new(pages)?;
        for page in 0..pages {
            small.write(page, page);
        }
        peak.note(scene)?;
    }
    drop(Pages::large(count)?);
    drop(all);
    Ok(())
}
