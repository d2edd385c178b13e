//! The line being typed, and the cursor in it.

use alloc::string::String;

/// The most bytes of a line; further characters are refused.
pub(super) const MAX_LINE: usize = 1024;

/// Invariant: `cursor` is a character boundary of `text`.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    text: String,
    cursor: usize,
}

impl Line {
    /// A line with the cursor at its end.
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: String::from(text),
            cursor: text.len(),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text before the cursor.
    pub(super) fn before(&self) -> &str {
        &self.text[..self.cursor]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    /// Puts a character at the cursor; says whether there was room.
    pub(super) fn insert(&mut self, character: char) -> bool {
        if self.text.len() + character.len_utf8() > MAX_LINE {
            return false;
        }
        self.text.insert(self.cursor, character);
        self.cursor += character.len_utf8();
        true
    }

    pub(super) fn left(&mut self) {
        if let Some(character) = self.before().chars().next_back() {
            self.cursor -= character.len_utf8();
        }
    }

    pub(super) fn right(&mut self) {
        if let Some(character) = self.text[self.cursor..].chars().next() {
            self.cursor += character.len_utf8();
        }
    }

    pub(super) fn home(&mut self) {
        self.cursor = 0;
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text.len();
    }

    pub(super) fn backspace(&mut self) {
        if self.cursor > 0 {
            self.left();
            self.text.remove(self.cursor);
        }
    }

    pub(super) fn delete(&mut self) {
        if !self.is_at_end() {
            self.text.remove(self.cursor);
        }
    }

    pub(super) fn kill_before(&mut self) {
        self.kill_from(0);
    }

    pub(super) fn kill_after(&mut self) {
        self.text.truncate(self.cursor);
    }

    /// Deletes spaces and the word before them.
    pub(super) fn kill_word(&mut self) {
        let trimmed = self.before().trim_end_matches(' ');
        let start = trimmed.rfind(' ').map_or(0, |space| space + 1);
        self.kill_from(start);
    }

    fn kill_from(&mut self, start: usize) {
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }
}
