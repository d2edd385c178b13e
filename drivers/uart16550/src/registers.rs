//! The eight I/O ports of a 16550 (data sheet, table II "Summary of Registers").

use bitflags::bitflags;
use kit::{ReadOnly, ReadWrite, Register, WriteOnly};

/// Bytes that came in (divisor access off).
pub(crate) const RECEIVER_BUFFER: Register<u8, ReadOnly> = Register::at(0);
/// Bytes to send (divisor access off).
pub(crate) const TRANSMITTER_HOLDING: Register<u8, WriteOnly> = Register::at(0);
/// Which events interrupt (divisor access off).
pub(crate) const INTERRUPT_ENABLE: Register<InterruptEnable, ReadWrite> = Register::at(1);
/// Low byte of the divisor (divisor access on).
pub(crate) const DIVISOR_LOW: Register<u8, ReadWrite> = Register::at(0);
/// High byte of the divisor (divisor access on).
pub(crate) const DIVISOR_HIGH: Register<u8, ReadWrite> = Register::at(1);
/// What interrupts now. Reading it takes a transmitter interrupt back.
pub(crate) const INTERRUPT_IDENTIFICATION: Register<InterruptIdentification, ReadOnly> =
    Register::at(2);
/// The FIFOs.
pub(crate) const FIFO_CONTROL: Register<FifoControl, WriteOnly> = Register::at(2);
/// The frame's format, and divisor access.
pub(crate) const LINE_CONTROL: Register<LineControl, ReadWrite> = Register::at(3);
/// Outputs to the modem; on a PC, `OUT2` connects the interrupt.
pub(crate) const MODEM_CONTROL: Register<ModemControl, ReadWrite> = Register::at(4);
/// What is there and what went wrong. Reading it clears the errors.
pub(crate) const LINE_STATUS: Register<LineStatus, ReadOnly> = Register::at(5);
/// Inputs from the modem. Reading it takes a modem interrupt back.
pub(crate) const MODEM_STATUS: Register<u8, ReadOnly> = Register::at(6);
/// A byte that does nothing: a device is there when it keeps it.
pub(crate) const SCRATCH: Register<u8, ReadWrite> = Register::at(7);

bitflags! {
    /// Section 8.7.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct InterruptEnable: u8 {
        const RECEIVED = 1 << 0;
        const TRANSMITTER_EMPTY = 1 << 1;
        const LINE_STATUS = 1 << 2;
    }

    /// Section 8.6. `NONE_PENDING` clear: something is.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct InterruptIdentification: u8 {
        const NONE_PENDING = 1 << 0;
        const TRANSMITTER_EMPTY = 1 << 1;
        const RECEIVED = 1 << 2;
        const LINE_STATUS = 3 << 1;
        const TIMEOUT = 3 << 2;
        const FIFOS = 3 << 6;
    }

    /// Section 8.5. Changing `ENABLE` clears both FIFOs; the trigger is that of the receiver.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct FifoControl: u8 {
        const ENABLE = 1 << 0;
        const CLEAR_RECEIVER = 1 << 1;
        const CLEAR_TRANSMITTER = 1 << 2;
        const TRIGGER_AT_8 = 2 << 6;
    }

    /// Section 8.1.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct LineControl: u8 {
        const EIGHT_BITS = 3;
        const DIVISOR_ACCESS = 1 << 7;
    }

    /// Section 8.8.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct ModemControl: u8 {
        const DATA_TERMINAL_READY = 1 << 0;
        const REQUEST_TO_SEND = 1 << 1;
        const OUT2 = 1 << 3;
        const LOOP = 1 << 4;
    }

    /// Section 8.4.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct LineStatus: u8 {
        const DATA_READY = 1 << 0;
        const OVERRUN = 1 << 1;
        const PARITY = 1 << 2;
        const FRAMING = 1 << 3;
        const BREAK = 1 << 4;
        const TRANSMITTER_HOLDING_EMPTY = 1 << 5;
        const TRANSMITTER_EMPTY = 1 << 6;
    }
}

kit::bits! {
    InterruptEnable: u8,
    InterruptIdentification: u8,
    FifoControl: u8,
    LineControl: u8,
    ModemControl: u8,
    LineStatus: u8,
}

/// Bytes in each FIFO (section 1.0). The transmitter takes as many once it says that it is empty.
pub(crate) const FIFO_SIZE: usize = 16;

/// Divisor of the 1.8432 MHz crystal for 115200 baud (table III).
pub(crate) const DIVISOR: u16 = 1;
