//! `lock_request` and what comes back: cleaning, flushing, locking, and the end of an object that was written.

use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::names::disposition;
use abi::vm::{copy_strategy, protection, returns};
use interfaces::memory_object::MemoryControl;
use microkernel::machine::{Access, FrameIndex};
use sim::{Config, Request};

use crate::fixture::{Fixture, PAGE, Told, code};

const SAME: u32 = protection::NO_CHANGE;

/// Pages `page` and on, one after the other.
fn returned(page: u64, content: &[u8], (dirty, kept): (bool, bool)) -> Told {
    Told::Return {
        page,
        content: content.to_vec(),
        dirty,
        kept,
    }
}

/// A thread's write by an instruction; `false`: it waits.
fn store(f: &mut Fixture, thread: FrameIndex, address: u64, byte: u8) -> bool {
    if f.touch(thread, address, Access::Write).is_none() {
        return false;
    }
    f.sim.on(thread).poke(address, &[byte]);
    true
}

// covers: O-04 O-05
#[test]
fn cleaning_returns_what_was_written_and_notices_the_next_write() {
    for cpus in 1..=4 {
        let mut f = Fixture::with(Config::with_cpus(cpus));
        let (at, control) = f.ready(8);
        assert_eq!(f.supply(control, 0, &[1, 2, 3, 4, 5]).0, K::Success);
        let client = f.client;
        for page in [1, 2, 4] {
            assert!(store(&mut f, client, at + page * PAGE, 0x10 + page as u8));
        }
        assert_eq!(f.load(client, at), Some(1));
        assert_eq!(
            f.lock(control, (0, 8), (returns::DIRTY, 0, SAME)),
            K::Success
        );
        assert_eq!(f.told(), Some(returned(1, &[0x11, 0x12], (true, true))));
        assert_eq!(f.told(), Some(returned(4, &[0x14], (true, true))));
        assert_eq!(f.told(), None);
        assert_eq!(
            f.lock(control, (0, 8), (returns::DIRTY, 0, SAME)),
            K::Success
        );
        assert_eq!(f.told(), None, "they are clean");
        assert_eq!(f.load(client, at + PAGE), Some(0x11), "and still there");
        assert!(store(&mut f, client, at + PAGE, 0x21));
        assert_eq!(f.lock(control, (0, 8), (returns::ALL, 0, SAME)), K::Success);
        assert_eq!(f.told(), Some(returned(1, &[0x21], (true, true))));
        f.unmap(at, 8);
        f.terminated();
    }
}

/// The answer is sent to the port that the pages come back to, so that the one queue tells the order.
// covers: O-05
#[test]
fn an_order_is_answered_after_all_that_it_returned() {
    for cpus in 1..=3 {
        let mut f = Fixture::with(Config::with_cpus(cpus));
        let (at, control) = f.ready(200);
        let (client, pager) = (f.client, f.pager);
        for page in (0..200).step_by(20) {
            assert_eq!(f.supply(control, page, &[1]).0, K::Success);
            assert!(store(&mut f, client, at + page * PAGE, page as u8));
        }
        let order = <dyn MemoryControl>::LOCK_REQUEST;
        let words = [0, 200 * PAGE, returns::DIRTY.into(), 0, SAME.into(), 0];
        let request = Request::send(control)
            .id(order.id)
            .words(words)
            .replying(f.object, disposition::MAKE_SEND_ONCE);
        assert_eq!(f.sim.on(pager).message(&request).code, Code::Success);
        for page in (0..200).step_by(20) {
            let back = returned(page, &[page as u8], (true, true));
            assert_eq!(f.told(), Some(back), "{cpus} CPUs");
        }
        let answer = f.sim.on(pager).poll(f.object);
        assert_eq!((answer.code, answer.id), (Code::Success, order.id + 100));
        assert_eq!(code(&answer), K::Success);
        f.unmap(at, 200);
        f.terminated();
    }
}

// covers: O-04 O-05
#[test]
fn precious_pages_come_back_clean_to_who_asks_for_all() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(4);
    let precious = f.supply_at(control, 0, &[1, 2], (0, 1));
    assert_eq!((precious.0, precious.1), (K::Success, K::Success));
    assert_eq!(f.supply(control, 2, &[3]).0, K::Success);
    let order = |f: &mut Fixture, returns| {
        assert_eq!(f.lock(control, (0, 4), (returns, 0, SAME)), K::Success);
        f.told()
    };
    assert_eq!(order(&mut f, returns::NONE), None);
    assert_eq!(order(&mut f, returns::DIRTY), None, "nothing was written");
    let clean = returned(0, &[1, 2], (false, true));
    assert_eq!(order(&mut f, returns::ALL), Some(clean));
    assert_eq!(order(&mut f, returns::ALL), None, "the pager has them");
    f.unmap(at, 4);
    f.terminated();
}

