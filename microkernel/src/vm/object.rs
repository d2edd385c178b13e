//! [`Object`]: what holds pages, and the references to it.
//!
//! Key: an object's *kind* says where its pages come from.

use core::ops::RangeInclusive;

use abi::kern_return::KernReturn;

use super::marks::{Content, Marks};
use super::pager::PAGER_BYTES;
use super::resident::{Node, Residents};
use super::shadow::{Backing, Shadows, Siblings};
use super::tree::{node, node_mut};
use super::{Context, ObjectId, PagerId, Vm, cost};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Caching, LARGE, Machine, Page};

/// Copies of an object with this many objects behind it are made at once: a chain does not get longer.
pub(super) const MAX_CHAIN: u32 = 16;

/// Where an object's pages come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Zeros, until they are written.
    Anonymous,
    /// Pages that exist, from this one on, and that are not this layer's to free.
    Physical {
        first: Page,
        caching: Caching,
        /// Whether anybody may write: if not, a copy needs no pages of its own.
        writable: bool,
    },
    /// From this pager, as it supplies them.
    Paged(PagerId),
}

/// A container of pages, numbered from 0.
pub struct Object {
    pub(super) kind: Kind,
    /// In pages.
    pub(super) size: u64,
    pub(super) references: u32,
    pub(super) pages: Residents,
    pub(super) backing: Option<Backing>,
    /// Those that have this one as their backing.
    pub(super) shadows: Shadows,
    /// Its neighbours among its backing's shadows.
    pub(super) siblings: Siblings,
    /// What is behind it changed, and it could not keep what was there: what it has no page for is an error.
    pub(super) lost: bool,
    /// Who pays for pages and for the object. Nobody pays for what the kernel made at boot.
    pub(super) ledger: Option<LedgerId>,
    /// More than one map may write it, or a memory entry reaches it. It then never needs a copy, it
    /// is copied at once; and where a backing shows through, readers get a page of their own too.
    pub(super) shared: bool,
    /// It was made of large pages, and may have some still.
    pub(super) large: bool,
    /// A piece of a copy may show its pages: none of them leaves memory.
    pub(super) in_flight: bool,
    /// The batch in which pages of it are being unmapped everywhere, if that is the present one.
    pub(super) batch: u32,
    /// It is in [`Vm::unsettled`]'s list, and this is the next one.
    pub(super) listed: bool,
    pub(super) next: Option<ObjectId>,
}

/// A page that an object shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) page: Page,
    pub(super) caching: Caching,
    /// How many shadows it shows through; 0: it is the object's own.
    pub(super) depth: u32,
    /// A pager supplied it.
    pub(super) paged: bool,
    /// It is a device's.
    pub(super) device: bool,
    /// Nobody has used it for a while.
    pub(super) idle: bool,
    /// The object whose own it is, and where there.
    pub(super) holder: (ObjectId, u64),
}

/// What an object shows at an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shown {
    /// A page in memory.
    Page(Found),
    /// One that was put away.
    Stored(Stored),
}

/// Where an object has a page that was put away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stored {
    pub(super) object: ObjectId,
    pub(super) index: u64,
    pub(super) number: u32,
}

impl Object {
    fn new(kind: Kind, size: u64, ledger: Option<LedgerId>) -> Self {
        Self {
            kind,
            size,
            references: 1,
            pages: Residents::new(),
            backing: None,
            shadows: Shadows::default(),
            siblings: Siblings::default(),
            lost: false,
            ledger,
            shared: false,
            large: false,
            in_flight: false,
            batch: 0,
            listed: false,
            next: None,
        }
    }

    /// What it costs its ledger beside its pages.
    pub(super) fn bytes(&self) -> u64 {
        let pager = match self.kind {
            Kind::Paged(_) => PAGER_BYTES,
            Kind::Anonymous | Kind::Physical { .. } => 0,
        };
        cost::<Self>() + pager + u64::from(self.pages.nodes()) * cost::<Node>()
    }

    /// Whether the pages are this layer's, and no map but one may write any of them.
    pub(super) fn is_private(&self) -> bool {
        self.kind == Kind::Anonymous && !self.shared
    }

    /// Whether what a `needs_copy` reference sees can never change, so that a copy may wait.
    pub(super) fn copies_lazily(&self) -> bool {
        match self.kind {
            Kind::Anonymous => !self.shared,
            Kind::Physical { writable, .. } => !writable,
            // What is written through other mappings shows.
            Kind::Paged(_) => false,
        }
    }

    pub(super) fn is_paged(&self) -> bool {
        matches!(self.kind, Kind::Paged(_))
    }

    /// Whether its pages are a device's, however they are cached: nothing that the kernel may read as memory. What exists
    /// by itself and is memory, nobody may write.
    pub(super) fn is_device(&self) -> bool {
        matches!(self.kind, Kind::Physical { writable: true, .. })
    }
}

