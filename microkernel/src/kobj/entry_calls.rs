//! `mach_make_memory_entry_64`: memory as a right to be handed on.

use abi::kern_return::KernReturn;
use abi::transport::Result;
use abi::vm::{entry, protection};

use super::Core;
use super::transport::Held;
use crate::base::ids::PortId;
use crate::base::ledger::LedgerId;
use crate::ipc::message::Made;
use crate::machine::Machine;
use crate::vm::{MapId, MemoryEntryId, Progress};

/// Of what an entry is made.
#[derive(Clone, Copy)]
pub(super) enum Parent {
    /// A map.
    Map(MapId),
    /// Another entry, which this port stands for.
    Entry(MemoryEntryId, PortId),
}

/// Makes an entry, for which `payer` pays; its bytes and a send right to it.
///
/// # Errors
/// `InvalidArgument`: unknown flags, more than one of them that says what is made, a range that is none, or a parent
/// that is a copy. `ProtectionFailure`: more than the parent's protection, unless it was to be masked.
pub(super) fn make<M: Machine>(
    core: &mut Core<'_, M>,
    parent: Parent,
    (offset, size): (u64, u64),
    permission: u32,
    payer: LedgerId,
) -> Result<(u64, Held)> {
    const KINDS: u32 = entry::NAMED_CREATE | entry::COPY | entry::SHARE;
    let (mut rights, flags) = (permission & protection::ALL, permission & !protection::ALL);
    if flags & !entry::ALL != 0 || (flags & KINDS).count_ones() > 1 || size == 0 {
        return Err(KernReturn::InvalidArgument.into());
    }
    // What is new has nothing of the parent's.
    if flags & entry::MASK_PERMISSIONS != 0 && flags & KINDS != entry::NAMED_CREATE {
        rights &= allowed(core, parent, (offset, size))?;
    }
    let made = match (flags & KINDS, parent) {
        (entry::NAMED_CREATE, _) => {
            let (vm, mut context) = core.layers.vm();
            vm.make_anonymous(&mut context, size, rights, payer)?
        }
        (entry::COPY, Parent::Map(map)) => copy(core, map, (offset, size), rights, payer)?,
        (entry::COPY, Parent::Entry(..)) => return Err(KernReturn::InvalidArgument.into()),
        (_, Parent::Map(map)) => {
            let (vm, mut context) = core.layers.vm();
            let progress = vm.make_entry(&mut context, map, (offset, size), rights)?;
            core.done(progress)?
        }
        (_, Parent::Entry(from, port)) => {
            let bounds = core.layers.cx.vm.memory_entry(from);
            if flags & entry::NAMED_REUSE != 0 && offset == 0 && bounds == Some((size, rights)) {
                return Ok((size, core.give(port)));
            }
            let (vm, mut context) = core.layers.vm();
            vm.attenuate(&mut context, from, (offset, size), rights, Some(payer))?
        }
    };
    let bounds = core.layers.cx.vm.memory_entry(made);
    let size = bounds.map_or(size, |(size, _)| size);
    Ok((size, core.give_entry(made, payer)?))
}

/// What the parent allows at most in all of a range.
fn allowed<M: Machine>(
    core: &Core<'_, M>,
    parent: Parent,
    (offset, size): (u64, u64),
) -> Result<u32> {
    let vm = &core.layers.cx.vm;
    Ok(match parent {
        Parent::Map(map) => vm.rights_in(map, offset, size)?.1,
        Parent::Entry(entry, _) => {
            let bounds = vm.memory_entry(entry).ok_or(KernReturn::Terminated)?;
            bounds.1
        }
    })
}

/// An entry over a copy as of now, which is gathered in steps.
fn copy<M: Machine>(
    core: &mut Core<'_, M>,
    map: MapId,
    range: (u64, u64),
    rights: u32,
    payer: LedgerId,
) -> Result<MemoryEntryId> {
    let made = *core.made;
    let (vm, mut context) = core.layers.vm();
    let copy = if let Some(Made::Copy(copy)) = made {
        let progress = vm.copy_more(&mut context, copy)?;
        debug_assert!(progress == Progress::More || vm.copy_is_whole(copy));
        copy
    } else {
        let copy = vm.copy_out_apart(&mut context, map, range, payer)?;
        *core.made = Some(Made::Copy(copy));
        copy
    };
    let (vm, mut context) = core.layers.vm();
    if !vm.copy_is_whole(copy) {
        return Err(core.again());
    }
    let entry = vm.make_copy_entry(&mut context, copy, rights)?;
    *core.made = None;
    Ok(entry)
}
