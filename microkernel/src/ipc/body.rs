//! What a message carries beside its words: inline data, port rights, memory.
//!
//! On the way in (`copy_in`), every descriptor is read once into a kernel value, and inline data is copied into pages
//! of the message's own; from then on nothing that the sender does changes the message. On the way out
//! (`deliver`), both go into the receiver's buffer. What fails on the way in destroys the message (M-08); what fails
//! on the way out delivers the rest (M-22).

use abi::kern_return::{KernReturn, MessageReturn};
use abi::message::MAX_DESCRIPTORS;
use abi::names::Name;
use arena::Arena;

use super::array::Placed;
use super::layout::PAGE;
use super::message::Message;
use super::right::Right;
use super::stage::Stage;
use super::{Context, Ipc};
use crate::base::Shortage;
use crate::base::ids::{ArrayId, BodyId, BodyKind, PortId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Machine, Page};
use crate::vm::{BUFFER_PAGES, CopyId, STALLED};

/// What one descriptor carries.
#[derive(Debug)]
pub enum Carried {
    /// A port right.
    Port(Right),
    /// Memory; `None` for a size of 0.
    Memory(Option<CopyId>, u64),
    /// A port right that the receiver has already: its name and disposition.
    Named(Name, u8),
    /// An array of port rights.
    Ports(ArrayId),
    /// An array whose rights the receiver has already.
    Placed(Placed),
    /// Memory that the receiver has already: address and bytes.
    Mapped(u64, u64),
}

/// What a sender is told whose memory could not be copied. [`STALLED`] stays what it is: the send goes on when a page is there.
pub(super) fn memory_error(code: KernReturn) -> MessageReturn {
    match code {
        STALLED => MessageReturn(STALLED.0),
        KernReturn::ResourceShortage => MessageReturn::SendNoBuffer,
        _ => MessageReturn::SendInvalidMemory,
    }
}

/// Data and rights of a queued message.
#[derive(Debug)]
pub struct Body {
    pub(super) carried: heapless::Vec<Carried, MAX_DESCRIPTORS>,
    pub(super) pages: heapless::Vec<Page, BUFFER_PAGES>,
    pub(super) size: usize,
    /// How many rights its arrays have.
    pub(super) ports: u32,
    /// The arrays have rights that must not come to the port that the message goes to.
    pub(super) circular: bool,
    /// What went wrong with arrays that the receiver has.
    pub(super) code: u32,
    /// What its thread is at with it.
    pub(super) stage: Stage,
}

impl Body {
    /// One without pages, and with no rights yet.
    pub(super) fn new(size: usize) -> Self {
        Self {
            carried: empty(),
            pages: empty(),
            size,
            ports: 0,
            circular: false,
            code: 0,
            stage: Stage::Whole,
        }
    }

    /// Pages for the inline data. What is there when it fails is freed with the body.
    pub(super) fn allocate_pages<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        payer: LedgerId,
    ) -> Result<(), Shortage> {
        for _ in 0..self.size.div_ceil(PAGE) {
            cx.ledgers.charge(payer, Resource::Pages, 1)?;
            let page = cx.machine.allocate_page().ok_or(()).and_then(|page| {
                self.pages
                    .push(page)
                    .map_err(|page| cx.machine.free_page(page))
            });
            page.map_err(|()| {
                cx.ledgers.release(payer, Resource::Pages, 1);
                Shortage
            })?;
        }
        Ok(())
    }
}

/// A list without elements. That of `heapless::Vec::new` is a constant, with which the compiler clears the places, too.
fn empty<T, const N: usize>() -> heapless::Vec<T, N> {
    core::iter::empty().collect()
}

/// All bodies.
pub type Bodies = Arena<Body, BodyKind>;

impl Ipc {
    /// A body without pages, and with no rights yet.
    pub(super) fn new_body(&mut self, size: usize) -> Result<BodyId, Shortage> {
        Ok(self.bodies.insert(Body::new(size))?)
    }

    /// Whether a body has arrays that are nowhere yet.
    pub(super) fn has_arrays(&self, id: BodyId) -> bool {
        let is_array = |carried: &Carried| matches!(carried, Carried::Ports(_));
        self.bodies
            .get(id)
            .is_some_and(|body| body.carried.iter().any(is_array))
    }

    /// Ends a body and all that it carries.
    pub(super) fn destroy_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: BodyId,
        payer: Option<LedgerId>,
    ) {
        let body = self.bodies.get_mut(id);
        let carried = body.map(|body| core::mem::take(&mut body.carried));
        let carried = carried.unwrap_or_default();
        self.spent = self.spent.saturating_add(carried.len() as u32);
        // In the order in which they were sent: what follows shows.
        for carried in carried {
            self.end_carried(cx, carried);
        }
        self.free_body(cx, id, payer);
    }

    /// Ends what a message carried and nobody took.
    pub fn end_carried<M: Machine>(&mut self, cx: &mut Context<'_, M>, carried: Carried) {
        match carried {
            Carried::Port(right) => self.release(right),
            Carried::Ports(array) => self.end_array(array),
            // What a receiver has got stays there.
            Carried::Named(..)
            | Carried::Memory(None, _)
            | Carried::Placed(_)
            | Carried::Mapped(..) => {}
            Carried::Memory(Some(copy), _) => {
                let (vm, mut context) = cx.vm();
                vm.copy_discard(&mut context, copy);
            }
        }
    }

    /// How many pages a message's inline data takes.
    pub(crate) fn body_pages(&self, message: &Message) -> u64 {
        let body = message.body.and_then(|body| self.bodies.get(body));
        body.map_or(0, |body| body.pages.len() as u64)
    }

    /// Gives back a body's pages and its place.
    pub(super) fn free_body<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: BodyId,
        payer: Option<LedgerId>,
    ) {
        let Some(body) = self.bodies.get(id) else {
            return;
        };
        for page in &body.pages {
            cx.machine.free_page(*page);
            if let Some(payer) = payer {
                cx.ledgers.release(payer, Resource::Pages, 1);
            }
        }
        self.bodies.discard(id);
    }

    /// Whether a message that is about to be queued at `port` carries the receive right that the port itself
    /// travels behind (M-26). Notes, for the next such question, where its receive rights go; arrays did so before.
    pub(super) fn closes_circle(&mut self, body: Option<BodyId>, port: PortId) -> bool {
        let Some(body) = self.bodies.find(body) else {
            return false;
        };
        if body.circular {
            return true;
        }
        let rights = body.carried.iter().filter_map(|carried| match carried {
            Carried::Port(Right::Receive(id)) => Some(*id),
            _ => None,
        });
        if rights.clone().next().is_none() {
            return false;
        }
        let moved: heapless::Vec<PortId, MAX_DESCRIPTORS> = rights.collect();
        if moved.iter().any(|id| self.travels_behind(port, *id)) {
            return true;
        }
        for id in moved {
            self.set_carrier(id, Some(port));
        }
        false
    }
}
