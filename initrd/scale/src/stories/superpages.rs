//! Memory by large pages.

use alloc::format;

use libmach::abi::PAGE_SIZE;

use super::{Peak, Scene, TABLE_PAGES};
use crate::raw::Pages;
use crate::{Result, ensure};

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
