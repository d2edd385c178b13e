//! Set-up: finds what is missing on this machine and installs it where it may.
//!
//! Each thing that a command needs is a row of [`PACKAGES`] with a way to see that it is there. When
//! nothing is missing no other program runs, so a second run works without a network. Deliberately
//! absent: distributions without `apt-get`; there the names are printed.

mod compiler;

pub(crate) use compiler::{
    DEBIAN_LINKER, GuestToolchain, ensure_components, guest_toolchain, miri, miri_remedy,
    other_compiler,
};

use crate::fault::{Fault, Result};
use crate::process;
use std::env;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a command is going to do, hence what must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// Booting a guest.
    Emulator,
    /// Writing a bootable disc.
    Disc,
    /// Making it start by GRUB.
    Image,
    /// Booting that image through UEFI.
    Firmware,
    /// Looking for worse input by the fuzzing engine.
    Engine,
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

const PACKAGES: [Package; 8] = [
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
        need: Need::Disc,
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
    Package {
        name: "g++",
        why: "compiles the fuzzing engine",
        need: Need::Engine,
        sign: Sign::Program("c++"),
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

fn install(packages: &[(&str, &str)]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().map(|(name, _)| *name).collect();
    let missing = || Fault::new(format!("missing: {}", names.join(", "))).attempt(by_hand(&names));
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

/// What a person may run who has the privileges that this tool lacks.
fn by_hand(packages: &[&str]) -> String {
    let install = format!("apt-get update && apt-get install {}", packages.join(" "));
    match find_program("sudo") {
        Some(_) => format!("sudo sh -c '{install}'"),
        None => format!("su -c '{install}'"),
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
    for (name, why, remedy) in compiler::rows()? {
        row(name, why, remedy);
    }
    for package in &PACKAGES {
        let remedy = (!package.is_there()).then(|| by_hand(&[package.name]));
        row(package.name, package.why, remedy);
    }
    let how = match privileged() {
        Some(_) => "what a command needs and lacks, it installs itself",
        None => "nothing can be installed from here: that needs apt-get, and root or sudo",
    };
    println!("{how}");
    Ok(complete)
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
