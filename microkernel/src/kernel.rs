//! [`Kernel`]: all state of the kernel, and the one function that changes it.

use core::ops::Range;

use crate::machine::{Cpu, Event, Machine, Next, Page};

/// What the machine found when it started.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The first task, flattened ([`abi::image`]), in whole pages.
    pub image: Range<Page>,
    /// The boot archive, in whole pages.
    pub archive: Range<Page>,
    /// How many CPUs will come online. The calling one is CPU 0.
    pub cpus: u32,
    /// Whether messages may take the fast path.
    pub fast_path: bool,
}

/// Why the kernel cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// The image does not begin with a valid header, or a segment lies outside it or the address space.
    BadImage(&'static str),
    /// Not enough memory for the first task.
    OutOfMemory,
}

/// The whole kernel.
pub struct Kernel {}

impl Kernel {
    /// A kernel with one task, whose first thread runs at the next event of CPU 0.
    ///
    /// # Errors
    /// See [`BootError`].
    pub fn new<M: Machine>(_machine: &mut M, _boot: &Boot) -> Result<Self, BootError> {
        Err(BootError::OutOfMemory)
    }

    /// Takes an event of a CPU; answers what that CPU does now.
    pub fn handle<M: Machine>(&mut self, _machine: &mut M, _cpu: Cpu, _event: Event) -> Next {
        Next::Idle
    }
}
