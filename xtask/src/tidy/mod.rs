//! `tidy`: the structure rules of the tree. A rule is a function from the tree to findings.
//!
//! Deliberately absent: what `rustfmt` and clippy already check.

mod coverage;
mod crates;
mod files;
mod manifests;
mod modules;

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use std::fmt::{self, Display};
use std::fs;
use std::path::{Path, PathBuf};

/// A rule that is broken, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Finding {
    file: String,
    line: usize,
    what: String,
}

impl Finding {
    /// About a line; lines count from 1.
    fn at(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            what: what.into(),
        }
    }

    /// About a whole file.
    fn of(file: &str, what: impl Into<String>) -> Self {
        Self::at(file, 0, what)
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.what),
            line => write!(f, "{}:{line}: {}", self.file, self.what),
        }
    }
}

/// A text file of the tree; its path is relative to the root, with `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Text {
    path: String,
    content: String,
}

/// Every broken rule.
pub(crate) fn findings(place: &Place) -> Result<Vec<Finding>> {
    let texts = read_tree(&place.root)?;
    let mut all = Vec::new();
    all.extend(crates::check(&texts));
    all.extend(modules::check(&texts));
    all.extend(files::check(&texts));
    all.extend(coverage::check(&texts)?);
    all.extend(manifests::check(place)?);
    all.sort();
    Ok(all)
}

/// The whole command; its exit status.
pub(crate) fn tidy(place: &Place) -> Result<u8> {
    let all = findings(place)?;
    for finding in &all {
        println!("{finding}");
    }
    match all.len() {
        0 => {
            println!("tidy: every rule holds");
            Ok(0)
        }
        count => Err(Fault::new(format!("tidy: {count} findings"))),
    }
}

/// The whole `tidy --coverage`; its exit status.
pub(crate) fn coverage(place: &Place) -> Result<u8> {
    let missing = coverage::check(&read_tree(&place.root)?)?;
    for finding in &missing {
        println!("{}", finding.what);
    }
    eprintln!("{} tests of required ids are missing", missing.len());
    Ok(u8::from(!missing.is_empty()))
}

/// Suffixes of files that the rules look at.
const SUFFIXES: [&str; 9] = [
    ".rs", ".toml", ".md", ".ld", ".json", ".txt", ".sh", ".c", ".h",
];

fn read_tree(root: &Path) -> Result<Vec<Text>> {
    let mut texts = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in fs::read_dir(&path).at("read", &path)? {
            let entry = entry.at("read", &path)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                continue;
            };
            let relative = folder.join(name);
            let kind = entry.file_type().at("read", &entry.path())?;
            if kind.is_dir() {
                // Hidden folders hold configuration, build directories nothing of ours.
                let ours = !name.starts_with('.') && !is_build_directory(&entry.path(), name);
                folders.extend(ours.then_some(relative));
            } else if kind.is_file() && SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                let content = fs::read_to_string(entry.path()).at("read", &entry.path())?;
                let path = relative.to_string_lossy().into_owned();
                texts.push(Text { path, content });
            }
        }
    }
    texts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(texts)
}

fn is_build_directory(path: &Path, name: &str) -> bool {
    name == "target" || path.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// A tree from pairs of path and content.
    pub(super) fn tree(files: &[(&str, &str)]) -> Vec<Text> {
        let text = |(path, content): &(&str, &str)| Text {
            path: (*path).to_owned(),
            content: (*content).to_owned(),
        };
        files.iter().map(text).collect()
    }

    #[test]
    fn build_directories_and_hidden_folders_are_not_read() {
        let scratch = Scratch::new("tidy");
        for path in [
            "a/x.rs",
            "target/y.rs",
            ".git/z.toml",
            "other/CACHEDIR.TAG",
            "other/w.rs",
        ] {
            scratch.write(path, "");
        }
        let texts = read_tree(scratch.path()).unwrap();
        assert_eq!(texts, tree(&[("a/x.rs", "")]));
    }
}
