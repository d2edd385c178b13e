//! Every trap but `mach_msg`: what its arguments mean, and values for each meaning.

use abi::names::{disposition, port_type, queue_limit, right};
use abi::transport::Interface;
use abi::trap::{self, attribute, construct, switch_option};
use abi::vm::{MAX_ADDRESS, map_flags};
use abi::{PAGE_SIZE, notify};
use interfaces::clock::Clock;
use interfaces::interrupt::Interrupt;
use interfaces::io::IoRange;
use interfaces::semaphore::Semaphore;

use crate::edges;
use crate::generator::Generator;

/// What an argument means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Any name.
    Name,
    /// A name with a receive right.
    Receive,
    /// A name of a port set.
    Set,
    /// A name of something that can be sent to or is dead.
    Send,
    /// A memory entry.
    Entry,
    /// A semaphore.
    Semaphore,
    /// A clock.
    Clock,
    /// Seconds of a sleep, which is never long.
    Seconds,
    /// Nanoseconds of one.
    Nanoseconds,
    /// Where memory is.
    Address,
    /// Where threads of the task may meet.
    Futex,
    /// What the memory there may hold.
    Expected,
    /// Where memory is that the trap takes away.
    Victim,
    /// Bytes.
    Size,
    /// A protection.
    Protection,
    /// 0 or 1.
    Flag,
    /// Flags of `vm_map`.
    MapFlags,
    /// A kind of right.
    Right,
    /// How many user references more.
    Delta,
    /// A disposition.
    Disposition,
    /// Flags of `mach_port_construct`.
    Construct,
    /// A queue limit.
    Limit,
    /// An attribute of a port.
    Attribute,
    /// Any number.
    Word,
    /// An id of a notification.
    Notification,
    /// An option of `thread_switch`.
    Switch,
    /// A time, which is never far away.
    Deadline,
    /// Where the message buffer shall be.
    Buffer,
    /// Bytes of the message buffer.
    BufferSize,
    /// 1, 2 or 4.
    Width,
    /// A range of I/O ports, or any send right.
    Range,
    /// Of an I/O port in its range: mostly near its start.
    Offset,
    /// An interrupt line, or any send right.
    Line,
}

use Argument as A;

