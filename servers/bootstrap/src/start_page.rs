//! Builds a child's start page ([`abi::start::Page`]), byte for byte.

use core::fmt;
use core::mem::offset_of;

use abi::ABI_VERSION;
use abi::names::Name;
use abi::start::{MAGIC, MAX_RIGHTS, NAME_SIZE, Page, Right, STRINGS_SIZE};
use libmach::abi;

/// Bytes of a start page.
pub const SIZE: usize = size_of::<Page>();

/// What does not fit on a start page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// A right's name is too long or empty, or there are more than [`MAX_RIGHTS`].
    Rights,
    /// Arguments and environment together are too long, or one holds a NUL.
    Strings,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rights => "its rights do not fit on a start page",
            Self::Strings => "its arguments do not fit on a start page",
        })
    }
}

/// A start page being filled. Rights may come in any order; all arguments come before the first
/// variable.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: [u8; SIZE],
    rights: usize,
    arguments: u32,
    variables: u32,
    strings: usize,
}

impl Builder {
    /// The page of the task with this identity token, without rights and strings.
    pub fn new(identity: u64) -> Self {
        let mut page = Self {
            bytes: [0; SIZE],
            rights: 0,
            arguments: 0,
            variables: 0,
            strings: 0,
        };
        page.put(offset_of!(Page, magic), &MAGIC.to_le_bytes());
        page.put(offset_of!(Page, version), &ABI_VERSION.to_le_bytes());
        page.put(offset_of!(Page, identity), &identity.to_le_bytes());
        page
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    /// Names a right that the child holds under `port`.
    ///
    /// # Errors
    /// [`Full::Rights`].
    pub fn right(&mut self, name: &str, port: Name) -> Result<(), Full> {
        if name.is_empty() || name.len() > NAME_SIZE || self.rights == MAX_RIGHTS {
            return Err(Full::Rights);
        }
        let at = offset_of!(Page, rights) + self.rights * size_of::<Right>();
        self.put(at + offset_of!(Right, name), name.as_bytes());
        self.put(at + offset_of!(Right, port), &port.0.to_le_bytes());
        self.rights += 1;
        Ok(())
    }

    /// Appends an argument.
    ///
    /// # Errors
    /// [`Full::Strings`], also behind a variable.
    pub fn argument(&mut self, text: &str) -> Result<(), Full> {
        if self.variables > 0 {
            return Err(Full::Strings);
        }
        self.string(&[text])?;
        self.arguments += 1;
        Ok(())
    }

    /// Appends a variable of the environment.
    ///
    /// # Errors
    /// [`Full::Strings`].
    pub fn variable(&mut self, key: &str, value: &str) -> Result<(), Full> {
        self.string(&[key, "=", value])?;
        self.variables += 1;
        Ok(())
    }

    fn string(&mut self, parts: &[&str]) -> Result<(), Full> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let end = self.strings + size + 1;
        if end > STRINGS_SIZE || parts.iter().any(|part| part.contains('\0')) {
            return Err(Full::Strings);
        }
        for part in parts {
            self.put(offset_of!(Page, strings) + self.strings, part.as_bytes());
            self.strings += part.len();
        }
        self.strings = end;
        Ok(())
    }

    /// The page.
    pub fn finish(mut self) -> [u8; SIZE] {
        let counts = [
            (offset_of!(Page, right_count), self.rights as u32),
            (offset_of!(Page, argument_count), self.arguments),
            (offset_of!(Page, environment_count), self.variables),
            (offset_of!(Page, strings_size), self.strings as u32),
        ];
        for (offset, count) in counts {
            self.put(offset, &count.to_le_bytes());
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(page: &[u8], offset: usize) -> u32 {
        u32::from_le_bytes(page[offset..offset + 4].try_into().unwrap())
    }

    #[test]
    fn rights_and_strings_lie_where_the_abi_says() {
        let mut page = Builder::new(7);
        page.argument("echo").unwrap();
        page.argument("").unwrap();
        page.variable("A", "b=c").unwrap();
        page.right("log", Name(0x103)).unwrap();
        page.right("bootstrap", Name(0x203)).unwrap();
        let page = page.finish();
        assert_eq!(&page[..8], b"MELLOTSK");
        assert_eq!(half(&page, offset_of!(Page, version)), ABI_VERSION);
        assert_eq!(half(&page, offset_of!(Page, right_count)), 2);
        assert_eq!(half(&page, offset_of!(Page, argument_count)), 2);
        assert_eq!(half(&page, offset_of!(Page, environment_count)), 1);
        assert_eq!(page[offset_of!(Page, identity)], 7);
        let second = offset_of!(Page, rights) + size_of::<Right>();
        assert_eq!(&page[second..second + 10], b"bootstrap\0");
        assert_eq!(half(&page, second + NAME_SIZE), 0x203);
        let strings = &page[offset_of!(Page, strings)..][..12];
        assert_eq!(strings, b"echo\0\0A=b=c\0");
        assert_eq!(half(&page, offset_of!(Page, strings_size)), 12);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() {
        let mut page = Builder::new(7);
        assert_eq!(page.right("", Name(1)), Err(Full::Rights));
        let long = "x".repeat(NAME_SIZE + 1);
        assert_eq!(page.right(&long, Name(1)), Err(Full::Rights));
        for _ in 0..MAX_RIGHTS {
            page.right(&long[..NAME_SIZE], Name(1)).unwrap();
        }
        assert_eq!(page.right("x", Name(1)), Err(Full::Rights));
        let all = "y".repeat(STRINGS_SIZE - 1);
        assert_eq!(page.argument("a\0b"), Err(Full::Strings));
        assert_eq!(page.argument(&(all.clone() + "y")), Err(Full::Strings));
        page.argument(&all).unwrap();
        assert_eq!(page.argument(""), Err(Full::Strings));
        assert_eq!(page.variable("", ""), Err(Full::Strings));
        let page = page.finish();
        assert_eq!(half(&page, offset_of!(Page, argument_count)), 1);
        assert_eq!(half(&page, offset_of!(Page, right_count)), 32);
        assert_eq!(page[SIZE - 1], 0);
    }

    #[test]
    fn an_argument_behind_a_variable_is_refused() {
        let mut page = Builder::new(7);
        page.variable("A", "b").unwrap();
        assert_eq!(page.argument("c"), Err(Full::Strings));
    }
}
