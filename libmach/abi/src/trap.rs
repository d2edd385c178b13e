//! Trap numbers. `rax` carries them into `syscall`; all are negative (DESIGN.md §4).
//!
//! Arguments lie in `rdi rsi rdx r10 r8 r9`, in the order in which each number's text names them.
//! Every trap but [`MACH_MSG`] answers a [`KernReturn`](crate::kern_return::KernReturn) in `rax`
//! and one result in `rdx`, and changes nothing else but `rcx` and `r11`.
//! Numbers down to −100 are XNU's (`osfmk/kern/syscall_sw.c`); −200 and below are ours.

/// `vm_allocate(address, size, flags)` on the calling task → address.
pub const VM_ALLOCATE: i64 = -10;
/// `vm_deallocate(address, size)` on the calling task.
pub const VM_DEALLOCATE: i64 = -12;
/// `vm_protect(address, size, set_maximum, protection)` on the calling task.
pub const VM_PROTECT: i64 = -14;
/// `vm_map(entry, address, size, offset, flags | protections)` on the calling task → address.
///
/// `entry` names a memory entry, or is null for anonymous memory. Bits of the last argument are
/// in [`vm::map_flags`](crate::vm::map_flags).
pub const VM_MAP: i64 = -15;
/// `mach_port_allocate(right)` → name.
pub const PORT_ALLOCATE: i64 = -16;
/// `mach_port_destroy(name)`: everything under the name, whatever the user references.
pub const PORT_DESTROY: i64 = -17;
/// `mach_port_deallocate(name)`.
pub const PORT_DEALLOCATE: i64 = -18;
/// `mach_port_mod_refs(name, right, delta)`.
pub const PORT_MOD_REFS: i64 = -19;
/// `mach_port_move_member(member, set)`.
pub const PORT_MOVE_MEMBER: i64 = -20;
/// `mach_port_insert_right(name, right, disposition)` on the calling task.
pub const PORT_INSERT_RIGHT: i64 = -21;
/// `mach_port_insert_member(member, set)`.
pub const PORT_INSERT_MEMBER: i64 = -22;
/// `mach_port_extract_member(member, set)`.
pub const PORT_EXTRACT_MEMBER: i64 = -23;
/// `mach_port_construct(flags, queue_limit, label, guard)` → name. Flags: [`construct`].
pub const PORT_CONSTRUCT: i64 = -24;
/// `mach_port_destruct(name, send_delta, guard)`: the receive right, and `send_delta` ≤ 0 send rights. The guard
/// must be the port's, if it has one.
pub const PORT_DESTRUCT: i64 = -25;
/// `thread_self()` → name of a send right to the thread's own port.
pub const THREAD_SELF: i64 = -27;
/// `task_self()` → name of a send right to the task's own port.
pub const TASK_SELF: i64 = -28;
/// `host_self()` → name of a send right to the (unprivileged) host port.
pub const HOST_SELF: i64 = -29;
/// `mach_msg`: see [`registers`](crate::registers).
pub const MACH_MSG: i64 = -31;
/// `semaphore_signal(semaphore)`: lets the first waiter go, or the next wait return at once.
pub const SEMAPHORE_SIGNAL: i64 = -33;
/// `semaphore_signal_all(semaphore)`: lets all go who wait.
pub const SEMAPHORE_SIGNAL_ALL: i64 = -34;
/// `semaphore_signal_thread(semaphore, thread)`: lets that thread go; `NotWaiting` when it does not wait there.
pub const SEMAPHORE_SIGNAL_THREAD: i64 = -35;
/// `semaphore_wait(semaphore)`. `Terminated`: the semaphore ended · `Aborted`.
pub const SEMAPHORE_WAIT: i64 = -36;
/// `semaphore_wait_signal(wait, signal)`: signals one and waits at the other one, with nothing in between.
pub const SEMAPHORE_WAIT_SIGNAL: i64 = -37;
/// `semaphore_timedwait(semaphore, deadline)`, absolute, in ns: `OperationTimedOut`.
pub const SEMAPHORE_TIMED_WAIT: i64 = -38;
/// `semaphore_timedwait_signal(wait, signal, deadline)`.
pub const SEMAPHORE_TIMED_WAIT_SIGNAL: i64 = -39;
/// `mach_port_get_attributes(name, attribute)` → value. Attributes: [`attribute`].
pub const PORT_GET_ATTRIBUTE: i64 = -40;
/// `mach_port_guard(name, guard, strict)`: from now on the receive right is destroyed with the guard only, by
/// [`PORT_DESTRUCT`]; `strict` 1: and it moves in a guarded descriptor only.
pub const PORT_GUARD: i64 = -41;
/// `mach_port_unguard(name, guard)`.
pub const PORT_UNGUARD: i64 = -42;
/// Traps of XNU that are answered `NotSupported`: `mach_msg2`, and those that make and read vouchers.
pub const REFUSED: [i64; 3] = [-47, -70, -72];
/// `swtch_pri(_, _, half)`: as [`SWTCH`], at the lowest priority: any thread's turn comes before the caller's next
/// one. It has its priority back then, and at the latest after 10 ms.
pub const SWTCH_PRI: i64 = -59;
/// `swtch(_, _, half)`: gives up the turn → 1 if other threads wait for one when the caller has its own again, else 0.
/// If none waits in the first place, it is 0 at once. Halves: [`swtch`].
pub const SWTCH: i64 = -60;
/// `thread_switch(thread, option, deadline)`. Options: [`switch_option`].
pub const THREAD_SWITCH: i64 = -61;
/// `clock_sleep_trap(clock, kind, seconds, nanoseconds)` → when it woke, in ns since boot. Of the system clock, to a time
/// or for a span ([`clock::kind`](crate::clock::kind)).
///
/// `InvalidArgument`: no clock, no such kind, no such time · `Failure`: the calendar · `Aborted`.
pub const CLOCK_SLEEP: i64 = -62;
/// `mach_port_type(name)` → bits of [`port_type`](crate::names::port_type).
pub const PORT_TYPE: i64 = -76;
/// `mach_port_request_notification(name, id, sync, notify)` → previous send-once right, or null.
///
/// `notify` names a receive right, from which the send-once right is made; null disarms.
pub const PORT_REQUEST_NOTIFICATION: i64 = -77;
/// `mach_wait_until(deadline)`: blocks until the absolute time in ns → the time then. `Aborted`.
pub const WAIT_UNTIL: i64 = -90;
/// `mk_timer_create()` → name of a receive right that is a timer: it is not moved to other tasks, and nobody gets it in
/// place of its end. When its time comes it has a message ([`notify::pending::TIMER`](crate::notify::pending::TIMER)),
/// one at a time.
pub const MK_TIMER_CREATE: i64 = -91;
/// `mk_timer_destroy(timer)`. `InvalidArgument`, as of the next two: a receive right that is no timer.
pub const MK_TIMER_DESTROY: i64 = -92;
/// `mk_timer_arm(timer, deadline)`, absolute, in ns; in place of an earlier one.
pub const MK_TIMER_ARM: i64 = -93;
/// `mk_timer_cancel(timer)` → the deadline that does not come any more; 0: it was not armed.
pub const MK_TIMER_CANCEL: i64 = -94;

