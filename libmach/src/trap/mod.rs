//! The traps, one function each: what a program asks of the kernel, before any ownership.
//!
//! Numbers and meanings are in [`abi::trap`]; here is only how they are reached. On the machine
//! that is the `syscall` instruction (module `syscall`, the one place with inline assembly for
//! traps); on a host it is the in-process backend (`libmach::host`).
//!
//! Everything above this module owns what it names: use [`crate::rights`], [`crate::message`] and
//! [`crate::memory`] instead, unless the point is the trap itself (tests, benchmarks, fuzzing).
//! Functions that can take memory away from under Rust are `unsafe`; names are only numbers, so
//! the others are not.
//!
//! Deliberately absent: retries, deadlines relative to now, translation of codes.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::trap as number;

#[cfg(target_os = "none")]
mod syscall;
#[cfg(target_os = "none")]
use syscall as backend;

#[cfg(not(target_os = "none"))]
use crate::host as backend;

/// The eleven registers that `mach_msg` takes and gives (`abi::registers`).
///
/// Going in: `word` is `rdi`, `names` is `rsi`, `receive` is `rdx`, `deadline` is `r10`. Coming
/// out the same fields hold what `abi::registers` says of those registers, and `code` is `rax`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Registers {
    /// `rdi`. In: options, dispositions, shape. Out: `Received`, local port name.
    pub word: u64,
    /// `rsi`. In: destination and reply name. Out: label.
    pub names: u64,
    /// `rdx`. In: receive name and message id. Out: message id and reply name.
    pub receive: u64,
    /// `r10`. In: deadline in ns, absolute. Out: the sender's identity token.
    pub deadline: u64,
    /// `r8 r9 r12 r13 r14 r15`: the payload.
    pub words: [u64; abi::message::WORDS],
}

/// `mach_msg`: sends, receives, or both.
///
/// The first result is the code (`abi::kern_return::MessageReturn`, with resource bits).
///
/// # Safety
/// The kernel reads and writes the thread's registered message buffer: no reference into it may be
/// alive. A descriptor in it with `DEALLOCATE` gives its memory away: nothing may use it any more.
#[inline(always)]
pub unsafe fn mach_msg(registers: Registers) -> (u32, Registers) {
    // SAFETY: the caller's promise is the one that the backend asks for.
    unsafe { backend::mach_msg(registers) }
}

/// A trap by its number, with raw arguments in the order of `rdi rsi rdx r10 r8 r9`.
///
/// Answers `rax` and `rdx`.
///
/// # Safety
/// Whatever the trap does to this task's memory, the caller answers for.
#[inline(always)]
pub unsafe fn raw(number: i64, arguments: [u64; 6]) -> (u64, u64) {
    // SAFETY: the caller's promise is the one that the backend asks for.
    unsafe { backend::trap(number, arguments) }
}

/// The result of a trap: its second register, or the code that it failed with.
pub type Outcome<T> = Result<T, KernReturn>;

/// A trap that cannot touch memory which Rust knows of.
#[inline(always)]
fn harmless(number: i64, arguments: [u64; 6]) -> Outcome<u64> {
    // SAFETY: only called with numbers that change names, time or scheduling, never memory.
    outcome(unsafe { raw(number, arguments) })
}

#[inline(always)]
fn outcome((code, result): (u64, u64)) -> Outcome<u64> {
    match code as u32 {
        0 => Ok(result),
        code => Err(KernReturn(code)),
    }
}

#[inline(always)]
fn name(result: Outcome<u64>) -> Outcome<Name> {
    result.map(|value| Name(value as u32))
}

#[inline(always)]
fn unit(result: Outcome<u64>) -> Outcome<()> {
    result.map(|_| ())
}

const fn n(name: Name) -> u64 {
    name.0 as u64
}

/// Does nothing, successfully.
#[inline(always)]
pub fn null() -> Outcome<()> {
    unit(harmless(number::NULL, [0; 6]))
}

