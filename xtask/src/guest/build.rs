//! Compiles the guest's crates, always in release, and its C programs.

use super::c;
use super::units::{BOOT, KERNEL, Kind, Language, Unit, binary, units};
use crate::fault::Result;
use crate::packages::Packages;
use crate::place::{GUEST_TARGET, Place};
use crate::process;
use crate::setup::{DEBIAN_LINKER, GuestToolchain, guest_toolchain};
use std::path::PathBuf;
use std::process::Command;

/// Which kernel is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kernel {
    /// The one that is used.
    Plain,
    /// One that also measures how long interrupts stay off, and says so behind each line at the debug console.
    Measuring,
    /// One that measures how long its lock is held and waited for, and says so when it turns the machine off.
    TimingLock,
}

/// What the build made.
#[derive(Debug)]
pub(crate) struct Products {
    place: Place,
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
    pub(crate) fn program(&self, unit: &Unit) -> Result<PathBuf> {
        match unit.language {
            Language::Rust => Ok(self.folder.join(unit.binary()?)),
            Language::C => Ok(c::program(&self.place, unit)),
        }
    }

    /// The first task's name.
    pub(crate) fn first(&self) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.kind == Kind::First)
    }
}

/// Guest code stays where it is linked, and its addresses fit into 32 bits with a sign: the kernel's are in the last
/// 2 GiB, a program's in the first. Compared with code that could lie anywhere, this saves 1 % of a call's
/// instructions and 4 % of the simple traps' (2026-11).
///
/// Left alone, LLVM takes each arm of a `match` over many methods for unlikely, and inlines nothing there: the handlers
/// of an interface, the kernel's among them. That it is told not to saves 7 % of a call to a kernel object, 3 % of
/// the general message path and 6 % of a page fault, and makes the kernel's code 1 % larger (2026-11).
const GUEST_FLAGS: &str = "-Crelocation-model=static\x1f-Ccode-model=kernel\x1f\
                           -Cllvm-args=-cold-callsite-rel-freq=0";

/// A cargo command for guest crates. The user's flags for the host's compiler are not the guest's:
/// they are replaced by ours.
pub(crate) fn cargo_guest(place: &Place, verb: &str) -> Result<Command> {
    let toolchain = guest_toolchain()?;
    let mut command = process::cargo(place);
    if toolchain == GuestToolchain::FromSource {
        // By cargo itself, clippy would be looked for where rustup keeps its own.
        command = Command::new(match verb {
            "clippy" => "/usr/bin/cargo-clippy",
            _ => "/usr/bin/cargo",
        });
        command.current_dir(&place.root);
        command.env("CARGO", "/usr/bin/cargo");
        command.env("RUSTC", "/usr/bin/rustc");
        command.env("RUSTC_BOOTSTRAP", "1");
        // Else this tool's own toolchain would be meant.
        command.env_remove("RUSTDOC");
        command.env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", DEBIAN_LINKER);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", GUEST_FLAGS);
    command.env_remove("RUSTFLAGS");
    command.args([verb, "--release", "--target", GUEST_TARGET, "--target-dir"]);
    command.arg(place.guest_target());
    if toolchain == GuestToolchain::FromSource {
        command.arg("-Zbuild-std=core,alloc,compiler_builtins");
        command.arg("-Zbuild-std-features=compiler-builtins-mem");
    }
    Ok(command)
}

/// Names every package that makes a guest program. What is not Rust has none.
pub(crate) fn name_packages(place: &Place, units: &[Unit], command: &mut Command) -> Result<()> {
    let packages = Packages::read(place)?;
    let machine = [KERNEL, BOOT].map(|(_, folder)| place.root.join(folder));
    let rust = units.iter().filter(|unit| unit.language == Language::Rust);
    let folders = machine.iter().chain(rust.map(|unit| &unit.folder));
    for folder in folders {
        command.args(["--package", packages.id(folder)?]);
    }
    Ok(())
}

/// Names the package of the static library that C programs are linked with.
pub(crate) fn name_c_library(place: &Place, command: &mut Command) -> Result<()> {
    let packages = Packages::read(place)?;
    command.args(["--package", packages.id(&place.root.join(c::LIBRARY.0))?]);
    Ok(())
}

/// Builds everything that the archive holds, and the boot stub. The caller holds the build's lock.
pub(crate) fn build(place: &Place) -> Result<Products> {
    compile(place, units(place)?, Kernel::Plain)
}

/// Builds the kernel, the boot stub and the one program `name`. The caller holds the build's lock.
pub(crate) fn build_only(place: &Place, name: &str, kernel: Kernel) -> Result<Products> {
    let mut units = units(place)?;
    units.retain(|unit| unit.name == name);
    compile(place, units, kernel)
}

fn compile(place: &Place, units: Vec<Unit>, kernel: Kernel) -> Result<Products> {
    // Manifests first: a mistake there costs no build.
    for unit in &units {
        unit.manifest()?;
    }
    let mut command = cargo_guest(place, "build")?;
    name_packages(place, &units, &mut command)?;
    command.arg("--bins");
    let feature = match kernel {
        Kernel::Plain => None,
        Kernel::Measuring => Some("stretches"),
        Kernel::TimingLock => Some("lock-times"),
    };
    if let Some(feature) = feature {
        command.args(["--features", &format!("{}/{feature}", KERNEL.0)]);
    }
    process::stdout_to_stderr(&mut command);
    process::run(&mut command, "building the guest")?;
    let folder = place.guest_target().join(GUEST_TARGET).join("release");
    let mut in_c = units
        .iter()
        .filter(|unit| unit.language == Language::C)
        .peekable();
    if in_c.peek().is_some() {
        compile_library(place)?;
        c::build(place, in_c, &folder.join(c::LIBRARY.1))?;
    }
    let made = |(_, crate_folder): (&str, &str)| -> Result<PathBuf> {
        Ok(folder.join(binary(&place.root.join(crate_folder))?))
    };
    Ok(Products {
        kernel: made(KERNEL)?,
        stub: made(BOOT)?,
        units,
        folder,
        place: place.clone(),
    })
}

/// Builds the static library of C programs.
fn compile_library(place: &Place) -> Result<()> {
    let mut command = cargo_guest(place, "rustc")?;
    name_c_library(place, &mut command)?;
    command.args(["--lib", "--crate-type", "staticlib"]);
    process::stdout_to_stderr(&mut command);
    process::run(&mut command, "building Mach's library for C")
}
