//! [`Id`]: index and generation of an object.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;

/// Reaches one object of an [`Arena`](crate::Arena), and nothing after that object is gone.
pub struct Id<T> {
    index: u32,
    generation: NonZeroU32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// `None` for an even generation: no object has one.
    #[inline(always)]
    pub(crate) fn new(index: u32, generation: u32) -> Option<Self> {
        if generation & 1 == 0 {
            return None;
        }
        Some(Self {
            index,
            generation: NonZeroU32::new(generation)?,
            kind: PhantomData,
        })
    }

    /// The slot's index.
    #[inline(always)]
    pub fn index(self) -> u32 {
        self.index
    }

    /// The slot's generation when the object was put there.
    #[inline(always)]
    pub fn generation(self) -> u32 {
        self.generation.get()
    }

    /// Both in one word, for logs and hashes: generation above, index below.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation.get()) << 32 | u64::from(self.index)
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T> Eq for Id<T> {}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}

impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}
