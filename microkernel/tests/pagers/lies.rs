//! Pagers that lie: nothing breaks, and nobody gets what is not his.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use interfaces::memory_object::MemoryControl;
use sim::{Request, Rng};

use crate::fixture::{Fixture, PAGE, Told, code};

// covers: O-02
#[test]
fn a_supply_that_cannot_be_is_refused() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    assert_eq!(f.load(f.client, at), None);
    assert!(matches!(f.told(), Some(Told::Request { .. })));
    for offset in [1, PAGE - 1, u64::MAX, u64::MAX - PAGE + 1] {
        let supplied = f.supply_at(control, offset, &[1], (0, 0)).0;
        assert_eq!(supplied, K::InvalidArgument, "at {offset:#x}");
    }
    assert_eq!(f.supply_at(control, 0, &[1], (8, 0)).0, K::InvalidArgument);
    assert_eq!(f.supply_at(control, 0, &[1], (0, 2)).0, K::InvalidArgument);
    assert_eq!(
        f.supply_at(control, 0, &[0; 65], (0, 0)).0,
        K::InvalidArgument
    );
    let id = <dyn MemoryControl>::DATA_SUPPLY.id;
    let bare = f.call(control, Request::call(control).id(id));
    assert_eq!(code(&bare), K::MigTypeError, "no memory");
    assert!(f.waits(f.client), "nothing of that was an answer");
    // Where nobody looks is no error: the pager pays for it.
    assert_eq!(f.supply(control, 1 << 40, &[1]).0, K::Success);
    assert_eq!(f.supply(control, 0, &[4, 5]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(4));
    f.unmap(at, 4);
    f.terminated();
}

// covers: O-02
#[test]
fn a_pager_that_cannot_pay_fails_its_clients_alone() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(1024);
    assert_eq!(f.start_wake(at), None);
    assert!(matches!(f.told(), Some(Told::Request { .. })));
    // All the pages that its ledger has, kept elsewhere.
    let mut page = 8;
    loop {
        let (code, result, stopped) = f.supply(control, page, &[0; 8]);
        if (code, result) != (K::Success, K::Success) {
            assert_eq!((code, result), (K::Success, K::ResourceShortage));
            assert!(stopped >= page);
            break;
        }
        page += 8;
        if page > 230 {
            break;
        }
    }
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 0, 1), K::Success);
    assert_eq!(f.finish(), Err(K::MemoryError));
    f.unmap(at, 1024);
    f.terminated();
}

/// Any message to a control port, from anybody.
#[test]
fn random_words_to_a_control_port_break_nothing() {
    for seed in 1..=8 {
        let mut rng = Rng::new(seed);
        let mut f = Fixture::new();
        let (at, control) = f.ready(16);
        let threads: Vec<_> = (0..3).map(|_| f.sim.add_thread(f.client)).collect();
        for step in 0..200 {
            if !f.alive(f.client) {
                // An error that the pager answered was an exception: the object has ended with the task.
                break;
            }
            let mut pick = |list: &[u64]| rng.pick(list);
            let offsets = [0, 1, PAGE, 3 * PAGE, 1 << 63, u64::MAX, u64::MAX - 4095];
            let sizes = [0, 1, PAGE, 16 * PAGE, 1 << 62, u64::MAX, u64::MAX - 4095];
            let words = [
                pick(&offsets),
                pick(&sizes),
                pick(&sizes),
                pick(&[0, 1, 2, 7, 8]),
                1,
                2,
            ];
            let id = <dyn MemoryControl>::SET_ATTRIBUTES.id + (step % 9) - 1;
            if id != <dyn MemoryControl>::DESTROY.id {
                f.call(control, Request::call(control).id(id).words(words));
            }
            let thread = threads[step as usize % threads.len()];
            if !f.waits(thread) && f.alive(thread) {
                f.load(thread, at + (step as u64 % 16) * PAGE);
            }
            if step % 5 == 0 && f.alive(f.client) {
                f.supply(control, step as u64 % 16, &[step as u8]);
            }
            while f.told().is_some() {}
        }
    }
}

#[test]
fn who_has_no_control_port_controls_nothing() {
    let mut f = Fixture::new();
    let at = f.map(1);
    let Some(Told::Init { control, name }) = f.told() else {
        panic!("no init");
    };
    assert_eq!(f.attributes(name, 0), K::MigBadId);
    assert_eq!(f.attributes(control, 0), K::Success);
    assert_eq!(f.supply(name, 0, &[1]).0, K::MigBadId);
    // Once the object has ended, its control port is a port like any other.
    f.unmap(at, 1);
    let Some(Told::Terminate { control, name }) = f.told() else {
        panic!("no terminate");
    };
    let own = Request::send(control).disposed(disposition::MAKE_SEND);
    let sent = f.sim.on(f.pager).message(&own);
    assert_eq!(sent.code, abi::kern_return::MessageReturn::Success);
    assert_ne!(control, Name::NULL);
    f.bury([control, name]);
    f.at_baseline();
}
