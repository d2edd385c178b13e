use super::*;
use crate::layout::{ARENAS, DIRECT, IMAGE, LARGE_PAGE};
use crate::physical::Simulated;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// Pages from 1 MiB on, at most `limit` at a time.
struct Pages {
    next: u64,
    limit: usize,
    out: BTreeSet<u64>,
}

impl Pages {
    fn new(limit: usize) -> Self {
        Self {
            next: 0x10_0000,
            limit,
            out: BTreeSet::new(),
        }
    }
}

impl TablePages for Pages {
    fn allocate(&mut self) -> Option<u64> {
        if self.out.len() == self.limit {
            return None;
        }
        self.next += PAGE;
        self.out.insert(self.next);
        Some(self.next)
    }

    fn release(&mut self, page: u64) {
        assert!(self.out.remove(&page), "a page that was not given out");
    }
}

const RX: u32 = protection::READ | protection::EXECUTE;
const RW: u32 = protection::READ | protection::WRITE;

fn entry(page: u64, rights: u32) -> u64 {
    user_entry(page, rights, Caching::WriteBack).unwrap()
}

#[test]
fn rights_become_bits() {
    let bits = |rights| user_entry(0x5000, rights, Caching::WriteBack);
    assert_eq!(bits(protection::NONE), None);
    assert_eq!(bits(protection::READ), Some(0x5000 | 5 | flags::NO_EXECUTE));
    assert_eq!(bits(RW), Some(0x5000 | 7 | flags::NO_EXECUTE));
    assert_eq!(bits(RX), Some(0x5000 | 5));
    assert_eq!(user_entry(0, RW, Caching::Uncached).unwrap() & 0x18, 0x18);
}

#[test]
fn a_new_space_shares_the_upper_half_and_owns_the_lower() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    let kernel = 0x8_0000;
    tables.share(kernel, ARENAS, &mut pages).unwrap();
    let root = tables.create(kernel, &mut pages).unwrap();
    tables
        .map(kernel, ARENAS + PAGE, 0x7000 | flags::DATA, &mut pages)
        .unwrap();
    tables
        .map(root, 0x40_0000, entry(0x9000, RW), &mut pages)
        .unwrap();
    assert_eq!(
        tables.entry(root, ARENAS + PAGE),
        Some(0x7000 | flags::DATA)
    );
    assert_eq!(tables.entry(kernel, 0x40_0000), None);
    assert_eq!(tables.entry(root, 0x40_0000), Some(entry(0x9000, RW)));
    assert_eq!(tables.count(root), 4);
}

#[test]
fn large_pages_are_found_by_any_address_in_them() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    tables
        .map_large(0, DIRECT + LARGE_PAGE, LARGE_PAGE | flags::DATA, &mut pages)
        .unwrap();
    let found = tables.entry(0, DIRECT + LARGE_PAGE + 0x12_3000).unwrap();
    assert_eq!(found & flags::ADDRESS, LARGE_PAGE);
    assert_eq!(tables.entry(0, DIRECT), None);
    assert_eq!(tables.entry(0, IMAGE), None);
}

/// What maps a page of a large page that begins at a physical address.
fn piece(at: u64, rights: u32) -> Option<u64> {
    user_entry(at, rights, Caching::WriteBack)
}

/// As [`piece`], without the bit that says how large the page is.
fn small(tables: &Tables<'_, Simulated>, address: u64) -> Option<u64> {
    let entry = tables.entry(0, address)?;
    match entry & flags::LARGE {
        0 => Some(entry),
        _ => Some((entry & !flags::LARGE) + address % LARGE_PAGE / PAGE * PAGE),
    }
}

#[test]
fn a_large_page_is_split_when_a_part_of_it_changes() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    let (place, page) = (4 * LARGE_PAGE, 8 * LARGE_PAGE);
    let map = |tables: &mut Tables<'_, Simulated>, pages: &mut Pages| {
        tables.map_splittable(0, place, entry(page, RW), pages)
    };
    assert_eq!(map(&mut tables, &mut pages), Ok(false));
    assert_eq!((tables.large_pages(0), tables.count(0)), (1, 3));
    assert!(tables.is_large(0, place) && tables.is_large(0, place + LARGE_PAGE - 1));
    assert!(!tables.is_large(0, place - 1) && !tables.is_large(0, place + LARGE_PAGE));
    // As a whole it stays one.
    tables.protect(0, place..place + LARGE_PAGE, protection::READ);
    assert_eq!(map(&mut tables, &mut pages), Ok(true));
    assert_eq!((tables.large_pages(0), tables.count(0)), (1, 3));
    // No page is needed to split it.
    pages.limit = 0;
    tables.protect(0, place + PAGE..place + 3 * PAGE, RX);
    assert_eq!((tables.large_pages(0), tables.count(0)), (0, 3));
    assert!(!tables.is_large(0, place));
    for n in 0..512 {
        let rights = if n == 1 || n == 2 {
            protection::READ
        } else {
            RW
        };
        let at = n * PAGE;
        assert_eq!(tables.entry(0, place + at), piece(page + at, rights), "{n}");
    }
    // It becomes one again, without the table that some CPU may still walk.
    pages.limit = 100;
    let before = pages.out.clone();
    assert_eq!(map(&mut tables, &mut pages), Ok(true));
    assert_eq!((tables.large_pages(0), tables.count(0)), (1, 3));
    assert_eq!(before.difference(&pages.out).count(), 1);
    pages.limit = 0;
    tables
        .map(0, place + PAGE, entry(0x9000, RW), &mut pages)
        .unwrap();
    assert_eq!(tables.entry(0, place + PAGE), piece(0x9000, RW));
    assert_eq!(tables.entry(0, place), piece(page, RW));
    assert_eq!(tables.large_pages(0), 0);
}

