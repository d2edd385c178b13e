//! The headers' numbers, made from `abi` and `interfaces`, so that there is one table.
//!
//! `cargo run -p cmach --example headers` writes them; the test `headers` compares.

use abi::classic::{self, bits, copy, option, trailer};
use abi::message::descriptor;
use abi::names::{disposition, port_type, queue_limit, right};
use abi::registers::options;
use abi::semaphore::policy;
use abi::task::{info, special, thread_info};
use abi::trap::switch_option;
use abi::vm::{behavior, flags, inherit, map_flags, protection, region, sync};
use abi::{clock, exception, host, kern_return, notify, thread_state};
use libmach::abi;

use crate::error::{BOOTSTRAP, c_name, upper};
use crate::port::{LIMITS_COUNT, STATUS_COUNT, flavor};
use crate::thread::STATE_COUNT;

/// The generated headers: their paths in `include`, and what they hold.
pub fn headers() -> [(&'static str, String); 2] {
    [
        ("mach/numbers.h", numbers()),
        ("mello/interfaces.h", interfaces()),
    ]
}

const HEAD: &str =
    "/* Made from libmach/abi and libmach/interfaces: cargo run -p cmach --example headers */\n";

fn numbers() -> String {
    let mut text = format!("{HEAD}#ifndef MACH_NUMBERS_H\n#define MACH_NUMBERS_H\n");
    let mut section = |title: &str, rows: &[(&str, u64)]| {
        text += &format!("\n/* {title} */\n");
        for (name, value) in rows {
            let value = if *value > 1024 {
                format!("{value:#x}")
            } else {
                value.to_string()
            };
            text += &format!("#define {name} {value}\n");
        }
    };
    names(&mut section);
    messages(&mut section);
    bodies(&mut section);
    memory(&mut section);
    uses_of_memory(&mut section);
    tasks(&mut section);
    infos(&mut section);
    host_ports(&mut section);
    clocks(&mut section);
    events(&mut section);
    codes(&mut text);
    text += "\n#endif\n";
    text
}

type Section<'a> = dyn FnMut(&str, &[(&str, u64)]) + 'a;

fn names(section: &mut Section<'_>) {
    section(
        "mach_port_right_t",
        &[
            ("MACH_PORT_RIGHT_SEND", right::SEND.into()),
            ("MACH_PORT_RIGHT_RECEIVE", right::RECEIVE.into()),
            ("MACH_PORT_RIGHT_SEND_ONCE", right::SEND_ONCE.into()),
            ("MACH_PORT_RIGHT_PORT_SET", right::PORT_SET.into()),
            ("MACH_PORT_RIGHT_DEAD_NAME", right::DEAD_NAME.into()),
            ("MACH_PORT_RIGHT_NUMBER", right::NUMBER.into()),
        ],
    );
    section(
        "mach_port_type_t",
        &[
            ("MACH_PORT_TYPE_SEND", port_type::SEND.into()),
            ("MACH_PORT_TYPE_RECEIVE", port_type::RECEIVE.into()),
            ("MACH_PORT_TYPE_SEND_ONCE", port_type::SEND_ONCE.into()),
            ("MACH_PORT_TYPE_PORT_SET", port_type::PORT_SET.into()),
            ("MACH_PORT_TYPE_DEAD_NAME", port_type::DEAD_NAME.into()),
            (
                "MACH_PORT_TYPE_DNREQUEST",
                port_type::DEAD_NAME_REQUEST.into(),
            ),
        ],
    );
    section(
        "Ports' attributes",
        &[
            ("MACH_PORT_QLIMIT_DEFAULT", queue_limit::DEFAULT.into()),
            ("MACH_PORT_QLIMIT_MAX", queue_limit::MAX.into()),
            ("MACH_PORT_LIMITS_INFO", flavor::LIMITS as u64),
            ("MACH_PORT_LIMITS_INFO_COUNT", LIMITS_COUNT.into()),
            ("MACH_PORT_RECEIVE_STATUS", flavor::STATUS as u64),
            ("MACH_PORT_RECEIVE_STATUS_COUNT", STATUS_COUNT.into()),
        ],
    );
}

fn messages(section: &mut Section<'_>) {
    section(
        "msgh_bits",
        &[
            ("MACH_MSGH_BITS_REMOTE_MASK", bits::REMOTE_MASK.into()),
            ("MACH_MSGH_BITS_LOCAL_MASK", bits::LOCAL_MASK.into()),
            ("MACH_MSGH_BITS_LOCAL_SHIFT", bits::LOCAL_SHIFT.into()),
            ("MACH_MSGH_BITS_VOUCHER_MASK", bits::VOUCHER_MASK.into()),
            ("MACH_MSGH_BITS_COMPLEX", bits::COMPLEX.into()),
        ],
    );
    section(
        "mach_msg_type_name_t",
        &[
            (
                "MACH_MSG_TYPE_MOVE_RECEIVE",
                disposition::MOVE_RECEIVE.into(),
            ),
            ("MACH_MSG_TYPE_MOVE_SEND", disposition::MOVE_SEND.into()),
            (
                "MACH_MSG_TYPE_MOVE_SEND_ONCE",
                disposition::MOVE_SEND_ONCE.into(),
            ),
            ("MACH_MSG_TYPE_COPY_SEND", disposition::COPY_SEND.into()),
            ("MACH_MSG_TYPE_MAKE_SEND", disposition::MAKE_SEND.into()),
            (
                "MACH_MSG_TYPE_MAKE_SEND_ONCE",
                disposition::MAKE_SEND_ONCE.into(),
            ),
        ],
    );
    section(
        "mach_msg_option_t",
        &[
            ("MACH_SEND_MSG", options::SEND.into()),
            ("MACH_RCV_MSG", options::RECEIVE.into()),
            ("MACH_RCV_LARGE", options::RECEIVE_LARGE.into()),
            (
                "MACH_RCV_LARGE_IDENTITY",
                option::RECEIVE_LARGE_IDENTITY.into(),
            ),
            ("MACH_SEND_TIMEOUT", options::SEND_TIMEOUT.into()),
            ("MACH_SEND_INTERRUPT", options::SEND_INTERRUPT.into()),
            ("MACH_RCV_TIMEOUT", options::RECEIVE_TIMEOUT.into()),
            ("MACH_RCV_INTERRUPT", options::RECEIVE_INTERRUPT.into()),
        ],
    );
}

fn bodies(section: &mut Section<'_>) {
    section(
        "Descriptors",
        &[
            ("MACH_MSG_PORT_DESCRIPTOR", descriptor::PORT.into()),
            ("MACH_MSG_OOL_DESCRIPTOR", descriptor::OUT_OF_LINE.into()),
            (
                "MACH_MSG_OOL_PORTS_DESCRIPTOR",
                descriptor::OUT_OF_LINE_PORTS.into(),
            ),
            ("MACH_MSG_PHYSICAL_COPY", copy::PHYSICAL.into()),
            ("MACH_MSG_VIRTUAL_COPY", copy::VIRTUAL.into()),
            ("MACH_MSG_ALLOCATE", copy::ALLOCATE.into()),
        ],
    );
    section(
        "Trailers",
        &[
            ("MACH_RCV_TRAILER_NULL", trailer::NONE.into()),
            ("MACH_RCV_TRAILER_SEQNO", trailer::SEQUENCE.into()),
            ("MACH_RCV_TRAILER_SENDER", trailer::SENDER.into()),
            ("MACH_RCV_TRAILER_AUDIT", trailer::AUDIT.into()),
            ("MACH_RCV_TRAILER_CTX", trailer::CONTEXT.into()),
            ("MACH_RCV_TRAILER_AV", trailer::FILTER.into()),
            ("MACH_RCV_TRAILER_LABELS", trailer::LABELS.into()),
            (
                "MACH_RCV_TRAILER_ELEMENTS_SHIFT",
                trailer::ELEMENTS_SHIFT.into(),
            ),
            ("MACH_RCV_TRAILER_TYPE_SHIFT", trailer::TYPE_SHIFT.into()),
            ("MACH_RCV_TRAILER_MASK", trailer::MASK.into()),
        ],
    );
    section(
        "Sizes in bytes",
        &[
            ("MACH_MSG_HEADER_SIZE", classic::HEADER_SIZE as u64),
            ("MACH_MSG_BODY_SIZE", classic::BODY_SIZE as u64),
            (
                "MACH_MSG_PORT_DESCRIPTOR_SIZE",
                classic::PORT_DESCRIPTOR_SIZE as u64,
            ),
            (
                "MACH_MSG_OOL_DESCRIPTOR_SIZE",
                classic::MEMORY_DESCRIPTOR_SIZE as u64,
            ),
            ("MAX_TRAILER_SIZE", classic::MAX_TRAILER_SIZE as u64),
            ("MACH_MSG_WORDS", abi::message::WORDS as u64),
            (
                "MACH_MSG_MAX_DESCRIPTORS",
                abi::message::MAX_DESCRIPTORS as u64,
            ),
            (
                "BOOTSTRAP_MAX_NAME_LEN",
                ::interfaces::bootstrap::MAX_NAME as u64 + 1,
            ),
            (
                "BOOTSTRAP_MAX_LOOKUP_COUNT",
                ::interfaces::bootstrap::MAX_LOOKUP_COUNT.into(),
            ),
        ],
    );
}

fn memory(section: &mut Section<'_>) {
    section(
        "vm_prot_t, vm_inherit_t, flags",
        &[
            ("VM_PROT_NONE", protection::NONE.into()),
            ("VM_PROT_READ", protection::READ.into()),
            ("VM_PROT_WRITE", protection::WRITE.into()),
            ("VM_PROT_EXECUTE", protection::EXECUTE.into()),
            ("VM_PROT_ALL", protection::ALL.into()),
            ("VM_INHERIT_SHARE", inherit::SHARE.into()),
            ("VM_INHERIT_COPY", inherit::COPY.into()),
            ("VM_INHERIT_NONE", inherit::NONE.into()),
            ("VM_FLAGS_FIXED", flags::FIXED),
            ("VM_FLAGS_ANYWHERE", flags::ANYWHERE),
            ("VM_FLAGS_SUPERPAGE_SIZE_ANY", flags::SUPERPAGE_SIZE_ANY),
            ("VM_FLAGS_SUPERPAGE_SIZE_2MB", flags::SUPERPAGE_SIZE_2MB),
            ("VM_FLAGS_OVERWRITE", map_flags::OVERWRITE),
            ("PAGE_SIZE", abi::PAGE_SIZE),
        ],
    );
    section(
        "thread_switch",
        &[
            ("SWITCH_OPTION_NONE", switch_option::NONE),
            ("SWITCH_OPTION_DEPRESS", switch_option::DEPRESS),
            ("SWITCH_OPTION_WAIT", switch_option::WAIT),
            (
                "SWITCH_OPTION_OSLOCK_DEPRESS",
                switch_option::OSLOCK_DEPRESS,
            ),
            ("SWITCH_OPTION_OSLOCK_WAIT", switch_option::OSLOCK_WAIT),
        ],
    );
}

fn uses_of_memory(section: &mut Section<'_>) {
    section(
        "vm_region_flavor_t",
        &[
            ("VM_REGION_BASIC_INFO_64", region::BASIC_INFO_64.into()),
            (
                "VM_REGION_BASIC_INFO_COUNT_64",
                region::BASIC_INFO_64_COUNT.into(),
            ),
        ],
    );
    section(
        "vm_behavior_t",
        &[
            ("VM_BEHAVIOR_DEFAULT", behavior::DEFAULT.into()),
            ("VM_BEHAVIOR_RANDOM", behavior::RANDOM.into()),
            ("VM_BEHAVIOR_SEQUENTIAL", behavior::SEQUENTIAL.into()),
            ("VM_BEHAVIOR_RSEQNTL", behavior::REVERSE_SEQUENTIAL.into()),
            ("VM_BEHAVIOR_WILLNEED", behavior::WILL_NEED.into()),
            ("VM_BEHAVIOR_DONTNEED", behavior::DONT_NEED.into()),
            ("VM_BEHAVIOR_FREE", behavior::FREE.into()),
            ("VM_BEHAVIOR_ZERO", behavior::ZERO.into()),
        ],
    );
    section(
        "vm_sync_t",
        &[
            ("VM_SYNC_ASYNCHRONOUS", sync::ASYNCHRONOUS.into()),
            ("VM_SYNC_SYNCHRONOUS", sync::SYNCHRONOUS.into()),
            ("VM_SYNC_INVALIDATE", sync::INVALIDATE.into()),
            ("VM_SYNC_KILLPAGES", sync::KILL_PAGES.into()),
            ("VM_SYNC_DEACTIVATE", sync::DEACTIVATE.into()),
            ("VM_SYNC_CONTIGUOUS", sync::CONTIGUOUS.into()),
        ],
    );
}

fn tasks(section: &mut Section<'_>) {
    section(
        "Registers",
        &[
            ("x86_THREAD_STATE64", thread_state::FLAVOR.into()),
            ("x86_THREAD_STATE64_COUNT", STATE_COUNT.into()),
            ("x86_FLOAT_STATE64", thread_state::FLOAT_FLAVOR.into()),
            (
                "x86_FLOAT_STATE64_COUNT",
                thread_state::FLOAT_SIZE as u64 / 4,
            ),
            ("x86_DEBUG_STATE64", thread_state::DEBUG_FLAVOR.into()),
            (
                "x86_DEBUG_STATE64_COUNT",
                size_of::<thread_state::DebugState>() as u64 / 4,
            ),
            ("x86_AVX_STATE64", thread_state::AVX_FLAVOR.into()),
            ("x86_AVX_STATE64_COUNT", thread_state::AVX_SIZE as u64 / 4),
            ("THREAD_STATE_NONE", 0),
        ],
    );
    section(
        "Ports of tasks",
        &[
            ("TASK_KERNEL_PORT", special::KERNEL.into()),
            ("TASK_HOST_PORT", special::HOST.into()),
            ("TASK_BOOTSTRAP_PORT", special::BOOTSTRAP.into()),
            ("TASK_PORT_REGISTER_MAX", special::REGISTERED.into()),
        ],
    );
    section(
        "Semaphores",
        &[
            ("SYNC_POLICY_FIFO", policy::FIFO.into()),
            ("SYNC_POLICY_FIXED_PRIORITY", policy::FIXED_PRIORITY.into()),
        ],
    );
    section(
        "exception_behavior_t, exception_mask_t",
        &[
            ("EXCEPTION_DEFAULT", exception::behavior::DEFAULT.into()),
            ("EXCEPTION_STATE", exception::behavior::STATE.into()),
            (
                "EXCEPTION_STATE_IDENTITY",
                exception::behavior::STATE_IDENTITY.into(),
            ),
            (
                "MACH_EXCEPTION_CODES",
                exception::behavior::WIDE_CODES.into(),
            ),
            ("EXC_MASK_ALL", exception::MASK_ALL.into()),
            ("EXC_TYPES_COUNT", exception::TYPES.into()),
            ("EXCEPTION_RAISE", exception::NARROW_RAISE as u64),
            ("MACH_EXCEPTION_RAISE", exception::WIDE_RAISE as u64),
            (
                "MACH_EXCEPTION_RAISE_STATE",
                exception::WIDE_RAISE as u64 + 1,
            ),
            (
                "MACH_EXCEPTION_RAISE_STATE_IDENTITY",
                exception::WIDE_RAISE as u64 + 2,
            ),
        ],
    );
}

fn infos(section: &mut Section<'_>) {
    section(
        "Flavors of task_info and thread_info",
        &[
            ("TASK_BASIC_INFO_32", info::BASIC.into()),
            ("TASK_BASIC_INFO_32_COUNT", info::BASIC_COUNT.into()),
            ("TASK_BASIC_INFO_64", info::BASIC_64.into()),
            ("TASK_BASIC_INFO_64_COUNT", info::BASIC_64_COUNT.into()),
            ("TASK_EVENTS_INFO", info::EVENTS.into()),
            ("TASK_EVENTS_INFO_COUNT", info::EVENTS_COUNT.into()),
            ("TASK_THREAD_TIMES_INFO", info::THREAD_TIMES.into()),
            (
                "TASK_THREAD_TIMES_INFO_COUNT",
                info::THREAD_TIMES_COUNT.into(),
            ),
            ("TASK_SECURITY_TOKEN", info::SECURITY_TOKEN.into()),
            (
                "TASK_SECURITY_TOKEN_COUNT",
                info::SECURITY_TOKEN_COUNT.into(),
            ),
            ("TASK_AUDIT_TOKEN", info::AUDIT_TOKEN.into()),
            ("TASK_AUDIT_TOKEN_COUNT", info::AUDIT_TOKEN_COUNT.into()),
            ("TASK_VM_INFO", info::VM_INFO.into()),
            ("TASK_VM_INFO_COUNT", info::VM_INFO_COUNT.into()),
            ("THREAD_BASIC_INFO", thread_info::BASIC.into()),
            ("THREAD_BASIC_INFO_COUNT", thread_info::BASIC_COUNT.into()),
            ("THREAD_IDENTIFIER_INFO", thread_info::IDENTIFIER.into()),
            (
                "THREAD_IDENTIFIER_INFO_COUNT",
                thread_info::IDENTIFIER_COUNT.into(),
            ),
            ("THREAD_EXTENDED_INFO", thread_info::EXTENDED.into()),
            (
                "THREAD_EXTENDED_INFO_COUNT",
                thread_info::EXTENDED_COUNT.into(),
            ),
            ("TH_STATE_RUNNING", thread_info::RUNNING.into()),
            ("TH_STATE_STOPPED", thread_info::STOPPED.into()),
            ("TH_STATE_WAITING", thread_info::WAITING.into()),
            (
                "TH_STATE_UNINTERRUPTIBLE",
                thread_info::UNINTERRUPTIBLE.into(),
            ),
            ("TH_USAGE_SCALE", thread_info::USAGE_SCALE.into()),
        ],
    );
    section(
        "Flavors of host_info and host_statistics",
        &[
            ("HOST_BASIC_INFO", host::info::BASIC.into()),
            ("HOST_BASIC_INFO_COUNT", host::info::BASIC_COUNT.into()),
            ("HOST_SCHED_INFO", host::info::SCHED.into()),
            ("HOST_SCHED_INFO_COUNT", host::info::SCHED_COUNT.into()),
            ("HOST_PRIORITY_INFO", host::info::PRIORITY.into()),
            (
                "HOST_PRIORITY_INFO_COUNT",
                host::info::PRIORITY_COUNT.into(),
            ),
            ("HOST_LOAD_INFO", host::statistics::LOAD.into()),
            ("HOST_LOAD_INFO_COUNT", host::statistics::LOAD_COUNT.into()),
            ("HOST_VM_INFO64", host::statistics::VM64.into()),
            ("HOST_VM_INFO64_COUNT", host::statistics::VM64_COUNT.into()),
            ("HOST_CPU_LOAD_INFO", host::statistics::CPU_LOAD.into()),
            (
                "HOST_CPU_LOAD_INFO_COUNT",
                host::statistics::CPU_LOAD_COUNT.into(),
            ),
        ],
    );
}

fn host_ports(section: &mut Section<'_>) {
    section(
        "Special ports of the host",
        &[
            ("HOST_PORT", host::special::HOST.into()),
            ("HOST_PRIV_PORT", host::special::HOST_PRIVILEGED.into()),
            ("HOST_IO_MAIN_PORT", host::special::IO_ROOT.into()),
            (
                "HOST_MAX_SPECIAL_KERNEL_PORT",
                host::special::LAST_OF_KERNEL.into(),
            ),
            ("HOST_MAX_SPECIAL_PORT", host::special::LAST.into()),
        ],
    );
}

fn clocks(section: &mut Section<'_>) {
    section(
        "Clocks",
        &[
            ("SYSTEM_CLOCK", clock::which::SYSTEM.into()),
            ("CALENDAR_CLOCK", clock::which::CALENDAR.into()),
            ("TIME_ABSOLUTE", clock::kind::ABSOLUTE.into()),
            ("TIME_RELATIVE", clock::kind::RELATIVE.into()),
            (
                "CLOCK_GET_TIME_RES",
                clock::attribute::TIME_RESOLUTION.into(),
            ),
            (
                "CLOCK_ALARM_CURRES",
                clock::attribute::ALARM_RESOLUTION.into(),
            ),
            ("CLOCK_ALARM_MINRES", clock::attribute::ALARM_LEAST.into()),
            ("CLOCK_ALARM_MAXRES", clock::attribute::ALARM_MOST.into()),
            (
                "HOST_NOTIFY_CALENDAR_CHANGE",
                clock::change::CALENDAR_CHANGED.into(),
            ),
            (
                "HOST_NOTIFY_CALENDAR_SET",
                clock::change::CALENDAR_SET.into(),
            ),
            ("CLOCK_ALARM_REPLY", clock::ALARM_REPLY as u64),
            (
                "HOST_CALENDAR_CHANGED_REPLYID",
                clock::CALENDAR_CHANGED as u64,
            ),
            (
                "HOST_CALENDAR_SET_REPLYID",
                clock::CALENDAR_CHANGED as u64 + 1,
            ),
            ("MK_TIMER_EXPIRED", notify::pending::TIMER as u64),
        ],
    );
}

fn events(section: &mut Section<'_>) {
    section(
        "Notifications",
        &[
            ("MACH_NOTIFY_PORT_DELETED", notify::PORT_DELETED as u64),
            ("MACH_NOTIFY_SEND_POSSIBLE", notify::SEND_POSSIBLE as u64),
            ("MACH_NOTIFY_PORT_DESTROYED", notify::PORT_DESTROYED as u64),
            ("MACH_NOTIFY_NO_SENDERS", notify::NO_SENDERS as u64),
            ("MACH_NOTIFY_SEND_ONCE", notify::SEND_ONCE as u64),
            ("MACH_NOTIFY_DEAD_NAME", notify::DEAD_NAME as u64),
            (
                "MELLO_NOTIFY_MESSAGE_WAITING",
                notify::MESSAGE_WAITING as u64,
            ),
            ("MELLO_NOTIFY_NAMES_USED", notify::NAMES_USED as u64),
        ],
    );
    let all = 1..16;
    let names: Vec<(&str, u64)> = all
        .map(|number| (exception::name(number), number.into()))
        .filter(|(name, _)| *name != exception::name(0))
        .collect();
    section("exception_type_t", &names);
}

/// Every code that has a name, found by asking for all numbers that may have one.
fn codes(text: &mut String) {
    let mut rows = |title: &str, numbers: &mut dyn Iterator<Item = u32>| {
        *text += &format!("\n/* {title} */\n");
        for (name, number) in numbers.filter_map(|number| Some((c_name(number)?, number))) {
            let signed = number.cast_signed();
            let value = if (0..0x1000_0000).contains(&signed) {
                signed.to_string()
            } else if signed < 0 {
                format!("({signed})")
            } else {
                format!("{number:#x}")
            };
            *text += &format!("#define {name} {value}\n");
        }
    };
    rows("kern_return_t", &mut (0..100));
    rows(
        "Codes of MIG",
        &mut (300_i32..400).map(|code| (-code).cast_unsigned()),
    );
    rows(
        "Codes of the name service",
        &mut BOOTSTRAP.iter().map(|(_, code)| code.0),
    );
    let halves = (0x1000_0001..0x1000_0020).chain(0x1000_4001..0x1000_4020);
    rows("mach_msg_return_t", &mut halves.into_iter());
    *text += "\n/* Bits that say what ran out, in a mach_msg_return_t */\n";
    for (name, bit) in [
        ("MACH_MSG_IPC_SPACE", kern_return::resource::IPC_SPACE),
        ("MACH_MSG_VM_SPACE", kern_return::resource::VM_SPACE),
        ("MACH_MSG_IPC_KERNEL", kern_return::resource::IPC_KERNEL),
        ("MACH_MSG_VM_KERNEL", kern_return::resource::VM_KERNEL),
    ] {
        *text += &format!("#define {name} {bit:#x}\n");
    }
}

/// The services' names and the ids of their requests.
fn interfaces() -> String {
    let mut text = format!("{HEAD}#ifndef MELLO_INTERFACES_H\n#define MELLO_INTERFACES_H\n\n");
    text += "/* A reply's id is its request's plus this. */\n";
    text += &format!(
        "#define MACH_REPLY_OFFSET {}\n",
        abi::transport::REPLY_OFFSET
    );
    for interface in ::interfaces::ALL {
        let leaf = interface.name.rsplit('.').next().unwrap_or_default();
        let prefix = upper("", leaf).replace('-', "_");
        text += &format!("\n#define {prefix}_SERVICE \"{}\"\n", interface.name);
        for method in interface.methods {
            let name = method.name.to_uppercase();
            text += &format!("#define {prefix}_{name} {}\n", method.id);
        }
    }
    text += "\n#endif\n";
    text
}
