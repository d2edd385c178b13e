//! Copies that a mapping needs at once, of more than one step's pages: shared memory mapped with `COPY`.
//!
//! A map keeps the one such copy that is being made, since `map` is called again with the same arguments alone. A
//! caller who wants another one helps with this one first, and throws it away when it is whole and nobody came for it.

use super::object::Kind;
use super::tree::node_mut;
use super::{Context, MapId, ObjectId, Progress, STEP, Vm};
use crate::base::KernResult;
use crate::machine::Machine;

/// What is copied: an object's pages from an index on, and how many.
type From = (ObjectId, u64, u64);

/// A copy that is being made.
#[derive(Clone, Copy)]
pub(super) struct Snapshot {
    from: From,
    /// With a reference.
    pub(super) to: ObjectId,
    done: u64,
}

impl Vm {
    /// Copies some more of an object for a map. `Done`: [`take_snapshot`](Self::take_snapshot) gives the copy.
    pub(super) fn snapshot_step<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        wanted: From,
    ) -> KernResult<Progress> {
        let here = self.map_ref(map)?;
        let ledger = here.ledger;
        let found = match here.snapshot {
            Some(found) if found.from == wanted || !self.is_useless(&found) => found,
            _ => {
                self.drop_snapshot(map);
                let kind = Kind::Anonymous;
                let to = self.create_object(context, kind, wanted.2, Some(ledger))?;
                Snapshot {
                    from: wanted,
                    to,
                    done: 0,
                }
            }
        };
        let (object, index, pages) = found.from;
        let end = pages.min(found.done + STEP);
        let part = (object, index + found.done..index + end);
        let copied = self.copy_pages(context, part, (found.to, found.done), 0);
        let now = Snapshot { done: end, ..found };
        node_mut(&mut self.maps, map).snapshot = Some(now);
        if copied.is_err() {
            self.drop_snapshot(map);
        }
        copied?;
        Ok(if found.from == wanted && end == pages {
            Progress::Done(())
        } else {
            Progress::More
        })
    }

    /// Whether a copy is of no use to whoever began it: it is whole, or what is copied is gone.
    fn is_useless(&self, snapshot: &Snapshot) -> bool {
        let (object, _, pages) = snapshot.from;
        snapshot.done == pages || self.objects.get(object).is_none()
    }

    /// The copy that is whole, with its reference.
    pub(super) fn take_snapshot(&mut self, map: MapId, wanted: From) -> Option<ObjectId> {
        let here = self.maps.get_mut(map)?;
        let whole = |found: &mut Snapshot| found.from == wanted && found.done == wanted.2;
        here.snapshot.take_if(whole).map(|found| found.to)
    }

    /// Gives up the copy that is being made.
    pub(super) fn drop_snapshot(&mut self, map: MapId) {
        let here = self.maps.get_mut(map);
        if let Some(found) = here.and_then(|map| map.snapshot.take()) {
            self.dereference(found.to);
        }
    }
}
