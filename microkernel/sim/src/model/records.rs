//! What the kernel has written down: its log, the trace of what happened, and what it has made. What was told once stays so.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use abi::trace::Kind;
use interfaces::host::Host;

use super::{Model, Seen, Verdict};

/// Bytes of the log that are kept.
const LOG: usize = 8192;

/// Records in one answer.
const MOST: u64 = 64;

/// Words of a record: time, kind, processor, nothing, thread, and two more.
const RECORD: usize = 7;

type Record = [u64; RECORD];

/// An event that programs cause, and know when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Event {
    /// So many records there were before, at least.
    behind: u64,
    kind: u8,
    a: u64,
}

/// What is known of what the kernel has written down.
#[derive(Clone, Default, Debug)]
pub(super) struct Records {
    log: Vec<u8>,
    /// So many records there are at least.
    end: u64,
    /// The last ones that were told, and the number of the first.
    told: (u64, Vec<Record>),
    events: Vec<Event>,
    /// Whether all is recorded, and ever was.
    is_detailed: bool,
    was_detailed: bool,
    /// By name: bytes of each object.
    arenas: BTreeMap<[u64; 2], u64>,
}

impl Model {
    /// So much of the kernel's log is known, in bytes, and of its trace, in records.
    pub fn recorded(&self) -> [u64; 2] {
        [self.records.log.len() as u64, self.records.end]
    }

    pub(super) fn enable_trace(&mut self, on: u32) {
        self.records.is_detailed = on == 1;
        self.records.was_detailed |= on == 1;
    }

    /// Something is recorded.
    pub(super) fn record(&mut self, kind: Kind, a: u64) {
        self.records.events.push(Event {
            behind: self.records.end,
            kind: kind as u8,
            a,
        });
    }

    /// Position, length and bytes.
    pub(super) fn tell_log(&mut self, position: u64, seen: &Seen) -> Verdict {
        let told = words(seen)?;
        let (start, length) = (told[0], told[1]);
        let log = &mut self.records.log;
        let known = log.len() as u64;
        let bytes: Vec<u8> = told[2..].iter().map(|byte| *byte as u8).collect();
        let bytes = bytes.get(..length as usize).ok_or("it is too long")?;
        if start as usize + bytes.len() >= LOG {
            // The oldest text is gone.
            return Ok(());
        }
        let ends = bytes.len() < told.len() - 2;
        let fits = match position <= known {
            true => start == position && (!ends || start + length >= known),
            false => (known..=position).contains(&start),
        };
        if !fits {
            return Err(format!("{start} and {length} bytes, behind {known}"));
        }
        let old = log.get(start as usize..).unwrap_or_default();
        if old.iter().zip(bytes).any(|(old, new)| old != new) {
            return Err(format!("{bytes:x?} were {old:x?} before"));
        }
        if let Some(new) = bytes.get(old.len()..)
            && start <= known
        {
            log.extend(new);
        }
        match log.is_empty() || log.starts_with(b"[") {
            true => Ok(()),
            false => Err(format!("{bytes:x?} are no lines")),
        }
    }

    /// Position, number, and words of each record.
    pub(super) fn tell_trace(&mut self, position: u64, seen: &Seen) -> Verdict {
        let told = words(seen)?;
        let (start, count) = (told[0], told[1]);
        if count > MOST {
            return Err(format!("{count} records"));
        }
        let records = told[2..].as_chunks::<RECORD>().0[..count as usize].to_vec();
        let known = self.records.end;
        let (end, ends) = (start + count, count < MOST);
        let fits = match start.cmp(&position) {
            Ordering::Equal => true,
            // The oldest ones are gone.
            Ordering::Greater => !ends,
            Ordering::Less => start >= known && count == 0,
        };
        if !fits || ends && end < known {
            return Err(format!("{count} records from {start}, behind {known}"));
        }
        self.judge_records(&records)?;
        self.judge_events((start, ends), &records)?;
        let records = &mut records.into_iter();
        let (first, before) = &self.records.told;
        for (number, record) in (start..).zip(records.clone()) {
            let old = number.checked_sub(*first);
            let old = old.and_then(|at| before.get(at as usize));
            if old.is_some_and(|old| *old != record) {
                return Err(format!("{record:x?} was {old:x?} before"));
            }
        }
        self.records.told = (start, records.collect());
        self.records.end = known.max(end);
        Ok(())
    }

