//! Which required behaviours no test names.
//!
//! `requirements.toml` maps an id to its mark (`M-01 = "C"`, or a table with `mark`); tests say
//! `// covers: M-01 M-02` above them. A table that says `guest` is of a failure that must not come back: it has a test on
//! the host, and in the guest when that is `true`, in every tree.

use super::{Finding, Text};
use crate::fault::{Doing, Result};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The list of ids and marks.
pub(super) const REQUIREMENTS: &str = "microkernel/tests/requirements.toml";

/// Marks of ids that a test must name.
const REQUIRED: [&str; 2] = ["C", "E"];

/// Where tests that run in the guest lie.
const GUEST: &str = "initrd/";

/// Failures that lack a test on the host or in the guest.
pub(super) fn check(texts: &[Text]) -> Result<Vec<Finding>> {
    let Some(list) = texts.iter().find(|text| text.path == REQUIREMENTS) else {
        return Ok(Vec::new());
    };
    let table: Table = list.content.parse().doing("read the requirements")?;
    let (guest, host): (Vec<&Text>, _) =
        texts.iter().partition(|text| text.path.starts_with(GUEST));
    let (host, guest) = (named(host), named(guest));
    let mut findings = Vec::new();
    for (id, value) in &table {
        let Some(in_guest) = value.get("guest").and_then(Value::as_bool) else {
            continue;
        };
        let mut lacks = |place: &str| {
            let what = format!("{id} has no test {place}");
            findings.push(Finding::of(REQUIREMENTS, what));
        };
        if !host.contains(id.as_str()) {
            lacks("on the host");
        }
        if in_guest && !guest.contains(id.as_str()) {
            lacks("in the guest");
        }
    }
    Ok(findings)
}

/// The ids that `// covers:` lines name.
fn named<'a>(texts: impl IntoIterator<Item = &'a Text>) -> BTreeSet<&'a str> {
    let sources = texts.into_iter().filter(|text| text.path.ends_with(".rs"));
    let lines = sources.flat_map(|text| text.content.lines());
    let covers = lines.filter_map(|line| line.trim_start().strip_prefix("// covers:"));
    covers.flat_map(|ids| ids.split([' ', ','])).collect()
}

/// The required ids that no `// covers:` line names, sorted.
pub(super) fn uncovered(requirements: &str, texts: &[Text]) -> Result<Vec<String>> {
    let table: Table = requirements.parse().doing("read the requirements")?;
    let mut required = BTreeSet::new();
    collect(&table, &mut required);
    for id in named(texts) {
        required.remove(id);
    }
    Ok(required.into_iter().collect())
}

/// Ids may be grouped in tables.
fn collect(table: &Table, required: &mut BTreeSet<String>) {
    for (key, value) in table {
        let mark = match value {
            Value::String(mark) => Some(mark.as_str()),
            Value::Table(row) => row.get("mark").and_then(Value::as_str),
            _ => None,
        };
        match (mark, value) {
            (Some(mark), _) if REQUIRED.contains(&mark) => {
                required.insert(key.clone());
            }
            (None, Value::Table(group)) => collect(group, required),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn required_ids_without_a_test_are_listed() {
        let list = "M-01 = \"C\"\nM-02 = \"E\"\nM-03 = \"R\"\n[ports]\nP-01 = { mark = \"C\" }\nP-02 = \"C\"";
        let texts = tree(&[
            ("a.rs", "    // covers: M-02 P-02\nfn t() {}"),
            ("b.md", "// covers: M-01"),
        ]);
        assert_eq!(uncovered(list, &texts).unwrap(), ["M-01", "P-01"]);
        assert!(uncovered("[", &texts).is_err());
    }

    #[test]
    fn a_failure_needs_its_tests_in_every_tree() {
        let list = "F-01 = { mark = \"C\", guest = true }\nF-02 = { mark = \"C\", guest = false }\nM-01 = \"C\"";
        let texts = tree(&[
            (REQUIREMENTS, list),
            ("initrd/tests/a.rs", "// covers: F-01"),
            ("microkernel/tests/a.rs", "// covers: F-02"),
        ]);
        let expected = [Finding::of(REQUIREMENTS, "F-01 has no test on the host")];
        assert_eq!(check(&texts).unwrap(), expected);
    }
}
