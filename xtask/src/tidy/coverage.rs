//! Which required behaviours no test names.
//!
//! `requirements.toml` maps an id to its mark (`M-01 = "C"`, or a table with `mark`); tests say
//! `// covers: M-01 M-02` above them.

use super::Text;
use crate::fault::{Doing, Result};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The list of ids and marks.
pub(super) const REQUIREMENTS: &str = "microkernel/tests/requirements.toml";

/// Marks of ids that a test must name.
const REQUIRED: [&str; 2] = ["C", "E"];

/// The required ids that no `// covers:` line names, sorted.
pub(super) fn uncovered(requirements: &str, texts: &[Text]) -> Result<Vec<String>> {
    let table: Table = requirements.parse().doing("read the requirements")?;
    let mut required = BTreeSet::new();
    collect(&table, &mut required);
    for text in texts.iter().filter(|text| text.path.ends_with(".rs")) {
        for line in text.content.lines() {
            if let Some(ids) = line.trim_start().strip_prefix("// covers:") {
                for id in ids.split([' ', ',']) {
                    required.remove(id);
                }
            }
        }
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
}
