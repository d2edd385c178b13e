//! Messages that lie, and more of them than there is room for.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::message::{Descriptor, MAX_DESCRIPTORS};
use abi::names::disposition;
use abi::registers::{Shape, options, pair};
use abi::trap::attribute;
use abi::vm::MAX_ADDRESS;
use sim::{Reply, Request, image};

use crate::scene::{Scene, attack};

/// A message whose registers claim another shape than it has.
fn claim(scene: &mut Scene, request: &Request, shape: Shape) -> Code {
    let cpu = scene.sim.until_runs(scene.attacker);
    let frame = scene.sim.machine.registers(scene.attacker);
    request.load(frame);
    frame.rdi = pair(frame.rdi as u32, shape.0);
    let answer = scene.sim.enter_trap(cpu).expect("it does not wait");
    Reply::from_frame(&answer.frame).code
}

// covers: M-01 M-20
#[test]
fn headers_that_claim_more_than_the_buffer_holds_are_refused() {
    attack(|scene| {
        let send = Request::send(scene.door);
        for shape in [
            Shape::buffered(0xf_ffff, 0),
            Shape::buffered(8192, 0),
            Shape::buffered(0, MAX_DESCRIPTORS as u32 + 1),
        ] {
            assert_eq!(claim(scene, &send, shape), Code::SendTooLarge, "{shape:?}");
        }
    });
}

// covers: M-20 M-24
#[test]
fn descriptors_that_lie_are_refused() {
    attack(|scene| {
        for kind in 5..=255 {
            let mut lies = Request::send(scene.door).port(scene.door, disposition::COPY_SEND);
            let mut descriptor = Descriptor {
                kind,
                ..Descriptor::default()
            };
            descriptor.name = scene.door.0;
            lies.body.as_mut().unwrap().descriptors.push(descriptor);
            assert_eq!(scene.send(&lies), Code::SendInvalidType, "kind {kind}");
        }
        // Arrays of names where none are, and of more rights than a message may carry.
        let array = |scene: &mut Scene, address, count| {
            let request = Request::send(scene.door);
            scene.send(&request.array(address, count, disposition::COPY_SEND))
        };
        assert_eq!(array(scene, 0, 8), Code::SendInvalidMemory);
        assert_eq!(array(scene, MAX_ADDRESS - 8, 8), Code::SendInvalidMemory);
        assert_eq!(array(scene, image::DATA, 16_384), Code::SendTooLarge);
        assert_eq!(array(scene, image::DATA, u32::MAX), Code::SendTooLarge);
    });
}

// covers: M-22 M-23
#[test]
fn memory_that_the_attacker_does_not_have_is_not_sent() {
    attack(|scene| {
        let kernel = 0xffff_ffff_8000_0000;
        for (address, size) in [
            (0, PAGE_SIZE),
            (image::DATA - PAGE_SIZE, PAGE_SIZE),
            (MAX_ADDRESS - PAGE_SIZE, 2 * PAGE_SIZE),
            (MAX_ADDRESS, PAGE_SIZE),
            (1 << 63, PAGE_SIZE),
            (0xffff_8000_0000_0000, PAGE_SIZE),
            (kernel, PAGE_SIZE),
            (u64::MAX - 1, PAGE_SIZE),
            (image::DATA, u64::MAX),
            (image::DATA, image::DATA.wrapping_neg()),
        ] {
            let sent = scene.send(&Request::send(scene.door).memory(address, size));
            assert_eq!(sent, Code::SendInvalidMemory, "{size:#x} at {address:#x}");
        }
    });
}

// covers: M-25 P-31
#[test]
fn a_right_to_receive_that_is_sent_to_itself_does_not_stay() {
    attack(|scene| {
        for _ in 0..50 {
            let mut me = scene.sim.on(scene.attacker);
            let port = me.port();
            let inside = Request::send(port).port(port, disposition::MOVE_RECEIVE);
            assert_eq!(me.message(&inside).code, Code::Success);
            me.destroy(port).unwrap();
            // Two, each in the other's queue.
            let pair = [me.port(), me.port()];
            for (to, what) in [(pair[0], pair[1]), (pair[1], pair[0])] {
                let sent = me.message(&Request::send(to).port(what, disposition::MOVE_RECEIVE));
                assert_eq!(sent.code, Code::Success);
            }
        }
    });
}

// covers: M-10
#[test]
fn a_flood_fills_the_attackers_own_ledger_and_queue() {
    attack(|scene| {
        let now = |request: Request| request.with(options::SEND_TIMEOUT).until(0);
        // To the server: as many as its queue takes.
        let mut sent = 0;
        let refused = loop {
            match scene.send(&now(Request::send(scene.door))) {
                Code::Success => sent += 1,
                code => break code,
            }
        };
        assert_eq!(refused, Code::SendTimedOut);
        assert!(sent <= 1024, "{sent}");
        // To itself: as many as its ledger pays for.
        let most = 10_000;
        let mut total = sent;
        'flood: loop {
            let port = scene.sim.on(scene.attacker).port();
            let limit =
                scene
                    .sim
                    .on(scene.attacker)
                    .set_attribute(port, attribute::QUEUE_LIMIT, 1024);
            limit.unwrap();
            for _ in 0..1024 {
                match scene.send(&now(Request::send(port))) {
                    Code::Success => total += 1,
                    code => {
                        assert_eq!(code, Code::SendNoBuffer);
                        break 'flood;
                    }
                }
            }
            assert!(total <= most, "{total} messages");
        }
    });
}

// covers: M-14
#[test]
fn a_server_that_does_not_answer_holds_up_its_callers_only() {
    attack(|scene| {
        let (client, attacker) = (scene.client, scene.attacker);
        let lure = scene.sim.on(attacker).port();
        let right = scene
            .sim
            .give(attacker, lure, disposition::MAKE_SEND, client);
        let other = scene.sim.add_thread_without_buffer(client);
        assert_eq!(
            scene.sim.on(other).start_message(&Request::call(right)),
            None
        );
        scene.probe();
        // The right to answer goes away unused: the caller hears of it.
        let got = scene.sim.on(attacker).message(&Request::receive(lure));
        assert_eq!(got.code, Code::Success);
        let dropped = scene.sim.on(attacker).deallocate(got.reply);
        assert_eq!(dropped, Ok::<(), K>(()));
        let told = scene.sim.on(other).finish_message();
        assert_eq!(
            (told.code, told.id),
            (Code::Success, abi::notify::SEND_ONCE)
        );
        scene.sim.on(client).deallocate(right).unwrap();
        scene.sim.on(other).start(abi::trap::THREAD_EXIT, &[]);
    });
}
