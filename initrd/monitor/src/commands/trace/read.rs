//! Taking the records of a span of time out of the kernel's ring.

use alloc::vec::Vec;

use libmach::abi::trace::{Kind, Record};
use libmach::{Result, time};

use crate::shell::Shell;

/// What the first word of the monitor's marks is: `monitor` in ASCII.
const MARK: u64 = u64::from_le_bytes(*b"monitor\0");

/// A span that has begun: the ring takes everything.
#[derive(Debug)]
pub(super) struct Span {
    /// Position of the first record.
    start: u64,
    /// The second word of the mark that ends it.
    mark: u64,
}

/// The records of a span.
#[derive(Debug, Default)]
pub(super) struct Traced {
    /// In the order in which things happened.
    pub(super) records: Vec<Record>,
    /// How many were overwritten before they could be read, the oldest ones.
    pub(super) lost: u64,
}

impl Span {
    /// Begins a span.
    pub(super) fn begin(shell: &Shell) -> Result<Self> {
        let host = shell.rights.host.client();
        host.trace_enable(1)?;
        // Nobody asks for more than there is: the answer is where the ring stands.
        let (start, _) = host.trace(u64::MAX)?;
        let mark = time::now();
        Ok(Self { start, mark })
    }

    /// Ends it.
    pub(super) fn end(self, shell: &Shell) -> Result<Traced> {
        let host = shell.rights.host.client();
        host.trace_mark(MARK, self.mark)?;
        host.trace_enable(0)?;
        let mut traced = Traced::default();
        let mut position = self.start;
        loop {
            let (from, page) = host.trace(position)?;
            if page.is_empty() {
                return Ok(traced);
            }
            traced.lost += from - position;
            position = from + page.len() as u64;
            for record in page.iter() {
                if self.ends(record) {
                    return Ok(traced);
                }
                traced.records.push(*record);
            }
        }
    }

    fn ends(&self, record: &Record) -> bool {
        Kind::from_byte(record.kind) == Some(Kind::Mark)
            && (record.a, record.b) == (MARK, self.mark)
    }
}
