//! What messages carry in memory: the names of arrays, and bytes that go as they are. They are put there before a message is
//! sent, and taken out when one has come.

use abi::PAGE_SIZE;
use abi::message::descriptor;
use abi::trap;
use abi::vm::flags;
use microkernel::machine::FrameIndex;

use super::World;
use super::calls::names_address;
use crate::message::{Reply, Request};
use crate::model::{ThreadId, Verdict};

/// Memory that a message was sent with.
pub(super) struct Lent {
    address: u64,
    bytes: Vec<u8>,
    /// Whether it leaves the sender.
    moves: bool,
}

/// Whether a descriptor is of memory, and not of names in memory.
fn is_memory(kind: u8) -> bool {
    [descriptor::OUT_OF_LINE, descriptor::OUT_OF_LINE_VOLATILE].contains(&kind)
}

impl World {
    /// Puts what a message is to carry into memory, and says there where it lies.
    pub(super) fn place_body(&mut self, thread: ThreadId, request: &Request) -> Request {
        let frame = self.threads[thread].0;
        let mut request = request.clone();
        let mut at = names_address(frame);
        let (mut arrays, mut memory) = (request.arrays.iter(), request.memory.iter());
        let mut lent = Vec::new();
        for part in request
            .body
            .iter_mut()
            .flat_map(|body| &mut body.descriptors)
        {
            if part.kind == descriptor::OUT_OF_LINE_PORTS {
                let names = arrays.next().into_iter().flatten();
                let bytes: Vec<u8> = names.flat_map(|name| name.0.to_le_bytes()).collect();
                self.sim.on(frame).poke(at, &bytes);
                part.address = at;
                at += bytes.len() as u64;
            } else if is_memory(part.kind) {
                let bytes = memory.next().cloned().unwrap_or_default();
                let there = !bytes.is_empty() && part.address < PAGE_SIZE;
                if there {
                    part.address += self.fresh_memory(frame, part.address + part.size);
                    self.sim.on(frame).poke(part.address, &bytes);
                }
                lent.push(there.then_some(Lent {
                    address: part.address,
                    bytes,
                    moves: part.flags == descriptor::DEALLOCATE,
                }));
            }
        }
        if !lent.is_empty() {
            self.lent.insert(thread, lent);
        }
        request
    }

    pub(super) fn fresh_memory(&mut self, frame: FrameIndex, size: u64) -> u64 {
        let anywhere = [0, size, flags::ANYWHERE];
        let made = self.sim.on(frame).trap(trap::VM_ALLOCATE, &anywhere);
        made.unwrap_or_else(|code| panic!("no memory for a message: {code:?}"))
    }

    /// Takes what a message carries out of memory.
    pub(super) fn take_body(&mut self, frame: FrameIndex, mut reply: Reply) -> Reply {
        let mut user = self.sim.on(frame);
        for part in reply.body.iter().flat_map(|body| &body.descriptors) {
            if part.kind == descriptor::OUT_OF_LINE_PORTS {
                reply.arrays.push(match part.name {
                    0 => Vec::new(),
                    _ => user.take_names(part),
                });
            } else if is_memory(part.kind) {
                let mut bytes = vec![0; part.size as usize];
                if part.size > 0 {
                    user.look(part.address, &mut bytes);
                    // It is the receiver's own: nobody else sees this.
                    user.poke(part.address, &[!bytes[0]]);
                    let freed = user.trap(trap::VM_DEALLOCATE, &[part.address, part.size]);
                    assert_eq!(freed, Ok(0), "the memory of a message is the receiver's");
                }
                reply.memory.push(bytes);
            }
        }
        reply
    }

    /// Whether nobody else in a thread's task gets anything just now.
    fn is_alone(&self, thread: ThreadId) -> bool {
        let all = self.model.threads_of(self.threads[thread].1);
        let rests = |of: &ThreadId| *of == thread || self.model.is_in_user_mode(*of);
        all.contains(&thread) && all.iter().all(rests)
    }

    /// Memory that a thread's last message took is not there any more (M-23): as long as nothing else can be there.
    pub(super) fn check_moved(&mut self, thread: ThreadId) -> Verdict {
        let taken = self.model.memory_taken(thread);
        let lent = self.lent.get_mut(&thread).into_iter().flatten();
        let moved = |lent: &mut Option<Lent>| lent.take_if(|lent| lent.moves);
        let moved: Vec<Lent> = lent.take(taken).filter_map(moved).collect();
        let alone = self.is_alone(thread);
        for Lent { address, bytes, .. } in moved.into_iter().filter(|_| alone) {
            for at in [address, address + bytes.len() as u64 - 1] {
                if self.read(thread, at, 1).is_some() {
                    return Err(format!("memory at {at:#x} was sent away, and is there"));
                }
            }
        }
        Ok(())
    }

    /// What messages copied is as it was, and is not what they carry any more (M-23).
    pub(super) fn settle_lent(&mut self) -> Verdict {
        let threads: Vec<ThreadId> = self.lent.keys().copied().collect();
        for thread in threads {
            let runs = self.sim.is_in_user_mode(self.threads[thread].0);
            if runs && self.model.may_act(thread) {
                self.settle_lent_of(thread, thread)?;
            } else if self.model.has_ended(thread) && self.threads[thread].1 != 0 {
                self.lent.remove(&thread);
            }
        }
        Ok(())
    }

    /// The same for all that the first task's threads have sent, whatever they wait for now.
    pub(super) fn settle_lent_at_last(&mut self) -> Verdict {
        let threads: Vec<ThreadId> = self.lent.keys().copied().collect();
        let own = |thread: &ThreadId| self.threads[*thread].1 == 0;
        for thread in threads.into_iter().filter(own).collect::<Vec<_>>() {
            self.settle_lent_of(thread, 0)?;
        }
        self.lent.clear();
        Ok(())
    }

    fn settle_lent_of(&mut self, thread: ThreadId, by: ThreadId) -> Verdict {
        let frame = self.threads[by].0;
        for lent in self.lent.remove(&thread).into_iter().flatten().flatten() {
            let (address, size) = (lent.address, lent.bytes.len() as u64);
            let mut user = self.sim.on(frame);
            let mut bytes = vec![0; lent.bytes.len()];
            user.look(address, &mut bytes);
            if bytes != lent.bytes {
                return Err(format!("a copy of {address:#x} changed what was there"));
            }
            // What was sent does not show this.
            user.poke(address, &vec![0xa5; bytes.len()]);
            let freed = user.trap(trap::VM_DEALLOCATE, &[address, size]);
            freed.map_err(|code| format!("memory that was copied: {code:?}"))?;
        }
        Ok(())
    }
}
