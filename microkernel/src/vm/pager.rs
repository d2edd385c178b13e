//! [`Pager`]: the kernel's side of a memory object whose pages a task supplies.
//!
//! A page that is missing is *asked* for once, whoever needs it: a [`Request`](super::Request) stands for the question until it
//! is answered, and who faults meanwhile waits for it by its key. This layer sends nothing and wakes nobody: the
//! access ends with [`STALLED`](super::STALLED), [`Vm::await_page`] says what the thread is to wait for and what the
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
use super::tree::{node, node_mut};
use super::{Context, ObjectId, PagerId, Vm, cost};
use crate::base::KernResult;
use crate::base::ids::{MessageId, PortId};
use crate::base::ledger::{LedgerId, Resource};
use crate::base::tree::{Links, Nodes};
use crate::machine::Machine;

/// Pages that an object of a pager has: as many as bytes can be counted.
const OBJECT_PAGES: u64 = u64::MAX / PAGE_SIZE;

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
    pub(super) cursor: u64,
    /// Counts the beginnings of steps of [`Order`](super::Order)s.
    pub(super) epoch: u32,
    /// Nobody refers to its object: it is to be emptied.
    pub(super) closing: bool,
    /// It has effects to come when it takes messages again.
    pub(super) held: bool,
    pub(super) cached: CachePlace,
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

/// Bytes that a memory object costs its pager beside the object.
pub(super) const PAGER_BYTES: u64 = cost::<Pager>() + 2048;

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
            self.look_up(id);
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
}