// covers: O-04 O-05
#[test]
fn flushing_takes_pages_out_of_every_map() {
    for cpus in 1..=3 {
        let mut f = Fixture::with(Config::with_cpus(cpus));
        let (at, control) = f.ready(4);
        let other = f.sim.add_task();
        let given = f.sim.give(f.pager, f.object, disposition::MAKE_SEND, other);
        let second = f.try_map((other, given), (0, 4), 0).unwrap();
        assert_eq!(f.supply(control, 0, &[1, 2, 3]).0, K::Success);
        let client = f.client;
        assert!(store(&mut f, client, at, 9));
        assert_eq!(f.load(other, second), Some(9));
        assert_eq!(f.load(other, second + PAGE), Some(2));
        assert_eq!(
            f.lock(control, (0, 2), (returns::DIRTY, 1, SAME)),
            K::Success
        );
        assert_eq!(f.told(), Some(returned(0, &[9], (true, false))));
        assert_eq!(f.told(), None, "what was clean is only gone");
        assert_eq!(f.load(other, second), None);
        assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
        assert_eq!(f.load(client, at + PAGE), None);
        assert_eq!(f.told(), Some(Told::Request { page: 1, access: 1 }));
        assert_eq!(f.supply(control, 0, &[7, 8]).0, K::Success);
        assert_eq!(f.load(other, second), Some(7));
        assert_eq!(f.load(client, at + PAGE), Some(8));
        assert_eq!(f.load(client, at + 2 * PAGE), Some(3), "not in the range");
        f.sim.end_task(other);
        f.unmap(at, 4);
        f.terminated();
    }
}

