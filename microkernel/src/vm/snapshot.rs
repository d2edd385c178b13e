//! Copies that a mapping needs at once, in steps: of shared memory, and of what is written of a pager's.
//!
//! A map keeps the one such copy that is being made, since `map` is called again with the same arguments alone. A
//! caller who wants another one helps with this one first, and throws it away when it is whole and nobody came for it.

use abi::kern_return::KernReturn;

use super::object::Kind;
use super::preserve::Strategy;
use super::tree::node_mut;
use super::{COPY_STEP, Context, MapId, ObjectId, Progress, STALLED, Vm};
use crate::base::KernResult;
use crate::base::ledger::LedgerId;
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
    ///
    /// # Errors
    /// `ResourceShortage`. [`STALLED`]: what is copied so far waits for the next call.
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
                let to = self.begin_snapshot(context, wanted, ledger)?;
                Snapshot {
                    from: wanted,
                    to,
                    done: 0,
                }
            }
        };
        node_mut(&mut self.maps, map).snapshot = Some(found);
        let copied = self.continue_snapshot(context, &found);
        if copied == Err(STALLED) && found.from != wanted {
            // One's pager is not to hold up the copies of others.
            self.drop_snapshot(map);
            return Ok(Progress::More);
        }
        if copied.is_err() && copied != Err(STALLED) {
            self.drop_snapshot(map);
        }
        let done = found.done + copied?;
        let now = Snapshot { done, ..found };
        node_mut(&mut self.maps, map).snapshot = Some(now);
        Ok(if found.from == wanted && done == found.from.2 {
            Progress::Done(())
        } else {
            Progress::More
        })
    }

    /// What a copy goes to.
    fn begin_snapshot<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        (object, index, pages): From,
        ledger: LedgerId,
    ) -> KernResult<ObjectId> {
        match self.strategy(object) {
            Strategy::Behind => self.shadow_of(context, (object, index), pages, ledger),
            Strategy::AtOnce => self.create_object(context, Kind::Anonymous, pages, Some(ledger)),
        }
    }

    /// Copies some more; how many pages are done by that.
    ///
    /// # Errors
    /// `ResourceShortage`. [`STALLED`]: a pager is to supply what it wants to be copied at once.
    fn continue_snapshot<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        found: &Snapshot,
    ) -> KernResult<u64> {
        let (object, index, pages) = found.from;
        let (at, to) = (index + found.done, (found.to, found.done));
        if self.object(found.to).backing.is_some() {
            return self.copy_written(context, (object, at..index + pages), to);
        }
        let mut done = COPY_STEP.min(pages - found.done);
        if self.paged_behind(object, at).is_some() {
            // What is there is taken before it may go again.
            let missing = (at..at + done).find(|at| self.find_in_memory(object, *at).is_none());
            match missing {
                Some(missing) if missing == at => self.await_pages(context, object, at..at + 1)?,
                Some(missing) => done = missing - at,
                None => {}
            }
        }
        self.copy_pages(context, (object, at..at + done), to, 0)?;
        Ok(done)
    }

    /// Whether a copy is of no use to whoever began it: it is whole, or what is copied is gone.
    fn is_useless(&self, snapshot: &Snapshot) -> bool {
        let (object, _, pages) = snapshot.from;
        snapshot.done == pages || self.objects.get(object).is_none()
    }

    /// The copy that is whole, with its reference.
    pub(super) fn take_snapshot(&mut self, map: MapId, wanted: From) -> KernResult<ObjectId> {
        let here = self.maps.get_mut(map).ok_or(KernReturn::InvalidTask)?;
        let whole = |found: &mut Snapshot| found.from == wanted && found.done == wanted.2;
        let taken = here.snapshot.take_if(whole);
        Ok(taken.ok_or(KernReturn::Failure)?.to)
    }

    /// Gives up the copy that is being made.
    pub(super) fn drop_snapshot(&mut self, map: MapId) {
        let here = self.maps.get_mut(map);
        if let Some(found) = here.and_then(|map| map.snapshot.take()) {
            self.dereference(found.to);
        }
    }
}