#[test]
fn a_large_page_that_goes_leaves_its_table() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    let root = tables.create(0, &mut pages).unwrap();
    for n in 1..5 {
        let large = entry(n * LARGE_PAGE, RW);
        tables
            .map_splittable(root, n * LARGE_PAGE, large, &mut pages)
            .unwrap();
    }
    tables.unmap(root, 2 * LARGE_PAGE..3 * LARGE_PAGE);
    assert_eq!(tables.entry(root, 2 * LARGE_PAGE), None);
    assert_eq!((tables.large_pages(root), tables.count(root)), (3, 7));
    pages.limit = 0;
    tables
        .map(root, 2 * LARGE_PAGE + PAGE, entry(0x9000, RW), &mut pages)
        .unwrap();
    assert_eq!(tables.entry(root, 2 * LARGE_PAGE), None);
    assert_eq!(tables.count(root), pages.out.len() as u64);
    while !tables.destroy_step(root, &mut pages) {}
    assert!(pages.out.is_empty());
}

#[test]
fn without_a_page_for_its_table_no_large_page_is_mapped() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(3));
    let mut tables = Tables::new(&mut memory);
    tables.map(0, PAGE, entry(0x9000, RW), &mut pages).unwrap();
    for place in [0, LARGE_PAGE] {
        let large = entry(LARGE_PAGE, RW);
        let failed = tables.map_splittable(0, place, large, &mut pages);
        assert_eq!(failed, Err(NoTable));
    }
    assert_eq!(tables.entry(0, PAGE), Some(entry(0x9000, RW)));
    assert_eq!((tables.large_pages(0), tables.count(0)), (0, 3));
}

#[test]
fn protecting_only_takes_away() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    tables
        .map(0, 0x1000, entry(0x9000, protection::READ), &mut pages)
        .unwrap();
    tables
        .map(0, 0x2000, entry(0xa000, RW), &mut pages)
        .unwrap();
    tables.protect(0, 0x1000..0x3000, RW);
    assert_eq!(
        tables.entry(0, 0x1000),
        Some(entry(0x9000, protection::READ))
    );
    assert_eq!(tables.entry(0, 0x2000), Some(entry(0xa000, RW)));
    tables.protect(0, 0x2000..0x3000, RX);
    assert_eq!(
        tables.entry(0, 0x2000),
        Some(entry(0xa000, protection::READ))
    );
    tables.protect(0, 0x1000..0x2000, protection::NONE);
    assert_eq!(tables.entry(0, 0x1000), None);
}

#[test]
fn without_pages_nothing_is_mapped() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(2));
    let mut tables = Tables::new(&mut memory);
    let failed = tables.map(0, 0x1000, entry(0x9000, RW), &mut pages);
    assert_eq!(failed, Err(NoTable));
    assert_eq!(tables.entry(0, 0x1000), None);
}

#[test]
fn destruction_takes_bounded_steps_and_returns_every_page() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(1000));
    let mut tables = Tables::new(&mut memory);
    let root = tables.create(0, &mut pages).unwrap();
    for n in 0..200 {
        tables
            .map(root, n * LARGE_PAGE * 3, entry(0x9000, RW), &mut pages)
            .unwrap();
    }
    let mut steps = 0;
    loop {
        let before = pages.out.len();
        let gone = tables.destroy_step(root, &mut pages);
        assert!(before - pages.out.len() <= 65);
        steps += 1;
        if gone {
            break;
        }
    }
    assert!(steps >= 4);
    assert!(pages.out.is_empty());
}

