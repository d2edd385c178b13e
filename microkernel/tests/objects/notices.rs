//! What notifications that nobody receives take, and who pays for it.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, right};
use abi::notify;

use crate::world::{LIMITS, World};

/// More requests than a task can pay for.
const MANY: u64 = LIMITS.kernel_bytes / 16;

// covers: N-03 P-22
#[test]
fn who_asks_for_notifications_pays_until_they_are_received() {
    let world = World::single();
    let child = world.child();
    let (thread, thread_right) = child.thread();
    let (dead, mailbox) = {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(thread);
        (me.allocate(right::DEAD_NAME).unwrap(), me.port())
    };
    let used = || child.task.ledger().unwrap().used.kernel_bytes;
    let before = used();
    // Fired at once, and when the name goes with which it was armed.
    let ask = |round: u64| {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(thread);
        if round.is_multiple_of(2) {
            return me.request(dead, notify::DEAD_NAME, 1, mailbox);
        }
        let name = me.allocate(right::RECEIVE)?;
        let asked = me.request(name, notify::DEAD_NAME, 0, mailbox);
        me.destroy(name).unwrap();
        asked
    };
    let made = (0..MANY).take_while(|round| ask(*round).is_ok()).count();
    // A port would take more than a notification.
    let made = made + (0..MANY).take_while(|_| ask(0).is_ok()).count();
    assert_eq!(ask(0), Err(K::ResourceShortage));
    assert!(made > 1000 && made < MANY as usize, "{made} were made");
    assert!(used() > LIMITS.kernel_bytes / 2, "{} bytes", used());
    // Another task is not concerned.
    let other = world.child();
    let (there, there_right) = other.thread();
    {
        let mut sim = world.sim.borrow_mut();
        let mut them = sim.on(there);
        let (name, mailbox) = (them.allocate(right::DEAD_NAME).unwrap(), them.port());
        let asked = them.request(name, notify::DEAD_NAME, 1, mailbox);
        assert_eq!(asked, Ok(Name::NULL));
    }
    // With each that is received, or ends with its port, the memory is the task's again.
    {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(thread);
        for _ in 0..made / 2 {
            assert_eq!(me.poll(mailbox).code.0, 0);
        }
    }
    assert_eq!(ask(0), Ok(Name::NULL));
    world.sim.borrow_mut().on(thread).destroy(mailbox).unwrap();
    assert!(used() < before, "{} of {before} bytes", used());
    for (right, child) in [(thread_right, child), (there_right, other)] {
        world.release(right);
        child.end();
    }
    world.at_baseline();
}

// covers: N-02 N-04
#[test]
fn a_request_that_is_replaced_or_cancelled_is_paid_back() {
    let world = World::single();
    let child = world.child();
    let (thread, thread_right) = child.thread();
    let used = || child.task.ledger().unwrap().used.kernel_bytes;
    let (name, mailbox) = {
        let mut sim = world.sim.borrow_mut();
        let mut me = sim.on(thread);
        (me.port(), me.port())
    };
    let before = used();
    let armed = [notify::DEAD_NAME, notify::NO_SENDERS, notify::NAMES_USED].map(|id| {
        let (name, sync) = match id {
            notify::NAMES_USED => (Name::NULL, 5000),
            _ => (name, 0),
        };
        let ask = |to| {
            let mut sim = world.sim.borrow_mut();
            let mut me = sim.on(thread);
            me.request(name, id, sync, to).unwrap()
        };
        assert_eq!(ask(mailbox), Name::NULL);
        let once = used();
        let previous = ask(mailbox);
        assert_eq!(used(), once, "one of {id} is armed");
        for name in [previous, ask(Name::NULL)] {
            world.sim.borrow_mut().on(thread).deallocate(name).unwrap();
        }
        assert_eq!(used(), before, "none of {id} is armed");
        once
    });
    assert!(armed.iter().all(|armed| *armed > before));
    world.release(thread_right);
    child.end();
    world.at_baseline();
}
