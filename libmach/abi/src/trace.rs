//! Records of the kernel's trace ring, as tools read them.

/// What happened. `a` and `b` of the record mean what each text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Nothing: an unused record.
    Empty = 0,
    /// A trap entered. a: number, b: first argument.
    Trap = 1,
    /// A message went straight to a waiting receiver, which runs now; the sender waits for its next one.
    /// a: receiver's thread, b: message id.
    Handoff = 2,
    /// A message was queued. a: port index, b: [`message`].
    Queue = 3,
    /// A message was received. a: port index, in the upper half the receiver's thread, b: [`message`].
    Receive = 4,
    /// A thread blocked. a: what it waits for ([`wait`]), b: index of the port that it waits at.
    Block = 5,
    /// A thread became runnable. a: the thread, b: its priority.
    Wake = 6,
    /// The CPU runs another thread. a: the thread.
    Switch = 7,
    /// A page fault. a: address, b: access bits.
    Fault = 8,
    /// An exception was raised. a: type, b: code.
    Exception = 9,
    /// An interrupt fired. a: line, b: index of the port that is told, [`NONE`] for none.
    Interrupt = 10,
    /// A task was created. a: its index.
    TaskCreate = 11,
    /// A task was terminated. a: its index.
    TaskTerminate = 12,
    /// A port died. a: its index.
    PortDeath = 13,
    /// A mark that a program set through its host port. a and b: the program's.
    Mark = 14,
    /// A message came to one of the kernel's own ports, and is answered. a: port index, b: message id.
    KernelCall = 15,
    /// A thread was made. a: its index, b: its task's.
    ThreadCreate = 16,
    /// A thread ended. a: its index, b: its task's.
    ThreadTerminate = 17,
    /// A task got its name. a: its index, in the upper half the name's bytes 8 to 11, b: its bytes 0 to 7.
    TaskName = 18,
    /// A CPU's timer fired. a: the thread whose deadline came; [`NONE`]: the CPU's slice, or a port's timer.
    Timer = 19,
}

/// No thread, no port, no number.
pub const NONE: u64 = u32::MAX as u64;

/// A message in a record: its id, and in the upper half the number that it has while it is queued; [`NONE`]
/// when it never was.
pub const fn message(id: i32, number: u32) -> u64 {
    id.cast_unsigned() as u64 | (number as u64) << 32
}

/// What a [fault](Kind::Fault)'s access bits mean.
pub const fn access(bits: u64) -> &'static str {
    match bits {
        0 => "read",
        1 => "write",
        2 => "execute",
        _ => "?",
    }
}

/// What a thread waits for, as a number.
pub mod wait {
    /// Nothing: it runs or could run.
    pub const NONE: u32 = 0;
    /// The answer to its call.
    pub const REPLY: u32 = 1;
    /// A message on a port or set.
    pub const RECEIVE: u32 = 2;
    /// Room in a port's queue.
    pub const SEND: u32 = 3;
    /// The handler of its exception.
    pub const EXCEPTION: u32 = 4;
    /// A change of a futex word.
    pub const FUTEX: u32 = 5;
    /// Its deadline alone.
    pub const DEADLINE: u32 = 6;
    /// A semaphore's signal.
    pub const SEMAPHORE: u32 = 7;
    /// A page that a pager was asked for.
    pub const PAGE: u32 = 8;

    /// For a person.
    pub const fn name(code: u32) -> &'static str {
        match code {
            NONE => "nothing",
            REPLY => "its answer",
            RECEIVE => "a message",
            SEND => "room in a queue",
            EXCEPTION => "the handler of its exception",
            FUTEX => "a futex",
            DEADLINE => "its deadline",
            SEMAPHORE => "a semaphore",
            PAGE => "a page from its pager",
            _ => "something",
        }
    }
}

impl Kind {
    /// The kind behind a byte, or `None` when no kind has it.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Empty,
            1 => Self::Trap,
            2 => Self::Handoff,
            3 => Self::Queue,
            4 => Self::Receive,
            5 => Self::Block,
            6 => Self::Wake,
            7 => Self::Switch,
            8 => Self::Fault,
            9 => Self::Exception,
            10 => Self::Interrupt,
            11 => Self::TaskCreate,
            12 => Self::TaskTerminate,
            13 => Self::PortDeath,
            14 => Self::Mark,
            15 => Self::KernelCall,
            16 => Self::ThreadCreate,
            17 => Self::ThreadTerminate,
            18 => Self::TaskName,
            19 => Self::Timer,
            _ => return None,
        })
    }

    /// Whether it is recorded always: what is rare enough to cost nothing that counts.
    pub const fn is_rare(self) -> bool {
        matches!(
            self,
            Self::Fault
                | Self::Interrupt
                | Self::TaskCreate
                | Self::TaskTerminate
                | Self::TaskName
                | Self::ThreadCreate
                | Self::ThreadTerminate
                | Self::Mark
        )
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Record {
    /// Nanoseconds since boot.
    pub time: u64,
    /// [`Kind`].
    pub kind: u8,
    /// CPU it happened on.
    pub cpu: u8,
    /// Reserved, 0.
    pub reserved: u16,
    /// Index of the current thread, `u32::MAX` for none.
    pub thread: u32,
    /// See [`Kind`].
    pub a: u64,
    /// See [`Kind`].
    pub b: u64,
}

const _: () = assert!(size_of::<Record>() == 32);