/// Nanoseconds since boot.
#[inline(always)]
pub fn clock() -> u64 {
    harmless(number::CLOCK, [0; 6]).unwrap_or(0)
}

/// A send right to the calling task's control port.
pub fn task_self() -> Outcome<Name> {
    name(harmless(number::TASK_SELF, [0; 6]))
}

/// A send right to the calling thread's port.
pub fn thread_self() -> Outcome<Name> {
    name(harmless(number::THREAD_SELF, [0; 6]))
}

/// Ends the calling task, and needs nothing for it. A host's task ends by `crate::host::exit`.
#[cfg(target_os = "none")]
pub fn task_exit() -> ! {
    crate::ignore(harmless(number::TASK_EXIT, [0; 6]));
    unreachable!("the kernel ends a task that asks for it")
}

/// Ends the calling thread, as [`task_exit`] its task.
#[cfg(target_os = "none")]
pub fn thread_exit() -> ! {
    crate::ignore(harmless(number::THREAD_EXIT, [0; 6]));
    unreachable!("the kernel ends a thread that asks for it")
}

/// A send right to the unprivileged host port.
pub fn host_self() -> Outcome<Name> {
    name(harmless(number::HOST_SELF, [0; 6]))
}

/// A new right of the given kind (`abi::names::right`).
pub fn port_allocate(right: u32) -> Outcome<Name> {
    name(harmless(
        number::PORT_ALLOCATE,
        [u64::from(right), 0, 0, 0, 0, 0],
    ))
}

/// Drops everything under the name.
pub fn port_destroy(port: Name) -> Outcome<()> {
    unit(harmless(number::PORT_DESTROY, [n(port), 0, 0, 0, 0, 0]))
}

/// Drops one user reference.
pub fn port_deallocate(port: Name) -> Outcome<()> {
    unit(harmless(number::PORT_DEALLOCATE, [n(port), 0, 0, 0, 0, 0]))
}

/// Changes the user references of one right under the name.
pub fn port_mod_refs(port: Name, right: u32, delta: i32) -> Outcome<()> {
    let delta = i64::from(delta).cast_unsigned();
    unit(harmless(
        number::PORT_MOD_REFS,
        [n(port), u64::from(right), delta, 0, 0, 0],
    ))
}

/// User references that the name has of one right.
pub fn port_get_refs(port: Name, right: u32) -> Outcome<u64> {
    harmless(
        number::PORT_GET_REFS,
        [n(port), u64::from(right), 0, 0, 0, 0],
    )
}

/// Puts `member` into `set` and into no other; a null set takes it out of all.
pub fn port_move_member(member: Name, set: Name) -> Outcome<()> {
    unit(harmless(
        number::PORT_MOVE_MEMBER,
        [n(member), n(set), 0, 0, 0, 0],
    ))
}

/// Puts `member` into `set` too.
pub fn port_insert_member(member: Name, set: Name) -> Outcome<()> {
    unit(harmless(
        number::PORT_INSERT_MEMBER,
        [n(member), n(set), 0, 0, 0, 0],
    ))
}

/// Takes `member` out of `set`.
pub fn port_extract_member(member: Name, set: Name) -> Outcome<()> {
    unit(harmless(
        number::PORT_EXTRACT_MEMBER,
        [n(member), n(set), 0, 0, 0, 0],
    ))
}

/// Puts a right made from `right` by `disposition` under `port` of the calling task.
pub fn port_insert_right(port: Name, right: Name, disposition: u8) -> Outcome<()> {
    let arguments = [n(port), n(right), u64::from(disposition), 0, 0, 0];
    unit(harmless(number::PORT_INSERT_RIGHT, arguments))
}

/// `mach_port_allocate_name`.
pub fn port_allocate_name(right: u32, port: Name) -> Outcome<Name> {
    let arguments = [right.into(), n(port), 0, 0, 0, 0];
    name(harmless(number::PORT_ALLOCATE_NAME, arguments))
}

