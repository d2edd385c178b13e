//! The memory calls of a task's control port (`mach_vm`).
//!
//! A call whose steps cannot begin again with the same arguments keeps in the request how far it got ([`Made`]). When
//! a later step of such a call fails, wiring and remapping take back what earlier ones did; what was copied stays
//! copied. A caller that is ended or aborted between two steps leaves all as it is then.

use abi::PAGE_SIZE;
use abi::kern_return::KernReturn;
use abi::transport::{Error, Result};
use abi::vm::{attribute, behavior, map_flags, region};
use interfaces::vm::{Place, Region, Remapped, Statistics, Vm as VmCalls};

use super::entry_calls::{self, Parent};
use super::transport::{Extent, Held, KernelRights, Reply, Request, serve as dispatch};
use super::{Core, region_info};
use crate::base::KernResult;
use crate::base::ids::TaskId;
use crate::base::ledger::{LedgerId, Resource};
use crate::ipc::message::Made;
use crate::ipc::pager::MAX_RETURNS;
use crate::ipc::port::Object;
use crate::machine::Machine;
use crate::task::{self, Stage};
use crate::vm::{AHEAD, Aside, Contents, Cursor, MapId, MapRequest, Order, OrderStep, PagedPart};
use crate::vm::{Progress, Remap, STALLED, SizeLimit, Source, Sync};

/// Looks ahead that a step takes.
const LOOKS: u32 = 8;

/// A task whose memory is meant.
struct Memory<'a, 'k, M: Machine> {
    core: &'a mut Core<'k, M>,
    id: TaskId,
}

#[inline(never)]
pub(super) fn serve<M: Machine>(core: &mut Core<'_, M>, id: TaskId, request: Request<'_>) -> Reply {
    dispatch::<dyn VmCalls, _>(Memory { core, id }, request)
}

impl<M: Machine> Memory<'_, '_, M> {
    fn alive(&self, id: TaskId) -> KernResult<&task::Task> {
        self.core
            .tasks
            .get(id)
            .filter(|task| task.stage == Stage::Alive)
            .ok_or(KernReturn::InvalidTask)
    }

    /// The map of a task that lives.
    fn map_of(&self, held: &Held) -> KernResult<MapId> {
        match self.core.object_of(held)? {
            Object::Task(task) => Ok(self.alive(task)?.map),
            _ => Err(KernReturn::InvalidRight),
        }
    }

    fn target(&self) -> KernResult<MapId> {
        Ok(self.alive(self.id)?.map)
    }

    fn ledger(&self) -> KernResult<LedgerId> {
        Ok(self.alive(self.id)?.ledger)
    }

    /// How far earlier steps got: an address, or bytes.
    fn cursor(&self) -> u64 {
        match *self.core.made {
            Some(Made::At(at)) => at,
            _ => 0,
        }
    }

    /// Goes on from a cursor, unless that was all.
    fn until(&mut self, end: u64, step: KernResult<u64>) -> Result<()> {
        let at = step?;
        if at == end {
            return Ok(());
        }
        *self.core.made = Some(Made::At(at));
        Err(self.core.again())
    }

    fn map_at(&mut self, place: Place, flags: u64, source: Source) -> Result<u64> {
        let map = self.target()?;
        let request = MapRequest::decode((place.address, place.size), flags, source);
        let request = MapRequest {
            mask: place.mask,
            ..request
        };
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.map(&mut context, map, request);
        if let Source::Pager(pager, _) = source {
            vm.drop_pager(pager);
        }
        self.core.done(progress?)
    }

    /// Takes back what a call wired, downward; at last the code that it failed with.
    fn unwire_from(&mut self, range: (u64, u64), from: u64, code: KernReturn) -> Error {
        let Ok(map) = self.target() else {
            return code.into();
        };
        let (vm, mut context) = self.core.layers.vm();
        match vm.unwire_step(&mut context, map, range, from) {
            Ok(at) if at > range.0 => {
                *self.core.made = Some(Made::Undo(at, code));
                self.core.again()
            }
            _ => code.into(),
        }
    }

