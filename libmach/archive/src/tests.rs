use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

use super::*;

fn seal(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// An archive of these files, as `xtask` lays it out.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (path, content) in files {
        let mut header = [0; 512];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        seal(&mut header);
        all.extend(header);
        all.extend(*content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

fn read(bytes: Vec<u8>) -> Result<Archive, Damage> {
    Archive::read(bytes)
}

const FILES: [(&str, &[u8]); 6] = [
    ("bin/tests", b"program"),
    ("bin/tests.manifest", b"t"),
    ("drivers/uart/manifest", b"m"),
    ("drivers/uart/program", b"p"),
    ("servers/deep/er/manifest", b"no unit"),
    ("servers/echo/manifest", &[7; 600]),
];

#[test]
fn files_are_found_and_units_listed() {
    let archive = read(tar(&FILES)).unwrap();
    assert_eq!(archive.paths().count(), 6);
    let file = archive.file("servers/echo/manifest").unwrap();
    assert_eq!(file.whole(600), Some([7; 600].to_vec()));
    assert_eq!(file.whole(599), None, "longer than the caller takes");
    assert!(archive.file("servers/echo").is_none());
    let units: Vec<_> = archive
        .units()
        .map(|unit| (unit.name, unit.program))
        .collect();
    let expected = [
        ("tests", "bin/tests"),
        ("uart", "drivers/uart/program"),
        ("echo", "servers/echo/program"),
    ];
    assert_eq!(units, expected.map(|(name, path)| (name, path.into())));
}

#[test]
fn a_file_ends_where_its_header_says() {
    let archive = read(tar(&FILES)).unwrap();
    let file = archive.file("bin/tests").unwrap();
    let mut bytes = [0; 4];
    assert!(file.read(3, &mut bytes));
    assert_eq!(&bytes, b"gram");
    assert!(!file.read(4, &mut bytes), "one byte beyond the file");
    assert!(!file.read(u64::MAX, &mut bytes));
    assert_eq!(&bytes, b"gram", "unchanged");
}

#[test]
fn damage_is_said_in_words() {
    let words = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = tar(&FILES);
        change(&mut bytes);
        format!("{}", read(bytes).unwrap_err())
    };
    assert!(words(&|b| b.truncate(700)).contains("beyond the archive's end"));
    assert!(words(&|b| b.truncate(b.len() - 1024)).contains("end mark"));
    assert!(words(&|b| b[1024] ^= 1).contains("byte 1024: a header's checksum"));
    assert!(words(&|b| b[257] = b'x').contains("no ustar header"));
    assert!(
        words(&|b| {
            b[124] = b'9';
            seal(&mut b[..512]);
        })
        .contains("octal")
    );
    assert!(
        words(&|b| {
            b[124..136].fill(b'7');
            seal(&mut b[..512]);
        })
        .contains("beyond")
    );
    assert!(
        words(&|b| {
            b[0] = 0xff;
            seal(&mut b[..512]);
        })
        .contains("UTF-8")
    );
    assert!(
        words(&|b| {
            b[345] = b'x';
            seal(&mut b[..512]);
        })
        .contains("prefix")
    );
    assert!(words(&|b| b.clear()).contains("end mark"));
}

#[test]
fn what_is_no_regular_file_is_skipped() {
    let mut bytes = tar(&FILES);
    bytes[156] = b'5';
    seal(&mut bytes[..512]);
    let archive = read(bytes).unwrap();
    assert!(archive.file("bin/tests").is_none());
    assert_eq!(archive.paths().count(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_archives_never_panic(
        changes in proptest::collection::vec((0_usize..6144, any::<u8>()), 1..8),
        sealed in any::<bool>(),
        end in 0_usize..7000,
    ) {
        let mut bytes = tar(&FILES);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if sealed {
            seal(&mut bytes[..512]);
        }
        bytes.truncate(end);
        if let Ok(archive) = read(bytes) {
            for path in archive.paths() {
                let file = archive.file(path).unwrap();
                prop_assert!(file.whole(usize::MAX).is_some(), "{path} lies in the archive");
            }
        }
    }
}