    fn judge_records(&self, records: &[Record]) -> Verdict {
        let sorted = records.windows(2).all(|two| two[0][0] <= two[1][0]);
        if !sorted {
            return Err(format!("{records:x?} are in no order"));
        }
        let known = |record: &Record| {
            let kind = Kind::from_byte(record[1] as u8);
            kind.is_some_and(|kind| match kind {
                Kind::Empty => false,
                // One that ends a task.
                Kind::Exception => true,
                kind => kind.is_rare() || self.records.was_detailed,
            })
        };
        match records.iter().find(|record| !known(record)) {
            None => Ok(()),
            Some(record) => Err(format!("{record:x?} is not recorded")),
        }
    }

    /// Of what programs caused nothing is missing, and nothing is there twice.
    fn judge_events(&self, (start, ends): (u64, bool), records: &[Record]) -> Verdict {
        let own = [Kind::Mark as u8, Kind::Interrupt as u8];
        let pairs = records.iter().map(|record| (record[1] as u8, record[5]));
        let seen: Vec<_> = pairs.filter(|(kind, _)| own.contains(kind)).collect();
        let events = &self.records.events;
        let all: Vec<_> = events.iter().map(|event| (event.kind, event.a)).collect();
        let certain = events.iter().filter(|event| event.behind >= start).count();
        let holds = match ends {
            true => all.ends_with(&seen) && seen.len() >= certain,
            false => seen.is_empty() || all.windows(seen.len()).any(|part| part == seen),
        };
        if !holds {
            return Err(format!("{seen:x?} are not of {events:x?}"));
        }
        // This very call is.
        let asks = u64::from(<dyn Host>::TRACE.id as u32);
        let is_it = |record: &Record| {
            record[1] == Kind::KernelCall as u64 && record[6] & 0xffff_ffff == asks
        };
        let expected = ends && self.records.is_detailed && start <= self.records.end;
        match expected && !records.iter().any(is_it) {
            true => Err(format!("{records:x?} do not show who asks")),
            false => Ok(()),
        }
    }

    /// Name, number, bytes of each, and bytes of all, of the objects of each kind.
    pub(super) fn tell_arenas(&mut self, seen: &Seen) -> Verdict {
        let semaphores = self.ports.iter().filter(|port| port.semaphore.is_some());
        let tasks = (0..self.tasks.len()).filter(|task| !self.is_over(*task));
        let living = [
            ("tasks", tasks.count()),
            ("threads", self.living_threads()),
            ("semaphores", semaphores.count()),
        ];
        let kinds = words(seen)?.as_chunks::<5>().0;
        for &[first, second, live, size, committed] in kinds {
            let known = self.records.arenas.entry([first, second]);
            let known = *known.or_insert(size);
            let name = [first, second].map(u64::to_le_bytes).concat();
            let name = String::from_utf8_lossy(&name).into_owned();
            let is_it = |of: &&(&str, usize)| of.0 == name.trim_end_matches('\0');
            let expected = living.iter().find(is_it).map(|of| of.1 as u64);
            if expected.is_some_and(|expected| expected != live)
                || size != known
                || size * live > committed
            {
                return Err(format!("{live} of {size} bytes are no {name}: {living:?}"));
            }
        }
        match self.records.arenas.len() == kinds.len() {
            true => Ok(()),
            false => Err(format!("other kinds than before: {kinds:x?}")),
        }
    }
}

fn words(seen: &Seen) -> Result<&[u64], String> {
    match seen {
        Seen::Told(words) => Ok(words),
        _ => Err(format!("words expected, not {seen:?}")),
    }
}
