//! Page-out of anonymous memory: the default pager, played by the test.

use std::collections::BTreeMap;
use std::mem::offset_of;

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::start::{self, Right};
use abi::task::info;
use abi::trap;
use abi::vm::{disposition as state, map_flags, region, sync};
use interfaces::host::Host;
use interfaces::task::Task;
use interfaces::vm::Vm;
use microkernel::machine::{Access, FrameIndex};
use sim::machine::Size;
use sim::{Config, Request, Rng};

use crate::fixture::{Fixture, PAGE, RW, Told, code};

/// The default pager, and what it keeps.
pub(crate) struct Store {
    pub(crate) f: Fixture,
    host: Name,
    control: Name,
    kept: BTreeMap<u64, u8>,
    /// How many pages ever came.
    pub(crate) came: usize,
}

/// The privileged host port, as the first task knows it.
fn privileged_host(f: &mut Fixture) -> Name {
    let first = f.first;
    for index in 0..start::MAX_RIGHTS {
        let at = offset_of!(start::Page, rights) + index * size_of::<Right>();
        let right: [u8; size_of::<Right>()] = f.sim.on(first).peek(start::ADDRESS + at as u64);
        let (text, rest) = right.split_at(start::NAME_SIZE);
        let name = start::names::HOST_PRIVILEGED.as_bytes();
        if text.starts_with(name) && text[name.len()] == 0 {
            return Name(u32::from_le_bytes(rest[..4].try_into().unwrap()));
        }
    }
    panic!("the start page names no privileged host port");
}

impl Store {
    /// A word of the answer to a task's question about itself.
    fn told(&mut self, thread: FrameIndex, (id, words): (i32, [u64; 3]), at: usize) -> u64 {
        let [a, b, c] = words;
        let request = Request::call(self.f.given).id(id);
        let reply = self.f.call_task(thread, request.words([a, b, c, 0, 0, 0]));
        assert_eq!(code(&reply), K::Success);
        let data = reply.body.unwrap().data;
        u64::from_le_bytes(data[8 * at..][..8].try_into().unwrap())
    }

    /// Bytes of a task that are in memory.
    fn resident(&mut self, thread: FrameIndex) -> u64 {
        let tell = (
            <dyn Task>::INFO_OF.id,
            [info::BASIC_64.into(), info::BASIC_64_COUNT.into(), 0],
        );
        // Behind how many words there are, suspensions, and the mapped size in two words.
        let [low, high] = [4, 5].map(|at| self.told(thread, tell, at));
        low | high << 32
    }

    /// Pages of the region at an address that are in memory, and that were put away.
    fn pages_at(&mut self, thread: FrameIndex, at: u64) -> (u64, u64) {
        let tell = (
            <dyn Vm>::REGION.id,
            [
                at,
                region::EXTENDED_INFO.into(),
                region::EXTENDED_INFO_COUNT.into(),
            ],
        );
        // Behind address, size and how many words there are: protection, tag, pages in memory, shared, put away.
        let [resident, swapped] = [5, 7].map(|at| self.told(thread, tell, at));
        (resident, swapped)
    }

    /// A machine with so many pages, where `places` may be put away.
    pub(crate) fn with(config: Config, pages: u32, places: u64) -> Self {
        let size = Size {
            pages,
            ..config.size
        };
        let mut f = Fixture::with(Config { size, ..config });
        let host = privileged_host(&mut f);
        let mut store = Self {
            host,
            control: Name::NULL,
            kept: BTreeMap::new(),
            came: 0,
            f,
        };
        assert_eq!(store.register(places), K::Success);
        store.control = store.f.init();
        assert_eq!(store.f.attributes(store.control, 0), K::Success);
        store
    }

