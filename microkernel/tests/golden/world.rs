//! One task, what it has, and the values that it tries.

use abi::PAGE_SIZE;
use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::{Name, disposition, right};
use abi::start::names::{HOST_PRIVILEGED, INTERRUPT_ROOT, IO_ROOT, MEMORY_ROOT};
use abi::trap::{
    HOST_SELF, MK_TIMER_CREATE, PORT_INSERT_MEMBER, TASK_SELF, THREAD_SELF, VM_PROTECT,
};
use abi::vm::{MAX_ADDRESS, protection};
use abi::{notify, vm};
use interfaces::interrupt::InterruptRoot;
use interfaces::io::IoRoot;
use interfaces::mach_host::MachHost;
use interfaces::task::Task;
use microkernel::base::ids::TaskId;
use microkernel::machine::FrameIndex;
use sim::machine::Size;
use sim::{Config, Request, Sim, User};
use std::collections::BTreeMap;

/// Writable memory that nobody has touched.
const DATA: u64 = sim::image::DATA + 0x2_0000;
/// Memory that may be read.
const READ_ONLY: u64 = sim::image::DATA + 0x3_0000;

/// Numbers, sizes, addresses.
const NUMBERS: [(&str, u64); 36] = [
    ("0", 0),
    ("1", 1),
    ("2", 2),
    ("3", 3),
    ("4", 4),
    ("8", 8),
    ("31", 31),
    ("64", 64),
    ("255", 255),
    ("page-1", PAGE_SIZE - 1),
    ("page", PAGE_SIZE),
    ("page+1", PAGE_SIZE + 1),
    ("2-pages", 2 * PAGE_SIZE),
    ("2^31-1", (1 << 31) - 1),
    ("2^31", 1 << 31),
    ("2^32-1", (1 << 32) - 1),
    ("2^32", 1 << 32),
    ("2^46", 1 << 46),
    ("top-page", MAX_ADDRESS - PAGE_SIZE),
    ("top", MAX_ADDRESS),
    ("2^47-1", (1 << 47) - 1),
    ("2^47", 1 << 47),
    ("2^47+1", (1 << 47) + 1),
    ("2^63-1", (1 << 63) - 1),
    ("2^63", 1 << 63),
    ("direct", 0xffff_8000_0000_0000),
    ("kernel", 0xffff_ffff_8000_0000),
    ("-page", PAGE_SIZE.wrapping_neg()),
    ("-2", u64::MAX - 1),
    ("-1", u64::MAX),
    ("code", sim::image::CODE),
    ("data", DATA),
    ("data+1", DATA + 1),
    ("data+8", DATA + 8),
    ("read-only", READ_ONLY),
    ("free", 0x7000_0000_0000),
];

/// Rights to a mapping, and the most that it may have.
const fn rights(rights: u32) -> u64 {
    let rights = rights as u64;
    rights << vm::map_flags::CURRENT_SHIFT | rights << vm::map_flags::MAXIMUM_SHIFT
}

/// What calls take when they succeed, beside those.
const USUAL: [(&str, u64); 7] = [
    ("rights", rights(protection::READ | protection::WRITE)),
    ("read-rights", rights(protection::READ)),
    ("make-send", disposition::MAKE_SEND as u64),
    ("make-send-once", disposition::MAKE_SEND_ONCE as u64),
    ("basic-info", vm::region::BASIC_INFO_64 as u64),
    ("data-above", DATA + 4 * PAGE_SIZE),
    ("dead-name", notify::DEAD_NAME as u64),
];

/// The message buffer, and names of rights; at last one that was freed, and one that never was.
const NAMES: [&str; 22] = [
    "buffer",
    "port",
    "port-above",
    "set",
    "member",
    "guarded",
    "send",
    "once",
    "dead",
    "timer",
    "task",
    "thread",
    "host",
    "host-privileged",
    "semaphore",
    "clock",
    "processors",
    "ports",
    "line",
    "entry",
    "gone",
    "unused",
];

/// Objects that the kernel makes when it is asked.
fn make(user: &mut User<'_>, names: &mut BTreeMap<&'static str, u64>) {
    let memory = [DATA, PAGE_SIZE, protection::READ.into(), 0, 0, 0];
    let eight = [8, 8, 0, 0, 0, 0];
    for (label, to, id, words) in [
        ("semaphore", "task", <dyn Task>::SEMAPHORE_CREATE.id, [0; 6]),
        ("entry", "task", <dyn Task>::MAKE_ENTRY.id, memory),
        ("ports", IO_ROOT, <dyn IoRoot>::RANGE.id, eight),
        ("line", INTERRUPT_ROOT, <dyn InterruptRoot>::LINE.id, eight),
        ("clock", "host", <dyn MachHost>::CLOCK_SERVICE.id, [0; 6]),
        (
            "processors",
            "host",
            <dyn MachHost>::PROCESSOR_SET_DEFAULT.id,
            [0; 6],
        ),
    ] {
        let to = Name(names[to] as u32);
        let reply = user.message(&Request::call(to).id(id).words(words));
        names.insert(label, reply.right().name.into());
    }
}

