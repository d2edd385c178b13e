//! Private copies of a pager's memory: what they show, whoever writes, and how they are made.

use abi::kern_return::KernReturn as K;
use abi::trap;
use abi::vm::{copy_strategy, map_flags};
use microkernel::machine::Access;

use crate::fixture::{Fixture, PAGE, RW, Told};

// covers: O-06
#[test]
fn a_pager_chooses_how_its_object_is_copied() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(1);
    for (strategy, answer) in [
        (copy_strategy::NONE, K::Success),
        (copy_strategy::CALL, K::NotSupported),
        (copy_strategy::DELAY, K::Success),
        (copy_strategy::TEMPORARY, K::Success),
        (copy_strategy::SYMMETRIC, K::InvalidArgument),
        (5, K::InvalidArgument),
        (u32::MAX, K::InvalidArgument),
    ] {
        assert_eq!(
            f.attributes_with(control, 0, strategy),
            answer,
            "{strategy}"
        );
    }
    f.unmap(at, 1);
    f.terminated();
}

// covers: V-09 O-06
#[test]
fn a_private_mapping_shows_the_moment_of_its_making() {
    for strategy in [copy_strategy::DELAY, copy_strategy::TEMPORARY] {
        let mut f = Fixture::new();
        let (shared, control) = f.ready(3);
        let set = f.attributes_with(control, 0, strategy);
        assert_eq!(set, K::Success);
        let client = f.client;
        assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
        f.sim.on(client).poke(shared, &[10]);
        let private = f
            .try_map((client, f.given), (0, 3), map_flags::COPY)
            .unwrap();
        assert_eq!(f.told(), None, "what is missing is not asked for yet");
        f.sim.on(client).poke(shared, &[20]);
        f.sim.on(client).poke(shared + PAGE, &[21]);
        // A page that is not there is asked for before it is written, and kept.
        assert_eq!(f.touch(client, shared + 2 * PAGE, Access::Write), None);
        assert_eq!(f.told(), Some(Told::Request { page: 2, access: 2 }));
        assert_eq!(f.supply(control, 2, &[3]).0, K::Success);
        f.sim.on(client).poke(shared + 2 * PAGE, &[22]);
        for (page, byte) in [10, 2, 3].into_iter().enumerate() {
            assert_eq!(f.load(client, private + page as u64 * PAGE), Some(byte));
        }
        assert_eq!(f.told(), None);
        f.unmap(private, 3);
        f.unmap(shared, 3);
        match strategy {
            copy_strategy::TEMPORARY => f.terminated(),
            _ => f.written_and_terminated(0),
        }
    }
}

// covers: V-09
#[test]
fn a_write_waits_for_no_one_however_many_copies_there_are() {
    const COPIES: usize = 70;
    let mut f = Fixture::new();
    let (shared, control) = f.ready(2);
    let client = f.client;
    assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
    let who = (client, f.given);
    let mut copies_of = |page| -> Vec<u64> {
        (0..COPIES)
            .map(|_| f.try_map(who, (page, 1), map_flags::COPY).unwrap())
            .collect()
    };
    let (first, second) = (copies_of(0), copies_of(1));
    // By an access, and by the kernel for a call.
    f.sim.on(client).poke(shared, &[20]);
    let source = f.sim.on(client).trap(trap::VM_ALLOCATE, &[0, PAGE, 1]);
    let source = source.unwrap();
    f.sim.on(client).poke(source, &[21]);
    assert_eq!(f.copy(source, PAGE, shared + PAGE), K::Success);
    assert_eq!(f.load(client, shared + PAGE), Some(21));
    for copy in 0..COPIES {
        assert_eq!(f.load(client, first[copy]), Some(1));
        assert_eq!(f.load(client, second[copy]), Some(2));
    }
    for private in first.into_iter().chain(second) {
        f.unmap(private, 1);
    }
    f.unmap(source, 1);
    f.unmap(shared, 2);
    f.written_and_terminated(0);
}

// covers: V-09 O-06
#[test]
fn a_copy_at_once_waits_for_all_its_pages() {
    let mut f = Fixture::new();
    let (shared, control) = f.ready(3);
    assert_eq!(
        f.attributes_with(control, 0, copy_strategy::NONE),
        K::Success
    );
    let client = f.client;
    f.start_map((client, f.given), (0, 3), (map_flags::COPY, RW));
    for page in 0..3 {
        assert_eq!(f.told(), Some(Told::Request { page, access: 1 }));
        assert_eq!(f.supply(control, page, &[page as u8 + 1]).0, K::Success);
        while !f.waits(client) && f.sim.cpu_of(client).is_none() {
            f.sim.turn();
        }
    }
    let private = f.finish().unwrap();
    for page in 0..3 {
        f.sim.on(client).poke(shared + page * PAGE, &[20]);
        assert_eq!(f.load(client, private + page * PAGE), Some(page as u8 + 1));
    }
    f.unmap(private, 3);
    f.unmap(shared, 3);
    f.written_and_terminated(0);
}

/// `vm_direct_write_cow`: a file is written with what a private mapping of it shows.
// covers: V-09
#[test]
fn a_private_mapping_is_written_to_the_memory_that_it_is_a_copy_of() {
    for written in [false, true] {
        let mut f = Fixture::new();
        let (shared, control) = f.ready(2);
        let client = f.client;
        assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
        let who = (client, f.given);
        let private = f.try_map(who, (0, 2), map_flags::COPY).unwrap();
        if written {
            f.sim.on(client).poke(private, &[9]);
        }
        // Onto itself, and across its pages.
        assert_eq!(f.copy(private, PAGE, shared), K::Success);
        let first = if written { 9 } else { 1 };
        assert_eq!(f.load(client, shared), Some(first));
        let half = PAGE / 2;
        assert_eq!(f.copy(private + half, PAGE, shared + half), K::Success);
        assert_eq!(f.copy(private + PAGE, half, shared), K::Success);
        let seen = [0, half, PAGE].map(|at| f.load(client, shared + at).unwrap());
        assert_eq!(seen, [2, 1, 2]);
        let kept = [0, half, PAGE].map(|at| f.load(client, private + at).unwrap());
        assert_eq!(kept, [first, 1, 2], "the copy is of its time");
        f.unmap(private, 2);
        f.unmap(shared, 2);
        f.written_and_terminated(0);
    }
}
