//! Which required behaviours no test names.
//!
//! `requirements.toml` maps an id to its mark (`M-01 = "C"`, or a table with `mark`); tests say
//! `// covers: M-01 M-02` above them. A behaviour that is required has a test on the host and one in the guest, unless
//! its table says why there can be none: `not_on_host`, `not_in_guest`.

use super::{Finding, Text};
use crate::fault::{Doing, Result};
use std::collections::BTreeSet;
use toml::{Table, Value};

/// The list of ids and marks.
const REQUIREMENTS: &str = "microkernel/tests/requirements.toml";

/// Marks of ids that tests must name.
const REQUIRED: [&str; 2] = ["C", "E"];

/// Where tests of the booted system lie.
const GUEST: [&str; 2] = ["initrd/", "xtask/src/test/"];

/// The places that tests run in, and what excuses a row there.
const PLACES: [(&str, &str); 2] = [
    ("on the host", "not_on_host"),
    ("in the guest", "not_in_guest"),
];

/// Required behaviours that lack a test; none when there is no list.
pub(super) fn check(texts: &[Text]) -> Result<Vec<Finding>> {
    let Some(list) = texts.iter().find(|text| text.path == REQUIREMENTS) else {
        return Ok(Vec::new());
    };
    let table: Table = list.content.parse().doing("read the requirements")?;
    let (guest, host): (Vec<&Text>, _) = texts.iter().partition(|text| is_guest(text));
    let named = [named(host), named(guest)];
    let mut findings = Vec::new();
    for (id, row) in &table {
        for ((place, excuse), named) in PLACES.iter().zip(&named) {
            if is_required(row) && row.get(excuse).is_none() && !named.contains(id.as_str()) {
                let what = format!("{id} has no test {place}");
                findings.push(Finding::of(REQUIREMENTS, what));
            }
        }
    }
    Ok(findings)
}

fn is_guest(text: &Text) -> bool {
    GUEST.iter().any(|folder| text.path.starts_with(folder))
}

fn is_required(row: &Value) -> bool {
    let mark = row.as_str().or_else(|| row.get("mark")?.as_str());
    mark.is_some_and(|mark| REQUIRED.contains(&mark))
}

/// The ids that `// covers:` lines name.
fn named<'a>(texts: impl IntoIterator<Item = &'a Text>) -> BTreeSet<&'a str> {
    let sources = texts.into_iter().filter(|text| text.path.ends_with(".rs"));
    let lines = sources.flat_map(|text| text.content.lines());
    let covers = lines.filter_map(|line| line.trim_start().strip_prefix("// covers:"));
    covers.flat_map(|ids| ids.split([' ', ','])).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    fn missing(list: &str, sources: &[(&str, &str)]) -> Result<Vec<Finding>> {
        let mut all = vec![(REQUIREMENTS, list)];
        all.extend(sources);
        check(&tree(&all))
    }

    #[test]
    fn required_ids_need_a_test_in_both_places() {
        let list = "M-01 = \"C\"\nM-02 = \"E\"\nM-03 = \"R\"\nM-04 = { mark = \"C\" }";
        let found = missing(
            list,
            &[
                ("microkernel/a.rs", "    // covers: M-02, M-04\nfn t() {}"),
                ("initrd/tests/a.rs", "// covers: M-02"),
                ("xtask/src/test/a.rs", "// covers: M-01"),
                ("b.md", "// covers: M-01"),
            ],
        );
        let expected = [
            "M-01 has no test on the host",
            "M-04 has no test in the guest",
        ];
        let expected = expected.map(|what| Finding::of(REQUIREMENTS, what));
        assert_eq!(found.unwrap(), expected);
        assert!(missing("[", &[]).is_err());
        assert_eq!(check(&[]).unwrap(), []);
    }

    #[test]
    fn a_row_may_say_why_a_place_has_no_test() {
        let list = "M-01 = { mark = \"C\", not_on_host = \"why\" }\nM-02 = { mark = \"E\", not_in_guest = \"why\" }";
        let found = missing(
            list,
            &[
                ("a.rs", "// covers: M-02"),
                ("initrd/a.rs", "// covers: M-01"),
            ],
        );
        assert_eq!(found.unwrap(), []);
    }
}
