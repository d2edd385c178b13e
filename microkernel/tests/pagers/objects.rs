//! The life of a memory object: the first mapping, further ones, the last unmapping.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::disposition;
use abi::vm::copy_strategy;
use interfaces::memory_object::MemoryControl;
use microkernel::machine::Access;
use sim::Request;

use crate::fixture::{Fixture, PAGE, Told, code};

// covers: O-01 O-07
#[test]
fn the_first_mapping_tells_the_pager_and_the_last_unmapping_too() {
    let mut f = Fixture::new();
    let at = f.map(4);
    let control = match f.told() {
        Some(Told::Init { control, name }) => {
            assert_ne!(control, name);
            control
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(f.told(), None, "nothing is asked before it is needed");
    let task = f.sim.add_task();
    let given = f.sim.give(f.pager, f.object, disposition::MAKE_SEND, task);
    let second = f.try_map((task, given), (0, 4), 0).unwrap();
    assert_eq!(f.told(), None, "a second mapping is no second init");
    assert_eq!(f.attributes(control, 0), K::Success);
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[7]), (K::Success, K::Success, 1));
    assert_eq!(f.load(f.client, at), Some(7));
    assert_eq!(f.load(task, second), Some(7), "the same pages");
    assert_eq!(f.told(), None, "and nobody was asked again");
    f.unmap(at, 4);
    assert_eq!(f.told(), None);
    f.sim.end_task(task);
    match f.told() {
        Some(Told::Terminate { control, name }) => {
            // The rights to receive: who has none could not even look.
            for port in [control, name] {
                let found = f.sim.on(f.pager).poll(port).code;
                assert_eq!(found, MessageReturn::ReceiveTimedOut);
            }
            f.bury([control, name]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(f.told(), None);
    // The next one begins anew.
    let at = f.map(1);
    assert!(matches!(f.told(), Some(Told::Init { .. })));
    f.unmap(at, 1);
    f.terminated();
}

// covers: O-07
#[test]
fn a_pager_that_answers_the_end_of_its_object_too_late_is_refused() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let control = f.init();
    f.unmap(at, 2);
    // It does not know yet that it has the port itself: it would wait for its own answer.
    assert_eq!(f.attributes(control, 0), K::Terminated);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Terminated);
    let destroy = <dyn MemoryControl>::DESTROY.id;
    assert_eq!(f.refuse(control, destroy, 0, 1), K::Terminated);
    match f.told() {
        Some(Told::Terminate { control, name }) => {
            // Its own port now, as any other.
            let sent = Request::send(control).id(7);
            assert_eq!(
                f.sim.on(f.pager).message(&sent).code,
                MessageReturn::Success
            );
            assert_eq!(f.sim.on(f.pager).poll(control).id, 7);
            f.bury([control, name]);
        }
        other => panic!("{other:?}"),
    }
    f.at_baseline();
}

// covers: O-01
#[test]
fn nothing_is_asked_of_a_pager_that_is_not_ready() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let control = f.init();
    assert_eq!(f.load(f.client, at + 1), None);
    assert!(f.waits(f.client));
    assert_eq!(f.told(), None);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Failure, "not yet");
    assert_eq!(f.attributes(control, 0), K::Success);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[9]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(9));
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-01 O-07
#[test]
fn a_pager_that_is_not_ready_when_its_object_ends_is_asked_nothing() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let other = f.sim.add_thread(f.client);
    assert_eq!(f.load(other, at), None);
    assert!(f.waits(other));
    f.unmap(at, 2);
    while f.sim.deliver() {}
    assert!(!f.waits(other), "nobody will answer");
    assert!(matches!(f.told(), Some(Told::Init { .. })));
    assert!(matches!(f.told(), Some(Told::Terminate { .. })));
}

// covers: O-01
#[test]
fn what_was_given_up_before_it_was_ready_fails() {
    let mut f = Fixture::new();
    let at = f.map(1);
    let control = f.init();
    assert_eq!(f.start_wake(at), None);
    let destroy = <dyn MemoryControl>::DESTROY.id;
    assert_eq!(f.refuse(control, destroy, 0, 1), K::Success);
    assert_eq!(f.finish(), Err(K::MemoryError));
    assert_eq!(f.wake(at), Err(K::MemoryError));
    assert_eq!(f.attributes(control, 0), K::Terminated);
    f.unmap(at, 1);
    f.terminated();
}

// covers: O-01
#[test]
fn a_port_whose_object_was_given_up_begins_anew() {
    let mut f = Fixture::new();
    let (old, control) = f.ready(2);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    let destroy = <dyn MemoryControl>::DESTROY.id;
    assert_eq!(f.refuse(control, destroy, 0, 1), K::Success);
    assert_eq!(f.load(f.client, old), Some(1), "what is there stays");
    assert_eq!(f.wake(old + PAGE), Err(K::MemoryError));
    let (new, second) = f.ready(2);
    assert_ne!(second, control);
    assert_eq!(f.load(f.client, new), None, "its pages are its own");
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[3]).0, K::Terminated);
    assert_eq!(f.supply(second, 0, &[2]).0, K::Success);
    assert_eq!(f.load(f.client, new), Some(2));
    f.unmap(old, 2);
    match f.told() {
        Some(Told::Terminate {
            control: ended,
            name,
        }) => {
            assert_eq!(ended, control);
            f.bury([ended, name]);
        }
        other => panic!("{other:?}"),
    }
    f.unmap(new, 2);
    f.terminated();
}

