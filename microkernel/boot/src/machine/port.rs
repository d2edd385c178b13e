//! I/O ports of the machine, one byte at a time.

use core::arch::asm;

/// An I/O port whose reads and writes touch no memory.
#[derive(Clone, Copy)]
pub(super) struct Port(u16);

impl Port {
    /// The port `number`.
    ///
    /// # Safety
    /// 1. Nothing that the device behind the port does upon a read or write of any value touches memory or the
    ///    processor's state, but that it may end the machine.
    pub(super) const unsafe fn new(number: u16) -> Self {
        Self(number)
    }

    pub(super) fn write(self, value: u8) {
        // SAFETY: by `new`'s condition the write has no effect on memory.
        unsafe {
            asm!("out dx, al", in("dx") self.0, in("al") value, options(nomem, nostack, preserves_flags));
        }
    }

    pub(super) fn read(self) -> u8 {
        let value: u8;
        // SAFETY: by `new`'s condition the read has no effect on memory.
        unsafe {
            asm!("in al, dx", in("dx") self.0, out("al") value, options(nomem, nostack, preserves_flags));
        }
        value
    }
}
