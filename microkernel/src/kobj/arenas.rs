//! What the kernel's memory is used for, arena by arena.

use super::Core;
use crate::base::usage::Usage;
use crate::machine::Machine;

/// Every arena's usage.
pub(super) fn usage<M: Machine>(core: &Core<'_, M>) -> impl Iterator<Item = Usage> {
    let (ipc, cx) = (&core.layers.ipc, &core.layers.cx);
    [core.tasks.usage(), cx.ledgers.usage()]
        .into_iter()
        .chain(cx.sched.usage())
        .chain(ipc.usage())
        .chain(ipc.names.usage())
        .chain(cx.vm.usage())
}