/// Every trap but `mach_msg`, with the meaning of its arguments.
pub const TRAPS: [(i64, &[Argument]); 60] = [
    (trap::VM_ALLOCATE, &[A::Address, A::Size, A::Flag]),
    (trap::VM_DEALLOCATE, &[A::Victim, A::Size]),
    (
        trap::VM_PROTECT,
        &[A::Victim, A::Size, A::Flag, A::Protection],
    ),
    (
        trap::VM_MAP,
        &[A::Entry, A::Victim, A::Size, A::Size, A::MapFlags],
    ),
    (trap::PORT_ALLOCATE, &[A::Right]),
    (trap::PORT_DESTROY, &[A::Name]),
    (trap::PORT_DEALLOCATE, &[A::Name]),
    (trap::PORT_MOD_REFS, &[A::Name, A::Right, A::Delta]),
    (trap::PORT_MOVE_MEMBER, &[A::Receive, A::Set]),
    (trap::PORT_INSERT_RIGHT, &[A::Name, A::Name, A::Disposition]),
    (trap::PORT_INSERT_MEMBER, &[A::Receive, A::Set]),
    (trap::PORT_EXTRACT_MEMBER, &[A::Receive, A::Set]),
    (
        trap::PORT_CONSTRUCT,
        &[A::Construct, A::Limit, A::Word, A::Flag],
    ),
    (trap::PORT_DESTRUCT, &[A::Receive, A::Delta, A::Flag]),
    (trap::PORT_GUARD, &[A::Receive, A::Flag, A::Flag]),
    (trap::PORT_UNGUARD, &[A::Receive, A::Flag]),
    (trap::PORT_SWAP_GUARD, &[A::Receive, A::Flag, A::Flag]),
    (trap::PORT_ALLOCATE_NAME, &[A::Right, A::Name]),
    (trap::THREAD_SELF, &[]),
    (trap::TASK_SELF, &[]),
    (trap::HOST_SELF, &[]),
    (trap::PORT_GET_ATTRIBUTE, &[A::Receive, A::Attribute]),
    (trap::THREAD_SWITCH, &[A::Name, A::Switch, A::Deadline]),
    (trap::SWTCH, &[A::Name, A::Flag, A::Flag]),
    (trap::SWTCH_PRI, &[A::Name, A::Flag, A::Flag]),
    (trap::PORT_TYPE, &[A::Name]),
    (
        trap::PORT_REQUEST_NOTIFICATION,
        &[A::Name, A::Notification, A::Flag, A::Receive],
    ),
    (trap::WAIT_UNTIL, &[A::Deadline]),
    (
        trap::CLOCK_SLEEP,
        &[A::Clock, A::Flag, A::Seconds, A::Nanoseconds],
    ),
    (trap::SEMAPHORE_SIGNAL, &[A::Semaphore]),
    (trap::SEMAPHORE_SIGNAL_ALL, &[A::Semaphore]),
    (trap::SEMAPHORE_SIGNAL_THREAD, &[A::Semaphore, A::Send]),
    (trap::SEMAPHORE_WAIT, &[A::Semaphore]),
    (trap::SEMAPHORE_WAIT_SIGNAL, &[A::Semaphore, A::Semaphore]),
    (trap::SEMAPHORE_TIMED_WAIT, &[A::Semaphore, A::Deadline]),
    (
        trap::SEMAPHORE_TIMED_WAIT_SIGNAL,
        &[A::Semaphore, A::Semaphore, A::Deadline],
    ),
    (trap::NULL, &[]),
    (trap::CLOCK, &[]),
    (trap::FUTEX_WAIT, &[A::Futex, A::Expected, A::Deadline]),
    (trap::FUTEX_WAKE, &[A::Futex, A::Word]),
    (
        trap::FUTEX_REQUEUE,
        &[A::Futex, A::Expected, A::Word, A::Futex, A::Word],
    ),
    (trap::MESSAGE_BUFFER, &[A::Buffer, A::BufferSize]),
    (trap::REPLY_SLOT_TAKE, &[]),
    (trap::PORT_SET_LABEL, &[A::Receive, A::Word]),
    (trap::SET_FS_BASE, &[A::Address]),
    (trap::INTERRUPT_ACKNOWLEDGE, &[A::Line]),
    (trap::IO_READ, &[A::Range, A::Offset, A::Width]),
    (trap::IO_WRITE, &[A::Range, A::Offset, A::Width, A::Word]),
    (
        trap::PORT_SET_ATTRIBUTE,
        &[A::Receive, A::Attribute, A::Limit],
    ),
    (trap::MK_TIMER_CREATE, &[]),
    (trap::MK_TIMER_DESTROY, &[A::Receive]),
    (trap::MK_TIMER_ARM, &[A::Receive, A::Deadline]),
    (trap::MK_TIMER_CANCEL, &[A::Receive]),
    (trap::TIMER_ARM, &[A::Receive, A::Deadline]),
    (trap::PORT_GET_REFS, &[A::Name, A::Right]),
    // Traps on which much stands come twice.
    (trap::FUTEX_WAKE, &[A::Futex, A::Word]),
    (trap::PORT_ALLOCATE, &[A::Right]),
    (trap::PORT_CONSTRUCT, &[A::Construct, A::Limit, A::Word]),
    (
        trap::PORT_INSERT_RIGHT,
        &[A::Receive, A::Receive, A::Disposition],
    ),
    (trap::VM_ALLOCATE, &[A::Address, A::Size, A::Flag]),
];

/// Waits without a deadline.
pub(crate) const ENDLESS: [i64; 2] = [trap::SEMAPHORE_WAIT, trap::SEMAPHORE_WAIT_SIGNAL];

