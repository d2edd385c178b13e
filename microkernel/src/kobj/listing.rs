//! Tasks, rights, regions and accounts as tools list them.

use abi::names::Name;
use abi::task::Limits;
use interfaces::bounded::{List, Text};
use interfaces::task::{Region, RightInfo};

use crate::base::ids::{PortId, SpaceId};
use crate::base::ledger::Resource;
use crate::ipc::Ipc;
use crate::ipc::entry::Rights;
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

/// The names of a space behind one.
pub(super) fn rights(ipc: &Ipc, space: SpaceId, after: Name) -> List<RightInfo, 32> {
    let mut list = List::default();
    let mut index = after.index() + 1;
    while let Some(name) = ipc.names.next_name(space, index) {
        if let Some(entry) = ipc.names.get(space, name) {
            let port = entry.port.and_then(|port| ipc.ports.get(port));
            let own = port.filter(|_| entry.rights.contains(Rights::RECEIVE));
            let info = RightInfo {
                name,
                kind: entry.type_bits(),
                references: entry.urefs.into(),
                port: port.and(entry.port).map_or(0, PortId::to_bits),
                messages: own.map_or(0, |port| port.message_count()),
                send_rights: own.map_or(0, |port| port.send_rights),
            };
            if !list.push(info) {
                break;
            }
        }
        index = name.index() + 1;
    }
    list
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
