//! Faults: what the pager is asked, and what its answers do.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::disposition;
use abi::trap;
use abi::vm::map_flags;
use interfaces::memory_object::MemoryControl;
use interfaces::thread::Thread;
use microkernel::machine::Access;
use sim::{Config, Request};

use crate::fixture::{Fixture, PAGE, Told, moving};

// covers: O-02
#[test]
fn a_fault_asks_for_its_page_and_access() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(8);
    assert_eq!(f.touch(f.client, at + 3 * PAGE + 5, Access::Write), None);
    assert_eq!(f.told(), Some(Told::Request { page: 3, access: 2 }));
    assert_eq!(f.supply(control, 3, &[0x33]).0, K::Success);
    assert_eq!(
        f.touch(f.client, at + 3 * PAGE + 5, Access::Write),
        Some(0x33)
    );
    let present = f.supply(control, 2, &[1, 2, 3]);
    assert_eq!(present, (K::Success, K::MemoryPresent, 3));
    assert_eq!(f.load(f.client, at + 2 * PAGE), Some(1), "unasked for");
    assert_eq!(f.load(f.client, at + 3 * PAGE), Some(0x33), "not replaced");
    f.unmap(at, 8);
    f.written_and_terminated(3);
}

// covers: O-02 V-11
#[test]
fn a_pager_may_have_nothing_or_fail() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    let unavailable = <dyn MemoryControl>::DATA_UNAVAILABLE.id;
    assert_eq!(f.refuse(control, unavailable, 0, 4), K::Success);
    assert_eq!(f.load(f.client, at), Some(0));
    assert_eq!(
        f.start_wake(at + PAGE),
        None,
        "only what was asked for is zero"
    );
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 0, 4), K::Success);
    assert_eq!(f.finish(), Err(K::MemoryError));
    // The page is asked for again the next time.
    assert_eq!(f.load(f.client, at + PAGE), None);
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    let threads = f.sim.kernel.census().threads;
    assert_eq!(f.refuse(control, error, 1, 1), K::Success);
    assert_eq!(f.load(f.client, at + PAGE), None);
    while f.sim.deliver() {}
    assert_eq!(f.sim.kernel.census().threads, threads - 1, "an exception");
}

// covers: O-03
#[test]
fn many_threads_that_need_a_page_ask_once() {
    for cpus in 1..=4 {
        for seed in 1..=4 {
            let mut f = Fixture::with(Config {
                seed,
                ..Config::with_cpus(cpus)
            });
            let (at, control) = f.ready(4);
            let mut threads = vec![f.client];
            for _ in 0..5 {
                threads.push(f.sim.add_thread(f.client));
            }
            for thread in &threads {
                assert_eq!(f.load(*thread, at + PAGE), None);
            }
            assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
            assert_eq!(f.told(), None, "once");
            assert_eq!(f.supply(control, 1, &[5]).0, K::Success);
            for thread in &threads {
                assert_eq!(f.load(*thread, at + PAGE), Some(5));
            }
            assert_eq!(f.told(), None);
        }
    }
}

// covers: O-03
#[test]
fn tasks_that_need_a_page_ask_once_and_who_asked_may_leave() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let others = [(); 2].map(|()| {
        let task = f.sim.add_task();
        let given = f.sim.give(f.pager, f.object, disposition::MAKE_SEND, task);
        (task, f.try_map((task, given), (0, 4), 0).unwrap())
    });
    assert_eq!(f.load(f.client, at + PAGE), None);
    for (task, at) in others {
        assert_eq!(f.load(task, at + PAGE), None);
    }
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert_eq!(f.told(), None, "once");
    // The question was the first task's, which pays for it.
    f.sim.end_task(f.client);
    f.check();
    assert!(others.iter().all(|(task, _)| f.waits(*task)));
    assert_eq!(f.supply(control, 1, &[6]).0, K::Success);
    for (task, at) in others {
        assert_eq!(f.load(task, at + PAGE), Some(6));
    }
    assert_eq!(f.told(), None, "nobody asked again");
    for (task, _) in others {
        f.sim.end_task(task);
    }
    assert!(matches!(f.told(), Some(Told::Terminate { .. })));
}

