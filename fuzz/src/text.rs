//! Texts: the kernel's command line and log, the guest's trace report, and what is typed at a terminal.

use log::kernel::{Reader, split_time};
use microkernel_x86_64::command_line::Options;
use monitor::editor::{Editor, Event};
use monitor::words;

/// The kernel's command line.
pub fn options(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let mut unknown = 0;
    let options = Options::parse(&line, |_| unknown += 1);
    let kept = options.variables.bytes();
    let count = kept.iter().filter(|byte| **byte == 0).count();
    assert_eq!(count, options.variables.count() as usize);
    assert!(unknown + count <= line.split_ascii_whitespace().count());
}

/// What a traced guest writes, as the tool reads and draws it.
pub fn trace(bytes: &[u8]) {
    // What has no head, which is hard to guess, counts as a report, too.
    let (own, report) = ::trace::split(bytes).unwrap_or((&[], bytes));
    assert!(bytes.starts_with(own) && bytes.ends_with(report));
    assert!(own.len() + report.len() <= bytes.len());
    let text = String::from_utf8_lossy(report);
    let Ok(report) = ::trace::Report::parse(&text) else {
        return;
    };
    assert!(report.events.len() <= text.lines().count());
    let (_, size) = ::trace::draw(&report);
    assert_eq!(size.events, report.events.len());
    assert!(size.calls <= size.events, "a call without an event");
}

/// Keys, as the line editor has them, and the words of the lines that come of them.
pub fn typed(bytes: &[u8]) {
    let (mut editor, mut screen) = (Editor::new("> "), Vec::new());
    for byte in bytes {
        screen.clear();
        if let Some(Event::Line(line)) = editor.push(*byte, &mut screen) {
            assert!(!line.contains('\n'), "{line:?} is more than a line");
            std::hint::black_box(words::split(&line).is_ok());
        }
    }
    editor.refresh(&mut screen);
    std::hint::black_box(words::split(&String::from_utf8_lossy(bytes)).is_ok());
}

/// The kernel's log, read in pieces of which some are lost or come twice.
pub fn log(bytes: &[u8]) {
    let mut reader = Reader::default();
    let (mut from, mut rest) = (0_u64, bytes);
    while let Some((&[skip, size], more)) = rest.split_first_chunk() {
        let (piece, more) = more.split_at(usize::from(size).min(more.len()));
        rest = more;
        from = from.wrapping_add_signed(i64::from(skip.cast_signed()));
        reader.take(from, piece, |line| {
            let (_, text) = split_time(line);
            assert!(line.ends_with(text));
        });
        from = reader.position();
    }
}
