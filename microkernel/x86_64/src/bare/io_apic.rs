//! The I/O APICs: from interrupt lines to vectors of one CPU.
//!
//! A line's number is its global system interrupt. Legacy interrupts are edges, active high, unless the
//! firmware says otherwise; lines from 16 on are levels, active low, as PCI has them. All go to CPU 0.

use microkernel::machine::Cpu;
use microkernel_x86_64::acpi::{Acpi, MAX_IO_APICS};
use microkernel_x86_64::lines::{Input, Lines, MAX_LINES, Trigger};

use super::interrupts::number;
use super::memory::Memory;
use super::{apic, percpu};

const VERSION: u32 = 1;
const TABLE: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;
const LEGACY: u32 = 16;

#[derive(Clone, Copy)]
struct Controller {
    /// Where its registers are mapped.
    base: u64,
    first: u32,
    count: u32,
}

/// All lines, and the controllers that they end in.
pub(crate) struct Interrupts {
    controllers: heapless::Vec<Controller, MAX_IO_APICS>,
    lines: Lines,
    /// Trigger and polarity of each line, as the controller has them.
    modes: [u32; MAX_LINES],
}

impl Controller {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: the register window is mapped for ever, and only used under the kernel lock.
        unsafe { (self.base as *mut u32).write_volatile(register) };
        // SAFETY: as above.
        unsafe { ((self.base + 0x10) as *const u32).read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { (self.base as *mut u32).write_volatile(register) };
        // SAFETY: an I/O APIC writes no memory but interrupts, whose vectors are `interrupts`' own.
        unsafe { ((self.base + 0x10) as *mut u32).write_volatile(value) };
    }
}

impl Interrupts {
    /// No line.
    pub(crate) const fn new() -> Self {
        Self {
            controllers: heapless::Vec::new(),
            lines: Lines::new(),
            modes: [0; MAX_LINES],
        }
    }

    /// Takes the controllers over, every line masked.
    pub(crate) fn set_up(&mut self, acpi: &Acpi, memory: &mut Memory) {
        for found in &acpi.io_apics {
            let Ok(base) = memory.map_device(found.address) else {
                continue;
            };
            let mut controller = Controller {
                base,
                first: found.first_line,
                count: 0,
            };
            controller.count = (controller.read(VERSION) >> 16 & 0xff) + 1;
            for line in 0..controller.count {
                controller.write(TABLE + line * 2, MASKED);
            }
            // The table has room for as many as the parser remembers.
            self.controllers.push(controller).ok();
        }
        for line in 0..MAX_LINES as u32 {
            let level = line >= LEGACY;
            self.set_mode(line, level, level);
        }
        for found in &acpi.overrides {
            self.set_mode(found.line, found.level, found.active_low);
        }
    }

    fn set_mode(&mut self, line: u32, level: impl Into<u32>, active_low: impl Into<u32>) {
        let (level, active_low) = (level.into(), active_low.into());
        if let Some(mode) = self.modes.get_mut(line as usize) {
            *mode = (level * LEVEL) | (active_low * ACTIVE_LOW);
        }
        let trigger = if level == 0 {
            Trigger::Edge
        } else {
            Trigger::Level
        };
        self.lines.set_trigger(line, trigger);
    }

    fn controller(&self, line: u32) -> Option<(Controller, u32)> {
        let serves = |controller: &&Controller| {
            (controller.first..controller.first.saturating_add(controller.count)).contains(&line)
        };
        let controller = self.controllers.iter().find(serves)?;
        Some((*controller, TABLE + (line - controller.first) * 2))
    }

    fn set_input(&self, line: u32, input: Option<Input>) {
        let (Some(input), Some((controller, register))) = (input, self.controller(line)) else {
            return;
        };
        let mode = self.modes.get(line as usize).copied().unwrap_or(0);
        let vector = u32::from(number::LINES) + line;
        match input {
            Input::Mask => controller.write(register, MASKED | mode | vector),
            Input::Open => {
                let target = percpu::of(Cpu(0)).apic.get();
                controller.write(register + 1, target << 24);
                controller.write(register, mode | vector);
            }
        }
    }

    /// A line fired; whether the kernel hears of it.
    pub(crate) fn fired(&mut self, line: u32) -> bool {
        let action = self.lines.fired(line);
        self.set_input(line, action.input);
        action.deliver
    }

    /// Lets a line fire. `false`: there is no such line.
    pub(crate) fn unmask(&mut self, line: u32) -> bool {
        if line as usize >= MAX_LINES || self.controller(line).is_none() {
            return false;
        }
        let action = self.lines.unmask(line);
        self.set_input(line, action.input);
        if action.deliver {
            apic::interrupt(Cpu(0), number::LINES + line as u8);
        }
        true
    }

    /// Keeps a line from firing. `false`: there is no such line.
    pub(crate) fn mask(&mut self, line: u32) -> bool {
        if line as usize >= MAX_LINES || self.controller(line).is_none() {
            return false;
        }
        let action = self.lines.mask(line);
        self.set_input(line, action.input);
        true
    }
}