// covers: O-03
#[test]
fn a_pager_answers_in_any_order() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let (client, second) = (f.client, f.sim.add_thread(f.client));
    assert_eq!(f.load(client, at), None);
    assert_eq!(f.load(second, at + 3 * PAGE), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.told(), Some(Told::Request { page: 3, access: 1 }));
    assert_eq!(f.supply(control, 3, &[4]).0, K::Success);
    assert_eq!(f.load(second, at + 3 * PAGE), Some(4));
    assert!(f.waits(client));
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    assert_eq!(f.load(client, at), Some(1));
    assert_eq!(f.told(), None);
}

/// More threads than one step wakes.
const MANY: usize = 100;

// covers: O-03
#[test]
fn very_many_that_wait_for_a_page_go_on_in_steps_when_it_comes() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let add = |_| f.sim.add_thread_without_buffer(f.client);
    let threads: Vec<_> = (0..MANY).map(add).collect();
    for thread in &threads {
        assert_eq!(f.load(*thread, at), None);
    }
    let (other, pauses) = (f.client, f.sim.pauses);
    assert_eq!(f.load(other, at + PAGE), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert_eq!(f.supply(control, 0, &[4]).0, K::Success);
    assert!(f.sim.pauses > pauses, "in one step");
    assert!(!threads.iter().any(|thread| f.waits(*thread)) && f.waits(other));
    for thread in threads {
        assert_eq!(f.load(thread, at), Some(4));
    }
    assert_eq!(f.told(), None);
    f.check_all();
}

// covers: O-03
#[test]
fn very_many_that_wait_for_a_page_fail_in_steps_when_it_cannot_be_had() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let add = |_| f.sim.add_thread_without_buffer(f.client);
    let threads: Vec<_> = (0..MANY).map(add).collect();
    for thread in &threads {
        let waits = f.sim.on(*thread).start(trap::FUTEX_WAKE, &[at, 1]);
        assert_eq!(waits, None);
    }
    let pauses = f.sim.pauses;
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 0, 1), K::Success);
    assert!(f.sim.pauses > pauses, "in one step");
    for thread in threads {
        let answer = f.sim.on(thread).finish().frame.rax;
        assert_eq!(answer, u64::from(K::MemoryError.0));
    }
    f.check_all();
}

// covers: O-03 T-09
#[test]
fn a_wait_for_a_page_can_be_aborted() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let other = f.sim.add_thread(f.client);
    let port = f.thread_port();
    assert_eq!(f.start_wake(at), None);
    f.abort(other, port);
    assert_eq!(f.finish(), Err(K::Aborted));
    // So it is while the thread is suspended, and safely: the trap has changed nothing yet.
    assert_eq!(f.start_wake(at), None);
    let orders = [<dyn Thread>::SUSPEND, <dyn Thread>::ABORT_SAFELY];
    assert_eq!(
        orders.map(|order| f.order(other, port, order.id)),
        [K::Success; 2]
    );
    let client = f.client;
    let answer = f.sim.machine.registers(client).rax;
    assert_eq!((answer, f.waits(client)), (K::Aborted.0.into(), false));
    assert_eq!(f.order(other, port, <dyn Thread>::RESUME.id), K::Success);
    assert_eq!(f.finish(), Err(K::Aborted));
    // A user's access is done again, and waits again.
    assert_eq!(f.load(f.client, at), None);
    f.abort(other, port);
    assert!(!f.waits(f.client));
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.told(), None);
    assert_eq!(f.supply(control, 0, &[8]).0, K::Success);
    assert_eq!(f.load(f.client, at), Some(8));
}

// covers: O-03 T-07
#[test]
fn a_task_that_ends_while_it_waits_leaves_nothing_behind() {
    let mut f = Fixture::new();
    let (at, _) = f.ready(4);
    let second = f.sim.add_thread(f.client);
    assert_eq!(f.load(f.client, at), None);
    assert_eq!(f.load(second, at + PAGE), None);
    f.sim.end_task(f.client);
    f.check();
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert!(matches!(f.told(), Some(Told::Terminate { .. })));
}