/// `mach_port_guard`; with `strict` 1 the receive right also moves with the guard only.
pub fn port_guard(port: Name, guard: u64, strict: u64) -> Outcome<()> {
    unit(harmless(
        number::PORT_GUARD,
        [n(port), guard, strict, 0, 0, 0],
    ))
}

/// `mach_port_unguard`.
pub fn port_unguard(port: Name, guard: u64) -> Outcome<()> {
    unit(harmless(number::PORT_UNGUARD, [n(port), guard, 0, 0, 0, 0]))
}

/// `mach_port_swap_guard`.
pub fn port_swap_guard(port: Name, old: u64, new: u64) -> Outcome<()> {
    unit(harmless(
        number::PORT_SWAP_GUARD,
        [n(port), old, new, 0, 0, 0],
    ))
}

/// A guarded port in one trap; `flags` are `abi::trap::construct`.
pub fn port_construct_guarded(flags: u64, guard: u64) -> Outcome<Name> {
    let flags = flags | number::construct::GUARD;
    name(harmless(number::PORT_CONSTRUCT, [flags, 0, 0, guard, 0, 0]))
}

/// `mach_port_destruct` of a port that may have a guard.
pub fn port_destruct_guarded(port: Name, send_delta: i32, guard: u64) -> Outcome<()> {
    let arguments = [n(port), send_delta as i64 as u64, guard, 0, 0, 0];
    unit(harmless(number::PORT_DESTRUCT, arguments))
}

/// A port or set in one trap; `flags` are `abi::trap::construct`.
pub fn port_construct(flags: u64, queue_limit: u32, label: u64) -> Outcome<Name> {
    let arguments = [flags, u64::from(queue_limit), label, 0, 0, 0];
    name(harmless(number::PORT_CONSTRUCT, arguments))
}

/// Destroys a receive right, and `send_delta` ≤ 0 send rights under the same name.
pub fn port_destruct(port: Name, send_delta: i32) -> Outcome<()> {
    let delta = i64::from(send_delta).cast_unsigned();
    unit(harmless(
        number::PORT_DESTRUCT,
        [n(port), delta, 0, 0, 0, 0],
    ))
}

/// An attribute of a receive right (`abi::trap::attribute`).
pub fn port_get_attribute(port: Name, attribute: u64) -> Outcome<u64> {
    harmless(number::PORT_GET_ATTRIBUTE, [n(port), attribute, 0, 0, 0, 0])
}

/// Sets an attribute of a receive right.
pub fn port_set_attribute(port: Name, attribute: u64, value: u64) -> Outcome<()> {
    unit(harmless(
        number::PORT_SET_ATTRIBUTE,
        [n(port), attribute, value, 0, 0, 0],
    ))
}

/// The bits of `abi::names::port_type` for a name.
pub fn port_type(port: Name) -> Outcome<u32> {
    harmless(number::PORT_TYPE, [n(port), 0, 0, 0, 0, 0]).map(|bits| bits as u32)
}

/// The 64 bits that a receive on this port reports.
pub fn port_set_label(port: Name, label: u64) -> Outcome<()> {
    unit(harmless(
        number::PORT_SET_LABEL,
        [n(port), label, 0, 0, 0, 0],
    ))
}

/// Arms notification `id` on `port`; the message goes to the receive right `notify`.
///
/// Null `notify` disarms. Answers the send-once right that was armed before, or null.
pub fn port_request_notification(port: Name, id: i32, sync: u32, notify: Name) -> Outcome<Name> {
    let id = i64::from(id).cast_unsigned();
    let arguments = [n(port), id, u64::from(sync), n(notify), 0, 0];
    name(harmless(number::PORT_REQUEST_NOTIFICATION, arguments))
}

/// An ordinary name for the send-once right in the reply slot.
#[inline(always)]
pub fn reply_slot_take() -> Outcome<Name> {
    name(harmless(number::REPLY_SLOT_TAKE, [0; 6]))
}

