//! The editor as a person meets it: keys typed, lines and screen looked at.

use super::{Editor, Event, WIDTH, line::MAX_LINE};

/// A terminal that understands what the editor may send.
#[derive(Default)]
struct Screen {
    rows: Vec<Vec<char>>,
    column: usize,
}

impl Screen {
    fn take(&mut self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).expect("the editor sends UTF-8");
        let mut characters = text.chars();
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        while let Some(character) = characters.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => self.rows.push(Vec::new()),
                '\x07' => {}
                '\x1b' => {
                    assert_eq!(characters.next(), Some('['));
                    let mut number = 0;
                    loop {
                        match characters.next().expect("a whole sequence") {
                            digit @ '0'..='9' => {
                                number = number * 10 + digit as usize - '0' as usize;
                            }
                            'K' => {
                                let column = self.column();
                                break self.row().truncate(column);
                            }
                            'C' => break self.column += number.max(1),
                            'H' => break self.column = 0,
                            'J' => break self.rows = vec![Vec::new()],
                            other => panic!("unknown sequence {other:?}"),
                        }
                    }
                }
                other => {
                    let column = self.column();
                    let row = self.row();
                    row.truncate(row.len().max(column));
                    row.resize(row.len().max(column + 1), ' ');
                    row[column] = other;
                    self.column += 1;
                }
            }
        }
    }

    fn column(&self) -> usize {
        self.column
    }

    fn row(&mut self) -> &mut Vec<char> {
        self.rows.last_mut().expect("there is a row")
    }

    /// The last row, with a bar where the cursor is.
    fn shown(&mut self) -> String {
        let column = self.column();
        let mut row: Vec<char> = self.row().clone();
        row.insert(column, '|');
        row.into_iter().collect()
    }
}

/// Types and gives back the events and what the screen shows.
fn typed(bytes: &[u8]) -> (Vec<Event>, String) {
    let mut editor = Editor::new("> ");
    let mut screen = Screen::default();
    let mut drawn = Vec::new();
    editor.show(&mut drawn);
    let mut events = Vec::new();
    for byte in bytes {
        if let Some(event) = editor.push(*byte, &mut drawn) {
            events.push(event);
            editor.show(&mut drawn);
        }
        editor.refresh(&mut drawn);
    }
    screen.take(&drawn);
    (events, screen.shown())
}

fn line(text: &str) -> Event {
    Event::Line(text.to_owned())
}

#[test]
fn what_is_typed_is_shown_and_comes_back() {
    let (events, shown) = typed("sv\u{e9}c list".as_bytes());
    assert_eq!((events, shown.as_str()), (vec![], "> sv\u{e9}c list|"));
    let (events, shown) = typed("gr\u{fc}n \u{1f600}\rx".as_bytes());
    assert_eq!(events, [line("gr\u{fc}n \u{1f600}")]);
    assert_eq!(shown, "> x|");
}

#[test]
fn the_cursor_moves_by_characters() {
    assert_eq!(typed("a\u{e9}b\x1b[D\x1b[DX".as_bytes()).1, "> aX|\u{e9}b");
    assert_eq!(typed(b"abc\x01X\x05Y").1, "> XabcY|");
    assert_eq!(
        typed(b"abc\x1b[H\x1b[C\x1b[C\x1b[C\x1b[C\x1b[3~").1,
        "> abc|"
    );
    assert_eq!(typed(b"abc\x1b[H\x1b[3~").1, "> |bc");
}

#[test]
fn deleting_takes_whole_characters_and_stops_at_the_ends() {
    assert_eq!(typed("a\u{20ac}\x7f".as_bytes()).1, "> a|");
    assert_eq!(typed(b"\x7f\x08\x1b[3~").1, "> |");
    assert_eq!(typed(b"ab\x1b[D\x04").1, "> a|");
    assert_eq!(typed(b"abcd\x1b[D\x1b[D\x15").1, "> |cd");
    assert_eq!(typed(b"abcd\x1b[D\x1b[D\x0b").1, "> ab|");
    assert_eq!(typed(b"run a bc  \x17").1, "> run a |");
    assert_eq!(typed(b"run a bc  \x17\x17\x17\x17").1, "> |");
}

#[test]
fn history_goes_back_and_forth_and_keeps_the_draft() {
    let (events, shown) = typed(b"one\rtwo\rtwo\rdra\x1b[A");
    assert_eq!(events.len(), 3);
    assert_eq!(shown, "> two|");
    assert_eq!(typed(b"one\rtwo\rtwo\rdra\x1b[A\x1b[A\x1b[A").1, "> one|");
    assert_eq!(
        typed(b"one\rtwo\rdra\x1b[A\x1b[A\x1b[B\x1b[B\x1b[B").1,
        "> dra|"
    );
    let (events, _) = typed(b"one\r\x1b[A!\r\x1b[A\r");
    assert_eq!(events, [line("one"), line("one!"), line("one!")]);
}

#[test]
fn empty_lines_are_lines_but_no_history() {
    let (events, shown) = typed(b"one\r\r  \r\x1b[A");
    assert_eq!(events, [line("one"), line(""), line("  ")]);
    assert_eq!(shown, "> one|");
}

#[test]
fn cancelling_clears_the_line() {
    let (events, shown) = typed(b"abc\x03d");
    assert_eq!(events, [Event::Cancelled]);
    assert_eq!(shown, "> d|");
}

#[test]
fn end_of_input_counts_on_an_empty_line_only() {
    assert_eq!(typed(b"\x04").0, [Event::EndOfInput]);
    assert_eq!(typed(b"a\x04").0, []);
    assert_eq!(typed(b"a\x7f\x04").0, [Event::EndOfInput]);
}

#[test]
fn a_long_line_is_shown_around_the_cursor() {
    let text: String = ('a'..='z').cycle().take(200).collect();
    let (_, shown) = typed(text.as_bytes());
    let row = shown.replace('|', "");
    assert!(row.chars().count() <= WIDTH, "{row}");
    assert!(row.ends_with(&text[190..]), "{row}");
    let (_, shown) = typed(format!("{text}\x01").as_bytes());
    assert!(shown.starts_with("> |abc"), "{shown}");
    let (events, _) = typed(format!("{text}\r").as_bytes());
    assert_eq!(events, [line(&text)]);
}

#[test]
fn bytes_that_come_together_are_drawn_once() {
    let mut editor = Editor::new("> ");
    let (mut drawn, mut screen) = (Vec::new(), Screen::default());
    editor.show(&mut drawn);
    for byte in "x".repeat(MAX_LINE).bytes() {
        editor.push(byte, &mut drawn);
    }
    editor.refresh(&mut drawn);
    assert!(drawn.len() < 4 * WIDTH, "{} bytes", drawn.len());
    screen.take(&drawn);
    assert!(screen.shown().ends_with("xx|"));
}

#[test]
fn a_line_has_a_bound() {
    let text = "x".repeat(MAX_LINE + 10) + "\r";
    assert_eq!(typed(text.as_bytes()).0, [line(&"x".repeat(MAX_LINE))]);
}

#[test]
fn any_bytes_leave_a_consistent_line() {
    let mut state = 1_u32;
    let mut editor = Editor::new("> ");
    let mut drawn = Vec::new();
    for _ in 0..100_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        // Often enough the start of a sequence.
        let byte = if state & 0x700 == 0 { 0x1b } else { byte };
        editor.push(byte, &mut drawn);
        editor.refresh(&mut drawn);
        if drawn.len() > 4096 {
            assert!(std::str::from_utf8(&drawn).is_ok());
            drawn.clear();
        }
    }
}