// covers: O-02 M-23
#[test]
fn a_message_takes_memory_that_its_pager_supplies_first() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let port = f.sim.on(f.client).port();
    let mut request = Request::send(port).then_receive(port);
    request.body = Some(sim::message::Body {
        descriptors: vec![abi::message::Descriptor {
            flags: 0,
            ..moving(at + 100, 2 * PAGE)
        }],
        data: Vec::new(),
    });
    assert!(f.sim.on(f.client).start_message(&request).is_none());
    for page in 0..3 {
        assert_eq!(f.told(), Some(Told::Request { page, access: 1 }));
        assert_eq!(f.supply(control, page, &[0x10 + page as u8]).0, K::Success);
        while !f.waits(f.client) && f.sim.cpu_of(f.client).is_none() {
            f.sim.turn();
        }
    }
    let got = f.sim.on(f.client).finish_message();
    assert_eq!(got.code, MessageReturn::Success);
    let memory = got.right();
    assert_eq!(memory.size, 2 * PAGE);
    let client = f.client;
    for (offset, byte) in [(0, 0x10), (PAGE, 0x11), (2 * PAGE - 1, 0x12)] {
        assert_eq!(f.load(client, memory.address + offset), Some(byte));
    }
    assert_eq!(f.told(), None);
}

#[test]
fn a_message_with_more_memory_than_a_step_looks_at_waits_for_each_page_of_it_once() {
    const EACH: u64 = 40;
    let mut f = Fixture::new();
    let (at, control) = f.ready(2 * EACH);
    let port = f.sim.on(f.client).port();
    let mut request = Request::send(port).then_receive(port);
    let part = |n: u64| abi::message::Descriptor {
        flags: 0,
        ..moving(at + n * EACH * PAGE, EACH * PAGE)
    };
    request.body = Some(sim::message::Body {
        descriptors: vec![part(0), part(1)],
        data: Vec::new(),
    });
    assert!(f.sim.on(f.client).start_message(&request).is_none());
    for page in 0..2 * EACH {
        assert_eq!(f.told(), Some(Told::Request { page, access: 1 }));
        assert_eq!(f.supply(control, page, &[page as u8]).0, K::Success);
        while !f.waits(f.client) && f.sim.cpu_of(f.client).is_none() {
            f.sim.turn();
        }
    }
    let got = f.sim.on(f.client).finish_message();
    assert_eq!(got.code, MessageReturn::Success);
    let (client, arrived) = (f.client, got.body.unwrap().descriptors);
    for (memory, first) in arrived.iter().zip([0, EACH]) {
        for page in 0..EACH {
            let byte = f.load(client, memory.address + page * PAGE);
            assert_eq!(byte, Some((first + page) as u8));
        }
    }
    assert_eq!(f.told(), None);
}

// covers: O-02
#[test]
fn a_private_mapping_keeps_its_writes_from_the_pager() {
    let mut f = Fixture::new();
    let (shared, control) = f.ready(4);
    let who = (f.client, f.given);
    let private = f.try_map(who, (1, 2), map_flags::COPY).unwrap();
    assert_eq!(f.load(f.client, private), None);
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert_eq!(f.supply(control, 1, &[6]).0, K::Success);
    assert_eq!(f.load(f.client, private), Some(6));
    f.sim.on(f.client).poke(private, &[9]);
    assert_eq!(f.load(f.client, shared + PAGE), Some(6));
    f.sim.on(f.client).poke(shared + PAGE, &[7]);
    assert_eq!(f.load(f.client, private), Some(9));
    f.unmap(private, 2);
    f.unmap(shared, 4);
    f.written_and_terminated(1);
}

// covers: O-01 O-03
#[test]
fn who_asked_before_the_pager_was_ready_may_leave() {
    let mut f = Fixture::new();
    let at = f.map(4);
    let control = f.init();
    let task = f.sim.add_task();
    let given = f.sim.give(f.pager, f.object, disposition::MAKE_SEND, task);
    let other = f.try_map((task, given), (0, 4), 0).unwrap();
    assert_eq!(f.load(f.client, at + PAGE), None);
    assert_eq!(f.load(task, other + PAGE), None);
    f.sim.end_task(f.client);
    assert_eq!(f.attributes(control, 0), K::Success);
    // Who still needs the page asks for it again, and pays for that itself.
    assert_eq!(f.load(task, other + PAGE), None);
    assert!(f.waits(task), "no exception");
    assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
    assert_eq!(f.supply(control, 1, &[6]).0, K::Success);
    assert_eq!(f.load(task, other + PAGE), Some(6));
}
