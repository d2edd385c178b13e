//! What messages carry beside their words (MACH.md M-08, M-20 to M-24, P-19): rights, guarded ones, arrays of rights, memory.

use abi::PAGE_SIZE;
use abi::exception::guard as tried;
use abi::kern_return::MessageReturn as Code;
use abi::message::{Descriptor, descriptor};
use abi::names::{Name, disposition};

use super::{Carried, Message, Model, TaskId, ThreadId, Verdict};
use crate::message::{Reply, Request};

/// What one descriptor carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// A right.
    Right,
    /// So many rights, given by this disposition.
    Rights(usize, u8),
    /// These bytes, that far behind the start of a page.
    Memory(Vec<u8>, u64),
}

/// What a right weighs, and a page of memory.
const RIGHT: usize = 6;
const PAGE: usize = 4;

impl Message {
    /// What it takes to bring it, at the most.
    pub(super) fn weight(&self) -> usize {
        let memory = self.parts.iter().map(|part| match part {
            Part::Memory(bytes, _) => (bytes.len() / PAGE_SIZE as usize + 2) * PAGE,
            Part::Right | Part::Rights(..) => 0,
        });
        self.rights.len() * RIGHT + memory.sum::<usize>()
    }
}

impl Model {
    /// How much of a thread's memory, in descriptors, its last message took: as it was then.
    pub fn memory_taken(&self, thread: ThreadId) -> usize {
        self.threads[thread].memory_taken
    }

    /// Takes what a message is to carry out of the sender's task, part by part. After an error the message has those before.
    pub(super) fn copy_in_body(
        &mut self,
        thread: ThreadId,
        request: &Request,
        message: &mut Message,
    ) -> Result<(), Code> {
        let (mut arrays, mut memory) = (request.arrays.iter(), request.memory.iter());
        for part in request.body.iter().flat_map(|body| &body.descriptors) {
            let how = part.disposition;
            let known = (disposition::MOVE_RECEIVE..=disposition::MAKE_SEND_ONCE).contains(&how);
            let plain = part.flags & !descriptor::DEALLOCATE == 0;
            let part = match part.kind {
                descriptor::PORT if known => {
                    let right = self.take_for_body(thread, Name(part.name), how)?;
                    message.rights.push(right);
                    Part::Right
                }
                descriptor::GUARDED_PORT if how == disposition::MOVE_RECEIVE => {
                    message.rights.push(self.take_guarded(thread, part)?);
                    Part::Right
                }
                descriptor::OUT_OF_LINE_PORTS if known && plain => {
                    let names = arrays.next().map_or(&[][..], Vec::as_slice);
                    for name in names {
                        let right = self.take_for_body(thread, *name, how)?;
                        message.rights.push(right);
                    }
                    Part::Rights(names.len(), how)
                }
                descriptor::OUT_OF_LINE | descriptor::OUT_OF_LINE_VOLATILE if plain => {
                    let bytes = memory.next().cloned().unwrap_or_default();
                    // Programs say where their memory lies in a page, or mean some that is not there.
                    if !bytes.is_empty() && part.address >= PAGE_SIZE {
                        return Err(Code::SendInvalidMemory);
                    }
                    self.threads[thread].memory_taken += 1;
                    Part::Memory(bytes, part.address)
                }
                _ => return Err(Code::SendInvalidType),
            };
            message.parts.push(part);
        }
        Ok(())
    }

    /// M-20, M-21: in a body, null and dead names are sent as they are.
    fn take_for_body(&mut self, thread: ThreadId, name: Name, how: u8) -> Result<Carried, Code> {
        match name {
            Name::NULL => Ok(Carried::Null),
            Name::DEAD => Ok(Carried::Dead),
            _ => self.take(thread, name, how).ok_or(Code::SendInvalidRight),
        }
    }

    /// P-19: a receive right that leaves with its guard.
    fn take_guarded(&mut self, thread: ThreadId, part: &Descriptor) -> Result<Carried, Code> {
        let name = Name(part.name);
        let port = self.receive_right(self.threads[thread].task, name);
        let port = port.ok_or(Code::SendInvalidRight)?;
        // K-02.
        if self.ports[port].is_timer {
            return Err(Code::SendInvalidRight);
        }
        match self.ports[port].guard {
            Some((guard, _)) if guard == part.address => self.ports[port].guard = None,
            held => {
                let wrong = match held {
                    Some(_) => tried::INCORRECT_GUARD,
                    None => tried::UNGUARDED,
                };
                self.misuse(name, (wrong, part.address));
                return Err(Code::SendInvalidRight);
            }
        }
        let right = self.take(thread, name, disposition::MOVE_RECEIVE);
        right.ok_or(Code::SendInvalidRight)
    }

    /// M-21 to M-24: what a message carries arrives.
    pub(super) fn accept_body(
        &mut self,
        task: TaskId,
        message: &Message,
        reply: &Reply,
    ) -> Verdict {
        let mut rights = message.rights.iter();
        let (mut arrays, mut memory) = (reply.arrays.iter(), reply.memory.iter());
        let descriptors = reply.body.iter().flat_map(|body| &body.descriptors);
        for (part, descriptor) in message.parts.iter().zip(descriptors) {
            let shape = (descriptor.kind, descriptor.flags);
            match part {
                Part::Right => {
                    let name = Name(descriptor.name);
                    let right = rights.next().copied().unwrap_or(Carried::Null);
                    self.accept_right(task, right, name)?;
                    check_disposition(right, descriptor.disposition, name)?;
                    same(&(shape, descriptor.address), &((descriptor::PORT, 0), 0))?;
                }
                Part::Rights(count, how) => {
                    let names = arrays.next().ok_or("an array is missing")?;
                    let got = (names.len(), descriptor.disposition);
                    same(&got, &(*count, moved(*how)))?;
                    for (right, name) in rights.by_ref().take(*count).zip(names) {
                        self.accept_right(task, *right, *name)?;
                    }
                }
                Part::Memory(bytes, at) => {
                    same(&shape, &(descriptor::OUT_OF_LINE, descriptor::DEALLOCATE))?;
                    same(memory.next().ok_or("memory is missing")?, bytes)?;
                    let at = if bytes.is_empty() { 0 } else { *at };
                    same(&(descriptor.address % PAGE_SIZE), &at)?;
                }
            }
        }
        Ok(())
    }
}

fn same<T: PartialEq + core::fmt::Debug>(got: &T, expected: &T) -> Verdict {
    if got == expected {
        return Ok(());
    }
    Err(format!("{expected:x?} expected, not {got:x?}"))
}

/// The kind of right that a disposition makes, as it arrives.
fn moved(how: u8) -> u8 {
    match how {
        disposition::MOVE_SEND | disposition::COPY_SEND | disposition::MAKE_SEND => {
            disposition::MOVE_SEND
        }
        disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => disposition::MOVE_SEND_ONCE,
        other => other,
    }
}

/// M-21: a right arrives as moved.
fn check_disposition(right: Carried, said: u8, name: Name) -> Verdict {
    let expected = match right {
        _ if !name.is_valid() => return Ok(()),
        Carried::Send(_) => disposition::MOVE_SEND,
        Carried::SendOnce(_) => disposition::MOVE_SEND_ONCE,
        Carried::Receive(_) => disposition::MOVE_RECEIVE,
        Carried::Null | Carried::Dead => return Ok(()),
    };
    if said == expected {
        return Ok(());
    }
    Err(format!("disposition {expected} expected, not {said}"))
}
