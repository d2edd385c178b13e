//! I/O ports.

use core::arch::asm;

/// Reads a port of 1, 2 or 4 bytes; any other width reads as all ones, as an absent device does.
pub(crate) fn read(port: u16, width: u8) -> u32 {
    let value: u32;
    match width {
        1 => {
            let byte: u8;
            // SAFETY: a port read touches no memory; what it does to a device is the caller's wish.
            unsafe {
                asm!("in al, dx", in("dx") port, out("al") byte, options(nomem, nostack, preserves_flags))
            };
            value = u32::from(byte);
        }
        2 => {
            let word: u16;
            // SAFETY: as above.
            unsafe {
                asm!("in ax, dx", in("dx") port, out("ax") word, options(nomem, nostack, preserves_flags))
            };
            value = u32::from(word);
        }
        4 => {
            // SAFETY: as above.
            unsafe {
                asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags))
            };
        }
        _ => value = u32::MAX,
    }
    value
}

/// Writes a port of 1, 2 or 4 bytes; any other width does nothing.
///
/// A device may write memory because of it: who may reach which port is decided by rights in the kernel,
/// and DMA is confined by what the driver was given.
pub(crate) fn write(port: u16, width: u8, value: u32) {
    match width {
        // SAFETY: a port write touches no memory of ring 0.
        1 => unsafe {
            asm!("out dx, al", in("dx") port, in("al") value as u8, options(nostack, preserves_flags))
        },
        // SAFETY: as above.
        2 => unsafe {
            asm!("out dx, ax", in("dx") port, in("ax") value as u16, options(nostack, preserves_flags))
        },
        // SAFETY: as above.
        4 => unsafe {
            asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags))
        },
        _ => {}
    }
}
