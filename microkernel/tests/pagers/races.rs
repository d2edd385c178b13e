//! `vm_copy` of bytes that lie across pages, while another thread changes what they go to.

use abi::kern_return::KernReturn as K;
use abi::names::Name;
use abi::trap;
use abi::vm::{inherit, map_flags, protection};
use interfaces::vm::Vm;
use microkernel::machine::FrameIndex;
use sim::Request;

use crate::fixture::{Fixture, PAGE, Told, code};

/// A copy of bytes that lie across two pages to memory that lies so, too; it waits for its second page while another thread
/// does something to the target. What came of it, and the target.
fn race(change: impl FnOnce(&mut Fixture, FrameIndex, u64)) -> (Fixture, K, u64) {
    let mut f = Fixture::new();
    let (from, control) = f.ready(2);
    let client = f.client;
    let other = f.sim.add_thread(client);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    let to = f.sim.on(client).trap(trap::VM_ALLOCATE, &[0, 2 * PAGE, 1]);
    let to = to.unwrap();
    f.sim.on(client).poke(to, &[7; 2 * PAGE as usize]);
    let task = f.sim.on(client).trap(trap::TASK_SELF, &[]).unwrap();
    let request = Request::call(Name(task as u32))
        .id(<dyn Vm>::COPY.id)
        .words([from + 100, PAGE, to + 50, 0, 0, 0]);
    assert!(f.sim.on(client).start_message(&request).is_none());
    let access = protection::READ;
    assert_eq!(f.told(), Some(Told::Request { page: 1, access }));
    change(&mut f, other, to);
    assert_eq!(f.supply(control, 1, &[2]).0, K::Success);
    let reply = f.sim.on(client).finish_message();
    f.check();
    (f, code(&reply), to)
}

/// Whether all bytes of a target are this one.
fn is_full_of(f: &mut Fixture, at: u64, byte: u8) -> bool {
    let bytes: [u8; 2 * PAGE as usize] = f.sim.on(f.client).peek(at);
    bytes == [byte; 2 * PAGE as usize]
}

#[test]
fn without_a_change_the_copy_is_made() {
    let (mut f, done, to) = race(|_, _, _| {});
    assert_eq!(done, K::Success);
    let bytes: [u8; PAGE as usize] = f.sim.on(f.client).peek(to + 50);
    assert_eq!((bytes[0], bytes[PAGE as usize - 1]), (1, 2));
}

/// `vm_unaligned_copy_protection_race`.
// covers: V-16
#[test]
fn a_right_that_goes_while_a_copy_waits_is_missed() {
    for page in 0..2 {
        let (mut f, done, to) = race(|f, other, to| {
            let arguments = [to + page * PAGE, PAGE, 0, protection::READ.into()];
            let taken = f.sim.on(other).trap(trap::VM_PROTECT, &arguments);
            taken.unwrap();
        });
        assert_eq!(done, K::ProtectionFailure);
        assert!(is_full_of(&mut f, to, 7), "nothing is written");
    }
}

/// `vm_unaligned_copy_switch_race`.
// covers: V-16
#[test]
fn memory_that_comes_to_lie_there_while_a_copy_waits_is_not_written_without_a_right() {
    let (mut f, done, to) = race(|f, other, to| {
        let read = u64::from(protection::READ);
        let word = map_flags::OVERWRITE
            | read << map_flags::CURRENT_SHIFT
            | read << map_flags::MAXIMUM_SHIFT
            | u64::from(inherit::COPY) << map_flags::INHERIT_SHIFT;
        let arguments = [f.given.0.into(), to, 2 * PAGE, 0, word];
        let mapped = f.sim.on(other).trap(trap::VM_MAP, &arguments);
        assert_eq!(mapped, Ok(to));
    });
    assert_eq!(done, K::ProtectionFailure);
    let page = |f: &mut Fixture, n| f.load(f.client, to + n * PAGE + 60);
    assert_eq!((page(&mut f, 0), page(&mut f, 1)), (Some(1), Some(2)));
}
