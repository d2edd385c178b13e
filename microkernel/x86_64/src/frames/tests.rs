use super::*;
use crate::physical::Simulated;
use crate::quarantine::Quarantine;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::vec::Vec;

/// Where the table of blocks lies: far from all pages.
const TABLE: u64 = 1 << 40;

fn with(parts: &[Range<u64>]) -> (Frames, Simulated) {
    let (mut frames, mut memory, mut ranges) = (Frames::new(), Simulated::default(), Ranges::new());
    for part in parts {
        ranges.add(part.clone());
    }
    let end = parts.iter().map(|part| part.end).max().unwrap_or(0);
    frames.set_table(&mut memory, TABLE..TABLE + Blocks::bytes(end));
    frames.add(&ranges);
    (frames, memory)
}

fn with_one(part: Range<u64>) -> (Frames, Simulated) {
    with(core::slice::from_ref(&part))
}

fn some() -> (Frames, Simulated) {
    with(&[0..0x3000, 0x8000..0xa000])
}

fn all_small(frames: &mut Frames, memory: &mut Simulated) -> Vec<u64> {
    core::iter::from_fn(|| frames.allocate(memory, Use::Programs)).collect()
}

fn all_large(frames: &mut Frames, memory: &mut Simulated) -> Vec<u64> {
    core::iter::from_fn(|| frames.allocate_large(memory)).collect()
}

/// What programs write to pages that came free a moment ago.
const SCRIBBLE: u64 = 0x1000 | 1;

/// Gives all pages back as a CPU does that had them in quarantine, while others did not know that they are gone.
fn give_back(frames: &mut Frames, memory: &mut Simulated, pages: &[u64]) {
    for pages in pages.chunks(7) {
        let mut quarantine = Quarantine::<7>::new();
        for page in pages {
            quarantine.push(*page);
        }
        assert!(pages.len() < 7 || quarantine.is_full());
        for page in pages {
            memory.store(*page, SCRIBBLE);
        }
        while let Some(page) = quarantine.pop() {
            frames.free_page(memory, page);
        }
        assert!(quarantine.is_empty());
    }
}

fn give_large_back(frames: &mut Frames, memory: &mut Simulated, pages: &[u64]) {
    for page in pages {
        frames.free_large(memory, *page);
    }
}

#[test]
fn every_page_but_the_first_is_given_out_once_low_ones_first() {
    let (mut frames, mut memory) = some();
    assert_eq!(frames.free(), 4);
    let pages = all_small(&mut frames, &mut memory);
    assert_eq!(pages, [0x1000, 0x2000, 0x8000, 0x9000]);
    assert_eq!(frames.free(), 0);
}

#[test]
fn large_pages_lie_where_they_can_be_mapped_and_are_broken_up_last() {
    let (mut frames, mut memory) = with(&[
        LARGE_PAGE - 2 * PAGE..3 * LARGE_PAGE + PAGE,
        8 * LARGE_PAGE..9 * LARGE_PAGE,
        11 * LARGE_PAGE - PAGE..12 * LARGE_PAGE - PAGE,
    ]);
    let all = 4 * SMALL + 3;
    assert_eq!(frames.free(), all);
    let large = all_large(&mut frames, &mut memory);
    assert_eq!(large, [8, 2, 1].map(|n| n * LARGE_PAGE));
    assert_eq!(frames.free(), all - 3 * SMALL);
    give_large_back(&mut frames, &mut memory, &large[1..2]);
    assert_eq!(frames.allocate_large(&mut memory), Some(large[1]));
    give_large_back(&mut frames, &mut memory, &large[2..]);
    assert_eq!(frames.free(), all - 2 * SMALL);
    let small = all_small(&mut frames, &mut memory);
    assert_eq!(small.len() as u64, all - 2 * SMALL);
    assert_eq!(small[0], LARGE_PAGE - 2 * PAGE);
    assert!(small.ends_with(&[2 * LARGE_PAGE - 2 * PAGE, 2 * LARGE_PAGE - PAGE]));
    assert_eq!(small.iter().collect::<BTreeSet<_>>().len(), small.len());
    assert_eq!(frames.free(), 0);
    assert_eq!(frames.allocate_large(&mut memory), None);
}

#[test]
fn pages_come_back_through_the_quarantine() {
    let (mut frames, mut memory) = some();
    let pages = all_small(&mut frames, &mut memory);
    give_back(&mut frames, &mut memory, &pages[..3]);
    frames.free_page(&mut memory, pages[3]);
    assert_eq!(frames.free(), 4);
    let again: BTreeSet<_> = all_small(&mut frames, &mut memory).into_iter().collect();
    assert_eq!(again, pages.into_iter().collect());
    assert_eq!(frames.allocate(&mut memory, Use::Programs), None);
}

#[test]
fn who_gives_all_pages_back_leaves_as_many_large_ones_as_there_were() {
    let (mut frames, mut memory) = with_one(0x5000..7 * LARGE_PAGE + 3 * PAGE);
    let large = all_large(&mut frames, &mut memory);
    assert_eq!(large.len(), 6);
    give_large_back(&mut frames, &mut memory, &large);
    for factor in [1, 5, 55] {
        let mut pages = all_small(&mut frames, &mut memory);
        assert_eq!((pages.len() as u64, frames.free()), (7 * SMALL - 2, 0));
        // Block by block, then in orders that have all blocks open at once.
        pages.sort_by_key(|page| page / PAGE * factor % 1023);
        let (last, others) = pages.split_last().unwrap();
        give_back(&mut frames, &mut memory, others);
        let before = all_large(&mut frames, &mut memory);
        assert_eq!(
            before.len(),
            6 - usize::from(large.contains(&block_of(*last)))
        );
        give_large_back(&mut frames, &mut memory, &before);
        frames.free_page(&mut memory, *last);
        let mut again = all_large(&mut frames, &mut memory);
        again.sort_by_key(|page| core::cmp::Reverse(*page));
        assert_eq!(again, large);
        give_large_back(&mut frames, &mut memory, &large);
    }
}

