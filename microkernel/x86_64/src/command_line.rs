//! The kernel's command line: words separated by blanks.
//!
//! `KEY=VALUE` words with a key that is not the kernel's go to the first task, which passes them on: `mode` is the
//! monitor's.

use microkernel::kernel::Variables;

/// What the command line asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// `fast-path=on|off`: whether messages may take the fast path.
    pub fast_path: bool,
    /// `log=quiet|info`: whether the machine tells what it found while starting.
    pub verbose: bool,
    /// `watchdog=SECONDS`: how long the run may take, since boot; then all threads are told and the run ends.
    pub watchdog: Option<u32>,
    /// What is not the kernel's.
    pub variables: Variables,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fast_path: true,
            verbose: true,
            watchdog: None,
            variables: Variables::NONE,
        }
    }
}

impl Options {
    /// Reads a command line; `unknown` is called with each word that is no option.
    pub fn parse(line: &str, mut unknown: impl FnMut(&str)) -> Self {
        let mut options = Self::default();
        for word in line.split_ascii_whitespace() {
            if !options.take(word) {
                unknown(word);
            }
        }
        options
    }

    /// Takes a word; whether it means anything.
    fn take(&mut self, word: &str) -> bool {
        match word.split_once('=') {
            Some(("fast-path", "on")) => self.fast_path = true,
            Some(("fast-path", "off")) => self.fast_path = false,
            Some(("log", "quiet")) => self.verbose = false,
            Some(("log", "info")) => self.verbose = true,
            Some(("watchdog", seconds)) => match seconds.parse() {
                Ok(seconds @ 1..) => self.watchdog = Some(seconds),
                _ => return false,
            },
            Some(("fast-path" | "log", _)) => return false,
            _ => return self.variables.push(word).is_ok(),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Options;
    use std::vec::Vec;

    #[test]
    fn the_last_word_counts_and_unknown_ones_are_told() {
        let mut unknown = Vec::new();
        let line = " fast-path=on fast-path=off  what log=quiet log= watchdog=0 watchdog=x =x";
        let options = Options::parse(line, |word| unknown.push(std::string::String::from(word)));
        assert!(!options.fast_path && !options.verbose);
        let expected = ["what", "log=", "watchdog=0", "watchdog=x", "=x"];
        assert_eq!(unknown, expected);
        let options = Options::parse("", |_| unreachable!());
        assert_eq!(options, Options::default());
    }

    #[test]
    fn what_is_not_the_kernel_s_goes_to_the_first_task() {
        let options = Options::parse("mode=command watchdog=30 x=y=z", |_| unreachable!());
        assert_eq!(options.watchdog, Some(30));
        assert_eq!(options.variables.bytes(), b"mode=command\0x=y=z\0");
    }
}
