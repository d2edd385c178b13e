//! The trace ring: the last events, typed, in the kernel from its first instruction.
//!
//! What is rare is always recorded; what happens on the message path only while somebody asked for it, at the
//! price of one test of a flag otherwise. A record costs a handful of stores. Readers take records by sequence
//! number, and learn how many they missed. The ring's memory is taken at once, so that recording never
//! allocates.

use abi::trace::Record;
use arena::{Arena, Region};

use super::Shortage;
use super::ids::RecordKind;

/// The last events.
pub struct Trace {
    records: Arena<Record, RecordKind>,
    /// One less than how many records the ring keeps, which is a power of two.
    mask: u64,
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
    /// Traps, messages and switches too; some 30 instructions an event.
    Messages,
}

impl Trace {
    /// Bytes to reserve for a ring of `events`.
    pub fn bytes(events: u32) -> usize {
        events as usize * Arena::<Record, RecordKind>::PLACE
    }

    /// A ring of the last `events`, a power of two, in `region`.
    ///
    /// # Errors
    /// [`Shortage`]: no memory.
    pub fn new(region: Region, events: u32) -> Result<Self, Shortage> {
        debug_assert!(events.is_power_of_two(), "the ring's size is a mask");
        let mut records = Arena::new(region);
        for _ in 0..events {
            records.insert(Record::default())?;
        }
        Ok(Self {
            records,
            mask: u64::from(events) - 1,
            next: 0,
            detail: Detail::Rare,
        })
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
        if let Some(place) = self.records.at_mut((self.next & self.mask) as u32) {
            *place = record;
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Sequence number that the next record will have.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Sequence number of the oldest record that the ring still has.
    pub fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.mask + 1)
    }

    /// The record with this sequence number, if the ring still has it.
    pub fn get(&self, sequence: u64) -> Option<&Record> {
        let kept = self.oldest()..self.next;
        if !kept.contains(&sequence) {
            return None;
        }
        self.records.at((sequence & self.mask) as u32)
    }
}

#[cfg(test)]
mod tests {
    use arena::Region;

    use super::{Record, Trace};

    const EVENTS: u32 = 256;

    #[test]
    fn the_ring_keeps_the_last_records_and_knows_which() {
        let region = Region::on_heap(Trace::bytes(EVENTS));
        let mut trace = Trace::new(region, EVENTS).expect("memory");
        assert_eq!(trace.get(0), None, "nothing was recorded yet");
        for a in 0..u64::from(EVENTS) + 10 {
            trace.record(Record {
                a,
                ..Record::default()
            });
        }
        assert_eq!(trace.oldest(), 10);
        assert_eq!(trace.get(9), None, "overwritten");
        assert_eq!(trace.get(10).map(|record| record.a), Some(10));
        assert_eq!(trace.get(trace.next_sequence()), None, "not yet written");
    }

    #[test]
    fn a_ring_without_memory_is_refused() {
        let region = Region::on_heap(4096);
        assert!(Trace::new(region, EVENTS).is_err());
    }
}
