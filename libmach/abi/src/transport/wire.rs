//! Plain values as 64-bit words.
//!
//! One encoding for registers and for inline data: a sequence of words. An integer takes one word,
//! a byte string its length and then its bytes in whole words, padded with zeros. So a value is
//! written and read by the same code wherever it travels, and copies move 8-byte elements.

use crate::kern_return::KernReturn;
use crate::names::Name;

/// [`Wire::WORDS`] of a value whose size has no small bound: it always lies in the buffer.
pub const LONG: usize = 1 << 20;

/// Where words are written to.
pub trait Sink {
    /// Appends one word. What does not fit is remembered, and the message is not sent.
    fn word(&mut self, value: u64);

    /// Appends a byte string.
    fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }
}

/// Where a byte string lies in a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// Its first word, counted from the start of the message's words.
    pub start: usize,
    /// Its length in bytes.
    pub size: usize,
}

/// Where words are read from.
pub trait Source {
    /// The next word, or `None` behind the last one.
    fn word(&mut self) -> Option<u64>;

    /// Steps over the next byte string; `None` when the message ends before it does.
    fn span(&mut self) -> Option<Span>;

    /// A byte string that [`Source::span`] found.
    fn view(&self, span: Span) -> &[u8];
}

/// A value that travels as words.
pub trait Wire: Sized {
    /// How many words it takes at most; [`LONG`] when there is no small bound.
    const WORDS: usize;

    /// Writes the value.
    fn put(&self, out: &mut impl Sink);

    /// Reads the value; `None` when the words are none.
    fn take(source: &mut impl Source) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            const WORDS: usize = 1;

            #[inline(always)]
            fn put(&self, out: &mut impl Sink) {
                out.word(*self as u64);
            }

            #[inline(always)]
            fn take(source: &mut impl Source) -> Option<Self> {
                Self::try_from(source.word()?).ok()
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, usize);

macro_rules! signed {
    ($($type:ty),*) => {$(
        impl Wire for $type {
            const WORDS: usize = 1;

            #[inline(always)]
            fn put(&self, out: &mut impl Sink) {
                out.word((*self as i64).cast_unsigned());
            }

            #[inline(always)]
            fn take(source: &mut impl Source) -> Option<Self> {
                Self::try_from(source.word()?.cast_signed()).ok()
            }
        }
    )*};
}
signed!(i8, i16, i32, i64);

impl Wire for bool {
    const WORDS: usize = 1;

    #[inline(always)]
    fn put(&self, out: &mut impl Sink) {
        out.word(u64::from(*self));
    }

    #[inline(always)]
    fn take(source: &mut impl Source) -> Option<Self> {
        match source.word()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Wire for () {
    const WORDS: usize = 0;

    fn put(&self, _: &mut impl Sink) {}

    fn take(_: &mut impl Source) -> Option<Self> {
        Some(())
    }
}

impl Wire for Name {
    const WORDS: usize = 1;

    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        u32::take(source).map(Self)
    }
}

impl Wire for KernReturn {
    const WORDS: usize = 1;

    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        u32::take(source).map(Self)
    }
}

impl<T: Wire> Wire for Option<T> {
    const WORDS: usize = 1 + T::WORDS;

    fn put(&self, out: &mut impl Sink) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        if bool::take(source)? {
            T::take(source).map(Some)
        } else {
            Some(None)
        }
    }
}

impl<T: Wire + Copy + Default, const N: usize> Wire for [T; N] {
    const WORDS: usize = N * T::WORDS;

    fn put(&self, out: &mut impl Sink) {
        for value in self {
            value.put(out);
        }
    }

    fn take(source: &mut impl Source) -> Option<Self> {
        let mut all = [T::default(); N];
        for value in &mut all {
            *value = T::take(source)?;
        }
        Some(all)
    }
}

macro_rules! records {
    ($($type:path { $($field:ident: $field_type:ty),* $(,)? })*) => {$(
        impl Wire for $type {
            const WORDS: usize = 0 $(+ <$field_type as Wire>::WORDS)*;

            fn put(&self, out: &mut impl Sink) {
                $(self.$field.put(out);)*
            }

            fn take(source: &mut impl Source) -> Option<Self> {
                Some(Self { $($field: Wire::take(source)?,)* })
            }
        }
    )*};
}

records! {
    crate::task::Limits {
        names: u32, messages: u32, threads: u32, pages: u32, kernel_bytes: u64,
    }
    crate::thread_state::ThreadState {
        rax: u64, rbx: u64, rcx: u64, rdx: u64, rdi: u64, rsi: u64, rbp: u64, rsp: u64,
        r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64,
        rip: u64, rflags: u64, fs_base: u64, gs_base: u64,
    }
    crate::trace::Record {
        time: u64, kind: u8, cpu: u8, reserved: u16, thread: u32, a: u64, b: u64,
    }
}
