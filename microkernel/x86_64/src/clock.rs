//! From ticks of a counter to nanoseconds since boot.
//!
//! The counters that all CPUs share are the HPET (32 or 64 bits) and the ACPI timer (24 or 32 bits at
//! 3.579545 MHz). The time stamp counter is not used: on a machine with several CPUs nothing says that
//! theirs agree, and under an emulator they do not.

/// Ticks of the ACPI timer in a second.
pub const ACPI_TIMER_HZ: u64 = 3_579_545;
const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
const NANOSECOND: u64 = 1_000_000;

/// A counter that wraps, made into one that does not.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Bits that the counter has, set.
    mask: u64,
    /// Femtoseconds that a tick takes.
    period: u64,
    last: u64,
    ticks: u64,
}

impl Clock {
    /// A clock whose counter has this many bits, ticks every `period` femtoseconds, and reads `now` at 0 ns.
    pub fn new(bits: u32, period: u64, now: u64) -> Self {
        Self {
            mask: u64::MAX >> (64 - bits.clamp(1, 64)),
            period,
            last: now,
            ticks: 0,
        }
    }

    /// The ACPI timer, which reads `now` at 0 ns.
    pub fn acpi(wide: Width, now: u64) -> Self {
        let bits = match wide {
            Width::Bits24 => 24,
            Width::Bits32 => 32,
        };
        Self::new(bits, FEMTOSECONDS / ACPI_TIMER_HZ, now)
    }

    /// Nanoseconds at a reading of the counter. Never less than before.
    pub fn at(&mut self, counter: u64) -> u64 {
        let passed = counter.wrapping_sub(self.last) & self.mask;
        self.last = counter;
        self.ticks = self.ticks.saturating_add(passed);
        let time = u128::from(self.ticks) * u128::from(self.period) / u128::from(NANOSECOND);
        u64::try_from(time).unwrap_or(u64::MAX)
    }

    /// The longest time, in ns, that may pass between two readings: half of what the counter counts.
    pub fn patience(&self) -> u64 {
        let time = u128::from(self.mask / 2) * u128::from(self.period) / u128::from(NANOSECOND);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// How wide the ACPI timer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    /// 24 bits.
    Bits24,
    /// 32 bits.
    Bits32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_ticks_is_a_second() {
        let mut clock = Clock::acpi(Width::Bits24, 100);
        assert_eq!(clock.at(100), 0);
        let time = clock.at(100 + ACPI_TIMER_HZ);
        assert!(time.abs_diff(1_000_000_000) < 10, "{time}");
    }

    #[test]
    fn time_goes_on_when_the_counter_wraps() {
        let mut clock = Clock::new(24, 10 * NANOSECOND, 0xff_fff0);
        assert_eq!(clock.at(0xff_ffff), 150);
        assert_eq!(clock.at(5), 150 + 60);
        assert_eq!(clock.patience(), 0x7f_ffff * 10);
    }

    #[test]
    fn a_counter_of_64_bits_lasts() {
        let mut clock = Clock::new(64, 10 * NANOSECOND, 7);
        assert_eq!(clock.at(7 + (1 << 50)), 10 << 50);
        assert_eq!(clock.patience(), u64::MAX);
    }
}
