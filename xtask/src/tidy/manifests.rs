//! Every manifest is valid, and no two offer the same service.

use super::Finding;
use crate::fault::Result;
use crate::guest::units;
use crate::place::Place;
use manifest::is_name;
use std::collections::BTreeMap;

/// The findings about manifests and names.
pub(super) fn check(place: &Place) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut offered: BTreeMap<String, String> = BTreeMap::new();
    for unit in units(place)? {
        let file = format!("{}/{}", unit.kind.folder(), unit.name);
        if !is_name(&unit.name) {
            findings.push(Finding::of(
                &file,
                "its name is not of the form [a-z][a-z0-9-]*",
            ));
        }
        match unit.manifest() {
            Ok(None) => {}
            Ok(Some(manifest)) => {
                for service in &manifest.services {
                    let other = offered.insert(service.as_str().to_owned(), unit.name.clone());
                    if let Some(other) = other {
                        let what = format!("{other} offers {service} too");
                        findings.push(Finding::of(&file, what));
                    }
                }
            }
            Err(fault) => findings.push(Finding::of(&file, fault.what())),
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn bad_names_bad_manifests_and_rivals_are_found() {
        let scratch = Scratch::new("manifests");
        for (name, manifest) in [
            (
                "a",
                "name = \"a\"\nstart = \"boot\"\nservices = [\"org.x\"]",
            ),
            (
                "b",
                "name = \"b\"\nstart = \"boot\"\nservices = [\"org.x\"]",
            ),
            ("c", "name = \"c\""),
            ("D", "name = \"D\"\nstart = \"boot\""),
        ] {
            scratch.write(&format!("servers/{name}/Cargo.toml"), "");
            scratch.write(&format!("servers/{name}/manifest.toml"), manifest);
        }
        let found = check(&Place::of(scratch.path())).unwrap();
        let about = |file: &str| found.iter().filter(|f| f.file == file).count();
        assert_eq!(about("servers/a"), 0);
        assert_eq!(about("servers/b"), 1);
        assert_eq!(about("servers/c"), 1);
        assert_eq!(about("servers/D"), 2);
    }
}