// covers: O-05
#[test]
fn what_is_flushed_and_not_returned_is_lost() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(2);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    let client = f.client;
    assert!(store(&mut f, client, at, 9));
    assert_eq!(
        f.lock(control, (0, 2), (returns::NONE, 1, SAME)),
        K::Success
    );
    assert_eq!(f.told(), None);
    assert_eq!(f.load(client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    assert_eq!(f.load(client, at), Some(1));
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-05
#[test]
fn a_locked_page_is_unlocked_when_the_pager_says_so() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(2);
    assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
    let client = f.client;
    assert!(store(&mut f, client, at, 3));
    let write = protection::WRITE;
    assert_eq!(
        f.lock(control, (0, 1), (returns::NONE, 0, write)),
        K::Success
    );
    assert_eq!(f.load(client, at), Some(3), "reading is allowed");
    assert!(!store(&mut f, client, at, 4));
    assert_eq!(f.told(), Some(Told::Unlock { page: 0, access: 2 }));
    // Another page, and another access: no answer for who waits.
    assert_eq!(f.lock(control, (1, 1), (returns::NONE, 0, 0)), K::Success);
    let execute = protection::EXECUTE | write;
    assert_eq!(
        f.lock(control, (0, 1), (returns::NONE, 0, execute)),
        K::Success
    );
    assert!(f.waits(client));
    assert_eq!(f.lock(control, (0, 1), (returns::NONE, 0, 0)), K::Success);
    assert!(store(&mut f, client, at, 4));
    assert_eq!(
        f.lock(control, (0, 2), (returns::DIRTY, 0, SAME)),
        K::Success
    );
    let dirty = returned(0, &[4], (true, true));
    assert_eq!(f.told(), Some(dirty), "it was so all the time");
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-05
#[test]
fn a_page_that_is_supplied_locked_asks_at_the_first_access() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(2);
    let lock = u64::from(protection::ALL);
    assert_eq!(f.supply_at(control, 0, &[1], (lock, 0)).0, K::Success);
    let client = f.client;
    assert_eq!(f.load(client, at), None);
    assert_eq!(f.told(), Some(Told::Unlock { page: 0, access: 1 }));
    // Flushed instead of unlocked: it is asked for anew.
    assert_eq!(f.lock(control, (0, 1), (returns::ALL, 1, SAME)), K::Success);
    assert_eq!(f.load(client, at), None);
    assert_eq!(f.told(), Some(Told::Request { page: 0, access: 1 }));
    assert_eq!(f.supply(control, 0, &[5]).0, K::Success);
    assert_eq!(f.load(client, at), Some(5));
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-03 O-05
#[test]
fn who_waits_beside_another_for_a_lesser_access_goes_on_when_that_is_allowed() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(1);
    let (all, write) = (protection::ALL, protection::WRITE);
    assert_eq!(f.supply_at(control, 0, &[1], (all.into(), 0)).0, K::Success);
    let (client, reader) = (f.client, f.sim.add_thread(f.client));
    assert!(!store(&mut f, client, at, 2));
    assert_eq!(f.told(), Some(Told::Unlock { page: 0, access: 2 }));
    assert_eq!(f.load(reader, at), None);
    assert_eq!(f.told(), None, "a page is asked for once");
    let order = (returns::NONE, 0, write);
    assert_eq!(f.lock(control, (0, 1), order), K::Success);
    assert_eq!(f.load(reader, at), Some(1), "reading is allowed");
    // Who was woken with it asks again.
    assert!(!store(&mut f, client, at, 2));
    assert_eq!(f.told(), Some(Told::Unlock { page: 0, access: 2 }));
    assert_eq!(f.lock(control, (0, 1), (returns::NONE, 0, 0)), K::Success);
    assert!(store(&mut f, client, at, 2));
    assert_eq!(f.load(reader, at), Some(2));
}

// covers: O-04 O-07
#[test]
fn what_was_written_comes_back_before_the_end_and_precious_pages_too() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(80);
    assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
    let precious = f.supply_at(control, 4 * PAGE, &[5, 6], (0, 1)).0;
    assert_eq!(precious, K::Success);
    assert_eq!(f.supply(control, 70, &[7]).0, K::Success);
    let client = f.client;
    assert!(store(&mut f, client, at + PAGE, 0x22));
    assert!(store(&mut f, client, at + 5 * PAGE, 0x66));
    assert!(store(&mut f, client, at + 70 * PAGE, 0x77));
    assert_eq!(
        f.lock(control, (0, 80), (returns::DIRTY, 0, SAME)),
        K::Success
    );
    assert_eq!(f.told(), Some(returned(1, &[0x22], (true, true))));
    assert_eq!(f.told(), Some(returned(5, &[0x66], (true, true))));
    assert_eq!(f.told(), Some(returned(70, &[0x77], (true, true))));
    assert!(store(&mut f, client, at + PAGE, 0x23));
    f.unmap(at, 80);
    assert_eq!(f.told(), Some(returned(1, &[0x23], (true, false))));
    assert_eq!(
        f.told(),
        Some(returned(4, &[5], (false, false))),
        "precious"
    );
    f.terminated();
}

// covers: O-06
#[test]
fn temporary_objects_end_without_returning_what_was_written() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let control = f.init();
    let id = <dyn MemoryControl>::SET_ATTRIBUTES.id;
    let words = [0, copy_strategy::TEMPORARY.into(), 0, 0, 0, 0];
    let set = f.call(control, Request::call(control).id(id).words(words));
    assert_eq!(code(&set), K::Success);
    assert_eq!(f.supply(control, 0, &[1]).0, K::Success);
    let client = f.client;
    assert!(store(&mut f, client, at, 9));
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-04
#[test]
fn a_private_copy_s_writes_are_not_the_pager_s() {
    let mut f = Fixture::new();
    let (shared, control) = f.ready(2);
    let who = (f.client, f.given);
    let private = f.try_map(who, (0, 2), abi::vm::map_flags::COPY).unwrap();
    assert_eq!(f.supply(control, 0, &[1, 2]).0, K::Success);
    let client = f.client;
    assert!(store(&mut f, client, private, 9));
    assert_eq!(f.lock(control, (0, 2), (returns::ALL, 1, SAME)), K::Success);
    assert_eq!(f.told(), None);
    assert_eq!(f.load(client, private), Some(9));
    f.unmap(private, 2);
    f.unmap(shared, 2);
    f.terminated();
}

