//! The line editor: bytes typed in, bytes for the screen and finished lines out.
//!
//! A pure state machine: it holds the line, its history and what is shown. The screen is a terminal
//! of `WIDTH` columns that knows `CR`, `CSI K` and `CSI n C`; a longer line is shown in part, around
//! the cursor. A character counts as one column.
//!
//! Deliberately absent: wide and combining characters, completion, several lines.

mod history;
mod keys;
mod line;

use alloc::string::String;
use alloc::vec::Vec;

use history::History;
use keys::{Key, Keys};
use line::Line;

/// Columns that the editor uses: one less than the narrowest usual terminal has, since writing in
/// the last one may wrap.
const WIDTH: usize = 79;

/// What a byte completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A line.
    Line(String),
    /// The line was given up.
    Cancelled,
    /// Ctrl-D on an empty line.
    EndOfInput,
}

/// The editor.
#[derive(Debug)]
pub struct Editor {
    prompt: &'static str,
    keys: Keys,
    line: Line,
    history: History,
    /// What the screen shows is no longer the line.
    stale: bool,
}

impl Editor {
    /// An editor with an empty line.
    pub fn new(prompt: &'static str) -> Self {
        Self {
            prompt,
            keys: Keys::default(),
            line: Line::default(),
            history: History::default(),
            stale: false,
        }
    }

    /// Shows prompt and line, whatever the terminal's line shows.
    pub fn show(&mut self, screen: &mut Vec<u8>) {
        self.stale = true;
        self.refresh(screen);
    }

    /// Shows the line again when it has changed: once behind all bytes that are there.
    pub fn refresh(&mut self, screen: &mut Vec<u8>) {
        if core::mem::take(&mut self.stale) {
            self.draw(screen);
        }
    }

    /// Takes a typed byte; appends to `screen` what the terminal gets, up to a [`Editor::refresh`].
    pub fn push(&mut self, byte: u8, screen: &mut Vec<u8>) -> Option<Event> {
        match self.keys.push(byte)? {
            Key::Enter => {
                self.refresh(screen);
                let text = String::from(core::mem::take(&mut self.line).text());
                self.history.push(&text);
                screen.extend_from_slice(b"\r\n");
                return Some(Event::Line(text));
            }
            Key::Cancel => {
                self.refresh(screen);
                self.line = Line::default();
                self.history.push("");
                screen.extend_from_slice(b"^C\r\n");
                return Some(Event::Cancelled);
            }
            Key::EndOfInput if self.line.text().is_empty() => {
                self.refresh(screen);
                screen.extend_from_slice(b"\r\n");
                return Some(Event::EndOfInput);
            }
            Key::Char(character) => self.insert(character, screen),
            Key::Clear => {
                screen.extend_from_slice(b"\x1b[H\x1b[2J");
                self.stale = true;
            }
            key => {
                self.edit(key);
                self.stale = true;
            }
        }
        None
    }

    fn edit(&mut self, key: Key) {
        match key {
            Key::Backspace => self.line.backspace(),
            Key::Delete | Key::EndOfInput => self.line.delete(),
            Key::Left => self.line.left(),
            Key::Right => self.line.right(),
            Key::Home => self.line.home(),
            Key::End => self.line.end(),
            Key::KillBefore => self.line.kill_before(),
            Key::KillAfter => self.line.kill_after(),
            Key::KillWord => self.line.kill_word(),
            Key::Up => {
                if let Some(older) = self.history.older(self.line.text()) {
                    self.line = Line::new(older);
                }
            }
            Key::Down => {
                if let Some(younger) = self.history.younger() {
                    self.line = Line::new(younger);
                }
            }
            Key::Char(_) | Key::Enter | Key::Clear | Key::Cancel => {}
        }
    }

    fn insert(&mut self, character: char, screen: &mut Vec<u8>) {
        if !self.line.insert(character) {
            screen.push(0x07);
            return;
        }
        let columns = self.prompt.len() + self.line.before().chars().count();
        if self.line.is_at_end() && columns < WIDTH && !self.stale {
            let mut utf8 = [0; 4];
            screen.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        } else {
            self.stale = true;
        }
    }

    /// Draws prompt and visible part, and places the cursor.
    fn draw(&self, screen: &mut Vec<u8>) {
        let room = WIDTH - self.prompt.len();
        let cursor = self.line.before().chars().count();
        let first = cursor.saturating_sub(room - 1);
        let visible = self.line.text().chars().skip(first).take(room);
        let mut text: String = String::from("\r");
        text.push_str(self.prompt);
        text.extend(visible);
        text.push_str("\x1b[K\r");
        let column = self.prompt.len() + cursor - first;
        text.push_str(&alloc::format!("\x1b[{column}C"));
        screen.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
