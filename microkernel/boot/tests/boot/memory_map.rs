//! The memory map.

use boot::Error;
use boot::memory_map::{FLOOR, Kind, MAX_REGIONS, MemoryMap, Order, PAGE, REACH, Region};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

const MIB: u64 = 1 << 20;

fn map(entries: &[(u64, u64, Kind)]) -> Result<MemoryMap, Error> {
    let mut map = MemoryMap::new();
    for &(start, length, kind) in entries {
        map.add(start, length, kind)?;
    }
    map.settle()?;
    Ok(map)
}

/// The invariants that the module promises.
fn check(map: &MemoryMap) {
    for pair in map.regions().windows(2) {
        let touching = pair[0].end == pair[1].start;
        assert!(
            pair[0].end <= pair[1].start && !(touching && pair[0].kind == pair[1].kind),
            "{pair:x?}"
        );
    }
    for region in map.regions() {
        assert!(region.start < region.end);
        if matches!(
            region.kind,
            Kind::Usable | Kind::Bootloader | Kind::Executable
        ) {
            assert!(
                region.start % PAGE == 0 && region.end % PAGE == 0,
                "{region:x?}"
            );
        }
    }
}

#[test]
fn overlapping_unsorted_entries_are_put_in_order() {
    let map = map(&[
        (MIB, 127 * MIB, Kind::Usable),
        (0, 0x9_fc00, Kind::Usable),
        (0x9_fc00, 0x400, Kind::Reserved),
        (100 * MIB + 5, 1, Kind::AcpiReclaimable),
        (100 * MIB, 2 * PAGE, Kind::AcpiNvs),
        (64 * MIB, 64 * MIB, Kind::Usable),
    ]);
    let region = |start, end, kind| Region { start, end, kind };
    assert_eq!(
        map.unwrap().regions(),
        [
            region(0, 0x9_f000, Kind::Usable),
            region(0x9_fc00, 0xa_0000, Kind::Reserved),
            region(MIB, 100 * MIB, Kind::Usable),
            region(100 * MIB, 100 * MIB + 2 * PAGE, Kind::AcpiNvs),
            region(100 * MIB + 2 * PAGE, 128 * MIB, Kind::Usable),
        ]
    );
}

#[test]
fn what_is_missing_or_too_much_is_said() {
    assert_eq!(map(&[]).unwrap_err(), Error::NoMemoryMap);
    assert_eq!(
        map(&[(MIB, 59 * MIB, Kind::Usable)]).unwrap_err(),
        Error::LittleMemory(59 * MIB)
    );
    assert!(map(&[(MIB, 60 * MIB, Kind::Usable)]).is_ok());
    let many = vec![(MIB, 64 * MIB, Kind::Usable); MAX_REGIONS + 1];
    assert_eq!(map(&many).unwrap_err(), Error::TooManyRegions);
}

#[test]
fn entries_that_wrap_end_where_the_direct_map_ends() {
    let map = map(&[
        (MIB, u64::MAX, Kind::Usable),
        (u64::MAX - 1, 5, Kind::Reserved),
    ])
    .unwrap();
    assert_eq!(
        map.regions(),
        [Region {
            start: MIB,
            end: 1 << 46,
            kind: Kind::Usable
        }]
    );
}

#[test]
fn allocations_come_from_the_top_of_reachable_memory_and_never_from_below_1_mib() {
    let mut map = map(&[
        (0, 64 * MIB, Kind::Usable),
        (3 << 30, 2 << 30, Kind::Usable),
    ])
    .unwrap();
    assert_eq!(map.allocate("x", 1, Kind::Bootloader), Ok(REACH - PAGE));
    assert_eq!(
        map.allocate("x", 5000, Kind::Executable),
        Ok(REACH - 3 * PAGE)
    );
    assert_eq!(
        map.allocate("x", (1 << 30) - 3 * PAGE, Kind::Executable),
        Ok(3 << 30)
    );
    assert_eq!(map.allocate("x", 63 * MIB, Kind::Executable), Ok(FLOOR));
    assert_eq!(
        map.allocate("x", 1, Kind::Executable),
        Err(Error::NoRoom("x", 1))
    );
    assert_eq!(
        map.allocate("x", u64::MAX, Kind::Executable),
        Err(Error::NoRoom("x", u64::MAX))
    );
    check(&map);
    assert!(map.is_usable(PAGE, FLOOR) && map.is_usable(REACH, 5 << 30));
}

#[test]
fn the_lowest_memory_is_taken_first_if_asked() {
    let mut map = map(&[
        (0, 0x9_fc00, Kind::Usable),
        (MIB, 2 * PAGE, Kind::Usable),
        (2 * MIB, 64 * MIB, Kind::Usable),
    ])
    .unwrap();
    map.order = Order::LowestFirst;
    assert_eq!(map.allocate("x", PAGE, Kind::Bootloader), Ok(MIB));
    assert_eq!(map.allocate("x", 5000, Kind::Bootloader), Ok(2 * MIB));
    assert_eq!(map.allocate("x", 1, Kind::Bootloader), Ok(MIB + PAGE));
    map.claim_low(Kind::Bootloader).unwrap();
    check(&map);
    assert!(
        map.regions()
            .iter()
            .all(|region| region.kind != Kind::Usable || region.start > FLOOR)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Random maps, claims and allocations keep the invariants, and nothing is given out twice.
    #[test]
    fn random_maps_keep_the_invariants(
        entries in prop::collection::vec((0_u64..200 * MIB, any::<u32>(), 0_u32..7), 0..40),
        wild in prop::collection::vec((any::<u64>(), any::<u64>(), 2_u32..7), 0..4),
        sizes in prop::collection::vec(0_u64..8 * MIB, 0..20),
    ) {
        let mut map = MemoryMap::new();
        map.add(0, 150 * MIB, Kind::Usable).unwrap();
        for (start, length, kind) in entries {
            map.add(start, u64::from(length % 0x80_0000), Kind::from_firmware(kind)).unwrap();
        }
        for (start, length, kind) in wild {
            map.add(start, length, Kind::from_firmware(kind)).unwrap();
        }
        if map.settle().is_err() {
            return Ok(());
        }
        check(&map);
        if sizes.len() % 2 == 0 {
            map.order = Order::LowestFirst;
        }
        let mut given: Vec<(u64, u64)> = Vec::new();
        for size in sizes {
            let before = map.usable();
            let Ok(start) = map.allocate("x", size, Kind::Bootloader) else { continue };
            check(&map);
            let end = start + size.max(1).next_multiple_of(PAGE);
            assert_eq!(before - map.usable(), end - start);
            assert!(start >= FLOOR && end <= REACH);
            assert!(given.iter().all(|(from, to)| end <= *from || *to <= start));
            given.push((start, end));
        }
    }
}
