//! Compiles the guest's crates, always in release.

use super::units::{BOOT, KERNEL, Kind, Unit, binary, units};
use crate::fault::Result;
use crate::place::{GUEST_TARGET, Place};
use crate::process;
use crate::setup::{GuestToolchain, guest_toolchain};
use std::path::PathBuf;
use std::process::Command;

/// What the build made.
#[derive(Debug)]
pub(crate) struct Products {
    folder: PathBuf,
    /// The kernel's ELF file, with its symbols.
    pub(crate) kernel: PathBuf,
    /// The boot stub's ELF file.
    pub(crate) stub: PathBuf,
    /// The guest programs.
    pub(crate) units: Vec<Unit>,
}

impl Products {
    /// The ELF file of a guest program, with its symbols.
    pub(super) fn program(&self, unit: &Unit) -> Result<PathBuf> {
        Ok(self.folder.join(unit.binary()?))
    }

    /// The first task's name.
    pub(crate) fn first(&self) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.kind == Kind::First)
    }
}

/// A cargo command for guest crates. The user's flags for the host's compiler are not the guest's:
/// they are replaced by none.
pub(crate) fn cargo_guest(place: &Place, verb: &str) -> Result<Command> {
    let toolchain = guest_toolchain()?;
    let mut command = process::cargo(place);
    if toolchain == GuestToolchain::FromSource {
        command = Command::new("/usr/bin/cargo");
        command.current_dir(&place.root);
        command.env("RUSTC", "/usr/bin/rustc");
        command.env("RUSTC_BOOTSTRAP", "1");
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    command.env_remove("RUSTFLAGS");
    command.args([verb, "--release", "--target", GUEST_TARGET, "--target-dir"]);
    command.arg(place.guest_target());
    if toolchain == GuestToolchain::FromSource {
        command.arg("-Zbuild-std=core,alloc,compiler_builtins");
        command.arg("-Zbuild-std-features=compiler-builtins-mem");
    }
    Ok(command)
}

/// Builds everything that the archive holds, and the boot stub. The caller holds the build's lock.
pub(crate) fn build(place: &Place) -> Result<Products> {
    let units = units(place)?;
    // Manifests first: a mistake there costs no build.
    for unit in &units {
        unit.manifest()?;
    }
    let mut command = cargo_guest(place, "build")?;
    for (name, folder) in [KERNEL, BOOT] {
        let spec = process::package_spec(&place.root.join(folder), name);
        command.args(["--package", &spec]);
    }
    for unit in &units {
        command.args(["--package", &unit.spec()]);
    }
    command.arg("--bins");
    process::stdout_to_stderr(&mut command);
    process::run(&mut command, "building the guest")?;
    let folder = place.guest_target().join(GUEST_TARGET).join("release");
    let made = |(_, crate_folder): (&str, &str)| -> Result<PathBuf> {
        Ok(folder.join(binary(&place.root.join(crate_folder))?))
    };
    Ok(Products {
        kernel: made(KERNEL)?,
        stub: made(BOOT)?,
        units,
        folder,
    })
}
