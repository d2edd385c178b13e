//! Port arrays of messages (M-24): as many rights as a sender likes, on their way under one descriptor.
//!
//! On the way in, the names are a snapshot of the sender's memory, and each becomes a right as that of a single
//! descriptor does. On the way out, the receiver gets fresh memory with the names that it has for them. In between
//! the rights lie in *rows* of `ROW`, which the ledger of the sender pays for.
//!
//! All of it goes in steps of at most `ROW` rights with the lock let go in between. The message is its thread's
//! then ([`Thread::parked`](crate::sched::Thread)), and its `Stage` says what the thread is at with
//! it; nobody else sees it. What other threads of the task do to the names and the memory meanwhile is what the steps that follow find; an
//! error in any of them destroys the whole message (M-08). An array that nobody takes ends in steps of the agenda.
//!
//! Deliberately absent: more than one disposition in an array, and any look at an array while it is on its way.

use abi::kern_return::{KernReturn, MessageReturn, resource};
use abi::message::{Descriptor, MAX_PORTS, descriptor};
use abi::names::{Name, disposition};
use abi::registers::Shape;
use arena::Arena;

use super::agenda::Progress;
use super::body::{Carried, memory_error};
use super::layout::read_descriptor;
use super::right::{Right, needed};
use super::stage::Stage;
use super::weight::weight_of;
use super::{Context, Ipc};
use crate::base::KernResult;
use crate::base::Shortage;
use crate::base::ids::{ArrayId, ArrayKind, BodyId, PortId, RowId, RowKind, SpaceId, ThreadId};
use crate::base::ledger::{LedgerId, Resource};
use crate::machine::Machine;
use crate::vm::{self, CopyId, MapId};

/// Rights of one row.
const ROW: usize = STEP / RIGHT;

/// What the things that one step moves may weigh.
pub(super) const STEP: usize = 64;

/// What a right weighs: its name is new in the receiver's space, or leaves the sender's, which are searches in a tree of all
/// names. Beside 20,000 names a new one takes some 3,600 instructions.
pub(super) const RIGHT: usize = 6;

/// Bytes of a name.
pub(super) const NAME: usize = size_of::<Name>();

/// Bytes that an array costs beside its rows.
const ARRAY_BYTES: u64 = size_of::<Array>() as u64;

/// Bytes that a row costs.
const ROW_BYTES: u64 = size_of::<Row>() as u64;

/// An array on its way.
#[derive(Debug)]
pub struct Array {
    /// How the sender gives each right.
    disposition: u8,
    /// How many rights the whole array has.
    count: u32,
    /// How many of them were copied in, or out.
    done: u32,
    /// Who pays for it.
    payer: LedgerId,
    /// Where the names lie, or are to lie.
    names: Names,
    first: Option<RowId>,
    last: Option<RowId>,
    /// The next array that ends.
    next: Option<ArrayId>,
}

/// Where the names of an array lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    Nowhere,
    /// The sender's, of which not all were copied in.
    Sent(CopyId),
    /// The receiver's memory.
    At(u64),
}

impl Array {
    /// How many rights it has.
    pub(super) fn count(&self) -> u32 {
        self.count
    }
}

/// A part of an array.
#[derive(Debug)]
pub struct Row {
    rights: heapless::Vec<Right, ROW>,
    next: Option<RowId>,
}

impl Row {
    /// Those that were not taken yet.
    pub(super) fn rights(&self) -> &[Right] {
        &self.rights
    }
}

/// All arrays.
pub type Arrays = Arena<Array, ArrayKind>;
/// All rows.
pub type Rows = Arena<Row, RowKind>;

/// What a step copied in.
#[derive(Default)]
struct Filled {
    weight: usize,
    /// The receive rights among it.
    moved: heapless::Vec<PortId, ROW>,
}

/// What a receiver has got of an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Where the names lie.
    pub(super) address: u64,
    /// How many.
    pub(super) count: u32,
    /// What they denote.
    pub(super) disposition: u8,
}

impl Placed {
    /// What the receiver finds in its buffer.
    pub(super) fn descriptor(self) -> Descriptor {
        Descriptor {
            kind: descriptor::OUT_OF_LINE_PORTS,
            disposition: self.disposition,
            flags: descriptor::DEALLOCATE,
            name: self.count,
            address: self.address,
            size: u64::from(self.count) * NAME as u64,
        }
    }
}

