//! [`Request`]: a question to a pager, from the access that ends with [`STALLED`] to the answer.
//!
//! An access tells what it needs by [`Vm::stall`]; [`Vm::await_page`] makes that a request, which every further access to
//! the page joins. The answer lets them all go: it is kept until the layers above have [woken](super::Effect::Wake) each.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use arena::Arena;

use super::reclaim::MEMORY_KEY;
use super::tree::{node, node_mut};
use super::{Context, MapId, PagerId, PagerState, RequestId, Vm, cost};
use crate::base::KernResult;
use crate::base::ids::PortId;
use crate::base::ledger::{LedgerId, Resource};
use crate::base::tree::{Links, Nodes};
use crate::machine::Machine;

/// The code of an access that has to wait for a pager. It never leaves the kernel: who meets it lets the thread
/// wait as [`Vm::await_page`] says, and does the access again.
pub const STALLED: KernReturn = KernReturn(0xffff_0001);

/// How a thread's wait for a page is known. The low bits tell it from a futex word's key.
pub type WaitKey = [u64; 2];

/// A question to a pager that waits for its answer, or an answer that threads are told of.
pub struct Request {
    /// The pager's index.
    pub(super) pager: u32,
    pub(super) page: u64,
    pub(super) question: Question,
    /// The accesses of all that have come to wait for the answer.
    wanted: u32,
    /// The pager was asked.
    pub(super) sent: bool,
    pub(super) failed: bool,
    pub(super) ledger: LedgerId,
    links: Links,
    pub(super) next: Option<RequestId>,
}

/// What a pager can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// To supply a page, for this access.
    Data(u32),
    /// To allow an access to a page that it has locked.
    Unlock(u32),
}

impl Question {
    fn access(self) -> u32 {
        match self {
            Self::Data(access) | Self::Unlock(access) => access,
        }
    }
}

/// What an access waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stall {
    pub(super) pager: PagerId,
    pub(super) page: u64,
    pub(super) question: Question,
}

/// Why an access ended with [`STALLED`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stalled {
    /// It waits for a page.
    Page(Stall),
    /// It takes more than one step.
    Step,
    /// It waits for free memory.
    Memory,
}

/// A message to a pager.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// The memory object's port.
    pub port: PortId,
    /// What is asked.
    pub question: Question,
    /// The page, in bytes from the object's beginning.
    pub offset: u64,
    /// Who pays for the message.
    pub payer: LedgerId,
    /// To be [failed](Vm::fail_request) when it cannot be sent.
    pub request: RequestId,
}

/// What a thread does about an access that stalled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Await {
    /// It waits until this is woken, and tries again.
    pub key: WaitKey,
    /// Before, the pager is asked.
    pub ask: Option<Ask>,
}

/// How a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Try again.
    Done,
    /// There is no such page, and there will be none.
    Failed,
}

pub(super) struct ByPage<'a>(pub(super) &'a mut Arena<Request>);

impl Nodes for ByPage<'_> {
    type Key = (u32, u64);

    fn key(&self, node: u32) -> Self::Key {
        let request = self.0.at(node);
        request.map_or((0, 0), |request| (request.pager, request.page))
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |request| request.links)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(request) = self.0.at_mut(node) {
            request.links = links;
        }
    }
}

/// How a thread that waits for the answer to a request is known: by the request, of which one has an index until all who wait
/// were woken, and by whose page it is.
pub(super) fn key_of(request: RequestId, (pager, page): (u32, u64)) -> WaitKey {
    let place = u64::from(request.index()) << 32 | u64::from(pager);
    [place, page << 2 | 2]
}

/// Whether a wait with this key was for a page of a pager.
fn is_for(waited: WaitKey, (pager, page): (u32, u64)) -> bool {
    waited[0] as u32 == pager && waited[1] == page << 2 | 2
}

impl Vm {
    /// An access ends that needs this of a pager first.
    pub(super) fn stall<T>(&mut self, stall: Stall) -> KernResult<T> {
        self.stalled = Some(Stalled::Page(stall));
        Err(STALLED)
    }

    /// An access ends of which a step is done.
    pub(super) fn stall_step<T>(&mut self) -> KernResult<T> {
        self.stalled = Some(Stalled::Step);
        Err(STALLED)
    }

