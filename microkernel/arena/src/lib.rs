//! Growable arenas: where every kernel object lives.
//!
//! An [`Arena`] is a reserved range of addresses that becomes memory a page at a time as it fills.
//! Objects never move, growth copies nothing and can fail, and an [`Id`] (index and generation)
//! reaches an object in one bounds check and one comparison. The id of an object that was removed
//! reaches nothing, ever: a slot whose generations are used up is retired.
//!
//! Invariants: a slot is occupied exactly when its generation is odd; ids carry odd generations only.
//! Slots below `used` were written once; slots above are zero and have never been handed out.
//!
//! Deliberately absent: shrinking (a page once taken stays with its arena, for the next objects of
//! the same kind), and drop glue (kernel objects are plain data; `T: Copy` is not asked for, but
//! [`Arena::remove`] returns the value, and an arena that is dropped forgets what it holds).
#![no_std]
#![deny(clippy::multiple_unsafe_ops_per_block)]

extern crate alloc;

mod id;
mod pair;
mod region;

pub use id::Id;
pub use pair::Pair;
pub use region::{Commit, Region};

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// A slot whose generation has passed this one is not used again; what lies between this and the end is
/// left for [`Arena::renew`].
const LAST_GENERATION: u32 = u32::MAX - 64;

/// One generation, in a stamp.
const GENERATION: u64 = 1 << 32;

/// No free slot: the end of the free list.
const NONE: u32 = u32::MAX;

struct Slot<T> {
    /// The bits of the id that reaches the slot: index below, generation above. The generation is odd
    /// while the slot is occupied, and increases by one at each change of state.
    stamp: u64,
    /// The next free slot, while this one is free.
    next_free: u32,
    value: MaybeUninit<T>,
}

/// No room: the reserved range is full, or there is no memory to grow into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

/// Objects of type `T`, addressed by [`Id<K>`].
///
/// `K` is `T` itself, or a marker where ids must be known to code that may not know `T`.
pub struct Arena<T, K = T> {
    kind: PhantomData<fn() -> K>,
    slots: NonNull<Slot<T>>,
    /// Slots that were handed out at least once.
    used: u32,
    /// Slots that memory is there for.
    committed: u32,
    /// Slots that addresses are reserved for.
    capacity: u32,
    free: u32,
    live: u32,
    region: Region,
}

// SAFETY: (1) an arena owns its slots as a `Vec` owns its elements; nothing else points into them.
// (2) The region's commit function may be called from any thread (contract of `Region::new`).
unsafe impl<T: Send, K> Send for Arena<T, K> {}

impl<T, K> Arena<T, K> {
    /// Bytes of memory that one object takes.
    pub const PLACE: usize = size_of::<Slot<T>>();

    /// An empty arena in `region`. The region's size bounds how many objects it can ever hold.
    pub fn new(region: Region) -> Self {
        const { assert!(align_of::<Slot<T>>() <= region::PAGE) };
        let capacity = region.reserved() / size_of::<Slot<T>>();
        Self {
            kind: PhantomData,
            slots: region.base().cast(),
            used: 0,
            committed: 0,
            capacity: u32::try_from(capacity).unwrap_or(NONE).min(NONE - 1),
            free: NONE,
            live: 0,
            region,
        }
    }