#[test]
fn a_block_that_pages_are_being_taken_from_is_large_when_all_others_are_back() {
    let (mut frames, mut memory) = with_one(LARGE_PAGE..3 * LARGE_PAGE);
    // Never used before: the pages that are left of it are still in their range.
    let first = frames.allocate(&mut memory, Use::Programs).unwrap();
    assert_eq!(all_large(&mut frames, &mut memory), [2 * LARGE_PAGE]);
    frames.free_page(&mut memory, first);
    assert_eq!(frames.allocate_large(&mut memory), Some(LARGE_PAGE));
    assert_eq!(frames.free(), 0);
    give_large_back(&mut frames, &mut memory, &[LARGE_PAGE, 2 * LARGE_PAGE]);
    // All pages were used; some of the block are next, the others came back since.
    let pages = all_small(&mut frames, &mut memory);
    let (lower, upper): (Vec<_>, Vec<_>) = pages.iter().partition(|page| **page < 2 * LARGE_PAGE);
    give_back(&mut frames, &mut memory, &lower[..100]);
    let next = frames.allocate(&mut memory, Use::Programs).unwrap();
    assert!(lower[..100].contains(&next));
    give_back(&mut frames, &mut memory, &lower[100..]);
    assert_eq!(frames.allocate_large(&mut memory), None);
    frames.free_page(&mut memory, next);
    assert_eq!(all_large(&mut frames, &mut memory), [LARGE_PAGE]);
    assert_eq!(frames.free(), 0);
    give_back(&mut frames, &mut memory, &upper);
    assert_eq!(all_large(&mut frames, &mut memory), [2 * LARGE_PAGE]);
    assert_eq!(frames.allocate(&mut memory, Use::Programs), None);
}

#[test]
fn pages_of_the_kernel_lie_together_and_are_not_lost() {
    let (mut frames, mut memory) = with_one(0x3000..6 * LARGE_PAGE);
    let (mut own, mut others) = (Vec::new(), Vec::new());
    while frames.free() > 700 {
        others.push(frames.allocate(&mut memory, Use::Programs).unwrap());
        if others.len().is_multiple_of(10) {
            own.push(frames.allocate(&mut memory, Use::Kernel).unwrap());
        }
    }
    let rest = all_small(&mut frames, &mut memory);
    assert_eq!((rest.len(), frames.free()), (700, 0));
    assert_eq!(frames.allocate(&mut memory, Use::Kernel), None);
    give_back(&mut frames, &mut memory, &others);
    give_back(&mut frames, &mut memory, &rest);
    // The lowest block is not whole.
    assert_eq!(all_large(&mut frames, &mut memory).len(), 4);
    let blocks: BTreeSet<_> = own.into_iter().map(block_of).collect();
    assert_eq!(blocks, [LARGE_PAGE].into());
}

/// Blocks of memory of the property below; page 0 and some at the end are not there.
const BLOCKS: u64 = 4;

proptest! {
    #[test]
    fn each_page_has_one_owner_and_whole_blocks_are_large(
        steps in prop::collection::vec((0..7_u32, 1..600_usize), 1..40),
    ) {
        let end = BLOCKS * LARGE_PAGE - 3 * PAGE;
        let (mut frames, mut memory) = with_one(0..end);
        let all = BLOCKS * SMALL - 4;
        let (mut small, mut large, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (what, count) in steps {
            let taken = count.min(small.len());
            match what {
                0 | 1 => small.extend((0..count).map_while(|_| frames.allocate(&mut memory, Use::Programs))),
                2 => {
                    let at = count % (small.len() - taken + 1);
                    let back: Vec<_> = small.drain(at..at + taken).collect();
                    give_back(&mut frames, &mut memory, &back);
                }
                5 => {
                    let taken = (count % 9).min(own.len());
                    let back = own.split_off(own.len() - taken);
                    give_back(&mut frames, &mut memory, &back);
                }
                3 => large.extend(frames.allocate_large(&mut memory)),
                4 => give_large_back(&mut frames, &mut memory, &large.pop().into_iter().collect::<Vec<_>>()),
                _ => own.extend((0..count % 9).map_while(|_| frames.allocate(&mut memory, Use::Kernel))),
            }
            let pages = large.iter().flat_map(|first| (0..SMALL).map(move |n| first + n * PAGE));
            let used: BTreeSet<u64> = pages.chain(small.iter().copied()).chain(own.iter().copied()).collect();
            prop_assert_eq!(used.len(), small.len() + large.len() * SMALL as usize + own.len());
            prop_assert_eq!(frames.free(), all - used.len() as u64);
            prop_assert!(used.iter().all(|page| (PAGE..end).contains(page)));
        }
        give_back(&mut frames, &mut memory, &small);
        give_large_back(&mut frames, &mut memory, &large);
        let mut broken: BTreeSet<_> = own.iter().copied().map(block_of).collect();
        broken.extend([0, block_of(end)]);
        prop_assert_eq!(all_large(&mut frames, &mut memory).len(), BLOCKS as usize - broken.len());
    }
}