/// Lets the receive right's pending word fire at `deadline` (absolute ns, `u64::MAX` disarms).
pub fn timer_arm(port: Name, deadline: u64) -> Outcome<()> {
    unit(harmless(number::TIMER_ARM, [n(port), deadline, 0, 0, 0, 0]))
}

/// Yields, depresses or waits (`abi::trap::switch_option`).
pub fn thread_switch(thread: Name, option: u64, deadline: u64) -> Outcome<()> {
    unit(harmless(
        number::THREAD_SWITCH,
        [n(thread), option, deadline, 0, 0, 0],
    ))
}

/// Gives up the turn; whether others wait for one when the caller has its own again.
pub fn swtch() -> bool {
    turn(number::SWTCH)
}

/// As [`swtch`], to threads of lower priority, too.
pub fn swtch_pri() -> bool {
    turn(number::SWTCH_PRI)
}

/// Either of the two, which do not fail.
fn turn(number: i64) -> bool {
    harmless(number, [0, 0, number::swtch::WHOLE, 0, 0, 0]) == Ok(1)
}

/// Blocks until the absolute time in ns.
pub fn wait_until(deadline: u64) -> Outcome<()> {
    unit(harmless(number::WAIT_UNTIL, [deadline, 0, 0, 0, 0, 0]))
}

/// A receive right that is a timer.
pub fn timer_create() -> Outcome<Name> {
    name(harmless(number::MK_TIMER_CREATE, [0; 6]))
}

/// Ends a timer.
pub fn timer_destroy(timer: Name) -> Outcome<()> {
    unit(harmless(
        number::MK_TIMER_DESTROY,
        [n(timer), 0, 0, 0, 0, 0],
    ))
}

/// Disarms a timer; answers the deadline that does not come any more, 0 when it was not armed.
pub fn timer_cancel(timer: Name) -> Outcome<u64> {
    harmless(number::MK_TIMER_CANCEL, [n(timer), 0, 0, 0, 0, 0])
}

/// Sleeps by a clock until a time, or for a span ([`abi::clock::kind`]); answers when it woke, in ns since boot.
pub fn clock_sleep(clock: Name, kind: u32, (seconds, nanoseconds): (u32, u32)) -> Outcome<u64> {
    let arguments = [
        n(clock),
        kind.into(),
        seconds.into(),
        nanoseconds.into(),
        0,
        0,
    ];
    harmless(number::CLOCK_SLEEP, arguments)
}

/// Blocks while `word` holds `expected`, until woken or `deadline` (`u64::MAX` is none).
pub fn futex_wait(
    word: &core::sync::atomic::AtomicU32,
    expected: u32,
    deadline: u64,
) -> Outcome<()> {
    let address = word.as_ptr() as u64;
    unit(harmless(
        number::FUTEX_WAIT,
        [address, u64::from(expected), deadline, 0, 0, 0],
    ))
}

/// Wakes up to `count` threads that wait on `word`; answers how many.
pub fn futex_wake(word: &core::sync::atomic::AtomicU32, count: u32) -> Outcome<u64> {
    harmless(
        number::FUTEX_WAKE,
        [word.as_ptr() as u64, u64::from(count), 0, 0, 0, 0],
    )
}

/// If `word` holds `expected`, wakes up to `wakes` threads that wait on it, and lets up to `moves` more wait on `to` instead;
/// answers how many of each, which are no more than 32 together.
pub fn futex_requeue(
    (word, expected): (&core::sync::atomic::AtomicU32, u32),
    wakes: u32,
    to: &core::sync::atomic::AtomicU32,
    moves: u32,
) -> Outcome<(u32, u32)> {
    let (from, to) = (word.as_ptr() as u64, to.as_ptr() as u64);
    let arguments = [from, expected.into(), wakes.into(), to, moves.into(), 0];
    let both = harmless(number::FUTEX_REQUEUE, arguments)?;
    Ok((both as u32, (both >> 32) as u32))
}