    /// How many objects it holds.
    pub fn len(&self) -> u32 {
        self.live
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// One past the highest index that was ever occupied: where a scan ends.
    pub fn end(&self) -> u32 {
        self.used
    }

    /// Bytes of memory that the arena has taken so far.
    pub fn committed_bytes(&self) -> usize {
        self.region.committed()
    }

    /// The object with this id, unless it was removed.
    #[inline(always)]
    pub fn get(&self, id: Id<K>) -> Option<&T> {
        if id.index() >= self.used {
            return None;
        }
        let slot = self.slot(id.index());
        if slot.stamp != id.to_bits() {
            return None;
        }
        // SAFETY: ids carry odd generations, and an odd generation means that `value` is written.
        Some(unsafe { slot.value.assume_init_ref() })
    }

    /// The object with this id, unless it was removed.
    #[inline(always)]
    pub fn get_mut(&mut self, id: Id<K>) -> Option<&mut T> {
        if id.index() >= self.used {
            return None;
        }
        let slot = self.slot_mut(id.index());
        if slot.stamp != id.to_bits() {
            return None;
        }
        // SAFETY: as in `get`.
        Some(unsafe { slot.value.assume_init_mut() })
    }

    /// The object behind an optional id; one test less than asking for the id first, for an id's bits are never 0
    /// and neither is the stamp of a slot that was ever used.
    #[inline(always)]
    pub fn find(&self, id: Option<Id<K>>) -> Option<&T> {
        let bits = id.map_or(0, Id::to_bits);
        if bits as u32 >= self.used {
            return None;
        }
        let slot = self.slot(bits as u32);
        if slot.stamp != bits {
            return None;
        }
        // SAFETY: the stamp is not 0, so `bits` are those of an id; as in `get`.
        Some(unsafe { slot.value.assume_init_ref() })
    }

    /// As [`find`](Self::find).
    #[inline(always)]
    pub fn find_mut(&mut self, id: Option<Id<K>>) -> Option<&mut T> {
        let bits = id.map_or(0, Id::to_bits);
        if bits as u32 >= self.used {
            return None;
        }
        let slot = self.slot_mut(bits as u32);
        if slot.stamp != bits {
            return None;
        }
        // SAFETY: as in `find`.
        Some(unsafe { slot.value.assume_init_mut() })
    }

    /// As [`find`](Self::find), and the id, which then is known to be one.
    #[inline(always)]
    pub fn find_known(&self, id: Option<Id<K>>) -> Option<(Id<K>, &T)> {
        let found = self.find(id)?;
        let bits = id.map_or(0, Id::to_bits);
        // SAFETY: `find` found the slot occupied with these bits as its stamp.
        Some((unsafe { Id::from_stamp(bits) }, found))
    }

    /// As [`find_known`](Self::find_known).
    #[inline(always)]
    pub fn find_known_mut(&mut self, id: Option<Id<K>>) -> Option<(Id<K>, &mut T)> {
        let found = self.find_mut(id)?;
        let bits = id.map_or(0, Id::to_bits);
        // SAFETY: as in `find_known`.
        Some((unsafe { Id::from_stamp(bits) }, found))
    }

    /// Two objects at hand; `None` when one was removed.
    #[inline(always)]
    pub fn pair(&mut self, first: Id<K>, second: Option<Id<K>>) -> Option<Pair<'_, T, K>> {
        let first = self.place(first.to_bits())?;
        let second = self.place(Id::bits_of(second))?;
        Some(Pair {
            arena: self,
            first,
            second,
        })
    }

    /// Where the object lies whose id has these bits.
    ///
    /// No reference to it is made: one to the same object would end what may be done by this pointer.
    #[inline(always)]
    fn place(&mut self, bits: u64) -> Option<NonNull<T>> {
        if bits as u32 >= self.used {
            return None;
        }
        // SAFETY: `index < used <= committed`.
        let slot = unsafe { self.slots.add(bits as u32 as usize) }.as_ptr();
        // SAFETY: memory behind committed slots is present and zeroed at first, a valid `Slot`.
        if unsafe { (*slot).stamp } != bits {
            return None;
        }
        // SAFETY: as above.
        let value = unsafe { &raw mut (*slot).value };
        NonNull::new(value.cast())
    }

    /// The id of the object at an index, if one is there.
    #[inline(always)]
    pub fn id_at(&self, index: u32) -> Option<Id<K>> {
        if index >= self.used {
            return None;
        }
        Id::from_bits(self.slot(index).stamp)
    }

    /// The object at an index, whatever its generation: for links between objects that live together.
    #[inline(always)]
    pub fn at(&self, index: u32) -> Option<&T> {
        self.get(self.id_at(index)?)
    }

