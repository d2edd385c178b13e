//! A memory object whose pager is the test itself: it hears each message, and answers by the control port when it likes.

use alloc::format;
use alloc::vec::Vec;

use interfaces::memory_object::{Attributes, MemoryControl, MemoryObject, Supplied};
use interfaces::task::Task;
use interfaces::vm::Place;
use libmach::abi::kern_return::{KernReturn as K, MessageReturn};
use libmach::abi::names::Name;
use libmach::abi::vm::{copy_strategy, map_flags, protection};
use libmach::trap::Registers;
use libmach::{Memory, ReceiveRight, Result, SendRight, Untyped, buffer, message, ms, time, trap};

use crate::case::{Check, Verdict, check, equal};
use crate::raw;

pub(crate) const PAGE: u64 = 4096;
/// How long something may take that must come: only a system that hangs takes longer.
const PATIENCE: core::time::Duration = ms(10_000);

/// The right by which a pager answers.
pub(crate) type Control = SendRight<dyn MemoryControl>;

/// What a pager hears. Pages are told by number, and their content by the first byte of each.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Init {
        control: Control,
        page_size: u64,
    },
    Request {
        page: u64,
        access: u32,
    },
    Unlock {
        page: u64,
        access: u32,
    },
    Return {
        page: u64,
        content: Vec<u8>,
        dirty: bool,
        kept: bool,
    },
    Terminate,
    /// An answer to a call, which came to the same port.
    Answer {
        id: i32,
        code: K,
    },
}

/// What a pager says of an object that is copied late.
pub(crate) const fn attributes(may_cache: u32) -> Attributes {
    Attributes {
        may_cache,
        copy_strategy: copy_strategy::DELAY,
    }
}

/// A page is asked for.
pub(crate) const fn request(page: u64, access: u32) -> Told {
    Told::Request { page, access }
}

/// Pages come back that were written; they stay, and are clean now.
pub(crate) fn cleaned(page: u64, content: &[u8]) -> Told {
    Told::Return {
        page,
        content: content.to_vec(),
        dirty: true,
        kept: true,
    }
}

/// Pages come back that were written; they are gone from memory.
pub(crate) fn taken(page: u64, content: &[u8]) -> Told {
    Told::Return {
        page,
        content: content.to_vec(),
        dirty: true,
        kept: false,
    }
}

/// Such an object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) port: ReceiveRight<dyn MemoryObject>,
}

impl Object {
    pub(crate) fn new() -> Check<Self> {
        let port = ReceiveRight::new()?;
        Ok(Self { port })
    }

    /// Maps pages of it, to be read and written and to be shared with children; with flags of `map_flags`.
    pub(crate) fn map(&self, range: (u64, u64), flags: u64) -> Check<u64> {
        Ok(map(self.port.make_send()?, range, (flags, BOTH))?)
    }

    /// Its first mapping of so many pages, and the control port of the object, of which the pager is ready.
    pub(crate) fn ready(&self, pages: u64) -> Check<(u64, Control)> {
        let at = self.map((0, pages), 0)?;
        let control = self.init()?;
        control.client().set_attributes(attributes(0))?;
        Ok((at, control))
    }

    /// The control port that comes now.
    pub(crate) fn init(&self) -> Check<Control> {
        match self.hear()? {
            Told::Init { control, page_size } => {
                equal("bytes of a page", page_size, PAGE)?;
                Ok(control)
            }
            other => Err(Verdict::Failed(format!("no init but {other:?}"))),
        }
    }

    /// What lies in the queue.
    pub(crate) fn told(&self) -> Check<Option<Told>> {
        let (code, found) = message::receive_until(self.port.name(), 0);
        if code == MessageReturn::ReceiveTimedOut {
            return Ok(None);
        }
        read(code, &found).map(Some)
    }

    /// What comes next.
    pub(crate) fn hear(&self) -> Check<Told> {
        let (code, found) = message::receive_until(self.port.name(), time::deadline(PATIENCE));
        read(code, &found)
    }

    /// This comes next, and nothing lies behind it.
    pub(crate) fn hears(&self, expected: Told) -> Check {
        equal("told", self.hear()?, expected)?;
        self.silent()
    }

    /// Nothing was told.
    pub(crate) fn silent(&self) -> Check {
        equal("told", self.told()?, None)
    }

