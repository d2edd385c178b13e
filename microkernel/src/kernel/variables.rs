//! What the kernel's command line says to the first task: `KEY=VALUE` words that are none of the kernel's.

/// Bytes that all variables may take together, each with a NUL behind it.
const SIZE: usize = 512;

/// A word that does not fit, or is no variable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused;

/// Variables for the first task's start page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Variables {
    bytes: [u8; SIZE],
    size: usize,
    count: u32,
}

impl Variables {
    /// None.
    pub const NONE: Self = Self {
        bytes: [0; SIZE],
        size: 0,
        count: 0,
    };

    /// Adds a word.
    ///
    /// # Errors
    /// `Refused`: it is not `KEY=VALUE` with a key, it holds a NUL, or there is no room. Nothing changed.
    pub fn push(&mut self, word: &str) -> Result<(), Refused> {
        let is_variable = word.find('=').is_some_and(|at| at > 0) && !word.contains('\0');
        let end = self.size + word.len();
        // One byte more: the NUL, which is there already.
        if !is_variable || end >= SIZE {
            return Err(Refused);
        }
        self.bytes[self.size..end].copy_from_slice(word.as_bytes());
        self.size = end + 1;
        self.count += 1;
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// All of them, each with a NUL behind it, as a start page has them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

impl Default for Variables {
    fn default() -> Self {
        Self::NONE
    }
}

impl core::fmt::Debug for Variables {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let texts = self.bytes().split(|byte| *byte == 0);
        let texts = texts.map(|text| core::str::from_utf8(text).unwrap_or("?"));
        f.debug_list()
            .entries(texts.filter(|text| !text.is_empty()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, SIZE, Variables};

    #[test]
    fn words_lie_one_behind_the_other() {
        let mut variables = Variables::NONE;
        variables.push("mode=command").unwrap();
        variables.push("empty=").unwrap();
        for bad in ["", "word", "=value", "a=\0"] {
            assert_eq!(variables.push(bad), Err(Refused), "{bad:?}");
        }
        assert_eq!(variables.bytes(), b"mode=command\0empty=\0");
        assert_eq!(variables.count(), 2);
    }

    #[test]
    fn what_does_not_fit_changes_nothing() {
        let mut variables = Variables::NONE;
        let long = std::format!("k={}", "v".repeat(SIZE - 3));
        assert_eq!(variables.push(&std::format!("{long}v")), Err(Refused));
        variables.push(&long).unwrap();
        assert_eq!(variables.push("a="), Err(Refused));
        assert_eq!((variables.count(), variables.bytes().len()), (1, SIZE));
    }
}
