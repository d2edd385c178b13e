//! Page-out: more memory is used than is to be had. It comes last: pages of all programs go, and return as they are used.

use alloc::{format, vec};

use interfaces::default_pager::DefaultPager;
use interfaces::host::Host;
use interfaces::vm::Place;
use libmach::abi::task::info;
use libmach::abi::trap::attribute;
use libmach::abi::vm::{disposition, flags, map_flags, region};
use libmach::{SendRight, trap};

use super::pagers::word;
use super::{cases, own};
use crate::case::{Check, Verdict, World, check, equal};
use crate::object::{Object, Told, supply};
use crate::raw;

const PAGE: u64 = 4096;

cases! { "page-out":
    "memory that is not used is put away and comes back" => put_away,
    "memory that is shared or copied late is put away and comes back" => share,
    "a slow pager is sent no more than its share, and other memory goes" => slow_pager,
}

// covers: T-05 V-08
/// Touches more memory than there is, since so much is to be kept free.
fn put_away(world: &World) -> Check {
    const PAGES: u64 = 1200;
    /// What other programs may need meanwhile.
    const SPARE: u64 = 200;
    let host: SendRight<dyn Host> = world.context.send_right("host")?;
    let store: SendRight<dyn DefaultPager> = world.context.send_right("pager")?;
    let before = store.client().statistics()?;
    let info = host.client().info()?;
    let address = raw::allocate(PAGES * PAGE)?;
    host.client().set_free_target(info.free_pages - SPARE)?;
    let (mut away, mut gone) = (before, 0);
    let filled = (0..PAGES).try_for_each(|page| mark(address, page));
    let read = filled.and_then(|()| {
        // What others do not use goes as well, so more and more is wanted; what is taken makes the kernel look whether there
        // is so much. Each of these calls waits for its turn behind pages.
        for _ in 0..PAGES {
            let free = host.client().info()?.free_pages;
            host.client().set_free_target(free + SPARE)?;
            let more = raw::allocate(PAGE)?;
            raw::poke(more, 1, 1);
            raw::deallocate(more, PAGE)?;
            away = store.client().statistics()?;
            gone = put_away_of(|page| address + page * PAGE, PAGES)?;
            if gone > PAGES / 2 {
                told_apart(address, PAGES)?;
                break;
            }
        }
        (0..PAGES).try_for_each(|page| marked(address, page))
    });
    host.client().set_free_target(info.pages / 64)?;
    read?;
    let after = store.client().statistics()?;
    check!(gone > PAGES / 2, "{gone} pages went: {before:?}, {away:?}");
    check!(away.kept - before.kept >= gone, "{before:?}, {away:?}");
    check!(away.bytes < away.pages * PAGE / 2, "{away:?} is not packed");
    let supplied = after.supplied - before.supplied;
    check!(supplied > PAGES / 2, "{supplied} pages came back");
    Ok(raw::deallocate(address, PAGES * PAGE)?)
}

/// The same memory at two places, and a copy that nobody wrote to of the rest.
fn share(world: &World) -> Check {
    const PAGES: u64 = 600;
    const SPARE: u64 = 100;
    let host: SendRight<dyn Host> = world.context.send_right("host")?;
    let info = host.client().info()?;
    let address = raw::allocate(PAGES * PAGE)?;
    (0..PAGES).try_for_each(|page| mark(address, page))?;
    let mine = own()?;
    let (half, flags) = (PAGES / 2 * PAGE, flags::ANYWHERE);
    let anywhere = Place {
        size: half,
        ..Place::default()
    };
    let again = |at, flags| {
        let source = mine.duplicate()?;
        mine.memory().remap(source, anywhere, at, flags)
    };
    let shared = again(address, flags)?.address;
    let copied = again(address + half, flags | map_flags::COPY)?.address;
    let place = |page| match page < PAGES / 2 {
        true => shared,
        false => copied - half,
    };
    (0..PAGES).try_for_each(|page| marked(place(page), page))?;
    let away = || put_away_of(|page| place(page) + page * PAGE, PAGES);
    let none = away()?;
    host.client()
        .set_free_target(host.client().info()?.free_pages + PAGES - SPARE)?;
    let more = raw::allocate(PAGE)?;
    raw::poke(more, 1, 1);
    let mut most = 0;
    for _ in 0..PAGES {
        most = most.max(away()?);
        if most > PAGES / 2 {
            break;
        }
        raw::poke(more, 1, 1);
    }
    host.client().set_free_target(info.pages / 64)?;
    check!(
        none == 0 && most > PAGES / 2,
        "{none}, then {most} pages went"
    );
    raw::poke(shared, 1, 1);
    raw::poke(copied, 1, 1);
    (1..PAGES).try_for_each(|page| marked(address, page))?;
    equal("what is shared", raw::peek(address, 1), vec![1])?;
    marked(address, PAGES / 2)?;
    (1..PAGES)
        .filter(|page| *page != PAGES / 2)
        .try_for_each(|page| marked(place(page), page))?;
    raw::deallocate(shared, half)?;
    raw::deallocate(copied, half)?;
    raw::deallocate(more, PAGE)?;
    Ok(raw::deallocate(address, PAGES * PAGE)?)
}

