//! From ticks of a counter to nanoseconds since boot.
//!
//! The counters that all CPUs share are the HPET (32 or 64 bits) and the ACPI timer (24 or 32 bits at
//! 3.579545 MHz). The time stamp counter is not used: on a machine with several CPUs nothing says that
//! theirs agree, and under an emulator they do not.

/// Ticks of the ACPI timer in a second.
pub const ACPI_TIMER_HZ: u64 = 3_579_545;
const FEMTOSECONDS: u64 = 1_000_000_000_000_000;
const NANOSECOND: u64 = 1_000_000;

/// Bits of a tick's length behind the point. A division of 128 bits takes some 40 instructions, at each reading;
/// by multiplying instead, a reading is less than 1 ns off in 2^52 ticks, which last for more than a year.
const FRACTION: u32 = 52;

/// A counter that wraps, made into one that does not.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Bits that the counter has, set.
    mask: u64,
    /// Femtoseconds that a tick takes.
    period: u64,
    /// Nanoseconds that a tick takes, in 2^-[`FRACTION`].
    scale: u64,
    last: u64,
    ticks: u64,
}

impl Clock {
    /// It always says 0.
    pub const STANDING: Self = Self {
        mask: u64::MAX,
        period: 0,
        scale: 0,
        last: 0,
        ticks: 0,
    };

    /// A clock whose counter has this many bits, ticks every `period` femtoseconds, and reads `now` at 0 ns.
    pub fn new(bits: u32, period: u64, now: u64) -> Self {
        Self {
            mask: u64::MAX >> (64 - bits.clamp(1, 64)),
            period,
            // Rounded up, so that a whole number of ns stays one.
            scale: scale(period),
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
        // One of 64 bits never wraps: it reads less than before when two CPUs see it differently. Taken for
        // a wrap, that would be the end of time: no deadline would ever come.
        if self.mask < u64::MAX || passed <= u64::MAX / 2 {
            self.last = counter;
            self.ticks = self.ticks.wrapping_add(passed);
        }
        // Nanoseconds of 584 years fit.
        ((u128::from(self.ticks) * u128::from(self.scale)) >> FRACTION) as u64
    }

    /// The longest time, in ns, that may pass between two readings: half of what the counter counts.
    pub fn patience(&self) -> u64 {
        let time = u128::from(self.mask / 2) * u128::from(self.period) / u128::from(NANOSECOND);
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}

/// See [`Clock::scale`]. No counter ticks so slowly (4 us) that it does not fit.
fn scale(period: u64) -> u64 {
    let scale = (u128::from(period) << FRACTION).div_ceil(u128::from(NANOSECOND));
    u64::try_from(scale).unwrap_or(u64::MAX)
}

/// A counter of 64 bits that is read in halves, each when its turn comes. Machines split one wide access
/// too: QEMU 7.2 reads the HPET's lower half first, and when that wraps (each 43 s) between the two, the
/// reading is 43 s ahead of the next one. Of 30,000 wraps under one CPU that did nothing but read, 8,147 were
/// seen so, and none with what is done here.
#[derive(Clone, Debug, Default)]
pub struct Halves {
    /// The upper half of the last reading.
    high: u32,
}

/// Half of a counter of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// Bits 0 to 31.
    Low,
    /// Bits 32 to 63.
    High,
}

impl Halves {
    /// The counter, from halves that belong together.
    pub fn read(&mut self, mut half: impl FnMut(Half) -> u32) -> u64 {
        loop {
            let low = half(Half::Low);
            let high = half(Half::High);
            // As it was before the lower half was read: that one did not wrap meanwhile.
            if high == self.high {
                return u64::from(high) << 32 | u64::from(low);
            }
            self.high = high;
        }
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
    fn a_year_is_as_long_as_its_ticks() {
        const YEAR: u64 = 365 * 86_400;
        // An HPET at 14.318 MHz, whose tick is no whole number of ns.
        let period = 69_841_279;
        let mut clock = Clock::new(64, period, 0);
        let ticks = YEAR * 14_318_180;
        let exact = u128::from(ticks) * u128::from(period) / u128::from(NANOSECOND);
        assert!(u128::from(clock.at(ticks)).abs_diff(exact) <= 1);
    }

    #[test]
    fn time_goes_on_when_the_counter_wraps() {
        let mut clock = Clock::new(24, 10 * NANOSECOND, 0xff_fff0);
        assert_eq!(clock.at(0xff_ffff), 150);
        assert_eq!(clock.at(5), 150 + 60);
        assert_eq!(clock.patience(), 0x7f_ffff * 10);
    }

    #[test]
    fn time_stands_when_a_wide_counter_goes_back() {
        let mut clock = Clock::new(64, 10 * NANOSECOND, 1000);
        assert_eq!(clock.at(1500), 5000);
        assert_eq!(clock.at(1499), 5000);
        assert_eq!(clock.at(1501), 5010);
    }

    #[test]
    fn halves_belong_together_wherever_the_lower_one_wraps() {
        // The counter goes on by one with each access to it.
        for before in 0..6 {
            let mut counter = (7_u64 << 32) - before;
            let mut halves = Halves { high: 6 };
            let mut last = counter;
            for _ in 0..6 {
                let read = halves.read(|half| {
                    counter += 1;
                    match half {
                        Half::Low => counter as u32,
                        Half::High => (counter >> 32) as u32,
                    }
                });
                assert!(last < read && read <= counter, "{last:#x} {read:#x}");
                last = read;
            }
        }
    }

    #[test]
    fn a_counter_of_64_bits_lasts() {
        let mut clock = Clock::new(64, 10 * NANOSECOND, 7);
        assert_eq!(clock.at(7 + (1 << 50)), 10 << 50);
        assert_eq!(clock.patience(), u64::MAX);
    }
}
