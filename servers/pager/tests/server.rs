//! The store, as the kernel uses it.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use interfaces::default_pager::{DefaultPager, Statistics};
use libmach::KernReturn;
use libmach::abi::transport::poll_once;
use libmach::pager::{Content, PAGE};
use pager::server::{CAPACITY, Shared, Teller};

fn told(shared: &Shared) -> [u64; 3] {
    let teller = Teller(shared.clone());
    let Statistics {
        capacity,
        pages,
        kept,
        supplied,
        ..
    } = poll_once(teller.statistics()).unwrap().unwrap();
    assert_eq!(capacity, CAPACITY);
    [pages, kept, supplied]
}

/// The page at `number` is asked for; the byte that it is full of.
fn ask(shared: &mut Shared, number: u64) -> Result<u8, KernReturn> {
    let mut page = [0; PAGE];
    let filled = poll_once(shared.fill(number * PAGE as u64, &mut page)).unwrap();
    assert!(page.iter().all(|byte| *byte == page[0]));
    filled.map(|()| page[0]).map_err(|error| error.code())
}

#[test]
fn what_comes_back_is_there_until_it_is_asked_for_or_forgotten() {
    let mut shared = Shared::default();
    let pages: Vec<u8> = (1..=4).flat_map(|byte| [byte; PAGE]).collect();
    poll_once(shared.keep(8 * PAGE as u64, &pages)).unwrap();
    assert_eq!(told(&shared), [4, 4, 0]);
    assert_eq!(ask(&mut shared, 9), Ok(2));
    assert_eq!(told(&shared), [3, 4, 1]);
    // It was given away.
    assert_eq!(ask(&mut shared, 9), Err(KernReturn::MemoryError));
    shared.forget(10 * PAGE as u64, 5 * PAGE as u64);
    assert_eq!(told(&shared), [1, 4, 2]);
    assert_eq!(ask(&mut shared, 8), Ok(1));
    assert_eq!(told(&shared), [0, 4, 3]);
}
