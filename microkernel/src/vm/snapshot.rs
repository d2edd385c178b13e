//! Copies that a mapping needs at once, in steps: of shared and of wired memory, and of what is written of a pager's.
//!
//! A map keeps up to [`SNAPSHOTS`] such copies that are being made, since `map` is called again with the same arguments alone: so
//! threads that want different ones do not take each other's away. A caller who wants one more helps with the oldest first, and
//! throws it away when it is whole and nobody came for it.

use core::ops::Range;

use abi::kern_return::KernReturn;

use super::object::{Kind, Shown};
use super::preserve::Strategy;
use super::tree::node_mut;
use super::{COPY_STEP, Context, MapId, ObjectId, Progress, STALLED, Vm};
use crate::base::KernResult;
use crate::base::ledger::LedgerId;
use crate::machine::Machine;

/// Copies of a map that are being made at a time.
const SNAPSHOTS: usize = 4;

/// Those of a map, the oldest first.
pub(super) type Snapshots = heapless::Vec<Snapshot, SNAPSHOTS>;

/// What is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) object: ObjectId,
    /// The first page.
    pub(super) index: u64,
    pub(super) pages: u64,
    pub(super) strategy: Strategy,
}

/// A copy that is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    from: Wanted,
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
        wanted: Wanted,
    ) -> KernResult<Progress> {
        let known = |found: &Snapshot| found.from == wanted;
        let own = self.map_ref(map)?.snapshots.iter().position(known);
        let at = match own {
            Some(at) => at,
            None => self.next_snapshot(context, map, wanted)?,
        };
        let found = self.map_ref(map)?.snapshots.get(at).copied();
        let found = found.ok_or(KernReturn::Failure)?;
        let copied = self.continue_snapshot(context, &found);
        if copied == Err(STALLED) && found.from != wanted {
            // One's pager is not to hold up the copies of others.
            self.drop_snapshot(map, at);
            return Ok(Progress::More);
        }
        if copied.is_err() && copied != Err(STALLED) {
            self.drop_snapshot(map, at);
        }
        let done = found.done + copied?;
        if let Some(found) = node_mut(&mut self.maps, map).snapshots.get_mut(at) {
            found.done = done;
        }
        Ok(if found.from == wanted && done == wanted.pages {
            Progress::Done(())
        } else {
            Progress::More
        })
    }

    /// Which of a map's copies a caller goes on with who has none: a new one; the oldest, while there is no room.
    fn next_snapshot<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        wanted: Wanted,
    ) -> KernResult<usize> {
        let here = self.map_ref(map)?;
        let (ledger, full) = (here.ledger, here.snapshots.is_full());
        // What is copied is gone; or, where there is no room, the copy is whole.
        let useless = |found: &Snapshot| {
            let Wanted { object, pages, .. } = found.from;
            (full && found.done == pages) || self.objects.get(object).is_none()
        };
        if let Some(at) = here.snapshots.iter().position(useless) {
            self.drop_snapshot(map, at);
        } else if full {
            return Ok(0);
        }
        let new = Snapshot {
            from: wanted,
            to: self.begin_snapshot(context, wanted, ledger)?,
            done: 0,
        };
        let snapshots = &mut node_mut(&mut self.maps, map).snapshots;
        let pushed = snapshots.push(new);
        debug_assert!(pushed.is_ok(), "room was made");
        Ok(snapshots.len() - 1)
    }

    /// What a copy goes to.
    fn begin_snapshot<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        wanted: Wanted,
        ledger: LedgerId,
    ) -> KernResult<ObjectId> {
        let Wanted {
            object,
            index,
            pages,
            strategy,
        } = wanted;
        match strategy {
            Strategy::Behind => self.shadow_of(context, (object, index), pages, ledger),
            Strategy::AtOnce => self.create_object(context, Kind::Anonymous, pages, Some(ledger)),
        }
    }

    /// Copies some more; how many pages are done by that.
    ///
    /// # Errors
    /// `ResourceShortage`. [`STALLED`]: a pager is to supply what is copied at once.
    fn continue_snapshot<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        found: &Snapshot,
    ) -> KernResult<u64> {
        let Wanted { object, index, .. } = found.from;
        let (at, to) = (index + found.done, (found.to, found.done));
        let rest = at..index + found.from.pages;
        if found.from.strategy == Strategy::Behind {
            return self.copy_written(context, (object, rest), to);
        }
        let mut end = match self.paged_behind(object, at) {
            // What is not there is to be supplied.
            Some(_) => rest.end.min(at + COPY_STEP / self.weight(object)),
            None => self.few_shown(object, rest),
        };
        // What is there is taken before it may go again.
        match self.first_absent(object, at..end) {
            Some(absent) if absent == at => {
                self.await_pages(context, object, at..at + 1)?;
                // It has come. What is behind it may be absent, too.
                end = at + 1;
            }
            Some(absent) => end = absent,
            None => {}
        }
        self.copy_pages(context, (object, at..end), to, 0)?;
        Ok(end - at)
    }

    /// The first page of a range that has to be waited for.
    fn first_absent(&self, object: ObjectId, range: Range<u64>) -> Option<u64> {
        if !self.may_stall() {
            return None;
        }
        let supplied = self.paged_behind(object, range.start).is_some();
        let mut at = range.start;
        while at < range.end {
            match self.find(object, at) {
                None if supplied => return Some(at),
                Some(Shown::Stored(_)) => return Some(at),
                _ => {}
            }
            at = match supplied {
                true => at + 1,
                false => self.next_shown(object, at + 1, range.end)?,
            };
        }
        None
    }

    /// The copy that is whole, with its reference.
    pub(super) fn take_snapshot(&mut self, map: MapId, wanted: Wanted) -> KernResult<ObjectId> {
        let here = self.maps.get_mut(map).ok_or(KernReturn::InvalidTask)?;
        let whole = |found: &Snapshot| found.from == wanted && found.done == wanted.pages;
        let at = here.snapshots.iter().position(whole);
        let at = at.ok_or(KernReturn::Failure)?;
        Ok(here.snapshots.remove(at).to)
    }

    /// Gives all copies up that are being made.
    pub(super) fn drop_snapshots(&mut self, map: MapId) {
        while self
            .maps
            .get(map)
            .is_some_and(|map| !map.snapshots.is_empty())
        {
            self.drop_snapshot(map, 0);
        }
    }

    /// Gives one up.
    fn drop_snapshot(&mut self, map: MapId, at: usize) {
        let here = node_mut(&mut self.maps, map);
        let found = here.snapshots.remove(at);
        self.dereference(found.to);
    }
}
