//! Memory: others' content, and as much as can be had.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn as K, MessageReturn as Code};
use abi::names::disposition;
use abi::trap::{VM_ALLOCATE, VM_DEALLOCATE};
use microkernel::machine::Access;
use sim::{Request, User, image};

use crate::scene::{SECRET, attack};

/// Pages of which the victim lets go.
const LEFT: u64 = 16;
/// Memory of the victim's that it does not need.
const VICTIMS: u64 = image::DATA + 0x2_8000;
/// Where a task finds room.
const FREE: u64 = 0x7000_0000_0000;
/// Pages that a task's ledger pays for.
const PAGES: u64 = 256;

/// The victim gives pages back and has new ones in their place.
fn anew(victim: &mut User<'_>, pages: u64) {
    let range = [VICTIMS, pages * PAGE_SIZE, 0];
    victim.trap(VM_DEALLOCATE, &range[..2]).unwrap();
    victim.trap(VM_ALLOCATE, &range).unwrap();
}

// covers: V-01
#[test]
fn new_memory_holds_nothing_of_what_others_left() {
    attack(|scene| {
        let mut victim = scene.sim.on(scene.client);
        let secrets: Vec<u8> = SECRET.to_le_bytes().repeat(512);
        for page in 0..LEFT {
            victim.poke(VICTIMS + page * PAGE_SIZE, &secrets);
        }
        anew(&mut victim, LEFT);
        let mut me = scene.sim.on(scene.attacker);
        me.trap(VM_ALLOCATE, &[FREE, 100 * PAGE_SIZE, 0]).unwrap();
        for page in 0..100 {
            let bytes: [u8; PAGE_SIZE as usize] = me.peek(FREE + page * PAGE_SIZE);
            assert_eq!(bytes, [0; PAGE_SIZE as usize]);
        }
        me.trap(VM_DEALLOCATE, &[FREE, 100 * PAGE_SIZE]).unwrap();
    });
}

// covers: M-04
#[test]
fn registers_and_buffers_hold_nothing_of_others() {
    attack(|scene| {
        let secrets = SECRET.to_le_bytes();
        // The last message in every register and in both buffers was the victim's.
        scene.probe();
        let port = scene.sim.on(scene.attacker).port();
        let send = Request::send(port).data(&[1]).words([0; 6]);
        assert_eq!(scene.send(&send), Code::Success);
        let got = scene.sim.on(scene.attacker).poll(port);
        assert_eq!(got.code, Code::Success);
        let frame = scene.sim.machine.registers(scene.attacker);
        let registers = [
            frame.rax, frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.rcx,
        ];
        let seen = registers.iter().chain(&frame.words);
        assert!(
            seen.into_iter()
                .all(|word| *word != SECRET && *word != !SECRET)
        );
        let buffer = sim::user::buffer_address(scene.attacker);
        let bytes: [u8; PAGE_SIZE as usize] = scene.sim.on(scene.attacker).peek(buffer);
        assert!(!bytes.windows(8).any(|window| window == secrets));
        // Of the last page of memory in a message, what was not sent is zero.
        scene
            .sim
            .on(scene.client)
            .poke(VICTIMS, &secrets.repeat(512));
        let right = scene
            .sim
            .give(scene.attacker, port, disposition::MAKE_SEND, scene.client);
        let part = Request::send(right).memory(VICTIMS + 8, 16);
        assert_eq!(
            scene.sim.on(scene.client).message(&part).code,
            Code::Success
        );
        let got = scene.sim.on(scene.attacker).poll(port);
        let piece = got.body.unwrap().descriptors[0];
        let page = piece.address - piece.address % PAGE_SIZE;
        let bytes: [u8; PAGE_SIZE as usize] = scene.sim.on(scene.attacker).peek(page);
        let (sent, rest) = (
            secrets.repeat(2),
            piece.address as usize % PAGE_SIZE as usize,
        );
        assert_eq!(bytes[rest..rest + 16], sent);
        assert!(
            bytes[..rest]
                .iter()
                .chain(&bytes[rest + 16..])
                .all(|byte| *byte == 0)
        );
        scene.sim.on(scene.client).deallocate(right).unwrap();
        anew(&mut scene.sim.on(scene.client), 1);
    });
}

/// Touches pages this far apart until the attacker is stopped; how many it got.
fn hog(scene: &mut crate::scene::Scene, apart: u64, most: u64) -> u64 {
    let attacker = scene.sim.task_of(scene.attacker);
    for count in 0..=most {
        let at = FREE - count * apart;
        match scene.trap(VM_ALLOCATE, &[at, PAGE_SIZE, 0]) {
            Ok(_) => {}
            Err(code) => {
                assert_eq!(code, K::ResourceShortage);
                return count;
            }
        }
        let cpu = scene.sim.until_runs(scene.attacker);
        if scene.sim.reach(cpu, at, Access::Write).is_err() {
            // Who gets no page has an exception, which ends its task.
            while scene.sim.deliver() {}
            assert!(!scene.sim.kernel.task_ids().any(|task| task == attacker));
            return count;
        }
    }
    panic!("nothing ends it");
}

// covers: V-11
#[test]
fn a_hog_of_memory_ends_with_its_ledger() {
    attack(|scene| {
        let got = hog(scene, 2 * PAGE_SIZE, PAGES);
        assert!(got > 50, "{got} pages");
    });
}

/// Each page in a page table of its own.
// covers: V-11
#[test]
fn a_hog_of_page_tables_ends_with_its_ledger() {
    attack(|scene| {
        let got = hog(scene, 1 << 30, PAGES);
        assert!(got > 10, "{got} pages");
    });
}
