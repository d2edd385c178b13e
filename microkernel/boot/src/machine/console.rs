//! Where messages go: debugcon, and for a failure the first serial port too, which no driver owns yet.

use core::fmt;

use super::port::Port;

// SAFETY: QEMU's debugcon only takes bytes; without QEMU nothing is there.
const DEBUGCON: Port = unsafe { Port::new(0xe9) };

/// How often the serial port is asked whether it takes a byte before the byte is dropped: a port that is stuck must
/// not keep the message from the other console.
const PATIENCE: u32 = 100_000;

/// QEMU's debug console, port 0xE9.
pub(super) struct Debugcon;

impl fmt::Write for Debugcon {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            DEBUGCON.write(byte);
        }
        Ok(())
    }
}

/// Debugcon and COM1.
pub(super) struct Everywhere {
    serial: Serial,
}

impl Everywhere {
    /// Sets COM1 up.
    pub(super) fn open() -> Self {
        Self {
            serial: Serial::open(),
        }
    }
}

impl fmt::Write for Everywhere {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        Debugcon.write_str(text)?;
        for byte in text.bytes() {
            if byte == b'\n' {
                self.serial.write(b'\r');
            }
            self.serial.write(byte);
        }
        Ok(())
    }
}

/// A 16550 at COM1's place, polled.
struct Serial {
    data: Port,
    line_status: Port,
}

impl Serial {
    fn open() -> Self {
        // SAFETY: the registers of a UART at COM1's place; it does not reach memory.
        let register = |offset: u16| unsafe { Port::new(0x3f8 + offset) };
        let [data, interrupts, fifo, line, modem, line_status] = [0, 1, 2, 3, 4, 5].map(register);
        interrupts.write(0);
        // Divisor 1: 115200 baud.
        line.write(0x80);
        data.write(1);
        interrupts.write(0);
        // 8 bits, no parity, one stop bit; FIFOs on and empty; ready to send.
        line.write(0x03);
        fifo.write(0x07);
        modem.write(0x03);
        Self { data, line_status }
    }

    fn write(&self, byte: u8) {
        const TAKES_A_BYTE: u8 = 1 << 5;
        for _ in 0..PATIENCE {
            if self.line_status.read() & TAKES_A_BYTE != 0 {
                self.data.write(byte);
                return;
            }
            core::hint::spin_loop();
        }
    }
}
