//! Ordinary pagers beside the default one, while memory is short.

use std::mem::swap;

use abi::kern_return::KernReturn as K;
use abi::names::{Name, disposition};
use abi::trap::attribute;
use microkernel::machine::{Access, FrameIndex};
use sim::Config;

use crate::fixture::{Fixture, PAGE, Told};
use crate::store::{Store, byte_of};

/// A pager of its own task, and the memory object by both its names.
struct Other {
    pager: FrameIndex,
    object: Name,
    given: Name,
}

impl Other {
    fn new(f: &mut Fixture) -> Self {
        let pager = f.sim.add_task();
        let object = f.sim.on(pager).port();
        let given = f.sim.give(pager, object, disposition::MAKE_SEND, f.client);
        Self {
            pager,
            object,
            given,
        }
    }

    /// What the fixture does with its pager it does with this one.
    fn act<T>(&mut self, f: &mut Fixture, act: impl FnOnce(&mut Fixture) -> T) -> T {
        self.change_places(f);
        let done = act(f);
        self.change_places(f);
        done
    }

    fn change_places(&mut self, f: &mut Fixture) {
        swap(&mut self.pager, &mut f.pager);
        swap(&mut self.object, &mut f.object);
        swap(&mut self.given, &mut f.given);
    }

    /// How many messages wait for it.
    fn waiting(&self, f: &mut Fixture) -> u64 {
        let mut pager = f.sim.on(self.pager);
        let count = pager.attribute(self.object, attribute::MESSAGE_COUNT);
        count.unwrap()
    }
}

/// Memory is short, and a thread writes to so much of it.
fn press(s: &mut Store, thread: FrameIndex, pages: u64, mut step: impl FnMut(&mut Store)) {
    let at = s.allocate(thread, pages);
    s.leave_free(0);
    for page in 0..pages {
        s.put(thread, at + page * PAGE, byte_of(page));
        s.serve(100);
        step(s);
    }
}

// covers: O-08
#[test]
fn a_pager_that_is_slow_is_sent_no_more_and_other_memory_goes() {
    const MOST: u64 = 16;
    let mut s = Store::with(Config::default(), 4096, 500);
    let mut slow = Other::new(&mut s.f);
    let client = s.f.client;
    let (at, control) = slow.act(&mut s.f, |f| f.ready(100));
    for page in (0..100).step_by(2) {
        let supplied = slow.act(&mut s.f, |f| f.supply(control, page, &[page as u8]));
        assert_eq!(supplied.0, K::Success);
        let written = s.f.touch(client, at + page * PAGE, Access::Write);
        assert_eq!(written, Some(page as u8));
    }
    let mut waiting = 0;
    press(&mut s, client, 100, |s| {
        waiting = slow.waiting(&mut s.f);
        assert!(waiting <= MOST, "{waiting}");
    });
    assert_eq!(waiting, MOST, "it had its share");
    assert!(s.came > 30, "{} pages went to the default pager", s.came);
    // What it is not sent stays in memory.
    let sent = slow.act(&mut s.f, Fixture::all_told);
    assert_eq!(sent.len() as u64, MOST);
    let mut gone = [false; 100];
    for told in sent {
        let Told::Return { page, content, .. } = told else {
            panic!("not asked for: {told:?}");
        };
        assert_eq!(content, [page as u8]);
        gone[page as usize] = true;
    }
    for page in (0..100).step_by(2).filter(|page| !gone[*page as usize]) {
        assert_eq!(s.f.load(client, at + page * PAGE), Some(page as u8));
    }
}

// covers: O-08
#[test]
fn a_pager_whose_own_memory_was_put_away_gets_it_back_and_answers() {
    const OWN: u64 = 40;
    let mut s = Store::with(Config::default(), 4096, 500);
    let mut other = Other::new(&mut s.f);
    let client = s.f.client;
    let (at, control) = other.act(&mut s.f, |f| f.ready(1));
    let own = s.allocate(other.pager, OWN);
    for page in 0..OWN {
        s.put(other.pager, own + page * PAGE, byte_of(page));
    }
    press(&mut s, client, 150, |_| ());
    assert_eq!(s.f.load(client, at), None);
    let asked = other.act(&mut s.f, Fixture::told);
    assert_eq!(asked, Some(Told::Request { page: 0, access: 1 }));
    // It looks for the answer, and has to wait itself.
    let mut missing = (0..OWN).filter(|page| {
        let found = s.f.load(other.pager, own + page * PAGE);
        found.is_none() && s.f.waits(other.pager)
    });
    let missing = missing.next().expect("a page that was put away");
    assert!(s.f.waits(client));
    let found = s.look(other.pager, own + missing * PAGE, Access::Read);
    assert_eq!(found, byte_of(missing));
    let supplied = other.act(&mut s.f, |f| f.supply(control, 0, &[found]));
    assert_eq!(supplied.0, K::Success);
    assert_eq!(s.f.load(client, at), Some(found));
}
