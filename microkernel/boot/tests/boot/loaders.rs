//! What the loaders hand over: PVH start info and Multiboot2 information.

use boot::info::{BootInfo, Firmware, Rsdp};
use boot::memory_map::Kind;
use boot::{Error, multiboot2, pvh};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::fixture::{
    self, COMMAND_LINE, Content, MODULE_LIST, Ram, START_INFO, put_start_info, words,
};

const MIB: u64 = 1 << 20;
const REGIONS: [(u64, u64, u32); 3] = [(0, 0x9_fc00, 1), (MIB, 99 * MIB, 1), (100 * MIB, MIB, 3)];

fn started_by_pvh() -> Ram {
    let mut ram = fixture::ram(0x1_0000);
    put_start_info(&mut ram, &REGIONS, (8 * MIB, 12345));
    ram
}

fn expect(info: &BootInfo, rsdp: Rsdp, firmware: Firmware) {
    assert_eq!(info.module, (8 * MIB, 8 * MIB + 12345));
    assert_eq!(info.command_line.as_slice(), b"console=debug");
    assert_eq!((info.rsdp, info.firmware), (rsdp, firmware));
    let kinds: Vec<Kind> = info
        .memory
        .regions()
        .iter()
        .map(|region| region.kind)
        .collect();
    assert_eq!(kinds, [Kind::Usable, Kind::Usable, Kind::AcpiReclaimable]);
}

#[test]
fn a_start_info_is_read() {
    let info = pvh::parse(&started_by_pvh(), START_INFO).unwrap();
    expect(&info, Rsdp::At(0xf_5a00), Firmware::Bios);
}

#[test]
fn what_is_wrong_with_a_start_info_is_said() {
    let wrong = |at, bytes: &[u8]| {
        let mut ram = started_by_pvh();
        ram.put(START_INFO + at, bytes);
        pvh::parse(&ram, START_INFO).unwrap_err()
    };
    assert_eq!(wrong(0, &[0; 4]), Error::NotBootInfo(0));
    assert_eq!(wrong(4, &[0; 4]), Error::OldStartInfo(0));
    assert_eq!(wrong(12, &[0; 4]), Error::NoModule);
    assert_eq!(wrong(12, &[2, 0, 0, 0]), Error::SeveralModules(2));
    assert_eq!(wrong(16, &[0xff; 8]), Error::Truncated("module list"));
    assert_eq!(wrong(24, &[0xff; 8]), Error::Truncated("command line"));
    assert_eq!(wrong(40, &[0xff; 8]), Error::Truncated("memory map"));
    assert_eq!(wrong(48, &[0; 4]), Error::NoMemoryMap);
    assert_eq!(wrong(48, &[0xff; 4]), Error::TooManyRegions);
    assert_eq!(
        pvh::parse(&started_by_pvh(), 0xffff).unwrap_err(),
        Error::Truncated("start info")
    );
}

#[test]
fn a_module_that_wraps_ends_at_the_end() {
    let mut ram = started_by_pvh();
    ram.put(MODULE_LIST, &words(&[u64::MAX - 4, 100]));
    assert_eq!(
        pvh::parse(&ram, START_INFO).unwrap().module,
        (u64::MAX - 4, u64::MAX)
    );
}

#[test]
fn a_command_line_may_end_with_memory_but_not_be_endless() {
    let mut ram = started_by_pvh();
    ram.put(COMMAND_LINE, &[b'x'; 4096]);
    assert_eq!(
        pvh::parse(&ram, START_INFO).unwrap_err(),
        Error::LongCommandLine
    );
    ram.put(COMMAND_LINE + 4095, &[0]);
    assert_eq!(
        pvh::parse(&ram, START_INFO).unwrap().command_line.len(),
        4095
    );
    ram.put(START_INFO + 24, &words(&[0xfffe]));
    ram.put(0xfffe, b"x\0");
    assert_eq!(
        pvh::parse(&ram, START_INFO)
            .unwrap()
            .command_line
            .as_slice(),
        b"x"
    );
}

fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + body.len()).unwrap();
    let mut tag = [kind.to_le_bytes(), size.to_le_bytes()].concat();
    tag.extend(body);
    tag.resize(tag.len().next_multiple_of(8), 0);
    tag
}

