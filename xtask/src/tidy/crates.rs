//! Which crate may import which, read from their `Cargo.toml` files.

use super::{Finding, Text};
use std::collections::BTreeMap;
use toml::{Table, Value};

/// What a ring-3 crate may always import.
const RING_3: [&str; 7] = [
    "abi",
    "archive",
    "channel",
    "interfaces",
    "libmach",
    "link",
    "manifest",
];

/// A folder of the tree and what the crates in it may import. The first row that fits counts; a row
/// that ends in `/` fits every crate below.
const RULES: [(&str, &[&str]); 23] = [
    ("libmach/abi", &[]),
    ("libmach/archive", &["libmach"]),
    ("libmach/c", &["interfaces", "libmach"]),
    ("libmach/channel", &[]),
    ("libmach/link", &[]),
    ("libmach/macros", &[]),
    ("libmach/manifest", &["abi"]),
    ("libmach/interfaces", &["abi", "macros"]),
    ("libmach", &["abi", "interfaces", "macros"]),
    ("microkernel/arena", &[]),
    ("microkernel/ksync", &[]),
    ("microkernel/boot", &["abi"]),
    (
        "microkernel/x86_64",
        &["abi", "arena", "ksync", "microkernel"],
    ),
    (
        "microkernel/sim",
        &["abi", "arena", "fuzz", "interfaces", "microkernel"],
    ),
    ("microkernel", &["abi", "arena", "interfaces"]),
    ("libsys", &RING_3),
    ("drivers/kit", &RING_3),
    (
        "drivers/",
        &["abi", "channel", "interfaces", "kit", "libmach", "link"],
    ),
    ("servers/", &RING_3),
    (
        "initrd/",
        &[
            "abi",
            "channel",
            "interfaces",
            "libmach",
            "libsys",
            "link",
            "manifest",
        ],
    ),
    ("xtask/trace", &["abi"]),
    (
        "xtask",
        &["abi", "channel", "interfaces", "manifest", "trace"],
    ),
    // Fuzz targets lie beside what they fuzz and are no part of the system.
    (
        "fuzz",
        &[
            "abi",
            "archive",
            "boot",
            "bootstrap",
            "channel",
            "crash-reporter",
            "interfaces",
            "libmach",
            "log",
            "macros",
            "manifest",
            "microkernel",
            "microkernel-x86_64",
            "monitor",
            "sim",
            "trace",
        ],
    ),
];

/// What the kernel's crates may import for their tests alone: the simulated machine, hostile traps.
const FOR_KERNEL_TESTS: [&str; 2] = ["fuzz", "sim"];

struct Crate<'a> {
    folder: &'a str,
    file: &'a str,
    table: Table,
}

/// The findings about imports between crates.
pub(super) fn check(texts: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut crates = Vec::new();
    for text in texts {
        let Some(folder) = text.path.strip_suffix("/Cargo.toml") else {
            continue;
        };
        match text.content.parse::<Table>() {
            Ok(table) if table.contains_key("package") => crates.push(Crate {
                folder,
                file: &text.path,
                table,
            }),
            Ok(_) => {}
            Err(error) => findings.push(Finding::of(&text.path, error.to_string())),
        }
    }
    let names: BTreeMap<&str, &str> = crates
        .iter()
        .filter_map(|own| Some((package(&own.table)?, own.folder)))
        .collect();
    for own in &crates {
        check_crate(own, &names, &mut findings);
    }
    findings
}

