//! Set-up: finds what is missing on this machine and installs it where it may.
//!
//! Each thing that a command needs is a row of [`PACKAGES`] with a way to see that it is there. When
//! nothing is missing no other program runs, so a second run works without a network. Deliberately
//! absent: distributions without `apt-get`; there the names are printed.

use crate::fault::{Fault, Result};
use crate::place::GUEST_TARGET;
use crate::process;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command is going to do, hence what must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Booting a guest.
    Emulator,
    /// Making a bootable image.
    Image,
    /// Booting that image through UEFI.
    Firmware,
}

/// How to see that a package is there.
enum Sign {
    Program(&'static str),
    AnyFile(&'static [&'static str]),
}

struct Package {
    name: &'static str,
    why: &'static str,
    need: Need,
    sign: Sign,
}

const PACKAGES: [Package; 7] = [
    Package {
        name: "qemu-system-x86",
        why: "the emulator that the system boots in",
        need: Need::Emulator,
        sign: Sign::Program("qemu-system-x86_64"),
    },
    Package {
        name: "grub-common",
        why: "makes the bootable image",
        need: Need::Image,
        sign: Sign::Program("grub-mkrescue"),
    },
    Package {
        name: "grub-pc-bin",
        why: "boots the image on BIOS machines",
        need: Need::Image,
        sign: Sign::AnyFile(&["/usr/lib/grub/i386-pc/multiboot2.mod"]),
    },
    Package {
        name: "grub-efi-amd64-bin",
        why: "boots the image on UEFI machines",
        need: Need::Image,
        sign: Sign::AnyFile(&["/usr/lib/grub/x86_64-efi/multiboot2.mod"]),
    },
    Package {
        name: "xorriso",
        why: "writes the image's file system",
        need: Need::Image,
        sign: Sign::Program("xorriso"),
    },
    Package {
        name: "mtools",
        why: "writes the image's UEFI partition",
        need: Need::Image,
        sign: Sign::Program("mformat"),
    },
    Package {
        name: "ovmf",
        why: "UEFI firmware for the emulator",
        need: Need::Firmware,
        sign: Sign::AnyFile(&FIRMWARE),
    },
];

/// Where UEFI firmware for the emulator may lie.
const FIRMWARE: [&str; 3] = [
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/OVMF/OVMF.fd",
    "/usr/share/edk2/x64/OVMF.fd",
];

impl Package {
    fn is_there(&self) -> bool {
        match self.sign {
            Sign::Program(name) => find_program(name).is_some(),
            Sign::AnyFile(paths) => paths.iter().any(|path| Path::new(path).exists()),
        }
    }
}

/// How guest code is compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum GuestToolchain {
    /// The toolchain that built this tool has the target.
    Prebuilt,
    /// Debian's compiler builds the target's core library from its sources.
    FromSource,
}

/// Where a program of the search path lies.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The UEFI firmware, when it is there.
pub(crate) fn firmware() -> Option<&'static Path> {
    FIRMWARE.iter().map(Path::new).find(|path| path.exists())
}

/// Installs what `needs` lack. Prints nothing when they lack nothing.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| needs.contains(&package.need) && !package.is_there())
        .collect();
    let rows: Vec<(&str, &str)> = missing.iter().map(|p| (p.name, p.why)).collect();
    install(&rows)?;
    match missing.iter().find(|package| !package.is_there()) {
        Some(package) => Err(Fault::new(format!(
            "{} was installed, but what it should bring is not there",
            package.name
        ))),
        None => Ok(()),
    }
}

/// Installs the parts of the toolchain that only tests need.
pub(crate) fn ensure_components() -> Result<()> {
    for name in ["rustfmt", "clippy"] {
        let program = if name == "clippy" {
            "cargo-clippy"
        } else {
            name
        };
        let there = || process::succeeds_quietly(Command::new(program).arg("--version"));
        if there() {
            continue;
        }
        eprintln!("installing: {name} (a check that the tests run)");
        let mut command = Command::new("rustup");
        command.args(["component", "add", name]);
        if !process::succeeds(&mut command) || !there() {
            return Err(Fault::new(format!("{name} is not there"))
                .attempt(format!("rustup component add {name}")));
        }
    }
    Ok(())
}

/// The toolchain for guest code, set up if it was missing.
pub(crate) fn guest_toolchain() -> Result<GuestToolchain> {
    if has_target()? {
        return Ok(GuestToolchain::Prebuilt);
    }
    let attempt = format!("rustup target add {GUEST_TARGET}");
    if find_program("rustup").is_some() {
        eprintln!("installing: {GUEST_TARGET} (the compiler's core library for guest code)");
        let mut command = Command::new("rustup");
        command.args(["target", "add", GUEST_TARGET]);
        if process::succeeds(&mut command) && has_target()? {
            return Ok(GuestToolchain::Prebuilt);
        }
    }
    debian_toolchain().map_err(|fault| {
        Fault::new(format!(
            "no compiler for {GUEST_TARGET} could be set up ({fault})"
        ))
        .attempt(attempt)
    })
}

