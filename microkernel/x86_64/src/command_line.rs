//! The kernel's command line: words separated by blanks.

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// `fast-path=on|off`: whether messages may take the fast path.
    pub fast_path: bool,
    /// `log=quiet|info`: whether the machine tells what it found while starting.
    pub verbose: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fast_path: true,
            verbose: true,
        }
    }
}

impl Options {
    /// Reads a command line; `unknown` is called with each word that is no option.
    pub fn parse(line: &str, mut unknown: impl FnMut(&str)) -> Self {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            match word {
                "fast-path=on" => options.fast_path = true,
                "fast-path=off" => options.fast_path = false,
                "log=quiet" => options.verbose = false,
                "log=info" => options.verbose = true,
                _ => unknown(word),
            }
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use std::vec::Vec;

    #[test]
    fn the_last_word_counts_and_unknown_ones_are_told() {
        let mut unknown = Vec::new();
        let line = " fast-path=on fast-path=off  what log=quiet log=";
        let options = Options::parse(line, |word| unknown.push(std::string::String::from(word)));
        assert!(!options.fast_path && !options.verbose);
        assert_eq!(unknown, ["what", "log="]);
        let options = Options::parse("", |_| unreachable!());
        assert_eq!(options, Options::default());
    }
}
