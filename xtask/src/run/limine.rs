//! The bootable ISO with a user's own Limine in GRUB's and the boot stub's place.
//!
//! The environment's `LIMINE_DIR` names the folder of a binary release of Limine, version 8 or later. Deliberately
//! absent: boot sectors for a disk or stick on BIOS machines, which `limine bios-install` adds.

use super::Boot;
use crate::fault::{Doing, Fault, Result};
use crate::setup::{Need, ensure};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the folder.
const VARIABLE: &str = "LIMINE_DIR";

/// What a BIOS machine starts from the disc.
const BIOS_DISC: &str = "limine-bios-cd.bin";
/// What UEFI firmware starts from the disc: a file system with Limine in it.
const UEFI_DISC: &str = "limine-uefi-cd.bin";
/// What is taken from the folder to the image's folder of the same purpose.
const FILES: [(&str, &str); 4] = [
    ("limine-bios.sys", FOLDER),
    (BIOS_DISC, FOLDER),
    (UEFI_DISC, FOLDER),
    ("BOOTX64.EFI", "EFI/BOOT"),
];
/// Where Limine looks for its files.
const FOLDER: &str = "boot/limine";

/// What the kernel and its modules are called, in the run's folder and in the image's `boot`.
const SYSTEM: [(&str, &str); 3] = [
    ("kernel.bare", "kernel"),
    ("bootstrap.img", "bootstrap.img"),
    ("boot.tar", "boot.tar"),
];

/// The folder that the user names, if any.
pub(crate) fn named() -> Option<PathBuf> {
    env::var_os(VARIABLE)
        .filter(|folder| !folder.is_empty())
        .map(PathBuf::from)
}

/// Makes the image of what `boot` holds, in its folder. `command_line` is for the kernel.
pub(super) fn make(boot: &Boot, limine: &Path, command_line: &str) -> Result<PathBuf> {
    check(limine)?;
    ensure(&[Need::Disc])?;
    let tree = boot.file("limine");
    if tree.exists() {
        fs::remove_dir_all(&tree).at("remove", &tree)?;
    }
    let copy = |from: &Path, folder: &str, name: &str| -> Result<()> {
        let folder = tree.join(folder);
        fs::create_dir_all(&folder).at("make", &folder)?;
        fs::copy(from, folder.join(name)).at("copy", from).map(drop)
    };
    for (name, folder) in FILES {
        copy(&limine.join(name), folder, name)?;
    }
    for (name, known_as) in SYSTEM {
        copy(&boot.file(name), "boot", known_as)?;
    }
    let path = tree.join(FOLDER).join("limine.conf");
    fs::write(&path, menu(command_line)).at("write", &path)?;
    eprintln!("making: the bootable image, with {}", limine.display());
    let made = boot.file("limine.iso");
    // It reports each step, and its faults, in one stream.
    let output = xorriso(&tree, &made).output().doing("start xorriso")?;
    if output.status.success() {
        Ok(made)
    } else {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        Err(Fault::new("xorriso failed"))
    }
}

/// Refuses a folder that lacks something, by name.
fn check(limine: &Path) -> Result<()> {
    let missing: Vec<&str> = FILES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !limine.join(name).is_file())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{VARIABLE} is {}, where {} is not there",
        limine.display(),
        missing.join(", ")
    );
    Err(Fault::new(what).attempt(format!(
        "unset {VARIABLE} (then GRUB boots the image), or the folder of Limine's binary release"
    )))
}

/// An ISO 9660 file system with one boot entry for BIOS and one for UEFI, and a partition table with the latter,
/// for firmware that finds the image on a stick.
fn xorriso(tree: &Path, made: &Path) -> Command {
    let mut command = Command::new("xorriso");
    command.args(["-as", "mkisofs", "-R", "-r", "-J"]);
    command.args(["-b", &format!("{FOLDER}/{BIOS_DISC}")]);
    command.args(["-no-emul-boot", "-boot-load-size", "4", "-boot-info-table"]);
    command.args(["--efi-boot", &format!("{FOLDER}/{UEFI_DISC}")]);
    command.args(["-efi-boot-part", "--efi-boot-image"]);
    command.arg("--protective-msdos-label");
    command.arg(tree).arg("-o").arg(made);
    command
}

/// One entry, taken at once.
fn menu(command_line: &str) -> String {
    let mut menu = format!(
        "timeout: 0\n\n/MelloOS\n    protocol: limine\n    cmdline: {command_line}\n    path: boot():/boot/kernel\n"
    );
    for (_, name) in &SYSTEM[1..] {
        menu.push_str(&format!("    module_path: boot():/boot/{name}\n"));
    }
    menu
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn the_menu_names_the_kernel_and_both_modules() {
        let menu = menu("mode=console");
        for line in [
            "cmdline: mode=console",
            "path: boot():/boot/kernel",
            "module_path: boot():/boot/bootstrap.img",
            "module_path: boot():/boot/boot.tar",
        ] {
            assert!(menu.lines().any(|other| other.trim() == line), "{line}");
        }
    }

    #[test]
    fn a_folder_that_lacks_a_file_is_refused_by_its_name() {
        let scratch = Scratch::new("limine");
        for (name, _) in FILES {
            let fault = check(scratch.path()).unwrap_err().to_string();
            assert!(fault.contains(name), "{fault}");
            assert!(fault.contains("LIMINE_DIR"), "{fault}");
            fs::write(scratch.path().join(name), "").unwrap();
        }
        check(scratch.path()).unwrap();
    }

    #[test]
    fn the_disc_has_an_entry_for_each_firmware() {
        let scratch = Scratch::new("limine-disc");
        let folder = scratch.path().join("tree").join(FOLDER);
        fs::create_dir_all(&folder).unwrap();
        for name in [BIOS_DISC, UEFI_DISC] {
            fs::write(folder.join(name), [0; 4096]).unwrap();
        }
        let disc = scratch.path().join("disc.iso");
        let made = xorriso(&scratch.path().join("tree"), &disc)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let report = Command::new("xorriso")
            .arg("-indev")
            .arg(&disc)
            .args(["-report_el_torito", "plain"])
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        for part in ["BIOS", "UEFI", BIOS_DISC, UEFI_DISC] {
            assert!(report.contains(part), "{part} in {report}");
        }
    }
}