    /// Unmaps what a call mapped; at last the code that it failed with.
    fn unmap(&mut self, address: u64, size: u64, code: KernReturn) -> Error {
        let Ok(map) = self.target() else {
            return code.into();
        };
        let (vm, mut context) = self.core.layers.vm();
        match vm.deallocate(&mut context, map, address, size) {
            Ok(Progress::More) => {
                *self.core.made = Some(Made::Undo(address, code));
                self.core.again()
            }
            _ => code.into(),
        }
    }

    /// The steps of a remapping between its beginning and its end.
    fn remap_steps(&mut self, remap: &Remap, place: Option<(u64, u64)>) -> Result<u64> {
        let map = self.target()?;
        let (vm, mut context) = self.core.layers.vm();
        let whole = whole_size(remap.source_address, remap.size);
        let (address, done) = match place {
            Some(place) => place,
            None => (vm.remap_begin(&mut context, map, remap)?, 0),
        };
        match vm.remap_step(&mut context, map, remap, (address, done)) {
            Ok(done) if done == whole => Ok(address),
            Ok(done) => {
                *self.core.made = Some(Made::Mapped { address, done });
                Err(self.core.again())
            }
            Err(STALLED) => {
                *self.core.made = Some(Made::Mapped { address, done });
                Err(STALLED.into())
            }
            Err(code) => Err(self.unmap(address, whole, code)),
        }
    }

    fn discard(&mut self, range: (u64, u64), contents: Contents) -> Result<()> {
        let (map, from) = (self.target()?, self.cursor());
        let (vm, mut context) = self.core.layers.vm();
        let step = vm.discard_step(&mut context, map, range, contents, from);
        self.until(range_end(range), step)
    }

    /// Carries an order out for what a range shows of memory objects.
    fn order(&mut self, range: (u64, u64), order: &Order) -> Result<()> {
        let map = self.target()?;
        let (at, cursor) = match *self.core.made {
            Some(Made::Synced(at, cursor)) => (at, cursor),
            _ => (0, Cursor::at(0)),
        };
        let (vm, mut context) = self.core.layers.vm();
        let next = match vm.paged_part(map, range, at, order)? {
            PagedPart::Nothing => return Ok(()),
            PagedPart::Other(end) => (end, Cursor::at(0)),
            PagedPart::Object { pager, range, end } => {
                match vm.order_step(&mut context, (pager, range), order, cursor)? {
                    OrderStep::Done => (end, Cursor::at(0)),
                    OrderStep::More(cursor) => (at, cursor),
                    OrderStep::Return(cursor) => {
                        let layers = &mut self.core.layers;
                        let to = (pager, MAX_RETURNS);
                        layers.ipc.return_data(&mut layers.cx, to, cursor)?;
                        (at, cursor)
                    }
                }
            }
        };
        *self.core.made = Some(Made::Synced(next.0, next.1));
        Err(self.core.again())
    }

    /// Asks pagers for what a range lacks.
    fn ask_ahead(&mut self, range: (u64, u64)) -> Result<()> {
        let map = self.target()?;
        let (mut at, mut left) = match *self.core.made {
            Some(Made::Asked(at, left)) => (at, left),
            _ => {
                self.core.layers.cx.vm.check_mapped(map, range)?;
                (range.0, AHEAD)
            }
        };
        for _ in 0..LOOKS {
            let (vm, mut context) = self.core.layers.vm();
            let ahead = vm.look_ahead(&mut context, map, range, at)?;
            if let Some(ask) = ahead.ask {
                let layers = &mut self.core.layers;
                if layers.ipc.ask_pager(&mut layers.cx, &ask).is_err() {
                    // It is a wish.
                    layers.cx.vm.fail_request(ask.request);
                    return Ok(());
                }
                self.core.counters.paged_in += 1;
                if let Some(task) = self.core.tasks.arena.get_mut(self.id) {
                    task.events.paged_in = task.events.paged_in.wrapping_add(1);
                }
            }
            (at, left) = (ahead.next, left - u32::from(ahead.missing));
            if left == 0 || at >= range_end(range) {
                return Ok(());
            }
        }
        *self.core.made = Some(Made::Asked(at, left));
        Err(self.core.again())
    }