/// A value for an argument: mostly one that makes sense.
pub(crate) fn value(of: &mut Generator, argument: Argument) -> u64 {
    // A far deadline or a wild victim costs the task its life: such come only where they are meant.
    let guarded = matches!(
        argument,
        A::Deadline | A::Seconds | A::Nanoseconds | A::Victim | A::Buffer
    );
    if !guarded && of.rng.one_in(8) {
        return edges::word(&mut of.rng);
    }
    match argument {
        A::Name | A::Receive | A::Set | A::Send | A::Entry => {
            let name = of.pool.name(kind_of(argument), &mut of.rng);
            name.0.into()
        }
        A::Semaphore | A::Clock | A::Range | A::Line => {
            let wanted = match argument {
                A::Clock => <dyn Clock>::NAME,
                A::Range => <dyn IoRange>::NAME,
                A::Line => <dyn Interrupt>::NAME,
                _ => <dyn Semaphore>::NAME,
            };
            let known = of.pool.service_of(wanted, &mut of.rng);
            let other = of.pool.name(port_type::SEND, &mut of.rng);
            known.unwrap_or(other).0.into()
        }
        A::Address => address(of),
        A::Futex if of.rng.one_in(4) => address(of),
        A::Futex => of.terrain.stack & !3,
        A::Victim => victim(of),
        A::Buffer => match of.rng.below(16) {
            0 => edges::word(&mut of.rng),
            1 => of.terrain.any(&mut of.rng),
            _ => of.pool.region(&mut of.rng).address,
        },
        A::Size => edges::size(&mut of.rng),
        A::Deadline => deadline(of),
        other => small(of, other),
    }
}

fn kind_of(argument: Argument) -> u32 {
    match argument {
        A::Receive => port_type::RECEIVE,
        A::Set => port_type::PORT_SET,
        A::Send | A::Entry => port_type::SEND | port_type::DEAD_NAME,
        _ => u32::MAX,
    }
}

/// A value of few.
fn small(of: &mut Generator, argument: Argument) -> u64 {
    let rng = &mut of.rng;
    match argument {
        A::Protection => rng.below(9) as u64,
        A::Flag | A::Offset => rng.below(3) as u64,
        A::Expected => rng.pick(&[0, 0, 0, 1]),
        A::MapFlags => map_word(rng),
        A::Right => rng
            .pick(&[
                right::RECEIVE,
                right::RECEIVE,
                right::RECEIVE,
                right::PORT_SET,
                right::DEAD_NAME,
                right::SEND,
                right::SEND_ONCE,
                right::NUMBER,
            ])
            .into(),
        A::Delta => rng.pick(&[-1, -1, -1, -2, 0, 1, 2, 65_534, 65_535, -65_535]) as i64 as u64,
        A::Disposition => (disposition::MOVE_RECEIVE + rng.below(7) as u8).into(),
        A::Construct => match rng.below(4) {
            0 => rng.below(17) as u64,
            1 => construct::PORT_SET,
            _ => construct::INSERT_SEND | (rng.below(4) as u64) << 1,
        },
        A::Limit => rng
            .pick(&[0, 1, 2, 5, queue_limit::MAX, queue_limit::MAX + 1])
            .into(),
        A::Attribute => rng.below(attribute::LABEL as usize + 2) as u64,
        A::Notification => rng.pick(&[
            notify::DEAD_NAME,
            notify::DEAD_NAME,
            notify::NO_SENDERS,
            notify::PORT_DESTROYED,
            notify::SEND_POSSIBLE,
            notify::MESSAGE_WAITING,
            notify::MESSAGE_WAITING,
            notify::PORT_DELETED,
            notify::NAMES_USED,
        ]) as u64,
        A::Switch => rng.below(switch_option::WAIT as usize + 2) as u64,
        A::BufferSize => PAGE_SIZE * rng.pick(&[2, 2, 2, 2, 3, 16, 17, 1, 0]),
        A::Seconds => 0,
        A::Nanoseconds => rng.pick(&[0, 1, 50_000, 1_000_000_000, u64::MAX]),
        A::Width => rng.pick(&[1, 2, 4, 4, 8, 3]),
        _ => edges::word(rng),
    }
}