/// The linker for guest code that comes with this tool's toolchain; Debian's has none.
pub(crate) fn own_linker() -> Option<PathBuf> {
    let libraries =
        process::output(Command::new(rustc()).args(["--print", "target-libdir"])).ok()?;
    let linker = Path::new(libraries.trim()).parent()?.join("bin/rust-lld");
    linker.is_file().then_some(linker)
}

fn has_target() -> Result<bool> {
    let mut command = Command::new(rustc());
    command.args(["--print", "target-libdir", "--target", GUEST_TARGET]);
    let folder = process::output(&mut command)?;
    Ok(Path::new(folder.trim()).join(".").is_dir()
        && fs::read_dir(folder.trim()).is_ok_and(|mut files| files.next().is_some()))
}

/// Where Debian's compiler keeps the core library's sources.
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";

fn debian_toolchain() -> Result<GuestToolchain> {
    let there = || Path::new(DEBIAN_SOURCES).exists() && Path::new("/usr/bin/cargo").exists();
    if !there() {
        install(&[
            ("rustc-web", "a compiler that can build the core library"),
            ("cargo-web", "the cargo that belongs to it"),
            ("rust-web-src", "the core library's sources"),
        ])?;
    }
    if there() {
        Ok(GuestToolchain::FromSource)
    } else {
        Err(Fault::new("Debian's compiler came without sources"))
    }
}

/// The compiler that cargo uses.
pub(crate) fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn install(packages: &[(&str, &str)]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().map(|(name, _)| *name).collect();
    let by_hand = format!("sudo apt-get install {}", names.join(" "));
    let missing = || Fault::new(format!("missing: {}", names.join(", "))).attempt(&by_hand);
    let Some(prefix) = privileged() else {
        return Err(missing());
    };
    for (name, why) in packages {
        eprintln!("installing: {name} ({why})");
    }
    // An outdated list may still serve; the installation below says so if it does not.
    process::succeeds(&mut apt_get(&prefix, &["update"]));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&names);
    if process::succeeds(&mut apt_get(&prefix, &arguments)) {
        Ok(())
    } else {
        Err(missing())
    }
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Command {
    let mut words = prefix
        .iter()
        .chain(&["apt-get", "--quiet"])
        .chain(arguments);
    let mut command = Command::new(words.next().unwrap_or(&"apt-get"));
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    // Their reports are no results of this tool.
    process::stdout_to_stderr(&mut command);
    command
}

/// What to put before `apt-get` to run it with privileges; `None` when that cannot be had.
fn privileged() -> Option<Vec<&'static str>> {
    find_program("apt-get")?;
    if is_root() {
        return Some(Vec::new());
    }
    find_program("sudo")?;
    if stdin().is_terminal() {
        return Some(vec!["sudo"]);
    }
    process::succeeds_quietly(Command::new("sudo").args(["-n", "true"])).then(|| vec!["sudo", "-n"])
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    effective_user(&status) == Some("0")
}

fn effective_user(status: &str) -> Option<&str> {
    let line = status.lines().find(|line| line.starts_with("Uid:"))?;
    line.split_whitespace().nth(2)
}

/// `doctor`: says what is there and what is not; installs nothing.
pub(crate) fn doctor() -> Result<bool> {
    let mut complete = true;
    let mut row = |name: &str, why: &str, remedy: Option<String>| {
        let mark = if remedy.is_none() {
            "ok     "
        } else {
            "missing"
        };
        println!("{mark}  {name}: {why}");
        if let Some(command) = remedy {
            println!("         try: {command}");
            complete = false;
        }
    };
    let target = (!has_target()?).then(|| format!("rustup target add {GUEST_TARGET}"));
    row(
        GUEST_TARGET,
        "the compiler's core library for guest code",
        target,
    );
    for package in &PACKAGES {
        let remedy =
            (!package.is_there()).then(|| format!("sudo apt-get install {}", package.name));
        row(package.name, package.why, remedy);
    }
    let how = match privileged() {
        Some(_) => "what a command needs and lacks, it installs itself",
        None => "nothing can be installed from here: that needs apt-get, and root or sudo",
    };
    println!("{how}");
    Ok(complete)
}

/// Runs `command` and says whether its program could be started and ended well.
pub(crate) fn has_tool(command: &mut Command) -> bool {
    process::succeeds_quietly(command)
}

/// Fails with the way to get a program that only one command needs.
pub(crate) fn require_program(name: &str, package: &str) -> Result<PathBuf> {
    find_program(name).ok_or_else(|| {
        Fault::new(format!("{name} is not there"))
            .attempt(format!("sudo apt-get install {package}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_number() {
        let status = "Name:\tx\nUid:\t1000\t0\t1000\t1000\nGid:\t1\t1\t1\t1\n";
        assert_eq!(effective_user(status), Some("0"));
        assert_eq!(effective_user("Name:\tx\n"), None);
    }

    #[test]
    fn programs_are_found_on_the_search_path_only() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-anywhere").is_none());
    }
}
