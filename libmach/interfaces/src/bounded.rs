//! Values of bounded size that travel in messages and need no heap.
//!
//! Each keeps up to `N` elements in place. Filling one beyond that is refused, not cut, except where
//! a function says so.

use abi::transport::{Sink, Source, Wire};

/// Up to `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes<const N: usize> {
    size: usize,
    bytes: [u8; N],
}

impl<const N: usize> Bytes<N> {
    /// No bytes.
    pub const EMPTY: Self = Self {
        size: 0,
        bytes: [0; N],
    };

    /// A copy of `bytes`; `None` when there are more than `N`.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut copy = Self::EMPTY;
        copy.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        copy.size = bytes.len();
        Some(copy)
    }

    /// Appends one byte; says whether there was room.
    pub fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(self.size) {
            Some(place) => {
                *place = byte;
                self.size += 1;
                true
            }
            None => false,
        }
    }
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> core::ops::Deref for Bytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

impl<const N: usize> core::fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&**self, f)
    }
}

impl<const N: usize> Wire for Bytes<N> {
    const WORDS: usize = 1 + N.div_ceil(8);

    fn put(&self, out: &mut impl Sink) {
        out.bytes(self);
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        let mut copy = Self::EMPTY;
        copy.size = usize::try_from(source.word()?).ok()?;
        for chunk in copy.bytes.get_mut(..copy.size)?.chunks_mut(8) {
            chunk.copy_from_slice(&source.word()?.to_le_bytes()[..chunk.len()]);
        }
        Some(copy)
    }
}

/// Up to `N` bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<const N: usize>(Bytes<N>);

impl<const N: usize> Text<N> {
    /// No text.
    pub const EMPTY: Self = Self(Bytes::EMPTY);

    /// A copy of `text`; `None` when it is longer than `N` bytes.
    pub fn new(text: &str) -> Option<Self> {
        Bytes::new(text.as_bytes()).map(Self)
    }

    /// A copy of as much of `text` as fits, cut between characters.
    pub fn cut(text: &str) -> Self {
        let size = text.floor_char_boundary(text.len().min(N));
        Self(Bytes::new(&text.as_bytes()[..size]).unwrap_or(Bytes::EMPTY))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // `new`, `cut`, `write_str` and `take` let nothing else in.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl<const N: usize> core::ops::Deref for Text<N> {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl<const N: usize> core::fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        if self.0.size + text.len() > N {
            return Err(core::fmt::Error);
        }
        for byte in text.bytes() {
            self.0.push(byte);
        }
        Ok(())
    }
}

impl<const N: usize> core::fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl<const N: usize> core::fmt::Display for Text<N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}

impl<const N: usize> Wire for Text<N> {
    const WORDS: usize = Bytes::<N>::WORDS;

    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        let bytes = Bytes::take(source)?;
        core::str::from_utf8(&bytes).is_ok().then_some(Self(bytes))
    }
}

/// Up to `N` values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<T, const N: usize> {
    size: usize,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Appends a value; says whether there was room.
    pub fn push(&mut self, item: T) -> bool {
        match self.items.get_mut(self.size) {
            Some(place) => {
                *place = item;
                self.size += 1;
                true
            }
            None => false,
        }
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self {
            size: 0,
            items: [T::default(); N],
        }
    }
}

impl<T, const N: usize> core::ops::Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.size]
    }
}

impl<T: core::fmt::Debug, const N: usize> core::fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Wire + Copy + Default, const N: usize> Wire for List<T, N> {
    const WORDS: usize = 1 + N * T::WORDS;

    fn put(&self, out: &mut impl Sink) {
        out.word(self.size as u64);
        for item in &**self {
            item.put(out);
        }
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        let size = usize::try_from(source.word()?).ok()?;
        let mut items = [T::default(); N];
        for item in items.get_mut(..size)? {
            *item = T::take(source)?;
        }
        Some(Self { size, items })
    }
}
