//! Faults, ledgers, the kernel's own access.

use super::*;
use crate::vm::{FaultOutcome, Which};

fn fault(rig: &mut Rig, map: MapId, page: u64, access: Access) -> KernResult<FaultOutcome> {
    let outcome = rig.with(|vm, context| vm.fault(context, map, at(page), access));
    rig.verify();
    outcome
}

// covers: V-11
#[test]
fn what_is_wrong_is_reported_in_machs_order() {
    let mut rig = Rig::new();
    let account = rig.account(4);
    let map = rig.map_for(account);
    assert_eq!(
        fault(&mut rig, map, 0, Access::Read),
        Err(KernReturn::InvalidAddress)
    );
    rig.allocate(map, 0, 8);
    assert_eq!(
        fault(&mut rig, map, 0, Access::Execute),
        Err(KernReturn::ProtectionFailure)
    );
    // One page for the root; three tables and a page would be five.
    assert_eq!(
        fault(&mut rig, map, 0, Access::Write),
        Err(KernReturn::ResourceShortage)
    );
    rig.assert_empty();
}

// covers: V-11
#[test]
fn a_first_touch_gives_zeros_and_a_second_one_the_same_page() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 2);
    assert_eq!(
        fault(&mut rig, map, 0, Access::Read),
        Ok(FaultOutcome::ZeroFilled)
    );
    assert_eq!(
        fault(&mut rig, map, 0, Access::Write),
        Ok(FaultOutcome::Mapped)
    );
    assert_eq!(rig.load(map, 0), Ok(0));
    assert_eq!(rig.vm.census()[1], 1);
    rig.assert_empty();
}

#[test]
fn page_tables_are_paid_for() {
    let mut rig = Rig::new();
    let account = rig.account(20);
    let map = rig.map_for(account);
    let mut touched = 0;
    for far in 1..64u64 {
        let address = far << 39;
        let made =
            rig.with(|vm, context| allocate_now(vm, context, map, (address, 1), flags::FIXED));
        assert_eq!(made, Ok(address));
        let got = rig.with(|vm, context| vm.fault(context, map, address, Access::Write));
        rig.verify();
        match got {
            Ok(_) => touched += 1,
            Err(error) => assert_eq!(error, KernReturn::ResourceShortage),
        }
    }
    assert_eq!(
        touched, 4,
        "each takes a page and three tables; one is the root"
    );
    assert!(rig.ledgers.used(account, Resource::Pages) <= 20);
    rig.assert_empty();
}

#[test]
fn when_the_machine_is_full_nothing_is_lost() {
    let mut rig = Rig::with_pages(3);
    let map = rig.map();
    rig.allocate(map, 0, 5);
    for page in 0..3 {
        rig.store(map, page, 1 + page as u8).unwrap();
    }
    assert_eq!(
        fault(&mut rig, map, 3, Access::Write),
        Err(KernReturn::ResourceShortage)
    );
    rig.deallocate(map, 0, 1).unwrap();
    assert_eq!(rig.store(map, 3, 9), Ok(()));
    assert_eq!((rig.load(map, 1), rig.load(map, 2)), (Ok(2), Ok(3)));
    rig.assert_empty();
}

// covers: V-04
#[test]
fn the_kernel_reads_and_writes_across_pages_or_not_at_all() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 3);
    let text = [1, 2, 3, 4, 5, 6];
    let place = at(1) - 3;
    rig.with(|vm, context| vm.write_bytes(context, map, place, &text))
        .unwrap();
    let mut got = [0; 6];
    rig.with(|vm, context| vm.read_bytes(context, map, place, &mut got))
        .unwrap();
    assert_eq!(got, text);
    rig.verify();
    let last = at(3) - 3;
    let hole = rig.with(|vm, context| vm.write_bytes(context, map, last, &text));
    assert_eq!(hole, Err(KernReturn::InvalidAddress));
    assert_eq!(rig.load_at(map, last), Ok(0), "nothing was written");
    let read = protection::READ;
    rig.finish(|vm, context| vm.protect(context, map, (at(1), 1), Which::Current, read))
        .unwrap();
    let denied = rig.with(|vm, context| vm.write_bytes(context, map, place, &text));
    assert_eq!(denied, Err(KernReturn::ProtectionFailure));
    let wraps = rig.with(|vm, context| vm.read_bytes(context, map, u64::MAX, &mut got));
    assert_eq!(wraps, Err(KernReturn::InvalidArgument));
    let nothing = rig.with(|vm, context| vm.read_bytes(context, map, 0, &mut []));
    assert_eq!(nothing, Ok(()));
    rig.assert_empty();
}

