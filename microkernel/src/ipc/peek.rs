//! A look at the next message of a port, which stays where it is.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::names::Name;
use abi::notify;
use abi::registers::{self, Shape};

use super::notice::Watch;
use super::receive::PORT_DESTROYED_SHAPE;
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::{PortId, SpaceId, ThreadId};
use crate::machine::Machine;

/// What a look at a port shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peeked {
    /// The message's id.
    pub id: i32,
    /// What it consists of beside the words.
    pub shape: Shape,
    /// Identity token of its sender; 0 for the kernel.
    pub identity: u64,
    /// The sequence number that it will be received with.
    pub sequence: u32,
}

impl Ipc {
    /// `mach_port_peek` (P-37).
    ///
    /// # Errors
    /// `InvalidName`, `InvalidRight` · `Failure`: no message is there.
    pub fn peek_port(&mut self, space: SpaceId, name: Name) -> KernResult<Peeked> {
        let id = self.receive_right(space, name)?;
        self.next_message(id).ok_or(KernReturn::Failure)
    }

    /// Reports the next message of a port to a thread that receives with the option to peek.
    pub(super) fn peek<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        id: PortId,
    ) {
        let message_id = self.next_message(id).map_or(0, |next| next.id);
        let Some(port) = self.ports.get(id) else {
            return;
        };
        let frame = cx.machine.frame(thread.index());
        frame.rax = MessageReturn::Success.0.into();
        frame.rdi = registers::pair(0, port.name.0);
        frame.rsi = port.label;
        frame.rdx = registers::pair(message_id as u32, 0);
    }

    /// What the next receive on a port will get.
    fn next_message(&self, id: PortId) -> Option<Peeked> {
        let port = self.ports.get(id)?;
        let pending = [
            (port.pending.send_once > 0, notify::SEND_ONCE),
            (port.pending.interrupts > 0, notify::pending::INTERRUPT),
            (port.pending.timer.is_some(), notify::pending::TIMER),
        ];
        let notice = port.notices.first().and_then(|id| self.notices.get(id));
        let message = port.messages.first().and_then(|id| self.messages.get(id));
        let pending = pending.into_iter().find(|(is_there, _)| *is_there);
        let (id, shape, identity) = match (pending, notice, message) {
            (Some((_, id)), _, _) => (id, Shape::SHORT, 0),
            (None, Some(notice), _) => {
                let shape = match notice.watch {
                    Watch::PortDestroyed { .. } => PORT_DESTROYED_SHAPE,
                    _ => Shape::SHORT,
                };
                (notice.id, shape, 0)
            }
            (None, None, Some(message)) => (message.id, message.shape, message.identity),
            (None, None, None) => return None,
        };
        Some(Peeked {
            id,
            shape,
            identity,
            sequence: port.sequence,
        })
    }
}
