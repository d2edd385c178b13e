//! [`Usage`]: how much of an arena is in use, for tools and for whoever looks for leaks.

use arena::Arena;

/// How much of an arena is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// What lies in it.
    pub name: &'static str,
    /// How many of them there are.
    pub live: u32,
    /// Bytes that each takes.
    pub size: u32,
    /// Bytes that the arena has taken from the machine. It keeps them for the next objects of the same kind.
    pub committed: u64,
}

impl Usage {
    /// That of an arena.
    pub fn of<T, K>(name: &'static str, arena: &Arena<T, K>) -> Self {
        Self {
            name,
            live: arena.len(),
            size: Arena::<T, K>::PLACE as u32,
            committed: arena.committed_bytes() as u64,
        }
    }
}