    /// Lets pages of a range go, now or soon: first those of memory objects, then others.
    fn set_aside(&mut self, range: (u64, u64), aside: Aside) -> Result<()> {
        if !matches!(*self.core.made, Some(Made::At(_))) {
            self.order(range, &aside.order())?;
            *self.core.made = Some(Made::At(range.0));
        }
        let (map, from) = (self.target()?, self.cursor());
        let (vm, mut context) = self.core.layers.vm();
        let step = vm.set_aside_step(&mut context, map, range, aside, from);
        self.until(range_end(range), step)
    }

    fn region_of(&self, address: u64) -> KernResult<crate::vm::RegionInfo> {
        self.core.layers.cx.vm.region(self.target()?, address)
    }
}

/// Bytes of the whole pages of a range, which does not wrap around.
fn whole_size(address: u64, size: u64) -> u64 {
    (address % PAGE_SIZE)
        .saturating_add(size)
        .checked_next_multiple_of(PAGE_SIZE)
        .unwrap_or(u64::MAX)
}

/// Where the whole pages of a range end, which does not wrap around.
fn range_end((address, size): (u64, u64)) -> u64 {
    (address - address % PAGE_SIZE).saturating_add(whole_size(address, size))
}

impl<M: Machine> VmCalls for Memory<'_, '_, M> {
    type Rights = KernelRights;

    async fn read(&mut self, address: u64, size: u64) -> Result<Extent> {
        let (map, payer) = (self.target()?, self.core.payer()?);
        let made = *self.core.made;
        let (vm, mut context) = self.core.layers.vm();
        let (copy, progress) = if let Some(Made::Copy(copy)) = made {
            (copy, vm.copy_more(&mut context, copy)?)
        } else {
            let after = crate::vm::After::Keep;
            let copy = vm.copy_out_for(&mut context, map, (address, size), after, payer)?;
            *self.core.made = Some(Made::Copy(copy));
            (copy, Progress::More)
        };
        if progress == Progress::More {
            let (vm, _) = self.core.layers.vm();
            if !vm.copy_is_whole(copy) {
                return Err(self.core.again());
            }
        }
        *self.core.made = None;
        Ok(Extent::Given(copy, size))
    }

    async fn write(&mut self, address: u64, data: Extent) -> Result<()> {
        let (map, done) = (self.target()?, self.cursor());
        let Some((copy, size)) = self.core.memory_of(&data)? else {
            return Ok(());
        };
        let (vm, mut context) = self.core.layers.vm();
        let step = vm.overwrite(&mut context, copy, (map, address), done);
        self.until(size, step)
    }

    async fn copy(&mut self, source: u64, size: u64, destination: u64) -> Result<()> {
        let (map, done) = (self.target()?, self.cursor());
        let (vm, mut context) = self.core.layers.vm();
        let (from, to) = ((map, source), (map, destination));
        let step = vm.copy_bytes(&mut context, from, to, (size, done));
        self.until(size, step)
    }

    async fn read_overwrite(&mut self, address: u64, size: u64, into: u64) -> Result<u64> {
        let (map, done) = (self.target()?, self.cursor());
        let own = self.alive(self.core.caller.task)?.map;
        let (vm, mut context) = self.core.layers.vm();
        let step = vm.copy_bytes(&mut context, (map, address), (own, into), (size, done));
        self.until(size, step)?;
        Ok(size)
    }

    async fn inherit(&mut self, address: u64, size: u64, inheritance: u32) -> Result<()> {
        let map = self.target()?;
        let (vm, mut context) = self.core.layers.vm();
        let progress = vm.inherit(&mut context, map, (address, size), inheritance)?;
        self.core.done(progress)
    }

    async fn map_anonymous(&mut self, place: Place, flags: u64) -> Result<u64> {
        self.map_at(place, flags, Source::Anonymous)
    }

    async fn map(&mut self, entry: Held, place: Place, offset: u64, flags: u64) -> Result<u64> {
        let (port, payer) = (self.core.port_of(&entry)?, self.ledger()?);
        self.target()?;
        let layers = &mut self.core.layers;
        let source = layers.ipc.map_source(&mut layers.cx, port, offset, payer)?;
        self.map_at(place, flags, source)
    }