/// Does nothing, successfully: the floor of what a trap costs.
pub const NULL: i64 = -200;
/// `clock()` → nanoseconds since boot, monotonic on every CPU.
pub const CLOCK: i64 = -201;
/// `futex_wait(address, expected, deadline)`: blocks while the aligned `u32` there is `expected`.
///
/// `InvalidArgument` misaligned · `InvalidAddress` unmapped · `Failure` another value ·
/// `OperationTimedOut` · `Aborted`. A deadline of `u64::MAX` is none.
pub const FUTEX_WAIT: i64 = -202;
/// `futex_wake(address, count)` → how many threads woke.
pub const FUTEX_WAKE: i64 = -203;
/// `futex_requeue(address, expected, wakes, to, moves)` → how many threads woke, and in the upper half how many wait for
/// the word at `to` from now on, behind those that do already.
///
/// Both are at most what was asked for, and 32 together. `Failure`: another value than `expected` · as [`FUTEX_WAIT`],
/// of either word · `InvalidArgument`, too: both are one.
pub const FUTEX_REQUEUE: i64 = -222;
/// `message_buffer(address, size)`: registers the calling thread's message buffer.
///
/// Both in whole pages; size 0 unregisters. The old buffer, if any, is released when the new one is there; one that the new one
/// overlaps, before: if then the memory for either is missing, the thread has none.
pub const MESSAGE_BUFFER: i64 = -204;
/// `reply_slot_take()` → an ordinary name for the send-once right in the reply slot.
pub const REPLY_SLOT_TAKE: i64 = -205;
/// `port_set_label(name, label)`: the 64 bits that a receive on this port reports.
pub const PORT_SET_LABEL: i64 = -206;
/// `thread_set_fs_base(address)`.
pub const SET_FS_BASE: i64 = -207;
/// `interrupt_acknowledge(interrupt)`: the device is served, the line may fire again.
pub const INTERRUPT_ACKNOWLEDGE: i64 = -208;
/// `io_read(range, offset, width)` → value. `width` is 1, 2 or 4 bytes.
pub const IO_READ: i64 = -209;
/// `io_write(range, offset, width, value)`.
pub const IO_WRITE: i64 = -210;
/// `port_set_attribute(name, attribute, value)`. Attributes: [`attribute`].
pub const PORT_SET_ATTRIBUTE: i64 = -211;
/// `timer_arm(name, deadline)`: the receive right's pending word fires at that time; `u64::MAX` disarms.
pub const TIMER_ARM: i64 = -212;
/// `port_get_refs(name, right)` → user references.
pub const PORT_GET_REFS: i64 = -213;
/// `mach_port_allocate_name(right, name)` → the name: as [`PORT_ALLOCATE`], under a free name of the caller's choice.
pub const PORT_ALLOCATE_NAME: i64 = -220;
/// `mach_port_swap_guard(name, old, new)`.
pub const PORT_SWAP_GUARD: i64 = -221;

