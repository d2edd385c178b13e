//! Rights that an attacker does not have: guessed, forged, stale.

use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::names::{Name, disposition};
use abi::registers::options;
use abi::trap::{HOST_SELF, INTERRUPT_ACKNOWLEDGE, IO_READ, IO_WRITE, SEMAPHORE_SIGNAL};
use interfaces::host::Host;
use interfaces::mach_host::MachHost;
use sim::{Request, Rng};

use crate::scene::{SECRET, attack};

/// Indexes that no name of the attacker's has.
const BEYOND: u32 = 1_000;

// covers: P-01 M-05
#[test]
fn names_are_not_guessed() {
    attack(|scene| {
        let mut rng = Rng::new(1);
        for _ in 0..3_000 {
            let name = Name::new(BEYOND + rng.word() as u32 % (1 << 20), rng.word() as u8);
            assert_eq!(scene.sim.on(scene.attacker).kind(name), Err(K::InvalidName));
            assert_eq!(scene.send(&Request::send(name)), Code::SendInvalidDest);
            let carried = Request::send(scene.door).port(name, disposition::COPY_SEND);
            assert_eq!(scene.send(&carried), Code::SendInvalidRight);
        }
    });
}

// covers: M-09 M-14 P-12
#[test]
fn replies_that_are_late_used_up_or_forged_reach_nobody() {
    attack(|scene| {
        let (client, attacker) = (scene.client, scene.attacker);
        let lure = scene.sim.on(attacker).port();
        let make = disposition::MAKE_SEND;
        let right = scene.sim.give(attacker, lure, make, client);
        let soon = scene.sim.now() + 1_000_000_000;
        let call = Request::call(right)
            .with(options::RECEIVE_TIMEOUT)
            .until(soon);
        assert_eq!(scene.sim.on(client).start_message(&call), None);
        let got = scene.sim.on(attacker).message(&Request::receive(lure));
        assert_eq!((got.code, got.reply), (Code::Success, Name::REPLY_SLOT));
        scene.sim.pass_time(2_000_000_000);
        let told = scene.sim.on(client).finish_message().code;
        assert_eq!(told, Code::ReceiveTimedOut);
        // The client waits for an answer of its server's, and gets no other.
        let call = Request::call(scene.service).words([SECRET; 6]);
        assert_eq!(scene.sim.on(client).start_message(&call), None);
        for _ in 0..2 {
            assert_eq!(scene.send(&Request::reply()), Code::SendInvalidDest);
        }
        for index in 0..100 {
            let forged = Request::send(Name::new(BEYOND + index, 1));
            let forged = forged.disposed(disposition::MOVE_SEND_ONCE);
            assert_eq!(scene.send(&forged), Code::SendInvalidDest);
        }
        let got = scene
            .sim
            .on(scene.server)
            .message(&Request::receive(scene.port));
        assert_eq!(got.words, [SECRET; 6]);
        let answer = Request::reply().words([7; 6]);
        assert_eq!(
            scene.sim.on(scene.server).message(&answer).code,
            Code::Success
        );
        assert_eq!(scene.sim.on(client).finish_message().words, [7; 6]);
        scene.sim.on(client).deallocate(right).unwrap();
    });
}

// covers: H-01
#[test]
fn the_host_gives_nobody_what_is_not_theirs() {
    attack(|scene| {
        let host = scene.own(HOST_SELF);
        for id in [
            <dyn Host>::TASK.id,
            <dyn Host>::SHUTDOWN.id,
            <dyn Host>::REBOOT.id,
        ] {
            for index in 0..4 {
                let answer = scene.call(host, id, [index, 0, 0, 0, 0, 0]);
                assert_eq!(answer, Err(K::NoAccess), "{id} of {index}");
            }
        }
        let control = scene.call(host, <dyn MachHost>::CLOCK_CONTROL.id, [0; 6]);
        assert_eq!(control, Err(K::NoAccess));
        let processors = scene.call(host, <dyn MachHost>::PROCESSORS.id, [0; 6]);
        assert_eq!(processors, Err(K::NoAccess));
    });
}

// covers: P-01
#[test]
fn devices_and_semaphores_take_their_own_rights_only() {
    attack(|scene| {
        let host = scene.own(HOST_SELF);
        let own = scene.sim.on(scene.attacker).port();
        for name in [Name::NULL, own, scene.door, host, Name::new(BEYOND, 1)] {
            let name = name.0.into();
            for (trap, arguments) in [
                (IO_READ, [name, 0, 1, 0]),
                (IO_WRITE, [name, 0, 1, 0xff]),
                (INTERRUPT_ACKNOWLEDGE, [name, 0, 0, 0]),
                (SEMAPHORE_SIGNAL, [name, 0, 0, 0]),
            ] {
                let answer = scene.trap(trap, &arguments).unwrap_err();
                assert!(
                    [K::InvalidName, K::InvalidRight].contains(&answer),
                    "{answer:?}"
                );
            }
        }
        assert_eq!(scene.sim.machine.port_log, []);
    });
}
