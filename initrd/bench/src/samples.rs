//! From samples to a row of figures.

use alloc::vec::Vec;
use core::fmt;

/// How many samples a repeatable operation has.
pub const COUNT: usize = 1024;

/// Samples of one operation.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<u64>);

impl Samples {
    /// Room for `count` samples, touched: recording one never faults.
    pub fn with_room(count: usize) -> Self {
        let mut samples = Self(Vec::new());
        samples.0.resize(count, 0);
        samples.0.clear();
        samples
    }

    /// Adds a sample.
    #[inline(always)]
    pub fn push(&mut self, sample: u64) {
        self.0.push(sample);
    }

    /// The figures; `None` without samples.
    pub fn row(mut self, name: &'static str, unit: &'static str) -> Option<Row> {
        self.0.sort_unstable();
        let (first, last) = (*self.0.first()?, *self.0.last()?);
        Some(Row {
            name,
            unit,
            min: first,
            median: self.0[(self.0.len() - 1) / 2],
            max: last,
            samples: self.0.len(),
        })
    }
}

/// Figures of one operation. Written as text it is one JSON object.
///
/// Transitions, CR3 writes and copied elements are `null`: a program in ring 3 does not see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The operation.
    pub name: &'static str,
    /// What the figures count.
    pub unit: &'static str,
    /// The cheapest sample.
    pub min: u64,
    /// The lower median.
    pub median: u64,
    /// The dearest sample.
    pub max: u64,
    /// How many there were.
    pub samples: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            unit,
            min,
            median,
            max,
            samples,
        } = self;
        // The names hold nothing that JSON would have to escape.
        write!(
            f,
            "{{\"name\":\"{name}\",\"unit\":\"{unit}\",\"min\":{min},\"median\":{median},\
             \"max\":{max},\"samples\":{samples},\"transitions\":null,\"cr3_writes\":null,\
             \"copied\":null}}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Samples};
    use alloc::string::ToString;

    fn row(values: &[u64]) -> Option<Row> {
        let mut samples = Samples::with_room(4);
        values.iter().for_each(|value| samples.push(*value));
        samples.row("x", "instructions")
    }

    #[test]
    fn the_median_is_the_lower_one_of_two() {
        let figures = |values: &[u64]| row(values).map(|row| (row.min, row.median, row.max));
        assert_eq!(figures(&[]), None);
        assert_eq!(figures(&[7]), Some((7, 7, 7)));
        assert_eq!(figures(&[9, 1, 5]), Some((1, 5, 9)));
        assert_eq!(figures(&[9, 1, 5, 4]), Some((1, 4, 9)));
    }

    #[test]
    fn a_row_is_one_json_object() {
        let text = row(&[3, 1, 2]).map(|row| row.to_string());
        let wanted = "{\"name\":\"x\",\"unit\":\"instructions\",\"min\":1,\"median\":2,\"max\":3,\
                      \"samples\":3,\"transitions\":null,\"cr3_writes\":null,\"copied\":null}";
        assert_eq!(text.as_deref(), Some(wanted));
    }
}
