//! Ports, rights and messages.
//!
//! Everything that a call does to rights happens in two parts: checks that change nothing, then changes
//! that cannot fail. What follows from a change (a message meets a receiver, a notification fires, a port
//! dies with all that is in it) is not done on the spot but put on the [agenda]: the trap that
//! caused it works the agenda off in bounded steps before it returns. So nothing here recurses, however
//! deeply rights are nested in messages.
//!
//! Neighbours: threads and their queues come from [`sched`](crate::sched); `task` owns spaces and
//! threads. A message between two threads that are ready for it never comes here: [`fast`] has it.
//!
//! Deliberately absent: pointers, reference counts on ports (a port lives as long as its receive right),
//! and allocation during destruction.

pub mod agenda;
pub mod alarm;
pub mod answer;
pub mod array;
pub mod body;
mod copy_in;
mod deliver;
mod enclosure;
pub mod entry;
pub mod exception;
pub mod fast;
mod guard;
mod header;
mod layout;
pub mod letter;
pub mod lines;
mod meet;
pub mod message;
pub mod names;
pub mod notice;
pub mod notify;
pub mod object;
pub mod ops;
pub mod pager;
pub mod peek;
pub mod port;
mod quota;
pub mod receive;
pub mod right;
pub mod send;
pub mod set;
pub mod slot;
pub mod special;
pub mod stage;
pub mod tally;
pub mod timer;
pub mod transit;
mod weight;

use abi::trace::Kind as TraceKind;
use arena::Arena;

use crate::base::Shortage;
use crate::base::ids::{ArrayId, NoticeId, PortId, PortKind, TaskId};
use crate::base::ledger::Ledgers;
use crate::base::tree::Tree;
use crate::base::usage::Usage;
use crate::machine::{Cpu, MAX_CPUS, Machine};
use crate::sched::{Sched, ThreadQueue};
use crate::vm::{self, Vm};
use agenda::Agenda;
use alarm::Clocks;
use array::{Arrays, Rows};
use body::Bodies;
pub use letter::Letter;
use lines::Lines;
use message::Messages;
use names::Names;
use notice::Notices;
use port::{Kind, Port};
use set::Memberships;
use special::Specials;

/// All ports.
pub type Ports = Arena<Port, PortKind>;

/// What calls into this layer work with beside its own state.
pub struct Context<'a, M: Machine> {
    /// The machine.
    pub machine: &'a mut M,
    /// Threads and their queues.
    pub sched: &'a mut Sched,
    /// Who pays.
    pub ledgers: &'a mut Ledgers,
    /// Buffers, and memory in messages.
    pub vm: &'a mut Vm,
    /// The CPU that the call runs on.
    pub cpu: Cpu,
}

/// All state of the layer.
pub struct Ipc {
    /// All ports and port sets.
    pub ports: Ports,
    /// All names.
    pub names: Names,
    /// All queued messages.
    pub messages: Messages,
    /// Bodies of queued messages.
    pub bodies: Bodies,
    /// Port arrays of messages.
    pub arrays: Arrays,
    /// Their parts.
    pub rows: Rows,
    /// All notifications, armed and fired.
    pub notices: Notices,
    /// Which port is in which set.
    pub memberships: Memberships,
    /// The port that everybody knows the host by.
    pub host_port: Option<PortId>,
    /// Ports that the privileged host port gives out by number.
    pub specials: Specials,
    /// Who has which interrupt line.
    pub lines: Lines,
    /// The ports of processors.
    pub processor_ports: [Option<PortId>; MAX_CPUS],
    /// The ports of their set, by [`Hand`](alarm::Hand).
    pub set_ports: [Option<PortId>; 2],
    /// Pages that were given to pagers since boot.
    pub paged_out: u64,
    /// The clocks, and who waits for them.
    pub clocks: Clocks,
    agenda: Agenda,
    /// What messages with rights or memory, and threads, have taken of a step since that was last asked, beside the items that
    /// they are.
    spent: u32,
    /// Port arrays that nobody took.
    ending: Option<ArrayId>,
    /// Notices that ended where no ledger was at hand.
    spent_notices: Option<NoticeId>,
    /// A task that nobody may reach any more; `task` has to look.
    deserted: Option<TaskId>,
    /// Threads that waited to receive on ports that moved. While there are any, the agenda is not empty.
    evicted: ThreadQueue,
    timers: Tree,
}

impl<M: Machine> Context<'_, M> {
    /// Records an event of the current thread, if events of its kind are recorded.
    #[inline(always)]
    pub fn note(&mut self, kind: TraceKind, what: (u64, u64)) {
        self.sched.note(self.machine, self.cpu, kind, what);
    }

    /// The part of it that `vm` works with.
    pub fn vm(&mut self) -> (&mut Vm, vm::Context<'_, M>) {
        (
            self.vm,
            vm::Context {
                machine: self.machine,
                ledgers: self.ledgers,
            },
        )
    }
}

impl Ipc {
    /// No ports, no names.
    pub fn new<M: Machine>(machine: &mut M) -> Self {
        Self {
            ports: Arena::new(machine.reserve(512 << 20)),
            names: Names::new(machine),
            messages: Arena::new(machine.reserve(256 << 20)),
            bodies: Arena::new(machine.reserve(256 << 20)),
            arrays: Arena::new(machine.reserve(64 << 20)),
            rows: Arena::new(machine.reserve(1 << 30)),
            notices: Arena::new(machine.reserve(128 << 20)),
            memberships: Arena::new(machine.reserve(128 << 20)),
            host_port: None,
            specials: Specials::new(),
            lines: Lines::new(),
            processor_ports: [None; MAX_CPUS],
            set_ports: [None; 2],
            paged_out: 0,
            clocks: Clocks::new(machine),
            agenda: Agenda::default(),
            spent: 0,
            ending: None,
            spent_notices: None,
            deserted: None,
            evicted: ThreadQueue::default(),
            timers: Tree::new(),
        }
    }

    /// What ports and messages take; names tell of themselves.
    pub fn usage(&self) -> [Usage; 8] {
        [
            Usage::of("ports", &self.ports),
            Usage::of("messages", &self.messages),
            Usage::of("bodies", &self.bodies),
            Usage::of("port arrays", &self.arrays),
            Usage::of("port array rows", &self.rows),
            Usage::of("notices", &self.notices),
            Usage::of("memberships", &self.memberships),
            self.clocks.usage(),
        ]
    }

    /// A port of the kernel's own making: a reply port, or one that stands for an object.
    ///
    /// # Errors
    /// [`Shortage`]: no memory.
    pub fn create_port(&mut self, kind: Kind) -> Result<PortId, Shortage> {
        Ok(self.ports.insert(Port::new(kind))?)
    }
}
