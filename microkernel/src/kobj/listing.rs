//! Tasks, rights, regions and accounts as tools list them.

use abi::task::Limits;
use abi::transport::Result;
use interfaces::bounded::{List, Text};
use interfaces::task::{Region, RightInfo};

use super::Core;
use crate::base::ids::{PortId, SpaceId};
use crate::base::ledger::Resource;
use crate::ipc::Ipc;
use crate::ipc::entry::Rights;
use crate::ipc::message::Made;
use crate::machine::Machine;
use crate::task::{LABEL_SIZE, Task};
use crate::vm::{MapId, Vm};

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
    item: impl Fn(&Core<'_, M>, u32) -> Option<T>,
) -> Result<List<T, N>> {
    let from = match core.made {
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
        core.made = Some(Made::At(stop.into()));
        return Err(core.again());
    }
    Ok(list)
}

/// The right at an index of a space's names.
pub(super) fn right(ipc: &Ipc, space: SpaceId, index: u32) -> Option<RightInfo> {
    let name = ipc.names.name_at(space, index)?;
    let entry = ipc.names.get(space, name)?;
    let port = entry.port.and_then(|port| ipc.ports.get(port));
    let own = port.filter(|_| entry.rights.contains(Rights::RECEIVE));
    Some(RightInfo {
        name,
        kind: entry.type_bits(),
        references: entry.urefs.into(),
        port: port.and(entry.port).map_or(0, PortId::to_bits),
        messages: own.map_or(0, |port| port.message_count()),
        send_rights: own.map_or(0, |port| port.send_rights),
    })
}

/// The regions of a map at and above an address.
pub(super) fn regions(vm: &Vm, map: MapId, address: u64) -> List<Region, 32> {
    let mut list = List::default();
    let mut at = address;
    while let Ok(region) = vm.region(map, at) {
        let entry = Region {
            address: region.start,
            size: region.size,
            protection: region.protection,
            maximum: region.maximum,
            inherit: region.inheritance,
            resident: u32::try_from(region.resident).unwrap_or(u32::MAX),
            object: region.object,
        };
        if !list.push(entry) {
            break;
        }
        at = region.start + region.size;
    }
    list
}
