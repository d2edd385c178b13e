//! The kernel's log: lines to the debug console, and the two ways in which a run ends.

use core::fmt::{self, Write};

use super::{asm, ports};

/// QEMU's debug console.
const DEBUG_CONSOLE: u16 = 0xe9;
/// QEMU's exit device: a write of n ends QEMU with status 2n + 1.
const EXIT: u16 = 0xf4;
/// PIIX4's and ICH9's power management, as QEMU's firmware places them: S5 is sleep type 0.
const POWER: [u16; 2] = [0x604, 0xb004];
const SLEEP: u32 = 1 << 13;

/// How a run ends.
#[derive(Clone, Copy)]
pub(crate) enum Ending {
    /// It was switched off.
    Finished = 0x10,
    /// The kernel panicked.
    Panicked = 0x11,
    /// It took longer than the command line allows.
    Hung = 0x12,
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            ports::write(DEBUG_CONSOLE, 1, u32::from(byte));
        }
        Ok(())
    }
}

/// Writes a line. No lock: a CPU that panics must not wait, and callers hold the kernel lock.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    // The console takes every byte.
    Console.write_fmt(format_args!("{text}\n")).ok();
}

/// Ends the run: by the exit device where it is, else by power management.
pub(crate) fn end(ending: Ending) -> ! {
    ports::write(EXIT, 4, ending as u32);
    if matches!(ending, Ending::Finished) {
        for port in POWER {
            ports::write(port, 2, SLEEP);
        }
    }
    asm::halt()
}

macro_rules! log {
    ($($text:tt)*) => {
        $crate::bare::log::line(format_args!($($text)*))
    };
}
pub(crate) use log;
