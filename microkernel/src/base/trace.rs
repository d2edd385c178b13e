//! The trace ring: the last events, always on, typed, in the kernel from its first instruction.
//!
//! A record costs a handful of stores. Readers take records by sequence number, and learn how many
//! they missed.

use abi::trace::{Kind, Record};

/// How many records the ring keeps. A power of two.
pub const RECORDS: usize = 1024;

/// The last [`RECORDS`] events.
pub struct Trace {
    records: [Record; RECORDS],
    /// Sequence number of the next record.
    next: u64,
    detail: Detail,
}

/// How much the ring records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Detail {
    /// What is rare: faults, exceptions, interrupts, births and deaths.
    #[default]
    Rare,
    /// Traps, messages and switches too; some 10 instructions an event.
    Messages,
}

impl Trace {
    /// An empty ring, not verbose.
    pub const fn new() -> Self {
        let empty = Record {
            time: 0,
            kind: Kind::Empty as u8,
            cpu: 0,
            reserved: 0,
            thread: 0,
            a: 0,
            b: 0,
        };
        Self {
            records: [empty; RECORDS],
            next: 0,
            detail: Detail::Rare,
        }
    }

    /// Whether events of the message path are recorded.
    #[inline(always)]
    pub fn is_detailed(&self) -> bool {
        self.detail == Detail::Messages
    }

    /// Sets how much is recorded from now on.
    pub fn set_detail(&mut self, detail: Detail) {
        self.detail = detail;
    }

    /// Adds a record; the oldest one goes.
    pub fn record(&mut self, record: Record) {
        if let Some(slot) = self.records.get_mut(self.next as usize % RECORDS) {
            *slot = record;
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Sequence number that the next record will have.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// The record with this sequence number, if the ring still has it.
    pub fn get(&self, sequence: u64) -> Option<&Record> {
        let age = self.next.checked_sub(sequence)?;
        if age == 0 || age > RECORDS as u64 {
            return None;
        }
        self.records.get(sequence as usize % RECORDS)
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORDS, Record, Trace};

    #[test]
    fn the_ring_keeps_the_last_records_and_knows_which() {
        let mut trace = Trace::new();
        for a in 0..RECORDS as u64 + 10 {
            trace.record(Record {
                a,
                ..Record::default()
            });
        }
        assert_eq!(trace.get(9), None, "overwritten");
        assert_eq!(trace.get(10).map(|record| record.a), Some(10));
        assert_eq!(trace.get(trace.next_sequence()), None, "not yet written");
    }
}
