//! Process-context identifiers (PCID): the tag that translations of an address space carry in a TLB.
//!
//! A root, as CR3 takes it, is a table's address with its context in the low 12 bits, and a bit that
//! keeps the context's translations when the root is loaded (Intel SDM vol. 3, 4.10.4.1). Context 0 is
//! the kernel's own root's, and that of spaces for which no other one was left: loading it forgets.

/// The bits that are a context.
const CONTEXT: u64 = 0xfff;
/// Loading the root keeps what the TLB has of its context.
const KEEP: u64 = 1 << 63;

/// The table's address in a root.
pub const fn table_of(root: u64) -> u64 {
    root & !(CONTEXT | KEEP)
}

/// The context in a root.
pub const fn context_of(root: u64) -> u64 {
    root & CONTEXT
}

/// Which contexts are taken. Number 0 always is.
pub struct Contexts {
    taken: [u64; 64],
}

impl Default for Contexts {
    fn default() -> Self {
        Self::new()
    }
}

impl Contexts {
    /// None but 0.
    pub const fn new() -> Self {
        let mut taken = [0; 64];
        taken[0] = 1;
        Self { taken }
    }

    /// A root for a table: with a context of its own, if one is left.
    pub fn tag(&mut self, table: u64) -> u64 {
        let free = self
            .taken
            .iter_mut()
            .zip(0u64..)
            .find(|(word, _)| **word != u64::MAX);
        let Some((word, index)) = free else {
            return table;
        };
        let bit = word.trailing_ones();
        *word |= 1 << bit;
        table | KEEP | (index * 64 + u64::from(bit))
    }

    /// Takes the context of a root back: no CPU remembers any of its translations.
    pub fn release(&mut self, context: u64) {
        if context == 0 {
            return;
        }
        if let Some(word) = self.taken.get_mut(context as usize / 64) {
            *word &= !(1 << (context % 64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn contexts_are_unique_until_they_are_released() {
        let mut contexts = Contexts::new();
        let roots: BTreeSet<u64> = (0..4095).map(|_| contexts.tag(0x7000)).collect();
        assert_eq!(roots.len(), 4095);
        assert!(
            roots
                .iter()
                .all(|root| table_of(*root) == 0x7000 && context_of(*root) != 0)
        );
        assert!(roots.iter().all(|root| root & KEEP != 0));
        assert_eq!(
            contexts.tag(0x7000),
            0x7000,
            "none is left: loading it forgets"
        );
        contexts.release(0);
        assert_eq!(contexts.tag(0x8000), 0x8000);
        contexts.release(77);
        assert_eq!(context_of(contexts.tag(0x9000)), 77);
    }
}