    /// `set_default_pager` with the fixture's object.
    fn register(&mut self, places: u64) -> K {
        let first = self.f.first;
        let (pager, object) = (self.f.pager, self.f.object);
        let given = self
            .f
            .sim
            .give(pager, object, disposition::MAKE_SEND, first);
        let request = Request::call(self.host)
            .id(<dyn Host>::SET_DEFAULT_PAGER.id)
            .port(given, disposition::MOVE_SEND)
            .words([places, 0, 0, 0, 0, 0]);
        let reply = self.f.sim.on(first).message(&request);
        self.f.check();
        code(&reply)
    }

    /// So many pages more, and memory is short.
    pub(crate) fn leave_free(&mut self, pages: u64) {
        let first = self.f.first;
        let target = self.f.sim.machine.memory.available() - pages;
        let id = <dyn Host>::SET_FREE_TARGET.id;
        let request = Request::call(self.host).id(id);
        let set = request.words([target, 0, 0, 0, 0, 0]);
        assert_eq!(code(&self.f.sim.on(first).message(&set)), K::Success);
    }

    /// Does up to `most` of what the default pager is told; how much it was.
    pub(crate) fn serve(&mut self, most: usize) -> usize {
        for done in 0..most {
            let Some(told) = self.f.told() else {
                return done;
            };
            match told {
                Told::Return { page, content, .. } => {
                    self.came += content.len();
                    for (page, byte) in (page..).zip(content) {
                        assert_eq!(self.kept.insert(page, byte), None, "kept twice");
                    }
                }
                Told::Request { page, .. } => {
                    let byte = self.kept.remove(&page).expect("a page that is there");
                    let supplied = self.f.supply_at(self.control, page * PAGE, &[byte], (0, 1));
                    assert_eq!((supplied.0, supplied.1), (K::Success, K::Success));
                }
                Told::Discard { page, pages } => {
                    for page in page..page + pages {
                        self.kept.remove(&page);
                    }
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        most
    }

    pub(crate) fn allocate(&mut self, thread: FrameIndex, pages: u64) -> u64 {
        let arguments = [0, pages * PAGE, 1];
        let at = self.f.sim.on(thread).trap(trap::VM_ALLOCATE, &arguments);
        at.unwrap()
    }

    /// What a thread finds at an address, with the pager's help.
    pub(crate) fn look(&mut self, thread: FrameIndex, address: u64, access: Access) -> u8 {
        for _ in 0..1000 {
            if !self.f.waits(thread)
                && let Some(byte) = self.f.touch(thread, address, access)
            {
                return byte;
            }
            assert!(self.f.alive(thread), "it died of it");
            if self.serve(4) == 0 {
                self.f.sim.turn();
            }
        }
        panic!("nobody brings the page");
    }

    pub(crate) fn put(&mut self, thread: FrameIndex, address: u64, byte: u8) {
        self.look(thread, address, Access::Write);
        self.f.sim.on(thread).poke(address, &[byte]);
    }

    /// Another place where a thread's task has the same memory, or a copy of it.
    fn remap(&mut self, thread: FrameIndex, (at, pages): (u64, u64), flags: u64) -> u64 {
        let task = self.f.sim.on(thread).trap(trap::TASK_SELF, &[]).unwrap();
        let flags = flags | map_flags::ANYWHERE;
        let request = Request::call(Name::NULL)
            .id(<dyn Vm>::REMAP.id)
            .port(Name(task as u32), disposition::MOVE_SEND)
            .words([0, pages * PAGE, 0, at, flags, 0]);
        let reply = self.f.call_task(thread, request);
        assert_eq!(code(&reply), K::Success);
        reply.words[1]
    }

    fn deallocate(&mut self, thread: FrameIndex, at: u64, pages: u64) {
        let arguments = [at, pages * PAGE];
        let gone = self.f.sim.on(thread).trap(trap::VM_DEALLOCATE, &arguments);
        gone.unwrap();
        self.f.check();
    }
}

pub(crate) fn byte_of(page: u64) -> u8 {
    (page * 7 + 1) as u8
}

// covers: O-08
#[test]
fn what_is_not_used_is_put_away_and_comes_back() {
    for cpus in 1..=3 {
        let mut s = Store::with(Config::with_cpus(cpus), 4096, 200);
        let client = s.f.client;
        let at = s.allocate(client, 150);
        let before = s.resident(client);
        s.leave_free(60);
        for page in 0..150 {
            s.put(client, at + page * PAGE, byte_of(page));
            s.serve(100);
        }
        let kept = s.kept.len() as u64;
        assert!(kept > 40, "{kept} pages are put away");
        let (resident, swapped) = s.pages_at(client, at);
        assert!(swapped > 40, "{swapped} of them");
        assert_eq!(resident + swapped, 150, "all that was touched");
        // Other pages may be put away too, its own and other tasks'.
        let most = before + resident * PAGE;
        let least = most.saturating_sub((kept - swapped) * PAGE);
        let now = s.resident(client);
        assert!(
            (least..=most).contains(&now),
            "{now} is not {least}..={most}"
        );
        for page in 0..150 {
            let found = s.look(client, at + page * PAGE, Access::Read);
            assert_eq!(found, byte_of(page), "page {page}");
        }
        s.deallocate(client, at, 150);
        while s.serve(100) > 0 {}
        // Other tasks' pages may be left there.
        let others = s.kept.len();
        assert!(others < 40, "{others} pages are not forgotten");
    }
}

/// The same memory at two places of one task, and a copy of it that nobody wrote to.
// covers: O-08 V-07 V-08
#[test]
fn what_is_shared_is_put_away_and_comes_back_to_all_who_share_it() {
    for cpus in 1..=2 {
        let mut s = Store::with(Config::with_cpus(cpus), 4096, 400);
        let client = s.f.client;
        let at = s.allocate(client, 90);
        for page in 0..90 {
            s.put(client, at + page * PAGE, byte_of(page));
        }
        let shared = s.remap(client, (at, 60), 0);
        let copied = s.remap(client, (at + 60 * PAGE, 30), map_flags::COPY);
        for page in 0..90 {
            let place = if page < 60 {
                shared
            } else {
                copied - 60 * PAGE
            };
            let found = s.look(client, place + page * PAGE, Access::Read);
            assert_eq!(found, byte_of(page));
        }
        s.leave_free(0);
        let more = s.allocate(client, 90);
        for page in 0..90 {
            s.put(client, more + page * PAGE, 1);
            s.serve(100);
        }
        let (came, bytes) = (s.came, s.kept.values());
        let away = bytes.filter(|byte| **byte != 1).count();
        assert!(away > 45, "{away} of {came} pages are shared ones");
        s.put(client, shared + 7 * PAGE, 99);
        s.put(client, copied + 7 * PAGE, 98);
        for page in 0..90 {
            let expected = if page == 7 { 99 } else { byte_of(page) };
            let found = s.look(client, at + page * PAGE, Access::Read);
            assert_eq!(found, expected, "page {page}");
        }
        for page in 0..30 {
            let expected = if page == 7 { 98 } else { byte_of(60 + page) };
            let found = s.look(client, copied + page * PAGE, Access::Read);
            assert_eq!(found, expected, "page {page} of the copy");
        }
        s.f.check_all();
    }
}

// covers: O-08
#[test]
fn who_finds_no_memory_waits_until_some_is_put_away() {
    let mut s = Store::with(Config::with_cpus(2), 1100, 1000);
    let users = hogs(&mut s);
    let mut waited = false;
    for page in 0..HOGGED {
        for (thread, at, _) in users.iter().filter(|user| page < user.2) {
            let address = at + page * PAGE;
            if !s.f.waits(*thread) && s.f.touch(*thread, address, Access::Write).is_none() {
                assert!(s.f.waits(*thread));
                waited = true;
            }
            s.put(*thread, address, byte_of(page));
        }
    }
    assert!(waited, "memory was never short");
    for page in 0..HOGGED {
        for (thread, at, _) in users.iter().filter(|user| page < user.2) {
            let found = s.look(*thread, at + page * PAGE, Access::Read);
            assert_eq!(found, byte_of(page));
        }
    }
    s.f.check_all();
}

const HOGGED: u64 = 700;

/// Three threads, of which two are the fixture's and the first task's, where their memory is, and how many pages it has:
/// together more than the machine.
fn hogs(s: &mut Store) -> Vec<(FrameIndex, u64, u64)> {
    s.f.is_small = false;
    let second = s.f.sim.add_task();
    let users = [(s.f.client, 230), (second, 230), (s.f.first, HOGGED)];
    let free = s.f.sim.machine.memory.available();
    assert!(free < 2 * 230 + HOGGED, "{free} pages are enough for all");
    let at = |(thread, pages)| (thread, s.allocate(thread, pages), pages);
    users.map(at).to_vec()
}

// covers: O-08 F-09
#[test]
fn a_default_pager_that_does_nothing_holds_up_those_alone_who_need_memory() {
    let mut s = Store::with(Config::default(), 1400, 1000);
    let fresh = s.f.sim.add_task();
    // More than there is, in the end.
    s.f.is_small = false;
    let (first, spare) = (s.f.first, s.f.sim.machine.memory.available() - 1060);
    let rest = s.allocate(first, spare);
    for page in 0..spare {
        assert!(
            s.f.touch(first, rest + page * PAGE, Access::Write)
                .is_some()
        );
    }
    let (client, port) = (s.f.client, s.f.thread_port());
    let second = s.f.sim.add_thread(client);
    let users = hogs(&mut s);
    let mut stuck = None;
    for page in 0..HOGGED {
        for (thread, at, _) in users.iter().filter(|user| page < user.2) {
            if s.f.waits(*thread) {
                continue;
            }
            let reached = s.f.touch(*thread, at + page * PAGE, Access::Write);
            if reached.is_none() {
                stuck = stuck.or(Some(*thread));
            }
        }
    }
    assert!(stuck.is_some(), "memory was never short");
    assert!(s.f.sim.kernel.census().messages <= 17, "a bounded number");
    for _ in 0..10 {
        s.f.sim.turn();
        let clock = s.f.sim.on(fresh).trap(trap::CLOCK, &[]);
        assert!(clock.is_ok(), "others go on");
    }
    if s.f.waits(client) {
        s.f.abort(second, port);
    }
    for (thread, ..) in users.iter().take(2) {
        s.f.sim.end_task(*thread);
        s.f.check();
    }
    s.f.sim.end_task(s.f.pager);
    s.f.check_all();
}

// covers: O-08
#[test]
fn pages_of_a_default_pager_that_died_are_errors_and_another_one_can_come() {
    let mut s = Store::with(Config::default(), 4096, 100);
    let client = s.f.client;
    let at = s.allocate(client, 120);
    s.leave_free(40);
    for page in 0..120 {
        s.put(client, at + page * PAGE, byte_of(page));
        s.serve(100);
    }
    assert!(s.kept.len() > 20);
    assert_eq!(
        s.register(1),
        K::InvalidRight,
        "it is a memory object already"
    );
    let pager = s.f.pager;
    s.f.sim.end_task(pager);
    s.f.check();
    let mut lost = 0;
    for page in 0..120 {
        match s.f.wake(at + page * PAGE) {
            Ok(_) => {}
            Err(code) => {
                assert_eq!(code, K::MemoryError);
                lost += 1;
            }
        }
    }
    assert!(lost > 0);
    s.deallocate(client, at, 120);
    s.f.pager = s.f.sim.add_task();
    s.f.object = s.f.sim.on(s.f.pager).port();
    assert_eq!(s.register(100), K::Success);
}

// covers: O-08
#[test]
fn only_the_privileged_host_port_names_a_default_pager() {
    let mut f = Fixture::new();
    let host = f.sim.on(f.client).trap(trap::HOST_SELF, &[]).unwrap();
    let request = Request::call(Name(host as u32))
        .id(<dyn Host>::SET_DEFAULT_PAGER.id)
        .port(f.given, disposition::COPY_SEND);
    let reply = f.sim.on(f.client).message(&request);
    assert_eq!(code(&reply), K::NoAccess);
    let mut s = Store::with(Config::default(), 4096, 10);
    s.f.object = s.f.sim.on(s.f.pager).port();
    assert_eq!(s.register(10), K::NameExists);
    // What the kernel alone uses cannot be mapped.
    let mut s = Store::with(Config::default(), 4096, 10);
    let who = (s.f.client, s.f.given);
    assert_eq!(s.f.try_map(who, (0, 1), 0), Err(K::InvalidRight));
}

// covers: V-12 O-08
#[test]
fn wired_memory_is_brought_back_and_stays() {
    let mut s = Store::with(Config::default(), 4096, 200);
    let client = s.f.client;
    let (at, more) = (s.allocate(client, 100), s.allocate(client, 100));
    s.leave_free(60);
    for page in 0..100 {
        s.put(client, at + page * PAGE, byte_of(page));
        s.serve(100);
    }
    assert!(s.kept.len() > 20);
    let task = s.f.sim.on(client).trap(trap::TASK_SELF, &[]).unwrap();
    let request = Request::call(Name(task as u32)).id(<dyn Vm>::WIRE.id);
    let request = request.words([at, 100 * PAGE, RW.into(), 0, 0, 0]);
    let mut reply = s.f.sim.on(client).start_message(&request);
    while reply.is_none() && s.serve(4) + usize::from(s.f.sim.turn()) > 0 {
        if !s.f.waits(client) {
            reply = Some(s.f.sim.on(client).finish_message());
        }
    }
    assert_eq!(code(&reply.unwrap()), K::Success);
    for page in 0..100 {
        s.put(client, more + page * PAGE, 1);
        s.serve(100);
    }
    for page in 0..100 {
        let found = s.f.load(client, at + page * PAGE);
        assert_eq!(found, Some(byte_of(page)), "it went");
    }
}

/// Tasks that write, read, fork nothing, free and die, while memory is short.
// covers: O-08
#[test]
fn random_users_find_what_they_wrote_while_memory_is_short() {
    for seed in 1..=3 {
        let mut rng = Rng::new(seed);
        let config = Config {
            seed,
            ..Config::with_cpus(1 + seed as u32 % 2)
        };
        let mut s = Store::with(config, 4096, 120);
        let mut users: Vec<(FrameIndex, u64, BTreeMap<u64, u8>)> = Vec::new();
        s.leave_free(10);
        for step in 0..100_u64 {
            if users.len() < 3 {
                let thread = s.f.sim.add_task();
                let at = s.allocate(thread, 40);
                users.push((thread, at, BTreeMap::new()));
            }
            let who = rng.below(users.len());
            let page = rng.below(40) as u64;
            let (thread, at, seen) = &mut users[who];
            let (thread, at) = (*thread, *at);
            match rng.below(20) {
                0 => {
                    s.f.sim.end_task(thread);
                    users.remove(who);
                }
                1 => {
                    seen.remove(&page);
                    s.deallocate(thread, at + page * PAGE, 1);
                    let arguments = [at + page * PAGE, PAGE, 0];
                    let again = s.f.sim.on(thread).trap(trap::VM_ALLOCATE, &arguments);
                    assert_eq!(again, Ok(at + page * PAGE));
                }
                2..10 => {
                    seen.insert(page, step as u8);
                    s.put(thread, at + page * PAGE, step as u8);
                }
                _ => {
                    let expected = seen.get(&page).copied().unwrap_or(0);
                    let found = s.look(thread, at + page * PAGE, Access::Read);
                    assert_eq!(found, expected, "seed {seed} step {step} page {page}");
                }
            }
            s.f.check();
            s.serve(rng.below(6));
        }
        assert!(s.came > 20, "seed {seed}: {} pages were put away", s.came);
        for (thread, ..) in users {
            s.f.sim.end_task(thread);
        }
        while s.serve(100) > 0 {}
    }
}

/// A page of a pager's that is not used goes, too: a clean one, and a written one to its pager.
// covers: V-13 V-15
#[test]
fn what_was_set_aside_goes_first() {
    let mut s = Store::with(Config::default(), 4096, 1000);
    let client = s.f.client;
    let at = s.allocate(client, 102);
    for page in 0..100 {
        s.put(client, at + page * PAGE, byte_of(page));
    }
    let call = |s: &mut Store, id, words: [u64; 3]| {
        let mut request = Request::call(Name::NULL).id(id);
        request.words[..3].copy_from_slice(&words);
        s.f.call_task(s.f.client, request)
    };
    let of = |s: &mut Store, page: u64| {
        let query = [at + page * PAGE, 0, 0];
        call(s, <dyn Vm>::PAGE_QUERY.id, query).words[1] as u32
    };
    let aside = [at + 50 * PAGE, 41 * PAGE, sync::DEACTIVATE.into()];
    assert_eq!(code(&call(&mut s, <dyn Vm>::MSYNC.id, aside)), K::Success);
    assert_eq!(s.serve(1), 0, "memory is not short");
    let own = state::PRESENT | state::DIRTY;
    let used = own | state::REFERENCED;
    assert_eq!(
        [49, 50, 90, 91].map(|page| of(&mut s, page)),
        [used, own, own, used]
    );
    // What is used again is like all other memory.
    assert_eq!(s.f.load(client, at + 90 * PAGE), Some(byte_of(90)));
    assert_eq!(of(&mut s, 90), used);
    s.leave_free(0);
    for page in [100, 101] {
        s.put(client, at + page * PAGE, 1);
    }
    while s.serve(100) > 0 {}
    let gone = |byte: &u8| (50..90).any(|aside| byte_of(aside) == *byte);
    assert!(s.kept.len() > 30, "{} went", s.kept.len());
    // The store gives places out in turn.
    assert!(s.kept.values().take(30).all(gone));
    assert_eq!(of(&mut s, 50), state::PAGED_OUT);
    assert_eq!(s.look(client, at + 50 * PAGE, Access::Read), byte_of(50));
}

// covers: O-04
#[test]
fn pages_of_pagers_go_when_memory_is_short() {
    let mut f = Fixture::new();
    let (at, control) = f.ready(64);
    assert_eq!(f.supply(control, 0, &[1; 39]).0, K::Success);
    let precious = f.supply_at(control, 39 * PAGE, &[1], (0, 1)).0;
    assert_eq!(precious, K::Success);
    let client = f.client;
    for page in 0..40 {
        assert_eq!(f.load(client, at + page * PAGE), Some(1));
    }
    assert!(f.touch(client, at + 7 * PAGE, Access::Write).is_some());
    f.sim.on(client).poke(at + 7 * PAGE, &[7]);
    let host = privileged_host(&mut f);
    let target = f.sim.machine.memory.available() + 30;
    let id = <dyn Host>::SET_FREE_TARGET.id;
    let request = Request::call(host).id(id).words([target, 0, 0, 0, 0, 0]);
    let first = f.first;
    assert_eq!(code(&f.sim.on(first).message(&request)), K::Success);
    // Somebody asks for memory.
    let other = f.sim.add_task();
    let fresh = f
        .sim
        .on(other)
        .trap(trap::VM_ALLOCATE, &[0, PAGE, 1])
        .unwrap();
    f.sim.on(other).poke(fresh, &[1]);
    f.check();
    let told = Told::Return {
        page: 7,
        content: vec![7],
        dirty: true,
        kept: false,
    };
    assert_eq!(f.told(), Some(told));
    let clean = Told::Return {
        page: 39,
        content: vec![1],
        dirty: false,
        kept: false,
    };
    assert_eq!(f.told(), Some(clean), "precious");
    assert_eq!(f.load(client, at + 3 * PAGE), None);
    assert_eq!(f.told(), Some(Told::Request { page: 3, access: 1 }));
    assert_eq!(f.supply(control, 3, &[3]).0, K::Success);
    assert_eq!(f.load(client, at + 3 * PAGE), Some(3));
}