    /// What the thread of `map` whose access ended with [`STALLED`] is to wait for. `None`: nothing, it tries again.
    ///
    /// `failed` is the key of a wait of this thread that ended in failure.
    ///
    /// # Errors
    /// `MemoryError`: the pager is dead, or answered that it cannot. `ResourceShortage`: the task cannot pay for the
    /// question.
    pub fn await_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        map: MapId,
        failed: Option<WaitKey>,
    ) -> KernResult<Option<Await>> {
        let stall = match self.stalled.take().ok_or(KernReturn::MemoryFailure)? {
            Stalled::Page(stall) => stall,
            Stalled::Step => return Ok(None),
            Stalled::Memory if failed == Some(MEMORY_KEY) => {
                return Err(KernReturn::ResourceShortage);
            }
            Stalled::Memory => {
                let key = MEMORY_KEY;
                return Ok(Some(Await { key, ask: None }));
            }
        };
        let pager = self
            .pagers
            .get(stall.pager)
            .ok_or(KernReturn::MemoryError)?;
        let (state, port) = (pager.state, pager.ports.object);
        let key = (stall.pager.index(), stall.page);
        if state == PagerState::Dead || failed.is_some_and(|waited| is_for(waited, key)) {
            return Err(KernReturn::MemoryError);
        }
        if let Some(known) = self.requests_by_page.find(&ByPage(&mut self.requests), key) {
            let id = self.requests.id_at(known);
            let id = id.ok_or(KernReturn::MemoryFailure)?;
            node_mut(&mut self.requests, id).wanted |= stall.question.access();
            let key = key_of(id, key);
            return Ok(Some(Await { key, ask: None }));
        }
        let ledger = self.map_ref(map)?.ledger;
        let request = self.create_request(context, &stall, ledger, state)?;
        let ask = Ask {
            port,
            question: stall.question,
            offset: stall.page * PAGE_SIZE,
            payer: ledger,
            request,
        };
        Ok(Some(Await {
            key: key_of(request, key),
            ask: Some(ask).filter(|_| state == PagerState::Ready),
        }))
    }

    fn create_request<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        stall: &Stall,
        ledger: LedgerId,
        state: PagerState,
    ) -> KernResult<RequestId> {
        context.charge(ledger, Resource::KernelBytes, cost::<Request>())?;
        let request = Request {
            pager: stall.pager.index(),
            page: stall.page,
            question: stall.question,
            wanted: stall.question.access(),
            sent: state == PagerState::Ready,
            failed: false,
            ledger,
            links: Links::LEAF,
            next: None,
        };
        let id = self.requests.insert(request).map_err(|_| {
            context.release(ledger, Resource::KernelBytes, cost::<Request>());
            KernReturn::ResourceShortage
        })?;
        self.requests_by_page
            .insert(&mut ByPage(&mut self.requests), id.index());
        Ok(id)
    }

    /// A question could not be sent: whoever waits for the answer is told so.
    pub fn fail_request(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get(id) {
            let key = (request.pager, request.page);
            self.answer_request(key, Answer::Failed);
        }
    }

    /// A question that was put off could not be sent: whoever waits for the answer asks anew, and pays for that itself.
    pub fn drop_request(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get(id) {
            let key = (request.pager, request.page);
            self.answer_request(key, Answer::Done);
        }
    }

    /// The first unanswered request for a page of a pager from `page` on.
    pub(super) fn next_request(&mut self, pager: PagerId, page: u64) -> Option<u64> {
        let key = (pager.index(), page);
        let found = self
            .requests_by_page
            .ceiling(&ByPage(&mut self.requests), key)?;
        let request = self.requests.at(found)?;
        (request.pager == pager.index()).then_some(request.page)
    }

    /// The same, and for which accesses it waits if the page is locked: 0 if it is not there.
    pub(super) fn next_unlock(&mut self, pager: PagerId, page: u64) -> Option<(u64, u32)> {
        let page = self.next_request(pager, page)?;
        let key = (pager.index(), page);
        let found = self
            .requests_by_page
            .find(&ByPage(&mut self.requests), key)?;
        let request = self.requests.at(found)?;
        Some(match request.question {
            Question::Data(_) => (page, 0),
            Question::Unlock(_) => (page, request.wanted),
        })
    }

    /// Answers what was asked for a page, if anything was.
    pub(super) fn answer_page(&mut self, pager: PagerId, page: u64, answer: Answer) {
        self.answer_request((pager.index(), page), answer);
    }

    fn answer_request(&mut self, key: (u32, u64), answer: Answer) {
        let found = self
            .requests_by_page
            .remove(&mut ByPage(&mut self.requests), key);
        let Some(id) = found.and_then(|found| self.requests.id_at(found)) else {
            return;
        };
        let first = self.answered.replace(id);
        let request = node_mut(&mut self.requests, id);
        request.failed = answer == Answer::Failed;
        request.next = first;
        if let Some(pager) = self.pagers.id_at(key.0) {
            self.store_answered(pager, key.1);
        }
    }

    pub(super) fn is_answered(&self, index: u32) -> bool {
        let mut next = self.answered;
        while let Some(id) = next {
            if id.index() == index {
                return true;
            }
            next = node(&self.requests, id).next;
        }
        false
    }

    /// Bytes of requests that a ledger pays for.
    pub(super) fn request_bytes(&self, ledger: LedgerId) -> u64 {
        let of = |index| self.requests.at(index).is_some_and(|r| r.ledger == ledger);
        (0..self.requests.end()).filter(|index| of(*index)).count() as u64 * cost::<Request>()
    }
}
