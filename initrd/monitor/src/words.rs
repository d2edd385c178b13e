//! A typed line as words: split at blanks, with quotes and backslashes as shells have them.

use alloc::string::String;
use alloc::vec::Vec;

/// Why a line cannot be split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A quote is not closed.
    OpenQuote,
    /// The line ends with a backslash.
    OpenEscape,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OpenQuote => "a quote is not closed",
            Self::OpenEscape => "the line ends with a backslash",
        })
    }
}

/// The words of a line. A word that begins with `#` ends it.
///
/// # Errors
/// When a quote or a backslash has no end.
pub fn split(line: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, behind) = first(rest)?;
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// The first word, and what follows it.
fn first(text: &str) -> Result<(String, &str), Error> {
    let mut word = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' | '"' => loop {
                match characters.next().ok_or(Error::OpenQuote)?.1 {
                    end if end == character => break,
                    '\\' if character == '"' => {
                        word.push(characters.next().ok_or(Error::OpenQuote)?.1);
                    }
                    other => word.push(other),
                }
            },
            '\\' => word.push(characters.next().ok_or(Error::OpenEscape)?.1),
            blank if blank.is_whitespace() => return Ok((word, &text[at..])),
            other => word.push(other),
        }
    }
    Ok((word, ""))
}

#[cfg(test)]
mod tests {
    use super::{Error, split};

    fn words(line: &str) -> Vec<String> {
        split(line).unwrap_or_else(|error| vec![error.to_string()])
    }

    #[test]
    fn blanks_separate_and_quotes_join() {
        assert_eq!(words("  run  a\tb "), ["run", "a", "b"]);
        assert_eq!(words(r#"a 'b c' "d 'e" f''"#), ["a", "b c", "d 'e", "f"]);
        assert_eq!(words(r#"'' "\"\\" \  'a\'"#), ["", "\"\\", " ", "a\\"]);
        assert_eq!(words(" "), Vec::<String>::new());
    }

    #[test]
    fn a_comment_ends_the_line() {
        assert_eq!(words("svc # all of them"), ["svc"]);
        assert_eq!(words("a#b"), ["a#b"]);
    }

    #[test]
    fn what_is_left_open_is_an_error() {
        assert_eq!(split("a 'b"), Err(Error::OpenQuote));
        assert_eq!(split("a \"b\\"), Err(Error::OpenQuote));
        assert_eq!(split("a\\"), Err(Error::OpenEscape));
    }
}
