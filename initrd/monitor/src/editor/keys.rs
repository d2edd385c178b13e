//! From bytes to keys: UTF-8, control characters, and the escape sequences of common terminals
//! (ECMA-48 CSI, and SS3 as xterm's application mode sends it).

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    /// A printable character.
    Char(char),
    /// Enter.
    Enter,
    /// Deletes before the cursor.
    Backspace,
    /// Deletes at the cursor.
    Delete,
    /// One character back.
    Left,
    /// One character on.
    Right,
    /// To the start of the line (also Ctrl-A).
    Home,
    /// To the end of the line (also Ctrl-E).
    End,
    /// An older line (also Ctrl-P).
    Up,
    /// A younger line (also Ctrl-N).
    Down,
    /// Ctrl-U: deletes all before the cursor.
    KillBefore,
    /// Ctrl-K: deletes all from the cursor on.
    KillAfter,
    /// Ctrl-W: deletes the word before the cursor.
    KillWord,
    /// Ctrl-L: draws the line again on an empty screen.
    Clear,
    /// Ctrl-C.
    Cancel,
    /// Ctrl-D.
    EndOfInput,
}

/// Where in a sequence the decoder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Ground,
    /// Behind a carriage return: a line feed belongs to it.
    Returned,
    /// Behind ESC.
    Escape,
    /// Behind ESC O.
    Single,
    /// Behind ESC [, with the first parameter so far.
    Control(u16),
    /// Behind the `;` of the same: further parameters do not count.
    ControlRest(u16),
    /// In a character: its bits so far, how many bytes are missing, the least that it may be.
    Utf8(u32, u8, u32),
}

/// The decoder.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys(State);

impl Keys {
    /// Takes a byte; the key that it completes, if it does.
    pub(super) fn push(&mut self, byte: u8) -> Option<Key> {
        let state = core::mem::take(&mut self.0);
        match state {
            State::Ground => self.ground(byte),
            State::Returned if byte == b'\n' => None,
            State::Returned => self.ground(byte),
            State::Escape => {
                match byte {
                    b'[' => self.0 = State::Control(0),
                    b'O' => self.0 = State::Single,
                    0x1b => self.0 = State::Escape,
                    // A key with Alt that means nothing here.
                    _ => {}
                }
                None
            }
            State::Single => finished(byte, 0),
            State::Control(number) => self.control(byte, number),
            State::ControlRest(number) => match byte {
                0x20..=0x3f => {
                    self.0 = State::ControlRest(number);
                    None
                }
                _ => finished(byte, number),
            },
            State::Utf8(bits, missing, least) if byte & 0xc0 == 0x80 => {
                let bits = bits << 6 | u32::from(byte & 0x3f);
                if missing > 1 {
                    self.0 = State::Utf8(bits, missing - 1, least);
                    return None;
                }
                let valid = char::from_u32(bits).filter(|_| bits >= least);
                Some(Key::Char(valid.unwrap_or(char::REPLACEMENT_CHARACTER)))
                    .filter(|_| !valid.is_some_and(char::is_control))
            }
            // The character broke off: what follows counts.
            State::Utf8(..) => self.ground(byte),
        }
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        match byte {
            0x01 => Some(Key::Home),
            0x03 => Some(Key::Cancel),
            0x04 => Some(Key::EndOfInput),
            0x05 => Some(Key::End),
            0x08 | 0x7f => Some(Key::Backspace),
            0x0b => Some(Key::KillAfter),
            0x0c => Some(Key::Clear),
            b'\r' => {
                self.0 = State::Returned;
                Some(Key::Enter)
            }
            b'\n' => Some(Key::Enter),
            0x0e => Some(Key::Down),
            0x10 => Some(Key::Up),
            0x15 => Some(Key::KillBefore),
            0x17 => Some(Key::KillWord),
            0x1b => {
                self.0 = State::Escape;
                None
            }
            0x20..=0x7e => Some(Key::Char(char::from(byte))),
            0xc2..=0xdf => self.begin(byte & 0x1f, 1, 0x80),
            0xe0..=0xef => self.begin(byte & 0x0f, 2, 0x800),
            0xf0..=0xf4 => self.begin(byte & 0x07, 3, 0x1_0000),
            _ => None,
        }
    }

    fn begin(&mut self, bits: u8, missing: u8, least: u32) -> Option<Key> {
        self.0 = State::Utf8(u32::from(bits), missing, least);
        None
    }

    fn control(&mut self, byte: u8, number: u16) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                let next = number
                    .saturating_mul(10)
                    .saturating_add(u16::from(byte - b'0'));
                self.0 = State::Control(next);
                None
            }
            0x20..=0x3f => {
                self.0 = State::ControlRest(number);
                None
            }
            _ => finished(byte, number),
        }
    }
}

/// The key of a sequence's last byte.
fn finished(byte: u8, number: u16) -> Option<Key> {
    Some(match (byte, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Key, Keys};

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.push(*byte)).collect()
    }

    #[test]
    fn sequences_of_several_terminals_are_known() {
        let found = keys(b"\x1b[A\x1bOB\x1b[1;5C\x1b[D\x1b[H\x1b[7~\x1b[F\x1b[4~\x1b[3~");
        let expected = [
            Key::Up,
            Key::Down,
            Key::Right,
            Key::Left,
            Key::Home,
            Key::Home,
            Key::End,
            Key::End,
            Key::Delete,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn unknown_sequences_type_nothing() {
        assert_eq!(
            keys(b"\x1b[200~a\x1b[15;2~\x1bb\x1b[?25h"),
            [Key::Char('a')]
        );
        assert_eq!(keys(b"\x00\x07\x1f\x80\xff\t"), []);
    }

    #[test]
    fn characters_of_every_length_arrive_whole() {
        let text = "aé€😀";
        let expected: Vec<_> = text.chars().map(Key::Char).collect();
        assert_eq!(keys(text.as_bytes()), expected);
    }

    #[test]
    fn broken_characters_do_no_harm() {
        assert_eq!(keys(b"\xc3a"), [Key::Char('a')]);
        // A surrogate and an overlong form.
        let bad = Key::Char(char::REPLACEMENT_CHARACTER);
        assert_eq!(keys(b"\xed\xa0\x80\xe0\x80\x80"), [bad, bad]);
        // A control character of the upper range.
        assert_eq!(keys("\u{9b}".as_bytes()), []);
    }

    #[test]
    fn enter_is_one_key_however_it_is_sent() {
        assert_eq!(keys(b"\r\n\r\n\n"), [Key::Enter; 3]);
        assert_eq!(keys(b"\r\r"), [Key::Enter; 2]);
    }
}
