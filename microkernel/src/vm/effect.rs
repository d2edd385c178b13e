//! [`Effect`]: what follows, for the layers above, from what pagers said and did not live to say.

use abi::PAGE_SIZE;

use super::reclaim::{MEMORY_KEY, Woken};
use super::request::{Answer, Ask, ByPage, Request, WaitKey, key_of};
use super::tree::{node, node_mut};
use super::{Context, PagerId, PagerState, Vm, cost};
use crate::base::ids::PortId;
use crate::base::ledger::Resource;
use crate::machine::Machine;

/// What is to be done by the layers above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// A thread that waits by this key is to be woken; when there is none, [`Vm::all_woken`].
    Wake {
        /// Whom.
        key: WaitKey,
        /// Its access fails with `MemoryError` when it stalls there again.
        failed: bool,
    },
    /// A pager is to be asked.
    Ask(Ask),
    /// A memory object is to be emptied: [`Vm::close_step`].
    Close(PagerId),
    /// Memory is short: [`Vm::reclaim_step`].
    Reclaim,
    /// The store's pager is to forget pages: [`Vm::take_discards`].
    Discard,
    /// A pager is to be told that its object has ended; then [`Vm::remove_pager`].
    Terminate(PagerId),
    /// Nothing: a step of what takes several is done.
    Nothing,
}

impl Vm {
    /// Whether [`next_effect`](Self::next_effect) has something to say.
    pub fn has_effects(&self) -> bool {
        self.answered.is_some()
            || self.busy_pagers.is_some()
            || self.reclaim.wanted
            || self.reclaim.wake.is_some()
            || (self.discards.is_some() && !self.discards_held)
    }

    /// What can be done when there is nothing else.
    fn next_chore(&self) -> Option<Effect> {
        if self.discards.is_some() && !self.discards_held {
            return Some(Effect::Discard);
        }
        self.reclaim.wanted.then_some(Effect::Reclaim)
    }

    /// The next thing that follows from what pagers said, or did not live to say. It is said again until it was done.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if let Some(id) = self.answered {
            let request = node(&self.requests, id);
            return Some(Effect::Wake {
                key: key_of(id, (request.pager, request.page)),
                failed: request.failed,
            });
        }
        if let Some(woken) = self.reclaim.wake {
            return Some(Effect::Wake {
                key: MEMORY_KEY,
                failed: woken == Woken::Hopeless,
            });
        }
        let Some(id) = self.busy_pagers else {
            return self.next_chore();
        };
        let pager = node(&self.pagers, id);
        let (cursor, state, port) = (pager.cursor, pager.state, pager.ports.object);
        if let Some(page) = self.next_request(id, cursor) {
            node_mut(&mut self.pagers, id).cursor = page + 1;
            return Some(match state {
                PagerState::Ready => self.ask_late((id, port), page),
                PagerState::Told => Effect::Nothing,
                PagerState::Dead => {
                    self.answer_page(id, page, Answer::Failed);
                    Effect::Nothing
                }
            });
        }
        let pager = node_mut(&mut self.pagers, id);
        if pager.finished {
            return Some(Effect::Terminate(id));
        }
        if pager.closing {
            return Some(Effect::Close(id));
        }
        pager.listed = false;
        self.busy_pagers = pager.next.take();
        Some(Effect::Nothing)
    }

    /// The question for a request that was made before its pager was ready.
    fn ask_late(&mut self, (pager, port): (PagerId, PortId), page: u64) -> Effect {
        let key = (pager.index(), page);
        let found = self.requests_by_page.find(&ByPage(&mut self.requests), key);
        let Some(id) = found.and_then(|found| self.requests.id_at(found)) else {
            return Effect::Nothing;
        };
        let request = node_mut(&mut self.requests, id);
        if request.sent {
            return Effect::Nothing;
        }
        request.sent = true;
        Effect::Ask(Ask {
            port,
            question: request.question,
            offset: page * PAGE_SIZE,
            payer: request.ledger,
            request: id,
        })
    }

    /// Nobody waits any more for the answer that [`Effect::Wake`] spoke of.
    pub fn all_woken<M: Machine>(&mut self, context: &mut Context<'_, M>) {
        if let Some(request) = self.answered.and_then(|id| self.requests.remove(id)) {
            self.answered = request.next;
            context.release(request.ledger, Resource::KernelBytes, cost::<Request>());
        } else {
            self.all_woken_for_memory();
        }
    }
}
