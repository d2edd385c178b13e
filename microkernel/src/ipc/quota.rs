//! A warning to a task that has many names, before it gets no more of them (P-22): what it does not release, it
//! leaks.

use abi::kern_return::KernReturn;
use abi::names::Name;
use abi::notify;

use super::notice::Watch;
use super::notify::Request;
use super::right::Right;
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::ids::SpaceId;
use crate::machine::Machine;

impl Ipc {
    /// Arms a names-used request, or disarms it. It fires at once where there are as many names already.
    ///
    /// # Errors
    /// `InvalidName`: it watches no name, but one was given · `ResourceShortage`.
    pub(super) fn request_names_used<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        request: Request,
    ) -> KernResult<Right> {
        if request.name != Name::NULL {
            return Err(KernReturn::InvalidName);
        }
        let watch = Watch::NamesUsed {
            limit: request.sync,
        };
        let new = self.optional_notice(cx, space, request, watch)?;
        let record = self
            .names
            .space_mut(space)
            .ok_or(KernReturn::InvalidArgument)?;
        let old = core::mem::replace(&mut record.watch, new);
        self.names_used(space);
        Ok(old.map_or(Right::None, |old| self.take_notify_right(old)))
    }

    /// Fires a space's names-used request, if it has come to that.
    #[cold]
    pub(super) fn names_used(&mut self, space: SpaceId) {
        let count = self.names.count(space);
        let Some(record) = self.names.space_mut(space) else {
            return;
        };
        let watch = self.notices.find(record.watch).map(|notice| notice.watch);
        if let Some(Watch::NamesUsed { limit }) = watch
            && count >= limit
            && let Some(notice) = record.watch.take()
        {
            self.fire(notice, notify::NAMES_USED, count.into());
        }
    }

    /// A space gets no more names: its task ends.
    pub fn close_space(&mut self, space: SpaceId) {
        self.names.close(space);
        let record = self.names.space_mut(space);
        if let Some(notice) = record.and_then(|record| record.watch.take()) {
            self.cancel_notice(notice);
        }
    }
}
