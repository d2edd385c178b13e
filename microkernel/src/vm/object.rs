//! [`Object`]: what holds pages, and the references to it.
//!
//! Key: an object's *kind* says where its pages come from. A pager will be a further kind.

use abi::kern_return::KernReturn;
use arena::Arena;

use super::tree::{Links, Node, Tree, node, node_mut};
use super::{Context, ObjectId, ResidentId, Vm, cost};
use crate::base::KernResult;
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::{Caching, Machine, Page};

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
}

/// The object that shows through where a shadow has no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Backing {
    pub(super) object: ObjectId,
    /// The page of it that lies behind the shadow's first one.
    pub(super) index: u64,
}

/// A container of pages, numbered from 0.
pub struct Object {
    pub(super) kind: Kind,
    /// In pages.
    pub(super) size: u64,
    pub(super) references: u32,
    pub(super) pages: Tree<Resident>,
    pub(super) resident: u64,
    pub(super) backing: Option<Backing>,
    /// How many objects have this one as their backing.
    pub(super) shadows: u32,
    /// The exclusive or of their arena indices: with one shadow, its index.
    pub(super) shadow_sum: u32,
    /// Who pays for pages and for the object. Nobody pays for what the kernel made at boot.
    pub(super) ledger: Option<LedgerId>,
    /// More than one map may write it, or a memory entry reaches it. It then never needs a copy, it
    /// is copied at once; and where a backing shows through, readers get a page of their own too.
    pub(super) shared: bool,
    /// It is in [`Vm::unsettled`]'s list, and this is the next one.
    pub(super) listed: bool,
    pub(super) next: Option<ObjectId>,
}

/// A page of an anonymous object.
pub struct Resident {
    pub(super) index: u64,
    pub(super) page: Page,
    /// Pages in this subtree.
    count: u32,
    links: Links<Self>,
}

impl Node for Resident {
    type Summary = u32;

    fn key(&self) -> u64 {
        self.index
    }

    fn links(&self) -> &Links<Self> {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links<Self> {
        &mut self.links
    }

    fn summary(&self) -> u32 {
        self.count
    }

    fn summarize(&mut self, left: Option<u32>, right: Option<u32>) {
        self.count = 1 + left.unwrap_or(0) + right.unwrap_or(0);
    }
}

/// A page that an object shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) page: Page,
    pub(super) caching: Caching,
    /// How many shadows it shows through; 0: it is the object's own.
    pub(super) depth: u32,
}

