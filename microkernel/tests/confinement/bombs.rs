//! As much as can be had of everything: the attacker's ledger ends it, and the victim still gets its share.

use abi::kern_return::KernReturn as K;
use abi::names::{Name, right};
use abi::notify;
use abi::trap::{MK_TIMER_ARM, MK_TIMER_CREATE, TASK_SELF};
use interfaces::task::Task;
use sim::Request;

use crate::scene::{Scene, attack};

/// More than any ledger here allows.
const MANY: u32 = 100_000;

/// Does something again and again until the kernel refuses; how often it went.
fn until_refused(scene: &mut Scene, mut step: impl FnMut(&mut Scene) -> Result<(), K>) -> u32 {
    for count in 0..MANY {
        if let Err(code) = step(scene) {
            assert_eq!(code, K::ResourceShortage);
            return count;
        }
    }
    panic!("nothing ends it");
}

/// The victim still gets ports and requests for notifications.
fn others_get_theirs(scene: &mut Scene) {
    let mut me = scene.sim.on(scene.client);
    let ports: Vec<Name> = (0..100).map(|_| me.port()).collect();
    let notes = ports[0];
    for port in &ports {
        let asked = me.request(*port, notify::NO_SENDERS, 0, notes);
        assert_eq!(asked, Ok(Name::NULL));
    }
    for port in ports {
        me.destroy(port).unwrap();
    }
}

// covers: P-05
#[test]
fn ports_and_sets_end_with_the_ledger() {
    attack(|scene| {
        for kind in [right::RECEIVE, right::PORT_SET] {
            let made = until_refused(scene, |scene| {
                scene.sim.on(scene.attacker).allocate(kind).map(|_| ())
            });
            assert!(made <= 10_000, "{made}");
            others_get_theirs(scene);
        }
    });
}

// covers: N-01
#[test]
fn requests_for_notifications_end_with_the_ledger() {
    attack(|scene| {
        let notes = scene.sim.on(scene.attacker).port();
        until_refused(scene, |scene| {
            let mut me = scene.sim.on(scene.attacker);
            let port = me.allocate(right::RECEIVE)?;
            me.request(port, notify::NO_SENDERS, 0, notes)?;
            me.request(port, notify::PORT_DESTROYED, 0, notes)?;
            me.request(port, notify::DEAD_NAME, 0, notes)?;
            Ok(())
        });
        others_get_theirs(scene);
    });
}

/// Notifications that nobody receives stay their asker's.
// covers: N-07
#[test]
fn notifications_that_nobody_receives_end_with_the_ledger() {
    attack(|scene| {
        let notes = scene.sim.on(scene.attacker).port();
        until_refused(scene, |scene| {
            let mut me = scene.sim.on(scene.attacker);
            let port = me.allocate(right::RECEIVE)?;
            me.request(port, notify::DEAD_NAME, 0, notes)?;
            me.destroy(port)
        });
        others_get_theirs(scene);
    });
}

// covers: T-01 T-07
#[test]
fn tasks_and_threads_end_with_the_ledger() {
    attack(|scene| {
        let task = scene.own(TASK_SELF);
        let all = scene.sim.kernel.census();
        let made = until_refused(scene, |scene| {
            // Each with a part of what its creator has, and its memory.
            let limits = [100, 100, 2, 8, 1 << 15];
            create(scene, task, limits)
        });
        assert!(made >= 1, "a fork bomb needs a fork");
        let now = scene.sim.kernel.census();
        assert_eq!(now.tasks - all.tasks, made);
        others_get_theirs(scene);
    });
}

/// A task with so much of the attacker's ledger: names, messages, threads, pages, bytes of the kernel.
fn create(scene: &mut Scene, task: Name, limits: [u64; 5]) -> Result<(), K> {
    // Identity and inheritance do not fit into the registers, too.
    let mut words = limits.to_vec();
    words.extend([7, 1]);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let request = Request::call(task).id(<dyn Task>::CREATE.id).data(&bytes);
    let reply = scene.sim.on(scene.attacker).message(&request);
    match K(reply.words[0] as u32) {
        K::Success => Ok(()),
        code => Err(code),
    }
}

// covers: K-03
#[test]
fn semaphores_and_timers_end_with_the_ledger() {
    attack(|scene| {
        let task = scene.own(TASK_SELF);
        until_refused(scene, |scene| {
            scene
                .call(task, <dyn Task>::SEMAPHORE_CREATE.id, [0; 6])
                .map(|_| ())
        });
        others_get_theirs(scene);
    });
    attack(|scene| {
        let later = scene.sim.now() + 3_600_000_000_000;
        until_refused(scene, |scene| {
            let timer = scene.trap(MK_TIMER_CREATE, &[])?;
            scene.trap(MK_TIMER_ARM, &[timer, later]).map(|_| ())
        });
        others_get_theirs(scene);
    });
}