fn check_crate(own: &Crate<'_>, names: &BTreeMap<&str, &str>, findings: &mut Vec<Finding>) {
    let fits =
        |place: &str| own.folder == place || place.ends_with('/') && own.folder.starts_with(place);
    let Some((_, allowed)) = RULES.iter().find(|(place, _)| fits(place)) else {
        if !own.folder.ends_with("/fuzz") {
            let what = format!(
                "{} is no place for a crate (DESIGN.md, the tree)",
                own.folder
            );
            findings.push(Finding::of(own.file, what));
        }
        return;
    };
    for (section, import) in imports(&own.table) {
        let for_tests = section == "dev-dependencies"
            && FOR_KERNEL_TESTS.contains(&import.as_str())
            && own.folder.starts_with("microkernel");
        let known = names.contains_key(import.as_str());
        if known && !allowed.contains(&import.as_str()) && !for_tests {
            let what = format!("{} may not import {import}", own.folder);
            findings.push(Finding::of(own.file, what));
        }
    }
    let leaf = own.folder.rsplit('/').next().unwrap_or(own.folder);
    let program = ["servers/", "drivers/", "initrd/"]
        .iter()
        .any(|parent| own.folder.starts_with(parent));
    if program && package(&own.table) != Some(leaf) {
        findings.push(Finding::of(
            own.file,
            "the package must have its folder's name",
        ));
    }
}

fn package(table: &Table) -> Option<&str> {
    table.get("package")?.get("name")?.as_str()
}

/// The packages named in every dependency table, those for one target included, and the table's name.
fn imports(table: &Table) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for (key, value) in table {
        match (key.as_str(), value) {
            (
                section @ ("dependencies" | "dev-dependencies" | "build-dependencies"),
                Value::Table(rows),
            ) => {
                for (name, row) in rows {
                    let renamed = row.get("package").and_then(Value::as_str);
                    found.push((section, renamed.unwrap_or(name).to_owned()));
                }
            }
            ("target", Value::Table(targets)) => {
                let tables = targets.values().filter_map(Value::as_table);
                found.extend(tables.flat_map(imports));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    fn package(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    fn whats(files: &[(&str, &str)]) -> Vec<String> {
        check(&tree(files)).into_iter().map(|f| f.what).collect()
    }

    #[test]
    fn a_driver_must_not_import_a_server() {
        let echo = package("echo", "[dependencies]\nlibmach.workspace = true");
        let libmach = package("libmach", "");
        let bad = package("uart", "[dependencies]\necho.workspace = true");
        let files = [
            ("servers/echo/Cargo.toml", echo.as_str()),
            ("libmach/Cargo.toml", &libmach),
            ("drivers/uart/Cargo.toml", &bad),
        ];
        assert_eq!(whats(&files[..2]), Vec::<String>::new());
        assert_eq!(whats(&files), ["drivers/uart may not import echo"]);
    }

    #[test]
    fn every_kind_of_dependency_counts_under_its_real_name() {
        let kernel = package("microkernel-x86_64", "");
        let bad = package(
            "microkernel",
            "[target.'cfg(x)'.dev-dependencies]\nk = { package = \"microkernel-x86_64\" }\nserde = \"1\"",
        );
        let files = [
            ("microkernel/x86_64/Cargo.toml", kernel.as_str()),
            ("microkernel/Cargo.toml", &bad),
        ];
        assert_eq!(
            whats(&files),
            ["microkernel may not import microkernel-x86_64"]
        );
    }

    #[test]
    fn the_simulated_machine_is_for_the_kernel_s_tests() {
        let sim = package("sim", "[dependencies]\nmicrokernel = \"1\"");
        let tests = package("microkernel", "[dev-dependencies]\nsim = \"1\"");
        let code = package("microkernel", "[dependencies]\nsim = \"1\"");
        let with = |kernel: &str| {
            whats(&[
                ("microkernel/sim/Cargo.toml", sim.as_str()),
                ("microkernel/Cargo.toml", kernel),
            ])
        };
        assert_eq!(with(&tests), Vec::<String>::new());
        assert_eq!(with(&code), ["microkernel may not import sim"]);
    }

    #[test]
    fn strays_and_misnamed_packages_are_found() {
        let package = package("x", "");
        assert_eq!(
            whats(&[("tools/x/Cargo.toml", &package)]),
            ["tools/x is no place for a crate (DESIGN.md, the tree)"]
        );
        assert_eq!(
            whats(&[("servers/y/Cargo.toml", &package)]),
            ["the package must have its folder's name"]
        );
        assert_eq!(
            whats(&[("Cargo.toml", "[workspace]")]),
            Vec::<String>::new()
        );
        assert_eq!(whats(&[("servers/x/Cargo.toml", "[")]).len(), 1);
    }
}