    /// Ends mappings; what was told of it until the object ended.
    pub(crate) fn ends(&self, mappings: &[(u64, u64)]) -> Check<Vec<Told>> {
        for (at, pages) in mappings {
            raw::deallocate(*at, pages * PAGE)?;
        }
        let mut heard = Vec::new();
        loop {
            match self.hear()? {
                Told::Terminate => return Ok(heard),
                told => heard.push(told),
            }
        }
    }
}

/// Reading and writing.
pub(crate) const BOTH: u32 = protection::READ | protection::WRITE;

/// Maps pages of whatever a right stands for, to be shared with children; with flags and at most a protection.
///
/// # Errors
/// The kernel's code.
pub(crate) fn map<I: ?Sized>(
    right: SendRight<I>,
    range: (u64, u64),
    how: (u64, u32),
) -> Result<u64> {
    map_into(&SendRight::from_name(trap::task_self()?), right, range, how)
}

/// The same in another task.
///
/// # Errors
/// The kernel's code.
pub(crate) fn map_into<I: ?Sized>(
    task: &SendRight<dyn Task>,
    right: SendRight<I>,
    (page, pages): (u64, u64),
    (flags, protection): (u64, u32),
) -> Result<u64> {
    let place = Place {
        size: pages * PAGE,
        ..Place::default()
    };
    let rights = u64::from(protection) << map_flags::CURRENT_SHIFT
        | u64::from(protection) << map_flags::MAXIMUM_SHIFT;
    let flags = map_flags::ANYWHERE | rights | flags;
    let mapped = task.memory().map(right.cast(), place, page * PAGE, flags);
    mapped.map_err(|refused| refused.error)
}

/// Supplies pages from one on, each full of its byte. It takes all of them.
pub(crate) fn supply(control: &Control, page: u64, content: &[u8]) -> Check {
    let supplied = supply_with(control, page, content, (protection::NONE, 0))?;
    equal("the supply", K(supplied.result), K::Success)
}

/// The same with a lock, and 1 if the pages are precious.
pub(crate) fn supply_with(
    control: &Control,
    page: u64,
    content: &[u8],
    (lock, precious): (u32, u32),
) -> Check<Supplied> {
    let mut memory = Memory::new(content.len() * PAGE as usize)?;
    for (page, byte) in memory.chunks_mut(PAGE as usize).zip(content) {
        page.fill(*byte);
    }
    let control = control.client();
    Ok(control.data_supply(page * PAGE, &memory, lock, precious)?)
}

/// A message to a pager.
fn read(code: MessageReturn, found: &Registers) -> Check<Told> {
    check!(code == MessageReturn::Success, "nothing was told: {code}");
    let (page, access) = (found.words[0] / PAGE, found.words[2] as u32);
    let right = |index| Name(buffer::descriptor(index).name);
    Ok(match found.id() {
        id if id == <dyn MemoryObject>::INIT.id => {
            drop(SendRight::<Untyped>::from_name(right(1)));
            Told::Init {
                control: SendRight::from_name(right(0)),
                page_size: found.words[0],
            }
        }
        id if id == <dyn MemoryObject>::TERMINATE.id => {
            let rights = [0, 1].map(|index| ReceiveRight::<Untyped>::from_name(right(index)));
            // Rights to receive they are: who has none could not ask for the number.
            for right in rights {
                right.send_rights()?;
            }
            Told::Terminate
        }
        id if id == <dyn MemoryObject>::DATA_REQUEST.id => {
            equal("bytes asked for", found.words[1], PAGE)?;
            Told::Request { page, access }
        }
        id if id == <dyn MemoryObject>::DATA_UNLOCK.id => Told::Unlock { page, access },
        id if id == <dyn MemoryObject>::DATA_RETURN.id => {
            let memory = buffer::descriptor(0);
            let pages = 0..memory.size / PAGE;
            let content = pages.map(|page| raw::byte(memory.address + page * PAGE));
            let content = content.collect();
            raw::deallocate(memory.address, memory.size)?;
            Told::Return {
                page,
                content,
                dirty: found.words[1] == 1,
                kept: found.words[2] == 1,
            }
        }
        id => Told::Answer {
            id,
            code: K(found.words[0] as u32),
        },
    })
}
