//! Port names and the rights behind them.

/// A task-local port name: `index << 8 | generation`.
///
/// A freed index comes back with another generation, so a stale name denotes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[repr(transparent)]
pub struct Name(pub u32);

impl Name {
    /// `MACH_PORT_NULL`: no port.
    pub const NULL: Self = Self(0);
    /// `MACH_PORT_DEAD`: a port that died.
    pub const DEAD: Self = Self(u32::MAX);
    /// The calling thread's reply slot: the send-once right that its last receive delivered.
    ///
    /// Reserved in every space (index 0), resolved for each thread on its own. The right can be inspected, moved and
    /// deallocated under it; what is to be kept or watched is [taken out](crate::trap::REPLY_SLOT_TAKE) first.
    pub const REPLY_SLOT: Self = Self(1);

    /// Puts a name together from a table index and a generation.
    pub const fn new(index: u32, generation: u8) -> Self {
        Self(index << 8 | generation as u32)
    }

    /// The entry's index in the name table.
    pub const fn index(self) -> u32 {
        self.0 >> 8
    }

    /// The entry's generation.
    pub const fn generation(self) -> u8 {
        self.0 as u8
    }

    /// Whether the name is neither null nor dead.
    pub const fn is_valid(self) -> bool {
        self.0 != Self::NULL.0 && self.0 != Self::DEAD.0
    }
}

/// `mach_port_right_t`: which kind of right a call is about.
pub mod right {
    /// A right to send any number of messages.
    pub const SEND: u32 = 0;
    /// The one right to receive a port's messages.
    pub const RECEIVE: u32 = 1;
    /// A right to send one message.
    pub const SEND_ONCE: u32 = 2;
    /// A set of receive rights.
    pub const PORT_SET: u32 = 3;
    /// What a right becomes when its port dies.
    pub const DEAD_NAME: u32 = 4;
    /// How many kinds there are.
    pub const NUMBER: u32 = 5;
}

/// `mach_port_type_t`: the bits that `mach_port_type` answers with.
pub mod port_type {
    /// The name holds send rights.
    pub const SEND: u32 = 1 << 16;
    /// The name holds the receive right.
    pub const RECEIVE: u32 = 1 << 17;
    /// The name holds a send-once right.
    pub const SEND_ONCE: u32 = 1 << 18;
    /// The name is a port set.
    pub const PORT_SET: u32 = 1 << 19;
    /// The name is a dead name.
    pub const DEAD_NAME: u32 = 1 << 20;
    /// A send-possible notification is requested for the name.
    pub const SEND_POSSIBLE_REQUEST: u32 = 0x4000_0000;
    /// A dead-name notification is armed on the name.
    pub const DEAD_NAME_REQUEST: u32 = 0x8000_0000;
}

/// `mach_msg_type_name_t`: how a right goes into a message.
pub mod disposition {
    /// No right.
    pub const NONE: u8 = 0;
    /// The receive right itself.
    pub const MOVE_RECEIVE: u8 = 16;
    /// One user reference of a send right.
    pub const MOVE_SEND: u8 = 17;
    /// The send-once right itself.
    pub const MOVE_SEND_ONCE: u8 = 18;
    /// A copy of a send right.
    pub const COPY_SEND: u8 = 19;
    /// A new send right from the receive right.
    pub const MAKE_SEND: u8 = 20;
    /// A new send-once right from the receive right.
    pub const MAKE_SEND_ONCE: u8 = 21;
}

/// Queue limits of a port, in messages (XNU `mach/port.h`).
pub mod queue_limit {
    /// What a new port starts with.
    pub const DEFAULT: u32 = 5;
    /// The most that a user may set.
    pub const MAX: u32 = 1024;
    /// Where even send-once messages and notifications stop.
    pub const KERNEL: u32 = 65_534;
}

/// The most user references that one name counts; a count that reached it stays (P-05).
pub const MAX_UREFS: u16 = u16::MAX;
