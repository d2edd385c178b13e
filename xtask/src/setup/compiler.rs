//! The compiler: for guest code, and the parts of it that tests need.
//!
//! rustup's is taken where it can be had, with the target that the guest is built for. Else Debian's newer
//! compiler builds the target's core library from its sources.

use super::{by_hand, find_program, install};
use crate::fault::{Doing, Fault, Result};
use crate::place::{GUEST_TARGET, Place};
use crate::process;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How guest code is compiled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum GuestToolchain {
    /// The toolchain that built this tool has the target.
    Prebuilt,
    /// Debian's compiler builds the target's core library from its sources.
    FromSource,
}

/// The toolchain for guest code, set up if it was missing.
pub(crate) fn guest_toolchain() -> Result<GuestToolchain> {
    if has_target()? {
        return Ok(GuestToolchain::Prebuilt);
    }
    // It was installed because the target could not be had; that is not tried anew each time.
    if has_debian_toolchain() {
        return Ok(GuestToolchain::FromSource);
    }
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
            "no compiler for {GUEST_TARGET} could be set up: {}",
            fault.what()
        ))
        .attempt(guest_remedy())
    })
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

/// A compiler newer than the distribution's own, with all that building the core library takes.
const DEBIAN_TOOLCHAIN: [(&str, &str); 5] = [
    ("rustc-web", "a compiler that can build the core library"),
    ("cargo-web", "the cargo that belongs to it"),
    ("rust-web-src", "the core library's sources"),
    ("lld", "the linker for guest code"),
    ("rust-web-clippy", "the lints that belong to it"),
];

/// The compiler asks for `rust-lld`, which Debian offers under the version's name only.
pub(crate) const DEBIAN_LINKER: &str = "ld.lld";

fn has_debian_toolchain() -> bool {
    let programs = ["cargo", DEBIAN_LINKER, "cargo-clippy"];
    Path::new(DEBIAN_SOURCES).exists()
        && programs
            .iter()
            .all(|name| Path::new("/usr/bin").join(name).exists())
}

fn debian_toolchain() -> Result<GuestToolchain> {
    if !has_debian_toolchain() {
        install(&DEBIAN_TOOLCHAIN)?;
    }
    if has_debian_toolchain() {
        Ok(GuestToolchain::FromSource)
    } else {
        Err(Fault::new("Debian's compiler came without sources"))
    }
}

/// The compiler that cargo uses.
fn rustc() -> OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// How the compiler for guest code is had by hand.
fn guest_remedy() -> String {
    match find_program("rustup") {
        Some(_) => format!("rustup target add {GUEST_TARGET}"),
        None => by_hand(&DEBIAN_TOOLCHAIN.map(|(name, _)| name)),
    }
}

/// Why lints and figures of this compiler say nothing: it is another one than those that are committed were taken with.
pub(crate) fn other_compiler(place: &Place) -> Result<Option<String>> {
    let mut command = Command::new("rustc");
    command.current_dir(&place.root).arg("--version");
    let output = command.output().doing("start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(1).unwrap_or("unknown");
    let wanted = env!("CARGO_PKG_RUST_VERSION");
    Ok((!is_release(version, wanted))
        .then(|| format!("they are those of Rust {wanted}, not {version}")))
}

/// Whether a version is of a release like `1.95`, whatever its patches.
fn is_release(version: &str, release: &str) -> bool {
    let rest = version.strip_prefix(release);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A part of the toolchain that only tests need.
struct Component {
    name: &'static str,
    program: &'static str,
    /// Debian's package of it, for a machine without rustup.
    package: &'static str,
    why: &'static str,
}

const COMPONENTS: [Component; 2] = [
    Component {
        name: "rustfmt",
        program: "rustfmt",
        package: "rustfmt-web",
        why: "the tests check the form of the code",
    },
    Component {
        name: "clippy",
        program: "cargo-clippy",
        package: "rust-web-clippy",
        why: "the tests check the code for common faults",
    },
];

impl Component {
    fn is_there(&self) -> bool {
        process::succeeds_quietly(Command::new(self.program).arg("--version"))
    }

    fn remedy(&self) -> String {
        match find_program("rustup") {
            Some(_) => format!("rustup component add {}", self.name),
            None => by_hand(&[self.package]),
        }
    }

    fn install(&self) -> Result<()> {
        if find_program("rustup").is_none() {
            return install(&[(self.package, self.why)]);
        }
        eprintln!("installing: {} ({})", self.name, self.why);
        process::run(
            Command::new("rustup").args(["component", "add", self.name]),
            "rustup",
        )
    }
}

/// Installs the parts of the toolchain that only tests need.
pub(crate) fn ensure_components() -> Result<()> {
    for component in COMPONENTS.iter().filter(|component| !component.is_there()) {
        component.install()?;
        if !component.is_there() {
            return Err(
                Fault::new(format!("{} is not there", component.name)).attempt(component.remedy())
            );
        }
    }
    Ok(())
}

/// What Miri is called among a toolchain's components, and what it runs on.
const MIRI: [&str; 2] = ["miri", "rust-src"];

/// The only toolchain that has Miri.
const NIGHTLY: &str = "nightly";

/// Miri's cargo, its component installed where only that was missing; `None` when it is not to be had. A whole
/// toolchain is not fetched for it.
pub(crate) fn miri(place: &Place) -> Option<impl Fn() -> Command> {
    let miri = || {
        let mut command = process::cargo_of(place, NIGHTLY);
        command.arg("miri");
        command
    };
    let is_there = || process::succeeds_quietly(miri().arg("--version"));
    if !is_there() {
        let nightly = ["run", NIGHTLY, "rustc", "--version"];
        if !process::succeeds_quietly(Command::new("rustup").args(nightly)) {
            return None;
        }
        eprintln!("installing: miri (tests look for undefined behaviour with it)");
        let add = ["component", "add", "--toolchain", NIGHTLY];
        process::succeeds(Command::new("rustup").args(add).args(MIRI));
    }
    is_there().then_some(miri)
}

/// How Miri is had by hand.
pub(crate) fn miri_remedy() -> String {
    let components = MIRI.join(",");
    format!("rustup toolchain install {NIGHTLY} --component {components}")
}

/// What is there of it: name, purpose, and how to get what is not.
pub(super) fn rows() -> Result<Vec<(&'static str, &'static str, Option<String>)>> {
    let guest = has_target()? || has_debian_toolchain();
    let mut rows = vec![(
        GUEST_TARGET,
        "the compiler's core library for guest code",
        (!guest).then(guest_remedy),
    )];
    for component in &COMPONENTS {
        let remedy = (!component.is_there()).then(|| component.remedy());
        rows.push((component.name, component.why, remedy));
    }
    let in_c = env::var_os("CC").is_some() || find_program("cc").is_some();
    rows.push((
        "cc",
        "the C compiler, for guest programs in C",
        (!in_c).then(|| by_hand(&["gcc"])),
    ));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::is_release;

    #[test]
    fn a_patch_is_of_its_release() {
        assert!(is_release("1.95.0", "1.95") && is_release("1.95", "1.95"));
        assert!(!is_release("1.96.0", "1.95") && !is_release("1.9.5", "1.95"));
        assert!(!is_release("1.950.0", "1.95") && !is_release("", "1.95"));
    }
}
