//! How busy the machine is.

use abi::clock::SECOND;
use abi::host::statistics::LOAD_SCALE;

use crate::machine::Time;

/// What of an average is left after a second, in thousandths: averages over 5, 30 and 60 s.
const KEPT: [u64; 3] = [800, 966, 983];

/// 1, where averages are multiplied.
const ONE: u64 = 1 << 32;

/// Bits of an average below what is told of it.
const FRACTION: u32 = 16;

/// Averages of how many threads run or could run, and what that leaves to others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Nanoseconds that threads had waited to run by the last look, all together, and that they had run.
    waited: u64,
    ran: u64,
    /// The last look.
    at: Time,
    /// With [`FRACTION`] more bits, without which small steps would be lost.
    loads: [u64; 3],
    factors: [u64; 3],
}

impl Load {
    /// Threads waited to run for so long altogether.
    pub(super) fn add(&mut self, time: Time) {
        self.waited = self.waited.wrapping_add(time);
    }

    /// Brings the averages up to date, once a second. Threads have run for so long altogether since boot.
    pub(super) fn look(&mut self, now: Time, ran: Time, cpus: u32) {
        let passed = now.saturating_sub(self.at);
        let seconds = passed / SECOND;
        if seconds == 0 {
            return;
        }
        let scale = u64::from(LOAD_SCALE);
        let wanted = self.waited.wrapping_add(ran.wrapping_sub(self.ran));
        let load = (u128::from(wanted) * u128::from(scale) / u128::from(passed)) as u64;
        let all = u64::from(cpus) * scale;
        let factor = if load > all {
            all * scale / (load + scale)
        } else {
            all - load
        };
        (self.at, self.ran, self.waited) = (now, ran, 0);
        for (index, kept) in KEPT.into_iter().enumerate() {
            let kept = power(kept * ONE / 1000, seconds);
            self.loads[index] = mix(self.loads[index], load, kept);
            self.factors[index] = mix(self.factors[index], factor, kept);
        }
    }

    /// Load averages, then Mach factors, in units of 1/[`LOAD_SCALE`].
    pub fn averages(&self) -> ([u32; 3], [u32; 3]) {
        let told = |average: u64| u32::try_from(average >> FRACTION).unwrap_or(u32::MAX);
        (self.loads.map(told), self.factors.map(told))
    }
}

/// A share of [`ONE`], below 1, to a power of at least 1.
fn power(share: u64, exponent: u64) -> u64 {
    let (mut base, mut left, mut result) = (share, exponent - 1, share);
    while left > 0 {
        if left & 1 == 1 {
            result = (result * base) >> 32;
        }
        base = (base * base) >> 32;
        left >>= 1;
    }
    result
}

/// So much of the old value, the rest of the new one.
fn mix(old: u64, new: u64, kept: u64) -> u64 {
    let new = u128::from(new) << FRACTION;
    ((u128::from(old) * u128::from(kept) + new * u128::from(ONE - kept)) >> 32) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_come_near_what_lasts_and_leave_what_ended() {
        let mut load = Load::default();
        for second in 1..=300 {
            // Three threads on two processors.
            load.add(SECOND);
            load.look(second * SECOND, 2 * second * SECOND, 2);
        }
        let (loads, factors) = load.averages();
        for (load, factor) in loads.into_iter().zip(factors) {
            assert!((2950..=3000).contains(&load), "{loads:?}");
            assert!((490..=500).contains(&factor), "{factors:?}");
        }
        // Five seconds of nothing: the shortest average forgets first.
        load.look(305 * SECOND, 600 * SECOND, 2);
        let (loads, factors) = load.averages();
        assert!(loads[0] < loads[1] && loads[1] < loads[2], "{loads:?}");
        assert!(
            (900..1000).contains(&loads[0]),
            "0.8 to the fifth: {loads:?}"
        );
        assert!(factors[0] > factors[2], "{factors:?}");
        // At once or second by second, it is the same.
        load.look(100_000 * SECOND, 600 * SECOND, 2);
        assert_eq!(load.averages().0, [0; 3]);
        assert!(load.averages().1.iter().all(|factor| *factor >= 1999));
    }

    #[test]
    fn within_a_second_nothing_changes() {
        let mut load = Load::default();
        load.add(SECOND / 2);
        load.look(SECOND - 1, 0, 1);
        assert_eq!(load.averages(), ([0; 3], [0; 3]));
        load.look(SECOND, 0, 1);
        assert!(
            (99..=100).contains(&load.averages().0[0]),
            "a fifth of a half"
        );
    }
}