    /// As [`at`](Self::at).
    #[inline(always)]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        if index >= self.used {
            return None;
        }
        let slot = self.slot_mut(index);
        if slot.stamp & GENERATION == 0 {
            return None;
        }
        // SAFETY: the generation is odd; as in `get`.
        Some(unsafe { slot.value.assume_init_mut() })
    }

    /// Sees to it that the next [`insert`](Self::insert) finds a place.
    ///
    /// # Errors
    /// [`Full`]: there is none.
    #[inline(always)]
    pub fn make_room(&mut self) -> Result<(), Full> {
        if self.free != NONE || self.used < self.committed {
            return Ok(());
        }
        self.commit()
    }

    /// Puts a value in; its id says where.
    ///
    /// # Errors
    /// [`Full`] gives the value no place and changes nothing.
    #[inline(always)]
    pub fn insert(&mut self, value: T) -> Result<Id<K>, Full> {
        let index = if self.free == NONE {
            self.fresh()?
        } else {
            self.reuse()
        };
        let slot = self.slot_mut(index);
        // A fresh slot is all zero: it gets its index with its first object.
        slot.stamp = (slot.stamp | u64::from(index)) + GENERATION;
        slot.value.write(value);
        let stamp = slot.stamp;
        self.live += 1;
        Id::from_bits(stamp).ok_or(Full)
    }

    /// Takes an object out. Its id, and every copy of it, reaches nothing from now on.
    #[inline(always)]
    pub fn remove(&mut self, id: Id<K>) -> Option<T> {
        self.get(id)?;
        // SAFETY: `get` found the slot occupied, and `discard` keeps the value from being read again.
        let value = unsafe { self.slot(id.index()).value.assume_init_read() };
        self.discard(id);
        Some(value)
    }

    /// As [`remove`](Self::remove), for who has taken from the object what counts: nothing is moved.
    #[inline(always)]
    pub fn discard(&mut self, id: Id<K>) {
        if self.get(id).is_none() {
            return;
        }
        let free = self.free;
        let slot = self.slot_mut(id.index());
        let retired = id.generation() > LAST_GENERATION;
        slot.stamp = slot.stamp.wrapping_add(GENERATION);
        if !retired {
            slot.next_free = free;
            self.free = id.index();
        }
        self.live -= 1;
    }

    /// Gives an object another generation: its old id reaches nothing, the returned one reaches it.
    ///
    /// `None` when the id is stale, or the slot's generations are used up.
    pub fn renew(&mut self, id: Id<K>) -> Option<Id<K>> {
        self.renew_times(id, 1)
    }

    /// As [`renew`](Self::renew), so many times at once.
    pub fn renew_times(&mut self, id: Id<K>, times: u32) -> Option<Id<K>> {
        self.get(id)?;
        let more = u64::from(times).checked_mul(2 * GENERATION)?;
        let slot = self.slot_mut(id.index());
        slot.stamp = slot.stamp.checked_add(more)?;
        Id::from_bits(slot.stamp)
    }

    /// How often an object with this id can be renewed.
    pub fn renewals(id: Id<K>) -> u32 {
        (u32::MAX - id.generation()) / 2
    }

    fn reuse(&mut self) -> u32 {
        let index = self.free;
        self.free = self.slot(index).next_free;
        index
    }

    fn fresh(&mut self) -> Result<u32, Full> {
        let index = self.used;
        if index == self.committed {
            self.commit()?;
        }
        self.used += 1;
        Ok(index)
    }

    /// Memory for one more slot than there are.
    #[cold]
    fn commit(&mut self) -> Result<(), Full> {
        if self.used == self.capacity {
            return Err(Full);
        }
        let bytes = (self.used as usize + 1) * size_of::<Slot<T>>();
        let committed = self.region.commit_to(bytes).ok_or(Full)? / size_of::<Slot<T>>();
        self.committed = u32::try_from(committed).unwrap_or(NONE).min(self.capacity);
        Ok(())
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> &Slot<T> {
        debug_assert!(index < self.used);
        // SAFETY: callers check `index < used <= committed`.
        let slot = unsafe { self.slots.add(index as usize) };
        // SAFETY: memory behind committed slots is present and zeroed at first, a valid `Slot`.
        unsafe { slot.as_ref() }
    }

    #[inline(always)]
    fn slot_mut(&mut self, index: u32) -> &mut Slot<T> {
        debug_assert!(index < self.used);
        // SAFETY: as in `slot`.
        let mut slot = unsafe { self.slots.add(index as usize) };
        // SAFETY: as in `slot`; `&mut self` makes the reference unique.
        unsafe { slot.as_mut() }
    }
}

#[cfg(test)]
mod tests;
