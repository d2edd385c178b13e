//! An ISO that GRUB boots, on BIOS and on UEFI machines.

use super::Boot;
use crate::fault::{Doing, Fault, Result};
use crate::setup::{Need, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Makes the image of what `boot` holds, in its folder. `command_line` is for the kernel.
pub(super) fn make(boot: &Boot, command_line: &str) -> Result<PathBuf> {
    ensure(&[Need::Image, Need::Disc])?;
    let tree = boot.file("iso");
    let folder = tree.join("boot/grub");
    fs::create_dir_all(&folder).at("make", &folder)?;
    for name in ["stub", "boot.tar"] {
        let to = tree.join("boot").join(name);
        fs::copy(boot.file(name), &to).at("write", &to)?;
    }
    let path = folder.join("grub.cfg");
    fs::write(&path, menu(command_line)).at("write", &path)?;
    eprintln!("making: the bootable image");
    let made = boot.file("mello.iso");
    // It reports each step, and its faults, in one stream.
    let output = Command::new("grub-mkrescue")
        .arg("--output")
        .arg(&made)
        .arg(&tree)
        .output()
        .doing("start grub-mkrescue")?;
    if output.status.success() {
        Ok(made)
    } else {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        Err(Fault::new("grub-mkrescue failed"))
    }
}

/// One entry, taken at once.
fn menu(command_line: &str) -> String {
    format!(
        "set timeout=0\nset default=0\nmenuentry \"MelloOS\" {{\n    \
         multiboot2 /boot/stub {command_line}\n    module2 /boot/boot.tar boot.tar\n    boot\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_passes_the_command_line_on() {
        let menu = menu("mode=console");
        assert!(menu.contains("multiboot2 /boot/stub mode=console\n"));
        assert_eq!(menu.matches('{').count(), menu.matches('}').count());
    }
}
