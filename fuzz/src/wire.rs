//! Values of interfaces, as both sides' stubs read them out of a message.

use abi::transport::{Sink, Source, Span, Wire};

/// A message's words.
#[derive(Default)]
struct Words {
    bytes: Vec<u8>,
    at: usize,
}

impl Sink for Words {
    fn word(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }
}

impl Source for Words {
    fn word(&mut self) -> Option<u64> {
        let word = self.bytes.get(self.at * 8..)?.first_chunk()?;
        self.at += 1;
        Some(u64::from_le_bytes(*word))
    }

    fn span(&mut self) -> Option<Span> {
        let size = usize::try_from(Source::word(self)?).ok()?;
        let (start, end) = (self.at, self.at.checked_add(size.div_ceil(8))?);
        let fits = end <= self.bytes.len() / 8;
        self.at = end;
        fits.then_some(Span { start, size })
    }

    fn view(&self, span: Span) -> &[u8] {
        &self.bytes[span.start * 8..][..span.size]
    }
}

/// What was read is written and read again as the same, and is no longer than its type says.
fn again<T: Wire + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
    let mut words = Words {
        bytes: bytes.to_vec(),
        at: 0,
    };
    let Some(value) = T::take(&mut words) else {
        return;
    };
    let mut written = Words::default();
    value.put(&mut written);
    assert!(written.bytes.len() / 8 <= T::WORDS, "{value:?} is too long");
    assert_eq!(T::take(&mut written), Some(value));
}

macro_rules! all {
    ($bytes:expr, $($module:ident::{$($type:ident),+},)+) => {
        $($(again::<interfaces::$module::$type>($bytes);)+)+
    };
}

/// Words that are read as every type there is.
pub fn wire(bytes: &[u8]) {
    all! { bytes,
        crash::{Crash, Filed, Summary},
        default_pager::{Statistics},
        exceptions::{Raised, Setting},
        host::{Info, Statistics, ArenaEntry, TaskEntry, ThreadEntry},
        log::{Level, Record},
        memory_object::{Attributes, Supplied},
        supervisor::{State, Cause, Info, End, Ended},
        task::{Info, Ledger, RightInfo, Peeked, Region},
        thread::{Info},
        vm::{Place, Region, Remapped, Statistics},
    }
}
