//! A program's table of functions, as `xtask` puts it into the archive beside the program.
//!
//! A header of [`HEADER`] bytes: [`MAGIC`], then how many functions there are. So many entries of [`ENTRY`] bytes,
//! ascending by address: address, size, offset and size of the name, each a `u32`; programs lie in the first 2 GiB.
//! Then the names, UTF-8, to which the offsets count from the table's begin. All numbers are little-endian.
//!
//! Nothing is believed: a table that lies gives wrong names, or none.

/// `MELLOSYM` in ASCII, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"MELLOSYM");
/// Bytes before the first entry: [`MAGIC`] and a `u64`.
pub const HEADER: u64 = 16;
/// Bytes of an entry.
pub const ENTRY: u64 = 16;
/// The longest name; `xtask` cuts longer ones.
pub const MAX_NAME: usize = 120;

/// Bytes of a table.
pub trait Read {
    /// Copies the bytes from `offset` on to `to`; whether they are all there.
    fn read(&self, offset: u64, to: &mut [u8]) -> bool;
}

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// Where it begins.
    pub start: u64,
    /// Bytes of it; 0 when the table does not know.
    pub size: u64,
    name: (u64, usize),
}

impl Function {
    /// Its name in the table that it is of, copied to `room`.
    pub fn name<'a>(&self, table: &impl Read, room: &'a mut [u8; MAX_NAME]) -> Option<&'a str> {
        let (offset, size) = self.name;
        let room = room.get_mut(..size)?;
        if !table.read(offset, room) {
            return None;
        }
        core::str::from_utf8(room).ok()
    }
}

/// The function that an address lies in.
pub fn find(table: &impl Read, address: u64) -> Option<Function> {
    let mut header = [0; HEADER as usize];
    if !table.read(0, &mut header) || word(&header, 0) != MAGIC {
        return None;
    }
    // The first entry behind the address, between the two.
    let (mut low, mut high) = (0, word(&header, 8).min(u64::from(u32::MAX)));
    while low < high {
        let middle = low + (high - low) / 2;
        if entry(table, middle)?.start <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let found = entry(table, low.checked_sub(1)?)?;
    let inside = found.size == 0 || address - found.start < found.size;
    inside.then_some(found)
}

fn entry(table: &impl Read, index: u64) -> Option<Function> {
    let mut bytes = [0; ENTRY as usize];
    if !table.read(HEADER + index * ENTRY, &mut bytes) {
        return None;
    }
    let half = |at: usize| word(&bytes, at & !7) >> ((at & 4) * 8) & u64::from(u32::MAX);
    Some(Function {
        start: half(0),
        size: half(4),
        name: (half(8), half(12) as usize),
    })
}

fn word(bytes: &[u8; 16], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    struct Table(Vec<u8>);

    impl Read for Table {
        fn read(&self, offset: u64, to: &mut [u8]) -> bool {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let found = self.0.get(from..from.saturating_add(to.len()));
            if let Some(bytes) = found {
                to.copy_from_slice(bytes);
            }
            found.is_some()
        }
    }

    /// A table of functions `(start, size, name)`.
    fn table(functions: &[(u32, u32, &str)]) -> Table {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend((functions.len() as u64).to_le_bytes());
        let mut name = HEADER as u32 + functions.len() as u32 * ENTRY as u32;
        for (start, size, text) in functions {
            for half in [*start, *size, name, text.len() as u32] {
                bytes.extend(half.to_le_bytes());
            }
            name += text.len() as u32;
        }
        for (.., text) in functions {
            bytes.extend(text.as_bytes());
        }
        Table(bytes)
    }

    #[test]
    fn an_address_finds_its_function() {
        let table = table(&[
            (0x1000, 0x10, "a"),
            (0x1010, 0, "main::b"),
            (0x2000, 4, "c"),
        ]);
        let named = |address| {
            let mut room = [0; MAX_NAME];
            let found = find(&table, address)?;
            Some(std::string::String::from(found.name(&table, &mut room)?))
        };
        assert_eq!(named(0xfff), None);
        assert_eq!(named(0x1000).as_deref(), Some("a"));
        assert_eq!(named(0x100f).as_deref(), Some("a"));
        assert_eq!(named(0x1010).as_deref(), Some("main::b"));
        assert_eq!(
            named(0x1fff).as_deref(),
            Some("main::b"),
            "no size: up to the next"
        );
        assert_eq!(named(0x2003).as_deref(), Some("c"));
        assert_eq!(named(0x2004), None);
        assert_eq!(named(u64::MAX), None);
    }

    #[test]
    fn a_table_that_lies_gives_nothing() {
        let good = table(&[(0x1000, 0x10, "a"), (0x2000, 0x10, "b")]);
        assert_eq!(find(&Table(Vec::new()), 0x1000), None);
        assert_eq!(find(&table(&[]), 0x1000), None);
        for size in 0..good.0.len() - 2 {
            let cut = Table(good.0[..size].to_vec());
            let mut room = [0; MAX_NAME];
            let found = find(&cut, 0x2000).and_then(|found| found.name(&cut, &mut room));
            assert_eq!(found, None, "{size} bytes");
        }
        let mut many = table(&[(0x1000, 0x10, "a")]);
        many.0[8..16].fill(0xff);
        assert_eq!(find(&many, 0x1000), None, "entries that are not there");
        let mut long = table(&[(0x1000, 0x10, "a")]);
        long.0[28..32].fill(0xff);
        let found = find(&long, 0x1000).expect("a function");
        assert_eq!(found.name(&long, &mut [0; MAX_NAME]), None);
    }
}