impl Object {
    fn new(kind: Kind, size: u64, ledger: Option<LedgerId>) -> Self {
        Self {
            kind,
            size,
            references: 1,
            pages: Tree::new(),
            resident: 0,
            backing: None,
            shadows: 0,
            shadow_sum: 0,
            ledger,
            shared: false,
            listed: false,
            next: None,
        }
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
        }
    }

    pub(super) fn is_device(&self) -> bool {
        matches!(
            self.kind,
            Kind::Physical {
                caching: Caching::Uncached,
                ..
            }
        )
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
        let settles = object.references == 0 || (object.references == 1 && object.shadows == 1);
        if settles && !object.listed {
            object.listed = true;
            let next = self.unsettled.replace(id);
            self.object_mut(id).next = next;
        }
    }

    /// A shadow in front of `backing`, with one reference; takes over the caller's reference to `backing`.
    pub(super) fn create_shadow<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        backing: Backing,
        size: u64,
        ledger: LedgerId,
    ) -> KernResult<ObjectId> {
        let shadow = self.create_object(context, Kind::Anonymous, size, Some(ledger))?;
        self.object_mut(shadow).backing = Some(backing);
        let behind = self.object_mut(backing.object);
        behind.shadows += 1;
        behind.shadow_sum ^= shadow.index();
        Ok(shadow)
    }

    /// The page that an object shows at an index.
    pub(super) fn find_page(&self, object: ObjectId, index: u64) -> Option<Found> {
        let (mut object, mut index, mut depth) = (object, index, 0);
        loop {
            let here = self.object(object);
            if let Kind::Physical { first, caching, .. } = here.kind {
                let page = u32::try_from(index).ok()?.checked_add(first.0)?;
                return (index < here.size).then_some(Found {
                    page: Page(page),
                    caching,
                    depth,
                });
            }
            if let Some(id) = here.pages.find(&self.residents, index) {
                return Some(Found {
                    page: node(&self.residents, id).page,
                    caching: Caching::WriteBack,
                    depth,
                });
            }
            let backing = here.backing?;
            object = backing.object;
            index = index.checked_add(backing.index)?;
            depth += 1;
        }
    }

    /// How many objects lie behind this one.
    pub(super) fn chain(&self, object: ObjectId) -> u32 {
        let (mut object, mut depth) = (object, 0);
        while let Some(backing) = self.object(object).backing {
            object = backing.object;
            depth += 1;
        }
        depth
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
        let Some(page) = context.machine.allocate_page() else {
            context.release(ledger, Resource::Pages, 1);
            return Err(KernReturn::ResourceShortage);
        };
        let resident = Resident {
            index,
            page,
            count: 1,
            links: Links::new(),
        };
        let Ok(id) = self.residents.insert(resident) else {
            context.machine.free_page(page);
            context.release(ledger, Resource::Pages, 1);
            return Err(KernReturn::ResourceShortage);
        };
        self.attach_page(object, id);
        Ok(page)
    }

    /// Puts a page that is in no object into one. The charge is the caller's matter.
    pub(super) fn attach_page(&mut self, object: ObjectId, id: ResidentId) {
        let here = node_mut(&mut self.objects, object);
        here.pages.insert(&mut self.residents, id);
        here.resident += 1;
    }

    /// Takes a page out of its object. The charge is the caller's matter.
    pub(super) fn detach_page(&mut self, object: ObjectId, id: ResidentId) {
        let here = node_mut(&mut self.objects, object);
        here.pages.remove(&mut self.residents, id);
        here.resident -= 1;
    }

    /// Frees a page of an object. Nothing maps it any more.
    pub(super) fn drop_page<M: Machine>(
        &mut self,
        context: &mut Context<'_, M>,
        object: ObjectId,
        id: ResidentId,
    ) {
        self.detach_page(object, id);
        if let Some(resident) = self.residents.remove(id) {
            context.machine.free_page(resident.page);
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
        let (from, pages) = (self.object(object).ledger, self.object(object).resident);
        if from == Some(to) {
            return Ok(());
        }
        context.charge(to, Resource::KernelBytes, cost::<Object>())?;
        if let Err(shortage) = context.charge(to, Resource::Pages, pages) {
            context.release(to, Resource::KernelBytes, cost::<Object>());
            return Err(shortage);
        }
        if let Some(from) = from {
            context.release(from, Resource::KernelBytes, cost::<Object>());
            context.release(from, Resource::Pages, pages);
        }
        self.object_mut(object).ledger = Some(to);
        Ok(())
    }

    /// How many pages of its own an object has below an index.
    pub(super) fn resident_below(&self, object: ObjectId, index: u64) -> u64 {
        let mut at = self.object(object).pages.root();
        let mut below = 0;
        while let Some(id) = at {
            let here = node(&self.residents, id);
            if here.index < index {
                let left = here.links.left.map(|id| node(&self.residents, id).count);
                below += 1 + u64::from(left.unwrap_or(0));
                at = here.links.right;
            } else {
                at = here.links.left;
            }
        }
        below
    }
}

/// The first page of a tree at or after an index.
pub(super) fn resident_from(
    residents: &Arena<Resident>,
    object: &Object,
    index: u64,
) -> Option<(ResidentId, u64)> {
    let id = object.pages.ceiling(residents, index)?;
    Some((id, node(residents, id).index))
}