/// The last argument of `vm_map`.
fn map_word(rng: &mut crate::rng::Rng) -> u64 {
    let mut word = 0;
    for (bit, rarely) in [
        (map_flags::ANYWHERE, 3),
        (map_flags::COPY, 3),
        (map_flags::OVERWRITE, 4),
    ] {
        if rng.one_in(rarely) {
            word |= bit;
        }
    }
    word |= (rng.below(8) as u64) << map_flags::CURRENT_SHIFT;
    word |= (rng.below(8) as u64) << map_flags::MAXIMUM_SHIFT;
    word |= (rng.below(4) as u64) << map_flags::INHERIT_SHIFT;
    if rng.one_in(16) {
        word |= 1 << rng.below(64);
    }
    word
}

pub(crate) fn address(of: &mut Generator) -> u64 {
    match of.rng.below(8) {
        0 => edges::word(&mut of.rng),
        1 => of.terrain.any(&mut of.rng),
        2 => of
            .terrain
            .any(&mut of.rng)
            .wrapping_add(edges::word(&mut of.rng) & 0x1fff),
        _ => of.pool.address(&mut of.rng),
    }
}

/// An address whose memory the trap takes away or covers.
pub(crate) fn victim(of: &mut Generator) -> u64 {
    if of.is_tired_of_life() {
        return address(of);
    }
    match of.rng.below(4) {
        // No memory of the task: these cannot be its.
        0 => of.rng.pick(&[
            0,
            u64::MAX,
            1 << 47,
            0xffff_8000_0000_0000,
            0xffff_ffff_8000_0000,
        ]),
        1 => of.terrain.unmapped,
        _ => of.pool.region(&mut of.rng).address,
    }
}

/// How much of the memory at a victim's address is taken: what is known to begin there, or little. Now
/// and then as much as was said.
pub(crate) fn extent(of: &mut Generator, address: u64, size: u64) -> u64 {
    if of.is_tired_of_life() {
        return size;
    }
    // Of what is no user address any size may be said.
    let nowhere = if address >= MAX_ADDRESS {
        u64::MAX
    } else {
        PAGE_SIZE
    };
    size.min(of.pool.size_of(address).unwrap_or(nowhere))
}

/// A deadline that is soon, so that nobody waits for long.
pub(crate) fn deadline(of: &mut Generator) -> u64 {
    if of.is_patient() {
        return of.rng.pick(&[u64::MAX, u64::MAX - 1, 1 << 63]);
    }
    edges::soon(of.now, &mut of.rng)
}

/// Arguments of a trap.
pub(crate) fn arguments(of: &mut Generator, meanings: &[Argument]) -> [u64; 6] {
    let mut arguments = [0; 6];
    for (place, meaning) in arguments.iter_mut().zip(meanings) {
        *place = value(of, *meaning);
    }
    // What no trap reads may hold anything.
    for place in arguments.iter_mut().skip(meanings.len()) {
        if of.rng.one_in(4) {
            *place = edges::word(&mut of.rng);
        }
    }
    if let Some(at) = meanings.iter().position(|meaning| *meaning == A::Victim) {
        arguments[at + 1] = extent(of, arguments[at], arguments[at + 1]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{TRAPS, trap};
    use std::collections::BTreeSet;

    #[test]
    fn every_trap_of_the_table_is_there() {
        let text = include_str!("../../../libmach/abi/src/trap.rs");
        let numbers: BTreeSet<i64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": i64 = "))
            .filter_map(|(_, value)| value.strip_suffix(';')?.parse().ok())
            .collect();
        let mut known: BTreeSet<i64> = TRAPS.iter().map(|(number, _)| *number).collect();
        // Messages have a generator of their own; the ends of task and thread come as rarely as numbers that
        // are no traps.
        known.extend([trap::MACH_MSG, trap::TASK_EXIT, trap::THREAD_EXIT]);
        assert_eq!(known, numbers);
    }
}