/// Messages of page-out that a pager has to take before it is sent more.
const MOST_SENT: u64 = 16;

/// A pager that takes no messages, while memory is short: this test.
// covers: O-04 O-08
fn slow_pager(world: &World) -> Check {
    const PAGES: u64 = 120;
    const OTHERS: u64 = 400;
    const SPARE: u64 = 100;
    let host: SendRight<dyn Host> = world.context.send_right("host")?;
    let store: SendRight<dyn DefaultPager> = world.context.send_right("pager")?;
    let object = Object::new()?;
    let (at, control) = object.ready(PAGES)?;
    // Every second page, so that each comes back alone.
    for page in (0..PAGES).step_by(2) {
        supply(&control, page, &[1])?;
        raw::poke(at + page * PAGE, 1, page as u8);
    }
    let others = raw::allocate(OTHERS * PAGE)?;
    (0..OTHERS).try_for_each(|page| mark(others, page))?;
    let (info, before) = (host.client().info()?, store.client().statistics()?.kept);
    let (mut sent, mut kept) = (0, 0);
    let pressed = (0..4 * PAGES).try_for_each(|_| -> Check {
        if sent == MOST_SENT && kept > OTHERS / 2 {
            return Ok(());
        }
        let free = host.client().info()?.free_pages;
        host.client().set_free_target(free + SPARE)?;
        let more = raw::allocate(PAGE)?;
        raw::poke(more, 1, 1);
        raw::deallocate(more, PAGE)?;
        sent = trap::port_get_attribute(object.port.name(), attribute::MESSAGE_COUNT)?;
        kept = store.client().statistics()?.kept - before;
        check!(sent <= MOST_SENT, "{sent} messages were sent");
        Ok(())
    });
    host.client().set_free_target(info.pages / 64)?;
    pressed?;
    check!(
        sent == MOST_SENT && kept > OTHERS / 2,
        "{sent} messages were sent, and {kept} pages kept elsewhere"
    );
    // What came back is gone here, what did not is still there.
    let mut back = [false; PAGES as usize];
    let mut present = [false; PAGES as usize];
    for (page, present) in (0..).zip(&mut present) {
        let (state, _) = own()?.memory().page_query(at + page * PAGE)?;
        *present = state & disposition::PRESENT != 0;
    }
    while let Some(told) = object.told()? {
        let Told::Return {
            page,
            content,
            dirty,
            kept,
        } = told
        else {
            return Err(Verdict::Failed(format!("told {told:?}")));
        };
        equal(
            "what was returned",
            (content, dirty, kept),
            (vec![page as u8], true, false),
        )?;
        back[page as usize] = true;
    }
    for page in (0..PAGES as usize).step_by(2) {
        check!(back[page] || present[page], "page {page} is lost");
    }
    (0..OTHERS).try_for_each(|page| marked(others, page))?;
    raw::deallocate(others, OTHERS * PAGE)?;
    object.ends(&[(at, PAGES)]).map(drop)
}

/// That the region at an address, and the task, tell pages in memory and pages that were put away apart. Half of them went;
/// this code's own come and go meanwhile, which are few.
fn told_apart(address: u64, pages: u64) -> Check {
    let mine = own()?;
    let paid = mine.memory().statistics()?.charged * PAGE;
    let told = mine
        .client()
        .info_of(info::BASIC_64, info::BASIC_64_COUNT)?;
    let resident = u64::from(told[3]) | u64::from(told[4]) << 32;
    let (flavor, count) = (region::EXTENDED_INFO, region::EXTENDED_INFO_COUNT);
    let here = mine.memory().region(address, flavor, count)?;
    let (present, swapped) = (u64::from(here.info[2]), u64::from(here.info[4]));
    equal("size", here.size, pages * PAGE)?;
    equal("touched", present + swapped, pages)?;
    check!(swapped > pages / 4, "{swapped} pages are swapped");
    check!(
        resident < paid - pages / 4 * PAGE,
        "{resident} of {paid} bytes"
    );
    Ok(())
}

/// How many of so many pages were put away.
fn put_away_of(place: impl Fn(u64) -> u64, pages: u64) -> Check<u64> {
    let mine = own()?;
    let mut away = 0;
    for page in 0..pages {
        let (state, _) = mine.memory().page_query(place(page))?;
        away += u64::from(state & disposition::PAGED_OUT != 0);
    }
    Ok(away)
}

/// A page's own number, at its beginning and its end.
fn mark(address: u64, page: u64) -> Check {
    let at = address + page * PAGE;
    for (place, byte) in (0..).zip(page.to_le_bytes()) {
        raw::poke(at + place, 1, byte);
        raw::poke(at + PAGE - 8 + place, 1, !byte);
    }
    Ok(())
}

fn marked(address: u64, page: u64) -> Check {
    let words = PAGE / 8;
    equal("page", word(address, page * words), page)?;
    equal("its middle", word(address, page * words + words / 2), 0)?;
    equal("its end", word(address, (page + 1) * words - 1), !page)
}
