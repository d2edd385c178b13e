//! Tasks, rights, regions and accounts as tools list them.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::names::{Name, disposition};
use abi::task::Limits;
use abi::transport::Result;
use abi::vm::LARGE_PAGE_SIZE;
use interfaces::bounded::{List, Text};
use interfaces::task::{LARGE_PLACES, Region, RightInfo};

use super::Core;
use super::transport::{Extent, Series};
use crate::base::KernResult;
use crate::base::ids::{ArrayId, PortId, SpaceId, ThreadId};
use crate::base::ledger::Resource;
use crate::ipc::Ipc;
use crate::ipc::entry::Rights;
use crate::ipc::message::Made;
use crate::ipc::right::Right;
use crate::machine::Machine;
use crate::task::{LABEL_SIZE, Task, Tasks};
use crate::vm::{CopyId, MapId, RegionInfo, Vm};

/// Names or threads that one step lists.
const STEP: u32 = 64;

/// Bytes of a name, and of what it denotes.
const NAME: u64 = size_of::<Name>() as u64;

/// What a task was called.
pub(super) fn label(task: &Task) -> Text<LABEL_SIZE> {
    Text::cut(task.name())
}

/// An account.
pub(super) fn limits(amount: impl Fn(Resource) -> u64) -> Limits {
    let small = |what| u32::try_from(amount(what)).unwrap_or(u32::MAX);
    Limits {
        names: small(Resource::Names),
        messages: small(Resource::Messages),
        threads: small(Resource::Threads),
        pages: small(Resource::Pages),
        kernel_bytes: amount(Resource::KernelBytes),
    }
}

/// Places that one step of a search through a table looks at.
const LOOK: u32 = 512;

