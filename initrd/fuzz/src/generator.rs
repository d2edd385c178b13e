//! [`Generator`]: the next step, from the seed and what was learnt so far.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::{DESCRIPTOR_SIZE, HEADER_SIZE, MIN_BUFFER, descriptor};
use abi::names::{Name, disposition, port_type, right};
use abi::registers::{self, Received, ReplyKind, options};
use abi::transport::{Interface, Kind};
use abi::trap::{self, construct};
use interfaces::ALL;
use interfaces::host::Host;
use interfaces::interrupt::Interrupt;
use interfaces::io::IoRange;
use interfaces::memory::Entry;
use interfaces::memory_object::MemoryControl;
use interfaces::semaphore::Semaphore;
use interfaces::task::Task;
use interfaces::thread::Thread;

use crate::edges::{self, Terrain};
use crate::message;
use crate::pool::Pool;
use crate::rng::Rng;
use crate::server::Server;
use crate::step::{Answer, Step};
use crate::traps::{self, TRAPS};

/// Names from which on a task gets rid of some.
const MANY: usize = 48;
/// A careful task does something lethal once in so many chances.
const TIRED: usize = 256;
/// Once in so many waits one has no end, where that is allowed.
const PATIENT: usize = 256;

/// What a generator spares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Care {
    /// Nothing.
    None,
    /// The memory that the caller runs on, mostly.
    OwnLife,
}

/// Where steps come from.
#[derive(Clone, Debug)]
pub struct Generator {
    /// Names and memory that are known.
    pub pool: Pool,
    /// Decides.
    pub rng: Rng,
    pub(crate) terrain: Terrain,
    pub(crate) care: Care,
    pub(crate) now: u64,
    pub(crate) server: Server,
}

impl Generator {
    /// The steps of a seed.
    pub fn new(seed: u64, terrain: Terrain, care: Care) -> Self {
        let (mut pool, mut rng) = (Pool::default(), Rng::new(seed));
        pool.add_region(terrain.buffer, MIN_BUFFER, &mut rng);
        Self {
            pool,
            rng,
            terrain,
            care,
            now: 0,
            server: Server::default(),
        }
    }

    /// What time it is, in ns since boot: deadlines are chosen by it.
    pub fn tell_time(&mut self, now: u64) {
        self.now = now;
    }

    /// Where the message buffer is now, as far as is known: bodies go there. `None`: nowhere.
    pub fn buffer(&self) -> Option<u64> {
        (self.terrain.buffer != 0).then_some(self.terrain.buffer)
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        if self.pool.count() > MANY && self.rng.one_in(3) {
            let name = self.pool.name(u32::MAX, &mut self.rng);
            return Step::trap(trap::PORT_DESTROY, [name.0.into(), 0, 0, 0, 0, 0]);
        }
        if let Some(answer) = self.answer() {
            return answer;
        }
        match self.rng.below(1024) {
            // A number that is no trap ends the task, when nobody handles its exceptions.
            0 if self.is_tired_of_life() => self.unknown(),
            1..450 => message::message(self),
            _ => {
                let (number, meanings) = match TRAPS[self.rng.below(TRAPS.len())] {
                    (number, _)
                        if traps::ENDLESS.contains(&number) && !self.waits_for_signals() =>
                    {
                        TRAPS[0]
                    }
                    row => row,
                };
                let arguments = traps::arguments(self, meanings);
                Step::trap(number, arguments)
            }
        }
    }

    fn unknown(&mut self) -> Step {
        let number = match self.rng.below(4) {
            0 => self.rng.word() as i64,
            1 => -(self.rng.below(300) as i64),
            2 => self.rng.below(400) as i64,
            _ => self
                .rng
                .pick(&[i64::MIN, i64::MAX, 0, -1, -216, trap::TASK_EXIT]),
        };
        Step::trap(number, [(); 6].map(|()| edges::word(&mut self.rng)))
    }

    /// Whether this one chance to die is taken.
    pub(crate) fn is_tired_of_life(&mut self) -> bool {
        let rarely = if self.care == Care::None { 8 } else { TIRED };
        self.rng.one_in(rarely)
    }

    /// Whether this one wait may last for ever: who spares its life has nobody to wake it.
    pub(crate) fn is_patient(&mut self) -> bool {
        self.care == Care::None && self.rng.one_in(PATIENT)
    }

    /// The same for a wait that others of its kind end.
    fn waits_for_signals(&mut self) -> bool {
        self.care == Care::None && self.rng.one_in(8)
    }

