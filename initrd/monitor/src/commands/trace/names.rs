//! Who is who in a trace: tasks and threads by their numbers, messages by their ids.
//!
//! Numbers are used again: what the kernel says when a span begins is brought up to date by the records of
//! births, in their order.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use libmach::abi::notify::{self, pending};
use libmach::abi::trace::{Kind, Record};
use libmach::abi::transport::REPLY_OFFSET;
use libmach::abi::{exception, trap};

use super::super::target;
use crate::failure::Failure;
use crate::shell::Shell;

/// Tasks and threads as they are at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Names of tasks.
    pub(super) tasks: BTreeMap<u32, String>,
    /// Tasks of threads.
    pub(super) threads: BTreeMap<u32, u32>,
}

impl Names {
    /// Asks the kernel.
    pub(super) fn read(shell: &Shell) -> Result<Self, Failure> {
        let mut names = Self::default();
        for task in target::tasks(shell)? {
            names.tasks.insert(task.index, task.name.to_string());
        }
        let mut first = 0;
        loop {
            let page = shell.rights.host.client().threads(first)?;
            // A kernel that does not ascend must not keep the monitor here.
            match page.last() {
                Some(last) if last.index >= first => first = last.index.saturating_add(1),
                _ => return Ok(names),
            }
            let threads = page.iter().map(|thread| (thread.index, thread.task));
            names.threads.extend(threads);
        }
    }

    /// Learns what a record tells.
    pub(super) fn learn(&mut self, record: &Record) {
        let (low, high) = (record.a as u32, (record.a >> 32) as u32);
        match Kind::from_byte(record.kind) {
            Some(Kind::TaskCreate) => drop(self.tasks.insert(low, String::new())),
            Some(Kind::TaskName) => drop(self.tasks.insert(low, task_name(record.b, high))),
            Some(Kind::ThreadCreate) => drop(self.threads.insert(low, record.b as u32)),
            _ => {}
        }
    }

    /// A thread: its task's name and its number.
    pub(super) fn thread(&self, index: u32) -> String {
        match self.threads.get(&index) {
            _ if index == u32::MAX => String::from("-"),
            Some(task) => format!("{}/{index}", self.task(*task)),
            None => format!("?/{index}"),
        }
    }

    /// A task: its name, or its number.
    pub(super) fn task(&self, index: u32) -> String {
        match self.tasks.get(&index) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("task {index}"),
        }
    }
}

/// A task's name from the twelve bytes that a record holds of it.
fn task_name(start: u64, rest: u32) -> String {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&start.to_le_bytes());
    bytes[8..].copy_from_slice(&rest.to_le_bytes());
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// It asks for something.
    Request,
    /// It answers the request with an id less by [`REPLY_OFFSET`].
    Reply,
    /// The kernel tells something.
    Notice,
}

impl Role {
    /// For a person and for programs.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Notice => "notice",
        }
    }
}

/// What a message id means, by the interfaces' descriptions.
pub(super) fn message(id: i32) -> Option<(Role, String)> {
    let notice = |name: &str| Some((Role::Notice, name.to_string()));
    match id {
        notify::PORT_DELETED => return notice("port deleted"),
        notify::SEND_POSSIBLE => return notice("send possible"),
        notify::PORT_DESTROYED => return notice("port destroyed"),
        notify::NO_SENDERS => return notice("no senders"),
        notify::SEND_ONCE => return notice("send-once right ended"),
        notify::DEAD_NAME => return notice("dead name"),
        pending::INTERRUPT => return notice("interrupt"),
        pending::TIMER => return notice("timer"),
        exception::RAISE => return Some((Role::Request, String::from("exception"))),
        _ if id == exception::RAISE + REPLY_OFFSET => {
            return Some((Role::Reply, String::from("exception")));
        }
        _ => {}
    }
    let (interface, method) = interfaces::name_of(id)?;
    let mut all = interfaces::ALL.iter();
    let role = match all.any(|known| known.method(id).is_some()) {
        true => Role::Request,
        false => Role::Reply,
    };
    Some((role, format!("{interface}.{method}")))
}