impl Vm {
    /// A new object of `size` pages with one reference, which is the caller's.
    pub(super) fn create_object<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        kind: Kind,
        size: u64,
        ledger: Option<LedgerId>,
    ) -> KernResult<ObjectId> {
        if let Some(ledger) = ledger {
            context.charge(ledger, Resource::KernelBytes, cost::<Object>())?;
        }
        self.objects
            .insert(Object::new(kind, size, ledger))
            .map_err(|_| {
                if let Some(ledger) = ledger {
                    context.release(ledger, Resource::KernelBytes, cost::<Object>());
                }
                KernReturn::ResourceShortage
            })
    }

    /// # Panics
    /// When a reference outlived its object.
    pub(super) fn object(&self, id: ObjectId) -> &Object {
        node(&self.objects, id)
    }

    pub(super) fn object_mut(&mut self, id: ObjectId) -> &mut Object {
        node_mut(&mut self.objects, id)
    }

    pub(super) fn reference(&mut self, id: ObjectId) {
        self.object_mut(id).references += 1;
    }

    /// Gives a reference back. The object goes, or is merged with its only shadow, in [`Vm::settle`].
    pub(super) fn dereference(&mut self, id: ObjectId) {
        let object = self.object_mut(id);
        object.references -= 1;
        let settles =
            object.references == 0 || (object.references == 1 && object.shadows.count == 1);
        if settles && !object.listed {
            object.listed = true;
            let next = self.unsettled.replace(id);
            self.settled = false;
            self.object_mut(id).next = next;
        }
    }

    /// What an object shows at an index.
    pub(super) fn find(&self, object: ObjectId, index: u64) -> Option<Shown> {
        let (mut object, mut index, mut depth) = (object, index, 0);
        loop {
            let here = self.object(object);
            let found = |page, caching, idle| Found {
                page,
                caching,
                depth,
                paged: here.is_paged(),
                device: here.is_device(),
                idle,
                holder: (object, index),
            };
            if let Kind::Physical { first, caching, .. } = here.kind {
                let page = u32::try_from(index).ok()?.checked_add(first.0)?;
                let page = Page(page);
                return (index < here.size).then_some(Shown::Page(found(page, caching, false)));
            }
            match here.pages.look(&self.residents, index) {
                Some((Content::Page(page), marks)) => {
                    let idle = marks.intersects(Marks::UNUSED);
                    return Some(Shown::Page(found(page, Caching::WriteBack, idle)));
                }
                Some((Content::Stored(number), _)) => {
                    return Some(Shown::Stored(Stored {
                        object,
                        index,
                        number,
                    }));
                }
                None => {}
            }
            if here.lost {
                return None;
            }
            let backing = here.backing?;
            object = backing.object;
            index = index.checked_add(backing.index)?;
            depth += 1;
        }
    }

    /// The page that an object shows at an index, if it is in memory.
    pub(super) fn find_in_memory(&self, object: ObjectId, index: u64) -> Option<Found> {
        match self.find(object, index)? {
            Shown::Page(found) => Some(found),
            Shown::Stored(_) => None,
        }
    }

    /// The page that an object shows at an index. One that was put away is brought back.
    ///
    /// # Errors
    /// [`STALLED`](super::STALLED): it is on its way. `MemoryError`: it cannot be brought back.
    pub(super) fn find_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) -> KernResult<Option<Found>> {
        match self.find(object, index) {
            Some(Shown::Page(found)) => return Ok(Some(found)),
            Some(Shown::Stored(stored)) => self.fetch(context, stored)?,
            None => return Ok(None),
        }
        Ok(self.find_in_memory(object, index))
    }

    /// A page of the object's own at an index where it has none; its content is undefined.
    pub(super) fn add_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) -> KernResult<Page> {
        let ledger = self
            .object(object)
            .ledger
            .ok_or(KernReturn::ResourceShortage)?;
        context.charge(ledger, Resource::Pages, 1)?;
        let Some(page) = self.allocate_page(context, ledger) else {
            context.release(ledger, Resource::Pages, 1);
            return Err(KernReturn::ResourceShortage);
        };
        let content = Content::Page(page);
        if let Err(shortage) = self.attach_page(context, object, (index, content)) {
            context.machine.free_page(page);
            context.release(ledger, Resource::Pages, 1);
            return Err(shortage);
        }
        Ok(page)
    }

    /// Puts what is in no object into one. The charge for it is the caller's matter.
    pub(super) fn attach_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        (index, content): (u64, Content),
    ) -> KernResult<()> {
        let here = node_mut(&mut self.objects, object);
        let placed = here.pages.insert(&mut self.residents, index, content);
        if placed.is_ok() {
            return Ok(());
        }
        self.make_place(context, object, index)?;
        let here = node_mut(&mut self.objects, object);
        let placed = here.pages.insert(&mut self.residents, index, content);
        debug_assert!(placed.is_ok());
        Ok(())
    }

    /// Sees to it that [`attach_page`](Self::attach_page) cannot fail for an index.
    pub(super) fn make_place<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) -> KernResult<()> {
        let here = node_mut(&mut self.objects, object);
        let missing = here.pages.missing(&self.residents, index);
        if missing == 0 {
            return Ok(());
        }
        let (ledger, before) = (here.ledger, here.pages.nodes());
        let bytes = u64::from(missing) * cost::<Node>();
        if let Some(ledger) = ledger {
            context.charge(ledger, Resource::KernelBytes, bytes)?;
        }
        let here = node_mut(&mut self.objects, object);
        let made = here.pages.reserve(&mut self.residents, index);
        let rest = missing - (here.pages.nodes() - before);
        if let Some(ledger) = ledger.filter(|_| rest > 0) {
            let bytes = u64::from(rest) * cost::<Node>();
            context.release(ledger, Resource::KernelBytes, bytes);
        }
        made.map_err(|_| KernReturn::ResourceShortage)
    }

    /// Takes what an object has at an index out of it. The charge for it is the caller's matter.
    pub(super) fn detach_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) -> Option<Content> {
        let here = node_mut(&mut self.objects, object);
        let before = here.pages.nodes();
        let content = here.pages.remove(&mut self.residents, index);
        self.release_nodes(context, object, before);
        content
    }

    /// Frees the nodes of an object without pages.
    pub(super) fn prune_pages<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
    ) {
        let here = node_mut(&mut self.objects, object);
        let before = here.pages.nodes();
        here.pages.prune(&mut self.residents);
        self.release_nodes(context, object, before);
    }

    /// Gives back what was charged for nodes that are gone.
    pub(super) fn release_nodes<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        before: u32,
    ) {
        let here = self.object(object);
        let gone = before - here.pages.nodes();
        if let Some(ledger) = here.ledger.filter(|_| gone > 0) {
            let bytes = u64::from(gone) * cost::<Node>();
            context.release(ledger, Resource::KernelBytes, bytes);
        }
    }

    /// Frees pages of an object in a range, at most `limit` and as many as lie together, or a large page; says how many. Nothing
    /// maps them any more.
    pub(super) fn drop_run<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        range: RangeInclusive<u64>,
        limit: u64,
    ) -> u64 {
        if let Some((first, pages)) = self.first_large(object, &range) {
            self.free_large(context, object, (first, pages));
            return LARGE;
        }
        // A run lies in one node.
        let mut stored: heapless::Vec<u32, 64> = heapless::Vec::new();
        let here = node_mut(&mut self.objects, object);
        let before = here.pages.nodes();
        let gone =
            here.pages
                .take_run(&mut self.residents, range, limit, |content| match content {
                    Content::Page(page) => context.machine.free_page(page),
                    Content::Stored(number) => {
                        let kept = stored.push(number);
                        debug_assert!(kept.is_ok(), "more than a node has");
                    }
                });
        if let Some(ledger) = here.ledger.filter(|_| gone > 0) {
            if !stored.is_empty() {
                context.ledgers.bring_back(ledger, stored.len() as u64);
            }
            context.release(ledger, Resource::Pages, gone);
        }
        self.release_nodes(context, object, before);
        for number in stored {
            self.forget_stored(context, number);
        }
        gone
    }

    /// Frees a page of an object. Nothing maps it any more.
    pub(super) fn drop_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        index: u64,
    ) {
        match self.detach_page(context, object, index) {
            Some(Content::Page(page)) => context.machine.free_page(page),
            Some(Content::Stored(number)) => {
                self.forget_stored(context, number);
                if let Some(ledger) = self.object(object).ledger {
                    context.ledgers.bring_back(ledger, 1);
                }
            }
            None => return,
        }
        if let Some(ledger) = self.object(object).ledger {
            context.release(ledger, Resource::Pages, 1);
        }
    }

    /// Lets another ledger pay for an object and its pages.
    pub(super) fn change_payer<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        to: LedgerId,
    ) -> KernResult<()> {
        let here = self.object(object);
        let (from, pages, bytes) = (here.ledger, here.pages.len(), here.bytes());
        let away = here.pages.stored();
        if from == Some(to) {
            return Ok(());
        }
        context.charge(to, Resource::KernelBytes, bytes)?;
        if let Err(shortage) = context.charge(to, Resource::Pages, pages) {
            context.release(to, Resource::KernelBytes, bytes);
            return Err(shortage);
        }
        if away > 0 {
            context.ledgers.move_away((from, Some(to)), away);
        }
        if let Some(from) = from {
            // What is never nothing last: a dead task's ledger may go with it.
            context.release(from, Resource::Pages, pages);
            context.release(from, Resource::KernelBytes, bytes);
        }
        self.object_mut(object).ledger = Some(to);
        Ok(())
    }

    /// How many pages of its own an object has below an index.
    pub(super) fn resident_below(&self, object: ObjectId, index: u64) -> u64 {
        self.object(object).pages.below(&self.residents, index)
    }

    /// How many of them were put away.
    pub(super) fn stored_below(&self, object: ObjectId, index: u64) -> u64 {
        let here = self.object(object);
        here.pages.stored_below(&self.residents, index)
    }

    /// The first page of its own that an object has at or after an index.
    pub(super) fn resident_from(&self, object: ObjectId, index: u64) -> Option<u64> {
        let (index, _) = self.object(object).pages.next(&self.residents, index)?;
        Some(index)
    }
}
