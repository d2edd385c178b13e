//! [`Id`]: index and generation of an object.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU64;

/// Reaches one object of an [`Arena`](crate::Arena), and nothing after that object is gone.
///
/// One word: the generation above, the index below, compared with the slot's as a whole. So is an optional one, whose
/// bits are 0 where there is none.
#[repr(transparent)]
pub struct Id<T> {
    bits: NonZeroU64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// `None` for an even generation: no object has one.
    #[inline(always)]
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        if bits >> 32 & 1 == 0 {
            return None;
        }
        Some(Self {
            bits: NonZeroU64::new(bits)?,
            kind: PhantomData,
        })
    }

    /// The id that a stamp is.
    ///
    /// # Safety
    /// The generation in it is odd.
    #[inline(always)]
    pub(crate) unsafe fn from_stamp(stamp: u64) -> Self {
        Self {
            // SAFETY: an odd number is not 0.
            bits: unsafe { NonZeroU64::new_unchecked(stamp) },
            kind: PhantomData,
        }
    }

    /// The bits of an optional id; 0 for none. By `map_or` the compiler would test for none first, each time.
    #[inline(always)]
    pub(crate) fn bits_of(id: Option<Self>) -> u64 {
        // SAFETY: an id is a `NonZeroU64` in a transparent type, of which the standard library promises that `Option`
        // has the layout of a `u64`, with 0 for `None`.
        unsafe { core::mem::transmute::<Option<Self>, u64>(id) }
    }

    /// Whether it is the one there: a single comparison, which `==` with an optional id is not.
    #[inline(always)]
    pub fn is(self, there: Option<Self>) -> bool {
        self.to_bits() == Self::bits_of(there)
    }

    /// The slot's index.
    #[inline(always)]
    pub fn index(self) -> u32 {
        self.bits.get() as u32
    }

    /// The slot's generation when the object was put there.
    #[inline(always)]
    pub fn generation(self) -> u32 {
        (self.bits.get() >> 32) as u32
    }

    /// Both in one word, for logs and hashes: generation above, index below.
    #[inline(always)]
    pub fn to_bits(self) -> u64 {
        self.bits.get()
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
        self.bits == other.bits
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
        write!(f, "{}.{}", self.index(), self.generation())
    }
}
