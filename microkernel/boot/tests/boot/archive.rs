//! The boot archive.

use boot::Error;
use boot::archive::{FIRST_TASK, KERNEL, find};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::fixture::{seal, tar};

fn good() -> Vec<u8> {
    tar(&[
        ("other", b"x"),
        ("boot/bootstrap.img", &[7; 700]),
        ("./boot/kernel", b"kernel"),
    ])
}

#[test]
fn both_files_are_found_wherever_they_are() {
    let contents = find(&good()).unwrap();
    assert_eq!(contents.first_task, (3 * 512, 700));
    assert_eq!(contents.kernel, (6 * 512, 6));
}

#[test]
fn the_later_file_of_a_name_counts() {
    let archive = tar(&[(KERNEL, b"old"), (FIRST_TASK, b"task"), (KERNEL, b"newer")]);
    assert_eq!(find(&archive).unwrap().kernel, (5 * 512, 5));
}

#[test]
fn a_missing_file_is_named() {
    assert_eq!(
        find(&tar(&[(FIRST_TASK, b"")])),
        Err(Error::NotInArchive(KERNEL))
    );
    assert_eq!(
        find(&tar(&[(KERNEL, b"")])),
        Err(Error::NotInArchive(FIRST_TASK))
    );
}

#[test]
fn every_cut_is_an_error() {
    let archive = good();
    // Of the 1024 zero bytes at the end, none may be missing.
    for length in 0..archive.len() {
        assert!(
            matches!(find(&archive[..length]), Err(Error::Archive(_))),
            "cut to {length}"
        );
    }
}

#[test]
fn a_size_beyond_the_end_is_an_error() {
    for size in [
        b"00000100000\0",
        b"77777777777\0",
        b"xxxxxxxxxxx\0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut archive = good();
        archive[124..136].copy_from_slice(size);
        seal(&mut archive);
        assert!(matches!(find(&archive), Err(Error::Archive(_))), "{size:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A header that was changed and given its right checksum never panics, and what is found lies in the archive.
    #[test]
    fn changed_archives_do_not_panic(changes in prop::collection::vec((0_usize..3584, any::<u8>()), 1..8)) {
        let mut archive = good();
        for (at, byte) in changes {
            archive[at] = byte;
        }
        for header in [0, 1024, 2560] {
            seal(&mut archive[header..]);
        }
        if let Ok(contents) = find(&archive) {
            for (offset, size) in [contents.kernel, contents.first_task] {
                assert!(offset + size <= archive.len() as u64);
            }
        }
    }
}