/// What the right is that was given by a disposition.
const fn received(how: u8) -> u8 {
    match how {
        disposition::MOVE_RECEIVE => disposition::MOVE_RECEIVE,
        disposition::MOVE_SEND_ONCE | disposition::MAKE_SEND_ONCE => disposition::MOVE_SEND_ONCE,
        _ => disposition::MOVE_SEND,
    }
}

impl Ipc {
    /// Begins to copy an array in; [`fill_array`](Self::fill_array) goes on. `before` is how many rights the message's
    /// other arrays have.
    ///
    /// # Errors
    /// `SendInvalidType`, `SendInvalidMemory`, `SendTooLarge`: more than [`MAX_PORTS`] · `SendNoBuffer`.
    pub(super) fn copy_in_array<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        space: SpaceId,
        descriptor: Descriptor,
        before: u32,
    ) -> Result<(Carried, u32), MessageReturn> {
        let flags = descriptor.flags & !descriptor::DEALLOCATE;
        if flags != 0 || needed(descriptor.disposition).is_none() {
            return Err(MessageReturn::SendInvalidType);
        }
        let count = descriptor.name;
        let all = before.checked_add(count).filter(|all| *all <= MAX_PORTS);
        let all = all.ok_or(MessageReturn::SendTooLarge)?;
        let invalid = MessageReturn::SendInvalidMemory;
        let payer = self.names.space(space).ok_or(invalid)?.ledger;
        let shortage = |_| MessageReturn::SendNoBuffer;
        let array = self
            .new_array(cx, payer, (descriptor.disposition, count))
            .map_err(shortage)?;
        if count > 0 {
            let size = u64::from(count) * NAME as u64;
            let memory = Descriptor { size, ..descriptor };
            match self.snapshot(cx, space, memory) {
                Ok(copy) => self.set_names(array, Names::Sent(copy)),
                Err(code) => {
                    self.end_array(array);
                    return Err(code);
                }
            }
        }
        Ok((Carried::Ports(array), all))
    }

    /// Copies up to `budget` more rights of an array in; `None`: it has all of them.
    ///
    /// # Errors
    /// `SendInvalidRight`, `SendNoBuffer`; what was copied in is in the array.
    fn fill_array<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (thread, space): (ThreadId, SpaceId),
        id: ArrayId,
        budget: usize,
    ) -> Result<Option<Filled>, MessageReturn> {
        let shortage = MessageReturn::SendNoBuffer;
        let array = self.arrays.get(id).ok_or(shortage)?;
        let Names::Sent(copy) = array.names else {
            return Ok(None);
        };
        let (done, how) = (array.done, array.disposition);
        if !cx.vm.copy_is_whole(copy) {
            let (vm, mut context) = cx.vm();
            match vm.copy_more(&mut context, copy).map_err(memory_error)? {
                vm::Progress::Done(()) | vm::Progress::More => {}
            }
            return Ok(Some(Filled {
                weight: budget,
                ..Filled::default()
            }));
        }
        let left = array.count.saturating_sub(done) as usize;
        if left == 0 {
            self.set_names(id, Names::Nowhere);
            discard(cx, copy);
            return Ok(None);
        }
        let mut names = [0; ROW * NAME];
        let names = names.get_mut(..left.min(budget / RIGHT).min(ROW) * NAME);
        let names = names.ok_or(shortage)?;
        let (vm, mut context) = cx.vm();
        vm.copy_read(&mut context, copy, u64::from(done) * NAME as u64, names)
            .map_err(|_| MessageReturn::SendInvalidMemory)?;
        let mut filled = Filled::default();
        for name in names.as_chunks().0 {
            let name = Name(u32::from_le_bytes(*name));
            let row = self.open_row(cx, id).map_err(|Shortage| shortage)?;
            let right = self.copy_in_port(cx, (thread, space), (name, how))?;
            if let Right::Receive(port) = right {
                filled.moved.push(port).ok();
            }
            self.push_right(row, right);
            filled.weight += RIGHT;
        }
        if let Some(array) = self.arrays.get_mut(id) {
            array.done += (filled.weight / RIGHT) as u32;
        }
        Ok(Some(filled))
    }

    /// Reads descriptors and arrays of a message that a thread sends, up to a step's worth of rights.
    ///
    /// # Errors
    /// As [`copy_in_rights`](Self::copy_in_rights).
    pub(super) fn copy_in_step<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        (id, to): (BodyId, PortId),
        shape: Shape,
    ) -> Result<Progress, MessageReturn> {
        let shortage = MessageReturn::SendNoBuffer;
        let record = cx.sched.threads.get(thread).ok_or(shortage)?;
        let (space, page) = (record.space, record.buffer_page.ok_or(shortage)?);
        let mut budget = STEP;
        loop {
            let body = self.bodies.get(id).ok_or(shortage)?;
            if let Some(Carried::Ports(array)) = body.carried.last() {
                let array = *array;
                if budget < RIGHT {
                    return Ok(Progress::More);
                }
                if let Some(filled) = self.fill_array(cx, (thread, space), array, budget)? {
                    budget -= filled.weight;
                    self.carry_away((id, to), &filled.moved);
                    continue;
                }
            }
            if let Some(copy) = self.unfinished(cx, id) {
                // It is a step of its own.
                if budget < STEP {
                    return Ok(Progress::More);
                }
                let (vm, mut context) = cx.vm();
                let more = vm.copy_more(&mut context, copy).map_err(memory_error)?;
                budget = 0;
                if more == vm::Progress::More {
                    return Ok(Progress::More);
                }
                continue;
            }
            let body = self.bodies.get(id).ok_or(shortage)?;
            let (index, before) = (body.carried.len() as u32, body.ports);
            if index >= shape.descriptors() {
                return Ok(Progress::Done);
            }
            let descriptor = read_descriptor(cx.machine, page, index);
            let weight = weight_of(&descriptor);
            if weight > budget {
                return Ok(Progress::More);
            }
            budget -= weight;
            let (carried, ports) = if descriptor.kind == descriptor::OUT_OF_LINE_PORTS {
                self.copy_in_array(cx, space, descriptor, before)?
            } else {
                let carried = self.copy_in_descriptor(cx, (thread, space), descriptor)?;
                (carried, before)
            };
            let is_last = index + 1 == shape.descriptors();
            let is_whole = match carried {
                Carried::Ports(_) => false,
                Carried::Memory(Some(copy), _) => cx.vm.copy_is_whole(copy),
                _ => true,
            };
            let body = self.bodies.get_mut(id).ok_or(shortage)?;
            body.ports = ports;
            if let Err(carried) = body.carried.push(carried) {
                self.end_carried(cx, carried);
            }
            if is_last && is_whole {
                return Ok(Progress::Done);
            }
        }
    }

    /// Notes that receive rights of an array go to a port, and whether that closes a circle (M-26): what is there at the
    /// end of the send would be too much for one step.
    fn carry_away(&mut self, (body, to): (BodyId, PortId), moved: &[PortId]) {
        for id in moved {
            if self.travels_behind(to, *id) {
                if let Some(body) = self.bodies.get_mut(body) {
                    body.circular = true;
                }
            } else {
                self.set_carrier(*id, Some(to));
            }
        }
    }

    /// Brings the rights and the memory of a message into the space of a thread that receives it, or gets it back, up to a step's worth
    /// of rights.
    pub(super) fn place_arrays<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        thread: ThreadId,
        id: BodyId,
    ) -> Progress {
        let Some(space) = cx.sched.threads.get(thread).map(|thread| thread.space) else {
            return Progress::Done;
        };
        let mut budget = STEP;
        let count = self.bodies.get(id).map_or(0, |body| body.carried.len());
        for index in 0..count {
            let Some(body) = self.bodies.get(id) else {
                break;
            };
            let placed = match body.carried.get(index) {
                Some(Carried::Ports(array)) => {
                    let array = *array;
                    let placed = self.place_step(cx, (id, space), array, &mut budget);
                    placed.map(Carried::Placed)
                }
                Some(Carried::Memory(Some(copy), size)) => {
                    let copy = (*copy, *size);
                    self.place_memory_step(cx, (id, space), copy, &mut budget)
                }
                // What is not in steps is placed as it is delivered.
                Some(Carried::Port(_)) if body.stage != Stage::Whole => {
                    self.place_port_step(cx, (id, space), index, &mut budget)
                }
                _ => continue,
            };
            let Some(placed) = placed else {
                return Progress::More;
            };
            let body = self.bodies.get_mut(id);
            if let Some(place) = body.and_then(|body| body.carried.get_mut(index)) {
                *place = placed;
            }
        }
        Progress::Done
    }

    /// Copies rights of an array out, as long as whole rows fit into the budget; `None`: there are more.
    fn place_step<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (body, space): (BodyId, SpaceId),
        id: ArrayId,
        budget: &mut usize,
    ) -> Option<Placed> {
        let array = self.arrays.get(id)?;
        let (disposition, count) = (received(array.disposition), array.count);
        let place = self
            .names
            .space(space)
            .map(|space| (space.map, space.ledger));
        let address = match (array.names, place) {
            (Names::At(address), _) => Ok(address),
            (_, Some(place)) => place_memory(cx, place, u64::from(count) * NAME as u64),
            (_, None) => Err(KernReturn::InvalidTask),
        };
        let Ok(address) = address else {
            self.end_array(id);
            self.blame(body, resource::VM_SPACE);
            return Some(Placed {
                address: 0,
                count: 0,
                disposition,
            });
        };
        self.set_names(id, Names::At(address));
        while let Some(length) = self.first_row(id) {
            if length * RIGHT > *budget {
                return None;
            }
            *budget -= length * RIGHT;
            self.copy_out_row(cx, (body, space), (id, address));
        }
        self.free_array(cx, id);
        Some(Placed {
            address,
            count,
            disposition,
        })
    }

    /// Copies the first row of an array out, and writes its names behind those before it.
    fn copy_out_row<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        (body, space): (BodyId, SpaceId),
        (id, address): (ArrayId, u64),
    ) {
        let Some(row) = self.pop_row(cx, id) else {
            return;
        };
        let mut names = heapless::Vec::<u8, { ROW * NAME }>::new();
        for right in row.rights {
            let name = self.copy_out(cx, space, right).unwrap_or_else(|right| {
                self.release(right);
                self.blame(body, resource::IPC_SPACE);
                Name::NULL
            });
            // A row has room for no more.
            names.extend_from_slice(&name.0.to_le_bytes()).ok();
        }
        let Some(array) = self.arrays.get_mut(id) else {
            return;
        };
        let at = address + u64::from(array.done) * NAME as u64;
        array.done += (names.len() / NAME) as u32;
        let map = self.names.space(space).map(|space| space.map);
        let (vm, mut context) = cx.vm();
        // It was there and writable: only another thread of the task can have changed that.
        let written = map.is_some_and(|map| vm.write_bytes(&mut context, map, at, &names).is_ok());
        if !written {
            self.blame(body, resource::VM_SPACE);
        }
    }

    /// Notes what went wrong with arrays of a message.
    pub(super) fn blame(&mut self, body: BodyId, what: u32) {
        if let Some(body) = self.bodies.get_mut(body) {
            body.code |= MessageReturn::ReceiveBodyError.0 | what;
        }
    }

    /// An empty array, to which the kernel or a sender adds rights that are given by `disposition`.
    ///
    /// # Errors
    /// [`Shortage`]: the ledger is full, or there is no memory.
    pub fn new_array<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        payer: LedgerId,
        (disposition, count): (u8, u32),
    ) -> Result<ArrayId, Shortage> {
        cx.ledgers
            .charge(payer, Resource::KernelBytes, ARRAY_BYTES)?;
        let array = Array {
            disposition,
            count,
            done: 0,
            payer,
            names: Names::Nowhere,
            first: None,
            last: None,
            next: None,
        };
        self.arrays.insert(array).map_err(|_| {
            cx.ledgers
                .release(payer, Resource::KernelBytes, ARRAY_BYTES);
            Shortage
        })
    }

    /// Adds a send right of the kernel's to an array.
    ///
    /// # Errors
    /// The right: as [`new_array`](Self::new_array), or there are [`MAX_PORTS`] in it.
    pub fn add_to_array<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: ArrayId,
        right: Right,
    ) -> Result<(), Right> {
        let full = |array: &Array| array.count >= MAX_PORTS;
        if self.arrays.get(id).is_none_or(full) {
            return Err(right);
        }
        let Ok(row) = self.open_row(cx, id) else {
            return Err(right);
        };
        self.push_right(row, right);
        if let Some(array) = self.arrays.get_mut(id) {
            array.count += 1;
        }
        Ok(())
    }

    /// Ends an array that nobody took, in steps of the agenda.
    pub fn end_array(&mut self, id: ArrayId) {
        let ending = self.ending;
        if let Some(array) = self.arrays.get_mut(id) {
            array.next = ending;
            self.ending = Some(id);
        }
    }

    /// Ends one right of an ending array, or the array; `false`: there is none.
    pub(super) fn end_arrays<M: Machine>(&mut self, cx: &mut Context<'_, M>) -> bool {
        let Some(id) = self.ending else { return false };
        let Some(array) = self.arrays.get_mut(id) else {
            self.ending = None;
            return false;
        };
        let (names, next) = (array.names, array.next);
        if let Names::Sent(copy) = names {
            array.names = Names::Nowhere;
            discard(cx, copy);
            return true;
        }
        let row = array.first.and_then(|row| self.rows.get_mut(row));
        match row.map(|row| row.rights.pop()) {
            Some(Some(right)) => self.release(right),
            Some(None) => {
                self.pop_row(cx, id);
            }
            None => {
                self.ending = next;
                self.free_array(cx, id);
            }
        }
        true
    }

    /// The names lie elsewhere from now on, where nothing of them is done yet.
    fn set_names(&mut self, id: ArrayId, names: Names) {
        if let Some(array) = self.arrays.get_mut(id)
            && array.names != names
        {
            array.names = names;
            array.done = 0;
        }
    }

    /// The row that the next right goes to.
    fn open_row<M: Machine>(
        &mut self,
        cx: &mut Context<'_, M>,
        id: ArrayId,
    ) -> Result<RowId, Shortage> {
        let array = self.arrays.get(id).ok_or(Shortage)?;
        let (payer, last) = (array.payer, array.last);
        if let Some(last) = last
            && self.rows.get(last).is_some_and(|row| !row.rights.is_full())
        {
            return Ok(last);
        }
        cx.ledgers.charge(payer, Resource::KernelBytes, ROW_BYTES)?;
        let row = self.rows.insert(Row {
            rights: heapless::Vec::new(),
            next: None,
        });
        let row = row.map_err(|_| {
            cx.ledgers.release(payer, Resource::KernelBytes, ROW_BYTES);
            Shortage
        })?;
        match self.rows.find_mut(last) {
            Some(last) => last.next = Some(row),
            None => {
                if let Some(array) = self.arrays.get_mut(id) {
                    array.first = Some(row);
                }
            }
        }
        if let Some(array) = self.arrays.get_mut(id) {
            array.last = Some(row);
        }
        Ok(row)
    }

    fn push_right(&mut self, row: RowId, right: Right) {
        if let Some(row) = self.rows.get_mut(row)
            && let Err(right) = row.rights.push(right)
        {
            debug_assert!(false, "an open row has room");
            self.release(right);
        }
    }

    /// How many rights the first row of an array has.
    fn first_row(&self, id: ArrayId) -> Option<usize> {
        let row = self.arrays.get(id)?.first?;
        self.rows.get(row).map(|row| row.rights.len())
    }

    /// Takes the first row of an array off; the rights in it are the caller's.
    fn pop_row<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: ArrayId) -> Option<Row> {
        let array = self.arrays.get_mut(id)?;
        let row = self.rows.remove(array.first?)?;
        array.first = row.next;
        if row.next.is_none() {
            array.last = None;
        }
        cx.ledgers
            .release(array.payer, Resource::KernelBytes, ROW_BYTES);
        Some(row)
    }

    /// What the arrays that a ledger pays for cost it.
    pub(crate) fn array_bytes(&self, payer: LedgerId) -> u64 {
        let arrays = (0..self.arrays.end()).filter_map(|index| self.arrays.at(index));
        let rows = |array: &Array| {
            let next = |row: &RowId| self.rows.get(*row)?.next;
            core::iter::successors(array.first, next).count() as u64
        };
        let bytes = arrays.filter(|array| array.payer == payer);
        bytes
            .map(|array| ARRAY_BYTES + rows(array) * ROW_BYTES)
            .sum()
    }

    /// Frees an array without rows.
    fn free_array<M: Machine>(&mut self, cx: &mut Context<'_, M>, id: ArrayId) {
        if let Some(array) = self.arrays.remove(id) {
            debug_assert!(array.first.is_none(), "an array is freed with rights in it");
            cx.ledgers
                .release(array.payer, Resource::KernelBytes, ARRAY_BYTES);
        }
    }
}

/// Fresh memory for names, all of it there.
fn place_memory<M: Machine>(
    cx: &mut Context<'_, M>,
    (map, ledger): (MapId, LedgerId),
    size: u64,
) -> KernResult<u64> {
    if size == 0 {
        return Ok(0);
    }
    let (vm, mut context) = cx.vm();
    let copy = vm.copy_create(&mut context, ledger, size)?;
    // One byte makes a page; there are few (`MAX_PORTS`).
    let touched = (0..size)
        .step_by(abi::PAGE_SIZE as usize)
        .try_for_each(|at| vm.copy_write(&mut context, copy, at, &[0]));
    let placed = touched.and_then(|()| vm.copy_in(&mut context, map, copy));
    placed.inspect_err(|_| discard(cx, copy))
}

/// Throws a snapshot of names away, which is small (`MAX_PORTS`).
fn discard<M: Machine>(cx: &mut Context<'_, M>, copy: CopyId) {
    let (vm, mut context) = cx.vm();
    vm.copy_discard(&mut context, copy);
}
