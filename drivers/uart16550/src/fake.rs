//! A 16550 as its registers show it, for tests. The wire moves when the test says so.

use std::collections::VecDeque;
use std::vec::Vec;

use kit::Width;
use kit::fake::Device;

use crate::registers::{
    FIFO_SIZE, FifoControl, InterruptEnable, InterruptIdentification, LineControl, LineStatus,
    ModemControl,
};

/// The device.
#[derive(Debug)]
pub struct Fake16550 {
    enable: InterruptEnable,
    control: LineControl,
    modem: ModemControl,
    divisor: [u8; 2],
    scratch: u8,
    fifos: bool,
    input: VecDeque<u8>,
    output: VecDeque<u8>,
    errors: LineStatus,
    transmitter_pending: bool,
    /// What the wire carried away.
    pub wire: Vec<u8>,
    /// Whether a byte for the transmitter is on the wire at once.
    pub instant: bool,
    /// Whether a device is there at all.
    pub present: bool,
    /// Bytes written to a full transmitter: none may be.
    pub lost: usize,
}

impl Default for Fake16550 {
    fn default() -> Self {
        Self {
            enable: InterruptEnable::empty(),
            control: LineControl::empty(),
            modem: ModemControl::empty(),
            divisor: [12, 0],
            scratch: 0,
            fifos: false,
            input: VecDeque::new(),
            output: VecDeque::new(),
            errors: LineStatus::empty(),
            transmitter_pending: false,
            wire: Vec::new(),
            instant: false,
            present: true,
            lost: 0,
        }
    }
}

impl Fake16550 {
    fn room(&self) -> usize {
        if self.fifos { FIFO_SIZE } else { 1 }
    }

    /// A port where no device is.
    pub fn absent() -> Self {
        Self {
            present: false,
            ..Self::default()
        }
    }

    /// A device whose wire carries a byte away as soon as it is there.
    pub fn instant() -> Self {
        Self {
            instant: true,
            ..Self::default()
        }
    }

    /// Bytes come in.
    pub fn hear_all(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hear(*byte);
        }
    }

    /// A byte comes in. Without room it is lost, and an overrun.
    pub fn hear(&mut self, byte: u8) {
        if self.input.len() < self.room() {
            self.input.push_back(byte);
        } else {
            self.errors |= LineStatus::OVERRUN;
        }
    }

    /// A break comes in, as the zero that it is read as.
    pub fn hear_break(&mut self) {
        self.errors |= LineStatus::BREAK;
        self.input.push_back(0);
    }

    /// Whether it has no room for another byte.
    pub fn is_full(&self) -> bool {
        self.input.len() == self.room()
    }

    /// The wire carries away what the transmitter has.
    pub fn carry(&mut self) {
        let had = !self.output.is_empty();
        self.wire.extend(self.output.drain(..));
        self.transmitter_pending |= had;
    }

    /// The divisor that was set.
    pub fn divisor(&self) -> u16 {
        u16::from_le_bytes(self.divisor)
    }

    /// Whether the sender may go on.
    pub fn asks_for_input(&self) -> bool {
        self.modem.contains(ModemControl::REQUEST_TO_SEND)
    }

    fn identification(&self) -> InterruptIdentification {
        let received = InterruptEnable::RECEIVED;
        let errors = self.enable.contains(InterruptEnable::LINE_STATUS) && !self.errors.is_empty();
        let transmitter = InterruptEnable::TRANSMITTER_EMPTY;
        let mut found = if errors {
            InterruptIdentification::LINE_STATUS
        } else if self.enable.contains(received) && !self.input.is_empty() {
            InterruptIdentification::RECEIVED
        } else if self.enable.contains(transmitter) && self.transmitter_pending {
            InterruptIdentification::TRANSMITTER_EMPTY
        } else {
            InterruptIdentification::NONE_PENDING
        };
        found.set(InterruptIdentification::FIFOS, self.fifos);
        found
    }

    fn identify(&mut self) -> u8 {
        let found = self.identification();
        let transmitter = InterruptIdentification::TRANSMITTER_EMPTY;
        if found - InterruptIdentification::FIFOS == transmitter {
            self.transmitter_pending = false;
        }
        found.bits()
    }

    fn status(&mut self) -> u8 {
        let mut status = std::mem::replace(&mut self.errors, LineStatus::empty());
        status.set(LineStatus::DATA_READY, !self.input.is_empty());
        let empty = LineStatus::TRANSMITTER_HOLDING_EMPTY | LineStatus::TRANSMITTER_EMPTY;
        status.set(empty, self.output.is_empty());
        status.bits()
    }

    fn send(&mut self, byte: u8) {
        self.transmitter_pending = false;
        if self.output.len() == self.room() {
            self.lost += 1;
            return;
        }
        self.output.push_back(byte);
        if self.instant {
            self.carry();
        }
    }

    fn control_fifos(&mut self, control: FifoControl) {
        let fifos = control.contains(FifoControl::ENABLE);
        let changed = fifos != self.fifos;
        self.fifos = fifos;
        if changed || control.contains(FifoControl::CLEAR_RECEIVER) {
            self.input.clear();
        }
        if changed || control.contains(FifoControl::CLEAR_TRANSMITTER) {
            self.output.clear();
        }
    }

    fn enable(&mut self, enable: InterruptEnable) {
        let transmitter = InterruptEnable::TRANSMITTER_EMPTY;
        // Enabling it while the transmitter is empty interrupts at once.
        if (enable - self.enable).contains(transmitter) && self.output.is_empty() {
            self.transmitter_pending = true;
        }
        self.enable = enable;
    }
}

impl Device for Fake16550 {
    const PORTS: u16 = 8;

    fn read(&mut self, offset: u16, width: Width) -> u32 {
        assert_eq!(width, Width::Byte, "the registers are bytes");
        if !self.present {
            return 0xff;
        }
        let divisor = self.control.contains(LineControl::DIVISOR_ACCESS);
        u32::from(match offset {
            0 if divisor => self.divisor[0],
            1 if divisor => self.divisor[1],
            0 => self.input.pop_front().unwrap_or(0),
            1 => self.enable.bits(),
            2 => self.identify(),
            3 => self.control.bits(),
            4 => self.modem.bits(),
            5 => self.status(),
            7 => self.scratch,
            _ => 0,
        })
    }

    fn write(&mut self, offset: u16, width: Width, value: u32) {
        assert_eq!(width, Width::Byte, "the registers are bytes");
        let value = value as u8;
        let divisor = self.control.contains(LineControl::DIVISOR_ACCESS);
        match offset {
            0 if divisor => self.divisor[0] = value,
            1 if divisor => self.divisor[1] = value,
            0 => self.send(value),
            1 => self.enable(InterruptEnable::from_bits_retain(value)),
            2 => self.control_fifos(FifoControl::from_bits_retain(value)),
            3 => self.control = LineControl::from_bits_retain(value),
            4 => self.modem = ModemControl::from_bits_retain(value),
            7 => self.scratch = value,
            _ => {}
        }
    }

    fn interrupts(&self) -> bool {
        let none = InterruptIdentification::NONE_PENDING;
        self.present
            && self.modem.contains(ModemControl::OUT2)
            && !self.identification().contains(none)
    }
}
