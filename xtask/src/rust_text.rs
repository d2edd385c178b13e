//! Just enough of Rust's lexical rules to tell code from comments and literals.

/// `source` with the content of comments, strings and characters blanked; lines stay where they are.
pub(crate) fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let hidden = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => 1 + string(&rest[1..]),
            'r' if !is_word(before) => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        let length = if hidden > 0 { hidden } else { first.len_utf8() };
        let (taken, tail) = rest.split_at(length);
        if hidden > 0 {
            out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            before = ' ';
        } else {
            out.push(first);
            before = first;
        }
        rest = tail;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Bytes of a string's content and its closing quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Bytes of a raw string, 0 if `text` does not start with one.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].len() - text[1..].trim_start_matches('#').len();
    let open = 1 + hashes;
    if !text[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    match text[open + 1..].find(&close) {
        Some(at) => open + 1 + at + close.len(),
        None => text.len(),
    }
}

/// Bytes of a character literal, 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            text[2..].find('\'').map_or(0, |_| {
                chars
                    .find(|(_, c)| *c == '\'')
                    .map_or(text.len(), |(at, _)| at + 1)
            })
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let cases = [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", 1)"#, r#"f(      , 1)"#),
            ("r#\"a\"b\"# c", "         c"),
            ("'a' 'b", "    'b"),
            (r"'\'' x", "     x"),
            ("&'static str", "&'static str"),
            ("raw r", "raw r"),
            ("\"é\" é", "    é"),
        ];
        for (source, code) in cases {
            assert_eq!(code_only(source), code, "{source}");
        }
        assert_eq!(code_only("\"a\nb\"").lines().count(), 2);
    }
}
