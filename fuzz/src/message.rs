//! Messages whose registers and buffer any bytes are.

use abi::message::MIN_BUFFER;
use abi::registers::options;
use abi::trap::MACH_MSG;
use microkernel::machine::Frame;
use sim::Sim;
use sim::user::buffer_address;

/// Bytes that become registers.
const REGISTERS: usize = 40;
/// The most messages of one input.
const MESSAGES: usize = 8;

/// Up to 8 messages of one task to itself: each the registers, how long the body is, and the body.
pub fn message(bytes: &[u8]) {
    let (mut sim, thread) = Sim::single();
    // Names that bytes can name: the first ones of a task are always the same.
    for _ in 0..3 {
        sim.on(thread).port();
    }
    let mut rest = bytes;
    for _ in 0..MESSAGES {
        let Some((registers, more)) = rest.split_at_checked(REGISTERS) else {
            break;
        };
        let length = usize::from(registers[0]) * 2;
        let (body, more) = more.split_at(length.min(more.len()));
        rest = more;
        let cpu = sim.until_runs(thread);
        let room = body.len().min(MIN_BUFFER as usize);
        let written = sim.write(cpu, buffer_address(thread), &body[..room]);
        assert!(written.is_ok(), "a wired buffer does not fault");
        load(sim.machine.registers(thread), registers);
        if sim.enter_trap(cpu).is_none() {
            // A wait has a deadline, which is past.
            sim.on(thread).finish();
        }
        assert_eq!(sim.kernel.check(&sim.machine), Ok(()));
    }
}

/// Registers of a message that waits for nobody.
fn load(frame: &mut Frame, bytes: &[u8]) {
    let word = |n: usize| {
        let chunk = bytes.get(n * 8..n * 8 + 8).unwrap_or(&[0; 8]);
        chunk
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    };
    frame.rax = MACH_MSG as u64;
    frame.rdi = word(1) | u64::from(options::SEND_TIMEOUT | options::RECEIVE_TIMEOUT);
    frame.rsi = word(2);
    frame.rdx = word(3);
    frame.r10 = 0;
    frame.words = [word(4); 6];
}