    async fn remap(
        &mut self,
        source: Held,
        place: Place,
        source_address: u64,
        flags: u64,
    ) -> Result<Remapped> {
        let Place {
            address,
            size,
            mask,
        } = place;
        let whole = whole_size(source_address, size);
        let source = match (self.map_of(&source), *self.core.made) {
            (_, Some(Made::Undo(at, code))) => return Err(self.unmap(at, whole, code)),
            // It has ended since the last step.
            (Err(code), Some(Made::Mapped { address, .. })) => {
                return Err(self.unmap(address, whole, code));
            }
            (source, _) => source?,
        };
        let remap = Remap {
            source,
            source_address,
            size,
            address,
            mask,
            // A bit that nobody knows is a flag that nobody knows.
            flags: flags & !(3 << map_flags::INHERIT_SHIFT),
            inheritance: (flags >> map_flags::INHERIT_SHIFT & 3) as u32,
        };
        let address = match *self.core.made {
            Some(Made::Mapped { address, done }) => {
                self.remap_steps(&remap, Some((address, done)))?
            }
            _ => self.remap_steps(&remap, None)?,
        };
        let vm = &self.core.layers.cx.vm;
        let (protection, maximum) = vm.rights_in(self.target()?, address, whole)?;
        Ok(Remapped {
            address,
            protection,
            maximum,
        })
    }

    async fn region(&mut self, address: u64, flavor: u32, count: u32) -> Result<Region> {
        let needed = match flavor {
            region::BASIC_INFO_64 => region::BASIC_INFO_64_COUNT,
            region::EXTENDED_INFO => region::EXTENDED_INFO_COUNT,
            region::TOP_INFO => region::TOP_INFO_COUNT,
            _ => return Err(KernReturn::InvalidArgument.into()),
        };
        if count < needed {
            return Err(KernReturn::InvalidArgument.into());
        }
        let found = self.region_of(address)?;
        Ok(match flavor {
            region::BASIC_INFO_64 => region_info::basic(&found),
            region::EXTENDED_INFO => region_info::extended(&found),
            _ => region_info::top(&found),
        })
    }

    async fn region_recurse(&mut self, address: u64, _depth: u32, count: u32) -> Result<Region> {
        if count < region::SUBMAP_INFO_64_COUNT {
            return Err(KernReturn::InvalidArgument.into());
        }
        Ok(region_info::submap(&self.region_of(address)?))
    }

    async fn wire(&mut self, address: u64, size: u64, access: u32) -> Result<()> {
        let map = self.target()?;
        let start = address - address % PAGE_SIZE;
        let range = (start, whole_size(address, size));
        let end = start.checked_add(range.1);
        let end = end.ok_or(KernReturn::InvalidArgument)?;
        if let Some(Made::Undo(from, code)) = *self.core.made {
            return Err(self.unwire_from(range, from, code));
        }
        let (vm, mut context) = self.core.layers.vm();
        if access == abi::vm::protection::NONE {
            let from = match *self.core.made {
                Some(Made::At(at)) => at,
                _ => u64::MAX,
            };
            let step = vm.unwire_step(&mut context, map, range, from);
            return self.until(start, step);
        }
        let from = match *self.core.made {
            Some(Made::Wired(at)) => at,
            _ => 0,
        };
        match vm.wire_step(&mut context, map, range, access, from) {
            Ok(at) if at == end => Ok(()),
            Ok(at) => {
                *self.core.made = Some(Made::Wired(at));
                Err(self.core.again())
            }
            // It goes on from there, or is undone then.
            Err(STALLED) => Err(STALLED.into()),
            Err(code) if from > start => {
                *self.core.made = Some(Made::Undo(from, code));
                Err(self.core.again())
            }
            Err(code) => Err(code.into()),
        }
    }

