//! Threads that are stopped with their answers: the model is shown these when they are there, and they must be the same
//! when the threads run again.

use abi::kern_return::KernReturn;
use abi::message::{MIN_BUFFER, descriptor};
use abi::names::Name;
use abi::trap;
use interfaces::task::Task;

use super::{World, calls};
use crate::message::{Reply, Request};
use crate::model::{Seen, Subject, ThreadId, Verdict};
use crate::sim::Answer;
use crate::user::buffer_address;

/// Bytes that one call reads at the most.
const PIECE: usize = 1024;

/// What a stopped thread has.
pub(super) struct Held {
    answer: Answer,
    /// The memory that it was sent.
    arrays: Vec<[u64; 2]>,
}

impl World {
    /// A thread's answer that lies in its registers while it is stopped.
    pub(super) fn held_answer(&mut self, thread: ThreadId) -> Option<Seen> {
        let frame = self.threads[thread].0;
        // One that gave way to others may have been back before it was stopped.
        let early = self.sim.take_answer(frame);
        let answer = early.or_else(|| self.sim.held_answer(frame))?;
        let mut arrays = Vec::new();
        let seen = match answer.number {
            trap::MACH_MSG => Seen::Message(self.held_reply(thread, &answer, &mut arrays)),
            _ => calls::seen(&answer),
        };
        self.held.insert(thread, Held { answer, arrays });
        Some(seen)
    }

    fn held_reply(
        &mut self,
        thread: ThreadId,
        answer: &Answer,
        arrays: &mut Vec<[u64; 2]>,
    ) -> Reply {
        let mut reply = Reply::from_frame(&answer.frame);
        if !reply.has_body() {
            return reply;
        }
        let frame = self.threads[thread].0;
        let buffer = self.peek(thread, buffer_address(frame), MIN_BUFFER as usize);
        reply = reply.with_body(&buffer);
        let descriptors = reply.body.iter().flat_map(|body| body.descriptors.clone());
        for array in descriptors.collect::<Vec<_>>() {
            if array.kind == descriptor::OUT_OF_LINE {
                reply
                    .memory
                    .push(self.peek(thread, array.address, array.size as usize));
                if array.size > 0 {
                    arrays.push([array.address, array.size]);
                }
            }
            if array.kind != descriptor::OUT_OF_LINE_PORTS {
                continue;
            }
            let mut bytes = Vec::new();
            if array.name > 0 {
                bytes = self.peek(thread, array.address, array.size as usize);
                arrays.push([array.address, array.size]);
            }
            let words = bytes.as_chunks().0.iter().copied();
            reply
                .arrays
                .push(words.map(u32::from_le_bytes).map(Name).collect());
        }
        reply
    }

    /// Memory of a thread's task, which the first thread of all reads.
    fn peek(&mut self, thread: ThreadId, address: u64, size: usize) -> Vec<u8> {
        match self.read(thread, address, size) {
            Some(bytes) => bytes,
            None => panic!("{size} bytes at {address:#x} cannot be read"),
        }
    }

    /// The same, if it is there.
    pub(super) fn read(&mut self, thread: ThreadId, address: u64, size: usize) -> Option<Vec<u8>> {
        let whose = Subject::Task(self.threads[thread].1);
        let known = self.model.subjects(0);
        let task = known.iter().find(|(_, subject)| *subject == whose);
        let mut bytes = Vec::new();
        while bytes.len() < size {
            let at = address + bytes.len() as u64;
            let part = PIECE.min(size - bytes.len());
            let request = Request::call(task.map_or(Name::NULL, |task| task.0))
                .id(<dyn Task>::VM_READ.id)
                .words([at, part as u64, 0, 0, 0, 0]);
            let Seen::Told(words) = self.telling_call(0, &request) else {
                return None;
            };
            let part_of = words[1..].iter().flat_map(|word| word.to_le_bytes());
            bytes.extend(part_of.take(part));
        }
        Some(bytes)
    }

    /// Whether a thread is not stopped any more, but not in user mode yet.
    pub(super) fn is_coming(&self) -> bool {
        self.held
            .keys()
            .any(|thread| !self.model.is_stopped(*thread))
    }

    /// Stopped threads run again: with the answers that they were stopped with, unless their registers were set.
    pub(super) fn release_held(&mut self) -> Verdict {
        let threads: Vec<ThreadId> = self.held.keys().copied().collect();
        for thread in threads {
            if self.model.has_ended(thread) {
                self.held.remove(&thread);
                continue;
            }
            let frame = self.threads[thread].0;
            let runs = self.model.may_act(thread) && self.sim.is_in_user_mode(frame);
            let Some(held) = runs.then(|| self.held.remove(&thread)).flatten() else {
                continue;
            };
            if let Some(answer) = self.sim.take_answer(frame)
                && !answer.is_as(&held.answer)
            {
                let stopped = held.answer;
                return Err(format!(
                    "stopped with {stopped:x?}, came back with {answer:x?}"
                ));
            }
            for memory in held.arrays {
                let freed = self.sim.on(frame).trap(trap::VM_DEALLOCATE, &memory);
                freed.map_err(|code: KernReturn| format!("{memory:x?}: {code:?}"))?;
            }
        }
        Ok(())
    }
}
