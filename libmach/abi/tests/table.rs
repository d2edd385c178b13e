//! The numbers, flags, codes and layouts that kernel and user code agree on, all of them, beside a committed table: a change
//! of the ABI shows as a change of `table.txt`, and is made on purpose.
//!
//! `ABI_TABLE=write` writes the table anew. Whoever does so looks whether `ABI_VERSION` must change too: a program that was
//! built before must be refused where it would be misunderstood.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// What one source file has.
#[derive(Default)]
struct Items {
    /// Its module.
    module: String,
    found: Vec<String>,
    /// Modules, types and macros around a line: where their line began, and their names.
    around: Vec<(usize, String)>,
    /// The representation of the type that comes next.
    representation: String,
    /// An item that more lines belong to, and what ends it.
    open: Option<(String, &'static str)>,
}

impl Items {
    fn of(module: &str, text: &str) -> Vec<String> {
        let mut items = Self {
            module: module.to_owned(),
            ..Self::default()
        };
        let text = text.split("#[cfg(test)]").next().unwrap();
        text.lines().for_each(|line| items.line(line));
        items.found
    }

    fn line(&mut self, line: &str) {
        let words = line.trim();
        let indent = line.len() - line.trim_start().len();
        if words.is_empty() || words.starts_with("//") || words.starts_with("#[doc") {
            return;
        }
        if let Some((item, end)) = &mut self.open {
            item.push_str(words);
            item.push(' ');
            if words.ends_with(*end) {
                self.close();
            }
            return;
        }
        if words == "}" && self.around.last().is_some_and(|(at, _)| *at == indent) {
            self.around.pop();
            return;
        }
        if let Some(representation) = words.strip_prefix("#[repr") {
            self.representation = representation.trim_end_matches(']').to_owned();
        }
        self.item(indent, words);
    }

    fn item(&mut self, indent: usize, words: &str) {
        let name_of = |rest: &str| -> String {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
            name.map(str::to_owned).next().unwrap()
        };
        let is_code = self.around.iter().any(|(_, name)| name.ends_with('!'));
        if let Some(rest) = words
            .strip_prefix("pub mod ")
            .filter(|_| words.ends_with('{'))
        {
            self.around.push((indent, name_of(rest)));
        } else if let Some(rest) = words.strip_prefix("impl ").filter(|_| words.ends_with('{')) {
            let of = rest.rsplit(" for ").next().unwrap();
            self.around.push((indent, name_of(of)));
        } else if let Some(rest) = words.strip_suffix("! {").filter(|_| indent == 0) {
            self.around.push((indent, format!("{}!", name_of(rest))));
        } else if words.starts_with("pub const fn") || words.contains('$') {
        } else if words.starts_with("pub const ") {
            self.begin(words, ";");
        } else if words.starts_with("pub enum ") {
            self.begin(words, "}");
        } else if words.starts_with("pub struct ") && !self.representation.is_empty() {
            self.begin(words, if words.ends_with('{') { "}" } else { ";" });
        } else if is_code && words.ends_with('{') {
            let last = words.trim_end_matches('{').split_whitespace().last();
            self.around
                .push((indent, last.unwrap_or("code").to_owned()));
        } else if is_code && words.contains(" = ") {
            self.begin(words, ",");
        }
    }

    fn begin(&mut self, words: &str, end: &'static str) {
        let around = self.around.iter().map(|(_, name)| name);
        let names = [&self.module].into_iter().chain(around);
        let named = names.filter(|name| !name.ends_with('!'));
        let path: Vec<_> = named.map(String::as_str).collect();
        let mut item = path.join("::") + ": " + words.trim_start_matches("pub ") + " ";
        if words.starts_with("pub struct") || words.starts_with("pub enum") {
            let representation = std::mem::take(&mut self.representation);
            item.push_str(&representation);
            item.extend((!representation.is_empty()).then_some(' '));
        }
        self.open = Some((item, end));
        if words.ends_with(end) {
            self.close();
        }
    }

    fn close(&mut self) {
        if let Some((item, _)) = self.open.take() {
            self.found.push(item.trim().replace("pub ", ""));
        }
    }
}

fn sources(folder: &Path, module: &str, into: &mut Vec<(String, PathBuf)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let name = match (module, stem) {
            ("", "lib") => "abi".to_owned(),
            ("", _) => stem.to_owned(),
            (_, "mod") => module.to_owned(),
            _ => format!("{module}::{stem}"),
        };
        match path.is_dir() {
            true => sources(&path, &name, into),
            false => into.push((name, path)),
        }
    }
}

#[test]
fn the_abi_is_the_one_of_the_table() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&crate_folder.join("src"), "", &mut files);
    files.sort();
    let mut now = String::new();
    for (module, path) in files {
        for item in Items::of(&module, &fs::read_to_string(path).unwrap()) {
            now.push_str(&item);
            now.push('\n');
        }
    }
    let table = crate_folder.join("tests/table.txt");
    if env::var_os("ABI_TABLE").is_some() {
        fs::write(&table, &now).unwrap();
    }
    let before = fs::read_to_string(&table).unwrap();
    let missing = |of: &str, from: &str| -> Vec<String> {
        let lost = of.lines().filter(|line| !from.lines().any(|l| l == *line));
        lost.map(str::to_owned).collect()
    };
    let (gone, new) = (missing(&before, &now), missing(&now, &before));
    assert!(
        before == now,
        "the ABI is another one. No more: {gone:#?} New: {new:#?} If that is meant: ABI_TABLE=write"
    );
}

/// What the reader of sources finds, and does not.
#[test]
fn items_are_read_with_their_modules() {
    let text = "
//! Text.
/// One.
pub const A: u32 = 1;
const B: u32 = 2;
pub const fn f() {}
/// More.
pub mod flags {
    /// Long.
    pub const C: u64 =
        A as u64 | 2;
}
/// A type.
#[derive(Clone)]
#[repr(C)]
pub struct S {
    /// A field.
    pub x: u8,
    pub y: u64,
}
codes! {
    /// Codes.
    K {
        /// Fine.
        Good = 0,
    }
}
pub enum E {
    P,
}
impl S {
    pub const D: i8 = -1;
}
#[cfg(test)]
pub const T: u8 = 0;
";
    let found = Items::of("m", text);
    let expected = [
        "m: const A: u32 = 1;",
        "m::flags: const C: u64 = A as u64 | 2;",
        "m: struct S { (C) x: u8, y: u64, }",
        "m::K: Good = 0,",
        "m: enum E { P, }",
        "m::S: const D: i8 = -1;",
    ];
    assert_eq!(found, expected);
}
