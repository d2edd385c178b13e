//! What a name of a task denotes.

use abi::names::port_type;

use super::{PortId, SetId};

/// What a task wants to be told of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// That the port died.
    Death,
    /// And that it has room, once a send found none.
    Room,
    /// And that it has room.
    RoomNow,
}

/// An armed request of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) to: PortId,
    pub(crate) wish: Wish,
}

/// What a name denotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    Port {
        port: PortId,
        send: u32,
        receive: bool,
        request: Option<Ask>,
    },
    SendOnce {
        port: PortId,
        request: Option<Ask>,
    },
    Set(SetId),
    Dead(u32),
}

impl Entry {
    pub(super) fn bits(&self) -> u32 {
        let armed = |request: &Option<Ask>| match request.map(|ask| ask.wish) {
            None => 0,
            Some(Wish::Death) => port_type::DEAD_NAME_REQUEST,
            Some(Wish::Room | Wish::RoomNow) => port_type::SEND_POSSIBLE_REQUEST,
        };
        match self {
            Self::Port {
                send,
                receive,
                request,
                ..
            } => {
                let send = if *send > 0 { port_type::SEND } else { 0 };
                let receive = if *receive { port_type::RECEIVE } else { 0 };
                send | receive | armed(request)
            }
            Self::SendOnce { request, .. } => port_type::SEND_ONCE | armed(request),
            Self::Set(_) => port_type::PORT_SET,
            Self::Dead(_) => port_type::DEAD_NAME,
        }
    }
}
