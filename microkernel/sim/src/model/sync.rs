//! `msync` on memory that shows memory objects (MACH.md V-13, O-04): what was written comes back to the pager, and clean pages go.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn as Code;
use abi::vm::{protection, sync};

use super::control::answer;
use super::names::{accept, refuse};
use super::objects::{Content, Life, ROOM, Shown};
use super::pager::Order;
use super::vm::whole;
use super::{Bytes, Model, SHOWN, Seen, TaskId, Verdict};

const BOTH: u32 = sync::SYNCHRONOUS | sync::ASYNCHRONOUS;
const ALL: u32 = BOTH | sync::INVALIDATE | sync::KILL_PAGES | sync::DEACTIVATE | sync::CONTIGUOUS;

/// What flags mean for the pages that are there.
fn order(flags: u32) -> Order {
    let kills = flags & sync::KILL_PAGES != 0;
    Order {
        comes: match flags & BOTH {
            0 => |_| false,
            _ => |content| content.is_dirty,
        },
        goes: match flags & sync::INVALIDATE {
            _ if kills => |_, _| true,
            0 => |_, _| false,
            _ => |content: &Content, came| came || !content.is_new(),
        },
        lock: protection::NO_CHANGE,
    }
}

impl Model {
    /// The pages of a range that show memory objects.
    fn shown_in(&self, task: TaskId, range: Bytes) -> Vec<Shown> {
        let Some(pages) = whole(range).filter(|_| range.1 > 0) else {
            return Vec::new();
        };
        let pages = (task, pages.start)..(task, pages.end);
        let shown = self.objects.shown.range(pages);
        shown.map(|(_, shown)| *shown).collect()
    }

    /// Whether it can be told what comes back from a range: it has room at the pagers' ports, they can pay for it, and no two mappings
    /// show what lies one behind the other.
    pub fn can_sync(&self, task: TaskId, range: Bytes) -> bool {
        let shown = self.shown_in(task, range);
        let mut pairs = shown.iter().zip(shown.iter().skip(1));
        let parted = pairs.all(|(one, other)| {
            one.mapping == other.mapping || (one.object, one.page + 1) != (other.object, other.page)
        });
        parted
            && shown.iter().all(|shown| {
                let port = self.objects.all[shown.object].port;
                let waiting = self.ports[port].queue.len() as u64;
                self.can_pay(shown.object) && waiting + SHOWN <= ROOM as u64
            })
    }

    /// V-13.
    pub(super) fn sync_objects(
        &mut self,
        task: TaskId,
        (range, flags): (Bytes, u32),
        seen: &Seen,
    ) -> Verdict {
        let shown = self.shown_in(task, range);
        let mut wrong = Vec::new();
        if flags & !ALL != 0 || flags & BOTH == BOTH {
            wrong.push(Code::InvalidArgument);
        }
        match whole(range) {
            None => wrong.push(Code::InvalidArgument),
            Some(pages) => {
                let count = (pages.end - pages.start) / PAGE_SIZE;
                if flags & sync::CONTIGUOUS != 0 && range.1 > 0 && count > shown.len() as u64 {
                    wrong.push(Code::InvalidAddress);
                }
            }
        }
        let is_fixed = |shown: &Shown| shown.rights & protection::WRITE == 0;
        if flags & sync::KILL_PAGES != 0 && shown.iter().any(is_fixed) {
            wrong.push(Code::ProtectionFailure);
        }
        if !wrong.is_empty() {
            return refuse(answer(seen)?, &wrong);
        }
        // What lies before one that has no pager any more comes back.
        let parts = shown.chunk_by(|one, other| {
            (one.object, one.page + 1, one.mapping) == (other.object, other.page, other.mapping)
        });
        for part in parts {
            let (first, last) = (part[0], part[part.len() - 1]);
            match self.objects.all[first.object].life {
                Life::Ready => {
                    self.order_pages(first.object, first.page..last.page + 1, &order(flags));
                }
                Life::Dead if flags & BOTH != 0 => {
                    return refuse(answer(seen)?, &[Code::MemoryError]);
                }
                Life::Told | Life::Dead | Life::Over => {}
            }
        }
        accept(answer(seen)?)
    }
}