/// A machine whose task makes one trap.
pub(crate) struct World {
    sim: Sim,
    thread: FrameIndex,
    names: BTreeMap<&'static str, u64>,
}

impl World {
    /// What the values are called that are tried in place of an argument.
    pub(crate) fn labels() -> impl Iterator<Item = &'static str> {
        NUMBERS.iter().map(|(label, _)| *label).chain(NAMES)
    }

    /// A task with one of each.
    pub(crate) fn new() -> Self {
        // Small, since there are thousands of them.
        let size = Size {
            pages: 1024,
            arena_bytes: 1 << 18,
            ..Size::default()
        };
        let mut sim = Sim::boot(Config {
            size,
            ..Config::default()
        });
        let first = sim.first();
        let other = sim.add_task();
        let thread = sim.add_task();
        let foreign = sim.on(other).port();
        let give = |sim: &mut Sim, what| sim.give(other, foreign, what, thread);
        let mut names: BTreeMap<&'static str, u64> = NUMBERS.into();
        let mut add = |label, name: Name| names.insert(label, name.0.into());
        add("send", give(&mut sim, disposition::MAKE_SEND));
        add("once", give(&mut sim, disposition::MAKE_SEND_ONCE));
        let mortal = sim.on(other).port();
        add(
            "dead",
            sim.give(other, mortal, disposition::MAKE_SEND, thread),
        );
        sim.on(other).destroy(mortal).unwrap();
        for root in [HOST_PRIVILEGED, IO_ROOT, INTERRUPT_ROOT, MEMORY_ROOT] {
            let name = sim.on(first).root(root);
            add(root, sim.give(first, name, disposition::COPY_SEND, thread));
        }
        let mut user = sim.on(thread);
        let port = user.port();
        add("port", port);
        let member = user.allocate(right::RECEIVE).unwrap();
        add("member", member);
        let set = user.allocate(right::PORT_SET).unwrap();
        add("set", set);
        user.trap(PORT_INSERT_MEMBER, &[member.0.into(), set.0.into()])
            .unwrap();
        let guarded = user.allocate(right::RECEIVE).unwrap();
        user.guard(guarded, 8, 0).unwrap();
        add("guarded", guarded);
        for (label, number) in [
            ("timer", MK_TIMER_CREATE),
            ("task", TASK_SELF),
            ("thread", THREAD_SELF),
            ("host", HOST_SELF),
        ] {
            add(label, Name(user.trap(number, &[]).unwrap() as u32));
        }
        make(&mut user, &mut names);
        let mut add = |label, name: Name| names.insert(label, name.0.into());
        let gone = user.allocate(right::RECEIVE).unwrap();
        user.destroy(gone).unwrap();
        add("gone", gone);
        add("unused", Name::new(100, 1));
        let read_only = [READ_ONLY, PAGE_SIZE, 0, protection::READ.into()];
        user.trap(VM_PROTECT, &read_only).unwrap();
        names.extend(USUAL);
        names.extend([
            ("buffer", sim::user::buffer_address(thread)),
            ("port-above", u64::from(port.0) | 1 << 32),
        ]);
        Self { sim, thread, names }
    }

    pub(crate) fn value(&self, label: &str) -> u64 {
        self.names[label]
    }

    pub(crate) fn values(&self, labels: &[&str]) -> Vec<u64> {
        labels.iter().map(|label| self.value(label)).collect()
    }

    /// What a trap answers, in words. The kernel keeps its rules whatever it is.
    pub(crate) fn trap(&mut self, number: i64, arguments: &[u64]) -> String {
        let task = self.sim.task_of(self.thread);
        let answer = self.sim.on(self.thread).start(number, arguments);
        let answer = answer.map(|answer| KernReturn(answer.frame.rax as u32));
        self.tell(task, answer.map(|code| format!("{code:?}")))
    }

    /// The same of a call by message.
    pub(crate) fn message(&mut self, request: &Request) -> String {
        let task = self.sim.task_of(self.thread);
        let reply = self.sim.on(self.thread).start_message(request);
        let told = reply.map(|reply| match reply.code {
            MessageReturn::Success => format!("{:?}", KernReturn(reply.words[0] as u32)),
            code => format!("{code:?}"),
        });
        self.tell(task, told)
    }

    fn tell(&self, task: TaskId, answer: Option<String>) -> String {
        assert_eq!(self.sim.kernel.check(&self.sim.machine), Ok(()));
        match answer {
            Some(answer) => answer,
            None if self.sim.kernel.task_ids().any(|id| id == task) => "waits".to_owned(),
            None => "ends the task".to_owned(),
        }
    }
}
