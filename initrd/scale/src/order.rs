//! The order in which objects end: every index once, by a step that has no divisor in common with their number.

/// An order of the numbers below a count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order {
    count: u64,
    step: u64,
}

impl Order {
    /// That of a seed.
    pub fn of(seed: u64, count: u64) -> Self {
        let from = seed % count.max(1);
        let divides_nothing = |step: &u64| divisor(*step, count) == 1;
        let step = (from..).find(divides_nothing).unwrap_or(1);
        Self { count, step }
    }

    /// The numbers.
    pub fn iter(self) -> impl Iterator<Item = u64> {
        let Self { count, step } = self;
        (0..count).map(move |n| n * step % count)
    }
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::Order;
    use alloc::vec::Vec;

    #[test]
    fn every_number_comes_once_in_an_order_of_the_seed() {
        for count in [1, 2, 10, 625, 1000] {
            for seed in [0, 1, 2, 5, 10, 1_000_000_007] {
                let mut found: Vec<_> = Order::of(seed, count).iter().collect();
                found.sort_unstable();
                assert!(found.into_iter().eq(0..count), "{seed} {count}");
            }
        }
        assert!(Order::of(1, 9).iter().eq(0..9));
        assert!(Order::of(4, 9).iter().take(4).eq([0, 4, 8, 3]));
        assert_eq!(Order::of(1, 0).iter().count(), 0);
    }
}
