//! The lines typed before.

use alloc::collections::VecDeque;
use alloc::string::String;

/// The most lines that are kept.
const CAPACITY: usize = 100;

/// Lines, oldest first, and which of them is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    lines: VecDeque<String>,
    /// How far back the shown line lies; 0 is the one being typed.
    back: usize,
    /// What was being typed when browsing began.
    draft: String,
}

impl History {
    /// Keeps a line, unless it is empty or the last one again. Browsing starts from the end.
    pub(super) fn push(&mut self, line: &str) {
        self.back = 0;
        self.draft.clear();
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == CAPACITY {
            self.lines.pop_front();
        }
        self.lines.push_back(String::from(line));
    }

    /// The line before the shown one; `shown` is what stands there now.
    pub(super) fn older(&mut self, shown: &str) -> Option<&str> {
        if self.back == self.lines.len() {
            return None;
        }
        if self.back == 0 {
            self.draft = String::from(shown);
        }
        self.back += 1;
        self.shown()
    }

    /// The line behind the shown one, at last the one being typed.
    pub(super) fn younger(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        self.shown()
    }

    fn shown(&self) -> Option<&str> {
        match self.back {
            0 => Some(&self.draft),
            back => self.lines.get(self.lines.len() - back).map(String::as_str),
        }
    }
}