// covers: V-16
#[test]
fn an_unaligned_write_asks_for_permission_when_it_writes() {
    let mut rig = Rig::new();
    let (map, other) = (rig.map(), rig.map());
    for map in [map, other] {
        rig.allocate(map, 0, 4);
        for page in 0..4 {
            rig.store(map, page, 1).unwrap();
        }
    }
    let (text, place) = ([2; 16], at(1) - 8);
    let write = |rig: &mut Rig| rig.with(|vm, context| vm.write_bytes(context, map, place, &text));
    let copy = |rig: &mut Rig| {
        let (from, to) = ((other, at(1) - 4), (map, place));
        rig.with(|vm, context| vm.copy_bytes(context, from, to, (16, 0)))
    };
    // Both pages are there, writable and mapped; then one of them loses the right, by what another thread does.
    write(&mut rig).unwrap();
    let child = rig.fork(map);
    for page in [0, 1] {
        let range = (at(page), pages(1));
        let mut protect = |rights| {
            rig.finish(|vm, context| vm.protect(context, map, range, Which::Current, rights))
                .unwrap();
        };
        protect(protection::READ);
        assert_eq!(write(&mut rig), Err(KernReturn::ProtectionFailure));
        assert_eq!(copy(&mut rig), Err(KernReturn::ProtectionFailure));
        for near in [place, at(1)] {
            assert_eq!(rig.load_at(map, near), Ok(2), "nothing was written");
        }
        let mut protect = |rights| {
            rig.finish(|vm, context| vm.protect(context, map, range, Which::Current, rights))
                .unwrap();
        };
        protect(RW);
    }
    // Another object comes to lie there: what was, the child's now, is not written.
    rig.deallocate(map, 1, 1).unwrap();
    assert_eq!(write(&mut rig), Err(KernReturn::InvalidAddress));
    rig.allocate(map, 1, 1);
    copy(&mut rig).unwrap();
    assert_eq!(rig.load_at(map, place + 4), Ok(1));
    assert_eq!((rig.load_at(map, place), rig.load(map, 1)), (Ok(0), Ok(0)));
    assert_eq!(
        (rig.load_at(child, place), rig.load(child, 1)),
        (Ok(2), Ok(2))
    );
    rig.verify();
    rig.assert_empty();
}

// covers: V-04
#[test]
fn bytes_go_from_task_to_task() {
    let mut rig = Rig::new();
    let (from, to) = (rig.map(), rig.map());
    rig.allocate(from, 0, 3);
    rig.allocate(to, 0, 3);
    let bytes: Vec<u8> = (0..8000).map(|n| n as u8).collect();
    rig.with(|vm, context| vm.write_bytes(context, from, at(0) + 100, &bytes))
        .unwrap();
    let (source, target) = ((from, at(0) + 100), (to, at(0) + 3000));
    rig.with(|vm, context| vm.copy_bytes(context, source, target, (bytes.len() as u64, 0)))
        .unwrap();
    let mut got = std::vec![0; bytes.len()];
    rig.with(|vm, context| vm.read_bytes(context, to, target.1, &mut got))
        .unwrap();
    assert_eq!(got, bytes);
    // Within one page too.
    let (source, target) = ((to, target.1), (to, target.1 - 500));
    rig.with(|vm, context| vm.copy_bytes(context, source, target, (400, 0)))
        .unwrap();
    rig.with(|vm, context| vm.read_bytes(context, to, target.1, &mut got[..400]))
        .unwrap();
    assert_eq!(got[..400], bytes[..400]);
    rig.verify();
    rig.assert_empty();
}

#[test]
fn a_futex_word_is_one_for_all_who_share_it() {
    let mut rig = Rig::new();
    let (a, b) = (rig.map(), rig.map());
    rig.allocate(a, 0, 2);
    let entry = rig.make_entry(a, (at(1), pages(1)), RW).unwrap();
    rig.do_map(b, rig.request(Source::Entry(entry, 0), 7, 1))
        .unwrap();
    rig.with(|vm, context| vm.write_bytes(context, a, at(1) + 8, &[5, 0, 0, 0]))
        .unwrap();
    let (key, value) = rig
        .with(|vm, context| vm.futex_word(context, b, at(7) + 8))
        .unwrap();
    assert_eq!((Ok(key), value), (rig.vm.futex_key(a, at(1) + 8), 5));
    assert_ne!(rig.vm.futex_key(a, at(1) + 12), Ok(key));
    rig.allocate(b, 0, 1);
    assert_ne!(
        rig.vm.futex_key(a, at(0)),
        rig.vm.futex_key(b, at(0)),
        "private memory"
    );
    assert_eq!(
        rig.vm.futex_key(a, at(0) + 2),
        Err(KernReturn::InvalidArgument)
    );
    assert_eq!(rig.vm.futex_key(a, at(9)), Err(KernReturn::InvalidAddress));
    rig.with(|vm, context| vm.release_memory_entry(context, entry));
    rig.assert_empty();
}

#[test]
fn a_private_futex_word_keeps_its_key_when_its_page_is_copied() {
    let mut rig = Rig::new();
    let map = rig.map();
    rig.allocate(map, 0, 1);
    rig.store(map, 0, 1).unwrap();
    let (key, _) = rig
        .with(|vm, context| vm.futex_word(context, map, at(0)))
        .unwrap();
    let child = rig.fork(map);
    rig.store(map, 0, 2).unwrap();
    assert_eq!(rig.vm.futex_key(map, at(0)), Ok(key));
    assert_ne!(rig.vm.futex_key(child, at(0)), Ok(key));
    rig.assert_empty();
}