#[test]
fn whole_tables_are_set_aside_and_freed_later() {
    const GIB: u64 = 1 << 30;
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(1000));
    let mut tables = Tables::new(&mut memory);
    let root = tables.create(0, &mut pages).unwrap();
    // One page in each of 200 tables, on both sides of what a table of the third level maps.
    let place = |n: u64| GIB * 512 + n * LARGE_PAGE - 100 * LARGE_PAGE + PAGE;
    for n in 0..200 {
        tables
            .map(root, place(n), entry(0x9000, RW), &mut pages)
            .unwrap();
    }
    let before = tables.count(root);
    let range = place(3)..place(197);
    tables.detach(root, range.clone(), &mut pages).unwrap();
    let made = tables.count(root) - before;
    assert!(made <= 5, "{made}");
    for n in 0..200 {
        let there = !range.contains(&place(n));
        assert_eq!(tables.entry(root, place(n)).is_some(), there, "{n}");
    }
    // Meanwhile it is used, and replaced once more.
    for _ in 0..2 {
        tables
            .map(root, place(5), entry(0xa000, RW), &mut pages)
            .unwrap();
        tables.detach(root, range.clone(), &mut pages).unwrap();
        assert_eq!(tables.entry(root, place(5)), None);
    }
    let mut steps = 1;
    loop {
        assert_eq!(tables.count(root), pages.out.len() as u64);
        let out = pages.out.len();
        let all = tables.free_aside(root, &mut pages);
        assert!(out - pages.out.len() <= 65);
        if all {
            break;
        }
        steps += 1;
    }
    assert!(steps > 3, "{steps}");
    assert_eq!(tables.count(root), pages.out.len() as u64);
    assert!(tables.free_aside(root, &mut pages), "nothing is left");
    assert_eq!(
        tables.entry(root, place(197)),
        Some(entry(0x9000, RW)),
        "behind"
    );
    // The tables of a whole part go with it.
    let all = GIB * 511..GIB * 515;
    tables.detach(root, all, &mut pages).unwrap();
    while !tables.free_aside(root, &mut pages) {}
    assert_eq!(
        tables.count(root),
        3,
        "the root and those of the next level"
    );
    tables
        .map(root, place(5), entry(0xa000, RW), &mut pages)
        .unwrap();
    tables.detach(root, range, &mut pages).unwrap();
    while !tables.destroy_step(root, &mut pages) {}
    assert!(pages.out.is_empty());
}

/// Where all tables are full at the ends, more goes than the range, and none of the range stays.
#[test]
fn full_tables_at_the_ends_are_detached_as_a_whole() {
    const GIB: u64 = 1 << 30;
    // All 3,072 mappings take Miri half an hour; the first and last of each table go the same ways:
    // how much is looked at follows from the range.
    const STEP: usize = if cfg!(miri) { 511 } else { 1 };
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(10_000));
    let mut tables = Tables::new(&mut memory);
    let root = tables.create(0, &mut pages).unwrap();
    let end = 1 << 40;
    let mut all = Vec::new();
    for n in (0..512).step_by(STEP) {
        for stride in [PAGE, LARGE_PAGE, GIB] {
            all.extend([n * stride, end - PAGE - n * stride]);
        }
    }
    for page in &all {
        tables
            .map(root, *page, entry(0x9000, RW), &mut pages)
            .unwrap();
    }
    let range = PAGE..end - PAGE;
    tables.detach(root, range.clone(), &mut pages).unwrap();
    for page in all {
        let there = tables.entry(root, page).is_some();
        assert!(!there || !range.contains(&page), "{page:x} stays");
    }
    for page in [0, end - PAGE] {
        assert_eq!(tables.entry(root, page), None, "it goes along");
    }
    // What stays is used as ever.
    for page in [0, PAGE, end - PAGE] {
        tables
            .map(root, page, entry(0x9000, RW), &mut pages)
            .unwrap();
    }
    while !tables.free_aside(root, &mut pages) {}
    assert_eq!(tables.count(root), pages.out.len() as u64);
    for page in [0, PAGE, end - PAGE] {
        assert!(tables.entry(root, page).is_some());
    }
    while !tables.destroy_step(root, &mut pages) {}
    assert!(pages.out.is_empty());
}

#[test]
fn without_pages_nothing_is_detached() {
    for limit in 0..5 {
        let (mut memory, mut pages) = (Simulated::default(), Pages::new(1000));
        let mut tables = Tables::new(&mut memory);
        let root = tables.create(0, &mut pages).unwrap();
        let range = PAGE..(1 << 40) + PAGE;
        let all = [range.start, 1 << 39, range.end - PAGE];
        for page in all {
            tables
                .map(root, page, entry(0x9000, RW), &mut pages)
                .unwrap();
        }
        let before = pages.out.len();
        pages.limit = before + limit;
        let failed = tables.detach(root, range.clone(), &mut pages);
        assert_eq!(failed, Err(NoTable));
        assert_eq!(pages.out.len(), before);
        assert_eq!(tables.count(root), before as u64);
        for page in all {
            assert!(tables.entry(root, page).is_some());
        }
        assert!(tables.free_aside(root, &mut pages));
    }
}

