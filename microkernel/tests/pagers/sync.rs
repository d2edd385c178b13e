//! `vm_msync` and `vm_behavior_set` on memory that a pager supplies.

use abi::kern_return::KernReturn as K;
use abi::trap;
use abi::vm::{behavior, map_flags, protection, sync};
use interfaces::memory_object::MemoryControl;
use interfaces::vm::Vm;
use microkernel::machine::Access;
use sim::Request;

use crate::fixture::{Fixture, PAGE, Told, code};

fn msync(f: &mut Fixture, (address, size): (u64, u64), flags: u32) -> K {
    let request = Request::call(f.given).id(<dyn Vm>::MSYNC.id);
    let request = request.words([address, size, flags.into(), 0, 0, 0]);
    code(&f.call_task(f.client, request))
}

fn advise(f: &mut Fixture, (address, size): (u64, u64), behavior: u32) -> K {
    let request = Request::call(f.given).id(<dyn Vm>::BEHAVIOR_SET.id);
    let request = request.words([address, size, behavior.into(), 0, 0, 0]);
    code(&f.call_task(f.client, request))
}

/// Three pages, of which the middle one was written.
fn written(f: &mut Fixture) -> (u64, abi::names::Name) {
    let (at, control) = f.ready(4);
    assert_eq!(f.supply(control, 0, &[1, 2, 3]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(1));
    assert_eq!(f.touch(f.client, at + PAGE, Access::Write), Some(2));
    f.sim.on(f.client).poke(at + PAGE, &[0x22]);
    (at, control)
}

// covers: V-13
#[test]
fn msync_gives_the_pager_what_was_written() {
    for flags in [sync::SYNCHRONOUS, sync::ASYNCHRONOUS] {
        let mut f = Fixture::new();
        let (at, _) = written(&mut f);
        // A part that was not written, and one that ends inside the page.
        assert_eq!(msync(&mut f, (at + 2 * PAGE, PAGE), flags), K::Success);
        assert_eq!(f.told(), None);
        assert_eq!(msync(&mut f, (at, PAGE + 1), flags), K::Success);
        let told = Told::Return {
            page: 1,
            content: vec![0x22],
            dirty: true,
            kept: true,
        };
        assert_eq!(f.told(), Some(told));
        assert_eq!(msync(&mut f, (at, 4 * PAGE), flags), K::Success);
        assert_eq!(f.told(), None, "it is clean");
        assert_eq!(f.load(f.client, at + PAGE), Some(0x22));
        f.unmap(at, 4);
        f.terminated();
    }
}

// covers: V-13 V-15
#[test]
fn clean_pages_can_be_dropped_and_written_ones_stay() {
    for wish in [None, Some(behavior::DONT_NEED)] {
        let mut f = Fixture::new();
        let (at, control) = written(&mut f);
        let range = (at, 4 * PAGE);
        let dropped = match wish {
            None => msync(&mut f, range, sync::INVALIDATE),
            Some(wish) => advise(&mut f, range, wish),
        };
        assert_eq!(dropped, K::Success);
        assert_eq!(f.told(), None);
        assert_eq!(f.load(f.client, at + PAGE), Some(0x22));
        assert_eq!(f.load(f.client, at), None);
        assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
        assert_eq!(f.supply(control, 0, &[0x11]).0, K::Success);
        assert_eq!(f.load(f.client, at), Some(0x11));
        let both = sync::INVALIDATE | sync::SYNCHRONOUS;
        assert_eq!(msync(&mut f, range, both), K::Success);
        let told = Told::Return {
            page: 1,
            content: vec![0x22],
            dirty: true,
            kept: false,
        };
        assert_eq!(f.told(), Some(told));
        f.unmap(at, 4);
        f.terminated();
    }
}

// covers: V-13
#[test]
fn msync_goes_over_regions_and_holes_and_fails_with_the_pager() {
    let mut f = Fixture::new();
    let (at, _) = written(&mut f);
    let far = (at, 1 << 30);
    assert_eq!(msync(&mut f, far, sync::SYNCHRONOUS), K::Success);
    assert!(matches!(f.told(), Some(Told::Return { page: 1, .. })));
    let whole = sync::SYNCHRONOUS | sync::CONTIGUOUS;
    assert_eq!(msync(&mut f, far, whole), K::InvalidAddress);
    f.sim.end_task(f.pager);
    assert_eq!(msync(&mut f, (at, PAGE), sync::SYNCHRONOUS), K::MemoryError);
    assert_eq!(msync(&mut f, (at, PAGE), sync::INVALIDATE), K::Success);
    assert_eq!(
        f.load(f.client, at + PAGE),
        Some(0x22),
        "nothing is dropped"
    );
    assert_eq!(f.load(f.client, at), Some(1));
}

/// The pages that the pager is asked for, in order.
fn asked(f: &mut Fixture) -> Vec<u64> {
    let page = |told| match told {
        Told::Request { page, access: 1 } => page,
        other => panic!("no request to read but {other:?}"),
    };
    f.all_told().into_iter().map(page).collect()
}

// covers: V-15 O-03
#[test]
fn what_will_be_needed_is_asked_for_before_anybody_waits() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(8);
    assert_eq!(f.supply(control, 2, &[3]).0, K::Success);
    let wish = |f: &mut Fixture, pages| advise(f, (at, pages * PAGE), behavior::WILL_NEED);
    assert_eq!(wish(&mut f, 9), K::InvalidAddress);
    assert_eq!(asked(&mut f), []);
    assert_eq!(wish(&mut f, 5), K::Success, "it waits for nothing");
    assert_eq!(asked(&mut f), [0, 1, 3, 4], "all that is missing");
    assert_eq!(wish(&mut f, 5), K::Success);
    assert_eq!(asked(&mut f), [], "once");
    // What comes is there; who needs the rest before waits for it, and an error is for who waits alone.
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(1));
    assert_eq!(f.load(f.client, at + PAGE), None);
    assert_eq!(asked(&mut f), []);
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 3, 1), K::Success);
    assert_eq!(f.supply(control, 1, &[2]).0, K::Success);
    assert_eq!(f.load(f.client, at + PAGE), Some(2));
    assert_eq!(
        f.load(f.client, at + 3 * PAGE),
        None,
        "it is asked for anew"
    );
    assert_eq!(asked(&mut f), [3]);
    assert_eq!(f.supply(control, 3, &[4, 5]).0, K::Success);
    assert_eq!(f.load(f.client, at + 3 * PAGE), Some(4));
    assert_eq!(f.load(f.client, at + 4 * PAGE), Some(5));
    f.unmap(at, 8);
    f.terminated();
}

