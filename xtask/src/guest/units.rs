//! The crates and C sources that make programs for the guest, found by where they lie.

use crate::fault::{Doing, Fault, Result};
use crate::place::{Place, folders};
use manifest::Manifest;
use std::fs;
use std::path::{Path, PathBuf};
use toml::Table;

/// The kernel's package and folder.
pub(crate) const KERNEL: (&str, &str) = ("microkernel-x86_64", "microkernel/x86_64");
/// Package and folder of the stub that the emulator or GRUB enters.
pub(crate) const BOOT: (&str, &str) = ("boot", "microkernel/boot");
/// The first task.
pub(crate) const BOOTSTRAP: &str = "bootstrap";

/// What a guest program is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// The first task, which starts all others.
    First,
    /// A folder of `servers/`.
    Server,
    /// A folder of `drivers/` that has a manifest; without one it is a library.
    Driver,
    /// A folder of `initrd/` that has a `Cargo.toml` or a `main.c`; without one it holds data.
    Program,
}

impl Kind {
    /// The folder that holds its crates.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::First | Self::Server => "servers",
            Self::Driver => "drivers",
            Self::Program => "initrd",
        }
    }
}

/// What a guest program is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    /// A crate.
    Rust,
    /// A folder with a `main.c`.
    C,
}

impl Language {
    /// What a folder holds; `None`: no program.
    fn of(folder: &Path) -> Option<Self> {
        let has = |file: &str| folder.join(file).exists();
        has("Cargo.toml")
            .then_some(Self::Rust)
            .or_else(|| has("main.c").then_some(Self::C))
    }
}

/// One crate, or folder of C, that makes a guest program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unit {
    /// The name of its folder, package and binary.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// What it is written in.
    pub(crate) language: Language,
    /// Where its crate, or its sources, lie.
    pub(crate) folder: PathBuf,
}

impl Unit {
    /// Where its manifest lies.
    pub(crate) fn manifest_path(&self) -> PathBuf {
        self.folder.join("manifest.toml")
    }

    /// The name of its binary.
    pub(super) fn binary(&self) -> Result<String> {
        binary(&self.folder)
    }

    /// Its manifest; the first task has none, a program may have one.
    pub(crate) fn manifest(&self) -> Result<Option<Manifest>> {
        let path = self.manifest_path();
        match self.kind {
            Kind::First => Ok(None),
            Kind::Program if !path.exists() => Ok(None),
            Kind::Server | Kind::Driver | Kind::Program => {
                let manifest = read_manifest(&path)?;
                if manifest.name.as_str() == self.name {
                    Ok(Some(manifest))
                } else {
                    Err(Fault::new(format!(
                        "{}: `name` is {}, its folder is {}",
                        path.display(),
                        manifest.name,
                        self.name
                    )))
                }
            }
        }
    }
}

/// The name of the binary of the crate in `folder`: that of its only `[[bin]]`, else the package's.
pub(super) fn binary(folder: &Path) -> Result<String> {
    let path = folder.join("Cargo.toml");
    let text = fs::read_to_string(&path).at("read", &path)?;
    let table: Table = toml::from_str(&text).at("understand", &path)?;
    let section = table.get("bin").and_then(|list| list.get(0));
    section
        .or_else(|| table.get("package"))
        .and_then(|section| section.get("name")?.as_str())
        .map(str::to_owned)
        .ok_or_else(|| Fault::new(format!("{} names no package", path.display())))
}

/// Reads and checks a manifest.
fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = fs::read_to_string(path).at("read", path)?;
    let manifest: Manifest = toml::from_str(&text).at("understand", path)?;
    manifest.check().at("accept", path)?;
    Ok(manifest)
}

/// Every guest program of the tree, in order of kind and name.
pub(crate) fn units(place: &Place) -> Result<Vec<Unit>> {
    let mut found = Vec::new();
    for kind in [Kind::Server, Kind::Driver, Kind::Program] {
        let parent = place.root.join(kind.folder());
        for name in folders(&parent)? {
            let folder = parent.join(&name);
            let counts = kind != Kind::Driver || folder.join("manifest.toml").exists();
            let language = Language::of(&folder).filter(|_| counts);
            let kind = match kind {
                Kind::Server if name == BOOTSTRAP => Kind::First,
                other => other,
            };
            if let Some(language) = language {
                found.push(Unit {
                    name,
                    kind,
                    language,
                    folder,
                });
            }
        }
    }
    found.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn tree() -> Scratch {
        let scratch = Scratch::new("units");
        for path in [
            "servers/echo/Cargo.toml",
            "servers/bootstrap/Cargo.toml",
            "drivers/kit/Cargo.toml",
            "drivers/uart/Cargo.toml",
            "initrd/tests/Cargo.toml",
            "initrd/data/file",
            "initrd/inc/main.c",
        ] {
            scratch.write(path, "");
        }
        scratch.write(
            "drivers/uart/manifest.toml",
            "name = \"uart\"\nstart = \"boot\"",
        );
        scratch.write(
            "servers/echo/manifest.toml",
            "name = \"ecko\"\nstart = \"boot\"",
        );
        scratch
    }

    #[test]
    fn folders_say_what_a_crate_is() {
        let scratch = tree();
        let found = units(&Place::of(scratch.path())).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|u| (u.name.as_str(), u.kind, u.language))
            .collect();
        assert_eq!(
            seen,
            [
                ("bootstrap", Kind::First, Language::Rust),
                ("echo", Kind::Server, Language::Rust),
                ("uart", Kind::Driver, Language::Rust),
                ("inc", Kind::Program, Language::C),
                ("tests", Kind::Program, Language::Rust),
            ]
        );
    }

    #[test]
    fn a_binary_may_have_a_name_of_its_own() {
        let scratch = Scratch::new("binary");
        scratch.write("a/Cargo.toml", "[package]\nname = \"x\"");
        scratch.write(
            "b/Cargo.toml",
            "[package]\nname = \"x\"\n[[bin]]\nname = \"y\"",
        );
        scratch.write("c/Cargo.toml", "");
        let name = |folder: &str| binary(&scratch.path().join(folder));
        assert_eq!(name("a").unwrap(), "x");
        assert_eq!(name("b").unwrap(), "y");
        assert!(name("c").is_err());
    }

    #[test]
    fn a_manifest_must_name_its_folder_and_servers_must_have_one() {
        let scratch = tree();
        let found = units(&Place::of(scratch.path())).unwrap();
        let fault = found[1].manifest().unwrap_err().to_string();
        assert!(fault.contains("ecko"), "{fault}");
        assert_eq!(found[2].manifest().unwrap().unwrap().name, "uart");
        assert_eq!(found[3].manifest().unwrap(), None);
        fs::remove_file(found[1].manifest_path()).unwrap();
        assert!(found[1].manifest().is_err());
    }
}
