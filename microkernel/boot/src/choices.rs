//! [`Choices`]: what the boot protocol leaves to the loader.
//!
//! A kernel that works with one way to choose may rely on it by accident. So there are two: a Limine's usual one, and one
//! in which all is different, which a test asks for by the word `boot=odd` on the command line.

use crate::memory_map::Order;

/// What is in memory whose content is undefined, where writing it costs little.
pub const JUNK: u8 = 0xa5;

/// The word that asks for [`Choices::Odd`].
const ODD: &[u8] = b"boot=odd";

/// How the stub chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choices {
    /// The lowest direct map of four levels; the kernel lies at the top of memory, all below 1 MiB is left to it.
    Usual,
    /// The direct map begins elsewhere, as it does when a loader is told to randomise it; the kernel lies at the bottom;
    /// what is below 1 MiB is the loader's, as UEFI's boot services may have it; all free memory holds [`JUNK`].
    Odd,
}

impl Choices {
    /// What the command line asks for.
    #[must_use]
    pub fn of(command_line: &[u8]) -> Self {
        let mut words = command_line.split(u8::is_ascii_whitespace);
        if words.any(|word| word == ODD) {
            Self::Odd
        } else {
            Self::Usual
        }
    }

    /// Where the kernel finds physical address 0, at a multiple of 1 GiB.
    #[must_use]
    pub const fn direct_map(self) -> u64 {
        match self {
            Self::Usual => 0xffff_8000_0000_0000,
            Self::Odd => 0xffff_9234_4000_0000,
        }
    }

    /// Where memory is taken first.
    #[must_use]
    pub const fn order(self) -> Order {
        match self {
            Self::Usual => Order::HighestFirst,
            Self::Odd => Order::LowestFirst,
        }
    }
}