/// `task_exit()`: ends the calling task. Needs no name, no memory and no right, and never returns.
pub const TASK_EXIT: i64 = -214;
/// `thread_exit()`: ends the calling thread, in the same way. A task may have no thread left.
pub const THREAD_EXIT: i64 = -215;

/// Flags of [`PORT_CONSTRUCT`].
pub mod construct {
    /// Also a send right, under the same name.
    pub const INSERT_SEND: u64 = 1;
    /// The queue-limit argument counts (otherwise the default).
    pub const QUEUE_LIMIT: u64 = 2;
    /// The label argument counts (otherwise the name).
    pub const LABEL: u64 = 4;
    /// A port set instead of a port; alone.
    pub const PORT_SET: u64 = 8;
    /// The guard argument guards the receive right.
    pub const GUARD: u64 = 16;
    /// The guard is strict; only with [`GUARD`].
    pub const STRICT: u64 = 32;
}

/// What [`PORT_GET_ATTRIBUTE`] and [`PORT_SET_ATTRIBUTE`] read and write of a receive right.
pub mod attribute {
    /// Queue limit in messages, 0 to 1024. Settable.
    pub const QUEUE_LIMIT: u64 = 1;
    /// Messages in the queue.
    pub const MESSAGE_COUNT: u64 = 2;
    /// Send rights made since the receive right was created or moved. Settable.
    pub const MAKE_SEND_COUNT: u64 = 3;
    /// Sequence number of the next message received. Settable.
    pub const SEQUENCE: u64 = 4;
    /// Send rights that exist.
    pub const SEND_RIGHTS: u64 = 5;
    /// Send-once rights that exist.
    pub const SEND_ONCE_RIGHTS: u64 = 6;
    /// How many port sets it is in.
    pub const PORT_SETS: u64 = 7;
    /// The label. Settable.
    pub const LABEL: u64 = 8;
}

/// The third argument of [`SWTCH`] and [`SWTCH_PRI`].
pub mod swtch {
    /// All of it.
    pub const WHOLE: u64 = 0;
    /// What is left when the turn comes back: the kernel sets it itself, before it does the trap again.
    pub const BACK: u64 = 1;
}

/// Options of [`THREAD_SWITCH`].
pub mod switch_option {
    /// Yield: to the named thread, if it waits for its turn and none waits that comes before it.
    pub const NONE: u64 = 0;
    /// The same at the lowest priority until the deadline.
    pub const DEPRESS: u64 = 1;
    /// Block until the deadline; the turn goes as with [`NONE`]. A deadline that is past: a yield.
    pub const WAIT: u64 = 2;
    /// As [`DEPRESS`], for who spins at a lock.
    pub const OSLOCK_DEPRESS: u64 = 4;
    /// As [`WAIT`], for who spins at a lock.
    pub const OSLOCK_WAIT: u64 = 5;
}
