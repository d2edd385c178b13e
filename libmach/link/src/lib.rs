//! Link arguments of a ring-3 program: called from the `build.rs` of each server, driver and program.
//!
//! A program is a static ELF64 at a fixed address whose segments never share a page and are never
//! writable and executable at once (`libmach/user.ld`). The arguments come from here and not from
//! a configuration file, because a user's own `RUSTFLAGS` silently replaces those.

/// Prints the link arguments for the binaries of the calling package, on the machine's target only.
pub fn program() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../user.ld");
    println!("cargo::rerun-if-changed={script}");
    for argument in [
        "-T",
        script,
        "--no-pie",
        "--gc-sections",
        "-z",
        "max-page-size=4096",
        "--no-eh-frame-hdr",
    ] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