/// The device behind the interrupt right is served: the line may fire again.
pub fn interrupt_acknowledge(interrupt: Name) -> Outcome<()> {
    unit(harmless(
        number::INTERRUPT_ACKNOWLEDGE,
        [n(interrupt), 0, 0, 0, 0, 0],
    ))
}

/// Reads `width` (1, 2 or 4) bytes at `offset` of an I/O-port range.
pub fn io_read(range: Name, offset: u16, width: u8) -> Outcome<u32> {
    let arguments = [n(range), u64::from(offset), u64::from(width), 0, 0, 0];
    harmless(number::IO_READ, arguments).map(|value| value as u32)
}

/// Writes `width` (1, 2 or 4) bytes at `offset` of an I/O-port range.
pub fn io_write(range: Name, offset: u16, width: u8, value: u32) -> Outcome<()> {
    let arguments = [
        n(range),
        u64::from(offset),
        u64::from(width),
        u64::from(value),
        0,
        0,
    ];
    unit(harmless(number::IO_WRITE, arguments))
}

/// Fresh zeroed memory; `flags` are `abi::vm::flags`. Answers its address.
///
/// # Safety
/// None is needed when `flags` is `ANYWHERE`; at a fixed address the range must not be in use.
pub unsafe fn vm_allocate(address: u64, size: u64, flags: u64) -> Outcome<u64> {
    // SAFETY: the kernel never replaces existing memory here; the caller answers for the address.
    outcome(unsafe { raw(number::VM_ALLOCATE, [address, size, flags, 0, 0, 0]) })
}

/// Unmaps a range.
///
/// # Safety
/// Nothing may use the range any more.
pub unsafe fn vm_deallocate(address: u64, size: u64) -> Outcome<()> {
    // SAFETY: the caller's promise.
    unit(outcome(unsafe {
        raw(number::VM_DEALLOCATE, [address, size, 0, 0, 0, 0])
    }))
}

/// Sets the current (or, with `set_maximum` ≠ 0, the maximum) protection of a range.
///
/// # Safety
/// Nothing may use the range in a way that the new protection forbids.
pub unsafe fn vm_protect(
    address: u64,
    size: u64,
    set_maximum: u64,
    protection: u32,
) -> Outcome<()> {
    let arguments = [address, size, set_maximum, u64::from(protection), 0, 0];
    // SAFETY: the caller's promise.
    unit(outcome(unsafe { raw(number::VM_PROTECT, arguments) }))
}

/// Maps a memory entry (null: anonymous memory); `flags` are `abi::vm::map_flags`.
///
/// # Safety
/// With `OVERWRITE`, nothing may use what lies there. Shared memory may change at any time.
pub unsafe fn vm_map(
    entry: Name,
    address: u64,
    size: u64,
    offset: u64,
    flags: u64,
) -> Outcome<u64> {
    // SAFETY: the caller's promise.
    outcome(unsafe { raw(number::VM_MAP, [n(entry), address, size, offset, flags, 0]) })
}

/// Registers `size` bytes at `address` as the calling thread's message buffer; 0 unregisters.
///
/// # Safety
/// The range is page-aligned memory that nothing else uses until it is unregistered.
pub unsafe fn message_buffer(address: u64, size: u64) -> Outcome<()> {
    // SAFETY: the caller's promise.
    unit(outcome(unsafe {
        raw(number::MESSAGE_BUFFER, [address, size, 0, 0, 0, 0])
    }))
}

/// Sets the calling thread's FS base.
///
/// # Safety
/// `address` must be the thread's block (`crate::thread::Block`), alive as long as the thread.
pub unsafe fn set_fs_base(address: u64) -> Outcome<()> {
    // SAFETY: the caller's promise.
    unit(outcome(unsafe {
        raw(number::SET_FS_BASE, [address, 0, 0, 0, 0, 0])
    }))
}
