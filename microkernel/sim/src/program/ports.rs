//! Calls of tasks' control ports on their names: how they are made.

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::descriptor;
use abi::names::{Name, disposition};
use abi::trap;
use interfaces::task::Task;

use super::World;
use crate::message::{Reply, Request};
use crate::model::{Op, PortsOp, Seen, ThreadId};

impl World {
    /// Calls a task about its names; `None`: the caller has an exception.
    pub(super) fn ports(
        &mut self,
        thread: ThreadId,
        (name, of, op): (Name, usize, &PortsOp),
    ) -> Option<Seen> {
        let request = request(name, op);
        let stops = self
            .model
            .would_except(thread, &Op::Ports(name, of, op.clone()));
        let mut user = self.sim.on(self.threads[thread].0);
        let reply = match (user.start_message(&request), stops) {
            (None, true) => return None,
            (None, false) => user.finish_message(),
            (Some(reply), _) => reply,
        };
        assert_eq!(reply.code, MessageReturn::Success, "{request:x?}");
        Some(self.ports_answer(thread, op, &reply))
    }

    fn ports_answer(&mut self, thread: ThreadId, op: &PortsOp, reply: &Reply) -> Seen {
        let (code, words) = (KernReturn(reply.words[0] as u32), &reply.words[1..]);
        let data = reply.body.as_ref().map(|body| body.data.as_chunks::<8>().0);
        let mut all = data.into_iter().flatten().copied().map(u64::from_le_bytes);
        let parts = reply.body.iter().flat_map(|body| &body.descriptors);
        let part = parts.copied().next();
        if code != KernReturn::Success {
            return Seen::Trap(code, 0);
        }
        match (op, part) {
            (PortsOp::Peek { .. }, _) => Seen::Told(words[..4].to_vec()),
            (PortsOp::Rights { .. }, _) => Seen::Told(all.collect()),
            (PortsOp::Names, Some(memory)) => {
                assert_eq!(memory.kind, descriptor::OUT_OF_LINE);
                let count = all.next().unwrap_or(reply.words[1]) as usize;
                let mut bytes = vec![0; memory.size as usize];
                let mut user = self.sim.on(self.threads[thread].0);
                user.look(memory.address, &mut bytes);
                let freed = user.trap(trap::VM_DEALLOCATE, &[memory.address, memory.size]);
                assert_eq!(freed, Ok(0));
                let (names, kinds) = bytes.split_at(bytes.len() / 2);
                let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
                let pairs = names.as_chunks().0.iter().zip(kinds.as_chunks().0);
                let pairs = pairs.take(count);
                Seen::Told(
                    pairs
                        .flat_map(|(name, kind)| [word(name), word(kind)])
                        .collect(),
                )
            }
            (_, Some(right)) => Seen::Trap(code, right.name.into()),
            (_, None) => Seen::Trap(code, words[0]),
        }
    }
}

fn request(to: Name, op: &PortsOp) -> Request {
    let word = |name: Name| u64::from(name.0);
    let call = |id: i32, [a, b, c]: [u64; 3]| Request::call(to).id(id).words([a, b, c, 0, 0, 0]);
    match *op {
        PortsOp::Allocate { right } => call(<dyn Task>::PORT_ALLOCATE.id, [right.into(), 0, 0]),
        PortsOp::AllocateName { right, name } => call(
            <dyn Task>::PORT_ALLOCATE_NAME.id,
            [right.into(), word(name), 0],
        ),
        PortsOp::Peek { name, trailer } => {
            call(<dyn Task>::PORT_PEEK.id, [word(name), trailer.into(), 0])
        }
        PortsOp::Guard {
            name,
            guard,
            strict,
        } => call(
            <dyn Task>::PORT_GUARD.id,
            [word(name), guard, strict.into()],
        ),
        PortsOp::Unguard { name, guard } => {
            call(<dyn Task>::PORT_UNGUARD.id, [word(name), guard, 0])
        }
        PortsOp::SwapGuard { name, old, new } => {
            call(<dyn Task>::PORT_SWAP_GUARD.id, [word(name), old, new])
        }
        PortsOp::Insert { name, right, how } => {
            let id = match how {
                disposition::MOVE_RECEIVE => <dyn Task>::INSERT_RECEIVE.id,
                disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => {
                    <dyn Task>::INSERT_SEND_ONCE.id
                }
                _ => <dyn Task>::INSERT_SEND.id,
            };
            let data = word(name).to_le_bytes();
            Request::call(to).id(id).port(right, how).data(&data)
        }
        PortsOp::Extract { name, how, kind } => match kind {
            disposition::MOVE_RECEIVE => call(<dyn Task>::EXTRACT_RECEIVE.id, [word(name), 0, 0]),
            disposition::MOVE_SEND_ONCE => call(
                <dyn Task>::EXTRACT_SEND_ONCE.id,
                [word(name), how.into(), 0],
            ),
            _ => call(<dyn Task>::EXTRACT_SEND.id, [word(name), how.into(), 0]),
        },
        PortsOp::Rights { after } => call(<dyn Task>::RIGHTS.id, [word(after), 0, 0]),
        PortsOp::Names => call(<dyn Task>::PORT_NAMES.id, [0; 3]),
    }
}
