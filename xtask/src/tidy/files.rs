//! Rules about single files: their length, `forbid(unsafe_code)`, paths of one machine.

use super::{Finding, Text};
use crate::rust_text::code_only;

/// More lines than this are refused.
const MAX_LINES: usize = 800;

/// The attribute that keeps a crate free of unsafe code.
const FORBID: &str = "#![forbid(unsafe_code)]";

/// Where folders of one person begin.
const MACHINE_PATHS: [&str; 2] = ["/home/", "/Users/"];

/// The findings about single files.
pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        let lines = text.content.lines().count();
        if text.path.ends_with(".rs") && lines > MAX_LINES {
            let what = format!("{lines} lines, at most {MAX_LINES} are readable");
            findings.push(Finding::of(&text.path, what));
        }
        if must_forbid(&text.path) && !code_only(&text.content).contains(FORBID) {
            findings.push(Finding::of(&text.path, format!("{FORBID} is missing")));
        }
        for (index, line) in text.content.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS
                .iter()
                .find(|path| names_machine_path(line, path))
            {
                let what = format!("a path of one machine ({path})");
                findings.push(Finding::at(&text.path, index + 1, what));
            }
        }
    }
    findings
}

/// Whether `line` holds `path` at the start of an absolute path that goes on.
fn names_machine_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"._-*}".contains(c));
        starts && after.is_some_and(char::is_alphanumeric)
    })
}

/// Whether a file is the root of a crate that must be free of unsafe code.
fn must_forbid(path: &str) -> bool {
    let Some((folder, "lib.rs" | "main.rs")) = path.rsplit_once("/src/") else {
        return false;
    };
    let always = ["microkernel", "xtask"].contains(&folder)
        || ["abi", "channel", "interfaces", "manifest"]
            .iter()
            .any(|name| folder.strip_prefix("libmach/") == Some(name));
    // The drivers' kit holds their unsafe code.
    let below = |parent: &str| folder.starts_with(parent) && folder != "drivers/kit";
    always || below("servers/") || below("drivers/")
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn long_files_are_found() {
        let long = "//\n".repeat(MAX_LINES + 1);
        let files = tree(&[("a.rs", &long), ("b.rs", &long[3..]), ("c.md", &long)]);
        let found = check(&files);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].file, "a.rs");
    }

    #[test]
    fn safe_crates_must_say_so() {
        let files = tree(&[
            ("microkernel/src/lib.rs", "//! #![forbid(unsafe_code)]"),
            ("microkernel/src/kernel.rs", ""),
            ("servers/echo/src/main.rs", FORBID),
            ("servers/echo/src/lib.rs", ""),
            ("drivers/kit/src/lib.rs", ""),
            ("libmach/src/lib.rs", ""),
            ("libmach/abi/src/lib.rs", ""),
            ("initrd/tests/src/main.rs", ""),
        ]);
        let found: Vec<String> = check(&files).into_iter().map(|f| f.file).collect();
        let expected = [
            "microkernel/src/lib.rs",
            "servers/echo/src/lib.rs",
            "libmach/abi/src/lib.rs",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        let private = ["see ", "/home", "/jane/x"].concat();
        let files = tree(&[
            ("a.md", private.as_str()),
            ("b.md", "a/home/b, /home/ and https://example.org/home/x"),
        ]);
        let found = check(&files);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].file.as_str(), found[0].line), ("a.md", 1));
    }
}