    /// Takes in what a step gave. `buffer` is the message buffer, as it is now.
    pub fn learn(&mut self, step: &Step, answer: &Answer, buffer: &[u8]) {
        self.learn_slot(step, answer);
        if step.is_message() {
            return self.learn_message(step, answer, buffer);
        }
        if step.registers.number == trap::MESSAGE_BUFFER {
            return self.learn_buffer(step, answer);
        }
        let [a, b, ..] = step.registers.arguments;
        let name = Name(a as u32);
        let result = answer.results[2];
        let success = answer.code == KernReturn::Success.0;
        match step.registers.number {
            trap::PORT_TYPE if !success => self.pool.doubt(name, &mut self.rng),
            trap::PORT_TYPE => self
                .pool
                .add(name, result as u32 & ALL_TYPES, &mut self.rng),
            _ if !success => {}
            trap::CLOCK => self.now = result,
            trap::VM_ALLOCATE => self.learn_region(result, b),
            trap::VM_MAP => self.learn_region(result, step.registers.arguments[2]),
            trap::VM_DEALLOCATE => self.pool.doubt_region(a),
            trap::PORT_ALLOCATE => {
                let bits = match a as u32 {
                    right::PORT_SET => port_type::PORT_SET,
                    right::DEAD_NAME => port_type::DEAD_NAME,
                    _ => port_type::RECEIVE,
                };
                self.pool.add(Name(result as u32), bits, &mut self.rng);
            }
            trap::PORT_CONSTRUCT => {
                let bits = match a & construct::PORT_SET {
                    0 => port_type::RECEIVE | port_type::SEND,
                    _ => port_type::PORT_SET,
                };
                self.pool.add(Name(result as u32), bits, &mut self.rng);
            }
            trap::PORT_INSERT_RIGHT => self.pool.add(name, port_type::SEND, &mut self.rng),
            trap::PORT_DESTROY | trap::PORT_DEALLOCATE | trap::PORT_DESTRUCT => {
                self.pool.doubt(name, &mut self.rng);
            }
            trap::THREAD_SELF => self.learn_service(result, <dyn Thread>::NAME),
            trap::TASK_SELF => self.learn_service(result, <dyn Task>::NAME),
            trap::HOST_SELF => self.learn_service(result, <dyn Host>::NAME),
            trap::REPLY_SLOT_TAKE | trap::PORT_REQUEST_NOTIFICATION => {
                let name = Name(result as u32);
                self.pool.add(name, port_type::SEND_ONCE, &mut self.rng);
            }
            _ => {}
        }
    }

    /// The old buffer is gone, whatever the answer is.
    fn learn_buffer(&mut self, step: &Step, answer: &Answer) {
        let [address, size, ..] = step.registers.arguments;
        let there = answer.code == KernReturn::Success.0 && size > 0;
        self.terrain.buffer = if there { address } else { 0 };
    }

    fn learn_region(&mut self, address: u64, size: u64) {
        // Some memory is let go of unnamed, so that the pool does not hold the only mappings.
        if size > 0 && !self.rng.one_in(16) {
            self.pool.add_region(address, size, &mut self.rng);
        }
    }

    fn learn_service(&mut self, name: u64, interface: &'static str) {
        let name = Name(name as u32);
        self.pool.add_service(name, interface, &mut self.rng);
    }

    /// Names and memory that a message brought, or that turned out to be none.
    fn learn_message(&mut self, step: &Step, answer: &Answer, buffer: &[u8]) {
        let [word, names, receive, _] = step.registers.arguments;
        match MessageReturn(answer.code) {
            MessageReturn::SendInvalidDest => {
                self.pool.doubt(registers::low_name(names), &mut self.rng);
            }
            MessageReturn::SendInvalidReply => {
                self.pool.doubt(registers::high_name(names), &mut self.rng);
            }
            MessageReturn::ReceiveInvalidName => {
                self.pool.doubt(registers::low_name(receive), &mut self.rng);
            }
            _ => {}
        }
        let received = word & u64::from(options::RECEIVE) != 0;
        let whole = answer.code == MessageReturn::Success.0;
        if !received || (!whole && answer.code != MessageReturn::ReceiveTooLarge.0) {
            return;
        }
        let [word, _, names, _] = answer.results;
        let what = Received(word as u32);
        let reply = registers::high_name(names);
        match what.reply() {
            ReplyKind::SendOnce => self.pool.add(reply, port_type::SEND_ONCE, &mut self.rng),
            ReplyKind::Send => self.pool.add(reply, port_type::SEND, &mut self.rng),
            ReplyKind::None | ReplyKind::Slot | ReplyKind::Dead => {}
        }
        let id = (receive >> 32) as i32;
        let interface = result_of(id);
        let count = what.shape().descriptors() as usize;
        for n in 0..count.min(64) {
            let at = HEADER_SIZE + n * DESCRIPTOR_SIZE;
            let Some(bytes) = buffer.get(at..at + DESCRIPTOR_SIZE) else {
                return;
            };
            self.learn_descriptor(bytes, interface);
            if [<dyn Task>::CREATE.id, <dyn Task>::THREAD_CREATE.id].contains(&id) {
                self.pool.note_made(name_in(bytes));
            }
        }
    }