// covers: O-01 O-06
#[test]
fn attributes_are_acknowledged_and_told() {
    let mut f = Fixture::new();
    let at = f.map(1);
    let control = f.init();
    let told = |f: &mut Fixture| {
        let ask = Request::call(control).id(<dyn MemoryControl>::ATTRIBUTES.id);
        let reply = f.call(control, ask);
        assert_eq!(code(&reply), K::Success);
        [1, 2, 3].map(|word| reply.words[word])
    };
    let (none, delay) = (copy_strategy::NONE, copy_strategy::DELAY);
    assert_eq!(told(&mut f)[0], 0, "not ready");
    // What is refused changes nothing.
    assert_eq!(f.attributes_with(control, 2, delay), K::InvalidArgument);
    let call = f.attributes_with(control, 1, copy_strategy::CALL);
    assert_eq!(call, K::NotSupported);
    assert_eq!(told(&mut f)[0], 0);
    assert_eq!(f.attributes_with(control, 1, none), K::Success);
    assert_eq!(told(&mut f), [1, 1, none.into()]);
    assert_eq!(f.attributes_with(control, 0, delay), K::Success);
    assert_eq!(told(&mut f), [1, 0, delay.into()]);
    f.unmap(at, 1);
    f.terminated();
}

// covers: O-06
#[test]
fn a_cached_object_keeps_its_pages_without_mappings() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let control = f.init();
    assert_eq!(f.attributes(control, 1), K::Success);
    assert_eq!(f.supply(control, 0, &[3, 4]), (K::Success, K::Success, 2));
    f.unmap(at, 2);
    assert_eq!(f.told(), None, "it stays");
    let at = f.map(2);
    assert_eq!(f.told(), None, "no second init");
    assert_eq!(f.load(f.client, at), Some(3));
    f.unmap(at, 2);
    assert_eq!(f.attributes(control, 0), K::Success);
    f.terminated();
}

// covers: O-06
#[test]
fn of_too_many_cached_objects_the_oldest_ends() {
    const MOST: usize = 64;
    let mut f = Fixture::new();
    let mut objects = Vec::new();
    for index in 0..=MOST {
        let object = f.sim.on(f.pager).port();
        let given = f
            .sim
            .give(f.pager, object, disposition::MAKE_SEND, f.client);
        (f.object, f.given) = (object, given);
        let at = f.map(1);
        let control = f.init();
        assert_eq!(f.attributes(control, 1), K::Success);
        assert_eq!(f.supply(control, 0, &[index as u8]).0, K::Success);
        if index == 1 {
            // Written, to be returned at the end.
            assert_eq!(f.touch(f.client, at, Access::Write), Some(1));
        }
        f.unmap(at, 1);
        objects.push((object, given));
    }
    (f.object, f.given) = objects[0];
    assert!(matches!(f.told(), Some(Told::Terminate { .. })));
    // The second one is used again, so that the third one is the oldest.
    (f.object, f.given) = objects[1];
    assert_eq!(f.told(), None);
    let at = f.map(1);
    f.unmap(at, 1);
    (f.object, f.given) = objects[0];
    let at = f.map(1);
    let control = f.init();
    assert_eq!(f.attributes(control, 1), K::Success);
    f.unmap(at, 1);
    (f.object, f.given) = objects[2];
    assert!(matches!(f.told(), Some(Told::Terminate { .. })));
    (f.object, f.given) = objects[1];
    assert_eq!(f.told(), None);
    f.sim.end_task(f.pager);
    f.check();
}

// covers: O-06
#[test]
fn who_maps_an_object_while_it_ends_keeps_it() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(64);
    for page in 0..40 {
        assert_eq!(f.supply(control, page * 2, &[page as u8]).0, K::Success);
        let address = at + page * 2 * PAGE;
        if page < 32 {
            assert!(f.touch(f.client, address, Access::Write).is_some());
        }
    }
    // It cannot be emptied at once: not all messages may wait at its port.
    f.unmap(at, 64);
    let at = f.map(64);
    let told = f.all_told();
    assert!(told.iter().all(|told| matches!(told, Told::Return { .. })));
    assert!(!told.is_empty() && told.len() < 32, "{}", told.len());
    // What came back is asked for again, the rest is there.
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[9]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(9));
    assert_eq!(f.load(f.client, at + 62 * PAGE), Some(31));
    f.unmap(at, 64);
    let told = f.all_told();
    assert!(matches!(told.last(), Some(Told::Terminate { .. })));
}

#[test]
fn a_port_that_is_no_memory_object_is_not_mapped() {
    let mut f = Fixture::new();
    let host = f.sim.on(f.client).trap(abi::trap::HOST_SELF, &[]).unwrap();
    let host = abi::names::Name(host as u32);
    let refused = f.try_map((f.client, host), (0, 1), 0);
    assert_eq!(refused, Err(K::InvalidRight));
    let odd = f.sim.on(f.client).trap(
        abi::trap::VM_MAP,
        &[f.given.0.into(), 0, 4096, 5, 1 | 1 << 16 | 1 << 20],
    );
    assert_eq!(odd, Err(K::InvalidArgument), "an offset inside a page");
}
