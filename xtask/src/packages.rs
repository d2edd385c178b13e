//! What cargo calls the workspace's packages. A name alone may be a dependency's too.

use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::process;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The part of `cargo metadata` that is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    manifest_path: PathBuf,
}

/// The workspace's packages.
#[derive(Debug)]
pub(crate) struct Packages(Vec<Package>);

impl Packages {
    /// Asks cargo.
    pub(crate) fn read(place: &Place) -> Result<Self> {
        let mut command = process::cargo(place);
        command.args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ]);
        Self::parse(&process::output(&mut command)?)
    }

    fn parse(text: &str) -> Result<Self> {
        let metadata: Metadata = serde_json::from_str(text).doing("understand cargo metadata")?;
        Ok(Self(metadata.packages))
    }

    /// The id of the package in `folder`, for cargo's `--package`.
    pub(crate) fn id(&self, folder: &Path) -> Result<&str> {
        self.0
            .iter()
            .find(|package| package.manifest_path.parent() == Some(folder))
            .map(|package| package.id.as_str())
            .ok_or_else(|| Fault::new(format!("{} is no package", folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_by_folder() {
        let text = r#"{"packages":[{"id":"path+file:///a%20b/log#0.1.0","name":"log",
            "manifest_path":"/a b/log/Cargo.toml"}],"version":1}"#;
        let packages = Packages::parse(text).unwrap();
        assert_eq!(
            packages.id(Path::new("/a b/log")).unwrap(),
            "path+file:///a%20b/log#0.1.0"
        );
        assert!(packages.id(Path::new("/a b")).is_err());
        assert!(Packages::parse("").is_err());
    }
}