#[test]
fn a_large_page_is_detached_as_a_whole_with_its_spare() {
    let (mut memory, mut pages) = (Simulated::default(), Pages::new(100));
    let mut tables = Tables::new(&mut memory);
    let root = tables.create(0, &mut pages).unwrap();
    let page = entry(LARGE_PAGE, RW);
    for n in 1..4 {
        tables
            .map_splittable(root, n * LARGE_PAGE, page, &mut pages)
            .unwrap();
    }
    let range = 2 * LARGE_PAGE..3 * LARGE_PAGE + PAGE;
    tables.detach(root, range, &mut pages).unwrap();
    assert!(tables.entry(root, LARGE_PAGE).is_some());
    assert_eq!(tables.entry(root, 2 * LARGE_PAGE), None);
    assert_eq!(
        tables.entry(root, 4 * LARGE_PAGE - PAGE),
        None,
        "in part, but no page is kept in part"
    );
    while !tables.free_aside(root, &mut pages) {}
    assert_eq!(tables.large_pages(root), 1);
    assert_eq!(tables.count(root), pages.out.len() as u64);
    tables.unmap(root, LARGE_PAGE..LARGE_PAGE + PAGE);
    assert_eq!(tables.large_pages(root), 0);
    while !tables.destroy_step(root, &mut pages) {}
    assert!(pages.out.is_empty());
}

/// Fewer and shorter programs for Miri, which sees no file either.
fn programs() -> (ProptestConfig, usize) {
    match cfg!(miri) {
        true => {
            let config = ProptestConfig {
                failure_persistence: None,
                ..ProptestConfig::with_cases(4)
            };
            (config, 12)
        }
        false => (ProptestConfig::default(), 60),
    }
}

proptest! {
    #![proptest_config(programs().0)]

    /// Random mapping, unmapping and protecting gives what a map of pages to rights gives.
    #[test]
    fn the_walk_agrees_with_a_map(steps in proptest::collection::vec((0..5u8, 0..64u64, 0..8u64, 0..8u32), 1..programs().1)) {
        let (mut memory, mut pages) = (Simulated::default(), Pages::new(1000));
        let mut tables = Tables::new(&mut memory);
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        // Pages that lie close together and far apart.
        let place = |n: u64| (n % 16) * PAGE + (n / 16) * (PAGE * 511 + (1 << 39) * (n / 32));
        for (step, at, length, rights) in steps {
            // Writable and executable at once is never asked for; any other right implies reading.
            let rights = if rights & 6 == 6 { 3 } else { rights };
            let start = place(at);
            let covered: Vec<u64> = (0..length).map(|n| start + n * PAGE).collect();
            match step {
                0 => if let Some(entry) = user_entry(start, rights, Caching::WriteBack) {
                    tables.map(0, start, entry, &mut pages).unwrap();
                    model.insert(start, rights | 1);
                },
                1 => {
                    tables.unmap(0, start..start + length * PAGE);
                    for page in covered {
                        model.remove(&page);
                    }
                }
                2 => if let Some(entry) = user_entry(start / LARGE_PAGE * LARGE_PAGE, rights, Caching::WriteBack) {
                    let first = start / LARGE_PAGE * LARGE_PAGE;
                    tables.map_splittable(0, first, entry, &mut pages).unwrap();
                    for n in (0..80).filter(|n| place(*n) / LARGE_PAGE == start / LARGE_PAGE) {
                        model.insert(place(n), rights | 1);
                    }
                },
                3 => {
                    // From there to a place far away, or close by.
                    let end = place((at + length * length).min(64)).max(start + PAGE);
                    tables.detach(0, start..end, &mut pages).unwrap();
                    let near = end - start <= 50 << 20;
                    // A large page at either end goes as a whole.
                    let whole = start / LARGE_PAGE * LARGE_PAGE..end.next_multiple_of(LARGE_PAGE);
                    for page in model.keys().filter(|page| !whole.contains(page)) {
                        prop_assert!(!near || tables.entry(0, *page).is_some());
                    }
                    model.retain(|page, _| {
                        !(start..end).contains(page) && tables.entry(0, *page).is_some()
                    });
                }
                _ => {
                    tables.protect(0, start..start + length * PAGE, rights);
                    for page in covered {
                        if rights == 0 {
                            model.remove(&page);
                        } else if let Some(old) = model.get_mut(&page) {
                            *old &= rights | 1;
                        }
                    }
                }
            }
            for n in 0..80 {
                let expected = model.get(&place(n)).and_then(|rights| user_entry(place(n), *rights, Caching::WriteBack));
                prop_assert_eq!(small(&tables, place(n)), expected);
            }
        }
    }
}
