//! What goes into the store comes out of it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeMap;

use libmach::pager::PAGE;
use pager::store::{NoPage, Store};
use proptest::prelude::*;

/// Pages of all kinds: zeros, one word, text, and bytes without any order.
fn page_of(kind: u8, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    match kind % 4 {
        0 => vec![0; PAGE],
        1 => seed.to_le_bytes().repeat(PAGE / 8),
        2 => (0..PAGE).map(|at| (at as u64 / 64 + seed) as u8).collect(),
        _ => (0..PAGE).map(|_| noise()).collect(),
    }
}

#[test]
fn pages_that_are_filled_take_nothing_and_noise_takes_a_page() {
    let mut store = Store::new();
    for (kind, most) in [(0, 0), (1, 0), (2, PAGE / 4), (3, PAGE)] {
        let before = store.bytes();
        store.keep(kind.into(), &page_of(kind, 77)).unwrap();
        assert!(store.bytes() - before <= most, "kind {kind}");
    }
    assert_eq!(
        store.bytes().max(PAGE),
        store.bytes(),
        "noise is not packed"
    );
    assert_eq!(store.len(), 4);
}

#[test]
fn what_is_no_page_is_refused() {
    let mut store = Store::new();
    for size in [0, 1, PAGE - 1, PAGE + 1] {
        assert_eq!(store.keep(0, &vec![1; size]), Err(NoPage));
    }
    assert!(store.is_empty());
    store.keep(0, &[1; PAGE]).unwrap();
    assert!(!store.take(0, &mut [0; 8]), "no room");
    assert!(!store.take(1, &mut [0; PAGE]), "not there");
    assert!(store.take(0, &mut [0; PAGE]));
}

proptest! {
    #[test]
    fn the_store_agrees_with_a_map(
        steps in prop::collection::vec((0_u8..4, 0_u64..20, 0_u8..4, any::<u64>()), 1..120),
    ) {
        let mut store = Store::new();
        let mut model: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for (what, number, kind, seed) in steps {
            match what {
                0 => {
                    store.forget(number);
                    model.remove(&number);
                }
                1 => {
                    let mut page = vec![0xa5; PAGE];
                    let found = store.take(number, &mut page);
                    let expected = model.remove(&number);
                    prop_assert_eq!(found, expected.is_some());
                    prop_assert_eq!(page, expected.unwrap_or(vec![0xa5; PAGE]));
                }
                _ => {
                    let page = page_of(kind, seed);
                    store.keep(number, &page).unwrap();
                    model.insert(number, page);
                }
            }
            prop_assert_eq!(store.len(), model.len());
        }
        for number in 0..20 {
            store.forget(number);
        }
        prop_assert_eq!((store.len(), store.bytes()), (0, 0));
    }
}
