//! [`Pager`]: the kernel's side of a memory object whose pages a task supplies.
//!
//! A page that is missing is *asked* for once, whoever needs it: a [`Request`] stands for the question until it
//! is answered, and who faults meanwhile waits for it by its key. This layer sends nothing and wakes nobody: the
//! access ends with [`STALLED`], [`Vm::await_page`] says what the thread is to wait for and what the
//! pager is to be asked, and [`Vm::next_effect`] says, one by one, what follows from answers and deaths.
//!
//! Who pays: the pager's task for the object, its pages and the messages about them; the task that faults for
//! the request and its message.
//!
//! Invariants ([`Vm::check`]): a request's pager exists; no two requests are for the same page; a dead pager has no
//! unanswered requests but those that [`Vm::next_effect`] is about to fail.
//!
//! Deliberately absent: deadlines. A pager that dies is noticed, one that is slow is waited for; the wait ends with
//! `thread_abort` and with the thread.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use arena::Arena;

use super::cache::CachePlace;
use super::object::Kind;
use super::preserve::Preserving;
use super::reclaim::{MEMORY_KEY, Woken};
use super::tree::{node, node_mut};
use super::{Context, MapId, ObjectId, PagerId, RequestId, Vm, cost};
use crate::base::KernResult;
use crate::base::ids::{MessageId, PortId};
use crate::base::ledger::{LedgerId, Resource};
use crate::base::tree::{Links, Nodes};
use crate::machine::Machine;

/// The code of an access that has to wait for a pager. It never leaves the kernel: who meets it lets the thread
/// wait as [`Vm::await_page`] says, and does the access again.
pub const STALLED: KernReturn = KernReturn(0xffff_0001);

/// Pages that an object of a pager has: as many as bytes can be counted.
const OBJECT_PAGES: u64 = u64::MAX / PAGE_SIZE;

/// How a thread's wait for a page is known. The low bits tell it from a futex word's key.
pub type WaitKey = [u64; 2];

/// Whether a pager answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PagerState {
    /// It was told of its object, and has not said that it is ready.
    Told,
    /// It answers.
    Ready,
    /// It never will: its port is dead, or it gave its object up.
    Dead,
}

/// What a pager decides of its object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PagerAttributes {
    /// The object's pages stay when nobody maps it.
    pub may_cache: bool,
    /// How copies are made: a number of `abi::vm::copy_strategy`.
    pub copy_strategy: u32,
}

/// The ports of a memory object, and what its end will need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagerPorts {
    /// The memory object, which the pager receives on. The kernel has a send right.
    pub object: PortId,
    /// What the pager answers to.
    pub control: PortId,
    /// What others know the object by.
    pub name: PortId,
    /// A message that waits to say that the object has ended.
    pub farewell: MessageId,
}

/// A memory object.
pub struct Pager {
    pub(super) ports: PagerPorts,
    pub(super) object: ObjectId,
    pub(super) state: PagerState,
    pub(super) attributes: PagerAttributes,
    /// A page that copies of its object are getting, because somebody is about to write it.
    pub(super) preserving: Option<Preserving>,
    /// Its object has no pages and no references left: what remains is to say so.
    pub(super) finished: bool,
    /// Place in the tree by port, unless dead.
    links: Links,
    /// In the list of those with effects to come.
    pub(super) listed: bool,
    pub(super) next: Option<PagerId>,
    /// Requests for pages below were looked at since the last change of state.
    cursor: u64,
    /// Counts the beginnings of steps of [`Order`](super::Order)s.
    pub(super) epoch: u32,
    /// Nobody refers to its object: it is to be emptied.
    pub(super) closing: bool,
    /// It has effects to come when it takes messages again.
    pub(super) held: bool,
    pub(super) cached: CachePlace,
}

/// A question to a pager that waits for its answer, or an answer that threads are told of.
pub struct Request {
    /// The pager's index.
    pager: u32,
    page: u64,
    question: Question,
    /// The pager was asked.
    sent: bool,
    failed: bool,
    ledger: LedgerId,
    links: Links,
    next: Option<RequestId>,
}

/// What a pager can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Question {
    /// To supply a page, for this access.
    Data(u32),
    /// To allow an access to a page that it has locked.
    Unlock(u32),
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

/// How a request ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// Try again.
    Done,
    /// There is no such page, and there will be none.
    Failed,
}

struct ByPort<'a>(&'a mut Arena<Pager>);

impl Nodes for ByPort<'_> {
    type Key = u32;

    fn key(&self, node: u32) -> u32 {
        self.0
            .at(node)
            .map_or(0, |pager| pager.ports.object.index())
    }

    fn links(&self, node: u32) -> Links {
        self.0.at(node).map_or(Links::LEAF, |pager| pager.links)
    }

    fn set_links(&mut self, node: u32, links: Links) {
        if let Some(pager) = self.0.at_mut(node) {
            pager.links = links;
        }
    }
}