fn memory_tag() -> Vec<u8> {
    let mut body = [24_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
    for (start, length, kind) in REGIONS {
        body.extend(words(&[start, length, u64::from(kind)]));
    }
    tag(6, &body)
}

fn module_tag() -> Vec<u8> {
    let start = u32::try_from(8 * MIB).unwrap();
    tag(
        3,
        &[
            &start.to_le_bytes()[..],
            &(start + 12345).to_le_bytes(),
            b"archive\0",
        ]
        .concat(),
    )
}

fn information(tags: &[Vec<u8>]) -> Ram {
    let tags = [tags.concat(), tag(0, &[])].concat();
    let mut bytes = words(&[8 + tags.len() as u64]);
    bytes.extend(tags);
    let mut ram = fixture::ram(0x3000);
    ram.put(0x1000, &bytes);
    ram
}

fn parse(tags: &[Vec<u8>]) -> Result<BootInfo, Error> {
    multiboot2::parse(&information(tags), 0x1000)
}

#[test]
fn multiboot2_information_is_read() {
    let new_rsdp = tag(15, &[b'R'; 36]);
    let tags = [
        tag(1, b"console=debug\0"),
        tag(99, b"unknown"),
        module_tag(),
        memory_tag(),
        new_rsdp.clone(),
        tag(14, &[b'r'; 20]),
        tag(12, &[0; 8]),
    ];
    expect(
        &parse(&tags).unwrap(),
        Rsdp::Copy([b'R'; 36], 36),
        Firmware::Uefi64,
    );
    let old = parse(&[module_tag(), memory_tag(), tag(14, &[b'r'; 20])])
        .unwrap()
        .rsdp;
    assert!(matches!(old, Rsdp::Copy(bytes, 20) if bytes.starts_with(&[b'r'; 20])));
}

#[test]
fn what_is_wrong_with_multiboot2_information_is_said() {
    assert_eq!(parse(&[memory_tag()]).unwrap_err(), Error::NoModule);
    assert_eq!(
        parse(&[memory_tag(), module_tag(), module_tag()]).unwrap_err(),
        Error::SeveralModules(2)
    );
    assert_eq!(parse(&[module_tag()]).unwrap_err(), Error::NoMemoryMap);
    assert_eq!(
        parse(&[tag(1, &[b'x'; 4096])]).unwrap_err(),
        Error::LongCommandLine
    );
    assert_eq!(
        parse(&[tag(6, &[0; 32])]).unwrap_err(),
        Error::Truncated("Multiboot2 information")
    );
    assert_eq!(
        parse(&[tag(3, &[0; 4])]).unwrap_err(),
        Error::Truncated("Multiboot2 information")
    );
    let mut ram = fixture::ram(0x3000);
    ram.put(0x1000, &words(&[1 << 30]));
    assert_eq!(
        multiboot2::parse(&ram, 0x1000).unwrap_err(),
        Error::NotBootInfo(1 << 30)
    );
}

#[test]
fn information_without_an_end_is_cut() {
    let good = information(&[module_tag(), memory_tag()]);
    let size = good.u64(0x1000);
    assert!(multiboot2::parse(&good, 0x1000).is_ok());
    for cut in 0..size {
        let mut ram = information(&[module_tag(), memory_tag()]);
        ram.put(0x1000, &words(&[cut]));
        assert!(multiboot2::parse(&ram, 0x1000).is_err(), "cut to {cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_start_info_does_not_panic(changes in prop::collection::vec((0_u64..0x180, any::<u8>()), 1..10)) {
        let mut ram = started_by_pvh();
        for (at, byte) in changes {
            ram.put(START_INFO + at, &[byte]);
        }
        drop(pvh::parse(&ram, START_INFO));
    }

    #[test]
    fn changed_information_does_not_panic(changes in prop::collection::vec((0_u64..0xc0, any::<u8>()), 1..10)) {
        let mut ram = information(&[tag(1, b"x\0"), module_tag(), memory_tag(), tag(15, &[1; 36])]);
        for (at, byte) in changes {
            ram.put(0x1000 + at, &[byte]);
        }
        drop(multiboot2::parse(&ram, 0x1000));
    }
}