// covers: O-05
#[test]
fn an_order_that_cannot_be_is_refused() {
    let mut f = Fixture::new();
    let at = f.map(2);
    let control = f.init();
    assert_eq!(
        f.lock(control, (0, 2), (returns::ALL, 1, 0)),
        K::Failure,
        "not ready"
    );
    assert_eq!(f.attributes(control, 0), K::Success);
    for order in [
        (3, 0, 0),
        (0, 2, 0),
        (0, 0, 9),
        (0, 0, 16),
        (u32::MAX, 0, 0),
    ] {
        assert_eq!(
            f.lock(control, (0, 2), order),
            K::InvalidArgument,
            "{order:?}"
        );
    }
    for range in [(0, 0), (u64::MAX / PAGE, 2)] {
        let refused = f.lock(control, range, (returns::ALL, 0, 0));
        assert_eq!(refused, K::InvalidArgument, "{range:?}");
    }
    let all = (0, u64::MAX / PAGE);
    assert_eq!(
        f.lock(control, all, (returns::ALL, 1, 0)),
        K::Success,
        "there is nothing"
    );
    f.unmap(at, 2);
    f.terminated();
}

// covers: O-04 O-07
#[test]
fn a_pager_that_takes_no_messages_gets_what_it_missed_when_it_does() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(200);
    let client = f.client;
    for page in (0..200).step_by(2) {
        assert_eq!(f.supply(control, page, &[1]).0, K::Success);
        assert!(store(&mut f, client, at + page * PAGE, page as u8));
    }
    // One message for each page is more than may wait at its port.
    f.unmap(at, 200);
    let waiting = f.sim.kernel.census().messages;
    assert!(waiting < 20, "{waiting} messages at once");
    let told = f.all_told();
    for (index, told) in told.iter().take(100).enumerate() {
        let page = index as u64 * 2;
        assert_eq!(*told, returned(page, &[page as u8], (true, false)));
    }
    assert_eq!(told.len(), 101);
    match told.last() {
        Some(Told::Terminate { control, name }) => f.bury([*control, *name]),
        other => panic!("no terminate but {other:?}"),
    }
    f.at_baseline();
}

/// Whatever a pager orders while its clients run: nobody sees another page than the last one supplied or written.
// covers: O-05
#[test]
fn random_orders_keep_what_clients_see() {
    for seed in 1..=12 {
        let mut rng = sim::Rng::new(seed);
        let mut f = Fixture::with(Config {
            seed,
            ..Config::with_cpus(1 + seed as u32 % 3)
        });
        let (at, control) = f.ready(8);
        let client = f.client;
        // What the pager has, and what is to be seen.
        let mut kept = [0_u8; 8];
        let mut seen = [0_u8; 8];
        for step in 0..120_u64 {
            let page = rng.below(8) as u64;
            let writes = rng.one_in(2);
            let access = if writes { Access::Write } else { Access::Read };
            let mut found = f.touch(client, at + page * PAGE, access);
            while found.is_none() {
                serve(&mut f, control, &mut kept);
                found = f.touch(client, at + page * PAGE, access);
            }
            assert_eq!(found, Some(seen[page as usize]), "seed {seed} step {step}");
            if writes {
                seen[page as usize] = step as u8;
                f.sim.on(client).poke(at + page * PAGE, &[step as u8]);
            }
            let first = rng.below(8) as u64;
            let pages = 1 + rng.below(8) as u64;
            let returns = [returns::DIRTY, returns::ALL][rng.below(2)];
            let lock = [SAME, 0, protection::WRITE, protection::ALL][rng.below(4)];
            let order = (returns, rng.below(2) as u64, lock);
            assert_eq!(f.lock(control, (first, pages), order), K::Success);
            serve(&mut f, control, &mut kept);
        }
        f.unmap(at, 8);
        let mut told = f.all_told();
        let Some(Told::Terminate { control, name }) = told.pop() else {
            panic!("no terminate");
        };
        for told in told {
            keep(&mut kept, &told);
        }
        assert_eq!(kept, seen, "seed {seed}");
        f.bury([control, name]);
        f.at_baseline();
    }
}

/// The pager does what it is told.
fn serve(f: &mut Fixture, control: abi::names::Name, kept: &mut [u8; 8]) {
    while let Some(told) = f.told() {
        match told {
            Told::Request { page, .. } => {
                let precious = u64::from(page.is_multiple_of(2));
                let content = [kept[page as usize]];
                let supplied = f.supply_at(control, page * PAGE, &content, (0, precious));
                assert_eq!(supplied.0, K::Success);
            }
            Told::Unlock { page, .. } => {
                assert_eq!(
                    f.lock(control, (page, 1), (returns::NONE, 0, 0)),
                    K::Success
                );
            }
            told => keep(kept, &told),
        }
    }
}

fn keep(kept: &mut [u8; 8], told: &Told) {
    let Told::Return { page, content, .. } = told else {
        panic!("unexpected {told:?}");
    };
    kept[*page as usize..][..content.len()].copy_from_slice(content);
}