struct ByPage<'a>(&'a mut Arena<Request>);

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

/// Bytes that a memory object costs its pager beside the object.
pub(super) const PAGER_BYTES: u64 = cost::<Pager>() + 2048;

/// How a thread that waits for the answer to a request is known.
fn key_of(request: RequestId, page: u64) -> WaitKey {
    [request.to_bits(), page << 2 | 2]
}

impl Vm {
    /// The memory object behind a port, while it lives.
    pub fn pager_at(&mut self, port: PortId) -> Option<PagerId> {
        let index = self
            .pagers_by_port
            .find(&ByPort(&mut self.pagers), port.index())?;
        self.pagers.id_at(index)
    }

    /// A memory object that no one maps yet, paid for by `ledger`. Its first reference is the caller's, to be
    /// given back with [`drop_pager`](Self::drop_pager) when it was mapped, or was not.
    ///
    /// # Errors
    /// `ResourceShortage`.
    pub fn create_pager<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        ports: PagerPorts,
        ledger: LedgerId,
    ) -> KernResult<PagerId> {
        context.charge(ledger, Resource::KernelBytes, PAGER_BYTES)?;
        let object = self.create_object(context, Kind::Anonymous, OBJECT_PAGES, Some(ledger));
        let object = object.inspect_err(|_| {
            context.release(ledger, Resource::KernelBytes, PAGER_BYTES);
        })?;
        let pager = Pager {
            ports,
            object,
            state: PagerState::Told,
            attributes: PagerAttributes::default(),
            preserving: None,
            finished: false,
            links: Links::LEAF,
            listed: false,
            next: None,
            cursor: 0,
            epoch: 0,
            closing: false,
            held: false,
            cached: CachePlace::default(),
        };
        let Ok(id) = self.pagers.insert(pager) else {
            context.release(ledger, Resource::KernelBytes, PAGER_BYTES);
            self.dereference(object);
            return Err(KernReturn::ResourceShortage);
        };
        let here = self.object_mut(object);
        here.kind = Kind::Paged(id);
        here.shared = true;
        self.pagers_by_port
            .insert(&mut ByPort(&mut self.pagers), id.index());
        Ok(id)
    }

    /// The ports of a memory object.
    pub fn pager_ports(&self, id: PagerId) -> Option<PagerPorts> {
        Some(self.pagers.get(id)?.ports)
    }

    /// Who pays for a memory object.
    pub fn pager_payer(&self, id: PagerId) -> Option<LedgerId> {
        self.object(self.pagers.get(id)?.object).ledger
    }

    /// State and attributes of a memory object.
    pub fn pager(&self, id: PagerId) -> Option<(PagerState, PagerAttributes)> {
        let pager = self.pagers.get(id)?;
        Some((pager.state, pager.attributes))
    }

    /// One more reference to a memory object's pages.
    pub fn keep_pager(&mut self, id: PagerId) {
        if let Some(object) = self.pagers.get(id).map(|pager| pager.object) {
            self.uncache(id);
            self.reference(object);
        }
    }

    /// Gives a reference back.
    pub fn drop_pager(&mut self, id: PagerId) {
        if let Some(pager) = self.pagers.get(id) {
            self.dereference(pager.object);
        }
    }

    /// The pager says how its object is to be treated, and that it is ready.
    ///
    /// # Errors
    /// `Terminated`: the object has ended, or is dead.
    pub fn set_pager_attributes(
        &mut self,
        id: PagerId,
        attributes: PagerAttributes,
    ) -> KernResult<()> {
        let pager = self.pagers.get_mut(id).ok_or(KernReturn::Terminated)?;
        if pager.state == PagerState::Dead {
            return Err(KernReturn::Terminated);
        }
        pager.attributes = attributes;
        if pager.state == PagerState::Told {
            self.change_state(id, PagerState::Ready);
        }
        if !attributes.may_cache {
            self.end_cached(id);
        }
        Ok(())
    }

    /// The pager will not answer any more: what is missing stays so. What is there stays, too.
    pub fn abandon_pager(&mut self, id: PagerId) {
        let Some(pager) = self.pagers.get(id) else {
            return;
        };
        if pager.state == PagerState::Dead {
            return;
        }
        self.bury(id);
        self.end_cached(id);
    }

    fn bury(&mut self, id: PagerId) {
        let pager = node(&self.pagers, id);
        if pager.state != PagerState::Dead {
            let port = pager.ports.object.index();
            self.pagers_by_port
                .remove(&mut ByPort(&mut self.pagers), port);
            self.change_state(id, PagerState::Dead);
            self.lose_store(id);
        }
    }

    /// A port has died that may have been a memory object's.
    pub fn port_died(&mut self, port: PortId) {
        if let Some(id) = self.pager_at(port) {
            self.abandon_pager(id);
        }
    }

    /// What was cached and is not to be any more goes.
    fn end_cached(&mut self, id: PagerId) {
        if node(&self.pagers, id).cached.is_in {
            self.uncache(id);
            self.leave_pager(id);
        }
    }

    /// Whether a memory object that no one maps keeps its pages.
    pub(super) fn stays_cached(&self, id: PagerId) -> bool {
        self.pagers
            .get(id)
            .is_some_and(|pager| pager.state == PagerState::Ready && pager.attributes.may_cache)
    }

    fn change_state(&mut self, id: PagerId, state: PagerState) {
        let pager = node_mut(&mut self.pagers, id);
        pager.state = state;
        pager.cursor = 0;
        self.list_pager(id);
    }

    /// A memory object's pages and references are gone.
    pub(super) fn finish_pager(&mut self, id: PagerId) {
        self.bury(id);
        node_mut(&mut self.pagers, id).finished = true;
        self.list_pager(id);
    }

    pub(super) fn list_pager(&mut self, id: PagerId) {
        let first = self.busy_pagers;
        let pager = node_mut(&mut self.pagers, id);
        if core::mem::take(&mut pager.held) {
            self.held_pagers -= 1;
        }
        if !pager.listed {
            pager.listed = true;
            pager.next = first;
            self.busy_pagers = Some(id);
        }
    }

    /// Forgets a memory object whose end was told, and its record with it.
    pub fn remove_pager<M: Machine>(&mut self, context: &mut Context<'_, M>, id: PagerId) {
        let Some(pager) = self.pagers.get(id) else {
            return;
        };
        debug_assert!(pager.finished && self.busy_pagers == Some(id));
        let object = pager.object;
        self.busy_pagers = pager.next;
        self.pagers.remove(id);
        if let Some(ledger) = self.object(object).ledger {
            context.release(ledger, Resource::KernelBytes, PAGER_BYTES);
        }
        self.remove_object(context, object);
    }

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
        if state == PagerState::Dead || failed.is_some_and(|key| key[1] == stall.page << 2 | 2) {
            return Err(KernReturn::MemoryError);
        }
        let key = (stall.pager.index(), stall.page);
        if let Some(known) = self.requests_by_page.find(&ByPage(&mut self.requests), key) {
            let id = self.requests.id_at(known);
            let id = id.ok_or(KernReturn::MemoryFailure)?;
            let key = key_of(id, stall.page);
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
            key: key_of(request, stall.page),
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

    /// The first unanswered request for a page of a pager from `page` on.
    pub(super) fn next_request(&mut self, pager: PagerId, page: u64) -> Option<u64> {
        let key = (pager.index(), page);
        let found = self
            .requests_by_page
            .ceiling(&ByPage(&mut self.requests), key)?;
        let request = self.requests.at(found)?;
        (request.pager == pager.index()).then_some(request.page)
    }

    /// The same, and what was asked.
    pub(super) fn next_question(&mut self, pager: PagerId, page: u64) -> Option<(u64, Question)> {
        let page = self.next_request(pager, page)?;
        let key = (pager.index(), page);
        let found = self
            .requests_by_page
            .find(&ByPage(&mut self.requests), key)?;
        Some((page, self.requests.at(found)?.question))
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
                key: key_of(id, request.page),
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
            if state == PagerState::Dead {
                self.answer_page(id, page, Answer::Failed);
                return Some(Effect::Nothing);
            }
            return Some(self.ask_late((id, port), page));
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

    /// Whether what is known of pagers and requests agrees.
    pub(super) fn check_pagers(&self) -> Result<(), super::Broken> {
        for index in 0..self.requests.end() {
            let Some(request) = self.requests.at(index) else {
                continue;
            };
            let answered = self.is_answered(index);
            let pager = self.pagers.at(request.pager);
            if !answered && pager.is_none() {
                return Err("a request outlived its pager");
            }
            if !answered && pager.is_some_and(|p| p.state == PagerState::Dead && !p.listed) {
                return Err("a request waits for a dead pager");
            }
            let same = |other: u32| {
                self.requests
                    .at(other)
                    .is_some_and(|other| (other.pager, other.page) == (request.pager, request.page))
            };
            if !answered && (0..index).any(|other| same(other) && !self.is_answered(other)) {
                return Err("a page is asked for twice");
            }
        }
        for index in 0..self.pagers.end() {
            let Some(id) = self.pagers.id_at(index) else {
                continue;
            };
            let pager = node(&self.pagers, id);
            if self.object(pager.object).kind != Kind::Paged(id) {
                return Err("a memory object does not know its pager");
            }
        }
        Ok(())
    }

    fn is_answered(&self, index: u32) -> bool {
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
