//! Where things lie: the repository, what is built, and a folder of its own for each running guest.

use crate::fault::{Doing, Fault, Result};
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The target that guest code is built for.
pub(crate) const GUEST_TARGET: &str = "x86_64-unknown-none";

/// The repository and its build directory.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The workspace's root.
    pub(crate) root: PathBuf,
    target: PathBuf,
}

impl Place {
    /// The workspace that this tool belongs to, from what cargo says at run time; a tool that was
    /// started by hand takes the one it was built in.
    pub(crate) fn find() -> Result<Self> {
        let own = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own
            .parent()
            .ok_or_else(|| Fault::new("the tool lies at the root of the file system"))?;
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => env::current_dir()
                .doing("find the current folder")?
                .join(folder),
            None => root.join("target"),
        };
        Ok(Self {
            root: root.to_path_buf(),
            target,
        })
    }

    /// A place for tests.
    #[cfg(test)]
    pub(crate) fn of(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            target: root.join("target"),
        }
    }

    /// Cargo's target directory for guest crates, apart from the host's so that neither waits for
    /// the other's lock.
    pub(crate) fn guest_target(&self) -> PathBuf {
        self.target.join("guest")
    }

    /// A target directory for a host build with other flags.
    pub(crate) fn other_target(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// What the tool itself makes.
    pub(crate) fn output(&self) -> PathBuf {
        self.target.join("mello")
    }

    /// Waits until no other run of the tool builds; the lock is given up with the value.
    pub(crate) fn lock_build(&self) -> Result<Lock> {
        let folder = self.output();
        fs::create_dir_all(&folder).at("make", &folder)?;
        let path = folder.join("build.lock");
        let file = File::create(&path).at("open", &path)?;
        file.lock().at("lock", &path)?;
        Ok(Lock(file))
    }

    /// A folder that no other running guest uses. Numbers are taken again, so that few exist.
    pub(crate) fn slot(&self) -> Result<Slot> {
        for number in 0..1000 {
            let folder = self.output().join(format!("run-{number}"));
            fs::create_dir_all(&folder).at("make", &folder)?;
            let path = folder.join("lock");
            let lock = File::create(&path).at("open", &path)?;
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Slot {
                        folder,
                        _lock: Lock(lock),
                    });
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error).at("lock", &path),
            }
        }
        Err(Fault::new("1000 guests run at once"))
    }
}

/// A locked file, unlocked with the value.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it locked while a child that is just being started shares the
        // file. When unlocking fails, that is what happens.
        drop(self.0.unlock());
    }
}

/// A folder for one running guest.
#[derive(Debug)]
pub(crate) struct Slot {
    folder: PathBuf,
    _lock: Lock,
}

impl Slot {
    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The sorted names of the folders in `folder`; none if it does not exist.
pub(crate) fn folders(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at("read", folder),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.at("read", folder)?;
        if entry.path().is_dir()
            && let Some(name) = entry.file_name().to_str()
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Copies all files but what is built and what git keeps for itself.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).at("make", to)?;
    for entry in fs::read_dir(from).at("read", from)? {
        let entry = entry.at("read", from)?;
        let (name, path) = (entry.file_name(), entry.path());
        if name == "target" || name == ".git" {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() {
            copy_tree(&path, &target)?;
        } else {
            fs::copy(&path, &target).at("copy", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn two_runs_at_once_get_two_folders_and_give_them_back() {
        let scratch = Scratch::new("slots");
        let place = Place::of(scratch.path());
        let first = place.slot().unwrap();
        let second = place.slot().unwrap();
        assert_ne!(first.folder, second.folder);
        let freed = first.folder.clone();
        drop(first);
        assert_eq!(place.slot().unwrap().folder, freed);
    }
}
