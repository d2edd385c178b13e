//! A page fault that a pager in another task answers.
//!
//! The pager has a higher priority, fixed: else it depended on what both had run before which of them goes on when the page is
//! there.

use interfaces::memory_object::{Attributes, MemoryControl, MemoryObject};
use libmach::abi::PAGE_SIZE;
use libmach::abi::kern_return::MessageReturn;
use libmach::abi::names::Name;
use libmach::abi::vm::copy_strategy;
use libmach::message::receive;
use libmach::{Memory, Result as MachResult, SendRight, buffer};

use super::message::HIGHER;
use super::{Bench, Take, WARM_UP};
use crate::peer::Peer;
use crate::samples::COUNT;
use crate::{ensure, raw};

/// One page for each fault.
const PAGES: u64 = (WARM_UP + COUNT) as u64;

pub(super) fn all(bench: &Bench, take: Take<'_>) -> crate::Result<()> {
    let peer = Peer::serving(serve, 0)?.at_priority(HIGHER)?.run()?;
    let memory = raw::map(peer.port(), PAGES)?;
    take(bench.measure(
        "page_fault_pager",
        |round| Ok(memory + round * PAGE_SIZE),
        raw::read,
        |round, content| ensure(content == mark(round), "a pager's page has another content"),
    ))?;
    raw::release(memory, PAGES)
}

/// What a page begins with.
const fn mark(page: u64) -> u64 {
    page << 8 | 0x5a
}

/// Supplies pages until the object ends or a call fails, which the fault's thread learns: its pager is dead.
extern "C" fn serve(port: Name, _: u64) {
    // Either way this task ends.
    let _result = supply(port);
}

fn supply(port: Name) -> MachResult<()> {
    const DATA: i32 = <dyn MemoryObject>::DATA_REQUEST.id;
    let (_, first) = receive(port);
    if first.id() != <dyn MemoryObject>::INIT.id {
        return Ok(());
    }
    let control = SendRight::<dyn MemoryControl>::from_name(Name(buffer::descriptor(0).name));
    let control = control.client();
    control.set_attributes(Attributes {
        copy_strategy: copy_strategy::DELAY,
        ..Attributes::default()
    })?;
    let mut page = Memory::new(PAGE_SIZE as usize)?;
    loop {
        let (code, request) = receive(port);
        if code != MessageReturn::Success || request.id() != DATA {
            return Ok(());
        }
        let offset = request.words[0];
        page[..8].copy_from_slice(&mark(offset / PAGE_SIZE).to_le_bytes());
        control.data_supply(offset, &page, 0, 0)?;
    }
}
