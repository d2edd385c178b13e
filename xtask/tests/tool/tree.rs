//! A small tree in a folder of its own, whose path has a space and a comma, to try the tool on.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A workspace that the tool takes for its own.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
}

const MAIN: &str = r#"
#![no_std]
#![no_main]
core::arch::global_asm!(include_str!("stub.s"));
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }
"#;

const BUILD: &str = r#"
fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    println!("cargo:rustc-link-arg-bins=-T{here}/link.ld");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
"#;

impl Tree {
    /// An empty tree.
    pub(super) fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mello tree, {}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("xtask")).expect("the temporary folder can be written");
        Self { root }
    }

    /// A tree whose every guest program is the same small one, with the servers `names`.
    pub(super) fn with_servers(names: &[&str]) -> Self {
        let tree = Self::empty();
        tree.write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"microkernel/*\", \"servers/*\"]\n\
             [profile.release]\npanic = \"abort\"\n",
        );
        tree.program("microkernel/x86_64", "microkernel-x86_64");
        tree.program("microkernel/boot", "boot");
        tree.program("servers/bootstrap", "bootstrap");
        for name in names {
            tree.program(&format!("servers/{name}"), name);
            let manifest = format!("name = \"{name}\"\nstart = \"boot\"\n");
            tree.write(&format!("servers/{name}/manifest.toml"), &manifest);
        }
        tree
    }

    fn program(&self, folder: &str, name: &str) {
        let package =
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
        self.write(&format!("{folder}/Cargo.toml"), &package);
        self.write(&format!("{folder}/build.rs"), BUILD);
        self.write(&format!("{folder}/src/main.rs"), MAIN);
        self.write(&format!("{folder}/src/stub.s"), include_str!("stub.s"));
        self.write(&format!("{folder}/link.ld"), include_str!("link.ld"));
    }

    /// Writes a file below the root.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Where it lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The tool, about to work on this tree.
    pub(super) fn tool<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(words).current_dir(&self.root);
        command.env("CARGO_MANIFEST_DIR", self.root.join("xtask"));
        command.env_remove("CARGO_TARGET_DIR");
        command
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is left behind lies in the system's temporary folder.
        drop(fs::remove_dir_all(&self.root));
    }
}
