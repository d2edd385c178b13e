//! One entry of a task's name table.

use abi::names::{MAX_UREFS, port_type};

use crate::base::ids::{NoticeId, PortId};
use crate::base::tree::Links;

bitflags::bitflags! {
    /// What a name holds. `SEND` and `RECEIVE` may stand together, the others alone.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Rights: u8 {
        /// Send rights; `urefs` counts them.
        const SEND = 1 << 0;
        /// The receive right.
        const RECEIVE = 1 << 1;
        /// A send-once right.
        const SEND_ONCE = 1 << 2;
        /// A port set.
        const SET = 1 << 3;
        /// A dead name; `urefs` counts it.
        const DEAD = 1 << 4;
    }
}

/// What a name denotes. 32 bytes, so that an index becomes an address by a shift.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(32))]
pub struct Entry {
    /// Empty: the entry is free.
    pub rights: Rights,
    /// The generation of the name that denotes it, or of the last one that did.
    pub generation: u8,
    /// User references of `SEND` or `DEAD`; 1 for a send-once right.
    pub urefs: u16,
    /// The port or set. Stale once the port has died.
    pub port: Option<PortId>,
    /// The dead-name request armed on the name.
    pub request: Option<NoticeId>,
    /// Place in the space's tree by port; `left` chains free entries.
    pub links: Links,
}

impl Entry {
    /// An entry that was never used.
    pub const FREE: Self = Self {
        rights: Rights::empty(),
        generation: 0,
        urefs: 0,
        port: None,
        request: None,
        links: Links::LEAF,
    };

    /// Adds a user reference; a count at its maximum stays there (P-05).
    pub fn add_uref(&mut self) {
        self.urefs = self.urefs.saturating_add(1);
    }

    /// Whether the count has reached its maximum and no longer changes by ones.
    pub fn is_pegged(&self) -> bool {
        self.urefs == MAX_UREFS
    }

    /// Whether the space finds the entry by its port: all but send-once rights, sets and dead names.
    pub fn is_indexed(&self) -> bool {
        self.rights.intersects(Rights::SEND | Rights::RECEIVE)
    }

    /// The bits that `mach_port_type` answers with, if a request is one for the port's death.
    pub(super) fn type_bits(&self) -> u32 {
        const BITS: [(Rights, u32); 5] = [
            (Rights::SEND, port_type::SEND),
            (Rights::RECEIVE, port_type::RECEIVE),
            (Rights::SEND_ONCE, port_type::SEND_ONCE),
            (Rights::SET, port_type::PORT_SET),
            (Rights::DEAD, port_type::DEAD_NAME),
        ];
        let held = BITS
            .iter()
            .filter(|(right, _)| self.rights.contains(*right));
        let request = if self.request.is_some() {
            port_type::DEAD_NAME_REQUEST
        } else {
            0
        };
        held.fold(request, |bits, (_, bit)| bits | bit)
    }
}
