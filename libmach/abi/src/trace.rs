//! Records of the kernel's trace ring, as tools read them.

/// What happened. `a` and `b` of the record mean what each text says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// Nothing: an unused record.
    Empty = 0,
    /// A trap entered. a: number, b: first argument.
    Trap = 1,
    /// A message went straight to a waiting receiver. a: receiver's thread, b: message id.
    Handoff = 2,
    /// A message was queued. a: port index, b: message id.
    Queue = 3,
    /// A queued message was received. a: port index, b: message id.
    Receive = 4,
    /// A thread blocked. a: what it waits for.
    Block = 5,
    /// A thread became runnable. a: the thread, b: its priority.
    Wake = 6,
    /// The CPU runs another thread. a: the thread.
    Switch = 7,
    /// A page fault. a: address, b: access bits.
    Fault = 8,
    /// An exception was raised. a: type, b: code.
    Exception = 9,
    /// An interrupt fired. a: line.
    Interrupt = 10,
    /// A task was created. a: its index.
    TaskCreate = 11,
    /// A task was terminated. a: its index.
    TaskTerminate = 12,
    /// A port died. a: its index.
    PortDeath = 13,
    /// A mark that a program set through its host port. a and b: the program's.
    Mark = 14,
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
            _ => return None,
        })
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
