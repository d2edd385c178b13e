//! Which module of the kernel library may import which: lower layers only.
//!
//! Comments and strings are blanked first, so that only code counts. A path is followed from `crate`,
//! or from as many `super` as leave the module. Deliberately absent: macro expansion and re-exports;
//! an import through the crate's root is refused, because it hides its layer.

use super::{Finding, Text};
use crate::rust_text::code_only;

const SOURCES: &str = "microkernel/src/";

/// The layers, lowest first; modules of one layer do not import each other.
const LAYERS: [&[&str]; 7] = [
    &["base"],
    // The `Machine` trait speaks of the ids in `base`.
    &["machine"],
    &["sched", "vm"],
    &["ipc"],
    &["task"],
    &["kobj", "trap"],
    &["kernel"],
];

/// The findings about imports inside the kernel library.
pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in texts {
        if let Some(path) = text.path.strip_prefix(SOURCES)
            && path.ends_with(".rs")
            && path != "lib.rs"
        {
            check_file(text, path, &mut findings);
        }
    }
    findings
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn check_file(text: &Text, path: &str, findings: &mut Vec<Finding>) {
    let own = path
        .split('/')
        .next()
        .and_then(|first| first.split('.').next())
        .unwrap_or(path);
    let Some(own_layer) = layer(own) else {
        let what = format!("{own} is no module of the kernel (DESIGN.md, the tree)");
        findings.push(Finding::of(&text.path, what));
        return;
    };
    let code = code_only(&text.content);
    for (line, target) in targets(&code, depth(path)) {
        let what = match layer(&target) {
            _ if target == own => continue,
            None => format!("imports `{target}` through the crate's root; name its module"),
            Some(other) if other < own_layer => continue,
            Some(_) => format!("{own} may not import {target}: it is not below it"),
        };
        findings.push(Finding::at(&text.path, line, what));
    }
}

/// How many modules a file's code is below the crate's root.
fn depth(path: &str) -> usize {
    let folders = path.matches('/').count();
    if path.ends_with("/mod.rs") {
        folders
    } else {
        folders + 1
    }
}

/// The first names of all paths that start at the crate's root, with their lines.
fn targets(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let words = words(code);
    let mut at = 0;
    while at < words.len() {
        let supers = words[at..]
            .chunks(2)
            .take_while(|pair| pair.len() == 2 && pair[0].1 == "super" && pair[1].1 == "::")
            .count();
        let from_root = words[at].1 == "crate" && words.get(at + 1).is_some_and(|w| w.1 == "::");
        let tail = match (from_root, supers) {
            (true, _) => Some(at + 2),
            // Inline modules may need more of them; then the path stays inside the file.
            (false, count) if count >= depth && count > 0 => Some(at + 2 * count),
            _ => None,
        };
        if let Some(tail) = tail {
            found.extend(heads(&words[tail..]));
            at = tail;
        } else {
            at += 1 + 2 * supers.saturating_sub(1);
        }
    }
    found
}

/// The first name of a path, or those of a group in braces.
fn heads(words: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut heads = Vec::new();
    let mut nesting = 0;
    let mut expect = true;
    for (line, word) in words {
        match *word {
            "{" => nesting += 1,
            "}" => nesting -= 1,
            "," if nesting == 1 => expect = true,
            "self" | "*" if expect => expect = false,
            name if expect && nesting <= 1 => {
                heads.push((*line, name.to_owned()));
                expect = false;
            }
            _ => {}
        }
        if nesting <= 0 {
            break;
        }
    }
    heads
}

/// Identifiers, `::` and single other signs, with their lines.
fn words(code: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                c => c.len_utf8(),
            };
            words.push((index + 1, &rest[..length]));
            rest = rest[length..].trim_start();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    fn found(path: &str, code: &str) -> Vec<(usize, String)> {
        check(&tree(&[(path, code)]))
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn downward_imports_are_fine() {
        let code = "use crate::base::ids::Id;\nuse crate::{machine::Machine, vm::{self, map::Map}};\n\
                    fn f(x: crate::sched::Cpu) { super::space::g(); crate::ipc::h() }\n";
        assert_eq!(found("microkernel/src/ipc/entry.rs", code), []);
        assert_eq!(
            found("microkernel/src/machine.rs", "use crate::base::X;"),
            []
        );
        assert_eq!(found("microkernel/src/lib.rs", "use crate::kernel::X;"), []);
    }

    #[test]
    fn upward_and_sideways_imports_are_found() {
        let up = found("microkernel/src/vm/map.rs", "\nuse crate::ipc::Port;");
        assert_eq!(
            up,
            [(2, "vm may not import ipc: it is not below it".into())]
        );
        let side = found(
            "microkernel/src/vm/map.rs",
            "fn f() { crate::sched::wake() }",
        );
        assert_eq!(side.len(), 1);
        let group = found(
            "microkernel/src/ipc/mod.rs",
            "use crate::{\n    base::X,\n    kernel::{Kernel, vm},\n    task,\n};",
        );
        assert_eq!(group.iter().map(|f| f.0).collect::<Vec<_>>(), [3, 4]);
        let supers = found(
            "microkernel/src/ipc/entry.rs",
            "use super::super::task::Task;",
        );
        assert_eq!(supers.len(), 1);
        let file = found("microkernel/src/machine.rs", "use super::kernel::K;");
        assert_eq!(file.len(), 1);
        assert_eq!(
            found("microkernel/src/base/mod.rs", "use crate::machine::M;").len(),
            1
        );
    }

    #[test]
    fn comments_and_strings_do_not_count() {
        let code = "//! See [`crate::kernel`].\n/* crate::kernel::X */\nconst A: &str = \"crate::trap::X\";";
        assert_eq!(found("microkernel/src/base/mod.rs", code), []);
    }

    #[test]
    fn the_root_and_unknown_modules_are_found() {
        let root = found("microkernel/src/vm/map.rs", "use crate::Kernel;");
        assert!(root[0].1.contains("through the crate's root"));
        let unknown = found("microkernel/src/misc.rs", "");
        assert!(unknown[0].1.contains("no module of the kernel"));
    }
}