// covers: V-15
#[test]
fn looking_ahead_is_bounded_and_waits_for_a_pager_to_be_ready() {
    let mut f = Fixture::new();
    let at = f.map(4096);
    let range = (at, 4096 * PAGE);
    assert_eq!(advise(&mut f, range, behavior::WILL_NEED), K::Success);
    let control = f.init();
    assert_eq!(f.attributes(control, 0), K::Success);
    let first = asked(&mut f);
    assert_eq!(first, (0..32).collect::<Vec<u64>>());
    // A private copy shows the same pages, and what is asked for already counts.
    let who = (f.client, f.given);
    let copy = f.try_map(who, (16, 64), map_flags::COPY).unwrap();
    let range = (copy, 64 * PAGE);
    assert_eq!(advise(&mut f, range, behavior::WILL_NEED), K::Success);
    assert_eq!(asked(&mut f), (32..48).collect::<Vec<u64>>());
    f.sim.end_task(f.pager);
    assert_eq!(advise(&mut f, range, behavior::WILL_NEED), K::Success);
}

// covers: V-13
#[test]
fn pages_that_are_killed_lose_what_was_written() {
    let mut f = Fixture::new();
    let (at, control) = written(&mut f);
    let range = (at, 3 * PAGE);
    assert_eq!(msync(&mut f, range, sync::KILL_PAGES), K::Success);
    assert_eq!(f.told(), None, "nothing comes back");
    assert_eq!(f.load(f.client, at + PAGE), None);
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert_eq!(f.supply(control, 1, &[2]).0, K::Success);
    assert_eq!(f.load(f.client, at + PAGE), Some(2), "as its pager has it");
    // Who may not write the page may not undo what others wrote.
    assert_eq!(f.touch(f.client, at + PAGE, Access::Write), Some(2));
    let read = [at + PAGE, PAGE, 0, protection::READ.into()];
    f.sim.on(f.client).trap(trap::VM_PROTECT, &read).unwrap();
    let refused = msync(&mut f, range, sync::KILL_PAGES);
    assert_eq!(refused, K::ProtectionFailure);
    assert_eq!(f.load(f.client, at + PAGE), Some(2));
    f.unmap(at, 4);
    f.written_and_terminated(1);
}

// covers: V-13
#[test]
fn killed_memory_of_ones_own_is_zero() {
    let mut f = Fixture::new();
    let arguments = [0, 4 * PAGE, 1];
    let at = f.sim.on(f.client).trap(trap::VM_ALLOCATE, &arguments);
    let at = at.unwrap();
    for page in 0..4 {
        f.sim.on(f.client).poke(at + page * PAGE, &[page as u8 + 1]);
    }
    f.unmap(at + 2 * PAGE, 1);
    // The whole page, wherever in it the range begins.
    let part = (at + 1, PAGE - 1);
    assert_eq!(msync(&mut f, part, sync::KILL_PAGES), K::Success);
    assert_eq!(f.load(f.client, at), Some(0));
    assert_eq!(f.load(f.client, at + PAGE), Some(2));
    let whole = (at, 4 * PAGE);
    let contiguous = sync::KILL_PAGES | sync::CONTIGUOUS;
    assert_eq!(msync(&mut f, whole, contiguous), K::InvalidAddress);
    assert_eq!(msync(&mut f, whole, sync::DEACTIVATE), K::Success);
    assert_eq!(f.load(f.client, at + 3 * PAGE), Some(4), "it is there");
    assert_eq!(msync(&mut f, whole, sync::KILL_PAGES), K::Success);
    assert_eq!(f.load(f.client, at + 3 * PAGE), Some(0), "behind a hole");
    f.unmap(at, 4);
    f.at_baseline();
}
