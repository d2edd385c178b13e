//! Out-of-line memory of a pager: a page that goes while a message is being sent in steps.

use abi::kern_return::{KernReturn as K, MessageReturn};
use abi::names::Name;
use abi::vm::{protection, returns};
use interfaces::memory_object::MemoryControl;
use interfaces::thread::Thread;
use microkernel::kernel::Census;
use microkernel::machine::Event;
use sim::{Config, Request};

use crate::fixture::{Fixture, PAGE, Told};

/// Pages of the message: a send of so many takes steps.
const PAGES: u64 = 100;

/// A send that waits.
struct Stopped {
    f: Fixture,
    /// Where it goes.
    to: Name,
    control: Name,
    /// The client's thread.
    thread: Name,
    /// What there was before it.
    before: Census,
}

/// Steps until the first pages are copied: those before look whether all are there.
const STEPS: u32 = 4;

/// A send of the client's that has lost page 90 after it copied its first pages, and waits for it.
fn stopped() -> Stopped {
    let mut f = Fixture::with(Config::with_cpus(2));
    let (at, control) = f.ready(PAGES);
    for first in [0, 50] {
        let content: Vec<u8> = (first..first + 50).map(|page| page as u8 + 1).collect();
        assert_eq!(f.supply(control, first, &content).0, K::Success);
    }
    let pager = f.pager;
    f.sim.until_runs(pager);
    let to = f.sim.on(f.client).port();
    let thread = f.thread_port();
    let before = f.sim.kernel.census();
    let sent = Request::send(to).memory(at, PAGES * PAGE);
    let cpu = f.sim.on(f.client).message_steps(&sent, STEPS);
    let flush = (returns::NONE, 1, protection::NO_CHANGE);
    assert_eq!(f.lock(control, (90, 1), flush), K::Success);
    f.sim.event(cpu, Event::Continue);
    assert!(f.waits(f.client), "it goes on without the page");
    let access = protection::READ;
    assert_eq!(f.told(), Some(Told::Request { page: 90, access }));
    Stopped {
        f,
        to,
        control,
        thread,
        before,
    }
}

// covers: O-02 M-23
#[test]
fn a_send_in_steps_waits_for_a_page_that_went() {
    let Stopped {
        mut f, to, control, ..
    } = stopped();
    assert_eq!(f.supply(control, 90, &[0x5a]).0, K::Success);
    let reply = f.sim.on(f.client).finish_message();
    assert_eq!(reply.code, MessageReturn::Success);
    let got = f.sim.on(f.client).poll(to);
    let memory = got.right();
    assert_eq!(memory.size, PAGES * PAGE);
    for (page, byte) in [(0, 1), (89, 90), (90, 0x5a), (99, 100)] {
        let found = f.load(f.client, memory.address + page * PAGE);
        assert_eq!(found, Some(byte), "page {page}");
    }
}

// covers: M-08 M-23
#[test]
fn a_send_whose_page_is_lost_fails_and_leaves_nothing_behind() {
    let Stopped {
        mut f,
        to,
        control,
        before,
        ..
    } = stopped();
    let error = <dyn MemoryControl>::DATA_ERROR.id;
    assert_eq!(f.refuse(control, error, 90, 1), K::Success);
    let reply = f.sim.on(f.client).finish_message();
    assert_eq!(reply.code, MessageReturn::SendInvalidMemory);
    assert_eq!(f.sim.kernel.census(), before);
    let got = f.sim.on(f.client).poll(to);
    assert_eq!(got.code, MessageReturn::ReceiveTimedOut);
    // The thread is free to send again.
    let sent = Request::send(to);
    let again = f.sim.on(f.client).message(&sent);
    assert_eq!(again.code, MessageReturn::Success);
}

// covers: M-08 T-09
#[test]
fn an_abort_ends_a_send_that_waits_for_a_page() {
    let Stopped {
        mut f,
        to,
        control,
        thread,
        ..
    } = stopped();
    let other = f.sim.add_thread(f.client);
    // Its rights are used up: the thread could not send it again.
    let safely = f.order(other, thread, <dyn Thread>::ABORT_SAFELY.id);
    assert_eq!((safely, f.waits(f.client)), (K::Failure, true));
    f.abort(other, thread);
    let reply = f.sim.on(f.client).finish_message();
    assert_eq!(reply.code, MessageReturn::SendInvalidMemory);
    assert_eq!(f.supply(control, 90, &[1]).0, K::Success);
    let got = f.sim.on(f.client).poll(to);
    assert_eq!(got.code, MessageReturn::ReceiveTimedOut);
}
