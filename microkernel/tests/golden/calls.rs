//! The traps, each with arguments that make it succeed, by their labels. Of one for an object that a task does not have
//! by itself, a semaphore, a clock or a device, only the name is tried.

use abi::trap::*;

/// A trap's call as it is written, its number, and its arguments.
pub(crate) type Call = (&'static str, i64, &'static [&'static str]);

pub(crate) const CALLS: &[Call] = &[
    ("vm_allocate", VM_ALLOCATE, &["free", "page", "0"]),
    ("vm_deallocate", VM_DEALLOCATE, &["data", "page"]),
    ("vm_protect", VM_PROTECT, &["data", "page", "0", "1"]),
    ("vm_map", VM_MAP, &["0", "free", "page", "0", "rights"]),
    ("mach_port_allocate", PORT_ALLOCATE, &["1"]),
    ("mach_port_destroy", PORT_DESTROY, &["port"]),
    ("mach_port_deallocate", PORT_DEALLOCATE, &["send"]),
    ("mach_port_mod_refs", PORT_MOD_REFS, &["send", "0", "1"]),
    ("mach_port_move_member", PORT_MOVE_MEMBER, &["port", "set"]),
    (
        "mach_port_insert_right",
        PORT_INSERT_RIGHT,
        &["port", "port", "make-send"],
    ),
    (
        "mach_port_insert_member",
        PORT_INSERT_MEMBER,
        &["port", "set"],
    ),
    (
        "mach_port_extract_member",
        PORT_EXTRACT_MEMBER,
        &["member", "set"],
    ),
    ("mach_port_construct", PORT_CONSTRUCT, &["0", "0", "0", "0"]),
    ("mach_port_destruct", PORT_DESTRUCT, &["guarded", "0", "8"]),
    ("semaphore_signal", SEMAPHORE_SIGNAL, &["send"]),
    ("semaphore_signal_all", SEMAPHORE_SIGNAL_ALL, &["send"]),
    (
        "semaphore_signal_thread",
        SEMAPHORE_SIGNAL_THREAD,
        &["send"],
    ),
    ("semaphore_wait", SEMAPHORE_WAIT, &["send"]),
    ("semaphore_wait_signal", SEMAPHORE_WAIT_SIGNAL, &["send"]),
    ("semaphore_timedwait", SEMAPHORE_TIMED_WAIT, &["send"]),
    (
        "semaphore_timedwait_signal",
        SEMAPHORE_TIMED_WAIT_SIGNAL,
        &["send"],
    ),
    (
        "mach_port_get_attributes",
        PORT_GET_ATTRIBUTE,
        &["port", "1"],
    ),
    ("mach_port_guard", PORT_GUARD, &["port", "8", "0"]),
    ("mach_port_unguard", PORT_UNGUARD, &["guarded", "8"]),
    ("swtch_pri", SWTCH_PRI, &["0", "0", "0"]),
    ("swtch", SWTCH, &["0", "0", "0"]),
    ("thread_switch", THREAD_SWITCH, &["0", "0", "0"]),
    ("clock_sleep_trap", CLOCK_SLEEP, &["0"]),
    ("mach_port_type", PORT_TYPE, &["port"]),
    (
        "mach_port_request_notification",
        PORT_REQUEST_NOTIFICATION,
        &["send", "dead-name", "0", "port"],
    ),
    ("mach_wait_until", WAIT_UNTIL, &["1"]),
    ("mk_timer_destroy", MK_TIMER_DESTROY, &["timer"]),
    ("mk_timer_arm", MK_TIMER_ARM, &["timer", "2^47"]),
    ("mk_timer_cancel", MK_TIMER_CANCEL, &["timer"]),
    ("futex_wait", FUTEX_WAIT, &["data", "0", "1"]),
    ("futex_wake", FUTEX_WAKE, &["data", "1"]),
    (
        "futex_requeue",
        FUTEX_REQUEUE,
        &["data", "0", "1", "data+8", "1"],
    ),
    ("message_buffer", MESSAGE_BUFFER, &["data", "2-pages"]),
    ("port_set_label", PORT_SET_LABEL, &["port", "8"]),
    ("thread_set_fs_base", SET_FS_BASE, &["data"]),
    ("interrupt_acknowledge", INTERRUPT_ACKNOWLEDGE, &["send"]),
    ("io_read", IO_READ, &["send"]),
    ("io_write", IO_WRITE, &["send"]),
    (
        "port_set_attribute",
        PORT_SET_ATTRIBUTE,
        &["port", "1", "8"],
    ),
    ("timer_arm", TIMER_ARM, &["port", "2^47"]),
    ("port_get_refs", PORT_GET_REFS, &["port", "1"]),
    (
        "mach_port_allocate_name",
        PORT_ALLOCATE_NAME,
        &["1", "unused"],
    ),
    (
        "mach_port_swap_guard",
        PORT_SWAP_GUARD,
        &["guarded", "8", "1"],
    ),
];
