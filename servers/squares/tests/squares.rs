//! What the pages hold, and where they end.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use interfaces::squares::WORDS;
use libmach::KernReturn;
use libmach::abi::transport::poll_once;
use libmach::pager::{Content, PAGE};
use squares::Table;

#[test]
fn each_word_is_the_square_of_its_place() {
    for offset in [0, PAGE as u64, WORDS * 8 - PAGE as u64] {
        let mut page = [0; PAGE];
        assert_eq!(poll_once(Table.fill(offset, &mut page)), Some(Ok(())));
        for (index, word) in page.chunks_exact(8).enumerate() {
            let place = offset / 8 + index as u64;
            assert_eq!(word, (place * place).to_le_bytes());
        }
    }
}

#[test]
fn behind_the_end_there_is_no_page() {
    let mut page = [0; PAGE];
    for offset in [WORDS * 8, u64::MAX - 4095] {
        let refused = poll_once(Table.fill(offset, &mut page)).unwrap();
        assert_eq!(refused, Err(KernReturn::InvalidAddress.into()));
        assert_eq!(page, [0; PAGE]);
    }
}