/// What is there at the indices from `first` up to `end`, as much as the list holds. Where there is nothing for long,
/// the request goes on in another step.
pub(super) fn listed<M: Machine, T: Copy + Default, const N: usize>(
    core: &mut Core<'_, M>,
    (first, end): (u32, u32),
    item: impl Fn(&mut Core<'_, M>, u32) -> Option<T>,
) -> Result<List<T, N>> {
    let from = match *core.made {
        Some(Made::At(at)) => u32::try_from(at).unwrap_or(u32::MAX),
        _ => first,
    };
    let mut list = List::default();
    let stop = end.min(from.saturating_add(LOOK));
    for item in (from..stop).filter_map(|index| item(core, index)) {
        if !list.push(item) {
            return Ok(list);
        }
    }
    if list.is_empty() && stop < end {
        *core.made = Some(Made::At(stop.into()));
        return Err(core.again());
    }
    Ok(list)
}

/// The right at an index of a space's names; what lost its port is a dead name.
pub(super) fn right(ipc: &mut Ipc, space: SpaceId, index: u32) -> Option<RightInfo> {
    let name = ipc.names.name_at(space, index)?;
    let kind = ipc.type_of(space, name).ok()?;
    let entry = ipc.names.get(space, name)?;
    let (id, rights, references) = (entry.port, entry.rights, entry.urefs);
    let port = id.and_then(|port| ipc.ports.get(port));
    let own = port.filter(|_| rights.contains(Rights::RECEIVE));
    Some(RightInfo {
        name,
        kind,
        references: references.into(),
        port: port.and(id).map_or(0, PortId::to_bits),
        messages: own.map_or(0, |port| port.message_count()),
        send_rights: own.map_or(0, |port| port.send_rights),
    })
}

/// The regions of a map at and above an address. The list may end early, so that it looks at no more places for large pages than
/// one region may have.
pub(super) fn regions<M: Machine>(
    vm: &Vm,
    machine: &M,
    (map, address): (MapId, u64),
) -> List<Region, 32> {
    let mut list = List::default();
    let (mut at, mut looks) = (address, 0);
    while let Ok(region) = vm.region(map, at) {
        let places = large_places(&region);
        looks += places.clone().count();
        if looks > LARGE_PLACES as usize && !list.is_empty() {
            break;
        }
        let large = vm.root(map).map_or(0, |root| {
            places.filter(|at| machine.is_large(root, *at)).count()
        });
        let entry = Region {
            address: region.start,
            size: region.size,
            protection: region.protection,
            maximum: region.maximum,
            inherit: region.inheritance,
            resident: u32::try_from(region.resident).unwrap_or(u32::MAX),
            object: region.object,
            large: large as u32,
        };
        if !list.push(entry) {
            break;
        }
        at = region.start + region.size;
    }
    list
}

/// Where large pages may lie in a region: the first places, of those that are looked at.
fn large_places(region: &RegionInfo) -> impl Iterator<Item = u64> + Clone + use<> {
    let end = match region.large {
        true => region.start + region.size,
        false => region.start,
    };
    (region.start.next_multiple_of(LARGE_PAGE_SIZE)..end)
        .step_by(LARGE_PAGE_SIZE as usize)
        .take_while(move |at| at + LARGE_PAGE_SIZE <= end)
        .take(LARGE_PLACES as usize)
}

/// Rights to the ports of a task's threads, from the first one on, in steps. It begins anew when the thread has ended at
/// which a step stopped.
pub(super) fn thread_rights<M: Machine>(
    core: &mut Core<'_, M>,
    first: Option<ThreadId>,
) -> Result<Series> {
    let (array, mut next) = match *core.made {
        Some(Made::Ports { array, last }) => match core.layers.cx.sched.threads.get(last) {
            Some(thread) => (array, thread.siblings.next),
            None => {
                core.layers.ipc.end_array(array);
                (new_array(core)?, first)
            }
        },
        _ => (new_array(core)?, first),
    };
    for _ in 0..STEP {
        let Some(thread) = next else {
            *core.made = None;
            return Ok(Series(array));
        };
        *core.made = Some(Made::Ports {
            array,
            last: thread,
        });
        let port = Tasks::thread_port(&mut core.layers, thread)?;
        let right = core.layers.ipc.make_send(port);
        add(core, array, right)?;
        let thread = core.layers.cx.sched.threads.get(thread);
        next = thread.and_then(|thread| thread.siblings.next);
    }
    Err(core.again())
}

/// Rights to ports that something has at the indices below `end`, in steps. What comes or goes meanwhile may be missing.
pub(super) fn rights<M: Machine>(
    core: &mut Core<'_, M>,
    end: u32,
    port_at: impl Fn(&mut Core<'_, M>, u32) -> KernResult<Option<PortId>>,
) -> Result<Series> {
    let (array, first) = match *core.made {
        Some(Made::Row { array, index }) => (array, index),
        _ => (new_array(core)?, 0),
    };
    let stop = end.min(first + STEP);
    *core.made = Some(Made::Row { array, index: stop });
    for index in first..stop {
        if let Some(port) = port_at(core, index)? {
            let right = core.layers.ipc.make_send(port);
            add(core, array, right)?;
        }
    }
    if stop < end {
        return Err(core.again());
    }
    *core.made = None;
    Ok(Series(array))
}

/// Adds a right to an array of the answer.
fn add<M: Machine>(core: &mut Core<'_, M>, array: ArrayId, right: Right) -> KernResult<()> {
    let layers = &mut core.layers;
    let added = layers.ipc.add_to_array(&mut layers.cx, array, right);
    added.map_err(|right| {
        layers.ipc.release(right);
        KernReturn::ResourceShortage
    })
}

/// An array for the answer, which ends with the request when that fails.
fn new_array<M: Machine>(core: &mut Core<'_, M>) -> Result<ArrayId> {
    *core.made = None;
    let payer = core.payer()?;
    let layers = &mut core.layers;
    let how = (disposition::MOVE_SEND, 0);
    let array = layers.ipc.new_array(&mut layers.cx, payer, how);
    Ok(array.map_err(KernReturn::from)?)
}

/// The names of a space and what they denote, in steps: each name that is there from beginning to end is listed once.
pub(super) fn port_names<M: Machine>(
    core: &mut Core<'_, M>,
    space: SpaceId,
) -> Result<(Extent, u32)> {
    let (copy, begin, mut count) = match *core.made {
        Some(Made::Names { copy, index, count }) => (copy, index, count),
        _ => {
            let payer = core.payer()?;
            let size = half(core.layers.ipc.names.end(space)) * 2;
            let (vm, mut context) = core.layers.vm();
            (vm.copy_create(&mut context, payer, size)?, 0, 0)
        }
    };
    let mut found = heapless::Vec::<(Name, u32), { STEP as usize }>::new();
    for index in begin..begin + STEP {
        if let Some(name) = core.layers.ipc.names.name_at(space, index)
            && let Ok(kind) = core.layers.ipc.type_of(space, name)
        {
            // There is room for a step.
            found.push((name, kind)).ok();
        }
    }
    let index = begin + STEP;
    *core.made = Some(Made::Names { copy, index, count });
    let size = core.layers.cx.vm.copy_size(copy).unwrap_or(0);
    let room = (size / 2 / NAME) as u32;
    // A table that has grown since has more names than there is room for: those are new.
    found.truncate(room.saturating_sub(count) as usize);
    write_names(core, copy, (u64::from(count) * NAME, size / 2), &found)?;
    count += found.len() as u32;
    *core.made = Some(Made::Names { copy, index, count });
    if index < room.min(core.layers.ipc.names.end(space)) {
        return Err(core.again());
    }
    *core.made = None;
    Ok((Extent::Given(copy, size), count))
}

/// Bytes of one word for each name below an index, as whole pages.
fn half(end: u32) -> u64 {
    (u64::from(end) * NAME)
        .next_multiple_of(PAGE_SIZE)
        .max(PAGE_SIZE)
}

/// Writes names, and their kinds as far behind them as is said.
fn write_names<M: Machine>(
    core: &mut Core<'_, M>,
    copy: CopyId,
    (at, apart): (u64, u64),
    found: &[(Name, u32)],
) -> Result<()> {
    let mut names = heapless::Vec::<u8, { (STEP as u64 * NAME) as usize }>::new();
    let mut kinds = names.clone();
    for (name, kind) in found {
        // There is room for a step.
        names.extend_from_slice(&name.0.to_le_bytes()).ok();
        kinds.extend_from_slice(&kind.to_le_bytes()).ok();
    }
    let (vm, mut context) = core.layers.vm();
    vm.copy_write(&mut context, copy, at, &names)?;
    Ok(vm.copy_write(&mut context, copy, at + apart, &kinds)?)
}