    async fn behavior_set(&mut self, address: u64, size: u64, behavior: u32) -> Result<()> {
        let (map, range) = (self.target()?, (address, size));
        let (vm, mut context) = self.core.layers.vm();
        match behavior {
            behavior::DEFAULT..=behavior::REVERSE_SEQUENTIAL => {
                let progress = vm.set_behavior(&mut context, map, range, behavior)?;
                self.core.done(progress)
            }
            behavior::WILL_NEED => self.ask_ahead(range),
            behavior::DONT_NEED => {
                vm.check_mapped(map, range)?;
                // What is nowhere else stays in memory.
                self.order(range, &Order::DROP_CLEAN)
            }
            behavior::FREE => self.discard(range, Contents::Unneeded),
            behavior::ZERO => self.discard(range, Contents::Zeros),
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn msync(&mut self, address: u64, size: u64, flags: u32) -> Result<()> {
        let (map, range) = (self.target()?, (address, size));
        match self.core.layers.cx.vm.check_sync(map, range, flags)? {
            Sync::Order(order) => self.order(range, &order),
            Sync::Aside(aside) => self.set_aside(range, aside),
        }
    }

    async fn machine_attribute(
        &mut self,
        address: u64,
        size: u64,
        attribute: u32,
        value: i32,
    ) -> Result<i32> {
        let map = self.target()?;
        match (attribute, value) {
            // Caches are coherent, of data, of instructions and of devices: there is nothing to do.
            (attribute::CACHE, attribute::FLUSH..=attribute::SYNC) => {
                self.core.layers.cx.vm.check_mapped(map, (address, size))?;
                Ok(value)
            }
            (attribute::CACHE | attribute::MIGRATE | attribute::REPLICATE, _) => {
                Err(KernReturn::NotSupported.into())
            }
            _ => Err(KernReturn::InvalidArgument.into()),
        }
    }

    async fn page_query(&mut self, address: u64) -> Result<(u32, u32)> {
        let map = self.target()?;
        Ok(self.core.layers.cx.vm.page_query(map, address)?)
    }

    async fn statistics(&self) -> Result<Statistics> {
        let cx = &self.core.layers.cx;
        let map = self.target()?;
        let (size, root) = (cx.vm.map_size(map), cx.vm.root(map));
        let (tables, regions) = size.ok_or(KernReturn::InvalidTask)?;
        Ok(Statistics {
            page_size: PAGE_SIZE,
            free: cx.machine.free_pages(),
            charged: cx.ledgers.used(self.ledger()?, Resource::Pages),
            tables,
            regions: regions.into(),
            large: root.map_or(0, |root| cx.machine.large_pages(root)),
        })
    }

    async fn make_entry(
        &mut self,
        parent: Held,
        size: u64,
        offset: u64,
        permission: u32,
    ) -> Result<(u64, Held)> {
        let port = self.core.port_of(&parent)?;
        let parent = match self.core.object_of(&parent)? {
            Object::Memory(entry) => Parent::Entry(entry, port),
            Object::Task(task) if task == self.id => Parent::Map(self.target()?),
            _ => return Err(KernReturn::InvalidRight.into()),
        };
        let payer = self.ledger()?;
        entry_calls::make(self.core, parent, (offset, size), permission, payer)
    }

    async fn create_proxy(
        &mut self,
        object: Held,
        offset: u64,
        size: u64,
        maximum: u32,
    ) -> Result<Held> {
        let (port, payer) = (self.core.port_of(&object)?, self.ledger()?);
        crate::vm::check_window((offset, size), maximum)?;
        let layers = &mut self.core.layers;
        let source = layers.ipc.map_source(&mut layers.cx, port, offset, payer)?;
        let (vm, mut context) = layers.vm();
        let range = (offset, size);
        let proxy = match source {
            Source::Entry(entry, _) => {
                vm.attenuate(&mut context, entry, range, maximum, Some(payer))
            }
            Source::Pager(pager, _) => vm.make_proxy(&mut context, pager, range, (maximum, payer)),
            Source::Anonymous => Err(KernReturn::InvalidRight),
        };
        Ok(self.core.give_entry(proxy?, payer)?)
    }

    async fn set_size_limit(&mut self, host: Held, current: u64, maximum: u64) -> Result<()> {
        let map = self.target()?;
        let privileged = matches!(self.core.object_of(&host), Ok(Object::HostPrivileged));
        let vm = &mut self.core.layers.cx.vm;
        if maximum > vm.size_limit(map)?.maximum && !privileged {
            return Err(KernReturn::NoAccess.into());
        }
        Ok(vm.set_size_limit(map, SizeLimit { current, maximum })?)
    }

    async fn size_limit(&self) -> Result<(u64, u64)> {
        let limit = self.core.layers.cx.vm.size_limit(self.target()?)?;
        Ok((limit.current, limit.maximum))
    }
}