    fn learn_descriptor(&mut self, bytes: &[u8], interface: &'static str) {
        let name = name_in(bytes);
        match (bytes[0], bytes[1]) {
            (descriptor::PORT, disposition::MOVE_RECEIVE) => {
                self.pool.add(name, port_type::RECEIVE, &mut self.rng);
            }
            (descriptor::PORT, disposition::MOVE_SEND_ONCE) => {
                self.pool.add(name, port_type::SEND_ONCE, &mut self.rng);
            }
            (descriptor::PORT, _) if interface.is_empty() => {
                self.pool.add(name, port_type::SEND, &mut self.rng);
            }
            // What the kernel answers with is an object of its own: somebody to ask.
            (descriptor::PORT, _) => self.pool.add_service(name, interface, &mut self.rng),
            (descriptor::OUT_OF_LINE, _) => {
                self.learn_region(number(bytes, 8..16), number(bytes, 16..24));
            }
            _ => {}
        }
    }
}

fn number(bytes: &[u8], place: core::ops::Range<usize>) -> u64 {
    let bytes = bytes.get(place).unwrap_or_default();
    let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
    bytes.iter().rev().fold(0, fold)
}

/// The name in a descriptor of a right.
fn name_in(descriptor: &[u8]) -> Name {
    Name(number(descriptor, 4..8) as u32)
}

/// The interface of the first right that the answer to a request brings, or a message from the kernel.
fn result_of(id: i32) -> &'static str {
    let method = ALL.iter().find_map(|interface| interface.method(id));
    let results = method.map_or(&[][..], |method| method.results).iter();
    let arguments = method.map_or(&[][..], |method| method.arguments).iter();
    let mut kinds = results.chain(arguments.map(|argument| &argument.kind));
    let right = kinds.find_map(|kind| match kind {
        Kind::Send(of) => Some(*of),
        _ => None,
    });
    match right {
        Some(of) if of.ends_with("Task") => <dyn Task>::NAME,
        Some(of) if of.ends_with("Thread") => <dyn Thread>::NAME,
        Some(of) if of.ends_with("Entry") => <dyn Entry>::NAME,
        Some(of) if of.ends_with("IoRange") => <dyn IoRange>::NAME,
        Some(of) if of.ends_with("Interrupt") => <dyn Interrupt>::NAME,
        Some(of) if of.ends_with("Semaphore") => <dyn Semaphore>::NAME,
        Some(of) if of.ends_with("MemoryControl") => <dyn MemoryControl>::NAME,
        _ => "",
    }
}

const ALL_TYPES: u32 = port_type::SEND
    | port_type::RECEIVE
    | port_type::SEND_ONCE
    | port_type::PORT_SET
    | port_type::DEAD_NAME;

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Care, Generator, Kind};
    use crate::edges::Terrain;
    use crate::step::Answer;
    use abi::names::Name;
    use abi::registers::Shape;
    use interfaces::KERNEL;
    use std::collections::BTreeSet;

    // Each object is asked by every method that the description of its interface has.
    #[test]
    fn every_method_of_every_kernel_object_is_asked_for() {
        for interface in KERNEL {
            let mut generator = Generator::new(7, Terrain::default(), Care::None);
            let name = Name(0x4201);
            let mut asked = BTreeSet::new();
            for _ in 0..60_000 {
                let Generator { pool, rng, .. } = &mut generator;
                pool.add_service(name, interface.name, rng);
                let step = generator.step();
                let [word, names, receive, _] = step.registers.arguments;
                if !step.is_message() || names as u32 != name.0 {
                    continue;
                }
                let method = interface.method((receive >> 32) as i32);
                let rights = |method: &abi::transport::Method| {
                    let kinds = method.arguments.iter().map(|argument| argument.kind);
                    let plain =
                        |kind: &Kind| matches!(kind, Kind::Value(_) | Kind::Bytes | Kind::Text);
                    kinds.filter(|kind| !plain(kind)).count()
                };
                let brought = Shape((word >> 32) as u32).descriptors() as usize;
                asked.extend(
                    method
                        .filter(|method| rights(method) == brought)
                        .map(|m| m.id),
                );
            }
            for method in interface.methods {
                let name = (interface.name, method.name);
                assert!(asked.contains(&method.id), "{name:?} was never asked for");
            }
        }
    }

    #[test]
    fn a_seed_gives_the_same_steps_and_every_trap() {
        let make = || Generator::new(42, Terrain::default(), Care::None);
        let (mut a, mut b) = (make(), make());
        let mut numbers = BTreeSet::new();
        for n in 0..100_000_u64 {
            let step = a.step();
            assert_eq!(step, b.step());
            numbers.insert(step.registers.number);
            let answer = Answer {
                code: 0,
                results: [n; 4],
            };
            a.learn(&step, &answer, &[0xa5; 4096]);
            b.learn(&step, &answer, &[0xa5; 4096]);
        }
        for (number, _) in crate::TRAPS {
            assert!(numbers.contains(&number), "trap {number} never came");
        }
        assert!(numbers.len() > 38, "too few numbers that are no traps");
    }
}
