//! Slices of one thread, laid on as few tracks as let them nest.
//!
//! The format has slices of one track nest like calls. A server that answers out of order has some that
//! overlap: those go to a further track.

/// A slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Slice {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) name: String,
    /// What joins it with slices of other threads.
    pub(super) flow: Option<u64>,
}

/// Where a slice of a lane begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Edge {
    Begin(usize),
    End,
}

/// The edges of each lane, with their times, in order; `slices` is put in the order that they count in.
pub(super) fn lay(slices: &mut [Slice]) -> Vec<Vec<(u64, Edge)>> {
    slices.sort_by_key(|slice| (slice.start, u64::MAX - slice.end));
    let mut lanes: Vec<Lane> = Vec::new();
    for (index, slice) in slices.iter().enumerate() {
        let free = lanes.iter_mut().position(|lane| lane.takes(slice));
        let lane = free.unwrap_or_else(|| {
            lanes.push(Lane::default());
            lanes.len() - 1
        });
        lanes[lane].begin(index, slice);
    }
    lanes.into_iter().map(Lane::finish).collect()
}

#[derive(Default)]
struct Lane {
    /// Where the open slices end, the innermost last.
    open: Vec<u64>,
    edges: Vec<(u64, Edge)>,
}

impl Lane {
    /// Whether a slice nests here. Ends what is over by then, which changes nothing for later slices.
    fn takes(&mut self, slice: &Slice) -> bool {
        while let Some(end) = self.open.pop_if(|end| *end <= slice.start) {
            self.edges.push((end, Edge::End));
        }
        self.open.last().is_none_or(|end| *end >= slice.end)
    }

    fn begin(&mut self, index: usize, slice: &Slice) {
        self.open.push(slice.end);
        self.edges.push((slice.start, Edge::Begin(index)));
    }

    fn finish(mut self) -> Vec<(u64, Edge)> {
        while let Some(end) = self.open.pop() {
            self.edges.push((end, Edge::End));
        }
        self.edges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(ends: &[(u64, u64)]) -> Vec<Slice> {
        let slice = |&(start, end): &(u64, u64)| Slice {
            start,
            end,
            name: String::new(),
            flow: None,
        };
        ends.iter().map(slice).collect()
    }

    #[test]
    fn what_nests_shares_a_lane_and_what_overlaps_does_not() {
        let mut all = slices(&[(5, 8), (0, 10), (10, 12), (6, 11)]);
        let lanes = lay(&mut all);
        let times = |lane: &[(u64, Edge)]| lane.iter().map(|edge| edge.0).collect::<Vec<_>>();
        assert_eq!(lanes.len(), 2);
        assert_eq!(times(&lanes[0]), [0, 5, 8, 10, 10, 12]);
        assert_eq!(lanes[0][0].1, Edge::Begin(0));
        assert_eq!(all[0].end, 10);
        assert_eq!(times(&lanes[1]), [6, 11]);
    }
}
