//! The search for the kernel's requests.

use boot::Error;
use boot::requests::{Request, scan};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::fixture::words;

const TAG: [u64; 3] = [0xf956_2b2d_5c95_a6c8, 0x6a7b_3849_4453_6bdc, 3];
const START: [u64; 4] = [
    0xf6b8_f4b3_9de7_d1ae,
    0xfab9_1a69_40fc_b9cf,
    0x785c_6ed0_15d3_e316,
    0x181e_920a_7852_b9d9,
];
const END: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];

/// A request of revision 0 with what it asks.
pub(crate) fn request(kind: Request, body: &[u64]) -> Vec<u64> {
    [&kind.id()[..], &[0, 0], body].concat()
}

fn image(parts: &[&[u64]]) -> Vec<u8> {
    words(&parts.concat())
}

#[test]
fn requests_are_found_by_their_offsets() {
    let map = request(Request::MemoryMap, &[]);
    let stack = request(Request::StackSize, &[0x2_0000]);
    let found = scan(&image(&[&[1, 2], &TAG, &map, &[0], &stack])).unwrap();
    assert_eq!((found.base_revision_tag, found.base_revision), (16, 3));
    assert_eq!(found.at(Request::MemoryMap), Some(40));
    assert_eq!(found.at(Request::StackSize), Some(96));
    assert_eq!(found.at(Request::Rsdp), None);
    assert_eq!((found.stack_size, found.entry), (0x2_0000, None));
}

#[test]
fn the_ids_of_all_kinds_differ() {
    for (index, kind) in Request::ALL.iter().enumerate() {
        assert_eq!(*kind as usize, index);
        assert!(
            Request::ALL[..index]
                .iter()
                .all(|other| other.id() != kind.id())
        );
    }
}

#[test]
fn markers_bound_the_search() {
    let map = request(Request::MemoryMap, &[]);
    // The last start marker before the first end marker counts, and the tag lies behind it too.
    let hidden = image(&[
        &START, &TAG, &map, &START, &TAG, &map, &END, &map, &TAG, &START,
    ]);
    let found = scan(&hidden).unwrap();
    assert_eq!(found.base_revision_tag, 32 + 24 + 48 + 32);
    assert_eq!(found.at(Request::MemoryMap), Some(32 + 24 + 48 + 32 + 24));
    for outside in [&[&TAG[..], &START, &map][..], &[&START, &map, &END, &TAG]] {
        assert_eq!(scan(&image(outside)), Err(Error::NoBaseRevision));
    }
}

#[test]
fn what_cannot_be_given_is_refused() {
    let map = request(Request::MemoryMap, &[]);
    assert_eq!(scan(&image(&[&map])), Err(Error::NoBaseRevision));
    assert_eq!(scan(&image(&[&TAG[..2]])), Err(Error::NoBaseRevision));
    assert_eq!(
        scan(&image(&[&TAG[..2], &[2]])),
        Err(Error::OldBaseRevision(2))
    );
    assert_eq!(
        scan(&image(&[&TAG, &map, &map])),
        Err(Error::DoubleRequest("memory map"))
    );
    assert_eq!(
        scan(&image(&[&TAG, &map, &TAG])),
        Err(Error::DoubleRequest("base revision"))
    );
    let cut = request(Request::StackSize, &[]);
    assert_eq!(
        scan(&image(&[&TAG, &cut])),
        Err(Error::CutRequest("stack size"))
    );
    let mut five = request(Request::PagingMode, &[1, 1, 1]);
    assert!(
        scan(&image(&[&TAG, &five])).is_ok(),
        "revision 0 has no least mode"
    );
    five[4] = 1;
    assert_eq!(scan(&image(&[&TAG, &five])), Err(Error::PagingMode));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Pieces of requests and markers in any order and alignment never panic.
    #[test]
    fn random_images_do_not_panic(pieces in prop::collection::vec((0_usize..15, 0_usize..60), 0..12), junk in any::<u64>()) {
        let mut image = image(&[&TAG]);
        for (piece, length) in pieces {
            let mut bytes = match piece {
                0 => words(&START),
                1 => words(&END),
                2 => words(&TAG),
                kind => words(&request(Request::ALL[kind - 3], &[junk, junk])),
            };
            bytes.truncate(length);
            image.extend(bytes);
        }
        if let Ok(found) = scan(&image) {
            for kind in Request::ALL {
                assert!(found.at(kind).is_none_or(|at| at + 48 <= image.len()));
            }
        }
    }
}