/// What a trap is called.
pub(super) fn trap_name(number: i64) -> String {
    let name = match number {
        trap::MACH_MSG => "mach_msg",
        trap::CLOCK => "clock",
        trap::NULL => "null",
        trap::VM_ALLOCATE => "vm_allocate",
        trap::VM_DEALLOCATE => "vm_deallocate",
        trap::VM_PROTECT => "vm_protect",
        trap::VM_MAP => "vm_map",
        trap::PORT_CONSTRUCT => "mach_port_construct",
        trap::PORT_DESTRUCT => "mach_port_destruct",
        trap::PORT_GUARD => "mach_port_guard",
        trap::PORT_UNGUARD => "mach_port_unguard",
        trap::PORT_SWAP_GUARD => "mach_port_swap_guard",
        trap::PORT_ALLOCATE_NAME => "mach_port_allocate_name",
        trap::PORT_DEALLOCATE => "mach_port_deallocate",
        trap::PORT_MOD_REFS => "mach_port_mod_refs",
        trap::PORT_INSERT_RIGHT => "mach_port_insert_right",
        trap::PORT_INSERT_MEMBER => "mach_port_insert_member",
        trap::PORT_EXTRACT_MEMBER => "mach_port_extract_member",
        trap::PORT_GET_ATTRIBUTE => "mach_port_get_attribute",
        trap::PORT_SET_LABEL => "port_set_label",
        trap::PORT_REQUEST_NOTIFICATION => "mach_port_request_notification",
        trap::REPLY_SLOT_TAKE => "reply_slot_take",
        trap::MK_TIMER_CREATE => "mk_timer_create",
        trap::MK_TIMER_DESTROY => "mk_timer_destroy",
        trap::MK_TIMER_ARM => "mk_timer_arm",
        trap::MK_TIMER_CANCEL => "mk_timer_cancel",
        trap::CLOCK_SLEEP => "clock_sleep",
        trap::TIMER_ARM => "timer_arm",
        trap::WAIT_UNTIL => "mach_wait_until",
        trap::SWTCH => "swtch",
        trap::SWTCH_PRI => "swtch_pri",
        trap::THREAD_SWITCH => "thread_switch",
        trap::FUTEX_WAIT => "futex_wait",
        trap::FUTEX_WAKE => "futex_wake",
        trap::FUTEX_REQUEUE => "futex_requeue",
        trap::SEMAPHORE_SIGNAL => "semaphore_signal",
        trap::SEMAPHORE_SIGNAL_ALL => "semaphore_signal_all",
        trap::SEMAPHORE_SIGNAL_THREAD => "semaphore_signal_thread",
        trap::SEMAPHORE_WAIT => "semaphore_wait",
        trap::SEMAPHORE_WAIT_SIGNAL => "semaphore_wait_signal",
        trap::SEMAPHORE_TIMED_WAIT => "semaphore_timedwait",
        trap::SEMAPHORE_TIMED_WAIT_SIGNAL => "semaphore_timedwait_signal",
        trap::INTERRUPT_ACKNOWLEDGE => "interrupt_acknowledge",
        trap::IO_READ => "io_read",
        trap::IO_WRITE => "io_write",
        other => return other.to_string(),
    };
    String::from(name)
}

#[cfg(test)]
mod tests {
    use libmach::abi::trace::{Kind, Record};

    use super::{Names, Role, message};

    fn born(kind: Kind, a: u64, b: u64) -> Record {
        Record {
            kind: kind as u8,
            a,
            b,
            ..Record::default()
        }
    }

    #[test]
    fn births_bring_the_names_up_to_date() {
        let mut names = Names::default();
        let name = *b"a-server-nam";
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let rest = u64::from(u32::from_le_bytes(name[8..].try_into().unwrap()));
        names.learn(&born(Kind::TaskCreate, 3, 0));
        names.learn(&born(Kind::ThreadCreate, 9, 3));
        assert_eq!(names.thread(9), "task 3/9", "it has no name yet");
        names.learn(&born(Kind::TaskName, 3 | rest << 32, word(&name[..8])));
        assert_eq!(names.thread(9), "a-server-nam/9");
        names.learn(&born(Kind::TaskName, 3, word(b"log\0\0\0\0\0")));
        assert_eq!(names.thread(9), "log/9");
        assert_eq!(names.thread(10), "?/10");
        assert_eq!(names.thread(u32::MAX), "-");
    }

    #[test]
    fn ids_have_their_names() {
        let named = |id| message(id).map(|(role, name)| (role, name.leak() as &str));
        let echo = "org.mello.echo.echo";
        assert_eq!(named(4200), Some((Role::Request, echo)));
        assert_eq!(named(4300), Some((Role::Reply, echo)));
        assert_eq!(named(0o110), Some((Role::Notice, "dead name")));
        assert_eq!(named(2500), Some((Role::Reply, "exception")));
        assert_eq!(named(12), None);
    }
}
