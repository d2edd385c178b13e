//! The device: reset, one byte in, a burst out.

use kit::Ports;
use libmach::Result;
use libmach::abi::kern_return::KernReturn;

use crate::registers::{
    DIVISOR, DIVISOR_HIGH, DIVISOR_LOW, FIFO_CONTROL, FIFO_SIZE, FifoControl, INTERRUPT_ENABLE,
    INTERRUPT_IDENTIFICATION, InterruptEnable, InterruptIdentification, LINE_CONTROL, LINE_STATUS,
    LineControl, LineStatus, MODEM_CONTROL, MODEM_STATUS, ModemControl, RECEIVER_BUFFER, SCRATCH,
    TRANSMITTER_HOLDING,
};

/// What a line status register reads as where no device is.
const NOTHING_THERE: u8 = 0xff;

/// What receiving gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Received {
    /// The byte, when there was one.
    pub(crate) byte: Option<u8>,
    /// A byte before it was lost: the receiver was full.
    pub(crate) overrun: bool,
    /// The byte is damaged, or a break that stands for none.
    pub(crate) damaged: bool,
}

/// A UART behind its registers.
#[derive(Debug)]
pub(crate) struct Uart<P> {
    ports: P,
    /// Bytes that the empty transmitter takes.
    burst: usize,
    /// What the interrupt enable register holds.
    enabled: InterruptEnable,
}

impl<P: Ports> Uart<P> {
    /// Brings the device into a known state, whatever a former driver left behind. Bytes that it
    /// has received stay in it, bytes that it has to send go out.
    ///
    /// # Errors
    /// `NotSupported` when no 16550 answers.
    pub(crate) fn reset(ports: P) -> Result<Self> {
        let mut uart = Self {
            ports,
            burst: 1,
            enabled: InterruptEnable::empty(),
        };
        let ports = &uart.ports;
        LINE_CONTROL.write(ports, LineControl::EIGHT_BITS)?;
        INTERRUPT_ENABLE.write(ports, InterruptEnable::empty())?;
        uart.probe()?;
        uart.set_divisor()?;
        // Switching the FIFOs on clears what was received (section 8.5), and where a byte waits
        // others follow at once: then the device goes on without FIFOs, slower and whole.
        if uart.fifos()? || !uart.status()?.contains(LineStatus::DATA_READY) {
            let control = FifoControl::ENABLE | FifoControl::TRIGGER_AT_8;
            FIFO_CONTROL.write(&uart.ports, control)?;
        }
        if uart.fifos()? {
            uart.burst = FIFO_SIZE;
        }
        // Pending state from before is read away.
        MODEM_STATUS.read(&uart.ports)?;
        uart.connect()?;
        Ok(uart)
    }

    fn probe(&self) -> Result<()> {
        for pattern in [0x5a, 0xa5] {
            SCRATCH.write(&self.ports, pattern)?;
            if SCRATCH.read(&self.ports)? != pattern {
                return Err(KernReturn::NotSupported.into());
            }
        }
        Ok(())
    }

    fn set_divisor(&self) -> Result<()> {
        let [low, high] = DIVISOR.to_le_bytes();
        let access = LineControl::EIGHT_BITS | LineControl::DIVISOR_ACCESS;
        LINE_CONTROL.write(&self.ports, access)?;
        DIVISOR_LOW.write(&self.ports, low)?;
        DIVISOR_HIGH.write(&self.ports, high)?;
        LINE_CONTROL.write(&self.ports, LineControl::EIGHT_BITS)
    }

    fn fifos(&self) -> Result<bool> {
        let identification = INTERRUPT_IDENTIFICATION.read(&self.ports)?;
        Ok(identification.contains(InterruptIdentification::FIFOS))
    }

    fn connect(&self) -> Result<()> {
        let mut control = ModemControl::DATA_TERMINAL_READY | ModemControl::OUT2;
        let open = self.enabled.contains(InterruptEnable::RECEIVED);
        control.set(ModemControl::REQUEST_TO_SEND, open);
        MODEM_CONTROL.write(&self.ports, control)
    }

    /// Whether something interrupts. Asking takes a transmitter interrupt back (section 8.6).
    ///
    /// # Errors
    /// When the ports cannot be reached.
    pub(crate) fn is_pending(&self) -> Result<bool> {
        let identification = INTERRUPT_IDENTIFICATION.read(&self.ports)?;
        Ok(!identification.contains(InterruptIdentification::NONE_PENDING))
    }

    /// Takes the next byte that came in, if there is one.
    ///
    /// # Errors
    /// `NotSupported` when the device is gone.
    pub(crate) fn receive(&self) -> Result<Received> {
        let status = self.status()?;
        let broken = LineStatus::PARITY | LineStatus::FRAMING | LineStatus::BREAK;
        let mut received = Received {
            overrun: status.contains(LineStatus::OVERRUN),
            damaged: status.intersects(broken),
            byte: None,
        };
        if status.contains(LineStatus::DATA_READY) {
            let byte = RECEIVER_BUFFER.read(&self.ports)?;
            // A break comes with a zero that nobody sent.
            received.byte = (!status.contains(LineStatus::BREAK)).then_some(byte);
        }
        Ok(received)
    }

    /// Hands over the first bytes of `bytes` when the transmitter is empty; says how many.
    ///
    /// # Errors
    /// `NotSupported` when the device is gone.
    pub(crate) fn transmit(&self, bytes: &[u8]) -> Result<usize> {
        let ready = LineStatus::TRANSMITTER_HOLDING_EMPTY;
        if bytes.is_empty() || !self.status()?.contains(ready) {
            return Ok(0);
        }
        let burst = &bytes[..bytes.len().min(self.burst)];
        for byte in burst {
            TRANSMITTER_HOLDING.write(&self.ports, *byte)?;
        }
        Ok(burst.len())
    }

    /// Lets these events interrupt, and no others. Without `RECEIVED` the device keeps what comes in,
    /// and asks the sender to stop.
    ///
    /// # Errors
    /// When the ports cannot be reached.
    pub(crate) fn want(&mut self, wanted: InterruptEnable) -> Result<()> {
        if wanted == self.enabled {
            return Ok(());
        }
        let received = InterruptEnable::RECEIVED;
        let turned = (wanted ^ self.enabled).contains(received);
        self.enabled = wanted;
        INTERRUPT_ENABLE.write(&self.ports, wanted)?;
        if turned { self.connect() } else { Ok(()) }
    }

    fn status(&self) -> Result<LineStatus> {
        let status = LINE_STATUS.read(&self.ports)?;
        if status.bits() == NOTHING_THERE {
            return Err(KernReturn::NotSupported.into());
        }
        Ok(status)
    }
}
