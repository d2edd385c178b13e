//! `vm_msync` and `vm_behavior_set` on memory that a pager supplies.

use abi::kern_return::KernReturn as K;
use abi::vm::{behavior, sync};
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
