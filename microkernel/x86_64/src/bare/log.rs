//! The kernel's log: lines to the debug console, and the two ways in which a run ends.

use core::fmt::{self, Write};

use super::{asm, ports};

/// QEMU's debug console.
pub(crate) const DEBUG_CONSOLE: u16 = 0xe9;
/// QEMU's exit device: a write of n ends QEMU with status 2n + 1.
const EXIT: u16 = 0xf4;
/// PIIX4's and ICH9's power management, as QEMU's firmware places them: S5 is sleep type 0.
const POWER: [u16; 2] = [0x604, 0xb004];
const SLEEP: u32 = 1 << 13;
/// The reset control register of Intel's chipsets since PIIX (ICH9 datasheet, section 13.7.5).
const RESET: u16 = 0xcf9;
/// First what kind (hard), then do it: the reset is the change of bit 2 from 0 to 1.
const RESET_COMMANDS: [u32; 2] = [0x02, 0x06];
/// The keyboard controller's command register, and the command that pulses the processor's reset line.
const KEYBOARD_COMMAND: u16 = 0x64;
const PULSE_RESET: u32 = 0xfe;

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

/// Resets the machine, all CPUs of it: by the chipset's reset register, else by the keyboard controller.
pub(crate) fn restart() -> ! {
    for command in RESET_COMMANDS {
        ports::write(RESET, 1, command);
    }
    ports::write(KEYBOARD_COMMAND, 1, PULSE_RESET);
    asm::halt()
}

macro_rules! log {
    ($($text:tt)*) => {
        $crate::bare::log::line(format_args!($($text)*))
    };
}
pub(crate) use log;
