//! `vm_wire` of memory that a pager supplies.

use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::vm::{protection, returns};
use abi::{trap, vm::region};
use interfaces::memory_object::MemoryControl;
use interfaces::vm::Vm;
use sim::{Reply, Request};

use crate::fixture::{Fixture, PAGE, RW, Told, code};

const SAME: u32 = protection::NO_CHANGE;

impl Fixture {
    /// The client begins to wire; the answer, if it does not wait.
    fn start_wire(&mut self, at: u64, pages: u64, access: u32) -> Option<Reply> {
        let task = self.sim.on(self.client).trap(trap::TASK_SELF, &[]).unwrap();
        let request = Request::call(Name(task as u32)).id(<dyn Vm>::WIRE.id);
        let request = request.words([at, pages * PAGE, access.into(), 0, 0, 0]);
        let reply = self.sim.on(self.client).start_message(&request);
        self.check();
        reply
    }

    fn wired(&mut self) -> Reply {
        let reply = self.sim.on(self.client).finish_message();
        self.check();
        reply
    }

    /// Time passes until the pager is asked for a page to read.
    fn until_read(&mut self, page: u64) {
        let access = protection::READ;
        let asked = Some(Told::Request { page, access });
        let mut turns = 0..100;
        while self.told() != asked {
            assert!(turns.next().is_some(), "it is not asked for page {page}");
            self.sim.turn();
        }
    }

    /// How often the region at an address is wired, and how large it is.
    fn wires(&mut self, at: u64) -> (u64, u64) {
        let request = Request::call(self.given).id(<dyn Vm>::REGION.id);
        let words = [at, region::BASIC_INFO_64.into(), 9, 0, 0, 0];
        let reply = self.call_task(self.client, request.words(words));
        assert_eq!(code(&reply), K::Success);
        // Address, size, how many words follow, and those.
        let data = reply.body.unwrap().data;
        let word = |n: usize| u64::from_le_bytes(data[8 * n..][..8].try_into().unwrap());
        (word(3 + 8), word(1))
    }
}

// covers: V-12
#[test]
fn wiring_waits_for_each_page_and_keeps_it() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(3);
    assert!(f.start_wire(at, 3, RW).is_none(), "it waits");
    for page in 0..3 {
        let access = protection::WRITE;
        assert_eq!(f.told(), Some(Told::Request { page, access }));
        assert_eq!(f.told(), None, "one after the other");
        assert_eq!(f.supply(control, page, &[page as u8 + 1]).0, K::Success);
    }
    assert_eq!(code(&f.wired()), K::Success);
    assert_eq!(
        f.lock(control, (0, 3), (returns::NONE, 1, SAME)),
        K::Success
    );
    assert_eq!(f.load(f.client, at + 2 * PAGE), Some(3), "it stays");
    let unwired = f.start_wire(at, 3, 0).unwrap();
    assert_eq!(code(&unwired), K::Success);
    assert_eq!(
        f.lock(control, (0, 3), (returns::NONE, 1, SAME)),
        K::Success
    );
    assert_eq!(f.load(f.client, at + 2 * PAGE), None);
}

// covers: V-12
#[test]
fn when_the_pager_fails_nothing_stays_wired() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(3);
    assert!(f.start_wire(at, 3, protection::READ).is_none());
    assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
    f.until_read(2);
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 2, 1), K::Success);
    assert_eq!(code(&f.wired()), K::MemoryError);
    assert_eq!(f.wires(at), (0, 3 * PAGE));
    // So they go.
    assert_eq!(
        f.lock(control, (0, 3), (returns::NONE, 1, SAME)),
        K::Success
    );
    assert_eq!(f.load(f.client, at), None);
}

// covers: V-12 O-08
#[test]
fn a_pager_that_dies_lets_wiring_fail_and_what_is_wired_stays() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(3);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    let wired = f.start_wire(at, 1, RW).unwrap();
    assert_eq!(code(&wired), K::Success);
    assert!(f.start_wire(at, 3, RW).is_none());
    f.sim.end_task(f.pager);
    assert_eq!(code(&f.wired()), K::MemoryError);
    assert_eq!(f.wires(at), (1, PAGE));
    assert_eq!(f.load(f.client, at), Some(1));
}
