use super::*;
use proptest::prelude::*;
use std::vec::Vec;

/// Memory from address 0x1000 on.
struct Image(Vec<u8>);

impl Memory for Image {
    fn bytes(&mut self, address: u64, length: usize) -> Option<&[u8]> {
        let at = usize::try_from(address.checked_sub(0x1000)?).ok()?;
        self.0.get(at..at.checked_add(length)?)
    }
}

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = sum.wrapping_neg();
}

fn make_table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(u32::try_from(HEADER + body.len()).unwrap().to_le_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(body);
    seal(&mut bytes, 9);
    bytes
}

fn madt() -> Vec<u8> {
    let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
    body.extend(1u32.to_le_bytes());
    for (id, flags) in [(0u8, 1u8), (1, 1), (2, 2)] {
        body.extend([0, 8, id, id, flags, 0, 0, 0]);
    }
    body.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    body.extend([2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0]);
    body.extend([9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
    make_table(b"APIC", &body)
}

fn hpet() -> Vec<u8> {
    let mut body = [0; 20];
    body[8..16].copy_from_slice(&0xfed0_0000u64.to_le_bytes());
    make_table(b"HPET", &body)
}

fn fadt() -> Vec<u8> {
    let mut body = [0; 96];
    body[76 - HEADER..80 - HEADER].copy_from_slice(&0x608u32.to_le_bytes());
    body[113 - HEADER] = 1;
    make_table(b"FACP", &body)
}

/// An RSDP of this revision, its root table, and three tables.
fn image(revision: u8) -> Vec<u8> {
    let places = [0x1200u64, 0x1400, 0x1600];
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for place in places {
        short.extend(u32::try_from(place).unwrap().to_le_bytes());
        long.extend(place.to_le_bytes());
    }
    let mut image = std::vec![0; 0x800];
    let mut rsdp = [0; 36];
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[15] = revision;
    rsdp[16..20].copy_from_slice(&0x1080u32.to_le_bytes());
    rsdp[24..32].copy_from_slice(&0x1100u64.to_le_bytes());
    seal(&mut rsdp[..20], 8);
    seal(&mut rsdp, 32);
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &rsdp);
    // The short table knows only the first, so that a test sees which one was read.
    put(0x80, &make_table(b"RSDT", &short[..4]));
    put(0x100, &make_table(b"XSDT", &long));
    put(0x200, &madt());
    put(0x400, &hpet());
    put(0x600, &fadt());
    image
}

#[test]
fn everything_is_found() {
    let acpi = read(&mut Image(image(2)), 0x1000).unwrap();
    assert_eq!(acpi.local_apic, 0xfee0_0000);
    assert_eq!(acpi.cpus, [0, 1, 0x100]);
    let io_apic = IoApic {
        address: 0xfec0_0000,
        first_line: 0,
    };
    assert_eq!(acpi.io_apics, [io_apic]);
    let timer = Override {
        isa: 0,
        line: 2,
        active_low: false,
        level: false,
    };
    let power = Override {
        isa: 9,
        line: 9,
        active_low: true,
        level: true,
    };
    assert_eq!(acpi.overrides, [timer, power]);
    assert_eq!(acpi.hpet, Some(0xfed0_0000));
    assert_eq!(acpi.timer, Some((0x608, Width::Bits32)));
}

#[test]
fn the_first_revision_has_the_short_root_table() {
    let acpi = read(&mut Image(image(0)), 0x1000).unwrap();
    assert_eq!(acpi.cpus.len(), 3);
    assert_eq!(acpi.hpet, None);
}

#[test]
fn a_table_with_a_wrong_sum_is_left_out() {
    let mut bytes = image(2);
    bytes[0x210] ^= 1;
    let acpi = read(&mut Image(bytes), 0x1000).unwrap();
    assert!(acpi.cpus.is_empty());
    assert!(acpi.hpet.is_some());
    let mut bytes = image(2);
    bytes[9] ^= 1;
    assert_eq!(read(&mut Image(bytes), 0x1000), None);
}

#[test]
fn entries_of_length_zero_end_the_table() {
    let mut bytes = image(2);
    bytes[0x200 + 44 + 1] = 0;
    seal(&mut bytes[0x200..0x200 + madt().len()], 9);
    let acpi = read(&mut Image(bytes), 0x1000).unwrap();
    assert!(acpi.cpus.is_empty());
}

proptest! {
    /// No content makes the reader fail otherwise than with an answer.
    #[test]
    fn damage_does_no_harm(changes in proptest::collection::vec((0..0x800usize, any::<u8>()), 1..20)) {
        let mut bytes = image(2);
        for (at, value) in changes {
            bytes[at] = value;
        }
        // Sums are repaired, so that the damage is reached.
        seal(&mut bytes[..20], 8);
        seal(&mut bytes[..36], 32);
        for start in [0x80, 0x100, 0x200, 0x400, 0x600] {
            let length = u32_at(&bytes, start + 4).unwrap() as usize;
            if (HEADER..0x200).contains(&length) {
                seal(&mut bytes[start..start + length], 9);
            }
        }
        let _ = read(&mut Image(bytes), 0x1000);
    }
}
