//! Compiles and links the guest programs that are written in C, with the system's compiler.
//!
//! Every `.c` file of a program's folder belongs to it. It sees the compiler's own freestanding headers and
//! those of `libmach/c/include`, and is linked with the static library of that crate, by the same script as a
//! Rust program. Deliberately absent: another machine's compiler, incremental builds (a program takes less than a second).

use super::units::Unit;
use crate::fault::{Doing, Fault, Result};
use crate::place::Place;
use crate::process;
use crate::setup::require_program;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crate of the static library and headers, and what cargo calls the library's file.
pub(super) const LIBRARY: (&str, &str) = ("libmach/c", "libcmach.a");

/// No vectors and no floats, as the system's Rust programs; fixed addresses; nothing of the host's C library.
const COMPILE: [&str; 17] = [
    "-c",
    "-std=c11",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-ffreestanding",
    "-nostdinc",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-ffunction-sections",
    "-fdata-sections",
];

/// As `libmach/link` has it for Rust programs.
const LINK: [&str; 7] = [
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--gc-sections",
    "-Wl,--build-id=none",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,noexecstack",
];

/// The system's C compiler, or the one that `CC` names.
fn compiler() -> Result<OsString> {
    match env::var_os("CC").filter(|name| !name.is_empty()) {
        Some(name) => Ok(name),
        None => Ok(require_program("cc", "gcc")?.into()),
    }
}

/// Where the ELF file of a C program is put.
pub(super) fn program(place: &Place, unit: &Unit) -> PathBuf {
    folder(place, unit).join("program")
}

fn folder(place: &Place, unit: &Unit) -> PathBuf {
    place.output().join("c").join(&unit.name)
}

/// Builds the C programs among `units` with the static library `library`. The caller holds the build's lock.
pub(super) fn build<'a>(
    place: &Place,
    units: impl Iterator<Item = &'a Unit>,
    library: &Path,
) -> Result<()> {
    let compiler = compiler()?;
    let mut ask = Command::new(&compiler);
    let own_headers = process::output(ask.arg("-print-file-name=include"))
        .map_err(|fault| not_usable(&compiler, &fault))?;
    for unit in units {
        let folder = folder(place, unit);
        fs::create_dir_all(&folder).at("make", &folder)?;
        let mut objects = Vec::new();
        for source in sources(&unit.folder)? {
            let object = folder
                .join(source.file_stem().unwrap_or_default())
                .with_extension("o");
            let mut command = Command::new(&compiler);
            command
                .args(COMPILE)
                .arg("-isystem")
                .arg(own_headers.trim_end());
            command
                .arg("-I")
                .arg(place.root.join(LIBRARY.0).join("include"));
            command.arg(&source).arg("-o").arg(&object);
            run(&mut command, &format!("compiling {}", source.display()))?;
            objects.push(object);
        }
        let mut command = Command::new(&compiler);
        command
            .args(LINK)
            .arg("-T")
            .arg(place.root.join("libmach/user.ld"));
        command
            .args(&objects)
            .arg(library)
            .arg("-o")
            .arg(program(place, unit));
        run(&mut command, &format!("linking {}", unit.name))?;
    }
    Ok(())
}

fn run(command: &mut Command, what: &str) -> Result<()> {
    process::stdout_to_stderr(command);
    process::run(command, what)
}

fn not_usable(compiler: &OsString, fault: &Fault) -> Fault {
    let name = compiler.display();
    Fault::new(format!("{name} is no usable C compiler ({})", fault.what()))
        .attempt("sudo apt-get install gcc")
}

/// The C files of a folder, in order.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).at("read", folder)? {
        let path = entry.at("read", folder)?.path();
        if path.extension().is_some_and(|suffix| suffix == "c") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::units::{Kind, Language};
    use crate::scratch::Scratch;

    #[test]
    fn all_c_files_of_a_folder_are_compiled_in_order() {
        let scratch = Scratch::new("c sources");
        for name in ["b.c", "main.c", "a.c", "a.h", "manifest.toml"] {
            scratch.write(name, "");
        }
        let found = sources(scratch.path()).unwrap();
        let names: Vec<_> = found.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["a.c", "b.c", "main.c"]);
    }

    #[test]
    fn a_program_is_built_in_a_place_with_spaces() {
        let scratch = Scratch::new("c build");
        let place = Place::of(&scratch.path().join("with a space"));
        let write = |path: &str, text: &str| scratch.write(&format!("with a space/{path}"), text);
        write(
            "initrd/x/main.c",
            "#include <x.h>\nint _start(void) { return X; }\n",
        );
        write(
            "libmach/c/include/x.h",
            "#include <stdint.h>\n#define X UINT8_C(7)\n",
        );
        write("libmach/user.ld", include_str!("../../../libmach/user.ld"));
        // An archive without members.
        write("empty.a", "!<arch>\n");
        let unit = Unit {
            name: "x".into(),
            kind: Kind::Program,
            language: Language::C,
            folder: place.root.join("initrd/x"),
        };
        build(&place, [&unit].into_iter(), &place.root.join("empty.a")).unwrap();
        let bytes = fs::read(program(&place, &unit)).unwrap();
        let file = super::super::program::parse("x", &bytes).unwrap();
        super::super::program::segments("x", &file).unwrap();
    }
}
