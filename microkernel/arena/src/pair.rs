//! [`Pair`]: two objects at hand, and their arena beside them.

use core::ptr::NonNull;

use crate::{Arena, Id};

/// Two objects of an arena, perhaps the same one, lent out one at a time, so that nothing need be looked up again in
/// between; and the others.
///
/// As long as it lives the arena is borrowed, so that both objects stay.
pub struct Pair<'a, T, K = T> {
    pub(crate) arena: &'a mut Arena<T, K>,
    /// Derived from the arena's own pointer to its slots.
    pub(crate) first: NonNull<T>,
    /// As `first`.
    pub(crate) second: NonNull<T>,
}

impl<T, K> Pair<'_, T, K> {
    /// The first one.
    #[inline(always)]
    pub fn first(&mut self) -> &mut T {
        // SAFETY: the arena found the object there, and nothing removes it; `&mut self` makes the reference unique.
        unsafe { self.first.as_mut() }
    }

    /// The second one.
    #[inline(always)]
    pub fn second(&mut self) -> &mut T {
        // SAFETY: as in `first`.
        unsafe { self.second.as_mut() }
    }

    /// Both, to look at.
    #[inline(always)]
    pub fn both(&self) -> (&T, &T) {
        // SAFETY: as in `first`; they are shared.
        let first = unsafe { self.first.as_ref() };
        // SAFETY: as above.
        (first, unsafe { self.second.as_ref() })
    }

    /// Any object of the arena.
    #[inline(always)]
    pub fn other(&mut self, id: Id<K>) -> Option<&mut T> {
        self.arena.get_mut(id)
    }
}
